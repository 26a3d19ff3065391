/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_CLOCK_OFFSET_H
#define GAIT_REPLAY_NET_CLOCK_OFFSET_H

#include "replay/net/talk.h"

/*
 * How far another host's CLOCK_MONOTONIC is ahead of ours. It is asked for the time: its answer was
 * made somewhere between our question and its coming here, so the middle of the two is wrong by half
 * of that time at most (Cristian's method). Of many the one that was answered fastest counts.
 */
struct clock_offset {
	int64_t offset_ns; /* its clock minus ours */
	int64_t bound_ns;  /* wrong by so much at most; INT64_MAX: nothing is known */
};

#define CLOCK_OFFSET_NONE ((struct clock_offset){ 0, INT64_MAX })

/* Pure. Asked and heard by our clock, told by the other. */
void clock_offset_add(struct clock_offset *o, int64_t asked_ns, int64_t told_ns, int64_t heard_ns);

/*
 * What holds from `first`, known at the start, to `last`, known at the end, for who goes by the
 * first all the time: as wrong as that was, or by what the clocks have drifted apart since.
 */
int64_t clock_offset_bound(const struct clock_offset *first, const struct clock_offset *last);

/* Asks so many times. Nothing else may be under way. */
int clock_offset_ask(struct talk *t, int times, int timeout_ms, struct clock_offset *ret_offset,
		     struct err *err);

#endif
