/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_CONTROL_H
#define GAIT_REPLAY_NET_CONTROL_H

#include "replay/net/address.h"
#include "replay/net/secure.h"

#include <stdint.h>

/*
 * The bytes of a control connection, plain or under TLS: its users do not see which. Nothing
 * here waits.
 */
struct control;

/* The first byte of a connection under TLS: a handshake record (RFC 8446, 5.1). */
#define CONTROL_TLS_BYTE 0x16

/*
 * Takes the descriptor over, also on failure. secure NULL: plain. host: whom a client wants to
 * reach; NULL for a node.
 */
int control_new(int fd, struct secure *secure, const char *host, struct control **ret_control,
		struct err *err);
void control_free(struct control *c);

int control_fd(const struct control *c);

/* Who is at the other end, "10.0.0.5:40312". */
const char *control_peer(const struct control *c);

/* The same as an address; false: it has none that says anything (UNIX). */
bool control_from(const struct control *c, struct endpoint *ret_from);

/* 1: what follows can be trusted as far as was asked for, 0: not yet, < 0: it cannot. */
int control_shake(struct control *c, struct err *err);

/* What came: bytes, 0 at its end, -EAGAIN, or a failure with a sentence. */
ssize_t control_recv(struct control *c, void *data, size_t size, struct err *err);

/* Bytes that were taken, -EAGAIN, or a failure. */
ssize_t control_send(struct control *c, const void *data, size_t size, struct err *err);

/* More can be received although poll() would not say so. */
bool control_pending(const struct control *c);

/* What to poll() for; `sends`: there is something to be sent. */
short control_events(const struct control *c, bool sends);

/* Nothing more will be sent; what comes can still be received from the descriptor. */
void control_finish(struct control *c);

#endif
