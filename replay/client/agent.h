/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_AGENT_H
#define GAIT_REPLAY_CLIENT_AGENT_H

#include "replay/client/client.h"
#include "replay/net/clock_offset.h"
#include "replay/net/secure.h"

#include <stdatomic.h>

/*
 * Inside client/clients.c: an agent's process, and what it and the replay's say to each other. One
 * whose work is done on another host is a process here all the same, that relays.
 */

/* What processes see of an agent while it runs. In memory that they share. */
struct agent_live {
	_Atomic uint64_t sent, answered, failed;
	_Atomic int64_t late_p99_ns;
};

/* When it has connected, and when all is over. Between them the anchor goes there. */
struct agent_word {
	int failed; /* errno */
	struct err err;
	struct ledger ledger;
	struct clock_offset clock; /* of another host; bound INT64_MAX: it is ours */
};

struct agent_remote {
	const struct address *at;
	struct secure *secure; /* NULL: it is as open as we are */
	bool spins;	       /* if it has the CPUs */
	uint32_t beside;       /* agents of this replay at that host */
};

/* All bytes, or false. */
bool agent_get(int talk, void *data, size_t bytes);
bool agent_put(int talk, const void *data, size_t bytes);

/* All of it, in its process: `talk` leads to the replay's. The setup's rows are filled in. */
void agent_relay(const struct client_setup *setup, const struct agent_remote *remote,
		 struct agent_live *live, int talk);

#endif
