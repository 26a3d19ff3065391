/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_AGENT_H
#define GAIT_REPLAY_WALK_AGENT_H

#include "replay/walk/sender.h"

/*
 * A sender of a walk in a process of its own. It runs what a thread would run, over the same
 * connections and with the same anchor; a thread here takes its rows as they come, and at the end
 * its counts and histograms, so that to the rest of a walk it is a sender like any other.
 *
 * Agents are forked from a process that has no threads yet, and die with it.
 */
struct walk_agent;

/* What processes see of each other while they run. In memory that they share. */
struct walk_shared {
	atomic_bool stopping;
	struct walk_live live[]; /* of each sender */
};

/* NULL: there is no memory. */
struct walk_shared *walk_shared_new(uint32_t senders);
void walk_shared_free(struct walk_shared *shared, uint32_t senders);

/*
 * `sender` has all that is lent but the rows, in this process and its copy in the agent; `rows`:
 * those are wanted. Only the anchor comes later: with walk_sender_start().
 */
int walk_agent_fork(const struct walk_sender *sender, bool rows, struct walk_agent **ret_agent,
		    struct err *err);

/* Ends it, if it has not. */
void walk_agent_free(struct walk_agent *agent);

/* For the thread here: what is told of the sender's agent when it runs. Fills in the sender. */
void walk_agent_relay(struct walk_agent *agent, struct walk_sender *sender);

#endif
