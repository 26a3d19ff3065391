/* SPDX-License-Identifier: Apache-2.0 */
/* The accounting core that BPF runs, fed with orders of events on the host. */
#include "bpf/account.h"

#include "check.h"

#include <stddef.h>

static const struct syscall_class recv_class = { SYSCALL_RECV, TS_KERNEL_NET, TS_WAIT_NET };
static const struct syscall_class sync_class = { SYSCALL_SYNC, TS_KERNEL_FS, TS_WAIT_JOURNAL };
static const struct account_leave sleeps = { 0 };
static const struct account_leave preempted = { .runnable = true };

static uint64_t total(const struct thread_slot *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < TS_MAX; i++)
		sum += s->ns[i];
	return sum;
}

static struct thread_slot started(uint64_t now)
{
	struct thread_slot s = { 0 };

	account_start(&s, now, false);
	return s;
}

static void test_user_and_kernel(void)
{
	struct thread_slot s = started(100);

	account_sys_enter(&s, &recv_class, 130);
	account_sys_exit(&s, 180);
	account_charge(&s, 200);
	CHECK_EQ(s.ns[TS_USER], 30 + 20);
	CHECK_EQ(s.ns[TS_KERNEL_NET], 50);
	CHECK_EQ(s.last_ns, 200);
}

/* Sleep until the wake-up, then the run queue if somebody else had the CPU, else the wake-up. */
static void test_wakeup_apart_from_runqueue(void)
{
	static const struct {
		bool idle;
		int state;
	} cases[] = { { true, TS_WAKEUP }, { false, TS_RUNQUEUE } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thread_slot s = started(0);

		check_case("cpu idle %d", cases[i].idle);
		account_sys_enter(&s, &recv_class, 10);
		account_switch_out(&s, &sleeps, 20);
		account_waking(&s, 70);
		account_switch_in(&s, cases[i].idle, 100);
		CHECK_EQ(s.ns[TS_WAIT_NET], 50);
		CHECK_EQ(s.ns[cases[i].state], 30);
		CHECK_EQ(s.ns[TS_KERNEL_NET], 10);
		CHECK_EQ(total(&s), 100);
	}
}

static void test_why_it_left(void)
{
	static const struct {
		struct account_leave why;
		int state;
	} cases[] = {
		{ { .runnable = true }, TS_PREEMPTED },
		{ { .runnable = true, .throttled = true }, TS_THROTTLED },
		{ { .iowait = true }, TS_WAIT_BLOCK },
		{ { .memstall = true, .iowait = true }, TS_WAIT_MEM },
		{ { 0 }, TS_WAIT_JOURNAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thread_slot s = started(0);

		check_case("case %zu", i);
		account_sys_enter(&s, &sync_class, 0);
		account_switch_out(&s, &cases[i].why, 0);
		account_switch_in(&s, false, 40);
		CHECK_EQ(s.ns[cases[i].state], 40);
	}
}

/* Block I/O: in a queue until the device gets it, if that is within the wait. */
static void test_block_queue(void)
{
	static const struct {
		uint64_t issued, woken, queue, device;
	} cases[] = { { 60, 90, 50, 30 }, { 60, 0, 50, 40 }, { 10, 90, 0, 80 }, { 5, 90, 0, 80 },
		      { 0, 90, 0, 80 },	  { 95, 90, 0, 80 }, { 90, 0, 80, 10 } };
	static const struct account_leave why = { .iowait = true };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thread_slot s = started(0);

		check_case("issued %lu", cases[i].issued);
		account_sys_enter(&s, &sync_class, 0);
		account_switch_out(&s, &why, 10);
		account_issued(&s, cases[i].issued);
		if (cases[i].woken)
			account_waking(&s, cases[i].woken);
		account_switch_in(&s, false, 100);
		CHECK_EQ(s.ns[TS_WAIT_QUEUE], cases[i].queue);
		CHECK_EQ(s.ns[TS_WAIT_BLOCK], cases[i].device);
		CHECK_EQ(total(&s), 100);
	}
}

static struct thread_slot waiting_for_io(uint64_t since, enum queued queued)
{
	static const struct account_leave why = { .iowait = true };
	struct thread_slot s = started(0);

