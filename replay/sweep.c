/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/sweep.h"

#include "base/units.h"
#include "replay/plan/scale.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int not_a_sweep(const char *text, struct err *err)
{
	return err_set(err, EINVAL,
		       "'%s' is not a range of speeds; write for example 0.5..2 or 0.5..2:16",
		       text);
}

int sweep_parse(const char *text, struct sweep *sweep, struct err *err)
{
	const char *dots = strstr(text, ".."), *colon = strchr(text, ':');
	uint64_t from, to, steps = SWEEP_STEPS;
	char first[32], last[32];

	if (!dots || (colon && colon < dots))
		return not_a_sweep(text, err);
	snprintf(first, sizeof(first), "%.*s", (int)(dots - text), text);
	snprintf(last, sizeof(last), "%.*s", (int)(colon ? colon - dots - 2 : 31), dots + 2);
	if (unit_parse_factor(first, &from, NULL) || unit_parse_factor(last, &to, NULL))
		return not_a_sweep(text, err);
	if (colon && unit_parse_u64(colon + 1, 2, SWEEP_STEPS_MAX, &steps, err))
		return -EINVAL;
	if (!from || from >= to || to > PLAN_SPEED_MAX)
		return err_set(err, ERANGE, "'%s' is no range that grows, between 0.001 and %u",
			       text, PLAN_SPEED_MAX / PLAN_SPEED_ONE);
	sweep->from_milli = (uint32_t)from;
	sweep->to_milli = (uint32_t)to;
	sweep->steps = (uint32_t)steps;
	return 0;
}

int sweep_parse_hold(const char *text, struct sweep *sweep, struct err *err)
{
	const char *equals = strchr(text, '=');
	uint64_t milli, ns;
	char percentile[16];

	if (text[0] != 'p' || !equals)
		return err_set(err, EINVAL, "'%s' is nothing to hold; write for example p99=5ms",
			       text);
	snprintf(percentile, sizeof(percentile), "%.*s", (int)(equals - text - 1), text + 1);
	if (unit_parse_factor(percentile, &milli, NULL) || !milli || milli >= 100000)
		return err_set(err, EINVAL, "'p%s' is no percentile between 0 and 100", percentile);
	if (unit_parse_duration(equals + 1, &ns, err))
		return -EINVAL;
	sweep->hold_percentile = (double)milli / 1000;
	sweep->hold_ns = (int64_t)ns;
	return 0;
}

static bool is_used(const struct sweep_point *point)
{
	return !point->invalid && point->answered;
}

uint64_t sweep_requests_needed(double percentile)
{
	return (uint64_t)ceil(log(0.025) / log(percentile / 100));
}

static bool may_hold(const struct sweep *sweep, const struct sweep_point *point)
{
	return is_used(point) && point->requests >= sweep_requests_needed(sweep->hold_percentile);
}

static bool holds(const struct sweep *sweep, const struct sweep_point *point)
{
	return point->held_ns <= sweep->hold_ns;
}

size_t sweep_holds(const struct sweep *sweep, const struct sweep_point *points, size_t count,
		   bool *ret_bounded)
{
	uint32_t fails = UINT32_MAX;
	size_t best = SWEEP_NONE;

	for (size_t i = 0; i < count; i++) {
		if (may_hold(sweep, &points[i]) && !holds(sweep, &points[i]) &&
		    points[i].speed_milli < fails)
			fails = points[i].speed_milli;
	}
	for (size_t i = 0; i < count; i++) {
		if (may_hold(sweep, &points[i]) && points[i].speed_milli < fails &&
		    (best == SWEEP_NONE || points[i].speed_milli > points[best].speed_milli))
			best = i;
	}
	*ret_bounded = fails != UINT32_MAX;
	return best;
}

/* Halfway to the slowest of the faster ones that do not hold; 0: it is near enough. */
static uint32_t halfway(const struct sweep *sweep, const struct sweep_point *points, size_t count)
{
	uint32_t fails = UINT32_MAX, low;
	bool bounded;
	size_t best = sweep_holds(sweep, points, count, &bounded);

	if (best == SWEEP_NONE || !bounded)
		return 0;
	low = points[best].speed_milli;
	for (size_t i = 0; i < count; i++) {
		/* one that could not be used is no reason to try there again */
		if (points[i].speed_milli > low && points[i].speed_milli < fails)
			fails = points[i].speed_milli;
	}
	if ((uint64_t)(fails - low) * 100 <= (uint64_t)low * SWEEP_NEAR_PERCENT || fails - low < 2)
		return 0;
	return low + (fails - low) / 2;
}

uint32_t sweep_next(const struct sweep *sweep, const struct sweep_point *points, size_t count)
{
	uint64_t range = sweep->to_milli - sweep->from_milli;

	if (count < sweep->steps)
		return sweep->from_milli + (uint32_t)(range * count / (sweep->steps - 1));
	if (!sweep->hold_percentile || count >= sweep->steps + SWEEP_HALVINGS_MAX)
		return 0;
	return halfway(sweep, points, count);
}

static double power_of(const struct sweep_point *point)
{
	return point->mean_ns > 0 ? point->answered_rate / point->mean_ns : 0;
}

size_t sweep_knee(const struct sweep_point *points, size_t count)
{
	uint32_t slowest = UINT32_MAX, fastest = 0;
	size_t best = SWEEP_NONE, used = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_used(&points[i]))
			continue;
		used++;
		slowest = points[i].speed_milli < slowest ? points[i].speed_milli : slowest;
		fastest = points[i].speed_milli > fastest ? points[i].speed_milli : fastest;
		if (best == SWEEP_NONE || power_of(&points[i]) > power_of(&points[best]))
			best = i;
	}
	if (used < 3 || points[best].speed_milli == slowest || points[best].speed_milli == fastest)
		return SWEEP_NONE;
	return best;
}
