/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_REPLAY_H
#define GAIT_REPLAY_REPLAY_H

#include "base/err.h"
#include "replay/attribution.h"
#include "replay/client/clients.h"
#include "replay/net/address.h"
#include "replay/net/secure.h"
#include "replay/plan/load.h"
#include "replay/plan/set.h"
#include "replay/run_summary.h"
#include "trace/manifest.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* A whole replay: a trace and a node in, a run out. docs/REPLAY.md says how it decides. */
struct replay_progress {
	uint64_t planned, sent, answered, failed;
	int64_t late_p99_ns; /* of those sent since the last time */
	int64_t elapsed_ns, duration_ns;
};

/* A node that plays a service. */
struct replay_place {
	const char *service;	/* its name or number; NULL: the one the trace is about */
	struct address address; /* where data connections go */
};

struct replay_opts {
	const char *trace, *run; /* paths */
	struct replay_place places[PLAN_SERVICES_MAX];
	size_t places_count; /* 0: a node is started here for each service */
	const struct address
		*control;	   /* of the one place: the control connection; NULL: to the same */
	struct secure_opts secure; /* how that node proves itself, and we to it */
	const char *directory;	   /* of the local nodes' files; NULL: their default */
	struct plan_opts plan;
	struct plan_load load;
	int64_t timeout_ns;
	int64_t warm_up_ns;		 /* left out of summaries; RUN_WARM_UP_AUTO: by rule */
	uint32_t agents;		 /* processes that send; 0: a thread of this one does */
	const struct address *agents_at; /* lent: where they are, on other hosts; NULL: here */
	enum attribution attribution;
	bool spin;
	bool keeps; /* the run has the rows of a sample and of the slowest alone, and totals */
	uint64_t keep_share;   /* of KEEP_ALL: replay/keep.h */
	uint32_t keep_slowest; /* a second, of each client */
	bool timeline;	       /* of each request that has rows */
	bool replace;	       /* a run of that name */
	bool accept_edited;    /* a trace that differs from its manifest */
	const volatile sig_atomic_t
		*interrupted; /* how many signals came; the first one ends the sending */
	void (*progress)(void *arg,
			 const struct replay_progress *progress); /* each second, or NULL */
	void *progress_arg;
	void (*say)(const char *sentence); /* how the load differs from the trace; or NULL */
};

struct replay_result {
	struct manifest manifest; /* of the run; with its ledger and its verdict */
	struct breakdown_summary summary;
	uint64_t planned; /* requests */
	bool trace_partial;
	char no_probes[256]; /* why there are none, where there might be */
	char failure[512];   /* the run was written but is cut short: why; else empty */
	struct clock_offset clocks[CLIENTS_AGENTS_MAX]; /* of agents on other hosts */
	uint32_t clocks_count;
};

/*
 * 0 when a run was written, however good (see verdict, failure); else nothing or
 * part of one was, and err says why.
 */
int replay_run(const struct replay_opts *opts, struct replay_result *ret_result, struct err *err);
void replay_result_release(struct replay_result *result);

#endif
