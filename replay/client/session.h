/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_SESSION_H
#define GAIT_REPLAY_CLIENT_SESSION_H

#include "base/err.h"
#include "replay/net/address.h"
#include "replay/net/secure.h"
#include "replay/net/wire.h"
#include "replay/plan/plan.h"

#include <signal.h>
#include <stdbool.h>

/*
 * The client's end of a control connection: tells a node what to play, keeps its
 * plan ahead of the requests, and fetches how it went. Runs in a thread apart from
 * the client's, whose pace it must not disturb.
 *
 * Functions that wait for the node return -EINTR when *interrupted, a count of
 * signals, grows meanwhile, -ETIMEDOUT when it says nothing for long, -ECONNRESET when it has
 * gone, -EREMOTE with its own sentence when it refuses.
 */
struct client_session;

/* secure, lent: how both ends prove themselves; NULL: not at all. */
int client_session_open(const struct address *node, struct secure *secure,
			const volatile sig_atomic_t *interrupted,
			struct client_session **ret_session, struct err *err);
void client_session_free(struct client_session *s);

/* What the node said of itself. */
const struct wire_hello *client_session_node(const struct client_session *s);

/* Where it takes data connections that come as the control connection did. */
struct endpoint client_session_data(const struct client_session *s);

/* Describes the service and as many requests as the node takes now; waits until it is ready. */
struct client_session_replay {
	const struct plan *plan;
	enum plan_batching batching;
	int64_t call_timeout_ns;
	const struct wire_peer *peers; /* that services of the replay call */
	size_t peers_count;
	const bool *calls;	      /* which of them this one does; NULL: none */
	const struct wire_keep *keep; /* NULL: the rows of all */
	bool timelines;
};

int client_session_prepare(struct client_session *s, const struct client_session_replay *replay,
			   struct err *err);

/*
 * A walk instead: what its requests ask for, and where the peers of the chain are. Waits until the
 * node is ready.
 */
struct client_session_walk {
	uint64_t seed;
	bool rows;	   /* the node keeps a row of each request and op */
	bool timelines;	   /* and its course */
	const char *chain; /* as text */
	size_t chain_bytes;
	const struct wire_peer *peers; /* of the chain */
	size_t peers_count;
	const bool *calls;		  /* which of them this node does */
	const struct wire_keep *keep;	  /* NULL: the rows of all */
	const struct wire_class *classes; /* keep->classes of them */
};

int client_session_prepare_walk(struct client_session *s, const struct client_session_walk *walk,
				struct err *err);

int client_session_start(struct client_session *s, const struct wire_start *start, struct err *err);

/* While it runs: requests whose rows are to be kept too. Never waits. */
int client_session_name(struct client_session *s, const struct wire_slow *slow, struct err *err);

/*
 * For a poll() loop: takes what has come, sends what the node has room for. Never
 * waits. The events to poll for are in *ret_events.
 */
int client_session_pump(struct client_session *s, short *ret_events, struct err *err);
int client_session_fd(const struct client_session *s);

/* Takes the node's rows, one call each; < 0 ends the fetching. */
struct client_session_sink {
	int (*row)(void *arg, const struct wire_row *row, struct err *err);
	int (*oprow)(void *arg, const struct wire_oprow *row, struct err *err);
	int (*total)(void *arg, const struct wire_total *total, struct err *err); /* or NULL */
	int (*stretch)(void *arg, const struct wire_stretch *stretch,
		       struct err *err); /* or NULL */
	void *arg;
	struct ledger *ledger;	  /* the node's is added to it */
	struct wire_usage *usage; /* filled in */
};

/* Stops the node and fetches everything, up to its BYE. Earlier signals do not count. */
int client_session_fetch(struct client_session *s, const struct client_session_sink *sink,
			 struct err *err);

#endif
