/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_OWNERS_H
#define GAIT_REPLAY_PLAN_OWNERS_H

#include "replay/plan/source.h"

#include <stdbool.h>

/*
 * Inside the planner: which requests an op belongs to, and what each of them does
 * of it.
 */
/* A request's part in an op. */
struct owner {
	uint32_t request, op; /* indices of plan->requests and source.ops */
	uint32_t mode;	      /* enum plan_op_mode */
	uint32_t group;	      /* doers of the op; 0: this one is none */
	uint64_t work, bytes;
	int64_t offset;
};

/* All owners, by op: those of op i are at[first[i]] up to at[first[i + 1]], its doers in front. */
struct owners {
	struct owner *at;
	uint32_t *first;
	size_t count;
	size_t most; /* owners of one op */
};

/* Only the requests and ops of the planner are needed. 0, -ENOMEM, or -E2BIG. */
int owners_init(struct owners *o, const struct planner *p, struct err *err);
void owners_release(struct owners *o);

/*
 * The doers of an op: those of its owners whose reply waited for it. If all had
 * been answered by then, all do their part after their reply; an op that stays
 * whole (recorded batching) is done by the first.
 */
size_t owners_of(const struct owners *o, size_t op, struct owner **ret_doers);

/* The op was done when the owner's reply had been sent. */
bool owner_is_after_reply(const struct planner *p, const struct owner *owner);

/* Fills in mode, work, bytes and offset of all doers (plan/parts.c). 0 or -ENOMEM. */
int owners_give_parts(struct owners *o, const struct planner *p);

/*
 * What a compute op demands, in work units: the manifest's calibration stands in
 * where the op has none, and without either it is 0. Of a sleep: ns.
 */
uint64_t plan_work_of(const struct planner *p, const struct row_op *op);

#endif
