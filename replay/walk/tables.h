/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_TABLES_H
#define GAIT_REPLAY_WALK_TABLES_H

#include "replay/walk/walk.h"
#include "trace/trace.h"

/*
 * What a walk's trace says whether or not it was run: who serves, what the requests are
 * like, what they use, and each op as it was drawn.
 */
#define WALK_CLASS 1   /* the first one of the requests of clients */
#define WALK_SERVICE 1 /* the node; those that it calls are the next */

/* Of a file that ops use: device i of a node is target 1 + i, as in what chain_draw() gives. */
struct walk_extents {
	uint64_t read_bytes[CHAIN_DEVICES_MAX]; /* up to there it was read from */
	bool used[CHAIN_DEVICES_MAX];
};

void walk_extents_add(struct walk_extents *extents, const struct row_op *op);

/* The target of calls to that peer of the chain. */
uint64_t walk_peer_target(uint32_t peer);

/* Classes, with the requests of each (WALK_CLASSES_MAX), and targets. */
int walk_tables_write(struct trace_writer *writer, const struct walk_opts *opts,
		      const uint64_t *requests, const struct walk_extents *extents,
		      struct err *err);

/* What is known of an op before it is done. */
struct row_op walk_op_row(const struct chain *chain, const struct plan_op *op);

/* What all traces of walks have: times are counted from anchor_ns, CLOCK_MONOTONIC. */
void walk_manifest_init(const struct walk_opts *opts, int64_t anchor_ns, struct manifest *m);

#endif
