/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_SECURE_H
#define GAIT_REPLAY_NET_SECURE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * TLS for control connections: both ends prove themselves, and all that they say is encrypted.
 * Version 1.3 alone, with one of
 *
 *	- a key that both have (RFC 8446, 4.2.11: an external PSK, with a fresh Diffie-Hellman each
 *	  time, so that who learns the key later cannot read what was recorded);
 *	- certificates of both ends, that one CA signed, and the node's for the host that the client
 *	  was told to reach.
 *
 * No tickets, no early data, no fall-back from one to the other. Data
 * connections have their own (replay/net/channel.h), which proves nothing. In a
 * build without it (GAIT_TLS=OFF) secure_new() refuses.
 */
struct secure_opts {
	const char *key;		  /* file of replay/net/key.h */
	const char *cert, *cert_key, *ca; /* PEM files: all three or none */
};

enum secure_role { SECURE_NODE, SECURE_CLIENT };

/* What one end proves itself with, and judges the other by. */
struct secure;

/* Whether anything is given at all. */
bool secure_wanted(const struct secure_opts *opts);

/* A key or certificates, not both, nor parts of them: 0 or -EINVAL. */
int secure_check(const struct secure_opts *opts, struct err *err);

int secure_new(const struct secure_opts *opts, enum secure_role role, struct secure **ret_secure,
	       struct err *err);
void secure_free(struct secure *s);

/* What the other end has to bring, for a sentence: "--key with the same key". */
const char *secure_demand(const struct secure *s);

/* One end of one connection, on a non-blocking socket, which is lent. */
struct secure_end;

/* host: whom a client wants to reach; NULL for a node. */
int secure_end_new(struct secure *s, int fd, const char *host, struct secure_end **ret_end,
		   struct err *err);
void secure_end_free(struct secure_end *e);

/*
 * None of them waits. A call takes no more from the socket than SECURE_BUDGET_BYTES, so that a
 * peer who sends for ever holds nobody; then it says that there is nothing, and poll() says that
 * there is.
 */
#define SECURE_BUDGET_BYTES (256 * 1024)

/* 1: both ends have proved themselves, 0: not yet, < 0: they will not, and err says why. */
int secure_end_shake(struct secure_end *e, struct err *err);

/* As recv() and send() of a non-blocking socket, but -errno; they shake hands first. */
ssize_t secure_end_recv(struct secure_end *e, void *data, size_t size, struct err *err);
ssize_t secure_end_send(struct secure_end *e, const void *data, size_t size, struct err *err);

/* Something can be read without the socket becoming readable. */
bool secure_end_pending(const struct secure_end *e);

/* What to poll() for; `sends`: there is something to be sent. */
short secure_end_events(const struct secure_end *e, bool sends);

/* Says that nothing more will come. */
void secure_end_finish(struct secure_end *e);

#endif
