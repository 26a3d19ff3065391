/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_SWEEP_H
#define GAIT_REPLAY_SWEEP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The same trace at several speeds: what latency becomes of the load. Pure: which
 * speed comes next, and what follows from the points so far.
 */
#define SWEEP_STEPS_MAX 100
#define SWEEP_STEPS 7

/* Between the last point that holds and the first that does not; and no nearer than 2%. */
#define SWEEP_HALVINGS_MAX 5
#define SWEEP_NEAR_PERCENT 2

#define SWEEP_POINTS_MAX (SWEEP_STEPS_MAX + SWEEP_HALVINGS_MAX)

#define SWEEP_NEVER INT64_MAX /* a percentile among requests that were not answered */

struct sweep {
	uint32_t from_milli, to_milli, steps;
	double hold_percentile; /* 0: nothing to hold */
	int64_t hold_ns;
};

struct sweep_point {
	uint32_t speed_milli;
	uint64_t requests, answered; /* that count: after the warm-up */
	double intended_rate, answered_rate;
	double mean_ns;			 /* of those answered, from when they were due */
	int64_t p50_ns, p99_ns, held_ns; /* of all: SWEEP_NEVER */
	int64_t late_p99_ns;
	bool invalid; /* the client was the limit, or it was cut short: not used */
};

/* "0.5..2", "0.5..2:16" */
int sweep_parse(const char *text, struct sweep *sweep, struct err *err);

/* "p99=5ms"; any percentile above 0 and below 100 */
int sweep_parse_hold(const char *text, struct sweep *sweep, struct err *err);

/*
 * The speed of the next point, in thousandths; 0: there is none. First the steps from
 * the slowest to the fastest, then halfway between what holds and what does not.
 */
uint32_t sweep_next(const struct sweep *sweep, const struct sweep_point *points, size_t count);

#define SWEEP_NONE SIZE_MAX

/*
 * The point where the most is had for the waiting: the largest "power", throughput
 * over mean latency (Kleinrock 1979). Below it a higher load costs little, above it
 * latency grows faster than throughput. SWEEP_NONE when there are fewer than three
 * points to use, or it is the first or the last of them: it lies outside then.
 */
size_t sweep_knee(const struct sweep_point *points, size_t count);

/*
 * How many requests it takes until a percentile has a 95% confidence interval at all (order
 * statistics): 368 for p99, 3,688 for p99.9. A point with fewer neither holds nor fails.
 */
uint64_t sweep_requests_needed(double percentile);

/*
 * The fastest point that holds, with no slower one that does not; SWEEP_NONE. *ret_bounded:
 * a faster point was used and did not hold, so the limit is really between the two.
 */
size_t sweep_holds(const struct sweep *sweep, const struct sweep_point *points, size_t count,
		   bool *ret_bounded);

#endif
