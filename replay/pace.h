/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PACE_H
#define GAIT_REPLAY_PACE_H

#include <stdint.h>

/*
 * When to sleep and when to spin. A wake-up comes 50 us late or so, so one sleeps
 * until shortly before the time that is due and spins for the rest: half the sends
 * are then late by less than 0.1 us, for 4% of a core at 1000 sends a second.
 *
 * Every time is an absolute CLOCK_MONOTONIC one: errors never add up.
 */
#define PACE_SPIN_NS 50000

/*
 * After a long sleep a CPU is up to 200 us late (deep idle; a virtual one was given
 * away). So a long sleep ends early, and a short one follows that ends as it should.
 */
#define PACE_LONG_NS 20000000
#define PACE_EARLY_NS 1000000

struct pace {
	int64_t spin_ns; /* 0: never spin */
};

enum pace_move {
	PACE_DUE,   /* now */
	PACE_SPIN,  /* soon: look again without sleeping */
	PACE_SLEEP, /* later: sleep for *ret_sleep_ns */
};

#define PACE_NEVER INT64_MAX

/* Pure. With due_ns PACE_NEVER it is a sleep of PACE_NEVER. */
enum pace_move pace_next(const struct pace *pace, int64_t now_ns, int64_t due_ns,
			 int64_t *ret_sleep_ns);

/* Returns at due_ns or later; the time it is then. */
int64_t pace_wait_until(const struct pace *pace, int64_t due_ns);

/*
 * The calling thread's sleeps end as exactly as the kernel can (timer slack of 1 ns), and it goes before
 * others on its CPU (the lowest SCHED_FIFO priority): they wait for the few us that a send takes.
 * Without the privilege it stays an ordinary thread, and lateness is seen all the same.
 */
void pace_sharpen_thread(void);

/*
 * Where requests are so close that a thread spins between all of them, nobody else would have its CPU
 * until the kernel takes it away for 50 ms of each second (sched_rt_runtime_us; the fair server since
 * 6.12). So it takes breaks: 50 us, once a millisecond in which it has not slept.
 */
#define PACE_BREAK_NS 50000
#define PACE_BREAK_EVERY_NS 1000000

struct pace_breaks {
	int64_t slept_ns; /* when it last did */
};

/* Pure. For how long to sleep really, after what pace_next() said: its own sleep, or a break. */
int64_t pace_rest(struct pace_breaks *b, enum pace_move move, int64_t now_ns, int64_t sleep_ns);

#endif
