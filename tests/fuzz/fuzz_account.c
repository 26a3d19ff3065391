/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any order of events, two bytes each: which it is, and how long after the one before with what is
 * said of it. No time may be lost, none be counted twice, and no counter may go back; what was
 * remembered at a mark must come back.
 */
#include "bpf/account.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define START 1000

/* What is said of an event is in the low bits of its second byte, the time in all of it. */
struct step {
	struct thread_slot *slot;
	uint64_t now;
	uint8_t said;
	uint64_t mark[TS_COUNT];
};

static void on_enter(struct step *s)
{
	static const struct syscall_class classes[] = {
		{ SYSCALL_RECV, TS_KERNEL_NET, TS_WAIT_NET },
		{ SYSCALL_SYNC, TS_KERNEL_FS, TS_WAIT_JOURNAL },
		{ SYSCALL_URING, TS_KERNEL_NET, TS_WAIT_POLL },
		{ SYSCALL_OTHER, TS_KERNEL_OTHER, TS_WAIT_OTHER },
	};

	account_sys_enter(s->slot, &classes[s->said & 3], s->now);
}

static void on_exit_call(struct step *s)
{
	account_sys_exit(s->slot, s->now);
}

static void on_out(struct step *s)
{
	const struct account_leave why = { s->said & 1, s->said & 2, s->said & 4, s->said & 8,
					   s->said };

	account_switch_out(s->slot, &why, s->now);
}

static void on_in(struct step *s)
{
	account_switch_in(s->slot, s->said & 1, s->now);
}

static void on_lined_up(struct step *s)
{
	account_lined_up(s->slot, s->now - s->said);
}

static void on_came_back(struct step *s)
{
	account_came_back(s->slot, s->now - s->said / 2, 2 * s->said, s->now);
}

static void on_waking(struct step *s)
{
	account_waking(s->slot, s->now);
}

static void on_issued(struct step *s)
{
	account_issued(s->slot, s->now);
}

static void on_queued(struct step *s)
{
	account_queued(s->slot, s->said % 3);
}

static void on_freed(struct step *s)
{
	account_freed(s->slot, s->now);
}

static void on_dirty(struct step *s)
{
	account_dirty(s->slot);
}

static void on_fault(struct step *s)
{
	account_fault(s->slot);
}

static void on_fault_begin(struct step *s)
{
	account_fault_begin(s->slot, s->now);
}

static void on_fault_end(struct step *s)
{
	account_fault_end(s->slot, s->now);
}

static void on_refilled(struct step *s)
{
	account_refilled(s->slot, s->now - s->said, s->now);
}

static void on_stolen(struct step *s)
{
	account_stolen(s->slot, s->slot->stolen_ns + s->said, s->now);
}

static void on_hardirq(struct step *s)
{
	account_hardirq_enter(s->slot, s->said & 1 ? TS_IRQ_TIMER : TS_IRQ_OTHER, s->now);
}

static void on_hardirq_end(struct step *s)
{
	account_hardirq_exit(s->slot, s->now);
}

static void on_softirq(struct step *s)
{
	account_softirq_enter(s->slot, s->said % 10, s->now);
}

static void on_softirq_end(struct step *s)
{
	account_softirq_exit(s->slot, s->now);
}

static void on_room(struct step *s)
{
	account_room_begin(s->slot, s->said & 1 ? TS_WAIT_MEM : TS_COMPACTION, s->now);
}

static void on_room_end(struct step *s)
{
	account_room_end(s->slot, s->now);
}

static void on_lock(struct step *s)
{
	account_lock_begin(s->slot, 1 + (s->said & 1));
}

static void on_lock_end(struct step *s)
{
	account_lock_end(s->slot, 1 + (s->said & 1));
}

static void on_mark(struct step *s)
{
	account_charge(s->slot, s->now);
	account_mark(s->slot);
	memcpy(s->mark, s->slot->ns, sizeof(s->mark));
}

static void (*const events[])(struct step *s) = {
	on_enter,   on_exit_call,   on_out,	  on_in,	  on_waking,
	on_issued,  on_refilled,    on_stolen,	  on_hardirq,	  on_hardirq_end,
	on_softirq, on_softirq_end, on_room,	  on_room_end,	  on_mark,
	on_lock,    on_lock_end,    on_queued,	  on_freed,	  on_dirty,
	on_fault,   on_lined_up,    on_came_back, on_fault_begin, on_fault_end,
};

static uint64_t total(const uint64_t ns[TS_MAX])
{
	uint64_t sum = 0;

	for (int i = 0; i < TS_MAX; i++)
		sum += ns[i];
	return sum;
}

static void check(const struct step *s, const uint64_t before[TS_MAX])
{
	uint64_t mark[TS_COUNT], now[TS_COUNT];

	for (int i = 0; i < TS_MAX; i++)
		if (s->slot->ns[i] < before[i])
			abort();
	if (s->slot->last_ns > s->now || total(s->slot->ns) != s->slot->last_ns - START)
		abort();
	account_copy(s->slot, mark, now);
	if (memcmp(mark, s->mark, sizeof(mark)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct thread_slot slot = { 0 };
	struct step s = { .slot = &slot, .now = START };

	account_start(&slot, START, size & 1);
	for (; size >= 2; data += 2, size -= 2) {
		uint64_t before[TS_MAX];

		memcpy(before, slot.ns, sizeof(before));
		s.now += data[1];
		s.said = data[1];
		events[data[0] % (sizeof(events) / sizeof(events[0]))](&s);
		check(&s, before);
	}
	account_charge(&slot, s.now);
	if (total(slot.ns) != s.now - START)
		abort();
	return 0;
}
