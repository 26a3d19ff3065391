/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a compute op costs what is asked: CPU of the op against what was asked, by
 * CPU time and by work; work is compared with a calibrator that runs in between, in the
 * same milliseconds. CSV; ratios are medians of rounds.
 */
#include "base/clock.h"
#include "base/work.h"
#include "replay/node/demand.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 31
#define ROUND_NS (20 * NS_PER_MS)

static const atomic_bool going;

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* ns of CPU for each of `count` ops: the loop's own part is in it, some ns. */
static double op_ns(const struct demand *d, uint64_t work, int64_t count)
{
	int64_t start_ns = cpu_ns();

	for (int64_t i = 0; i < count; i++)
		demand_compute(d, work);
	return (double)(cpu_ns() - start_ns) / (double)count;
}

/* The same work without the node, at the same moment. */
static double reference_ns(uint64_t work, int64_t count)
{
	int64_t start_ns = cpu_ns();

	work_do(work * (uint64_t)count);
	return (double)(cpu_ns() - start_ns) / (double)count;
}

static void measure(enum compute_mode mode, const char *name, int64_t asked_ns)
{
	struct demand d = { mode, work_calibrate(), &going };
	uint64_t work = (uint64_t)asked_ns * d.work_per_ms / NS_PER_MS;
	int64_t count = ROUND_NS / asked_ns > 0 ? ROUND_NS / asked_ns : 1;
	double took[ROUNDS], ratios[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		double before = reference_ns(work, count), after;

		took[i] = op_ns(&d, work, count);
		after = reference_ns(work, count);
		ratios[i] = took[i] / ((before + after) / 2);
	}
	qsort(took, ROUNDS, sizeof(took[0]), compare);
	qsort(ratios, ROUNDS, sizeof(ratios[0]), compare);
	printf("%s,%lld,%.0f,%.4f,%.4f\n", name, (long long)asked_ns, took[ROUNDS / 2],
	       took[ROUNDS / 2] / (double)asked_ns, ratios[ROUNDS / 2]);
}

int main(void)
{
	static const int64_t asked_ns[] = { 10000, 100000, 1000000, 10000000 };
	static const struct {
		enum compute_mode mode;
		const char *name;
	} modes[] = { { COMPUTE_CPU, "cpu" }, { COMPUTE_WORK, "work" } };

	puts("compute,asked_ns,cpu_ns,of_asked,of_calibrator");
	for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++)
		for (size_t i = 0; i < sizeof(asked_ns) / sizeof(asked_ns[0]); i++)
			measure(modes[m].mode, modes[m].name, asked_ns[i]);
	return 0;
}
