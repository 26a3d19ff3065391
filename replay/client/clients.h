/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_CLIENTS_H
#define GAIT_REPLAY_CLIENT_CLIENTS_H

#include "replay/client/client.h"
#include "replay/net/clock_offset.h"
#include "replay/net/secure.h"

/*
 * The client of a replay: one here, or agents, processes here or on other hosts, that act as one.
 * An agent is a client that has a share of the plan's senders (plan/senders.h), so each connection
 * is in exactly one, and what waits for a reply is where that comes. All have the same anchor.
 * Their rows are in files that were opened before, and are read as one; their counts are added.
 *
 * Agents are forked from a process that has no threads yet, and die with it.
 */
#define CLIENTS_AGENTS_MAX 64

struct clients;

struct clients_agents {
	uint32_t count;		  /* 0: the client is a thread of this process */
	const struct address *at; /* lent: `gait agent`s on other hosts; NULL: processes here */
	struct secure *secure;	  /* lent: how those and we prove ourselves; NULL: not at all */
	bool spin;		  /* those may, if they have the CPUs */
	uint32_t slowest;	  /* of each client and second, for clients_names() */
};

/* Opens the connections of the first seconds. */
int clients_new(const struct client_setup *setup, const struct clients_agents *agents,
		const char *directory, struct clients **ret_clients, struct err *err);
void clients_free(struct clients *c);

int clients_start(struct clients *c, int64_t anchor_ns, struct err *err);
void clients_stop(struct clients *c); /* again too */

/*
 * Requests whose rows nodes are to keep, as they took long; false: there are none now. The last
 * come when it has been joined. Agents on other hosts tell of none.
 */
bool clients_names(struct clients *c, struct wire_slow *ret_slow);

/* Becomes readable when clients_are_done() is to be asked. */
int clients_fd(const struct clients *c);
bool clients_are_done(struct clients *c);

/* late_p99_ns: since the last call, of the one that is latest. */
void clients_progress(struct clients *c, struct client_progress *ret_progress,
		      int64_t *ret_late_p99_ns);

/*
 * Waits for all; counts, and gives back what they hold of each request. Then the rows can be read.
 * A failure: rows are missing.
 */
int clients_join(struct clients *c, struct ledger *ledger, struct err *err);
/* Once joined: how well the clocks of other hosts are known; of how many. */
uint32_t clients_clocks(const struct clients *c, const struct clock_offset **ret_clocks);

const struct client_rows_set *clients_rows(const struct clients *c);

#endif
