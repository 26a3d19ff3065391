/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_AGENT_AGENT_H
#define GAIT_REPLAY_AGENT_AGENT_H

#include "base/err.h"
#include "replay/net/address.h"
#include "replay/net/secure.h"

#include <signal.h>
#include <stdbool.h>

/*
 * `gait agent`: sends a share of a walk or a replay for a client on another host (docs/WALK.md).
 * Each client has a process of its own, forked when it comes, so that one that is lost takes nobody
 * with it.
 */
#define AGENT_CLIENTS_MAX 64   /* at once; one more is closed */
#define AGENT_NEWCOMER_MS 5000 /* to prove itself and to say hello */
#define AGENT_SILENCE_MS 60000 /* of a client before it starts the walk */

struct agent_opts {
	struct address listen;
	struct secure_opts secure;
	bool insecure; /* off loopback too */
	bool attached; /* ends when standard input does */
	void (*tell)(const char *sentence);
};

struct agent;

/* Listens. -EPERM off loopback without key, certificates or `insecure`. */
int agent_new(const struct agent_opts *opts, struct agent **ret_agent, struct err *err);
void agent_free(struct agent *a);

/* With the port it has got. */
const struct address *agent_address(const struct agent *a);
bool agent_is_exposed(const struct agent *a); /* whoever can reach it may use it */

/* Until *stopping, which a signal sets that is blocked elsewhere. Ends its processes too. */
int agent_run(struct agent *a, const volatile sig_atomic_t *stopping, struct err *err);

/* agent/serve.c's part: all of one client. What went wrong is told it, and the caller. */
struct talk;
int agent_serve(struct talk *talk, const struct secure *secure, bool plain, struct err *err);

#endif
