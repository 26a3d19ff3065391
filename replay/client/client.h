/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_CLIENT_H
#define GAIT_REPLAY_CLIENT_CLIENT_H

#include "base/err.h"
#include "bpf/event.h"
#include "replay/client/rows.h"
#include "replay/net/address.h"
#include "replay/net/channel.h"
#include "replay/net/wire.h"
#include "replay/plan/plan.h"
#include "trace/ledger.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The load of a replay: one thread that sends each request when it is due and
 * counts its reply, over the connections of the trace.
 *
 * Connections are opened before the start, those of later first requests shortly
 * before these, and closed after their last reply. A request without a reply in
 * time has failed, but its connection goes on: a request that waited for the reply
 * is due as if it had come then. A connection that breaks fails what is outstanding
 * on it; what would have come later on it counts as unsent.
 */
struct client_route {
	uint64_t service_id;  /* whose connections go there */
	struct endpoint data; /* where the node takes them */
	enum transport transport;
	struct tls_context *tls;	  /* lent; NULL: the connections are plain */
	uint8_t secret[WIRE_TOKEN_BYTES]; /* of its session */
};

struct client_setup {
	const struct plan *plan;	   /* lent; of the requests only client_new() reads */
	struct client_rows *rows;	   /* lent: where what came of them goes */
	const struct client_route *routes; /* lent; one for each service of the connections */
	size_t routes_count;
	const uint32_t *share; /* lent: whose each connection is; NULL: all are this client's */
	uint32_t self;	       /* of these, this one */
	int64_t timeout_ns;    /* of a request, from when it was due */
	int64_t spin_ns;       /* before each due time; 0: no spinning */
	const struct thread_slot *slots; /* for kernel stamps; NULL: no probes */
	bool stamps;			 /* then: those of the sockets (net/stamps.h) */
};

#define CLIENT_OPEN_AHEAD_NS \
	2000000000ll /* first requests within this are given a connection before the start */

struct client;

int client_new(const struct client_setup *setup, struct client **ret_client, struct err *err);
void client_free(struct client *c);

/* Opens the connections of the first seconds; -ECONNREFUSED and others with a sentence. */
int client_connect(struct client *c, struct err *err);

/* Starts the thread; due_ns 0 of the plan is anchor_ns. */
int client_start(struct client *c, int64_t anchor_ns, struct err *err);

/* Sends nothing more, waits a little for what is outstanding, and ends. From any thread. */
void client_stop(struct client *c);

/* Becomes readable when the thread has done all it will do. */
int client_done_fd(const struct client *c);

struct client_progress {
	uint64_t sent, answered, failed; /* so far */
};
void client_progress(const struct client *c, struct client_progress *ret_progress);

/* Waits for the thread; then all requests are among the rows, and counted. */
void client_join(struct client *c);
void client_count(const struct client *c, struct ledger *ledger);

#endif
