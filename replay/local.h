/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_LOCAL_H
#define GAIT_REPLAY_LOCAL_H

#include "base/err.h"
#include "replay/attribution.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A node on this machine for one replay: `gait node --once` as a child, on a free
 * port of the loopback. It dies with its parent, and Ctrl-C does not reach it.
 */
struct local_node;

struct local_opts {
	const char *directory; /* for its files; NULL: the node's default */
	enum attribution attribution;
	int slots_fd; /* of the client's probe, which the node shares; -1: none */
};

/* The node's environment has the number of that descriptor. */
#define LOCAL_SLOTS_ENV "GAIT_SLOTS_FD"

#define LOCAL_HOST "127.0.0.1"

/* Returns when it listens. */
int local_node_start(const struct local_opts *opts, struct local_node **ret_node, struct err *err);
uint16_t local_node_port(const struct local_node *node);

/* Ends the child and waits for it. Takes NULL. */
void local_node_free(struct local_node *node);

#endif
