/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TESTS_THREAD_STATES_H
#define GAIT_TESTS_THREAD_STATES_H

#include "bpf/event.h"

/* A state in two letters. */
static const char state_names[TS_COUNT][3] = {
	[TS_USER] = "us",	  [TS_KERNEL_NET] = "kn",    [TS_KERNEL_FS] = "kf",
	[TS_KERNEL_MM] = "km",	  [TS_KERNEL_OTHER] = "ko",  [TS_KERNEL_FAULT] = "pf",
	[TS_IRQ_NET] = "in",	  [TS_IRQ_BLOCK] = "ib",     [TS_IRQ_TIMER] = "it",
	[TS_IRQ_OTHER] = "io",	  [TS_WAKEUP] = "wu",	     [TS_RUNQUEUE] = "rq",
	[TS_PREEMPTED] = "pr",	  [TS_THROTTLED] = "th",     [TS_STEAL] = "st",
	[TS_WAIT_POLL] = "po",	  [TS_WAIT_NET] = "ne",	     [TS_WAIT_SLEEP] = "sl",
	[TS_WAIT_FUTEX] = "fu",	  [TS_WAIT_BLOCK] = "bl",    [TS_WAIT_QUEUE] = "qu",
	[TS_WAIT_HELD] = "he",	  [TS_WAIT_DIRTY] = "di",    [TS_WAIT_FAULT] = "fa",
	[TS_WAIT_JOURNAL] = "jo", [TS_JOURNAL_BLOCK] = "jb", [TS_WAIT_MEM] = "me",
	[TS_COMPACTION] = "co",	  [TS_WAIT_LOCK] = "lo",     [TS_WAIT_OTHER] = "ot",
};

#endif
