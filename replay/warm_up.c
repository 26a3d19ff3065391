/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/warm_up.h"

#include <errno.h>
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

int warm_up_find(const struct client_fact *facts, const uint32_t *sent, size_t count,
		 int64_t *ret_from_ns)
{
	double *values = malloc((count + 1) * sizeof(*values));
	uint32_t *requests = malloc((count + 1) * sizeof(*requests));
	size_t answered = 0, cut = WARM_UP_UNSTEADY;

	for (size_t i = 0; i < count && values && requests; i++) {
		const struct client_fact *fact = &facts[sent[i]];

		if (!fact->received_ns)
			continue;
		values[answered] = (double)(fact->received_ns - fact->intended_ns);
		requests[answered++] = sent[i];
	}
	if (answered >= WARM_UP_REQUESTS_MIN)
		cut = warm_up_mser5(values, answered);
	*ret_from_ns = cut && cut < answered ? facts[requests[cut]].intended_ns : 0;
	free(requests);
	free(values);
	if (!values || !requests)
		return -ENOMEM;
	return cut == WARM_UP_UNSTEADY;
}
