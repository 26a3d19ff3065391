/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_NODE_H
#define GAIT_REPLAY_NODE_NODE_H

#include "replay/attribution.h"
#include "replay/net/secure.h"
#include "replay/node/reach.h"
#include "replay/node/io.h"
#include "replay/node/worker.h"

/*
 * A node plays a service for a client: one session at a time, on one port. What
 * comes in is never trusted; no client can end it.
 */
struct node_opts {
	struct listen_setup listen; /* count 0: a free port of 127.0.0.1; backlog 0: NODE_BACKLOG */
	struct worker_opts workers; /* peer_idle_ns 0: NODE_PEER_IDLE_S */
	const char *dir;	    /* where files are laid out; NULL: $TMPDIR or /tmp */
	uint32_t threads;	    /* 0: as recorded */
	uint64_t storage_bytes;	    /* of all files */
	uint64_t requests_ahead;
	enum attribution attribution;
	bool once;		   /* ends after one session */
	struct secure_opts secure; /* how clients prove themselves */
	struct reach reach;	   /* whom it calls for clients */
	bool insecure;		   /* off loopback too they need not: else that is refused */
	/* a client that was turned away and why, in the thread of node_run(); may be NULL */
	void (*tell)(void *arg, const char *sentence);
	void *tell_arg;
	/* a table of what was done so far; at node_report(), and at the end; may be NULL */
	void (*report)(void *arg, const char *text);
	uint32_t compute; /* enum compute_mode */
	struct io_opts io;
	const struct devices *devices; /* lent; NULL: none */
};

struct node;

/*
 * Probes (in a process that is forked first), calibrates, listens. Fails without
 * an address, a directory or a device, and with -EPERM off loopback when clients need not
 * prove themselves; where ATTRIBUTION_AUTO finds no probes it goes on (node_why_no_probes()).
 */
int node_new(const struct node_opts *opts, struct node **ret_node, struct err *err);
void node_free(struct node *n);

/* Where clients come in. */
uint16_t node_port(const struct node *n);

/* All of where it listens, in the order of the options. */
size_t node_listeners(const struct node *n, const struct listener **ret_first);

/* Whether clients come in off loopback, and everybody is let in. */
bool node_is_insecure(const struct node *n);

/* Why its threads count their own time; NULL: they do not, or were asked to. */
const char *node_why_no_probes(const struct node *n);

/* Serves in the calling thread until node_stop(), or the end of the one session. */
int node_run(struct node *n, struct err *err);

/* From any thread, or a signal handler. */
void node_stop(struct node *n);
void node_report(struct node *n);

#endif
