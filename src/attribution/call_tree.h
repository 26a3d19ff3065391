/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_ATTRIBUTION_CALL_TREE_H
#define GAIT_ATTRIBUTION_CALL_TREE_H

#include "base/clock_offset.h"
#include "trace/manifest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Requests that cause each other, over services and hosts: of each, how much of its time lies on
 * the critical path of the request at the root of its tree (call_split.h, down the tree). The time
 * of a root is the sum, over its tree, of what each request spent itself of its part of the path,
 * the wires, and what stays a call - exactly, by construction.
 *
 * Requests and calls are added in any order, then call_tree_close() does the rest. In memory are
 * 104 bytes for each request and 32 for each call; rows of the breakdown are not held: each adds
 * its row times path_ns / total_ns (report/tree.h).
 */
#define CALL_TREE_REQUESTS_MAX (1U << 22)
#define CALL_TREE_CALLS_MAX (1U << 23)
#define CALL_TREE_DEPTH_MAX 64

#define CALL_TREE_NONE UINT32_MAX

struct tree_request {
	uint64_t request_id, parent_id, service_id;
	uint32_t clock;		    /* requests and calls of equal ones are on one clock */
	int64_t arrival_ns, end_ns; /* by it; TRACE_NONE: unknown */
	int64_t total_ns, call_ns;  /* of its row in latency.csv; 0: it has none */
	/* set by call_tree_close() */
	uint32_t parent, root; /* indices; CALL_TREE_NONE: has none, is on no path */
	int64_t path_ns;       /* of total_ns, on the path */
	int64_t wire_ns;       /* to it and back, on the path */
	int64_t left_ns;       /* of path_ns: still a call */
	uint32_t place;	       /* for the caller's use */
};

struct tree_call {
	uint64_t request_id, service_id; /* who calls whom; service 0: unknown */
	int64_t start_ns, end_ns;	 /* by the caller's clock */
};

/* What messages between two clocks say of them: offset is a's before b's. */
struct tree_clocks {
	uint32_t a, b; /* a < b */
	struct clock_bounds bounds;
	enum clock_fit fit;
	struct clock_line line;
	bool good; /* used; else round trips alone are */
};

struct call_tree {
	struct tree_request *requests; /* closed: by request_id */
	size_t requests_count, requests_room;
	struct tree_call *calls; /* closed: by request_id */
	size_t calls_count, calls_room;
	uint32_t *children, *first_child; /* indices by parent, and where each one's begin */
	struct tree_clocks *clocks;	  /* pairs of different clocks that call each other */
	size_t clocks_count;
	/* of the requests on a path */
	uint64_t waits;		 /* forward operations */
	uint64_t waits_replaced; /* of them, with a callee on the path */
	uint64_t beside;	 /* callees that did not count: overlapped, or too late */
};

void call_tree_init(struct call_tree *tree);
/* Takes a zero-initialised one. */
void call_tree_release(struct call_tree *tree);

/* 0, -ENOMEM, or -ENOSPC beyond the limits above. Only what comes before the "set by" is read. */
int call_tree_add_request(struct call_tree *tree, const struct tree_request *request);
int call_tree_add_call(struct call_tree *tree, const struct tree_call *call);

/* By id, between all adds and call_tree_close(): to fill in total_ns and call_ns. NULL: not there. */
void call_tree_sort(struct call_tree *tree);
struct tree_request *call_tree_find(const struct call_tree *tree, uint64_t request_id);

/* Calls that a request made, ret_count of them. Sorted only. */
const struct tree_call *call_tree_calls(const struct call_tree *tree, uint64_t request_id,
					size_t *ret_count);

/* Clocks from messages, then paths from all roots down. After call_tree_sort(). 0 or -ENOMEM. */
int call_tree_close(struct call_tree *tree);

#endif
