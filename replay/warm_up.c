/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/warm_up.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The last batches alone agree by chance. */
#define LEFT_MIN 5

static int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double batch_median(const double *values, size_t batch)
{
	double sorted[WARM_UP_BATCH];

	memcpy(sorted, values + batch * WARM_UP_BATCH, sizeof(sorted));
	qsort(sorted, WARM_UP_BATCH, sizeof(*sorted), compare_doubles);
	return sorted[WARM_UP_BATCH / 2];
}

/* Mean and squares of what is left, from the end on (Welford's update), so that it is one pass. */
size_t warm_up_mser5(const double *values, size_t count)
{
	size_t batches = count / WARM_UP_BATCH, best = 0;
	double mean = 0, squares = 0, least = INFINITY;

	for (size_t left = 1; left <= batches; left++) {
		double value = batch_median(values, batches - left), delta = value - mean, error;

		mean += delta / (double)left;
		squares += delta * (value - mean);
		error = squares / (double)left / (double)left;
		if (left < LEFT_MIN || error > least)
			continue;
		least = error;
		best = batches - left;
	}
	return best > batches / 2 ? WARM_UP_UNSTEADY : best * WARM_UP_BATCH;
}

size_t warm_up_of(const double *latencies, size_t count)
{
	return count < WARM_UP_REQUESTS_MIN ? WARM_UP_UNSTEADY : warm_up_mser5(latencies, count);
}
