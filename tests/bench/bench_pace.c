/* SPDX-License-Identifier: Apache-2.0 */
/* How late sends would be, and what pacing costs: by rate, with spinning and without. */
#include "base/clock.h"
#include "base/hist.h"
#include "replay/pace.h"

#include <stdio.h>
#include <time.h>

#define SECONDS 2

static int64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void run(int64_t rate, int64_t spin_ns)
{
	const struct pace pace = { spin_ns };
	int64_t start = clock_now_ns() + NS_PER_MS, cpu = thread_cpu_ns(), last = start;
	struct hist late = { 0 };

	for (int64_t i = 0; i < rate * SECONDS; i++) {
		int64_t due = start + i * NS_PER_SEC / rate;

		last = pace_wait_until(&pace, due);
		hist_record(&late, (uint64_t)(last - due));
	}
	cpu = thread_cpu_ns() - cpu;
	printf("%lld,%lld,%llu,%llu,%llu,%lld,%.1f\n", (long long)rate, (long long)spin_ns,
	       (unsigned long long)hist_value_at_percentile(&late, 50),
	       (unsigned long long)hist_value_at_percentile(&late, 99),
	       (unsigned long long)hist_max(&late),
	       (long long)(last - start - (rate * SECONDS - 1) * NS_PER_SEC / rate),
	       100.0 * (double)cpu / (SECONDS * (double)NS_PER_SEC));
	hist_release(&late);
}

int main(void)
{
	static const int64_t rates[] = { 10, 100, 1000, 10000, 50000 };

	pace_sharpen_thread();
	puts("rate,spin_ns,late_p50_ns,late_p99_ns,late_max_ns,drift_ns,cpu_percent");
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		run(rates[i], PACE_SPIN_NS);
		run(rates[i], 0);
	}
	return 0;
}