	account_queued(&s, queued);
	account_switch_out(&s, &why, since);
	s.held_at = 1;
	s.held_group = 7;
	return s;
}

/* Held by an I/O limit until the last of its requests was let go; then in a queue, then on the device. */
static void test_held_by_a_limit(void)
{
	static const struct {
		uint64_t first, last, issued, woken, held, queue, device;
	} cases[] = { { 40, 60, 70, 90, 50, 10, 20 }, { 60, 60, 0, 90, 50, 0, 30 },
		      { 0, 0, 70, 90, 0, 60, 20 },    { 60, 95, 0, 90, 0, 0, 80 },
		      { 5, 5, 0, 90, 0, 0, 80 },      { 40, 60, 50, 90, 50, 0, 30 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thread_slot s = waiting_for_io(10, QUEUED_NONE);

		check_case("case %zu", i);
		account_freed(&s, cases[i].first);
		account_freed(&s, cases[i].last);
		account_issued(&s, cases[i].issued);
		account_waking(&s, cases[i].woken);
		account_switch_in(&s, false, 100);
		CHECK_EQ(s.ns[TS_WAIT_HELD], cases[i].held);
		CHECK_EQ(s.ns[TS_WAIT_QUEUE], cases[i].queue);
		CHECK_EQ(s.ns[TS_WAIT_BLOCK], cases[i].device);
		CHECK_EQ(total(&s), 100);
	}
}

/* A limit of group 7 lets a read go: whose it may be. */
static void test_may_be_held(void)
{
	struct thread_slot s = waiting_for_io(10, QUEUED_NONE);

	CHECK(account_may_be_held(&s, 7, QUEUED_READ));
	CHECK(!account_may_be_held(&s, 8, QUEUED_READ));
	account_waking(&s, 20);
	CHECK(!account_may_be_held(&s, 7, QUEUED_READ)); /* what it waited for is there */
	account_switch_in(&s, false, 30);
	CHECK(!account_may_be_held(&s, 7, QUEUED_READ));
	s = waiting_for_io(10, QUEUED_READ);
	CHECK(account_may_be_held(&s, 7, QUEUED_READ)); /* perhaps it reads more than that */
	CHECK(!account_may_be_held(&s, 7, QUEUED_WRITE));
	account_switch_in(&s, false, 30);
	CHECK_EQ(s.queued, QUEUED_NONE); /* of the wait that is over */
	s = waiting_for_io(10, QUEUED_NONE);
	s.held_at = 0;
	CHECK(!account_may_be_held(&s, 7, QUEUED_READ));
}

/* First come, first served; but each one first, and before them who has nothing on its way. */
static void test_who_was_held(void)
{
	struct thread_slot first = waiting_for_io(10, QUEUED_NONE);
	struct thread_slot second = waiting_for_io(20, QUEUED_NONE);
	struct thread_slot reads = waiting_for_io(5, QUEUED_READ);

	CHECK(account_held_before(&first, &second) && !account_held_before(&second, &first));
	CHECK(account_held_before(&second, &reads) && !account_held_before(&reads, &second));
	account_freed(&first, 30);
	CHECK(account_held_before(&second, &first) && !account_held_before(&first, &second));
	CHECK(account_held_before(&first, &reads));
}

/* Made to wait for what it has written: one wait, whatever takes the CPU before it. */
static void test_made_to_wait_for_writes(void)
{
	static const struct account_leave io = { .iowait = true };
	struct thread_slot s = started(0);

	account_dirty(&s);
	account_switch_out(&s, &preempted, 10);
	account_switch_in(&s, false, 20);
	account_switch_out(&s, &io, 20);
	account_waking(&s, 55);
	account_switch_in(&s, false, 60);
	account_switch_out(&s, &io, 60); /* for a block that it has to read first */
	account_switch_in(&s, false, 100);
	CHECK_EQ(s.ns[TS_WAIT_DIRTY], 35);
	CHECK_EQ(s.ns[TS_RUNQUEUE], 5);
	CHECK_EQ(s.ns[TS_WAIT_BLOCK], 40);
	CHECK_EQ(total(&s), 100);
	account_dirty(&s);
	account_sys_enter(&s, &sync_class, 110); /* it did not come to that wait */
	account_switch_out(&s, &io, 110);
	account_switch_in(&s, false, 120);
	CHECK_EQ(s.ns[TS_WAIT_DIRTY], 35);
}

/* Outside of a call a thread waits for a page that it has touched, or for what that page takes. */
static void test_fault(void)
{
	static const struct account_leave io = { .iowait = true }, mem = { .memstall = true };
	struct thread_slot s = started(0);

	account_fault(&s);
	account_switch_out(&s, &sleeps, 10);
	account_switch_in(&s, false, 30);
	account_switch_out(&s, &io, 30);
	account_switch_in(&s, false, 35);
	account_switch_out(&s, &mem, 35);
	account_switch_in(&s, false, 41);
	account_switch_out(&s, &preempted, 41);
	account_switch_in(&s, false, 48);
	account_sys_enter(&s, &recv_class, 60);
	account_switch_out(&s, &sleeps, 60);
	account_switch_in(&s, false, 70);
	account_sys_exit(&s, 75);
	account_switch_out(&s, &sleeps, 75); /* it touched nothing since */
	account_switch_in(&s, false, 100);
	CHECK_EQ(s.ns[TS_WAIT_FAULT], 20);
	CHECK_EQ(s.ns[TS_WAIT_BLOCK], 5);
	CHECK_EQ(s.ns[TS_WAIT_MEM], 6);
	CHECK_EQ(s.ns[TS_PREEMPTED], 7);
	CHECK_EQ(s.ns[TS_WAIT_NET], 10);
	CHECK_EQ(s.ns[TS_WAIT_OTHER], 25);
	CHECK_EQ(s.ns[TS_USER], 10 + 12);
	CHECK_EQ(total(&s), 100);
}

/* Where its end is told a fault has its time on the CPU too; a call that begins says that it is over. */
static void test_fault_told(void)
{
	static const struct account_leave io = { .iowait = true };
	struct thread_slot s = started(0);

	account_fault_begin(&s, 3);
	account_hardirq_enter(&s, TS_IRQ_TIMER, 10);
	account_hardirq_exit(&s, 14);
	account_switch_out(&s, &sleeps, 20);
	account_waking(&s, 30);
	account_switch_in(&s, true, 31);
	account_switch_out(&s, &io, 40);
	account_switch_in(&s, false, 60);
	account_fault_end(&s, 65);
	account_fault_begin(&s, 70);
	account_sys_enter(&s, &recv_class, 80);
	account_sys_exit(&s, 85);
	account_charge(&s, 100);
	CHECK_EQ(s.ns[TS_KERNEL_FAULT], 7 + 6 + 9 + 5 + 10);
	CHECK_EQ(s.ns[TS_IRQ_TIMER], 4);
	CHECK_EQ(s.ns[TS_WAIT_FAULT], 10);
	CHECK_EQ(s.ns[TS_WAKEUP], 1);
	CHECK_EQ(s.ns[TS_WAIT_BLOCK], 20);
	CHECK_EQ(s.ns[TS_KERNEL_NET], 5);
	CHECK_EQ(s.ns[TS_USER], 3 + 5 + 15);
	CHECK_EQ(total(&s), 100);
}

/* In a run no call is told: what arrives within its own sending is that call's, what comes later is an interrupt. */
static void test_own_softirq_of_a_run(void)
{
	struct thread_slot s = started(0);

	CHECK(!account_softirq_is_own(&s, 3));
	account_sending(&s);
	CHECK(account_softirq_is_own(&s, 3));
	CHECK(!account_softirq_is_own(&s, 1));
	account_sent(&s);
	CHECK(!account_softirq_is_own(&s, 3));
	account_sending(&s);
	account_switch_out(&s, &preempted, 10);
	account_switch_in(&s, false, 20);
	CHECK(!account_softirq_is_own(&s, 3));
	account_softirq_enter(&s, 3, 30);
	account_sending(&s); /* the interrupt sends, not the thread */
	account_softirq_exit(&s, 40);
	CHECK(!account_softirq_is_own(&s, 3));
}

/* A wait while it wants a lock of the kernel is for that, but for what outweighs it. */
static void test_kernel_lock(void)
{
	static const struct account_leave io = { .iowait = true };
	struct thread_slot s = started(0);

	account_sys_enter(&s, &sync_class, 10);
	account_lock_begin(&s, 7);
	account_switch_out(&s, &sleeps, 20);
	account_waking(&s, 30);
	account_switch_in(&s, false, 34);
	account_switch_out(&s, &sleeps, 40); /* somebody was faster: it still wants it */
	account_switch_in(&s, false, 50);
	account_switch_out(&s, &preempted, 50);
	account_switch_in(&s, false, 53);
	account_lock_end(&s, 9); /* of another, whose begin was not seen */
	account_switch_out(&s, &io, 60);
	account_switch_in(&s, false, 70);
	account_lock_end(&s, 7);
	account_switch_out(&s, &sleeps, 80);
	account_switch_in(&s, false, 100);
	account_sys_exit(&s, 100);
	CHECK_EQ(s.ns[TS_WAIT_LOCK], 10 + 10);
	CHECK_EQ(s.ns[TS_RUNQUEUE], 4);
	CHECK_EQ(s.ns[TS_PREEMPTED], 3);
	CHECK_EQ(s.ns[TS_WAIT_BLOCK], 10);
	CHECK_EQ(s.ns[TS_WAIT_JOURNAL], 20);
	CHECK_EQ(total(&s), 100);
}

/* Making room for itself: its CPU time, and whatever it waits for then; interrupts stay theirs. */
static void test_making_room(void)
{
	static const struct account_leave io = { .iowait = true };
	struct thread_slot s = started(0);

	account_sys_enter(&s, &sync_class, 10);
	account_room_begin(&s, TS_WAIT_MEM, 20);
	account_room_begin(&s, TS_COMPACTION, 30); /* within: part of it */
	account_room_end(&s, 35);
	account_hardirq_enter(&s, TS_IRQ_TIMER, 40);
	account_hardirq_exit(&s, 44);
	account_switch_out(&s, &io, 50);
	account_waking(&s, 80);
	account_switch_in(&s, false, 90);
	account_room_end(&s, 100);
	account_sys_exit(&s, 130);
	account_room_end(&s, 140); /* its begin was not seen */
	account_charge(&s, 150);
	CHECK_EQ(s.ns[TS_WAIT_MEM], 20 + 6 + 30 + 10);
	CHECK_EQ(s.ns[TS_COMPACTION], 0);
	CHECK_EQ(s.ns[TS_IRQ_TIMER], 4);
	CHECK_EQ(s.ns[TS_RUNQUEUE], 10);
	CHECK_EQ(s.ns[TS_KERNEL_FS], 10 + 30);
	CHECK_EQ(s.ns[TS_USER], 10 + 20);
	CHECK_EQ(total(&s), 150);
}

/* An end that was not seen costs its own call at most: the next one comes from user mode. */
static void test_ends_not_seen(void)
{
	struct thread_slot s = started(0);

	account_sys_enter(&s, &sync_class, 10);
	account_room_begin(&s, TS_WAIT_MEM, 20);
	account_lock_begin(&s, 7);
	account_sys_exit(&s, 30);
	account_sys_enter(&s, &sync_class, 40);
	account_switch_out(&s, &sleeps, 50);
	account_switch_in(&s, false, 80);
	account_sys_exit(&s, 90);
	CHECK_EQ(s.ns[TS_WAIT_MEM], 10 + 10);
	CHECK_EQ(s.ns[TS_WAIT_LOCK], 0);
	CHECK_EQ(s.ns[TS_KERNEL_FS], 10 + 10 + 10);
	CHECK_EQ(s.ns[TS_WAIT_JOURNAL], 30);
	CHECK_EQ(total(&s), 90);
}

/* io_uring_enter is in I/O wait whatever it waits for; the call knows better. */
static void test_io_uring_waits(void)
{
	static const struct syscall_class class = { SYSCALL_URING, TS_KERNEL_NET, TS_WAIT_NET };
	static const struct account_leave why = { .iowait = true };
	struct thread_slot s = started(0);

	account_sys_enter(&s, &class, 0);
	account_switch_out(&s, &why, 0);
	account_switch_in(&s, false, 40);
	CHECK_EQ(s.ns[TS_WAIT_NET], 40);
}

/* Pitfall: the wake-up is seen before the thread has left the CPU, and is for nothing. */
static void test_waking_before_switch_out(void)
{
	struct thread_slot s = started(0);

	account_waking(&s, 5);
	CHECK_EQ(s.wake_ns, 0);
	account_switch_out(&s, &preempted, 10);
	account_waking(&s, 12); /* a runnable thread is not woken */
	account_switch_in(&s, true, 30);
	CHECK_EQ(s.ns[TS_PREEMPTED], 20);
	CHECK_EQ(s.ns[TS_WAKEUP], 0);
	s.wake_ns = 35; /* by a waker on another CPU that had looked before the thread was back */
	account_switch_out(&s, &sleeps, 40);
	account_switch_in(&s, true, 60);
	CHECK_EQ(s.ns[TS_WAIT_OTHER], 20);
	CHECK_EQ(s.ns[TS_WAKEUP], 0);
}

/* Pitfall: a hard interrupt inside a softirq is counted once, as what it is. */
static void test_nested_interrupts(void)
{
	struct thread_slot s = started(0);

	account_softirq_enter(&s, 1, 10);
	account_hardirq_enter(&s, TS_IRQ_OTHER, 20);
	account_hardirq_enter(&s, TS_IRQ_TIMER, 25);
	account_hardirq_exit(&s, 30);
	account_hardirq_exit(&s, 40);
	account_softirq_exit(&s, 60);
	account_charge(&s, 65);
	CHECK_EQ(s.ns[TS_USER], 15);
	CHECK_EQ(s.ns[TS_IRQ_TIMER], 10 + 20);
	CHECK_EQ(s.ns[TS_IRQ_OTHER], 20);
}

/* Pitfall: on loopback the receive runs inside send(); it is that call's own work. */
static void test_loopback_receive_inside_send(void)
{
	struct thread_slot s = started(0);

	account_sys_enter(&s, &recv_class, 0);
	account_softirq_enter(&s, 3, 10);
	account_softirq_exit(&s, 50);
	account_sys_exit(&s, 60);
	account_softirq_enter(&s, 3, 70);
	account_softirq_exit(&s, 90);
	CHECK_EQ(s.ns[TS_KERNEL_NET], 60);
	CHECK_EQ(s.ns[TS_IRQ_NET], 20);
	CHECK_EQ(s.ns[TS_USER], 10);
}

/* The softirq that the BPF side leaves out changes nothing, whatever follows; any other does. */
static void test_own_softirq_needs_no_charge(void)
{
	struct thread_slot with = started(0), without;

	CHECK(!account_softirq_is_own(&with, 3));
	account_sys_enter(&with, &recv_class, 10);
	CHECK(!account_softirq_is_own(&with, 1));
	CHECK(account_softirq_is_own(&with, 3));
	without = with;
	account_softirq_enter(&with, 3, 20);
	account_hardirq_enter(&with, TS_IRQ_TIMER, 30);
	account_hardirq_enter(&without, TS_IRQ_TIMER, 30);
	CHECK(!account_softirq_is_own(&without, 3));
	account_hardirq_exit(&with, 50);
	account_hardirq_exit(&without, 50);
	account_softirq_exit(&with, 60);
	account_sys_exit(&with, 90);
	account_sys_exit(&without, 90);
	CHECK_MEM(&with, &without, offsetof(struct thread_slot, logged)); /* it has fewer entries */
	account_sys_enter(&with, &sync_class, 95);
	CHECK(!account_softirq_is_own(&with, 3));
}

/* From when there is quota again it is the CPU that a thread waits for; odd times change nothing. */
static void test_wait_after_the_quota(void)
{
	static const struct account_leave out = { .runnable = true, .throttled = true };
	static const struct {
		uint64_t refilled, throttled, runqueue;
	} cases[] = { { 70, 60, 30 }, { 10, 90, 0 },  { 9, 90, 0 },
		      { 0, 90, 0 },   { 100, 90, 0 }, { 200, 90, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thread_slot s = started(0);

		check_case("refilled at %lu", cases[i].refilled);
		account_switch_out(&s, &out, 10);
		account_refilled(&s, cases[i].refilled, 100);
		account_switch_in(&s, false, 100);
		CHECK_EQ(s.ns[TS_THROTTLED], cases[i].throttled);
		CHECK_EQ(s.ns[TS_RUNQUEUE], cases[i].runqueue);
		CHECK_EQ(total(&s), 100);
	}
}

/* A switch-in that nobody reported: the next event of the thread itself tells that it is back. */
static void test_missed_switch_in(void)
{
	struct thread_slot s = started(0);

	account_switch_out(&s, &sleeps, 10);
	account_waking(&s, 40);
	account_sys_enter(&s, &recv_class, 60);
	account_sys_exit(&s, 90);
	CHECK_EQ(s.ns[TS_WAIT_OTHER], 30);
	CHECK_EQ(s.ns[TS_RUNQUEUE], 20);
	CHECK_EQ(s.ns[TS_KERNEL_NET], 30);
}

/* What was stolen while it ran is neither its own nor its call's; elsewhere it is not its matter. */
static void test_stolen(void)
{
	struct thread_slot s = started(0);

	s.stolen_ns = 5000;
	account_stolen(&s, 5030, 100);
	account_sys_enter(&s, &recv_class, 100);
	account_stolen(&s, 5530, 200); /* more than there was: the rest was before it */
	account_sys_exit(&s, 200);
	CHECK_EQ(s.ns[TS_STEAL], 30 + 100);
	CHECK_EQ(s.ns[TS_USER], 70);
	CHECK_EQ(s.ns[TS_KERNEL_NET], 0);
	account_switch_out(&s, &preempted, 300);
	account_stolen(&s, 5600, 400);
	account_switch_in(&s, false, 400);
	CHECK_EQ(s.ns[TS_STEAL], 130);
	CHECK_EQ(s.ns[TS_PREEMPTED], 100);
	CHECK_EQ(total(&s), 400);
}

static void test_peek_leaves_no_trace(void)
{
	struct thread_slot s = started(0), before;
	uint32_t seen[TS_COUNT];

	account_sys_enter(&s, &recv_class, 10);
	before = s;
	CHECK(account_peek(&s, 35, seen));
	CHECK_EQ(seen[TS_KERNEL_NET], 25);
	CHECK_MEM(&s, &before, sizeof(s));
	s.sequence = 1;
	CHECK(!account_peek(&s, 36, seen));
}

static void random_event(struct thread_slot *s, unsigned *seed, uint64_t now)
{
	const struct account_leave why = { rand_r(seed) & 1, rand_r(seed) & 1, rand_r(seed) & 1,
					   rand_r(seed) & 1, rand_r(seed) % 1000 };

	switch (rand_r(seed) % 20) {
	case 0:
		account_sys_enter(s, rand_r(seed) & 1 ? &recv_class : &sync_class, now);
		break;
	case 1:
		account_sys_exit(s, now);
		break;
	case 2:
		account_switch_out(s, &why, now);
		break;
	case 3:
		account_switch_in(s, rand_r(seed) & 1, now);
		break;
	case 4:
		account_waking(s, now);
		break;
	case 5:
		account_hardirq_enter(s, TS_IRQ_TIMER, now);
		break;
	case 6:
		account_hardirq_exit(s, now);
		break;
	case 7:
		account_softirq_enter(s, rand_r(seed) % 10, now);
		break;
	case 16:
		account_lined_up(s, now - rand_r(seed) % 100);
		break;
	case 17:
		account_came_back(s, now - rand_r(seed) % 100, rand_r(seed) % 1000, now);
		break;
	case 8:
		account_refilled(s, now - rand_r(seed) % 100, now);
		break;
	case 18:
		account_fault_begin(s, now);
		break;
	case 19:
		account_fault_end(s, now);
		break;
	case 11:
		account_room_begin(s, rand_r(seed) & 1 ? TS_WAIT_MEM : TS_COMPACTION, now);
		break;
	case 12:
		account_room_end(s, now);
		break;
	case 13:
		account_lock_begin(s, 1 + rand_r(seed) % 3);
		break;
	case 14:
		account_lock_end(s, 1 + rand_r(seed) % 3);
		break;
	case 10:
		account_issued(s, now);
		break;
	case 9:
		account_stolen(s, s->stolen_ns + rand_r(seed) % 40, now);
		break;
	default:
		account_softirq_exit(s, now);
	}
}

/* Whatever comes in whatever order: no time is lost and none counted twice. */
static void test_any_order_sums(void)
{
	unsigned seed = 1;

	for (int run = 0; run < 2000; run++) {
		struct thread_slot s = started(1000);
		uint64_t now = 1000;

		check_case("run %d", run);
		for (int i = 0; i < 200; i++) {
			struct thread_slot before = s;

			now += rand_r(&seed) % 50;
			random_event(&s, &seed, now);
			for (int j = 0; j < TS_MAX; j++)
				CHECK(s.ns[j] >= before.ns[j]);
			CHECK(s.last_ns >= before.last_ns && s.last_ns <= now);
		}
		account_charge(&s, now);
		if (!CHECK_EQ(total(&s), now - 1000))
			return;
	}
}

/* Whatever comes: the log has the changes in their order, and the same sums as the counters. */
static void test_log_is_the_counters(void)
{
	unsigned seed = 3;

	for (int run = 0; run < 2000; run++) {
		struct thread_slot s = started(1000);
		uint64_t now = 1000, at = 1000, sums[1 << SLOT_LOG_BITS] = { 0 };

		check_case("run %d", run);
		for (int i = 0; i < 30; i++) { /* less than it holds */
			now += rand_r(&seed) % 50;
			random_event(&s, &seed, now);
		}
		account_charge(&s, now);
		CHECK(s.logged <= SLOT_LOG_MAX);
		for (uint64_t i = 0; i < s.logged; i++) {
			uint64_t until = s.log[i] >> SLOT_LOG_BITS;

			CHECK(until > at);
			sums[s.log[i] % (1 << SLOT_LOG_BITS)] += until - at;
			at = until;
		}
		CHECK_EQ(at, s.last_ns);
		if (!CHECK_MEM(sums, s.ns, sizeof(sums)))
			return;
	}
}

/* The counters at the mark come back although only those that moved were kept. */
static void test_mark_is_remembered(void)
{
	unsigned seed = 2;

	for (int run = 0; run < 200; run++) {
		struct thread_slot s = started(1000);
		uint64_t mark[TS_COUNT], then[TS_COUNT], now_ns[TS_COUNT], now = 1000;

		check_case("run %d", run);
		memset(mark, 0, sizeof(mark));
		for (int i = 0; i < 100; i++) {
			now += rand_r(&seed) % 50;
			random_event(&s, &seed, now);
			CHECK_EQ(account_copy(&s, then, now_ns), s.last_ns);
			CHECK_MEM(then, mark, sizeof(mark));
			CHECK_MEM(now_ns, s.ns, sizeof(now_ns));
			if (rand_r(&seed) % 8)
				continue;
			account_charge(&s, now);
			account_mark(&s);
			memcpy(mark, s.ns, sizeof(mark));
			CHECK_EQ(s.mark_ns, s.last_ns);
		}
	}
}

int main(void)
{
	RUN(test_user_and_kernel);
	RUN(test_wakeup_apart_from_runqueue);
	RUN(test_why_it_left);
	RUN(test_block_queue);
	RUN(test_held_by_a_limit);
	RUN(test_may_be_held);
	RUN(test_who_was_held);
	RUN(test_made_to_wait_for_writes);
	RUN(test_fault);
	RUN(test_fault_told);
	RUN(test_kernel_lock);
	RUN(test_making_room);
	RUN(test_ends_not_seen);
	RUN(test_io_uring_waits);
	RUN(test_waking_before_switch_out);
	RUN(test_nested_interrupts);
	RUN(test_loopback_receive_inside_send);
	RUN(test_own_softirq_needs_no_charge);
	RUN(test_own_softirq_of_a_run);
	RUN(test_wait_after_the_quota);
	RUN(test_missed_switch_in);
	RUN(test_stolen);
	RUN(test_peek_leaves_no_trace);
	RUN(test_any_order_sums);
	RUN(test_log_is_the_counters);
	RUN(test_mark_is_remembered);
	return check_done();
}
