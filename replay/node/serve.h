/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_SERVE_H
#define GAIT_REPLAY_NODE_SERVE_H

#include "replay/node/conn.h"
#include "replay/node/io.h"

/*
 * A request being served: it goes from op to op, and waits where an op makes it
 * wait, without holding up its thread.
 */
enum active_state {
	ACTIVE_RUNS,
	ACTIVE_PASS,  /* at a shared op, until the end of the pass */
	ACTIVE_GROUP, /* at a shared op, until all its recorded owners are there */
	ACTIVE_TURN,  /* would reply, but one before it has not */
	ACTIVE_SEND,  /* the socket is full */
	ACTIVE_SLEEP,
	ACTIVE_CALL, /* waits for replies of other nodes */
	ACTIVE_IO,   /* others do its load, store or sync */
};

struct active {
	struct active *next;   /* in the list it waits in */
	struct active *behind; /* on its connection */
	struct conn *conn;
	struct queued_request *plan;
	struct queued_op *op; /* it stands at; NULL: at the end */
	enum active_state state;
	struct link resumed; /* its group ran, with row.status from it: in its worker's list */
	bool answered;
	uint64_t replied_bytes;	  /* of the response */
	uint64_t held_bytes;	  /* of these: have not left for the caller yet */
	bool told;		  /* the caller has all of it */
	struct exec_result reply; /* of the reply op it stands at */
	int64_t parked_queue_ns;  /* app.queue of the thread when it had to wait */
	int64_t wake_ns;	  /* sleep: when it is over */
	struct wire_row row;
	struct account account;
	struct route route; /* for its timeline, if it gets one */
	struct io_job io;
	struct wire_message message; /* of a walk, a call or a datagram: what its reply repeats */
};

/* Memory for requests being served: a worker's own. */
struct active_pool {
	struct active *spare;
	struct active_slab *slabs;
};
void active_pool_release(struct active_pool *p);

/* Those that sleep, the earliest first. */
struct sleepers {
	struct active **heap;
	size_t count, capacity;
};

/*
 * The node's own user CPU a request, which compute ops are shortened by, as the
 * recorded ones contain the service's.
 */
struct own_cost {
	int64_t mean_ns;
	int64_t self_ns; /* of the meter, when `served` was last 0 */
	uint32_t served;
};

/* The first byte was read: its account begins. NULL without memory. */
struct active *serve_begin(struct worker *w, struct conn *c, struct queued_request *q);

/* It will never be complete. */
void serve_abandon(struct worker *w, struct active *a);

/* All bytes are there. */
void serve_ready(struct worker *w, struct active *a);

/* Runs ops until it must wait or is over (and freed, taken off its connection). */
void serve_run(struct worker *w, struct active *a);

/* Done with the op it stands at. */
void serve_next_op(struct active *a);
void serve_failed(struct active *a, int status);

/*
 * Its calls are over, with a result for each op from the one where it stands. One whose call
 * failed answers at once, and says so, in a walk; in a replay it goes on, as after any op that failed.
 */
void serve_called(struct worker *w, struct active *a, struct exec_result *results, size_t count);

/* A send has begun at start_ns and ended now; its stamps, if it has any, are a's. */
void serve_note_sent(struct worker *w, struct active *a, uint64_t tx_sequence, int64_t start_ns);

/* There is room in the socket again. */
void serve_resume_send(struct worker *w, struct active *a);

/* Runs those whose sleep is over. */
void serve_wake(struct worker *w);

/* What others did for a request is done; or the ring has done its call. */
void serve_io_done(struct worker *w, struct io_job *job);
void serve_io_call_done(struct worker *w, struct io_job *job);

/* When the next sleep is over; INT64_MAX: nobody sleeps. */
int64_t serve_next_wake_ns(const struct worker *w);

#endif
