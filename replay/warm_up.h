/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WARM_UP_H
#define GAIT_REPLAY_WARM_UP_H

#include <stddef.h>
#include <stdint.h>

/*
 * How much of the beginning of a run is not the steady state: caches are cold,
 * connections new, queues empty. Pure.
 */

/*
 * MSER-5 (White, Cobb and Spratt 2000): of the batches of 5 values, leave out as many
 * at the beginning as makes the standard error of the mean of the rest least. Batches
 * count by their median, not by their mean as there: one slow request would look like
 * a warm-up up to it. Returns how many values are left out. When it would be more than
 * half, they had not become steady: then WARM_UP_UNSTEADY.
 */
#define WARM_UP_BATCH 5
#define WARM_UP_UNSTEADY SIZE_MAX
size_t warm_up_mser5(const double *values, size_t count);

/* The same of latencies: of fewer than these nothing can be said. */
#define WARM_UP_REQUESTS_MIN 100
size_t warm_up_of(const double *latencies, size_t count);

#endif
