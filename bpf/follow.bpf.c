/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which threads are followed: those of the target processes, and what they fork. */
#include "gait.bpf.h"
#include "scheduler.bpf.h"

static __always_inline void announce(struct thread_slot *slot, __u32 index,
				     struct task_struct *task, enum event_kind kind, __u64 now)
{
	struct event_thread *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		loss_count(LOSS_RING_FULL);
		return;
	}
	event_head(&e->head, kind, slot, index, now);
	e->tid = slot->tid;
	e->tgid = slot->tgid;
	e->service = slot->service;
	e->pad = 0;
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), task->comm);
	for (int i = 0; i < TS_COUNT; i++)
		e->ns[i] = slot->ns[i];
	bpf_ringbuf_submit(e, ring_flags());
}

static __always_inline void follow(struct task_struct *task, __u32 service)
{
	struct thread *thread = thread_of(task);
	struct thread_slot *slot;
	__u64 now = bpf_ktime_get_ns();
	__u32 index;

	if (thread || task->flags & PF_IO_WORKER)
		return; /* io_uring's own threads do what others submit */
	if (bpf_map_pop_elem(&free_slots, &index)) {
		loss_count(LOSS_THREADS_OVER);
		return;
	}
	slot = bpf_map_lookup_elem(&slots, &index);
	thread = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!slot || !thread) {
		bpf_map_push_elem(&free_slots, &index, 0);
		loss_count(LOSS_THREADS_OVER);
		return;
	}
	account_start(slot, now, !task->on_cpu);
	slot->run_delay_ns = run_delay_ns(task);
	slot->generation++;
	slot->tgid = task->tgid;
	slot->service = service;
	slot->tid = task->pid; /* last: who scans for its tid finds a whole slot */
	thread->slot = index;
	announce(slot, index, task, EVENT_THREAD, now);
}

/* Run once by user space after it has added to `targets`. */
SEC("iter/task")
int follow_targets(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 tgid, *service;

	if (!task)
		return 0;
	tgid = task->tgid;
	service = bpf_map_lookup_elem(&targets, &tgid);
	if (service)
		follow(task, *service);
	return 0;
}

/* Run by user space around the time that programs are detached. */
SEC("iter/task")
int rebase_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread_slot *slot = task ? slot_of_task(task) : NULL;
	__u64 now = bpf_ktime_get_ns();

	if (!slot)
		return 0;
	slot->sequence++;
	if (rebase_how == REBASE_CLOSE)
		account_charge(slot, now);
	if (rebase_how == REBASE_THAW)
		account_thaw(slot, now);
	else
		account_freeze(slot);
	slot->sequence++;
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct thread_slot *slot = slot_of_task(parent);

	if (slot)
		follow(child, slot->service);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct thread *thread = thread_of(task);
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;
	__u64 now;
	__u32 index;

	if (!slot)
		return 0;
	now = bpf_ktime_get_ns();
	index = thread->slot;
	if (slot->held_at) /* its switch-in was not seen */
		hold_end(slot);
	account_charge(slot, now);
	announce(slot, index, task, EVENT_THREAD_EXIT, now);
	slot->tid = 0;
	bpf_task_storage_delete(&threads, task);
	bpf_map_push_elem(&free_slots, &index, 0);
	return 0;
}
