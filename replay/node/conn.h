/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_CONN_H
#define GAIT_REPLAY_NODE_CONN_H

#include "replay/net/channel.h"
#include "replay/node/meter.h"
#include "replay/node/plan.h"
#include "replay/node/queue.h"

#include <stdbool.h>

struct active;
struct datagram_peer;
struct worker;

/* What an event points at: the first member of whatever waits for events. */
struct source {
	enum source_kind {
		SOURCE_LISTENER,
		SOURCE_MAIL,
		SOURCE_NEWCOMER,
		SOURCE_CONN,
		SOURCE_WALK,
		SOURCE_OFFERS,
		SOURCE_RING,
	} kind;
	int fd; /* -1: none */
};

/* What the last receive told of its messages. */
struct arrival {
	int64_t first_ns;  /* of the next message in it; 0: unknown */
	int64_t latest_ns; /* of any further ones */
	int64_t read_ns;
	bool split;	 /* `unread` and `own` are those of the next message */
	bool counted;	 /* by what the thread's counters were at its arrival */
	uint64_t behind; /* bytes that came behind the next message: a socket's stamp is theirs */
	uint64_t sequence; /* of the slot whose stamps are this receive's; 0: no bytes can be told apart */
	int64_t unread[TS_COUNT], own[TS_COUNT];
	struct timeline timeline; /* of the thread, when it had read it */
};

/*
 * A connection of the plan. The control thread makes it and puts its requests into
 * `inbox`; all else belongs to one worker.
 *
 * Messages carry no header: bytes are counted off against the plan. Requests are
 * answered in order; while the first ones wait for a shared op, those behind them
 * may run up to their reply.
 */
struct conn {
	struct source source; /* first; its fd is the channel's */
	struct channel channel;
	uint64_t connection_id;
	struct worker *worker;
	bool claimed;		    /* a socket has opened it; under the session's lock */
	bool walks;		    /* it is a struct walk_conn */
	struct datagram_peer *peer; /* it has no socket: datagrams come from there; else NULL */

	/* between the control thread and the worker */
	struct queue inbox; /* of queued_request */
	atomic_bool hungry; /* waits for its plan */
	atomic_bool closed; /* serves nothing any more */
	atomic_bool mailed; /* is in the worker's mail */
	struct link mail;

	/* the worker's */
	uint64_t received_bytes;     /* not yet counted off */
	struct active *incoming;     /* the request they belong to, if it has begun */
	struct active *first, *last; /* received in full, not yet done with */
	struct active *sending;	     /* waits for room in the socket */
	uint32_t blocked;	     /* requests that nothing may overtake: sending, sleeping */
	uint32_t events;	     /* what is waited for; 0: not registered */
	bool eof;		     /* the client sends nothing more */
	struct arrival arrival;
};

struct conn *conn_new(uint64_t connection_id, struct worker *worker);
void conn_free(struct conn *c);

/* The control thread: more to do. */
void conn_put(struct conn *c, struct queued_request *q);

/* Any thread: the worker shall look at it. */
void conn_mail(struct conn *c);

/* The worker, from here on. */

/* The next request of the plan; NULL: none yet. */
struct queued_request *conn_take_planned(struct conn *c);

/* A request that has come in full is the last one of the connection; it is done with. */
void conn_add(struct conn *c, struct active *a);
void conn_remove(struct conn *c, struct active *a);

/* Gets the next request of its plan into the cache. */
static inline void conn_fetch_ahead(const struct conn *c)
{
	__builtin_prefetch(c->inbox.head);
	__builtin_prefetch((const char *)c->inbox.head + 64);
}

/*
 * Around a receive that is begun for `account` (NULL: for none yet). The end says whether the
 * slot's stamps are of it; conn_note_receive() then tells the connection that it was for.
 */
struct receipt {
	uint64_t sequence; /* of the slot, before */
	int64_t read_ns;
	bool stamped;
	int64_t arrival_ns; /* where the slot has none: by the socket's own stamp; 0: unknown */
};
struct receipt receipt_begin(struct worker *w, struct account *account);
void receipt_end(struct worker *w, struct receipt *receipt, ssize_t received);
void conn_note_receive(struct worker *w, struct conn *c, const struct receipt *receipt,
		       ssize_t received);

/* One recv() into w->received, its arrival noted; as recv() returns. */
ssize_t conn_receive(struct worker *w, struct conn *c);

/*
 * The next message is a further one of the same receive: it came with the segment that its first byte is
 * in, arrival.behind from the end; where that is not known, with the latest at the latest.
 */
void conn_arrive_next(struct worker *w, struct conn *c);

/* Looks at a connection that came by mail: a socket, a plan. */
void conn_attend(struct worker *w, struct conn *c);

/* An event of its socket. */
void conn_event(struct worker *w, struct conn *c, uint32_t events);

/* Serves what can be served. To be called when anything has changed; may close. */
void conn_advance(struct worker *w, struct conn *c);

/* The socket is of no use: what runs goes on without it. */
void conn_break(struct worker *w, struct conn *c);

#endif
