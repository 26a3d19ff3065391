/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_CHANNEL_H
#define GAIT_REPLAY_NET_CHANNEL_H

#include "base/err.h"
#include "replay/net/stamps.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * What moves the bytes of a connection: a socket that does not block, and TLS on
 * it if it is to be encrypted. A plain socket pays a branch each for TLS and for stamps.
 *
 * A channel is one thread's at a time. All functions return bytes or 0, or a
 * negative errno; -EAGAIN: try again after channel_read_events() or
 * channel_write_events(). (TLS may have to write before it can read.)
 */
struct channel {
	int fd;			      /* -1: none */
	struct tls_stream *tls;	      /* NULL: bytes go as they are */
	struct socket_stamps *stamps; /* NULL: nobody wants any */
};

#define CHANNEL_NONE ((struct channel){ .fd = -1 })

/*
 * Who encrypts: a node or a client, with all its connections. A node shows its
 * certificate; a client looks at none, for encryption is here part of the workload,
 * not of the trust.
 */
struct tls_setup {
	bool node;	  /* it accepts; else it connects */
	const char *cert; /* PEM, chain; NULL: one is made, signed by itself */
	const char *key;  /* PEM */
	bool reads_ahead; /* takes what there is in one system call: then a receive may tell of */
			  /* messages that came with an earlier one (channel_has_more()) */
};

struct tls_context;

/* -ENOTSUP in a gait that was built without TLS. */
int tls_context_new(const struct tls_setup *setup, struct tls_context **ret_context,
		    struct err *err);
void tls_context_free(struct tls_context *context);

/* From now on all goes through TLS: the first receive or send shakes hands. 0 or -ENOMEM. */
int channel_begin_tls(struct channel *ch, struct tls_context *context);

/*
 * From now on the kernel tells of its receives, and of its sends too, when they came and went
 * (net/stamps.h). `to` is lent.
 */
void channel_stamp(struct channel *ch, struct stamps *to, bool sends);

/* 0 when hands are shaken (without TLS at once), -EAGAIN, -EPROTO or what the socket said. */
int channel_handshake(struct channel *ch);

/* Says goodbye, as far as that goes without waiting, and closes it. */
void channel_close(struct channel *ch);

/* net/channel_tls.c's part */
ssize_t tls_recv(struct tls_stream *tls, void *data, size_t size);
ssize_t tls_send(struct tls_stream *tls, const void *data, size_t size);
ssize_t tls_sendfile(struct tls_stream *tls, int file, off_t offset, size_t size);
bool tls_has_more(const struct tls_stream *tls);
uint32_t tls_read_events(const struct tls_stream *tls);
uint32_t tls_write_events(const struct tls_stream *tls);

/* 0: the other end sends no more. Fewer than `size` bytes: there were no more. */
static inline ssize_t channel_recv(struct channel *ch, void *data, size_t size)
{
	ssize_t n;

	if (ch->tls)
		return tls_recv(ch->tls, data, size);
	n = ch->stamps ? socket_stamps_recv(ch->stamps, ch->fd, data, size) :
			 recv(ch->fd, data, size, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* What -EAGAIN left over is to be sent next, with at least as many bytes as then. */
static inline ssize_t channel_send(struct channel *ch, const void *data, size_t size)
{
	ssize_t n;

	if (ch->tls)
		return tls_send(ch->tls, data, size);
	n = ch->stamps ? socket_stamps_send(ch->stamps, ch->fd, data, size) :
			 send(ch->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

/* The same out of a file: the kernel moves the bytes, or TLS reads them. 0: it ends there. */
static inline ssize_t channel_sendfile(struct channel *ch, int file, off_t offset, size_t size)
{
	ssize_t n;

	if (ch->tls)
		return tls_sendfile(ch->tls, file, offset, size);
	n = sendfile(ch->fd, file, &offset, size);
	return n < 0 ? -errno : n;
}

/* Bytes have been taken off the socket that no event will tell of: receive again. */
static inline bool channel_has_more(const struct channel *ch)
{
	return ch->tls && tls_has_more(ch->tls);
}

/* The socket says that it has an error: it may be stamps that came late. */
static inline void channel_take_late_stamps(const struct channel *ch)
{
	if (ch->stamps)
		socket_stamps_drain(ch->stamps, ch->fd);
}

/* What to wait for before the next receive, or send. */
static inline uint32_t channel_read_events(const struct channel *ch)
{
	return ch->tls ? tls_read_events(ch->tls) : EPOLLIN;
}

static inline uint32_t channel_write_events(const struct channel *ch)
{
	return ch->tls ? tls_write_events(ch->tls) : EPOLLOUT;
}

#endif
