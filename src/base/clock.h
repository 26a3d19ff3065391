/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_CLOCK_H
#define GAIT_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS 1000000LL
#define NS_PER_US 1000LL

/* CLOCK_MONOTONIC in ns: the clock of every time in a trace, and of bpf_ktime_get_ns(). */
static inline int64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* CLOCK_REALTIME minus CLOCK_MONOTONIC in ns, now. */
static inline int64_t clock_realtime_offset_ns(void)
{
	struct timespec real;
	int64_t before = clock_now_ns();

	clock_gettime(CLOCK_REALTIME, &real);
	return real.tv_sec * NS_PER_SEC + real.tv_nsec - (before + clock_now_ns()) / 2;
}

#endif
