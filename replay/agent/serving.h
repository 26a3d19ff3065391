/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_AGENT_SERVING_H
#define GAIT_REPLAY_AGENT_SERVING_H

#include "replay/net/talk.h"

/*
 * Inside an agent's process of one client: agent/serve.c has what is the same whatever it is to do,
 * agent/walk.c a share of a walk, agent/replay.c one of a replay. Rows go to files without names
 * and leave when all is sent, so that what tells of them does not disturb what is measured.
 */
#define AGENT_SEND_MS 30000 /* a client that takes nothing for so long has gone */
#define AGENT_WATCH_MS 20   /* how often it is looked whether all is sent */

/* All of a client whose first message is this one. */
int agent_serve_walk(struct talk *t, const struct wire_frame *first, struct err *err);
int agent_serve_replay(struct talk *t, const struct wire_frame *first, struct err *err);

/* At once: what it takes is taken for the way there. */
int agent_answer_clock(struct talk *t, const struct wire_frame *frame, struct err *err);

/* The next frame that is not about clocks; it has to come. */
int agent_hear(struct talk *t, struct wire_frame *ret_frame, struct err *err);

/* Before a request is due, if there is a CPU more than there are agents on this host. */
int64_t agent_spin_ns(bool wanted, uint32_t beside);

/* Says that it is ready, and hears when due_ns is 0, by CLOCK_MONOTONIC here. */
int agent_await_start(struct talk *t, int64_t *ret_anchor_ns, struct err *err);

/*
 * While it sends: tells how far it is, and hears that it is to stop. A client that is gone is a
 * failure.
 */
struct agent_work {
	bool (*is_over)(void *arg);
	void (*stop)(void *arg);
	void (*tell)(void *arg, struct wire_live *ret_live);
	void *arg;
};
int agent_watch(struct talk *t, const struct agent_work *work, struct err *err);

/* The client asks for the time once more, and says goodbye. */
int agent_part(struct talk *t, struct err *err);

#endif
