/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WARM_UP_H
#define GAIT_REPLAY_WARM_UP_H

#include "replay/client_fact.h"

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

/*
 * The same of latencies in the order of sending, answered ones: *ret_from_ns is when
 * the first request that counts was intended, 0: all count. 0, 1: unsteady, or fewer than
 * WARM_UP_REQUESTS_MIN; or -ENOMEM.
 */
#define WARM_UP_REQUESTS_MIN 100
int warm_up_find(const struct client_fact *facts, const uint32_t *sent, size_t count,
		 int64_t *ret_from_ns);

#endif
