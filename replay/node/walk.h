/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_WALK_H
#define GAIT_REPLAY_NODE_WALK_H

#include "replay/chain/calls.h"
#include "replay/chain/chain.h"
#include "replay/node/conn.h"
#include "replay/node/forward.h"
#include "replay/node/replies.h"
#include "replay/node/serve.h"

/*
 * Connections of a walk. A message says which request it is; what that asks for is drawn from
 * the session's op chain, here as at the client. Requests of a connection are served side by
 * side: one that sleeps or calls others holds up none behind it, and replies go out as they are
 * done. Replies that are done in one go leave by one call, unless the probes stamp them.
 *
 * In a replay the connections between nodes are such: what a request asks for is in the plan then.
 */
struct walk_program {
	struct chain chain;
	struct chain_calls calls;
	uint64_t seed;
	size_t ops_max; /* of a request */
	bool rows, timelines;
	/* a chain that is a reply of one size and no more, 0: it is not */
	uint64_t plain_reply_bytes;
};

/* `text` is a chain's, from the network. -EPROTO or what chain_parse_text() says. */
int walk_program_init(struct walk_program *p, const struct wire_walk *walk, const char *text,
		      uint64_t work_per_ms, struct err *err);
void walk_program_release(struct walk_program *p);

struct walk_conn {
	struct conn conn;		  /* first */
	struct walk_conn *before, *after; /* all of the worker */
	struct wire_message message;	  /* that is coming in */
	uint8_t head[WIRE_MESSAGE_BYTES];
	size_t head_bytes; /* of it are there */
	uint64_t body_left;
	struct replies replies; /* that have not left yet */
	uint32_t peer;		/* 1 + its index, of a connection that we opened; 0: a client's */
	bool dialled;		/* and it is not through yet */
	bool datagrams;		/* forward_datagram.c's: nothing of it waits here */
	struct wire_preface preface; /* of its datagrams */
	uint32_t open;		     /* requests under way */
	bool parsing;		     /* its bytes are being taken apart: replies leave at the end */
	bool left_over;		     /* TLS holds bytes that are not read yet */
	bool dead;		     /* it goes when none is */
	bool doomed;		     /* it is in walk_work.doomed */
	struct walk_conn *next_doomed;
};

/* A worker's own: requests' memory, and its connections. */
struct walk_slot {
	struct walk_slot *next;	 /* spare */
	struct walk_slot *after; /* of all */
	struct queued_request request;
	struct queued_op ops[];
};

struct walk_work {
	struct walk_conn *conns;
	struct walk_slot *slots, *spare; /* all of them; those without a request */
	struct plan_op *drawn;		 /* chain.ops_max */
	char *staging;			 /* NODE_RECEIVE_BYTES: replies on their way out */
	struct walk_conn *doomed;	 /* maybe to be forgotten when the pass ends */
	struct forward_work forward;
	uint64_t call_serial; /* of its next connection to another node */
};

/* Of a replay's worker too, without a program: other nodes call it, and it calls them. */
int walk_work_init(struct walk_work *work, const struct walk_program *program);

/* Once its worker has ended: requests that are still under way. */
uint64_t walk_work_open(const struct walk_work *work);
void walk_work_release(struct walk_work *work);

/* A connection of this worker, without a socket; NULL: no memory. */
struct conn *walk_conn_new(struct worker *w, uint64_t connection_id);

/* Its socket is there, or has something to say. */
void walk_admitted(struct worker *w, struct conn *c);
void walk_event(struct worker *w, struct conn *c, uint32_t events);

/* A message of its came, by a datagram. False: there is nothing that can be done for it. */
bool walk_datagram(struct worker *w, struct conn *c, const struct wire_message *message);

/* The sender of its datagrams is forgotten. */
void walk_peer_gone(struct worker *w, struct conn *c);

/* Connects to a peer; NULL: that cannot be. */
struct walk_conn *walk_dial(struct worker *w, uint32_t peer);

/* A message goes out as soon as may be. */
void walk_post(struct worker *w, struct walk_conn *wc, const struct wire_message *message);

/* The connection is of no use: it goes when the pass ends and nothing is under way on it. */
void walk_drop(struct worker *w, struct walk_conn *wc);

/* What a data connection to a peer shows first; signed for it. */
struct wire_preface walk_preface(struct worker *w, uint32_t peer);

/*
 * serve.c: the response of a->plan leaves, or a part of it that is not the last, by the op q;
 * NULL: by none.
 */
void walk_answer(struct worker *w, struct active *a, uint64_t bytes, bool last,
		 const struct queued_op *q);

/* serve.c: the request is over. */
void walk_finish(struct worker *w, struct active *a);

/* The end of a pass: closed connections without requests go. */
void walk_sweep(struct worker *w);

#endif
