/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_CALLED_H
#define GAIT_REPLAY_NODE_CALLED_H

#include "replay/node/plan.h"
#include "replay/node/queue.h"

/*
 * Planned requests of a worker that no client sends: the service of another node calls for
 * them, by their ids, in any order. The control thread puts, the worker takes.
 */
struct called {
	struct queue inbox;
	struct queued_request **buckets; /* the worker's; lists by their links */
	size_t mask, count;
};

int called_init(struct called *called);
void called_release(struct called *called);

void called_put(struct called *called, struct queued_request *q);

/* NULL: it is not planned, or has been called before. */
struct queued_request *called_take(struct called *called, uint64_t request_id);

#endif
