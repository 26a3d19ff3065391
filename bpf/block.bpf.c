/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests to block devices: how long those of followed threads wait in a scheduler's queue before
 * the device gets them. A thread inserts what it then waits for itself (what it has gathered goes
 * out before it sleeps); whoever finds the device ready issues it.
 */
#include "gait.bpf.h"

#define QUEUED_MAX 8192

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUEUED_MAX);
	__type(key, __u64);   /* struct request * */
	__type(value, __u32); /* slot of the thread */
} queued SEC(".maps");

SEC("?tp_btf/block_rq_insert")
int BPF_PROG(on_block_insert, struct request *rq)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	__u64 key = (__u64)rq;
	__u32 slot;

	if (!thread) { /* one of a followed thread that was merged into another never was issued */
		bpf_map_delete_elem(&queued, &key);
		return 0;
	}
	slot = thread->slot;
	bpf_map_update_elem(&queued, &key, &slot, BPF_ANY);
	return 0;
}

SEC("?tp_btf/block_rq_issue")
int BPF_PROG(on_block_issue, struct request *rq)
{
	__u64 key = (__u64)rq;
	__u32 *index = bpf_map_lookup_elem(&queued, &key), slot_index;
	struct thread_slot *slot;

	if (!index)
		return 0;
	slot_index = *index;
	bpf_map_delete_elem(&queued, &key);
	slot = bpf_map_lookup_elem(&slots, &slot_index);
	if (slot)
		account_issued(slot, bpf_ktime_get_ns());
	return 0;
}
