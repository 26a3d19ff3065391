/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_DATAGRAM_H
#define GAIT_REPLAY_WALK_DATAGRAM_H

#include "base/err.h"
#include "replay/walk/link.h"

struct walk_opts;

/*
 * A walk_link whose requests and replies are a datagram each. None is ever sent again: what is
 * lost, on either way, times out. Results are those of walk_link_send() and walk_link_receive().
 */
int walk_link_send_datagrams(struct walk_link *l, bool may_begin, uint64_t *ret_begun);
int walk_link_receive_datagrams(struct walk_link *l, char *scratch);

/* Whether each request, call and reply that goes to a udp address is sure to be one. -EMSGSIZE. */
int walk_check_datagrams(const struct walk_opts *opts, struct err *err);

/* walk/link.c's, for both ways of sending. */

/* The next request is on its way, at the end of those that are; false: no room for it. */
bool walk_link_begin(struct walk_link *l, int64_t now_ns);
struct wire_message walk_link_message(const struct walk_link *l, uint64_t request);

/* Matched by its number; of a request that is over it is counted as late. */
void walk_link_answered(struct walk_link *l, const struct wire_message *reply, int64_t now_ns);

#endif
