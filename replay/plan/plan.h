/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_PLAN_H
#define GAIT_REPLAY_PLAN_PLAN_H

#include "base/err.h"
#include "trace/trace.h"

#include <stdbool.h>

/*
 * From a trace to what client and nodes do: requests in order of arrival, each
 * with the ops its service performs. Pure: a trace in, arrays out.
 */
enum plan_op_mode {
	PLAN_INLINE, /* done when the request comes to it */
	PLAN_SHARED, /* done once for all requests that are at it: at the end of the loop's pass */
	PLAN_WAIT,   /* waits for the pass's shared ops if there are any; asks for none */
	PLAN_AFTER_REPLY, /* done when the reply has been sent */
};

struct plan_op {
	uint64_t op_id;
	uint32_t kind;	/* enum op_kind */
	uint32_t flags; /* enum op_flag */
	uint32_t mode;	/* enum plan_op_mode */
	/*
	 * Of the recorded op: with --batching recorded it is done when all are there. Of a forward:
	 * how many there are from here on that are under way together.
	 */
	uint32_t owners;
	uint64_t work;	/* compute: work units; forward: index of the PEER that is called */
	uint64_t bytes; /* live: this request's share */
	uint64_t reply_bytes;
	int64_t offset; /* forward: request_id of the called request; TRACE_NONE: not made */
	uint64_t target_id;
};

struct plan_request {
	uint64_t request_id;
	uint64_t connection_id;
	uint64_t class_id;
	uint64_t request_bytes;
	uint64_t response_bytes;
	int64_t due_ns; /* arrival since the start; the schedule of clock-driven requests */
	uint64_t after_request; /* 0: due by the clock; else due when that one's reply is in, plus think_ns */
	int64_t think_ns;
	uint64_t parent_id;	      /* whose service calls for it; 0: the client sends it */
	uint64_t root_id;	      /* what the client sent that it comes of; 0: that is itself */
	uint32_t first_op, ops_count; /* in plan.ops */
	uint32_t class;		      /* of class_id, where rows are added up: from 0 */
	uint32_t call;		      /* of a walk: replay/chain/calls.h */
};

static inline uint64_t plan_root_of(const struct plan_request *request)
{
	return request->root_id ? request->root_id : request->request_id;
}

struct plan_connection {
	uint64_t connection_id;
	uint64_t origin_id; /* of the trace; another one for a copy (plan/compose.h) */
	uint64_t service_id;
	uint32_t thread; /* index of the service's thread that served it */
	uint32_t copy;	 /* 0: as recorded; which of the copies it is of (plan/scale.h) */
	uint32_t dependent;
	int64_t first_due_ns, last_due_ns;
	uint64_t requests;
};

struct plan_background {
	int64_t due_ns;
	uint32_t thread;
	struct plan_op op;
};

struct plan {
	struct row_service service;
	struct row_target *targets;
	struct plan_connection *connections;
	struct plan_request *requests;	    /* by due_ns */
	struct plan_op *ops;		    /* copies of a request may have the same ones */
	struct plan_background *background; /* by due_ns */
	size_t targets_count, connections_count, requests_count, ops_count, background_count;
	uint32_t threads; /* of the service that serve requests */
	uint64_t most_id; /* of the plans that this one's requests call: its copies stay clear */
	int64_t duration_ns;
	struct ledger ledger; /* what the plan leaves out */
	const char *scratch; /* directory of the files that requests and ops are in; NULL: memory */
};

enum plan_batching { PLAN_BATCHING_LIVE, PLAN_BATCHING_RECORDED };
enum plan_arrivals { PLAN_ARRIVALS_AUTO, PLAN_ARRIVALS_CLOCK, PLAN_ARRIVALS_DEPENDENT };

struct plan_opts {
	enum plan_batching batching;
	enum plan_arrivals arrivals;
	/*
	 * Directory for files without names, which what is long goes to: the rows of the trace
	 * while the plan is made, and its requests and ops for as long as it is. It is not copied.
	 * NULL: they are in memory.
	 */
	const char *scratch;
};

/* Of the service that the world calls most; plan/set.h has those of several. */
int plan_build(struct trace *t, const struct plan_opts *opts, struct plan *ret_plan,
	       struct err *err);
void plan_release(struct plan *p);

/* Requests and connections in the order in which they are due, then of their ids. */
void plan_sort(struct plan *p);

/*
 * What was looked at of requests and ops may leave memory again: to be called now and then, from
 * any thread.
 */
void plan_forget(const struct plan *p);

#endif
