/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/dependence.h"

#include <stdlib.h>

#define TURNS_FEW 8	  /* fewer say little */
#define PROMPT_NS 2000000 /* a gap this short is an answer to the reply, if nothing else tells */
#define CONTRAST_NS 2000  /* below this, service times do not differ enough to tell */
#define STEADIER 0.7	  /* one spread clearly below the other */

static int by_service(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	return (x->service_ns > y->service_ns) - (x->service_ns < y->service_ns);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
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
	qsort(values, count, sizeof(values[0]), by_value);
	return values[(count - 1) * percent / 100];
}

static int64_t spread(const struct turn *turns, size_t count, enum quantity q)
{
	return quantile(turns, count, q, 75) - quantile(turns, count, q, 25);
}

static struct dependence judge_by_slope(const struct turn *turns, size_t count, int64_t contrast)
{
	size_t third = count / 3;
	int64_t moved = quantile(turns + count - third, third, INTERVAL, 50) -
			quantile(turns, third, INTERVAL, 50);
	double slope = (double)moved / contrast;
	double sure = slope > 0.5 ? slope - 0.5 : 0.5 - slope;

	if (sure > 0.5)
		sure = 0.5;
	return (struct dependence){ slope > 0.5, 50 + (unsigned)(sure * 90) };
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

struct dependence dependence_judge(struct turn *turns, size_t count)
{
	size_t third = count / 3;
	int64_t contrast;

	if (!count)
		return (struct dependence){ false, 0 };
	if (count < TURNS_FEW)
		return (struct dependence){ quantile(turns, count, GAP, 50) < PROMPT_NS, 30 };
	qsort(turns, count, sizeof(*turns), by_service);
	contrast = quantile(turns + count - third, third, SERVICE, 50) -
		   quantile(turns, third, SERVICE, 50);
	/* the contrast must stand out of what intervals do by themselves */
	if (contrast > CONTRAST_NS && contrast * 4 > spread(turns, count, INTERVAL))
		return judge_by_slope(turns, count, contrast);
	return judge_by_spread(turns, count);
}
