/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_REMOTE_H
#define GAIT_REPLAY_WALK_REMOTE_H

#include "replay/agent/link.h"
#include "replay/walk/job.h"
#include "replay/walk/sender.h"

/*
 * A sender of a walk on another host: a `gait agent` there has its share of the connections and the
 * common anchor, by its own clock. As with walk_agent.h a thread here takes what it tells, so that
 * to the rest of a walk it is a sender like any other. Its rows come when it is through.
 */
struct walk_remote;

/* Connects, greets, and asks for the time. `secure` NULL: agents are as open as we are. */
int walk_remote_open(const struct address *address, struct secure *secure,
		     struct walk_remote **ret_remote, struct err *err);
void walk_remote_free(struct walk_remote *remote);

/* Gives it its job; returns when it is ready to start. */
int walk_remote_prepare(struct walk_remote *remote, const struct walk_plan *plan,
			const struct walk_job_share *share, struct err *err);

/* The facts of its host, and how well its clock is known: at the end what held all the time. */
const struct manifest_host *walk_remote_host(const struct walk_remote *remote);
struct clock_offset walk_remote_clock(const struct walk_remote *remote);

/* For the thread here: what is told of it while it runs. Fills in the sender. */
void walk_remote_relay(struct walk_remote *remote, struct walk_sender *sender);

/* It was lost: its part of the load is missing. */
bool walk_remote_is_lost(const struct walk_remote *remote);

#endif
