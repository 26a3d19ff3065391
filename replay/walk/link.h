/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_LINK_H
#define GAIT_REPLAY_WALK_LINK_H

#include "base/hist.h"
#include "base/spec.h"
#include "replay/net/address.h"
#include "replay/net/channel.h"
#include "replay/net/wire.h"
#include "replay/timers.h"
#include "replay/walk/rows.h"
#include "replay/walk/schedule.h"

#include <stdatomic.h>

/*
 * A connection of a walk, as its client sees it: which request is due next, which are under way,
 * and what has come back. Everything that is due when it sends goes out in one call, and a request
 * is as late as that call. Replies may come in any order. All times are ns since the anchor.
 */

/* What all connections of a walk have in common. */
struct walk_plan {
	struct endpoint endpoint; /* where the node takes data connections */
	enum transport transport;
	struct tls_context *tls; /* NULL: they are not encrypted */
	bool bound;
	struct endpoint own;		  /* our end of the connections, if bound; port 0: any */
	uint8_t secret[WIRE_TOKEN_BYTES]; /* of the session */
	struct walk_schedule schedule;
	int64_t timeout_ns; /* of a request, from when it was due */
	int64_t spin_ns;    /* before a request is due; 0: never */
	bool wait_spin;	    /* never sleeps */
	bool no_delay;
	bool session_rows; /* rows are handed over when a session ends, not when they are many */
	const struct thread_slot *slots; /* of the client's probe; NULL: there is none */
	bool stamps; /* then: those of the sockets (net/stamps.h), where rows are kept */
	uint32_t connect_retries;
	int64_t connect_retry_ns;
};

/* Of one of the walk's threads. */
struct walk_count {
	uint64_t answered, failed;
};

struct walk_tally {
	uint64_t sent, outcomes[WALK_OUTCOMES];
	uint64_t bytes_out, bytes_in;
	uint64_t raised;       /* requests that were smaller than a header */
	uint64_t replies_late; /* to requests that were over */
	uint64_t rows_waited;
	uint64_t rings;	     /* requests that the rings of all its connections have room for */
	int64_t ended_ns;    /* when the last of its connections was through */
	struct hist latency; /* ns from due to received, of those that were answered */
	struct hist service; /* from sent to received */
	struct hist late;    /* from due to sent */
	struct hist connect; /* ns of connect() */
};

struct walk_request {
	int64_t due_ns, sent_ns, received_ns;
	uint32_t bytes, reply_bytes;
	uint8_t outcome; /* enum walk_outcome */
	bool settled;
};

#define WALK_BUFFER_BYTES 65536

struct walk_link {
	const struct walk_plan *plan;
	struct walk_tally *tally;
	struct walk_count count;
	struct walk_writer *writer;
	int64_t anchor_ns;
	struct channel channel;
	struct wire_preface preface; /* of the connection */
	uint32_t thread;
	uint32_t retries_left;
	uint64_t session;
	uint64_t next, end;  /* request to be sent next, beyond the session's last; of its thread */
	uint64_t oldest;     /* not yet settled */
	struct timer timer;  /* when it has something to do; the sender's */
	int64_t due_ns;	     /* of the next; or of the next attempt to connect */
	double due_fraction; /* of a ns, of due_ns */
	int64_t connecting_ns;	   /* since when it is */
	struct walk_request *ring; /* of those under way */
	size_t ring_size;
	const struct thread_slot *slot; /* of the thread that sends; NULL: nothing is stamped */
	struct stamps *to;		/* what fills it in; NULL: the probe */
	struct walk_stamps *stamps;	/* of the ring's requests; NULL without a slot */
	struct walk_stamps got;		/* of the bytes that are being taken: of what came back */
	bool got_all;			/* no further bytes were there */
	bool got_apart;			/* the segments of what was read are known */
	char *unsent;			/* what the socket has not taken; NULL: nothing */
	size_t unsent_from, unsent_to;	/* bytes of it; of datagrams, requests */
	int64_t stuck_ns; /* since when the socket takes nothing, as far as was looked; -1: it does */
	uint64_t body_left; /* of a longer message, not yet in a buffer */
	uint8_t head[WIRE_MESSAGE_BYTES];
	size_t head_bytes;
	struct wire_message reply; /* that is coming in */
	uint64_t reply_left;
	bool stopping;	 /* this session is its last */
	uint32_t events; /* of epoll; 0: not registered */
	enum walk_link_state {
		WALK_LINK_CLOSED, /* tries to connect when that is due */
		WALK_LINK_CONNECTING,
		WALK_LINK_OPEN,
		WALK_LINK_OVER, /* of all sessions */
	} state;
};

/* Before its first session. -ENOMEM. */
int walk_link_init(struct walk_link *l, uint32_t thread);
void walk_link_release(struct walk_link *l);

/* Begins to connect: 0, or -errno. The socket becomes writable when it is through. */
int walk_link_connect(struct walk_link *l);

/* What came of it; 0: the session has begun, -EAGAIN: hands are not shaken yet. */
int walk_link_connected(struct walk_link *l);

/*
 * Sends what is due by way of `out` (WALK_BUFFER_BYTES). 1: all of it has gone; 0: the socket is
 * full (unsent), or too many are under way; < 0: the connection is broken. How many requests have been
 * begun is in *ret_begun.
 */
int walk_link_send(struct walk_link *l, char *out, bool may_begin, uint64_t *ret_begun);

/* Receives by way of `in`: 1: something came, 0: nothing has, < 0: it is broken. */
int walk_link_receive(struct walk_link *l, char *in);

/* Those that have waited too long by now_ns are over. */
void walk_link_expire(struct walk_link *l, int64_t now_ns);

/* The socket has taken nothing for as long as a reply may take: nobody reads there. */
bool walk_link_is_stuck(struct walk_link *l, int64_t now_ns);

/* Settled requests leave as rows, in the order of sending; how many of them were answered, and not. */
void walk_link_retire(struct walk_link *l, uint64_t *ret_answered, uint64_t *ret_failed);

/* Everything of the session that has not been answered is over. */
void walk_link_fail(struct walk_link *l, enum walk_outcome outcome);

/* Nothing begins any more, in this session or a further one: it is the last. */
void walk_link_stop(struct walk_link *l);

/* The session has ended: closes the socket. False: it was the last. */
bool walk_link_next_session(struct walk_link *l);

static inline bool walk_link_is_through(const struct walk_link *l)
{
	return l->oldest == l->end;
}

static inline bool walk_link_is_full(const struct walk_link *l)
{
	return l->unsent_from < l->unsent_to || l->body_left;
}

#endif
