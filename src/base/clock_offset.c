/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock_offset.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define SLOPE_STEPS 60 /* a third less each: 2 * CLOCK_DRIFT_MAX to below 1e-13 */

/* Where an interval begins (+1) or has ended (-1). */
struct edge {
	int64_t ns;
	int step;
};

/* Closed intervals: those that touch overlap, so begins come first. */
static int by_time(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return y->step - x->step;
}

static uint64_t distance(int64_t a, int64_t b)
{
	return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

/* 0 within the interval. */
static uint64_t distance_to(struct clock_interval interval, int64_t ns)
{
	if (ns < interval.low_ns)
		return distance(interval.low_ns, ns);
	return ns > interval.high_ns ? distance(ns, interval.high_ns) : 0;
}

/* After an edge that begins the most overlapping intervals, the next edge ends one. */
static int most_overlapped(const struct edge *edges, size_t count, int64_t near_ns,
			   struct clock_interval *ret_interval)
{
	int depth = 0, most = 0;

	for (size_t i = 0; i + 1 < count; i++) {
		struct clock_interval here = { edges[i].ns, edges[i + 1].ns };

		depth += edges[i].step;
		if (depth < most || depth == 0)
			continue;
		if (depth == most &&
		    distance_to(here, near_ns) >= distance_to(*ret_interval, near_ns))
			continue;
		most = depth;
		*ret_interval = here;
	}
	return most;
}

int clock_agreement(const struct clock_interval *intervals, size_t count, int64_t near_ns,
		    struct clock_interval *ret_interval)
{
	struct edge *edges = calloc(2 * count + 1, sizeof(*edges));
	size_t used = 0;
	int most;

	if (!edges)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (intervals[i].low_ns > intervals[i].high_ns)
			continue;
		edges[used++] = (struct edge){ intervals[i].low_ns, 1 };
		edges[used++] = (struct edge){ intervals[i].high_ns, -1 };
	}
	qsort(edges, used, sizeof(*edges), by_time);
	most = most_overlapped(edges, used, near_ns, ret_interval);
	free(edges);
	return most;
}

/* a - b = offset + drift * (a - at), solved for a. */
int64_t clock_line_to_a(const struct clock_line *line, int64_t b_ns)
{
	int64_t a_ns = b_ns + line->offset_ns;
	double late_ns = (double)(a_ns - line->at_ns);

	return a_ns + (int64_t)(line->drift / (1 - line->drift) * late_ns);
}

int64_t clock_line_to_b(const struct clock_line *line, int64_t a_ns)
{
	return a_ns - line->offset_ns - (int64_t)(line->drift * (double)(a_ns - line->at_ns));
}

void clock_bounds_init(struct clock_bounds *bounds, int64_t from_ns, int64_t to_ns)
{
	bounds->from_ns = from_ns;
	bounds->window_ns = to_ns > from_ns ? (to_ns - from_ns) / CLOCK_WINDOWS + 1 : 1;
	bounds->count = 0;
	for (int i = 0; i < CLOCK_WINDOWS; i++) {
		bounds->windows[i].low_ns = INT64_MIN;
		bounds->windows[i].high_ns = INT64_MAX;
	}
}

void clock_bounds_add(struct clock_bounds *bounds, int64_t at_ns, struct clock_interval interval)
{
	int64_t i = (at_ns - bounds->from_ns) / bounds->window_ns;

	i = i < 0 ? 0 : i >= CLOCK_WINDOWS ? CLOCK_WINDOWS - 1 : i;
	bounds->count++;
	if (interval.low_ns > bounds->windows[i].low_ns) {
		bounds->windows[i].low_ns = interval.low_ns;
		bounds->windows[i].low_at_ns = at_ns;
	}
	if (interval.high_ns < bounds->windows[i].high_ns) {
		bounds->windows[i].high_ns = interval.high_ns;
		bounds->windows[i].high_at_ns = at_ns;
	}
}

/* Offsets and times relative to these fit into a double to the ns. */
struct origin {
	int64_t at_ns, offset_ns;
};

static bool find_origin(const struct clock_bounds *bounds, struct origin *ret)
{
	bool low = false, high = false;

	for (int i = 0; i < CLOCK_WINDOWS; i++) {
		if (bounds->windows[i].low_ns != INT64_MIN) {
			low = true;
			ret->offset_ns = bounds->windows[i].low_ns;
		}
		high |= bounds->windows[i].high_ns != INT64_MAX;
	}
	ret->at_ns = bounds->from_ns + bounds->window_ns * (CLOCK_WINDOWS / 2);
	return low && high;
}

/* An offset at the origin of a line that has offset_ns at at_ns. */
static double relative(int64_t at_ns, int64_t offset_ns, struct origin origin, double slope)
{
	return (double)(offset_ns - origin.offset_ns) - slope * (double)(at_ns - origin.at_ns);
}

/*
 * What a line of this slope may have as its offset at the origin: the room between the highest
 * low bound and the lowest high one, negative when they cross.
 */
static double room(const struct clock_bounds *bounds, struct origin origin, double slope,
		   double *ret_middle)
{
	double low = -1e300, high = 1e300;

	for (int i = 0; i < CLOCK_WINDOWS; i++) {
		int64_t low_ns = bounds->windows[i].low_ns, high_ns = bounds->windows[i].high_ns;

		if (low_ns != INT64_MIN)
			low = fmax(low,
				   relative(bounds->windows[i].low_at_ns, low_ns, origin, slope));
		if (high_ns != INT64_MAX)
			high = fmin(high, relative(bounds->windows[i].high_at_ns, high_ns, origin,
						   slope));
	}
	*ret_middle = (low + high) / 2;
	return high - low;
}

/* The room is a concave function of the slope: a search by thirds finds its top. */
static double widest_slope(const struct clock_bounds *bounds, struct origin origin)
{
	double from = -CLOCK_DRIFT_MAX, to = CLOCK_DRIFT_MAX, middle;

	for (int i = 0; i < SLOPE_STEPS; i++) {
		double left = from + (to - from) / 3, right = to - (to - from) / 3;

		if (room(bounds, origin, left, &middle) < room(bounds, origin, right, &middle))
			from = left;
		else
			to = right;
	}
	return (from + to) / 2;
}

enum clock_fit clock_bounds_fit(const struct clock_bounds *bounds, struct clock_line *ret_line)
{
	enum clock_fit fit = CLOCK_CONSTANT;
	struct origin origin = { 0, 0 };
	double slope = 0, middle, width;

	if (!find_origin(bounds, &origin))
		return CLOCK_UNBOUNDED;
	width = room(bounds, origin, slope, &middle);
	if (width < 0) {
		slope = widest_slope(bounds, origin);
		width = room(bounds, origin, slope, &middle);
		fit = width < 0 ? CLOCK_INCONSISTENT : CLOCK_DRIFTS;
	}
	*ret_line = (struct clock_line){
		.at_ns = origin.at_ns,
		.offset_ns = origin.offset_ns + (int64_t)(middle < 0 ? middle - 0.5 : middle + 0.5),
		.drift = slope,
		.bound_ns = (int64_t)((width < 0 ? -width : width) / 2) + 1,
	};
	return fit;
}
