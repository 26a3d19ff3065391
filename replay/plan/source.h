/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_SOURCE_H
#define GAIT_REPLAY_PLAN_SOURCE_H

#include "replay/plan/chains.h"
#include "replay/plan/idmap.h"
#include "replay/plan/plan.h"
#include "replay/plan/set.h"

#include <stdbool.h>

/*
 * Inside the planner: the tables of a trace, and what is known of the plan so far.
 * Rows are known by 32-bit indices, which is their limit.
 */
#define PLAN_ROWS_MAX 4000000000 /* of a table, and of the ops of a plan */

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
	int64_t duration_ns;
};

/*
 * The tables go to files of that directory (plan_opts.scratch). 0, -E2BIG for a trace that is too
 * large, -EINVAL for one without demands, and others.
 */
int plan_source_read(struct plan_source *s, struct trace *t, const char *scratch, struct err *err);
void plan_source_release(struct plan_source *s);

/* What was touched of requests and ops need not stay mapped. */
void plan_source_forget(const struct plan_source *s);

/* What became of the requests that services of the plan call for (plan/calls.c). */
enum plan_call {
	PLAN_CALL_NONE,	   /* the client sends it */
	PLAN_CALL_MADE,	   /* an op of its caller does */
	PLAN_CALL_STUBBED, /* nobody does: its caller's op is not known, or cannot be played */
};

struct plan_calls {
	uint8_t *of_request; /* of each row of requests */
	/* 1 + a row of requests; 0: none */
	uint32_t *called; /* of each row of ops: the first that it calls for */
	uint32_t *next;	  /* of each row of requests: the next of the same call */
};

/*
 * Which requests each call of these services became. 0 or -ENOMEM; what is to be released with
 * plan_calls_release() holds nothing when there are none.
 */
int plan_calls_find(struct plan_calls *calls, const struct plan_source *s,
		    const struct plan_services *played);
void plan_calls_release(struct plan_calls *calls);

/* Of each request in plan->requests. */
struct plan_origin {
	const struct row_request *row;
	uint32_t class_index; /* dense, of the service's classes */
	uint32_t demand_ppm;
};

struct planner {
	struct plan_source source;
	const struct plan_opts *opts;
	const struct plan_calls *calls; /* NULL: none is made */
	struct plan *plan;
	struct plan_origin *origins;
	size_t classes;	       /* of the service, and one for requests without a class */
	struct idmap requests; /* request_id -> plan->requests */
	struct idmap threads;  /* thread_id -> thread; those that serve no request come last */
	struct idmap targets;  /* target_id -> plan->targets */
	bool defers_replies;   /* its loop answers at the end of a pass */
};

/* The plan of one service. `calls` may be NULL: then all its requests are sent by the client. */
int plan_build_service(const struct plan_source *source, const struct plan_opts *opts,
		       const struct row_service *service, const struct plan_calls *calls,
		       struct plan *ret_plan, struct err *err);

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
