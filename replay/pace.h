/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PACE_H
#define GAIT_REPLAY_PACE_H

#include <stdbool.h>
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
 * How a thread that paces stands to others on its CPU. One that sleeps most of the time goes before
 * them all (the lowest SCHED_FIFO priority): they wait for the few us that a send takes. One that
 * never sleeps, as it has no gap to sleep in, would starve them until the kernel takes the CPU away
 * from it for 50 ms of each second (sched_rt_runtime_us; the fair server since 6.12). It is an
 * ordinary thread, the nicest to itself (-20). Without the privilege it is ordinary all the time,
 * and lateness is seen all the same.
 */
struct pace_standing {
	int64_t looked_ns, cpu_ns; /* at the last look: when, and the thread's CPU time then */
	bool before_all;
};

#define PACE_LOOK_NS 50000000

/* The calling thread's sleeps end as exactly as the kernel can: timer slack of 1 ns; it goes first. */
void pace_sharpen_thread(struct pace_standing *s);

/* To be called now and then by that thread; looks at its share of the CPU each PACE_LOOK_NS. */
void pace_look(struct pace_standing *s, int64_t now_ns);

/* Pure: whether a thread that took cpu_ns of elapsed_ns is to go before all, as it does now or not. */
bool pace_goes_first(bool does, int64_t cpu_ns, int64_t elapsed_ns);

#endif
