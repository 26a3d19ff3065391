/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_SHARE_H
#define GAIT_REPLAY_CLIENT_SHARE_H

#include "replay/client/client.h"
#include "replay/net/talk.h"
#include "replay/plan/idmap.h"

/*
 * What a client of a replay has to know when it is on another host, as messages (net/wire.h), and
 * what it is there: a plan of its own connections and requests alone, without ops.
 */

/*
 * LOAD to PLAN_END of the setup's share. *ret_places, to be freed: of each request that was told, in
 * that order, its index in the plan; *ret_count of them.
 */
int client_share_send(struct talk *t, const struct client_setup *setup, bool spins, uint32_t beside,
		      uint32_t **ret_places, size_t *ret_count, struct err *err);

struct client_share {
	struct wire_load load;
	struct plan plan;
	struct address addresses[WIRE_ROUTES_MAX]; /* where the routes go: to be resolved */
	struct client_route routes[WIRE_ROUTES_MAX];
	size_t routes_count;
	struct idmap ids; /* of connections */
	uint64_t *last;	  /* request of each connection, so far; 0: none */
	size_t requests_room;
};

/* LOAD, with which it begins. A zero-initialised struct can be released. */
int client_share_begin(struct client_share *s, const struct wire_frame *frame, struct err *err);

/* A further message: 1 when all is there, 0, or -EPROTO, -ENOMEM with a sentence. */
int client_share_take(struct client_share *s, const struct wire_frame *frame, struct err *err);
void client_share_release(struct client_share *s);

/* A fact of the agent's clock, there and, offset_ns less, back; its index is to be looked up. */
void client_fact_put(struct buf *out, const struct client_fact *fact);
int client_fact_get(const struct wire_frame *frame, int64_t offset_ns, struct client_fact *ret_fact,
		    struct err *err);

#endif
