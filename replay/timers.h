/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_TIMERS_H
#define GAIT_REPLAY_TIMERS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Which of many absolute times comes next: a binary heap of timers that lie in their
 * owners. Setting, moving and removing one costs O(log n) and never fails, as room is
 * asked for when an owner is made. Pure.
 */
#define TIMER_NEVER INT64_MAX

struct timer {
	int64_t due_ns; /* TIMER_NEVER: it is not set */
	size_t index;	/* in the heap */
};

struct timers {
	struct timer **heap;
	size_t count, capacity, reserved;
};

/* A zero-initialised struct timers is empty. */
void timers_release(struct timers *timers);

/* Room for `more` timers: 0 or -ENOMEM. Given back with timers_unreserve(). */
int timers_reserve(struct timers *timers, size_t more);
void timers_unreserve(struct timers *timers, size_t less);

void timer_init(struct timer *timer);
/* TIMER_NEVER takes it out. */
void timers_set(struct timers *timers, struct timer *timer, int64_t due_ns);

/* TIMER_NEVER when none is set. */
int64_t timers_due_ns(const struct timers *timers);
/* Takes out the earliest if it is due by then; NULL: none is. */
struct timer *timers_take(struct timers *timers, int64_t now_ns);

#endif
