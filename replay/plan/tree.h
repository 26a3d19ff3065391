/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_TREE_H
#define GAIT_REPLAY_PLAN_TREE_H

#include "replay/plan/idmap.h"
#include "replay/plan/set.h"

/*
 * Inside the planner: the requests of several plans, which call each other. They are numbered in
 * a row, plan by plan.
 */
struct plan_tree {
	struct plan_set *set;
	size_t first[PLAN_SERVICES_MAX + 1]; /* numbers: where each plan begins */
	struct idmap requests;		     /* request_id -> number */
};

/* 0 or -ENOMEM. It holds while no plan gets other requests. */
int plan_tree_init(struct plan_tree *tree, struct plan_set *set);
void plan_tree_release(struct plan_tree *tree);

size_t plan_tree_count(const struct plan_tree *tree);

/* Whose the request is: an index of the set's plans. */
size_t plan_tree_plan(const struct plan_tree *tree, uint32_t number);
struct plan_request *plan_tree_request(const struct plan_tree *tree, uint32_t number);

/* The request that an op calls for; IDMAP_NONE: it is no call, or one to nobody. */
uint32_t plan_tree_called(const struct plan_tree *tree, const struct plan_op *op);

/*
 * Each call gets the place where it is to go, and what nobody calls for any more is dropped, and
 * counted. What was linked before is linked anew. 0 or -ENOMEM.
 */
int plan_link(struct plan_set *set);

/*
 * The requests that the client sends are others than those that the plans have: copies of them,
 * with ids of their own (plan/compose.h), or fewer. Makes the plans follow: of each that is sent
 * they get a copy, and of all that it calls for. `span` is that of the client's ids before.
 * -E2BIG with a sentence when it is more than a node takes or memory shall hold; then, or without
 * memory, the set is only to be released.
 */
int plan_follow(struct plan_set *set, uint64_t span, enum plan_batching batching, struct err *err);

#endif
