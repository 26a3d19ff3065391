/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Microstates of followed threads: on and off the CPU, and what interrupts them. */
#include "gait.bpf.h"
#include "scheduler.bpf.h"

/* Not inlined: it has a branch for each counter, and events are told in many places. */
__noinline int counters_tell(const struct thread_slot *slot, struct event_call *e)
{
	if (slot && e)
		e->head.ns = account_copy(slot, e->enter, e->exit);
	return 0;
}

__noinline int came_back(struct thread_slot *slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 now = bpf_ktime_get_ns();

	if (!slot)
		return 0;
	if (slot->held_at)
		hold_end(slot);
	SLOT_CHANGE(slot, account_came_back(slot, came_ns(task, now), run_delay_ns(task), now));
	if (cfg_steal_from_rq)
		steal_begin(slot, task);
	return 0;
}

static __always_inline void leave(struct task_struct *task, const struct thread *thread,
				  bool runnable)
{
	struct thread_slot *slot = slot_of(thread);
	struct account_leave why = {
		.runnable = runnable,
		.throttled = runnable && throttled(task),
		.iowait = BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait),
		.memstall = BPF_CORE_READ_BITFIELD_PROBED(task, in_memstall),
		.run_delay_ns = run_delay_ns(task),
	};
	__u64 now;

	if (!slot)
		return;
	now = slot_now(slot);
	SLOT_CHANGE(slot, account_switch_out(slot, &why, now));
	if (cfg_held_flag && slot->off_cpu == 1 + TS_WAIT_BLOCK)
		hold_begin(thread->slot, io_group(task));
}

static __always_inline void arrive(struct task_struct *task, struct thread_slot *slot,
				   bool cpu_was_idle)
{
	__u64 now = bpf_ktime_get_ns();

	if (slot->off_cpu == 1 + TS_THROTTLED)
		SLOT_CHANGE(slot, account_refilled(slot, refilled_ns(task), now));
	if (!slot->wake_ns && account_waits(slot))
		account_lined_up(slot, lined_up_ns(task, now));
	if (slot->held_at)
		hold_end(slot);
	SLOT_CHANGE(slot, account_switch_in(slot, cpu_was_idle, now));
	if (cfg_steal_from_rq)
		steal_begin(slot, task);
}

/*
 * The thread of a journal (jbd2): those that wait for its commit wait for the device while it does. Its
 * latest waits for I/O are kept, so that whom it wakes can be told how much of that lay in its own.
 */
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define COMMIT_WAITS 32

struct committer {
	__u64 off_ns; /* it waits for I/O since then; 0: it does not */
	__u64 next;
	__u64 from[COMMIT_WAITS], to[COMMIT_WAITS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* its pid */
	__type(value, struct committer);
} committers SEC(".maps");

static struct committer no_committer;

static __always_inline bool commits(const struct task_struct *task)
{
	return task->flags & PF_KTHREAD && task->comm[0] == 'j' && task->comm[1] == 'b' &&
	       task->comm[2] == 'd' && task->comm[3] == '2';
}

static __always_inline void committer_waits(const struct task_struct *task)
{
	__u32 pid = task->pid;
	struct committer *c = bpf_map_lookup_elem(&committers, &pid);

	if (!c) {
		bpf_map_update_elem(&committers, &pid, &no_committer, BPF_ANY);
		c = bpf_map_lookup_elem(&committers, &pid);
	}
	if (c)
		c->off_ns = bpf_ktime_get_ns();
}

static __always_inline void committer_is_back(const struct task_struct *task)
{
	__u32 pid = task->pid;
	struct committer *c = bpf_map_lookup_elem(&committers, &pid);
	__u64 at;

	if (!c || !c->off_ns)
		return;
	at = c->next++ & (COMMIT_WAITS - 1);
	c->from[at] = c->off_ns;
	c->to[at] = bpf_ktime_get_ns();
	c->off_ns = 0;
}

/* What the current thread, which commits, has waited for its device since then. */
static __always_inline __u64 commit_io_ns(const struct task_struct *task, __u64 since)
{
	__u32 pid = task->pid;
	const struct committer *c = bpf_map_lookup_elem(&committers, &pid);
	__u64 sum = 0;

	for (int i = 0; c && i < COMMIT_WAITS; i++) {
		__u64 from = c->from[i] > since ? c->from[i] : since;

		if (c->to[i] > from)
			sum += c->to[i] - from;
	}
	return sum;
}

static __always_inline int switched(bool preempt, struct task_struct *prev,
				    struct task_struct *next, unsigned int prev_state)
{
	struct thread *thread = thread_of(prev);
	struct thread_slot *slot = slot_of_task(next);

	if (thread)
		leave(prev, thread, preempt || !prev_state);
	else if (commits(prev) && BPF_CORE_READ_BITFIELD_PROBED(prev, in_iowait))
		committer_waits(prev);
	if (slot)
		arrive(next, slot, !prev->pid);
	else if (commits(next))
		committer_is_back(next);
	return 0;
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	return switched(preempt, prev, next, prev_state);
}

/* Before 5.18 the state is not told: a waker on another CPU may have changed it by now. */
SEC("?tp_btf/sched_switch")
int BPF_PROG(on_switch_three, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return switched(preempt, prev, next, prev->__state);
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	struct thread_slot *slot = slot_of_task(task);
	const struct task_struct *waker;

	if (!slot)
		return 0;
	waker = bpf_get_current_task_btf();
	if (account_may_wait_for_commit(slot) && commits(waker))
		account_committed(slot, commit_io_ns(waker, slot->last_ns));
	account_waking(slot, bpf_ktime_get_ns());
	return 0;
}

static __always_inline int hardirq_enter(enum thread_state state)
{
	struct thread_slot *slot = slot_of_current();

	if (slot) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_hardirq_enter(slot, state, now));
	}
	return 0;
}

