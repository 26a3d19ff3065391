/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests to block devices: how long those of followed threads wait in a scheduler's queue before
 * the device gets them. A thread inserts what it then waits for itself (what it has gathered goes
 * out before it sleeps); whoever finds the device ready issues it. What was merged into a request that is
 * there goes on with that one, and is found again by its bio. And how long a limit on I/O held them
 * before that (account_may_be_held()).
 */
#include "gait.bpf.h"

#define QUEUED_MAX 8192

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUEUED_MAX);
	__type(key, __u64);   /* struct request * */
	__type(value, __u32); /* slot of the thread */
} queued SEC(".maps");

#define MERGED_MAX 8192
#define REQUEST_BIOS 128 /* those looked at: BLK_MAX_SEGMENTS of include/linux/blkdev.h */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* one behind more than REQUEST_BIOS is never found */
	__uint(max_entries, MERGED_MAX);
	__type(key, __u64);   /* struct bio *, the first of those that were merged together */
	__type(value, __u32); /* slot of the thread */
} merged SEC(".maps");

static bool merges; /* there was one */

static __always_inline void merged_add(const struct bio *bio, __u32 slot)
{
	__u64 key = (__u64)bio;

	bpf_map_update_elem(&merged, &key, &slot, BPF_ANY);
	merges = true;
}

SEC("?tp_btf/block_rq_insert")
int BPF_PROG(on_block_insert, struct request *rq)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	__u64 key = (__u64)rq;
	__u32 slot;

	if (!thread) { /* one of a followed thread may have gone unseen */
		bpf_map_delete_elem(&queued, &key);
		return 0;
	}
	slot = thread->slot;
	bpf_map_update_elem(&queued, &key, &slot, BPF_ANY);
	return 0;
}

/* A thread's I/O has become part of a request that is there, be it its own. */
static __always_inline int bio_merged(struct bio *bio)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	__u64 key = (__u64)bio;

	if (thread)
		merged_add(bio, thread->slot);
	else if (merges)
		bpf_map_delete_elem(&merged, &key);
	return 0;
}

SEC("?tp_btf/block_bio_backmerge")
int BPF_PROG(on_bio_backmerge, struct bio *bio)
{
	return bio_merged(bio);
}

SEC("?tp_btf/block_bio_frontmerge")
int BPF_PROG(on_bio_frontmerge, struct bio *bio)
{
	return bio_merged(bio);
}

/* A request has become part of the one before it, for what came between filled the gap. */
SEC("?tp_btf/block_rq_merge")
int BPF_PROG(on_block_merge, struct request *rq)
{
	__u64 key = (__u64)rq;
	const __u32 *slot = bpf_map_lookup_elem(&queued, &key);

	if (slot) {
		merged_add(rq->bio, *slot);
		bpf_map_delete_elem(&queued, &key);
	}
	return 0;
}

/* Whose it was is forgotten: the next of that address is another's. */
static __always_inline void issued(void *owners, __u64 key)
{
	const __u32 *index = bpf_map_lookup_elem(owners, &key);
	struct thread_slot *slot = index ? bpf_map_lookup_elem(&slots, index) : NULL;

	if (slot)
		account_issued(slot, bpf_ktime_get_ns());
	if (index)
		bpf_map_delete_elem(owners, &key);
}

SEC("?tp_btf/block_rq_issue")
int BPF_PROG(on_block_issue, struct request *rq)
{
	struct bio *bio = rq->bio;

	issued(&queued, (__u64)rq);
	for (int i = 0; merges && bio && i < REQUEST_BIOS; i++) {
		issued(&merged, (__u64)bio);
		bio = bio->bi_next;
	}
	return 0;
}

/* Not inlined: it runs within the switch of threads, whose program is large. */
__noinline int hold_begin(__u32 slot_index, __u64 group)
{
	struct thread_slot *slot = bpf_map_lookup_elem(&slots, &slot_index);

	if (!slot || !group || slot->held_at)
		return 0;
	slot->held_group = group;
	for (__u32 i = 0; i < HELD_MAX; i++) {
		slot->held_at = 1 + i;
		if (!held[i] && !__sync_val_compare_and_swap(&held[i], 0, 1 + slot_index)) {
			__sync_fetch_and_add(&held_count, 1);
			return 0;
		}
	}
	slot->held_at = 0; /* more wait at once than are looked at */
	return 0;
}

/* A limit let one of the group's requests go. */
static __always_inline void let_go(__u64 group, enum queued what)
{
	struct thread_slot *whose = NULL;

	for (__u32 i = 0; i < HELD_MAX; i++) {
		__u32 index = held[i] - 1;
		struct thread_slot *slot = bpf_map_lookup_elem(&slots, &index);

		if (slot && account_may_be_held(slot, group, what) &&
		    (!whose || account_held_before(slot, whose)))
			whose = slot;
	}
	if (whose)
		account_freed(whose, bpf_ktime_get_ns());
}

/* The thread's own request, or one that a thread of the kernel queues because a limit held it until now. */
SEC("?tp_btf/block_bio_queue")
int BPF_PROG(on_bio_queue, struct bio *bio)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_slot *slot = slot_of_task(task);
	enum queued what = bio->bi_opf & 1 ? QUEUED_WRITE : QUEUED_READ;
	struct blkcg *group;

	if (slot) {
		account_queued(slot, what);
		return 0;
	}
	if (!held_count || !(task->flags & PF_KTHREAD) || !(bio->bi_flags & cfg_held_flag))
		return 0;
	group = BPF_CORE_READ(bio, bi_blkg, blkcg);
	if (group)
		let_go((__u64)group + bpf_core_field_offset(struct blkcg, css), what);
	return 0;
}
