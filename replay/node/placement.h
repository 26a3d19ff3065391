/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_PLACEMENT_H
#define GAIT_REPLAY_NODE_PLACEMENT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where threads run, and in whose turn. */

#define CPU_LIST_MAX 1024

/* Thread i runs on cpus[i % count] alone; count 0: wherever it is put. */
struct cpu_list {
	size_t count;
	uint16_t cpus[CPU_LIST_MAX];
};

/*
 * "auto" (each CPU that this process may use, in their order) or "0,2,4-8:2": CPUs, ranges,
 * ranges with a step. 0, or -EINVAL or -ERANGE with a sentence.
 */
int cpu_list_parse(const char *text, struct cpu_list *ret_list, struct err *err);

/*
 *	other[:NICE]			-20..19
 *	rr:PRIORITY fifo:PRIORITY	1..99
 *	dl:RUNTIME_US,DEADLINE_US	SCHED_DEADLINE, its period the deadline
 */
struct sched_choice {
	bool chosen;	 /* else all the rest is 0: as it was started */
	uint32_t policy; /* SCHED_* */
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns;
};

int sched_choice_parse(const char *text, struct sched_choice *ret_choice, struct err *err);

/* What the threads of a service are to be. */
struct placement {
	struct cpu_list cpus;
	struct sched_choice sched;
};

/* Of the calling thread, the index-th one: 0 or -errno. */
int placement_apply(const struct placement *p, size_t index);

/* Whether all of it is allowed here, tried by a thread of its own; a sentence names what is not. */
int placement_try(const struct placement *p, struct err *err);

#endif
