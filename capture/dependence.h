/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_DEPENDENCE_H
#define GAIT_CAPTURE_DEPENDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Service time of a request and the time from its arrival to the next one's, in ns. */
struct turn {
	int64_t service_ns;
	int64_t interval_ns;
};

#define DEPENDENCE_TURNS_MAX 128

struct dependence {
	bool dependent;	     /* its requests wait for replies (closed loop) */
	unsigned confidence; /* percent */
};

/*
 * Whether a connection's sender waits for replies. If it does, a reply that takes
 * 1 ms longer moves the next arrival by 1 ms: the slope of interval over service
 * time is 1, for a sender that goes by the clock it is 0. The slope is taken between
 * the medians of the slowest and the fastest third (a Wald estimator), which
 * outliers do not move. Without contrast in service times, the steadier of gap and
 * interval is what the sender keeps. Sorts `turns`.
 */
struct dependence dependence_judge(struct turn *turns, size_t count);

#endif
