/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_EXEC_H
#define GAIT_REPLAY_NODE_EXEC_H

#include "replay/net/stamps.h"
#include "replay/net/wire.h"
#include "replay/node/demand.h"
#include "replay/node/meter.h"
#include "replay/node/spool.h"
#include "replay/node/stats.h"
#include "replay/node/storage.h"

/*
 * What a thread of the node needs to run ops, and the ops that are one call or one
 * stretch of work: compute, kernel, lock, memory, load, store, sync. (Replies and
 * timers belong to a connection: node/serve.h.)
 */
struct exec_setup {
	const struct thread_slot *slots; /* NULL: no probes */
	bool counts_itself;		 /* then: each thread its own time */
	struct storage *storage;
	struct spool *oprows;
	struct demand demand;
	const atomic_bool *encrypts; /* its data connections are: they have shaken hands themselves */
	struct node_stats *stats;    /* NULL: nobody asks for any */
};

struct executor {
	const struct exec_setup *setup;
	struct meter meter;
	struct own_slot own;  /* of the meter, without probes */
	struct stamps stamps; /* what goes into it beside */
	void *buffer;	      /* for loads */
	struct streamed streamed;
	struct spool_writer oprows;
	struct ledger ledger;
	uint64_t calls; /* the last call_id */
	struct stats stats;
	uint32_t stats_seen;
	uint64_t counted; /* the last call_id in them */
};

/* `index` tells executors apart. */
int executor_init(struct executor *x, const struct exec_setup *setup, uint32_t index);

/* By the thread that uses it, first of all: its time is metered from here on. */
void executor_begin(struct executor *x);

/* When no thread uses it any more. */
void executor_release(struct executor *x);

struct exec_result {
	int status;	      /* 0 or an errno */
	bool done;	      /* false: it was passed over, and counted */
	uint64_t bytes;	      /* moved */
	uint64_t reply_bytes; /* of a forward: that came back */
	int64_t offset;
	int64_t start_ns, end_ns;
	int64_t cpu_ns; /* 0: unknown */
};

/* Whether exec_run() knows this kind of op. */
bool exec_knows(uint32_t kind);

/*
 * Runs an op in a segment of its own: the meter's owner gets it, or, with
 * ret_shared, nobody yet (see meter_mark_shared()).
 */
struct exec_result exec_run(struct executor *x, const struct plan_op *op, struct target *target,
			    int64_t *ret_shared);

/* Adds what it has counted to the node's, if that was asked for. Now and then. */
void executor_tell_stats(struct executor *x);

/* Ids of calls, for exec_note(). */
uint64_t exec_next_call(struct executor *x);

/* A load past the cache: it waits for its device and for nothing else. */
bool exec_waits_for_device(const struct plan_op *op, const struct target *target);

/* Whether an op is kernel work by its amount, not a call on a file. */
bool exec_is_kernel_work(const struct plan_op *op);

/* A row for what was run, for one of the requests it was run for; NULL: for none. */
void exec_note(struct executor *x, uint64_t call_id, const struct plan_op *op,
	       const struct plan_request *owner, const struct exec_result *result);

/* exec_run() and exec_note() of an op nobody shares; its status. */
int exec_alone(struct executor *x, const struct plan_op *op, struct target *target,
	       const struct plan_request *owner);

#endif
