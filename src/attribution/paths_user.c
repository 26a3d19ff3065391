/* SPDX-License-Identifier: Apache-2.0 */
/* By which way each row comes about in a run where no BPF program is loaded (probe/own_slot.h). */
#include "attribution/paths.h"

#define MEASURED(by)               \
	{                          \
		PATH_MEASURED, by, \
	}
#define INFERRED(by)               \
	{                          \
		PATH_INFERRED, by, \
	}
#define ABSENT(where)               \
	{                           \
		PATH_ABSENT, where, \
	}

#define INTERRUPTED ABSENT("the rows of the code that was interrupted")
#define UNTOLD ABSENT("unattributed")
#define CPU MEASURED("the thread's CPU clock, between a node's own stamps")

const struct path_user paths_user[SUB_COUNT] = {
	[SUB_CLIENT_LATE] = MEASURED("the client's clock: due, and sent"),
	[SUB_CLIENT_SEND] = MEASURED("the client's send call, to the socket's transmit stamp"),
	[SUB_CLIENT_RECEIVE] = MEASURED("the socket's arrival stamp, to the client's read"),
	[SUB_NET_WIRE] =
		MEASURED("the client's transmit stamp to the node's arrival stamp; back: in "
			 "call"),
	[SUB_NET_RETRANSMIT] = ABSENT("net.wire"),
	[SUB_NET_QDISC] = MEASURED("the socket's two transmit stamps"),
	[SUB_NET_ACCEPT] = ABSENT("net.rxqueue"),
	[SUB_NET_RXQUEUE] = MEASURED("the socket's arrival stamp to read"),
	[SUB_NET_SOCKET] = MEASURED("off the CPU in a call on a socket"),
	[SUB_APP_QUEUE] = MEASURED("read, to the first of its own work"),
	[SUB_APP_HANDOFF] = MEASURED("a node's own stamps"),
	[SUB_APP_SLEEP] = MEASURED("a node's own timers"),
	[SUB_CPU_USER] = CPU,
	[SUB_CPU_KERNEL_NET] = CPU,
	[SUB_CPU_KERNEL_FS] = CPU,
	[SUB_CPU_KERNEL_MM] = CPU,
	[SUB_CPU_KERNEL_OTHER] = CPU,
	[SUB_CPU_IRQ_NET] = INTERRUPTED,
	[SUB_CPU_IRQ_BLOCK] = INTERRUPTED,
	[SUB_CPU_IRQ_TIMER] = INTERRUPTED,
	[SUB_CPU_IRQ_OTHER] = INTERRUPTED,
	[SUB_SCHED_WAKEUP] = ABSENT("sched.runqueue, the row of the wait"),
	[SUB_SCHED_RUNQUEUE] = INFERRED("run_delay of schedstat, where the thread had waited"),
	[SUB_SCHED_PREEMPTED] =
		INFERRED("run_delay of schedstat, where the thread was only taken off the CPU"),
	[SUB_SCHED_THROTTLED] = ABSENT("sched.preempted"),
	[SUB_SCHED_STEAL] = ABSENT("the row of the code that ran"),
	[SUB_BLOCK_QUEUE] = ABSENT("block.device, else unattributed"),
	[SUB_BLOCK_DEVICE] = INFERRED("off the CPU in a load past the page cache"),
	[SUB_BLOCK_THROTTLED] = ABSENT("block.device, else unattributed"),
	[SUB_FS_JOURNAL] = UNTOLD,
	[SUB_FS_JOURNAL_BLOCK] = UNTOLD,
	[SUB_FS_WRITEBACK] = UNTOLD,
	[SUB_MEM_FAULT] = ABSENT("the code that faulted; on the device: unattributed"),
	[SUB_MEM_RECLAIM] = ABSENT("the code that made room; off the CPU: unattributed"),
	[SUB_MEM_COMPACTION] = ABSENT("the code that made room"),
	[SUB_LOCK_USER] = MEASURED("off the CPU in a lock op of the node"),
	[SUB_LOCK_KERNEL] = UNTOLD,
	[SUB_CALL] = MEASURED("a node's own stamps"),
};
