/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_ACTIVITY_H
#define GAIT_REPLAY_NODE_ACTIVITY_H

#include "bpf/event.h"

#include <stdint.h>

/*
 * What a thread of the node is doing, as the node knows it. In a run no system
 * calls are traced: the kernel side counts all time on the CPU as TS_USER, all
 * that is not block I/O off it as TS_WAIT_OTHER, and a softirq within a network
 * call as TS_IRQ_NET. The activity gives a segment the states that the capture's
 * probes would have given it. Pure.
 */
enum activity {
	ACTIVITY_SELF,	  /* the node's own user code */
	ACTIVITY_COMPUTE, /* a compute op */
	ACTIVITY_POLL,	  /* epoll_wait, accept */
	ACTIVITY_NET,	  /* another call on a socket */
	ACTIVITY_FILE,	  /* a call on a file */
	ACTIVITY_DEVICE,  /* one past the cache, that waits for the device alone */
	ACTIVITY_LOCK,	  /* waiting for a lock, and computing under it */
	ACTIVITY_MEMORY,  /* mapping, touching and unmapping pages */
	ACTIVITY_KERNEL,  /* kernel work of no class of its own */
	/* where no BPF program tells block I/O from other waits */
	ACTIVITY_FILE_UNTOLD,
	ACTIVITY_DEVICE_UNTOLD,
	ACTIVITY_MEMORY_UNTOLD,
	ACTIVITY_COUNT
};

/* Counters of a thread at a time; all in ns. */
struct stamp {
	int64_t ns; /* CLOCK_MONOTONIC */
	uint64_t counters[TS_COUNT];
};

/* The state that one of the kernel side's is in truth, as activity_relabel() moves it. */
enum thread_state activity_state(enum activity activity, enum thread_state state);

void activity_relabel(enum activity activity, int64_t delta[TS_COUNT]);

/* What is left of an activity where a wait of a file or of memory may be for anything. */
enum activity activity_untold(enum activity activity);

/* A receive, as stamps of the thread that made it. */
struct reading {
	struct stamp sleep; /* called epoll_wait */
	struct stamp wake;  /* it returned */
	struct stamp enter; /* called recv */
	struct stamp leave; /* it returned */
};

/*
 * What the thread did from a message's arrival until it had read it: for others,
 * and on waking up for it and reading it. `arrived` are its counters at the
 * arrival; NULL when nobody took them: then the time before the last sleep is known
 * by its length only. Both sum to the time since the arrival.
 */
void reading_split(const struct reading *r, int64_t arrival_ns, const uint64_t *arrived,
		   int64_t ret_unread[TS_COUNT], int64_t ret_own[TS_COUNT]);

#endif
