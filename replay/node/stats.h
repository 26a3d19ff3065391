/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_STATS_H
#define GAIT_REPLAY_NODE_STATS_H

#include "base/buf.h"
#include "base/hist.h"
#include "trace/schema.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * What a node has done so far: how many ops of each kind, and how long they took. Each thread
 * counts for itself, and adds to the node's when it is asked to: at SIGUSR1, and at its end.
 */
struct op_stats {
	uint64_t count, failed, bytes;
	struct hist elapsed; /* ns */
};

struct stats {
	uint64_t requests, datagrams_refused;
	struct op_stats ops[OP_KIND_COUNT];
};

void stats_init(struct stats *s);
void stats_release(struct stats *s);

/* A call, however many requests it was for. */
void stats_count(struct stats *s, uint32_t kind, bool failed, uint64_t bytes, int64_t elapsed_ns);

/* The node's. */
struct node_stats {
	pthread_mutex_t lock;
	struct stats all;
	_Atomic uint32_t asked; /* how often threads were asked for theirs */
};

void node_stats_init(struct node_stats *n);
void node_stats_release(struct node_stats *n);

/* A thread that has seen `*seen` of the questions: adds what it has counted since, if there is a new one. */
void node_stats_answer(struct node_stats *n, struct stats *own, uint32_t *seen);

/* At a thread's end. */
void node_stats_add(struct node_stats *n, struct stats *own);

/* Datagrams that came when nobody served, or for nobody. */
void node_stats_refused(struct node_stats *n, unsigned datagrams);

/* A table, as text. */
void node_stats_put(struct node_stats *n, struct buf *out);

#endif
