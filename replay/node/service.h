/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_SERVICE_H
#define GAIT_REPLAY_NODE_SERVICE_H

#include "replay/node/admission.h"
#include "replay/node/listen.h"
#include "replay/node/worker.h"

/*
 * What plays the recorded service: its threads, connections, files and plan. The
 * control thread builds it, feeds it and takes it down; in between it runs by
 * itself.
 */
struct service_setup {
	struct listeners *listeners;
	const struct worker_opts *workers;
	struct storage *storage;
	const struct thread_slot *slots; /* NULL: no probes */
	bool counts_itself;		 /* then: each thread its own time */
	uint64_t work_per_ms;
	struct node_stats *stats;
	enum compute_mode compute;
	struct io_opts io;
	uint64_t requests_ahead;
	uint8_t secret[WIRE_TOKEN_BYTES]; /* by which its prefaces are signed */
	uint32_t threads;		  /* 0: as recorded */
};

struct service {
	struct service_setup setup;
	struct exec_setup exec;
	struct walk_program *walk; /* NULL: it replays a recorded service */
	enum plan_batching batching;
	struct forward_peers peers;
	int64_t call_timeout_ns;
	uint32_t threads, recorded_threads;
	struct worker *workers;
	struct background *background; /* WIRE_BACKGROUND_THREADS_MAX of them */
	uint32_t background_threads;
	struct node_plan plan;
	struct groups groups;
	struct spool rows, oprows;
	bool timelines;		/* of each request too, in `stretches` */
	struct spool stretches; /* struct wire_stretch */
	struct keeper *keeper;	/* of a walk that keeps a sample of them; NULL: all are kept */
	struct io io;

	pthread_mutex_t lock; /* of the connections */
	struct idmap conn_ids;
	struct conn **conns;
	size_t conns_count;
	struct admission admission; /* connections of a walk, and of nodes that call */

	int strangers[2]; /* a pipe of sockets that are no data connection of ours */
	int offers[2];	  /* a pipe of sockets that are, and came to another service's threads */
	_Atomic uint64_t refused, datagrams_refused; /* as what is offered was not ours */

	atomic_bool encrypts; /* what data connections carry */
	atomic_bool stopping;
	_Atomic int64_t anchor_ns; /* 0: not started */
	bool started;		   /* its threads run */
	struct ledger ledger;	   /* of all threads, once it has stopped */
};

/* Without threads yet. */
int service_new(const struct service_setup *setup, const struct wire_service *recorded,
		struct service **ret_service, struct err *err);

/* Stops it first. */
void service_free(struct service *s);

/* One that walks, as `program` says, which it takes over even if it fails. */
int service_new_walk(const struct service_setup *setup, struct walk_program *program,
		     struct service **ret_service, struct err *err);

/* Before service_start(), all of them; connections and requests also later. */
int service_add_background(struct service *s, const struct plan_background *background,
			   struct err *err);
int service_add_connection(struct service *s, const struct wire_connection *connection,
			   struct err *err);
int service_add_request(struct service *s, const struct plan_request *request,
			const struct plan_op *ops, struct err *err);

/* Threads serve from here on; background ops wait for the anchor (CLOCK_MONOTONIC ns). */
int service_start(struct service *s, struct err *err);
void service_go(struct service *s, int64_t anchor_ns);

/* Its threads shall look around them: at what the node asks. */
void service_wake(struct service *s);

/* Writes rows out. To be called now and then. */
void service_tick(struct service *s);

/* Requests served and given back so far, and their ops. */
void service_credit(const struct service *s, struct wire_credit *ret_credit);

/* Ends the threads; ledger, usage and spools are then complete. */
void service_stop(struct service *s);
void service_usage(const struct service *s, struct wire_usage *ret_usage);

/* One that came to another service's threads; true if this one has taken it. */
bool service_takes(struct service *s, const struct wire_preface *preface,
		   struct stranger *stranger);

/* The workers, from here on. */

/*
 * The connection a preface names, which nobody can open again; NULL: there is
 * none, the token is wrong, or there has been one. *ret_ours: the token is right. `from`: of
 * datagrams, who sends them; NULL: a stream. Whose datagrams
 * it is that come is for the kernel to say, not for the plan: then it is w's from now on.
 */
struct conn *service_claim(struct service *s, struct worker *w, const struct wire_preface *preface,
			   const struct endpoint *from, bool *ret_ours);

/* Whose a connection of the plan is that somebody has claimed; NULL: there is none. */
struct worker *service_worker_of(struct service *s, const struct wire_preface *preface);

/* Whether its token is of this session, whatever became of its connection. */
bool service_signed(const struct service *s, const struct wire_preface *preface);

/* One that service_takes() has got, or NULL. */
struct stranger *service_take_offer(struct service *s);

/* It is no data connection of ours: the control thread gets it. */
void service_pass_stranger(struct service *s, struct stranger *stranger);

/* The control thread, when strangers[0] is readable, and at the end: one of them, or NULL. */
struct stranger *service_take_stranger(struct service *s);

#endif
