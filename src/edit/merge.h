/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_EDIT_MERGE_H
#define GAIT_EDIT_MERGE_H

#include "base/clock_offset.h"
#include "trace/trace.h"

/*
 * Several captures into one trace whose requests know their parents; docs/EDIT.md has the method.
 * Rows are read twice and never held: in memory are, for the time of the merge, 120 bytes for each
 * outgoing connection and for each one that mirrors it, 48 for each call on those and for each
 * request that they became, 24 for each request with a parent.
 */
#define MERGE_INPUTS_MAX 64

struct merge_opts {
	const char *const *inputs;
	size_t inputs_count; /* 1..MERGE_INPUTS_MAX; one: joins its services with each other */
	const char *output;
	bool replace;		/* an older trace of that name */
	int64_t clock_slack_ns; /* wall clocks of hosts are at most this far apart */
};

/* How a host's clock came to that of host 1. */
enum merge_clock_how {
	MERGE_CLOCK_CALLS,   /* by its calls from and to `via` */
	MERGE_CLOCK_WALL,    /* no calls: by the wall clocks of both hosts, not bounded */
	MERGE_CLOCK_NOTHING, /* not even those: the traces are taken to begin together */
};

struct merge_clock {
	uint64_t host_id, via; /* hosts of the merged trace */
	enum merge_clock_how how;
	enum clock_fit fit;	/* the rest: of MERGE_CLOCK_CALLS */
	struct clock_line line; /* A: via, B: host_id; CLOCK_MONOTONIC */
	int64_t wall_ahead_ns;	/* host_id's wall clock before via's; TRACE_NONE: unknown */
	uint64_t calls;		/* that bound it */
	uint64_t against;	/* that contradict those, and were left out */
};

struct merge_result {
	struct manifest manifest;
	uint64_t connections,
		connections_called; /* outgoing ones, those whose other end is here too */
	size_t clocks_count;	    /* of hosts 2, 3... in this order */
	struct merge_clock clocks[MANIFEST_HOSTS_MAX];
	bool cut[MERGE_INPUTS_MAX]; /* inputs that have no manifest */
};

/*
 * 0, or a sentence. -EINVAL: these inputs do not go together. Failures while writing leave tables
 * as *.partial, like those of a capture.
 */
int merge_traces(const struct merge_opts *opts, struct merge_result *ret_result, struct err *err);

#endif
