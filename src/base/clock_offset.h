/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_CLOCK_OFFSET_H
#define GAIT_BASE_CLOCK_OFFSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How far the clock of host A is ahead of host B's, from calls that both saw. No message arrives
 * before it was sent, so a call from A to B bounds the offset o = A - B on both sides (Cristian,
 * "Probabilistic clock synchronization", 1989):
 *
 *	A sends <= B receives + o	o >= sent - arrived
 *	B replies + o <= A has it	o <= received - replied
 *
 * and a call from B to A the same with the signs turned. All times in ns; pure.
 */
struct clock_interval {
	int64_t low_ns, high_ns; /* INT64_MIN, INT64_MAX: not bounded on that side */
};

/*
 * The offsets that most of the intervals hold (Marzullo's algorithm, "Maintaining the time in a
 * distributed system", 1984; NTP selects its servers so): right although some intervals are of
 * messages that do not belong together. Of several such, the one nearest to near_ns. Returns how
 * many agree, 0 when there are none, or -ENOMEM.
 */
int clock_agreement(const struct clock_interval *intervals, size_t count, int64_t near_ns,
		    struct clock_interval *ret_interval);

/* The offset as a line over A's time. */
struct clock_line {
	int64_t at_ns;	   /* of clock A: where the offset is offset_ns */
	int64_t offset_ns; /* A - B */
	double drift;	   /* ns of offset gained per ns */
	int64_t bound_ns;  /* the true offset is at most this far away */
};

int64_t clock_line_to_a(const struct clock_line *line, int64_t b_ns);
int64_t clock_line_to_b(const struct clock_line *line, int64_t a_ns);

/* The tightest bounds in each of CLOCK_WINDOWS equal parts of a span: all that a line needs. */
#define CLOCK_WINDOWS 64

struct clock_bounds {
	int64_t from_ns, window_ns;
	uint64_t count;
	struct {
		int64_t low_ns, low_at_ns, high_ns, high_at_ns;
	} windows[CLOCK_WINDOWS];
};

void clock_bounds_init(struct clock_bounds *bounds, int64_t from_ns, int64_t to_ns);
/* At at_ns of clock A the offset lies in the interval. */
void clock_bounds_add(struct clock_bounds *bounds, int64_t at_ns, struct clock_interval interval);

enum clock_fit {
	CLOCK_UNBOUNDED,    /* not bounded from both sides: no line */
	CLOCK_CONSTANT,	    /* one offset satisfies all bounds */
	CLOCK_DRIFTS,	    /* only a line with a slope does */
	CLOCK_INCONSISTENT, /* none does: bound_ns is widened until it covers all of them */
};

/* No two clocks drift further apart: NTP slews by at most 500 ppm, crystals are within 100. */
#define CLOCK_DRIFT_MAX 1e-3

/* The line in the middle of the bounds; half the room that they leave is its bound_ns. */
enum clock_fit clock_bounds_fit(const struct clock_bounds *bounds, struct clock_line *ret_line);

#endif
