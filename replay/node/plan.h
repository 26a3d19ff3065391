/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_PLAN_H
#define GAIT_REPLAY_NODE_PLAN_H

#include "base/err.h"
#include "replay/node/stack.h"
#include "replay/node/storage.h"
#include "replay/plan/plan.h"

#include <stdint.h>

/*
 * The plan as a node holds it: requests on their way from the control thread,
 * which takes them from two pools of fixed size, to the worker that serves them
 * and gives them back. No memory is allocated in between.
 */
struct queued_op {
	struct link link;      /* first: the next op, or the next free one */
	struct target *target; /* NULL: none that is known */
	struct plan_op op;
};

struct queued_request {
	struct link link; /* first */
	struct plan_request request;
	struct queued_op *ops, *last_op; /* NULL: none */
};

/* Items of one size: one thread takes, any gives back. */
struct pool {
	char *items;
	size_t item_bytes, count;
	size_t fresh; /* from here on never taken */
	struct link *spare;
	struct stack returned;
};

struct node_plan {
	struct pool requests, ops;
	_Atomic uint64_t requests_done, ops_done; /* given back */
};

/* Memory is used as it is taken. */
int node_plan_init(struct node_plan *p, size_t requests, size_t ops, struct err *err);
void node_plan_release(struct node_plan *p);

/* A copy of the request and its ops; NULL when there is no room. */
struct queued_request *node_plan_take(struct node_plan *p, const struct plan_request *request,
				      const struct plan_op *ops, const struct storage *storage);

/* From any thread. */
void node_plan_give(struct node_plan *p, struct queued_request *q);

static inline struct queued_op *queued_op_next(const struct queued_op *op)
{
	return (struct queued_op *)op->link.next;
}

#endif
