/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_CALLED_H
#define GAIT_REPLAY_NODE_CALLED_H

#include "replay/node/plan.h"
#include "replay/node/queue.h"

/*
 * Planned requests of a worker that no client sends: the service of another node calls for
 * them, by their ids, in any order, or says that it never will. The control thread puts, the
 * worker takes.
 */
struct called {
	struct queue inbox;
	atomic_bool expects; /* some that nobody will call for: the worker is to look at what comes */
	/* the worker's */
	struct queued_request **buckets; /* lists by their links */
	size_t mask, count;
	size_t stand_ins; /* of these: for what is forgotten before it was planned */
	struct queued_request *unwanted;
};

int called_init(struct called *called);
void called_release(struct called *called);

/* True: the worker shall be woken, for called_unwanted(). */
bool called_put(struct called *called, struct queued_request *q);

/* NULL: it is not planned, or has been called before. */
struct queued_request *called_take(struct called *called, uint64_t request_id);

/*
 * Nobody will call for it, though its plan may be still to come. Then called_unwanted() has it,
 * until that is NULL.
 */
void called_forget(struct called *called, uint64_t request_id);
struct queued_request *called_unwanted(struct called *called);

#endif
