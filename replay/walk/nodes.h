/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_NODES_H
#define GAIT_REPLAY_WALK_NODES_H

#include "replay/net/secure.h"
#include "replay/net/wire.h"
#include "replay/walk/walk.h"

/* The nodes of a walk, by their control connections: the one that it goes to, and those that its chain calls. */
struct walk_nodes {
	const struct walk_opts *opts;	  /* lent */
	struct secure *secure;		  /* NULL: control connections are plain */
	struct client_session **sessions; /* the node's, then its peers', each once */
	struct address *addresses;	  /* of each */
	size_t count;
	struct wire_peer *peers; /* of the chain, for who calls them */
};

/* Greets all; a node that is about to start is waited for, as the options say. To be freed in any case. */
int walk_nodes_open(struct walk_nodes *nodes, const struct walk_opts *opts, struct err *err);
void walk_nodes_free(struct walk_nodes *nodes);

/*
 * They know the chain, and take requests from then on. `rows`: what they did is asked for when all is over.
 * *ret_started_ns: when they were told, on CLOCK_MONOTONIC.
 */
int walk_nodes_start(const struct walk_nodes *nodes, bool rows, int64_t *ret_started_ns,
		     struct err *err);

/* What nodes have to say meanwhile; there is little. Does not wait. */
int walk_nodes_hear(const struct walk_nodes *nodes, struct err *err);

/* Whose rows they are to keep. */
int walk_nodes_name(const struct walk_nodes *nodes, const struct wire_slow *slow, struct err *err);

#endif
