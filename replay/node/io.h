/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_IO_H
#define GAIT_REPLAY_NODE_IO_H

#include "replay/node/exec.h"

#include <pthread.h>

/*
 * Loads, stores and syncs that a worker does not do itself, so that it serves others
 * meanwhile: threads of each device, or a ring of io_uring for each worker
 * (node/uring.h); and the periodic syncs of devices that have them, in any mode.
 * What is done comes back to the worker by its mail.
 */
struct active;
struct worker;

enum io_mode { IO_WORKER, IO_THREADS, IO_URING, IO_MODE_COUNT };

#define IO_THREADS_DEFAULT 4 /* of a device */
#define IO_THREADS_MAX 64
#define IO_DEPTH_DEFAULT 64 /* calls under way of a worker; more wait for their turn */
#define IO_DEPTH_MAX 4096

struct io_opts {
	enum io_mode mode;
	uint32_t count; /* threads of a device, or depth */
};

/* "worker", "threads[:N]", "uring[:DEPTH]". -EINVAL or -ERANGE with a sentence. */
int io_opts_parse(const char *text, struct io_opts *ret_opts, struct err *err);

/* An op under way. It is the worker's, but for the time between start and return. */
struct io_job {
	struct link link; /* first: in a queue, or on the way back */
	struct worker *worker;
	struct active *active;
	const struct plan_op *op;
	struct target *target;
	struct exec_result result;
	int64_t left_ns;	  /* its worker let it go */
	int64_t begun_ns;	  /* somebody took it up; 0: unknown */
	int64_t delta[TS_COUNT];  /* what it waited for since, as far as it is known */
	struct storage_call call; /* of io_uring */
	uint64_t moved;
};

struct io_pool;

/* Of a service: the threads of each device; those of all files of a trace are the first. */
struct io {
	struct io_opts opts;
	const struct exec_setup *exec;
	struct io_pool *pools[DEVICES_MAX + 1], *syncers[DEVICES_MAX + 1];
	pthread_mutex_t lock; /* of their making */
	struct ledger ledger; /* of their threads, once stopped */
	int64_t user_ns, kernel_ns;
};

void io_init(struct io *io, const struct io_opts *opts, const struct exec_setup *exec);

/* No worker runs any more: ends the threads; what they had not begun is dropped. */
void io_stop(struct io *io);
void io_release(struct io *io);

/*
 * Gives a job to a thread of its device. From any worker. 0, or -errno when there is
 * none to be had: then the worker does it itself.
 */
int io_start(struct io *io, struct io_job *job);

/* To the next periodic sync of its device; from whoever has done the rest of it. */
int io_await_sync(struct io *io, struct io_job *job);

#endif
