/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_WALK_H
#define GAIT_REPLAY_WALK_WALK_H

#include "base/hist.h"
#include "base/spec.h"
#include "replay/chain/chain.h"
#include "replay/net/address.h"
#include "replay/net/clock_offset.h"
#include "replay/net/secure.h"
#include "replay/walk/link.h"
#include "replay/walk/rows.h"
#include "replay/walk/schedule.h"
#include "trace/ledger.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * `gait walk`: synthetic requests, each an op chain, as DistWalk's client sends them.
 * What it is told is all in walk_opts; src/cli/cmd_walk.c makes it of a command line.
 */
#define WALK_THREADS_MAX 65536 /* connections, that is; senders are as many as CPUs */
#define WALK_AGENTS_MAX 64
#define WALK_SESSIONS_MAX 1000000000ull
#define WALK_RATE 1000 /* requests a second of a thread that is told none */
#define WALK_REQUEST_BYTES 1024
#define WALK_RETRY_PERIOD_MS 200 /* the least and the default */
#define WALK_TIMEOUT_NS (10ll * 1000 * 1000 * 1000)

struct walk_tls {
	const char *cert, *key, *ca, *ca_path, *ciphers; /* NULL: not given */
	bool verify;					 /* the node's certificate */
};

struct walk_progress {
	uint64_t requests, sent, answered, failed;
	int64_t elapsed_ns;
};

/* Texts and specs are lent: they outlive walk_run(). */
struct walk_opts {
	struct address to;
	bool has_control;
	struct address control; /* of the node; else `to`, which is TCP or UNIX then */
	bool bound;
	struct address bind;	    /* our own end, when bound; port 0: any */
	struct chain chain;	    /* what each request asks for */
	struct walk_class *classes; /* owned; NULL: all requests are alike */
	size_t classes_count;
	struct spec request_bytes; /* drawn at op WALK_OP_CLIENT, slot WALK_SLOT_BYTES */

	/* How many, of each thread over all its sessions. */
	uint64_t requests; /* `auto` has been counted */
	uint32_t threads;  /* a connection each */
	uint64_t sessions; /* of a thread, one after another; requests are split evenly among them */

	/* When: one of the two. A rate that changes does so every rate_step_ns: its k-th value is
	 * that of step k. A period is drawn for every request. */
	bool by_period;
	struct spec period;	   /* ns */
	struct spec rate;	   /* per second; spec_draw_real() */
	uint64_t rate_step_ns;	   /* 0: the rate is constant */
	uint32_t agents;	   /* processes that send; 0: threads of this one do */
	struct address *agents_at; /* owned: where they are, on other hosts; NULL: they are ours */
	bool wait_spin;
	bool stagger; /* spreads the first sends of the threads over one period, in their first session */

	uint64_t seed;
	uint32_t retries; /* of a connect that fails */
	uint64_t retry_period_ns;
	bool conn_times;	 /* tell how long connects took */
	bool non_block;		 /* connect without blocking */
	bool no_delay;		 /* TCP_NODELAY */
	bool per_session_output; /* rows leave when their session ends, not when they are many */

	int64_t timeout_ns; /* of a request, from when it was due */
	bool no_spin;	    /* sleeps until a request is due, and is some 50 us late */

	bool has_output;
	struct walk_output output;
	const char *run;  /* X.gait to write; NULL: none */
	bool attribution; /* of a run: the client probes itself where its node does */
	bool replace_run;
	bool keeps; /* the run has the rows of a sample and of the slowest alone, and totals */
	uint64_t keep_share;   /* of KEEP_ALL: replay/keep.h */
	uint32_t keep_slowest; /* a second */
	bool timeline;	       /* of each request that the run has rows of */
	struct walk_tls tls;   /* of data connections */

	struct secure_opts secure; /* how nodes prove themselves, and we to them */
	const volatile sig_atomic_t
		*interrupted; /* how many signals came; the first ends the sending */
	void (*progress)(void *arg,
			 const struct walk_progress *progress); /* each second, or NULL */
	void *progress_arg;
	/*
	 * Called when all is ready: the time at which the schedule begins (CLOCK_MONOTONIC), or < 0
	 * when it is not to. NULL: shortly after.
	 */
	int64_t (*begin)(void *arg);
	void *begin_arg;
};

/* What of it says when and how much; lends the specs. */
static inline struct walk_schedule walk_schedule_of(const struct walk_opts *o)
{
	return (struct walk_schedule){
		.threads = o->threads,
		.requests = o->requests,
		.sessions = o->sessions,
		.seed = o->seed,
		.period = o->by_period ? &o->period : NULL,
		.rate = &o->rate,
		.rate_step_ns = (int64_t)o->rate_step_ns,
		.size = &o->request_bytes,
		.chain = &o->chain,
		.classes = o->classes,
		.classes_count = o->classes_count,
		.datagrams = o->to.transport == TRANSPORT_UDP,
		.stagger = o->stagger,
	};
}

/* Where the client's own values are drawn: spec_key.op and .slot. Ops of the chain are below. */
#define WALK_OP_CLIENT UINT32_MAX
enum walk_slot { WALK_SLOT_BYTES, WALK_SLOT_PERIOD, WALK_SLOT_RATE };

struct walk_result {
	struct walk_count *threads; /* opts->threads of them */
	uint64_t sent, outcomes[WALK_OUTCOMES], bytes_out, bytes_in;
	uint64_t replies_late; /* to requests that were over */
	uint64_t raised;       /* requests made larger, to hold a header */
	uint64_t rows_waited;  /* times a sender had to wait for the rows' file */
	int64_t duration_ns;
	struct hist latency, service, late, connect; /* ns; see struct walk_tally */
	struct ledger ledger;			     /* of the nodes */
	struct clock_offset clocks[WALK_AGENTS_MAX]; /* of agents on other hosts */
	uint32_t clocks_count;
	struct clock_offset node_clock; /* of a node on another host; bound 0: there is none */
	char unattributed[256];		/* why the client could not probe itself; else empty */
	bool invalid;			/* late sending is more than 10% of the p99 */
	char failure[512];		/* a connection broke: why; else empty */
};

/*
 * Counted at the client, from when a request was due, whether or not it could be sent then. 0 when
 * it ran, however it went (see `failure`); else -errno, and err says why it did not.
 */
int walk_run(const struct walk_opts *opts, struct walk_result *ret_result, struct err *err);
void walk_result_release(struct walk_result *result);

#endif
