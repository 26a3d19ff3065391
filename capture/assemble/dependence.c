/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/assemble/dependence.h"

#include <math.h>

#define TURNS_FEW 8	  /* fewer say little */
#define PROMPT_NS 2000000 /* a gap this short is an answer to the reply, if nothing else tells */
#define STEADIER 0.7	  /* one spread clearly below the other */
#define ERROR_MAX 0.4	  /* a slope less certain than this says nothing */
#define SURE_ERRORS 1.5	  /* standard errors between the slope and 0.5 that decide */

/* The one that would be at `n` if they were sorted, which is more than what is asked. */
static int64_t nth_value(int64_t *values, size_t count, size_t n)
{
	size_t low = 0, high = count - 1;

	while (low < high) {
		int64_t pivot = values[low + (high - low) / 2];
		size_t i = low, j = high;

		for (;; i++, j--) {
			while (values[i] < pivot)
				i++;
			while (values[j] > pivot)
				j--;
			if (i >= j)
				break;
			int64_t kept = values[i];
			values[i] = values[j];
			values[j] = kept;
		}
		if (n <= j)
			high = j;
		else
			low = j + 1;
	}
	return values[n];
}

enum quantity { SERVICE, INTERVAL, GAP };

static int64_t quantity_of(const struct turn *t, enum quantity q)
{
	switch (q) {
	case SERVICE:
		return t->service_ns;
	case INTERVAL:
		return t->interval_ns;
	default:
		return t->interval_ns - t->service_ns;
	}
}

/* The value below which `percent` of the turns lie. */
static int64_t quantile(const struct turn *turns, size_t count, enum quantity q, size_t percent)
{
	int64_t values[DEPENDENCE_TURNS_MAX];

	if (count > DEPENDENCE_TURNS_MAX)
		count = DEPENDENCE_TURNS_MAX;
	for (size_t i = 0; i < count; i++)
		values[i] = quantity_of(&turns[i], q);
	return nth_value(values, count, (count - 1) * percent / 100);
}

static int64_t spread(const struct turn *turns, size_t count, enum quantity q)
{
	return quantile(turns, count, q, 75) - quantile(turns, count, q, 25);
}

static double cut(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* Sums of a least-squares line. */
struct line {
	double n, x, y, xx, xy, yy;
};

static struct line fit(const struct turn *turns, size_t count)
{
	int64_t service_low = quantile(turns, count, SERVICE, 5);
	int64_t service_high = quantile(turns, count, SERVICE, 95);
	int64_t interval_low = quantile(turns, count, INTERVAL, 5);
	int64_t interval_high = quantile(turns, count, INTERVAL, 95);
	struct line l = { 0 };

	for (size_t i = 0; i < count; i++) {
		/* from the low ends, so that the squares keep their digits */
		double x = cut(turns[i].service_ns, service_low, service_high) - service_low;
		double y = cut(turns[i].interval_ns, interval_low, interval_high) - interval_low;

		l.n++;
		l.x += x;
		l.y += y;
		l.xx += x * x;
		l.xy += x * y;
		l.yy += y * y;
	}
	return l;
}

/* True when the slope decides. */
static bool judge_by_slope(const struct turn *turns, size_t count, struct dependence *ret)
{
	struct line l = fit(turns, count);
	double xx = l.xx - l.x * l.x / l.n, xy = l.xy - l.x * l.y / l.n;
	double yy = l.yy - l.y * l.y / l.n;
	double slope, error, away;

	if (xx <= 0)
		return false;
	slope = xy / xx;
	error = sqrt(fmax(yy - slope * xy, 0) / (l.n - 2) / xx);
	away = fabs(slope - 0.5);
	if (error > ERROR_MAX || away < SURE_ERRORS * error)
		return false;
	ret->dependent = slope > 0.5;
	ret->confidence = 80 + (unsigned)(fmin(away, 0.5) * 38);
	return true;
}

static struct dependence judge_by_spread(const struct turn *turns, size_t count)
{
	double gap = spread(turns, count, GAP), interval = spread(turns, count, INTERVAL);

	if (interval < STEADIER * gap)
		return (struct dependence){ false, 75 };
	if (gap < STEADIER * interval)
		return (struct dependence){ true, 75 };
	return (struct dependence){ quantile(turns, count, GAP, 50) < PROMPT_NS, 50 };
}

struct dependence dependence_judge(const struct turn *turns, size_t count)
{
	struct dependence verdict;

	if (!count)
		return (struct dependence){ false, 0 };
	if (count < TURNS_FEW)
		return (struct dependence){ quantile(turns, count, GAP, 50) < PROMPT_NS, 30 };
	if (judge_by_slope(turns, count, &verdict))
		return verdict;
	return judge_by_spread(turns, count);
}
