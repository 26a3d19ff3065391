/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_SOURCE_H
#define GAIT_REPLAY_PLAN_SOURCE_H

#include "replay/idmap.h"
#include "replay/plan.h"
#include "replay/plan_chains.h"

#include <stdbool.h>

/*
 * Inside the planner: the tables of a trace in memory, and what is known of the
 * plan so far. The whole trace is held, so its size has a limit.
 */
#define PLAN_ROWS_MAX 20000000 /* of all tables */

struct plan_source {
	struct row_service *services;
	struct row_connection *connections;
	struct row_class *classes;
	struct row_request *requests;
	struct row_op *ops;
	struct row_op_request *op_requests;
	struct row_target *targets;
	size_t services_count, connections_count, classes_count, requests_count, ops_count,
		op_requests_count, targets_count;
	uint64_t work_per_ms; /* of the machine of the capture */
};

/* Of each request in plan->requests. */
struct plan_origin {
	const struct row_request *row;
	uint32_t class_index; /* dense, of the service's classes */
	uint32_t demand_ppm;
};

struct planner {
	struct plan_source source;
	const struct plan_opts *opts;
	struct plan *plan;
	struct plan_origin *origins;
	size_t classes;	       /* of the service, and one for requests without a class */
	struct idmap requests; /* request_id -> plan->requests */
	struct idmap threads;  /* thread_id -> thread; those that serve no request come last */
	struct idmap targets;  /* target_id -> plan->targets */
	bool defers_replies;   /* its loop answers at the end of a pass */
};

/* Sets defers_replies, from when requests were read and answered. 0 or -ENOMEM. */
int plan_find_structure(struct planner *p, struct err *err);

/* Connections that came because another ended: their first requests wait. 0 or -ENOMEM. */
int plan_find_successions(struct planner *p, const struct plan_chains *chains);

/*
 * The ops of every request, in recorded order, and the background ops. -ENOMEM,
 * or -E2BIG when there are more than a node takes.
 */
int plan_ops_build(struct planner *p, struct err *err);

#endif
