/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PROXY_FLOW_H
#define GAIT_REPLAY_PROXY_FLOW_H

#include "replay/proxy/delay_line.h"
#include "replay/proxy/proxy.h"
#include "replay/timers.h"

/*
 * One connection through a proxy: two sockets, and a delay line each way. It opens its
 * second socket one delay after the first was accepted, and frees itself when both
 * halves have ended or a reset has been passed on.
 */
#define PROXY_READ_BYTES 65536

/* What epoll tells of. */
struct proxy_source {
	enum { PROXY_WAKE, PROXY_LISTENER, PROXY_END } kind;
	int fd; /* -1: none */
};

/* What all flows of a proxy share; the proxy's. */
struct proxy_room {
	const struct proxy_opts *opts;
	struct proxy_sockaddrs to;
	int epoll_fd;
	struct timers timers;
	struct proxy_stats stats;
	struct proxy_flow *flows; /* those open */
	struct proxy_flow *ended; /* to be freed when no event can refer to them any more */
	int64_t realtime_offset_ns;
	char *read_buffer; /* PROXY_READ_BYTES */
};

struct proxy_end {
	struct proxy_source source; /* first */
	struct proxy_flow *flow;
	enum proxy_side side;
	int watched;   /* epoll events; -1: not in the epoll set */
	bool finished; /* nothing more comes: it has ended its half, or broke */
	bool broken;   /* nothing more can be sent: what is still to be read ends in a reset */
	bool hung;     /* both halves of its own are closed; it can tell nothing more */
};

/* From the end of the same index to the other. */
struct proxy_way {
	struct timer timer; /* first */
	struct proxy_flow *flow;
	enum proxy_side from;
	struct delay_line line;
	bool blocked; /* until the socket takes more */
	bool done;    /* the end has been passed on, or nobody is there to take anything */
};

struct proxy_flow {
	struct proxy_room *room;
	struct proxy_flow *next, *before;
	enum { FLOW_WAITING, FLOW_CONNECTING, FLOW_OPEN, FLOW_ENDED } state;
	int64_t opens_ns;
	size_t address; /* of room->to, that is being tried */
	struct proxy_end ends[PROXY_SIDES];
	struct proxy_way ways[PROXY_SIDES];
};

/* Takes the accepted socket over, also when it fails; 0 or -ENOMEM. */
int proxy_flow_new(struct proxy_room *room, int client_fd);

/* An event of one of its ends. */
void proxy_flow_event(struct proxy_end *end, uint32_t events);

/* The timer of one of its ways has come. */
void proxy_flow_timer(struct timer *timer);

/* Both sockets are reset, what is held is lost. */
void proxy_flow_break(struct proxy_flow *flow);

/* Frees those that have ended. */
void proxy_flows_sweep(struct proxy_room *room);

#endif
