/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_SENDER_H
#define GAIT_REPLAY_WALK_SENDER_H

#include "base/hist.h"
#include "replay/walk/link.h"

#include <pthread.h>

/* How far a sender is, for others to look at. */
struct walk_live {
	_Atomic uint64_t sent, answered, failed;
};

struct walk_agent;
struct walk_remote;

/*
 * A thread of a walk: it sends on any number of connections, each request when it is due, whatever
 * became of those before, and takes what comes back.
 */
struct walk_sender {
	const struct walk_plan *plan; /* lent */
	struct walk_rows *rows;	      /* lent; NULL: none are kept */
	const atomic_bool *stopping;
	struct walk_count *counts; /* lent; of each of the walk's threads: of its own, at the end */
	uint32_t first,
		step; /* its connections are those of the walk's threads first, first + step, ... */
	int64_t anchor_ns; /* CLOCK_MONOTONIC; when the first one is due */
	pthread_t thread;
	bool running;
	struct walk_live *live;	    /* lent */
	struct walk_agent *agent;   /* that does it instead; NULL: none */
	struct walk_remote *remote; /* or that, on another host; NULL: none */
	atomic_bool over;	    /* walk_sender_join() does not wait */
	struct walk_tally tally;    /* once it has ended */
	struct err err;		    /* of the first connection that broke; empty: none did */
};

/* `s` has what is lent, and the anchor; the rest is zero. */
int walk_sender_start(struct walk_sender *s, struct err *err);
void walk_sender_join(struct walk_sender *s);
void walk_sender_release(struct walk_sender *s);

#endif
