/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_REMOTE_H
#define GAIT_REPLAY_REMOTE_H

#include "base/err.h"
#include "replay/attribution.h"
#include "replay/net/address.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Nodes on other machines for the time of one command: `gait node --attached --key -` by ssh. They
 * get a key that is made for them, by their standard input; they say on their standard output where
 * they listen; and they end when their standard input does, whoever ended it.
 *
 * GAIT_SSH in the environment names another program than ssh, with its arguments; it is called
 * with these, the host and one word, which is a command for the shell there.
 */
#define REMOTE_NODES_MAX 64

struct remote_opts {
	const char *hosts;     /* [USER@]HOST[,...] */
	const char *directory; /* for files, there; NULL: the node's default */
	enum attribution attribution;
};

struct remotes;

/* Returns when all of them listen. What goes wrong names the host. */
int remotes_start(const struct remote_opts *opts, struct remotes **ret_remotes, struct err *err);

/* Ends them and waits for it. Takes NULL. */
void remotes_free(struct remotes *remotes);

size_t remotes_count(const struct remotes *remotes);

/* Where the i-th listens. */
const struct address *remotes_at(const struct remotes *remotes, size_t i);

/* The file of the key, for secure_opts: of this process alone. */
const char *remotes_key(const struct remotes *remotes);

#endif
