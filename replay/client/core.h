/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_CORE_H
#define GAIT_REPLAY_CLIENT_CORE_H

#include "replay/client/client.h"
#include "replay/client/schedule.h"
#include "replay/pace.h"
#include "replay/plan/chains.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * Inside the client: client/client.c has the loop (what is due, what is late, what is
 * done), client/conn.c the connections (bytes out, bytes in).
 */
enum client_conn_state {
	CLIENT_CONN_UNOPENED,
	CLIENT_CONN_CONNECTING,
	CLIENT_CONN_OPEN,
	CLIENT_CONN_CLOSED, /* all done, or failed */
};

/* Requests go out, and replies come in, in the order of the connection's chain. */
struct client_conn {
	struct channel channel;
	uint8_t token[WIRE_TOKEN_BYTES]; /* of its preface */
	enum client_conn_state state;
	uint32_t events; /* that epoll looks for */
	uint32_t preface_left;
	uint32_t send_next, receive_next; /* requests; PLAN_CHAIN_END: no more */
	uint64_t send_left, receive_left; /* bytes of these */
	uint32_t sent, answered;	  /* by datagrams: requests */
};

/* What stays in memory of every request; the rest of it is in the plan, which may not be. */
struct client_request {
	uint32_t request_bytes, response_bytes;
	uint32_t fact; /* in client.facts; 0: it has not been due yet; CLIENT_OVER */
};

/* Its fact is among the rows: nothing more comes of it. */
#define CLIENT_OVER UINT32_MAX

struct client {
	struct client_setup setup;
	struct plan_chains chains;
	struct schedule schedule;
	struct pace pace;
	struct pace_breaks breaks;
	struct client_conn *conns;	 /* as plan->connections */
	struct client_request *requests; /* as plan->requests */
	struct client_fact *facts;	 /* from 1 on, of those that are due and not over */
	uint32_t facts_count, free_fact; /* that were ever used; the first of those that are free */
	uint32_t *released;		 /* requests in the order of having been due */
	size_t released_count, oldest;	 /* released[oldest] may still be outstanding */
	struct ledger ledger;		 /* of those that are over */
	size_t open_next;		 /* connections are opened in their order */
	size_t connecting;
	uint64_t planned, settled, outstanding; /* planned: requests of ours */
	uint64_t replies_late, messages_raised; /* of datagrams */
	int64_t anchor_ns;
	int64_t stop_ns; /* when to give up on what is outstanding; 0: not stopping */
	int epoll_fd, wake_fd, done_fd;
	int failed;			/* errno of the first connection that broke */
	const struct thread_slot *slot; /* NULL: nobody takes stamps */
	struct thread_slot own;		/* without probes */
	struct stamps stamps;
	char *buffer;
	pthread_t thread;
	bool running;
	atomic_bool stopping;
	_Atomic uint64_t sent_count, answered_count, failed_count;
};

/* NULL: it was not due yet, or it is over. */
static inline struct client_fact *client_fact_of(const struct client *c, uint32_t request)
{
	uint32_t fact = c->requests[request].fact;

	return fact && fact != CLIENT_OVER ? &c->facts[fact] : NULL;
}

/* Begins to connect. What goes wrong fails the connection. */
void client_conn_open(struct client *c, uint32_t index);

/* Sends what has been released, as far as the socket takes it. */
void client_conn_send(struct client *c, uint32_t index);

/* An event of its socket. */
void client_conn_event(struct client *c, uint32_t index, uint32_t events);

/* Closes it: what is outstanding on it, and what would come later, has failed. */
void client_conn_fail(struct client *c, uint32_t index, enum outcome outcome);

/*
 * Inside its connections (client/conn.c), for those that send datagrams (client/datagram.c). All
 * that has been released goes; a reply may be of any request that has gone.
 */
void client_conn_watch(struct client *c, uint32_t index, uint32_t events);
void client_conn_close(struct client *c, uint32_t index);
void client_conn_fail_with(struct client *c, uint32_t index, int error);

/* The request at send_next, if it is due; it counts as sent from when we first set about it. */
bool client_conn_is_released(struct client *c, const struct client_conn *conn);
void client_conn_send_next(struct client *c, struct client_conn *conn);

/* What the connection shows, with the token that was made when it began to connect. */
struct wire_preface client_preface_of(const struct client *c, uint32_t index);

/* Where the connection goes. */
const struct client_route *client_route_of(const struct client *c, uint32_t index);

void client_conn_send_datagrams(struct client *c, uint32_t index);
void client_conn_receive_datagrams(struct client *c, uint32_t index);

/*
 * For client/conn.c: a request begins to be sent, has been answered (true: in time), has failed
 * with its connection. The last two end it; that it had timed out before stays.
 */
void client_note_sent(struct client *c, struct client_fact *fact, int64_t now_ns);
bool client_note_answered(struct client *c, uint32_t request, int64_t now_ns);
/* The last request of a connection that failed: a connection that waited for it comes now. */
void client_note_over(struct client *c, uint32_t request);
void client_note_failed(struct client *c, uint32_t request, enum outcome outcome);

#endif
