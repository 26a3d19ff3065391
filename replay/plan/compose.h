/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_COMPOSE_H
#define GAIT_REPLAY_PLAN_COMPOSE_H

#include "replay/plan/chains.h"
#include "replay/plan/plan.h"

/*
 * A plan out of pieces of another: what more load, less load and load again have in
 * common. Pure.
 *
 * Whatever is of one instance belongs together: it waits for replies of its own
 * instance, and with recorded batching shares operations within it. Instance 0 keeps
 * the ids of the trace; the others' are theirs plus instance * plan_id_span(), a power
 * of ten, so that 2000017 is a copy of 17.
 */
struct plan_part {
	uint32_t connection; /* of the plan it is taken from */
	uint32_t instance;
	uint32_t copy;		    /* of the load: as plan_connection's, which it is added to */
	int64_t from_ns, before_ns; /* its requests that were due then */
	int64_t shift_ns;	    /* they are due so much later */
};

/*
 * Replaces *plan's requests, connections and ops by those of the parts, in order of
 * time; a request that waited for one that is no longer there goes by the clock. A
 * part without requests is none. Targets, background and duration stay. -E2BIG with a
 * sentence when it is more than a node takes or a replay can count; *plan is as it was
 * then.
 */
int plan_compose(struct plan *plan, const struct plan_chains *chains, const struct plan_part *parts,
		 size_t count, enum plan_batching batching, struct err *err);

/* The largest id of a request, connection or op. */
uint64_t plan_most_id(const struct plan *plan);

/* A power of ten above that, and above plan->most_id. 0: there is none. */
uint64_t plan_id_span(const struct plan *plan);

/*
 * The ops of a request of `from`, which are appended to those of `to`, with as much added to their
 * ids, and to those of what they call for; r->first_op is there then. There is room for them.
 */
void plan_copy_ops(const struct plan *from, uint64_t offset, struct plan *to,
		   struct plan_request *r);

/*
 * Recorded batching: a group is complete when those of its owners have come that there are now.
 * To be called when requests have gone, or come, each with ops of its own. 0 or -ENOMEM.
 */
int plan_count_owners(struct plan *plan);

#endif
