/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_OWN_SLOT_H
#define GAIT_PROBE_OWN_SLOT_H

#include "bpf/event.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A slot that its thread fills in itself, where no BPF program does: what a thread can know of its
 * own time without privilege. Whoever reads a slot finds it as the kernel side would have left it,
 * with fewer states.
 *
 *	off the CPU	time that passed, less the thread's own CPU clock
 *	TS_PREEMPTED	of it, that the thread could have run (run_delay of /proc/thread-self/schedstat)
 *			when it left the CPU only against its will; throttled or not is not told
 *	TS_RUNQUEUE	the same when it had also waited: from waking up to running, whatever kept it
 *	TS_WAIT_OTHER	the rest, when it had waited
 *	TS_USER		all else: also interrupts, and what a hypervisor took
 *
 * A stretch of less than OWN_SHORT_NS is taken to be all on the CPU: leaving it and coming back takes
 * most of that. So a thread that is busy pays two readings of the time for a stretch, some 40 ns, and
 * 0.25 us for a longer one; one that left the CPU another 1.1 us (schedstat, getrusage), once it is back.
 */
#define OWN_SHORT_NS 5000
#define OWN_NOISE_NS 1500 /* less off the CPU than this in a stretch is the grain of two clocks */

/* Readings of a thread's clocks and counts, by the thread itself. */
struct own_reading {
	int64_t ns;	  /* CLOCK_MONOTONIC */
	int64_t cpu_ns;	  /* CLOCK_THREAD_CPUTIME_ID */
	int64_t delay_ns; /* runnable and not running, so far; < 0: this kernel does not say */
	int64_t willing, unwilling; /* how often it left the CPU: to wait, and taken off */
};

struct own_slot {
	struct thread_slot slot;
	struct own_reading last; /* the CPU clock's, and the counts' when it had left the CPU */
	int schedstat_fd;	 /* -1: none */
};

/* To be called by the thread itself, as all of these. */
void own_slot_init(struct own_slot *own);
void own_slot_release(struct own_slot *own);

/* Brings the counters up to now, which it returns. */
int64_t own_slot_read(struct own_slot *own);

/*
 * How long the thread was off the CPU between two readings, at most the `length_ns` before the
 * second: the stretch that it is looked for in. Pure.
 */
int64_t own_off_ns(const struct own_reading *from, const struct own_reading *to, int64_t length_ns);

/* A stretch of that length, `off_ns` of it off the CPU, goes into the counters. Pure. */
void own_split(const struct own_reading *from, const struct own_reading *to, int64_t length_ns,
	       int64_t off_ns, uint64_t counters[TS_COUNT]);

#endif
