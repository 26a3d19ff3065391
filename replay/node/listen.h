/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_LISTEN_H
#define GAIT_REPLAY_NODE_LISTEN_H

#include "replay/net/address.h"
#include "replay/net/channel.h"
#include "replay/net/datagram.h"
#include "replay/net/wire.h"
#include "replay/node/stack.h"

#include <pthread.h>
#include <stdatomic.h>

/* Which of the service's threads take new connections. */
enum accept_mode {
	ACCEPT_SHARED, /* all, from the same sockets */
	ACCEPT_CHILD,  /* each from sockets of its own on the same ports (SO_REUSEPORT) */
	ACCEPT_PARENT, /* the first one, for the others in turn */
};

#define NODE_LISTENERS_MAX 16

struct listen_setup {
	struct address addresses[NODE_LISTENERS_MAX];
	size_t count;
	size_t control; /* the one where clients come in */
	enum accept_mode accept_mode;
	int backlog;
	bool delays;			/* no TCP_NODELAY */
	const char *tls_cert, *tls_key; /* PEM files; NULL: one is made */
};

/*
 * Where a node listens. What a plain TCP listener accepts is readable only when a whole
 * preface is there (SO_RCVLOWAT): less than that is no gait client.
 */
struct listener {
	struct address address; /* with the port it has got */
	int fd;
	bool controls; /* clients come in here, beside data connections */
	bool loopback; /* only this machine can reach it */
};

struct listeners {
	struct listener all[NODE_LISTENERS_MAX];
	size_t count;
	size_t control;
	enum accept_mode accept_mode;
	struct listen_opts opts;
	struct tls_context *tls; /* NULL: none of them encrypts */
	pthread_mutex_t lock;
	atomic_uint sessions; /* that there are: what comes to one's threads may be another's */
	bool stamped;	      /* the kernel is asked when datagrams came: listeners_stamp() */
	bool stamps_streams;  /* and bytes of streams */
	int reserve_fd; /* given up to turn a client away when there are no descriptors left */
};

int listeners_open(struct listeners *ls, const struct listen_setup *setup, struct err *err);
void listeners_close(struct listeners *ls);

/*
 * Asks the kernel when datagrams come (net/stamps.h), which no probe tells, and, if so wanted, the
 * bytes of streams: before anybody is let in.
 */
void listeners_stamp(struct listeners *ls, bool streams);

/*
 * A further socket on the listener's port, for another thread; -ENOTSUP where that cannot
 * be (UNIX sockets): then the threads share the one there is.
 */
int listener_open_another(const struct listeners *ls, const struct listener *l);

/*
 * From any thread, from the listener's own socket or another one of its port. A connection
 * in *ret_channel, or -EAGAIN, or -EMFILE when one had to be turned away.
 */
int listener_accept(struct listeners *ls, const struct listener *l, int listening_fd,
		    struct channel *ret_channel);

/* Nobody serves: what has come there, so far, is no use to anybody. How many datagrams. */
unsigned listener_drop_datagrams(const struct listener *l);

/* A connection that has not said yet what it is, or not to whom it belongs. */
struct stranger {
	struct channel channel;
	bool may_control;     /* it came where clients come in */
	int64_t since_ns;     /* when it was let in */
	size_t preface_bytes; /* that have come */
	uint8_t preface[WIRE_PREFACE_BYTES];
	struct dgram *datagram; /* it is one, owned, that came to a listener; NULL: a connection */
	const struct listener *listener;
	struct link handed; /* from thread to thread */
};

/* Takes the channel over, also on failure (NULL). */
struct stranger *stranger_new(const struct channel *channel, bool may_control);
void stranger_free(struct stranger *s);

/* A datagram with a preface that came there: a copy of it. NULL: no memory. */
struct stranger *stranger_new_datagram(const struct listener *l, const struct dgram *d);

/* Nothing is taken; -1: it cannot be told any more, or not yet, or is under TLS. */
int stranger_first_byte(const struct stranger *s);

/* Its first byte is that of a control connection, plain or under TLS. */
bool stranger_is_client(const struct stranger *s);

/* > 0: its preface is whole; 0: more must come; < 0: it is none, or the other end has gone. */
int stranger_listen(struct stranger *s, struct wire_preface *ret_preface);

/* The connection has said what it is: from now on every byte counts. */
void listener_admit(int fd);

#endif
