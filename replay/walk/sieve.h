/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_SIEVE_H
#define GAIT_REPLAY_WALK_SIEVE_H

#include "base/err.h"
#include "replay/net/wire.h"
#include "replay/walk/rows.h"
#include "replay/walk/schedule.h"

/*
 * Which rows of a client a long run keeps: those of a sample (replay/keep.h), and the slowest of those
 * that came within SLOWEST_NS of each other (replay/slowest.h). A window ends when a row comes after
 * that time. Of the slowest, nodes are to be told while they still have their rows:
 * walk_sieve_names().
 */
struct walk_sieve_setup {
	struct walk_schedule schedule; /* whose specs are lent */
	uint64_t share;
	uint32_t slowest; /* 0..SLOWEST_MAX */
	/* Each row before it is known whether it stays, then each that does; by one thread. */
	void (*each)(void *arg, const struct walk_row *row);
	void (*kept)(void *arg, const struct walk_row *row);
	void *arg;
};

struct walk_sieve;

int walk_sieve_new(const struct walk_sieve_setup *setup, struct walk_sieve **ret_sieve,
		   struct err *err);
void walk_sieve_free(struct walk_sieve *sieve);

/* Rows at a time of CLOCK_MONOTONIC, always by the same thread; then the end of the last window. */
void walk_sieve_take(struct walk_sieve *sieve, const struct walk_row *rows, size_t count,
		     int64_t now_ns);
void walk_sieve_end(struct walk_sieve *sieve);

/* By another thread: slow requests that nodes have not been told of. False: none. */
bool walk_sieve_names(struct walk_sieve *sieve, struct wire_slow *ret_slow);

#endif
