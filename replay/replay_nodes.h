/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_REPLAY_NODES_H
#define GAIT_REPLAY_REPLAY_NODES_H

#include "replay/client/client.h"
#include "replay/client/session.h"
#include "replay/local.h"
#include "replay/replay.h"
#include "replay/run.h"

#include <poll.h>

/* The nodes of a replay, one for each service of its plans. */
struct replay_node {
	const struct plan *plan;
	const struct address *address, *control; /* NULL: `local` */
	struct local_node *local;
	struct client_session *session;
	bool gone; /* its control connection is of no use any more */
	bool one_clock;
	struct ledger ledger;
	struct wire_usage usage;
};

struct replay_nodes {
	struct replay_node all[PLAN_SERVICES_MAX];
	struct client_route routes[PLAN_SERVICES_MAX];
	struct run_clock clocks[PLAN_SERVICES_MAX];
	size_t count;
	struct tls_context *tls; /* NULL: data connections are plain */
	struct wire_peer *peers; /* every thread of each, where there are calls */
	size_t peers_count;
};

/* Where each is; those that are to be here are started. */
int replay_nodes_place(struct replay_nodes *nodes, const struct plan_set *set,
		       const struct replay_opts *opts, const struct local_opts *local,
		       struct err *err);
int replay_nodes_open(struct replay_nodes *nodes, struct secure *secure,
		      const volatile sig_atomic_t *interrupted, struct err *err);

/* Each gets its plan, and hears where the others are. keep: whose rows it keeps; NULL: all. */
int replay_nodes_prepare(struct replay_nodes *nodes, const struct plan_set *set,
			 const struct replay_opts *opts, const struct wire_keep *keep,
			 struct err *err);

/* With one clock both sides get the same anchor; else a node counts from when START comes. */
int replay_nodes_start(struct replay_nodes *nodes, int64_t anchor_ns, int64_t lead_ns,
		       struct err *err);

/*
 * client_session_pump() of each. A node that is lost is said by the code and in err, once; the
 * others go on. How many are left is in *ret_count, what to poll for in polls.
 */
int replay_nodes_pump(struct replay_nodes *nodes, struct pollfd *polls, size_t *ret_count,
		      struct err *err);

/* Whose rows they are to keep too; one that cannot be told will be found to be gone. */
void replay_nodes_name(struct replay_nodes *nodes, const struct wire_slow *slow);

/* The rows of those that are left; err may be NULL. */
int replay_nodes_fetch(struct replay_nodes *nodes, struct run *run, struct err *err);

/* When they are done. */
void replay_nodes_clocks(struct replay_nodes *nodes, int64_t anchor_ns);
void replay_nodes_describe(const struct replay_nodes *nodes, struct manifest *m);
void replay_nodes_release(struct replay_nodes *nodes);

#endif
