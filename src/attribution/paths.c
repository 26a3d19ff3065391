/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/paths.h"

#include <stddef.h>

const char *const path_kind_names[] = { "measured", "inferred", "absent" };

#define MEASURED(by, otherwise, ...)          \
	{                                     \
		PATH_MEASURED, by, otherwise, \
		{                             \
			__VA_ARGS__           \
		}                             \
	}
#define INFERRED(by, otherwise, ...)          \
	{                                     \
		PATH_INFERRED, by, otherwise, \
		{                             \
			__VA_ARGS__           \
		}                             \
	}

/* A node stamps its own calls; of a captured service the kernel tells. */
#define CALLS "on_call_enter", "on_call_exit"
#define INTERRUPTED "the rows of the code that was interrupted"
#define WAITED "unattributed"

const struct path paths[SUB_COUNT] = {
	[SUB_CLIENT_LATE] = MEASURED("the client's clock: due, and sent", NULL, NULL),
	[SUB_CLIENT_SEND] = MEASURED("the client's send call, to the transmit stamp", "net.wire",
				     "on_own_send", "on_transmit"),
	[SUB_CLIENT_RECEIVE] = MEASURED("arrival stamp, to the client's read", "net.wire",
					"on_own_receive", "on_segment"),
	[SUB_NET_WIRE] = MEASURED("transmit stamp to arrival stamp, in runs", "net.rxqueue",
				  "on_transmit", "on_segment"),
	[SUB_NET_RETRANSMIT] = MEASURED("transmit stamp to the last one sent again, in runs",
					"net.wire", "on_retransmit"),
	[SUB_NET_QDISC] =
		MEASURED("transmit stamp to the device's, in runs", "net.wire", "on_leave"),
	[SUB_NET_ACCEPT] = MEASURED("arrival stamp to the return of accept, in captures",
				    "net.rxqueue", CALLS),
	[SUB_NET_RXQUEUE] =
		MEASURED("arrival stamp to read", WAITED, "on_segment", "on_data_ready"),
	[SUB_NET_SOCKET] = MEASURED("off the CPU in a call on a socket", WAITED, "on_switch"),
	[SUB_APP_QUEUE] = MEASURED("read, to the first of its own work", WAITED, CALLS),
	[SUB_APP_HANDOFF] =
		INFERRED("calls by which threads signal each other; nodes know", WAITED, CALLS),
	[SUB_APP_SLEEP] = MEASURED("off the CPU in a timer call", WAITED, "on_switch"),
	[SUB_CPU_USER] =
		MEASURED("what is left of the time on the CPU", WAITED, "on_switch", CALLS),
	[SUB_CPU_KERNEL_NET] = MEASURED("calls on sockets", "cpu.user", CALLS),
	[SUB_CPU_KERNEL_FS] = MEASURED("calls on files", "cpu.user", CALLS),
	[SUB_CPU_KERNEL_MM] = MEASURED("calls on memory", "cpu.user", CALLS),
	[SUB_CPU_KERNEL_OTHER] = MEASURED("all other calls", "cpu.user", CALLS),
	[SUB_CPU_IRQ_NET] = MEASURED("softirqs outside of network calls", INTERRUPTED,
				     "on_softirq_entry", "on_softirq_exit"),
	[SUB_CPU_IRQ_BLOCK] =
		MEASURED("softirqs", INTERRUPTED, "on_softirq_entry", "on_softirq_exit"),
	[SUB_CPU_IRQ_TIMER] = MEASURED("timer interrupts and softirqs", INTERRUPTED,
				       "on_local_timer_entry", "on_local_timer_exit",
				       "on_softirq_entry", "on_softirq_exit"),
	[SUB_CPU_IRQ_OTHER] = MEASURED("interrupts of devices and of other CPUs", INTERRUPTED,
				       "on_irq_handler_entry", "on_reschedule_entry",
				       "on_call_function_entry", "on_call_function_single_entry",
				       "on_irq_work_entry"),
	[SUB_SCHED_WAKEUP] = MEASURED("woken, to running on a CPU that was idle",
				      "the row of the wait", "on_waking", "on_switch"),
	[SUB_SCHED_RUNQUEUE] = MEASURED("woken, to running on a CPU that was busy",
					"the row of the wait", "on_waking", "on_switch"),
	[SUB_SCHED_PREEMPTED] = MEASURED("off the CPU and runnable", WAITED, "on_switch"),
	[SUB_SCHED_THROTTLED] = MEASURED("off the CPU and runnable, its group out of quota",
					 "sched.preempted", "on_switch"),
	[SUB_SCHED_STEAL] = MEASURED("KVM's own counter, where it is found", "the row of the event",
				     "on_switch"),
	[SUB_BLOCK_QUEUE] = MEASURED("put into a scheduler's queue by the thread, to the device",
				     "block.device", "on_block_insert", "on_block_issue"),
	[SUB_BLOCK_DEVICE] = INFERRED("off the CPU and in_iowait", WAITED, "on_switch"),
	[SUB_BLOCK_THROTTLED] = INFERRED(
		"waiting for block I/O, until the kernel queues a request that a limit held",
		"block.device", "on_bio_queue"),
	[SUB_FS_JOURNAL] =
		INFERRED("off the CPU in a sync or file call, not in_iowait", WAITED, "on_switch"),
	[SUB_FS_JOURNAL_BLOCK] = MEASURED(
		"such a wait, while the thread of ext4's journal that ended it was in_iowait",
		"fs.journal", "on_switch", "on_waking"),
	[SUB_FS_WRITEBACK] = MEASURED("made to wait for more is written than may be kept",
				      "block.device", "on_dirty_pause"),
	[SUB_MEM_FAULT] = INFERRED(
		"page faults in captures; without handle_mm_fault waits alone, else cpu.user",
		WAITED, "on_fault_begin"),
	[SUB_MEM_RECLAIM] = MEASURED(
		"the thread makes room itself; inferred: off the CPU and in_memstall", WAITED,
		"on_vmscan_direct_reclaim_begin", "on_vmscan_memcg_reclaim_begin", "on_switch"),
	[SUB_MEM_COMPACTION] = MEASURED("the thread makes room itself", "mem.reclaim",
					"on_compaction_begin", "on_compaction_end"),
	[SUB_LOCK_USER] = MEASURED("off the CPU in a futex call", WAITED, "on_switch"),
	[SUB_LOCK_KERNEL] = MEASURED("off the CPU, trying to get a lock that somebody has",
				     "fs.journal in file calls, else unattributed",
				     "on_contention_begin", "on_contention_end"),
	[SUB_CALL] =
		INFERRED("waiting for a connection of its own; nodes know", "net.socket", CALLS),
};

enum path_kind path_here(const struct path *path, path_loads_fn loads, void *arg)
{
	if (!path->programs[0])
		return path->kind;
	for (const char *const *p = path->programs; *p; p++)
		if (loads(arg, *p))
			return path->kind;
	return PATH_ABSENT;
}
