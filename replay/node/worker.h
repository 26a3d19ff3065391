/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_WORKER_H
#define GAIT_REPLAY_NODE_WORKER_H

#include "replay/net/poller.h"
#include "replay/node/background.h"
#include "replay/node/called.h"
#include "replay/node/datagram.h"
#include "replay/node/io.h"
#include "replay/node/listen.h"
#include "replay/node/pass.h"
#include "replay/node/placement.h"
#include "replay/node/serve.h"
#include "replay/node/timelines.h"
#include "replay/node/walk.h"

#include <semaphore.h>

struct service;

/* Connections that have not said yet what they are, the oldest first. */
struct newcomers {
	struct newcomer *first;
	size_t count;
};

/* How the threads of a service wait, and where they run. */
struct worker_opts {
	enum poll_mode poll_mode;
	bool spins;	      /* looks for events without ever sleeping */
	int64_t peer_idle_ns; /* a peer of datagrams that was silent for so long is forgotten */
	struct placement placement;
};

/* A listening socket that this thread accepts from. */
struct listening {
	struct source source; /* first */
	const struct listener *listener;
	struct datagram_port *port; /* NULL: connections come in */
	bool own;		    /* nobody else's */
};

/*
 * A thread of the service: a loop of waiting and serving. A pass takes what is ready, serves it as
 * far as it goes, and ends with the ops that its requests share.
 */
struct worker {
	struct executor exec;
	struct service *service;
	uint32_t index;
	pthread_t thread;
	bool running;
	sem_t started; /* the thread has, or has given up */
	int start_code;
	struct poller poller;
	struct source mail_event, offers;
	struct listening listening[NODE_LISTENERS_MAX];
	size_t listening_count;
	struct stack mail;     /* of conn */
	struct stack arrivals; /* of newcomer, that another thread has accepted */
	uint32_t turn;	       /* whose the next one is that this thread accepts for all */
	struct stack handed;   /* of stranger: datagrams that another thread has read */
	struct stack io_done;  /* of io_job: what others did for it */
	struct stack resumed;  /* of active: another thread has run its group */
	struct uring *ring;    /* NULL: none */
	struct source ring_event;
	struct newcomers newcomers;
	char *received; /* NODE_RECEIVE_BYTES: what came in, never looked at */
	struct reading reading;
	struct pass pass;
	struct sleepers sleepers;
	struct background_queue background;
	struct active_pool actives;
	struct walk_work walk;
	struct datagram_work datagrams;
	struct called called;
	struct own_cost own;
	struct timelines *timelines; /* NULL: nobody asks */
	struct spool_writer rows;
	int64_t user_ns, kernel_ns; /* CPU of the thread, once it has ended */
};

/* Descriptors, buffers, no thread yet. 0 or -errno. */
int worker_init(struct worker *w, struct service *service, uint32_t index);
int worker_start(struct worker *w);

/* Wakes it from its sleep. From any thread. */
void worker_wake(struct worker *w);

/* Waits for its end, which the service's `stopping` brings about. */
void worker_join(struct worker *w);

/* Once it has ended: who has come to it and said nothing yet may be the next client. */
void worker_pass_newcomers(struct worker *w);
void worker_release(struct worker *w);

/* Registers a socket, or changes what is waited for; 0 events: no longer. As poller_watch(). */
int worker_watch(struct worker *w, struct source *source, uint32_t old_events, uint32_t new_events);

#endif