static __always_inline int hardirq_exit(void)
{
	struct thread_slot *slot = slot_of_current();

	if (slot) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_hardirq_exit(slot, now));
	}
	return 0;
}

/* irq_handler_* never fires for the interrupts of the local APIC: they have hooks of their own. */
#define ON_IRQ(name, state)                                            \
	SEC("?tp_btf/" #name "_entry") int BPF_PROG(on_##name##_entry) \
	{                                                              \
		return hardirq_enter(state);                           \
	}                                                              \
	SEC("?tp_btf/" #name "_exit") int BPF_PROG(on_##name##_exit)   \
	{                                                              \
		return hardirq_exit();                                 \
	}

ON_IRQ(irq_handler, TS_IRQ_OTHER)
ON_IRQ(local_timer, TS_IRQ_TIMER)
ON_IRQ(reschedule, TS_IRQ_OTHER)
ON_IRQ(call_function, TS_IRQ_OTHER)
ON_IRQ(call_function_single, TS_IRQ_OTHER)
ON_IRQ(irq_work, TS_IRQ_OTHER)

static __always_inline int room_begin(enum thread_state state)
{
	struct thread_slot *slot = slot_of_current();

	if (slot) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_room_begin(slot, state, now));
	}
	return 0;
}

static __always_inline int room_end(void)
{
	struct thread_slot *slot = slot_of_current();

	if (slot) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_room_end(slot, now));
	}
	return 0;
}

/* The whole machine is short of memory, or the thread's group is. */
#define ON_ROOM(name, state)                                              \
	SEC("?tp_btf/mm_" #name "_begin") int BPF_PROG(on_##name##_begin) \
	{                                                                 \
		return room_begin(state);                                 \
	}                                                                 \
	SEC("?tp_btf/mm_" #name "_end") int BPF_PROG(on_##name##_end)     \
	{                                                                 \
		return room_end();                                        \
	}

ON_ROOM(vmscan_direct_reclaim, TS_WAIT_MEM)
ON_ROOM(vmscan_memcg_reclaim, TS_WAIT_MEM)
ON_ROOM(compaction, TS_COMPACTION)

/* Who does not have to wait is told a pause of 0 or less. */
static __always_inline int pause_of(__s64 pause)
{
	struct thread_slot *slot = pause > 0 ? slot_of_current() : NULL;

	if (slot)
		account_dirty(slot);
	return 0;
}

SEC("?tp_btf/balance_dirty_pages")
int on_dirty_pause(const __u64 *args)
{
	return pause_of(args[6]);
}

SEC("?tp_btf/balance_dirty_pages")
int on_dirty_pause_twelve(const __u64 *args)
{
	return pause_of(args[10]);
}

/* Of user code; x86 alone has it, and nothing tells the end. */
SEC("?tp_btf/page_fault_user")
int BPF_PROG(on_fault)
{
	struct thread_slot *slot = slot_of_current();

	if (slot)
		account_fault(slot);
	return 0;
}

/*
 * Where functions can be hooked, the end is told too. Of user code's faults alone, as above: one within a call
 * is that call's own.
 */
#define FAULT_FLAG_USER 0x40 /* include/linux/mm_types.h */

SEC("?fentry/handle_mm_fault")
int BPF_PROG(on_fault_begin, void *vma, unsigned long address, unsigned int flags)
{
	struct thread_slot *slot = flags & FAULT_FLAG_USER ? slot_of_current() : NULL;

	if (slot) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_fault_begin(slot, now));
	}
	return 0;
}

SEC("?fexit/handle_mm_fault")
int BPF_PROG(on_fault_end, void *vma, unsigned long address, unsigned int flags)
{
	struct thread_slot *slot = flags & FAULT_FLAG_USER ? slot_of_current() : NULL;

	if (slot) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_fault_end(slot, now));
	}
	return 0;
}

/* Since 5.19. Who spins does not leave the CPU; a mutex is tried so first, and says it. */
#define LCB_F_SPIN 1 /* include/trace/events/lock.h */
#define LCB_F_MUTEX 32

SEC("?tp_btf/contention_begin")
int BPF_PROG(on_contention_begin, __u64 lock, unsigned int flags)
{
	struct thread_slot *slot;

	if ((flags & (LCB_F_SPIN | LCB_F_MUTEX)) == LCB_F_SPIN)
		return 0;
	slot = slot_of_current();
	if (slot)
		account_lock_begin(slot, lock);
	return 0;
}

SEC("?tp_btf/contention_end")
int BPF_PROG(on_contention_end, __u64 lock)
{
	struct thread_slot *slot = slot_of_current();

	if (slot)
		account_lock_end(slot, lock);
	return 0;
}

SEC("tp_btf/softirq_entry")
int BPF_PROG(on_softirq_entry, unsigned int vector)
{
	struct thread_slot *slot = slot_of_current();

	if (slot && !account_softirq_is_own(slot, vector)) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_softirq_enter(slot, vector, now));
	}
	return 0;
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(on_softirq_exit, unsigned int vector)
{
	struct thread_slot *slot = slot_of_current();

	if (slot && slot->softirq) {
		__u64 now = slot_now(slot);

		SLOT_CHANGE(slot, account_softirq_exit(slot, now));
	}
	return 0;
}
