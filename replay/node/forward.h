/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_FORWARD_H
#define GAIT_REPLAY_NODE_FORWARD_H

#include "replay/net/address.h"
#include "replay/net/wire.h"

#include <stdbool.h>
#include <stddef.h>

struct active;
struct plan_op;
struct queued_request;
struct walk_conn;
struct worker;

/*
 * Calls of requests to other nodes, of a walk and of a replay: a message to each peer, on the
 * worker's own connection to it, and the request waits for as many replies as are enough. A peer that does not
 * answer in time is asked again, as often as the chain says; what it answers later is passed over.
 * A peer that is gone fails an attempt that is the last at once; the others wait for their time.
 * Of one that is asked by datagrams (forward_datagram.h) nobody knows that it is gone.
 */
struct forward_peer {
	struct endpoint endpoint;
	uint8_t secret[WIRE_TOKEN_BYTES]; /* of the session there */
	uint32_t thread;		  /* of a replay: that serves there */
	bool datagrams;			  /* it is asked by them; of a walk */
	bool known;			  /* PEER has come: else there is no way to it */
};

/* Of a service. */
struct forward_peers {
	struct forward_peer *all;
	size_t count;
};

int forward_peers_init(struct forward_peers *peers, size_t count);
void forward_peers_release(struct forward_peers *peers);

/* Where a peer is. -EPROTO, -EPROTONOSUPPORT, or what address_resolve() says. */
int forward_peers_tell(struct forward_peers *peers, const struct wire_peer *peer, bool walks,
		       struct err *err);

/* A worker's own. */
struct forward_work {
	struct walk_conn **conns;	 /* by peer; NULL: none is open */
	struct forward_target **targets; /* by cookie */
	size_t targets_count, targets_capacity;
	uint32_t *spare; /* cookies that are free */
	size_t spare_count;
	struct forward_deadline *heap;
	size_t heap_count, heap_capacity;
};

int forward_work_init(struct forward_work *work, size_t peers);

/* What waits is no more waited for; the connections are the worker's. */
void forward_work_release(struct forward_work *work);

/* The request stands at a forward. False: it could not be begun, and its status says why. */
bool forward_begin(struct worker *w, struct active *a, const struct plan_op *op);

/*
 * Of a replay: a request is not served, so what it would have called for is not called for either,
 * which the peers are told. And those that this worker was told of are dropped, with their own.
 */
void forward_forget(struct worker *w, const struct queued_request *q);
void forward_drop_unwanted(struct worker *w);

/* A message of a peer. */
void forward_reply(struct worker *w, const struct wire_message *message);

/* Its connection is gone. */
void forward_lost(struct worker *w, struct walk_conn *wc);

/* When the next attempt runs out; INT64_MAX: none is under way. */
int64_t forward_next_ns(const struct worker *w);
void forward_expire(struct worker *w);

#endif
