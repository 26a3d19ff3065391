/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_FORWARD_DATAGRAM_H
#define GAIT_REPLAY_NODE_FORWARD_DATAGRAM_H

#include "replay/node/walk.h"

/*
 * Calls by datagrams (docs/PROTOCOL.md): a worker has a socket for each peer, and a message is a
 * datagram, which leaves at once. Nothing tells that a peer is gone: what is lost is not answered,
 * and is asked for again after its timeout, as often as the chain says.
 */

/* NULL: there is no way to it. */
struct walk_conn *forward_dial_datagrams(struct worker *w, uint32_t peer);

void forward_send_datagram(struct worker *w, struct walk_conn *wc,
			   const struct wire_message *message);

/* An event of its socket. */
void forward_receive_datagrams(struct worker *w, struct walk_conn *wc);

#endif
