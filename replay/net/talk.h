/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_TALK_H
#define GAIT_REPLAY_NET_TALK_H

#include "replay/net/control.h"
#include "replay/net/wire.h"

/*
 * Frames over a control connection, one after another, by somebody who may wait for them: a client
 * and its agents. (A node, and its client, never wait: they have queues of their own.)
 */
struct talk {
	struct control *control; /* owned */
	struct buf in, out;	 /* out: written by wire_put_...(), sent by talk_send() */
	size_t used;		 /* of `in`: frames that were handed out */
	const char *other;	 /* who is at the other end, for sentences: "the agent at ..." */
};

/* Takes the connection over; `other` is lent. */
void talk_init(struct talk *t, struct control *control, const char *other);
void talk_release(struct talk *t);

/* Until both ends have proved themselves: 0, -ETIMEDOUT or why they will not. */
int talk_shake(struct talk *t, int timeout_ms, struct err *err);

/* All of `out`. -ETIMEDOUT when nothing of it was taken for so long. */
int talk_send(struct talk *t, int timeout_ms, struct err *err);

/*
 * The next frame, good until the next call: 1, or 0 when there was none within timeout_ms. The end
 * of the connection is -ECONNRESET; an ERROR is -EREMOTE with its sentence.
 */
int talk_next(struct talk *t, int timeout_ms, struct wire_frame *ret_frame, struct err *err);

/* The same, but it has to come, and to be of that type. */
int talk_await(struct talk *t, int timeout_ms, enum wire_type type, struct wire_frame *ret_frame,
	       struct err *err);

#endif
