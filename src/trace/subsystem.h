/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_SUBSYSTEM_H
#define GAIT_TRACE_SUBSYSTEM_H

/*
 * The rows of a breakdown. One list is the truth for the enum, for the columns
 * of latency.csv and for every report: X(symbol, name, column, text).
 */
#define SUBSYSTEM_LIST(X)                                                                          \
	X(CLIENT_LATE, "client.late", "client_late_ns", "sent after it was due")                   \
	X(CLIENT_SEND, "client.send", "client_send_ns", "the client's send call")                  \
	X(CLIENT_RECEIVE, "client.receive", "client_receive_ns", "arrived, not yet read by the client") \
	X(NET_WIRE, "net.wire", "net_wire_ns", "transmit stamp to arrival stamp")                  \
	X(NET_RETRANSMIT, "net.retransmit", "net_retransmit_ns", "waiting for a retransmission")   \
	X(NET_QDISC, "net.qdisc", "net_qdisc_ns", "in a queueing discipline")                      \
	X(NET_ACCEPT, "net.accept", "net_accept_ns", "established, not yet accepted")              \
	X(NET_RXQUEUE, "net.rxqueue", "net_rxqueue_ns", "arrived, not yet read")                   \
	X(NET_SOCKET, "net.socket", "net_socket_ns", "blocked in send or recv of its own")         \
	X(APP_QUEUE, "app.queue", "app_queue_ns", "read, behind other requests of the loop")       \
	X(APP_HANDOFF, "app.handoff", "app_handoff_ns", "between the service's threads")           \
	X(APP_SLEEP, "app.sleep", "app_sleep_ns", "a timer the service set")                       \
	X(CPU_USER, "cpu.user", "cpu_user_ns", "user code")                                        \
	X(CPU_KERNEL_NET, "cpu.kernel.net", "cpu_kernel_net_ns", "system calls on sockets")        \
	X(CPU_KERNEL_FS, "cpu.kernel.fs", "cpu_kernel_fs_ns", "system calls on files")             \
	X(CPU_KERNEL_MM, "cpu.kernel.mm", "cpu_kernel_mm_ns", "memory management")                 \
	X(CPU_KERNEL_OTHER, "cpu.kernel.other", "cpu_kernel_other_ns", "other kernel work")        \
	X(CPU_IRQ_NET, "cpu.irq.net", "cpu_irq_net_ns", "network softirqs that interrupted it")    \
	X(CPU_IRQ_BLOCK, "cpu.irq.block", "cpu_irq_block_ns", "block softirqs that interrupted it") \
	X(CPU_IRQ_TIMER, "cpu.irq.timer", "cpu_irq_timer_ns", "timer interrupts and softirqs")     \
	X(CPU_IRQ_OTHER, "cpu.irq.other", "cpu_irq_other_ns", "other interrupts")                  \
	X(SCHED_WAKEUP, "sched.wakeup", "sched_wakeup_ns", "woken, leaving idle")                  \
	X(SCHED_RUNQUEUE, "sched.runqueue", "sched_runqueue_ns", "woken, CPU busy")                \
	X(SCHED_PREEMPTED, "sched.preempted", "sched_preempted_ns", "CPU taken by another task")   \
	X(SCHED_THROTTLED, "sched.throttled", "sched_throttled_ns", "CPU quota used up")           \
	X(SCHED_STEAL, "sched.steal", "sched_steal_ns", "CPU taken by the hypervisor")             \
	X(BLOCK_QUEUE, "block.queue", "block_queue_ns", "inserted, not issued")                    \
	X(BLOCK_DEVICE, "block.device", "block_device_ns", "waiting for block I/O")                \
	X(BLOCK_THROTTLED, "block.throttled", "block_throttled_ns", "held by an I/O limit")        \
	X(FS_JOURNAL, "fs.journal", "fs_journal_ns", "waiting for a commit of the journal")        \
	X(FS_JOURNAL_BLOCK, "fs.journal.block", "fs_journal_block_ns", "of it, on the device")       \
	X(FS_WRITEBACK, "fs.writeback", "fs_writeback_ns", "waiting for writeback")                \
	X(MEM_FAULT, "mem.fault", "mem_fault_ns", "page faults")                                   \
	X(MEM_RECLAIM, "mem.reclaim", "mem_reclaim_ns", "direct reclaim")                          \
	X(MEM_COMPACTION, "mem.compaction", "mem_compaction_ns", "compaction")                     \
	X(LOCK_USER, "lock.user", "lock_user_ns", "futex")                                         \
	X(LOCK_KERNEL, "lock.kernel", "lock_kernel_ns", "kernel locks")                            \
	X(CALL, "call", "call_ns", "waiting for another service")

enum subsystem {
#define X(symbol, name, column, text) SUB_##symbol,
	SUBSYSTEM_LIST(X)
#undef X
	SUB_COUNT
};

struct subsystem_info {
	const char *name;   /* as reports print it */
	const char *column; /* as latency.csv has it */
	const char *text;   /* what it means, for people */
};

extern const struct subsystem_info subsystems[SUB_COUNT];

#endif
