/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_BACKGROUND_H
#define GAIT_REPLAY_NODE_BACKGROUND_H

#include "replay/node/exec.h"

#include <pthread.h>

/*
 * Ops that no request owns, run when they are due: those of a thread that serves
 * requests by its worker, in between; those of other threads by one thread each.
 */
struct background_op {
	int64_t due_ns; /* after the anchor */
	struct target *target;
	struct plan_op op;
};

struct background_queue {
	struct background_op *ops; /* by due_ns */
	size_t count, capacity, next;
};

/* In order of due_ns. -ENOMEM. */
int background_queue_add(struct background_queue *q, const struct plan_background *background,
			 struct target *target);
void background_queue_release(struct background_queue *q);

/* When the next one is due; INT64_MAX: none is left, or the anchor is 0 (no start yet). */
int64_t background_next_ns(const struct background_queue *q, int64_t anchor_ns);

/* Runs what is due at `now_ns`. */
void background_run_due(struct background_queue *q, struct executor *x, int64_t anchor_ns,
			int64_t now_ns);

/* A thread for a queue. */
struct background {
	struct executor exec;
	struct background_queue queue;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int64_t anchor_ns; /* 0: not started */
	bool stopping;
	int64_t cpu_ns; /* of the thread, once it has ended */
};

/* Makes the thread, which waits for its anchor. 0 or -errno. */
int background_start(struct background *b, const struct exec_setup *setup, uint32_t index);
void background_go(struct background *b, int64_t anchor_ns);

/* Ends and joins the thread; the executor stays until background_release(). */
void background_stop(struct background *b);
void background_release(struct background *b);

#endif
