/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_RUN_H
#define GAIT_REPLAY_RUN_H

#include "base/err.h"
#include "replay/client/rows.h"
#include "replay/net/wire.h"
#include "replay/node_clock.h"
#include "replay/plan/set.h"
#include "replay/run_totals.h"
#include "trace/trace.h"

/*
 * Writes RUN.gait: joins what the client knows of each request with what the node
 * tells of it. The node's rows are spooled to unlinked files in the run's directory
 * as they come, so memory does not grow with them.
 *
 * services, classes and targets are those of the trace that was replayed, connections
 * those of the plans and those that had no requests; requests come in the order of
 * sending, then those that the client never sent, then those that nodes called for. Of a long run
 * only a sample of them has rows, with all that comes of it, and those that were named.
 */
struct run;

struct run_keep {
	uint64_t share;		   /* replay/keep.h; the seed is KEEP_SEED */
	struct run_totals *totals; /* lent */
	uint32_t classes;	   /* in them */
};

/* `flags` are of trace_writer_new(); what is given is lent until run_free(). keep NULL: all rows. */
int run_new(const char *path, unsigned flags, const struct plan_set *set, struct trace *origin,
	    const struct run_keep *keep, struct run **ret_run, struct err *err);
void run_free(struct run *run);

/* Requests of the client that have rows although they are not in the sample. */
void run_name(struct run *run, const struct wire_slow *slow);

/* Rows of the node of set->plans[service]: the argument of both, for a struct client_session_sink. */
struct run_node {
	struct run *run;
	uint32_t service;
};

int run_take_row(void *node, const struct wire_row *row, struct err *err);
int run_take_oprow(void *node, const struct wire_oprow *row, struct err *err);
int run_take_total(void *node, const struct wire_total *total, struct err *err);
int run_take_stretch(void *node, const struct wire_stretch *stretch, struct err *err);

/* When due_ns was 0 at a node, by its clock, and what is known of that. */
struct run_clock {
	struct node_clock clock;
	uint64_t host_id;
	int64_t client_anchor_ns; /* the same instant by the client's */
};

struct run_result {
	const struct client_rows_set *rows; /* finished; of set->client.requests */
	int64_t client_anchor_ns;	    /* when due_ns was 0 */
	const struct run_clock *clocks;	    /* as set->plans */
};

/*
 * Of nodes on other hosts: what their rows and the client's say of their clocks, together (replay/node_clock.h).
 * `clocks` are the result's.
 */
int run_bind_clocks(const struct run *run, const struct run_result *result, int64_t duration_ns,
		    struct run_clock *clocks, struct err *err);

/* Writes all tables and the manifest, whose ledger gets the numbers of rows. */
int run_finish(struct run *run, const struct run_result *result, struct manifest *m,
	       struct err *err);

/* "ENOSPC", or "failed" */
const char *run_errno_name(uint32_t status);

#endif
