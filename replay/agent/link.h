/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_AGENT_LINK_H
#define GAIT_REPLAY_AGENT_LINK_H

#include "replay/net/clock_offset.h"
#include "replay/net/secure.h"
#include "replay/net/talk.h"
#include "trace/manifest.h"

/* A `gait agent` on another host, as its client sees it, whatever it is asked to do. */
#define AGENT_ANSWER_MS 10000 /* to a question; LIVE comes every second */
#define AGENT_LOOK_MS 50      /* how often it is looked whether to stop */

struct agent_link {
	struct talk talk;
	char name[ADDRESS_TEXT_SIZE + 16]; /* "the agent at ..." */
	struct manifest_host host;
	struct clock_offset first, last; /* before it started, and when it was through */
};

/*
 * Connects, greets, and asks for the time. `secure` NULL: the agent is as open as we are. It must
 * not be moved afterwards, and is to be closed also on failure.
 */
int agent_link_open(struct agent_link *link, const struct address *address, struct secure *secure,
		    struct err *err);
void agent_link_close(struct agent_link *link);

/* How many of them are on the host of the i-th, it included. */
uint32_t agents_beside(const struct address *agents, uint32_t count, uint32_t i);

/* The time `anchor_ns` of our clock, by its own. */
int agent_link_start(struct agent_link *link, int64_t anchor_ns, struct err *err);
int agent_link_stop(struct agent_link *link, struct err *err);

/*
 * While it works: takes what it tells until the work is over, and lets it know that it is to stop.
 * One that says nothing for AGENT_ANSWER_MS is lost.
 */
struct agent_following {
	bool (*is_to_stop)(void *arg);
	int (*take)(void *arg, const struct wire_frame *frame, struct err *err);
	const bool *over; /* all has been told */
	void *arg;
};
int agent_link_follow(struct agent_link *link, const struct agent_following *following,
		      struct err *err);

/* All has been told: asks for the time once more, and says goodbye. */
void agent_link_part(struct agent_link *link);

/* How well its clock is known: after parting, what held all the time. */
struct clock_offset agent_link_clock(const struct agent_link *link);

#endif
