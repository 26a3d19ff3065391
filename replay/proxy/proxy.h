/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PROXY_PROXY_H
#define GAIT_REPLAY_PROXY_PROXY_H

#include "base/err.h"
#include "base/hist.h"
#include "replay/proxy/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A wire of chosen length between clients and one server: whatever comes to one side -
 * the opening of a connection, bytes, the end of a half, a reset - leaves on the other
 * a fixed time after it came. One thread, any number of connections.
 *
 * Each direction of a connection holds at most buffer_bytes; when it is full nothing
 * more is read, and the sender feels it through its own socket. A wire of 100 ms that
 * is to carry 100 MB/s needs 10 MB of them.
 *
 * Bytes count from when the kernel received them (SO_TIMESTAMPNS; of several segments
 * read at once, the last), where it tells: on TCP, not on UNIX sockets. So the time
 * that this thread took to wake up is part of the delay, not on top of it.
 */
enum proxy_side { PROXY_CLIENT, PROXY_SERVER, PROXY_SIDES };

struct proxy_opts {
	struct proxy_address bind, to;
	int64_t delay_ns[PROXY_SIDES]; /* of what comes from that side */
	uint64_t frag_bytes;	       /* of a write at most; 0: as they came */
	uint64_t buffer_bytes;
	bool no_spin; /* see replay/pace.h */
};

#define PROXY_REASONS_MAX 16

struct proxy_stats {
	uint64_t connections; /* accepted */
	uint64_t open;	      /* of those, now */
	uint64_t turned_away; /* no descriptor or no memory left */
	uint64_t failed;      /* could not be opened to the server */
	struct proxy_reason {
		int code; /* errno; of the last row: any other */
		uint64_t count;
	} reasons[PROXY_REASONS_MAX];
	struct proxy_way_stats {
		uint64_t received_bytes, sent_bytes;
		uint64_t lost_bytes; /* received, and the connection broke or the proxy ended */
		uint64_t writes;
		uint64_t full;	 /* how often reading stopped, buffer_bytes being there */
		uint64_t resets; /* that came from this side */
	} ways[PROXY_SIDES];	 /* by the side that sends */
	struct hist late_ns; /* writes, after they were due; not those that waited for the socket */
};

struct proxy;

/* Resolves, listens. 0, or negative with a sentence. */
int proxy_new(const struct proxy_opts *opts, struct proxy **ret_proxy, struct err *err);
/* Closes all connections. Takes NULL. */
void proxy_free(struct proxy *p);

/* Where it listens; lent. At least one. */
const struct proxy_sockaddrs *proxy_listens_at(const struct proxy *p);

enum proxy_call {
	PROXY_STOPPED = 0,
	PROXY_ASKED = 1, /* for its statistics: go on by calling proxy_run() again */
};

/* Until proxy_stop() or proxy_ask(); enum proxy_call. */
int proxy_run(struct proxy *p);

/* From any thread and any signal handler. */
void proxy_stop(struct proxy *p);
void proxy_ask(struct proxy *p);

/* Breaks all connections, so that what they still held is counted. */
void proxy_close_all(struct proxy *p);

/* Lent; changes while proxy_run() runs. */
const struct proxy_stats *proxy_stats(const struct proxy *p);

#endif
