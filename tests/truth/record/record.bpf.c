/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tells of one thread what the hooks of bpf/sched.bpf.c and the entries of system calls tell. */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "scheduler.bpf.h"
#include "record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile int cfg_tid = 0;
__u32 recording; /* by user space, while all programs are attached */
__u32 off_cpu;	 /* the thread, as far as was told */
__u64 lost;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} records SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sched_entity___counted {
	__u64 sum_exec_runtime;
};

struct task_struct___counted {
	struct sched_entity___counted se;
};
#pragma clang attribute pop

static __always_inline struct record *tell(enum record_kind kind, __u64 a)
{
	struct record *r;

	if (!recording)
		return NULL;
	r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	if (!r) {
		__sync_fetch_and_add(&lost, 1);
		return NULL;
	}
	*r = (struct record){ .ns = bpf_ktime_get_ns(), .kind = kind, .a = a };
	return r;
}

static __always_inline int told(enum record_kind kind, __u64 a)
{
	struct record *r = tell(kind, a);

	if (r)
		bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* As slot_now() of bpf/gait.bpf.h finds it. */
static __always_inline void tell_back(struct task_struct *task)
{
	struct record *r = off_cpu ? tell(RECORD_BACK, 0) : NULL;

	if (!r)
		return;
	off_cpu = 0;
	r->at = came_ns(task, r->ns);
	r->b = run_delay_ns(task);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline int told_of_current(enum record_kind kind, __u64 a)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (task->pid != cfg_tid)
		return 0;
	tell_back(task);
	return told(kind, a);
}

static __always_inline void tell_out(struct task_struct *task, bool runnable)
{
	const struct task_struct___counted *counted = (const void *)task;
	struct record *r;

	tell_back(task);
	r = tell(RECORD_OUT, 0);
	if (!r)
		return;
	off_cpu = 1;
	if (runnable)
		r->a |= LEFT_RUNNABLE;
	if (runnable && throttled(task))
		r->a |= LEFT_THROTTLED;
	if (BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
		r->a |= LEFT_IOWAIT;
	if (BPF_CORE_READ_BITFIELD_PROBED(task, in_memstall))
		r->a |= LEFT_MEMSTALL;
	r->b = run_delay_ns(task);
	r->c = BPF_CORE_READ(counted, se.sum_exec_runtime);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void tell_in(struct task_struct *task, bool cpu_was_idle)
{
	struct record *r = tell(RECORD_IN, cpu_was_idle);

	if (!r)
		return;
	off_cpu = 0;
	r->at = lined_up_ns(task, r->ns);
	r->b = refilled_ns(task);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	if (prev->pid == cfg_tid)
		tell_out(prev, preempt || !prev_state);
	if (next->pid != cfg_tid)
		return 0;
	tell_in(next, !prev->pid);
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	return task->pid == cfg_tid ? told(RECORD_WAKING, 0) : 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_enter, struct pt_regs *regs, long nr)
{
	return told_of_current(RECORD_ENTER, nr);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_exit)
{
	return told_of_current(RECORD_EXIT, 0);
}

#define ON(hook, begin, end, kind, a)                           \
	SEC("tp_btf/" #hook #begin) int BPF_PROG(on_##hook)     \
	{                                                       \
		return told_of_current(RECORD_##kind, a);       \
	}                                                       \
	SEC("tp_btf/" #hook #end) int BPF_PROG(on_##hook##_end) \
	{                                                       \
		return told_of_current(RECORD_##kind##_END, 0); \
	}

ON(irq_handler, _entry, _exit, HARDIRQ, 0)
ON(local_timer, _entry, _exit, HARDIRQ, 1)
ON(reschedule, _entry, _exit, HARDIRQ, 0)
ON(call_function, _entry, _exit, HARDIRQ, 0)
ON(call_function_single, _entry, _exit, HARDIRQ, 0)
ON(irq_work, _entry, _exit, HARDIRQ, 0)
ON(mm_vmscan_direct_reclaim, _begin, _end, ROOM, 0)
ON(mm_vmscan_memcg_reclaim, _begin, _end, ROOM, 0)
ON(mm_compaction, _begin, _end, ROOM, 1)

SEC("tp_btf/softirq_entry")
int BPF_PROG(on_softirq, unsigned int vector)
{
	return told_of_current(RECORD_SOFTIRQ, vector);
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(on_softirq_end)
{
	return told_of_current(RECORD_SOFTIRQ_END, 0);
}

#define LCB_F_SPIN 1 /* include/trace/events/lock.h */
#define LCB_F_MUTEX 32

SEC("tp_btf/contention_begin")
int BPF_PROG(on_contention, __u64 lock, unsigned int flags)
{
	if ((flags & (LCB_F_SPIN | LCB_F_MUTEX)) == LCB_F_SPIN)
		return 0;
	return told_of_current(RECORD_LOCK, lock);
}

SEC("tp_btf/contention_end")
int BPF_PROG(on_contention_end, __u64 lock)
{
	return told_of_current(RECORD_LOCK_END, lock);
}
