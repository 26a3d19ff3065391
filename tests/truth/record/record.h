/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_TESTS_TRUTH_RECORD_H
#define GAIT_TESTS_TRUTH_RECORD_H

#ifndef __VMLINUX_H__
#include <stdint.h>
#endif

/*
 * A log of what the kernel told of one thread: X(symbol, name), a line "ns name a at b c" each, where
 * 0 says nothing. record.bpf.c writes it, record.c prints it, tests/unit/test_account_logs.c reads it.
 */
#define RECORD_LIST(X)                                                                \
	X(IN, "in")	/* a: 1 the CPU was idle; at: it lined up; b: quota came */   \
	X(OUT, "out")	/* a: enum record_leave; b, c: see below */                   \
	X(BACK, "back") /* it runs, and no `in` said so; at: it came; b: see below */ \
	X(WAKING, "waking")                                                           \
	X(HARDIRQ, "hardirq") /* a: 1 of a timer */                                   \
	X(HARDIRQ_END, "hardirq-end")                                                 \
	X(SOFTIRQ, "softirq") /* a: vector */                                         \
	X(SOFTIRQ_END, "softirq-end")                                                 \
	X(ENTER, "enter") /* a: number of the system call */                          \
	X(EXIT, "exit")                                                               \
	X(ROOM, "room") /* a: 1 for compaction */                                     \
	X(ROOM_END, "room-end")                                                       \
	X(LOCK, "lock")		/* a: which */                                        \
	X(LOCK_END, "lock-end") /* a: which */

enum record_kind {
#define X(symbol, name) RECORD_##symbol,
	RECORD_LIST(X)
#undef X
		RECORD_COUNT
};

/* Why it left; struct account_leave. */
enum record_leave { LEFT_RUNNABLE = 1, LEFT_THROTTLED = 2, LEFT_IOWAIT = 4, LEFT_MEMSTALL = 8 };

/*
 * With `out` and `back` comes what the scheduler itself has counted of the thread so far, in ns: b its waits for
 * the CPU (sched_info.run_delay), c its time there (sum_exec_runtime).
 */
struct record {
	uint64_t ns;
	uint32_t kind;
	uint32_t pad;
	uint64_t a, at, b, c;
};

#endif
