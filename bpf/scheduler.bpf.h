/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_SCHEDULER_BPF_H
#define GAIT_BPF_SCHEDULER_BPF_H

/* What the scheduler keeps of a task, and no hook tells. */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* A CPU quota holds it up. */
static __always_inline bool throttled(struct task_struct *task)
{
	struct task_struct___throttled *flavour = (void *)task;

	if (bpf_core_field_exists(flavour->throttled))
		return BPF_CORE_READ(flavour, throttled);
	if (bpf_core_field_exists(struct cfs_rq, throttle_count))
		return BPF_CORE_READ(task, se.cfs_rq, throttle_count) > 0;
	return false;
}

#define GROUPS_DEEP 8	   /* looked through for a quota */
#define QUOTA_NONE (~0ull) /* kernel/sched/sched.h: RUNTIME_INF */

/*
 * When the quota of the task's group was filled up last. No hook tells, but its timer is set to the
 * next time. 0: unknown, also where several groups above each other have quotas.
 */
static __always_inline __u64 refilled_ns(struct task_struct *task)
{
	struct task_group *group;
	__u64 found = 0;

	if (!bpf_core_field_exists(struct task_group, cfs_bandwidth))
		return 0;
	group = BPF_CORE_READ(task, se.cfs_rq, tg);
	for (int i = 0; i < GROUPS_DEEP && group; i++) {
		if (BPF_CORE_READ(group, cfs_bandwidth.quota) != QUOTA_NONE) {
			if (found)
				return 0;
			found = BPF_CORE_READ(group, cfs_bandwidth.period_timer.node.expires) -
				BPF_CORE_READ(group, cfs_bandwidth.period);
		}
		group = BPF_CORE_READ(group, parent);
	}
	return group ? 0 : found;
}

/*
 * A time by the clock of the thread's run queue as one by ours. That clock may be behind since its
 * last update, which makes it later, up to now. 0: unknown.
 */
static __always_inline __u64 from_rq_clock(struct task_struct *task, __u64 stamp, __u64 now)
{
	__u64 clock;

	if (!stamp || !bpf_core_field_exists(struct cfs_rq, rq))
		return 0;
	clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
	return clock >= stamp && clock - stamp < now ? now - (clock - stamp) : 0;
}

/* When it came to the CPU, and when it had got in line for it, as the scheduler knows. */
static __always_inline __u64 came_ns(struct task_struct *task, __u64 now)
{
	if (!bpf_core_field_exists(task->sched_info))
		return 0;
	return from_rq_clock(task, BPF_CORE_READ(task, sched_info.last_arrival), now);
}

static __always_inline __u64 lined_up_ns(struct task_struct *task, __u64 now)
{
	if (!bpf_core_field_exists(task->sched_info))
		return 0;
	return from_rq_clock(task, BPF_CORE_READ(task, sched_info.last_queued), now);
}

/* What it has waited for the CPU so far, in all. */
static __always_inline __u64 run_delay_ns(struct task_struct *task)
{
	return bpf_core_field_exists(task->sched_info) ? task->sched_info.run_delay : 0;
}

#endif
