/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_ASSEMBLE_DEPENDENCE_H
#define GAIT_CAPTURE_ASSEMBLE_DEPENDENCE_H

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
 * time is 1; for a sender that goes by the clock it is 0. Least squares over values
 * cut to their 5th and 95th percentile, so that outliers do not lead; it decides only
 * when it is far from 0.5 by its own standard error. Otherwise the steadier of gap
 * and interval is what the sender keeps.
 */
struct dependence dependence_judge(const struct turn *turns, size_t count);

#endif
