/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_RUN_H
#define GAIT_REPLAY_WALK_RUN_H

#include "replay/net/wire.h"
#include "replay/node_clock.h"
#include "replay/walk/walk.h"
#include "trace/trace.h"

/*
 * Writes what came of a walk as a run. All rows go through files without a name in the
 * run's directory while it lasts, and are joined by the request's number afterwards: memory does
 * not grow with them.
 *
 * A request of a client has its number plus 1 as its id; those that nodes make of each other have
 * ids behind the last one of these, as many a request as its chain may need, used or not. What an op demands - the work of a compute, the time of
 * a sleep - is what was drawn for it; everything else of it is what was done.
 */
struct walk_run;

/* opts are lent until walk_run_free(); `nodes`: that will tell what they did. */
int walk_run_new(const struct walk_opts *opts, uint32_t nodes, struct walk_run **ret_run,
		 struct err *err);
void walk_run_free(struct walk_run *run);

/*
 * Of a long run (opts->keeps): takes all rows of the client, by one thread; and whose rows nodes are
 * to keep. Otherwise NULL, and walk_run_rows_fd() is where they go.
 */
struct walk_sieve *walk_run_sieve(const struct walk_run *run);

/* Where the client's rows (struct walk_row) are to be written to, one after another. */
int walk_run_rows_fd(const struct walk_run *run);

/* What a node tells: the argument of both, which go into a struct client_session_sink. */
struct walk_run_node {
	struct walk_run *run;
	uint32_t index; /* 0: the one that clients send to */
};

int walk_run_take_row(void *node, const struct wire_row *row, struct err *err);
int walk_run_take_total(void *node, const struct wire_total *total, struct err *err);
int walk_run_take_oprow(void *node, const struct wire_oprow *row, struct err *err);
int walk_run_take_stretch(void *node, const struct wire_stretch *stretch, struct err *err);

struct walk_run_clock {
	const struct wire_hello *hello;
	struct address address;
	struct wire_usage usage;
	struct node_clock clock;
};

struct walk_run_result {
	const struct walk_result *walk;
	const struct walk_run_clock *nodes;
	bool cut_short; /* interrupted, or a node went away */
};

/* Once all rows are there: what those of requests say of the clock of the node that got them. */
int walk_run_bind_clock(const struct walk_run *run, int64_t duration_ns, struct node_clock *clock,
			struct err *err);

/*
 * Writes all tables and the manifest, whose ledger gets the numbers of rows. Its times and
 * hosts are there already.
 */
int walk_run_finish(struct walk_run *run, const struct walk_run_result *result, struct manifest *m,
		    struct err *err);

#endif
