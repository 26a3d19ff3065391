/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_SENDER_H
#define GAIT_REPLAY_WALK_SENDER_H

#include "base/hist.h"
#include "base/spec.h"
#include "replay/address.h"
#include "replay/pace.h"
#include "replay/walk_rows.h"
#include "replay/wire.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/*
 * One thread of a walk: requests on one connection, when they are due, whatever became of those
 * before. Everything that is due by the time it sends goes out in one call, and a request is as
 * late as that call. Replies may come in any order.
 */
struct walk_sender_setup {
	struct endpoint endpoint; /* of the node's data port */
	uint8_t token[WIRE_TOKEN_BYTES];
	uint32_t thread, threads;
	uint64_t requests; /* of all sessions together */
	uint64_t sessions;
	uint64_t seed;
	const struct spec *period; /* ns between two requests; NULL: by rate */
	const struct spec *rate;   /* requests a second, of each step */
	int64_t rate_step_ns;	   /* 0: one step */
	const struct spec *size;   /* bytes of a request */
	int64_t timeout_ns;	   /* of a request, from when it was due */
	int64_t spin_ns;	   /* before a request is due; 0: never */
	bool wait_spin;		   /* never sleeps */
	bool stagger;		   /* the threads' first requests are spread over a period */
	bool no_delay;
	uint32_t connect_retries;
	int64_t connect_retry_ns;
	struct walk_rows *rows; /* NULL: none are kept */
	const atomic_bool *stopping;
};

struct walk_tally {
	uint64_t sent, outcomes[WALK_OUTCOMES];
	uint64_t bytes_out, bytes_in;
	uint64_t raised; /* requests that were smaller than a header */
	uint64_t rows_waited;
	struct hist latency; /* ns from due to received, of those that were answered */
	struct hist service; /* from sent to received */
	struct hist late;    /* from due to sent */
	struct hist connect; /* ns of connect() */
};

struct walk_sender {
	struct walk_sender_setup setup;
	pthread_t thread;
	bool running;
	int64_t anchor_ns;			 /* CLOCK_MONOTONIC; when the first one is due */
	_Atomic uint64_t sent, answered, failed; /* so far */
	atomic_bool over;			 /* walk_sender_join() does not wait */
	struct walk_tally tally;		 /* once it has ended */
	struct err err;				 /* why it ended early; empty: it did not */
};

/* `setup` is copied; what it points to is lent. */
int walk_sender_start(struct walk_sender *s, const struct walk_sender_setup *setup,
		      int64_t anchor_ns, struct err *err);
void walk_sender_join(struct walk_sender *s);
void walk_sender_release(struct walk_sender *s);

#endif
