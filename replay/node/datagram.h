/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_DATAGRAM_H
#define GAIT_REPLAY_NODE_DATAGRAM_H

#include "replay/net/datagram.h"
#include "replay/node/conn.h"
#include "replay/node/listen.h"
#include "replay/node/peers.h"

/*
 * Datagrams at a node. The token is in each: one without it is dropped and counted, and never
 * answered. A peer is a connection of the thread that reads what it sends, from its first
 * datagram until it has been silent for peer_idle_ns, or gives way to a newer one. Nothing
 * need be known of it beforehand, so one that was forgotten may come again.
 */

/* Requests that later ones have overtaken; they may still come. */
#define DATAGRAM_MISSED 8

/* A UDP listener, as a thread sees it; `out` leaves when what has come is dealt with. */
struct datagram_port {
	const struct listener *listener;
	int fd;		/* lent */
	bool counts;	/* what the socket drops; one thread does, of each */
	uint32_t drops; /* before the session */
	struct datagrams in, out;
};

struct datagram_peer {
	struct peer peer; /* first */
	struct datagram_port *port;
	uint8_t token[WIRE_TOKEN_BYTES]; /* that each of its datagrams shows */
	struct conn *conn;
	uint32_t taken; /* requests of the plan, in its order: served, or not heard of yet */
	struct datagram_missed {
		uint32_t index;
		struct queued_request *request; /* NULL: none */
	} missed[DATAGRAM_MISSED];
	size_t next_missed;
};

/* A thread's own. Peers of a recorded service stay until it ends: its plan bounds them. */
struct datagram_work {
	struct datagram_port *ports[NODE_LISTENERS_MAX]; /* the first ports_count */
	size_t ports_count;
	struct peers peers; /* none is known before there is a port */
};

/*
 * A listener of datagrams that the thread reads from, or only answers, by fd. `counts`: and counts
 * what is lost at it, as it was full. NULL: no memory.
 */
struct datagram_port *datagram_work_add(struct datagram_work *work, const struct listener *l,
					int fd, bool counts);
void datagram_work_release(struct datagram_work *work);

/* Takes what there is, as far as one call goes. How many came, or a negative errno. */
int datagrams_event(struct worker *w, struct datagram_port *port);

/* One that came to another session's threads; takes the stranger over. */
void datagram_offered(struct worker *w, struct stranger *stranger);

/* A reply of message->size bytes to a connection's peer. It leaves with others. */
void datagram_reply(struct worker *w, const struct conn *c, const struct wire_message *message);
void datagrams_flush(struct worker *w, struct datagram_port *port);

/* serve.c: so many bytes of the response of a->plan leave, by a datagram that says so. */
void datagram_answer(struct worker *w, struct active *a, uint64_t bytes);

/* The end of a pass: who has been silent for long is forgotten. */
void datagram_peers_expire(struct worker *w);

/* The thread has ended: what its sockets have dropped, whoever had sent it, is in its ledger. */
void datagrams_count_drops(struct worker *w);

/* The thread has ended: what still waits at its own socket may be another session's. */
void datagrams_pass_on(struct worker *w, struct datagram_port *port);

#endif
