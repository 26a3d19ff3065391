/* SPDX-License-Identifier: Apache-2.0 */
/* Two requests of one loop: what is one's work is the other's queue. */
#include "attribution/timeline.h"

#include "check.h"

static int64_t sum_of(const struct account *a)
{
	int64_t sum = 0;

	for (int i = 0; i < SUB_COUNT; i++)
		sum += a->rows[i];
	return sum;
}

static void test_own_and_behind(void)
{
	struct timeline tl = { 0 };
	struct account first, second;
	const int64_t read[TS_COUNT] = { [TS_KERNEL_NET] = 10 };
	const int64_t work[TS_COUNT] = { [TS_USER] = 100, [TS_PREEMPTED] = 7 };
	const int64_t sync[TS_COUNT] = { [TS_KERNEL_FS] = 5, [TS_WAIT_BLOCK] = 200 };
	const int64_t send[TS_COUNT] = { [TS_KERNEL_NET] = 20 };

	timeline_add(&tl, read);
	account_begin(&first, &tl, NULL, read);
	timeline_add(&tl, work);
	account_own(&first, work);
	timeline_add(&tl, read);
	account_begin(&second, &tl, work, read); /* it had arrived before first's work */
	timeline_add(&tl, sync);		 /* for both */
	account_own(&first, sync);
	account_own(&second, sync);
	timeline_add(&tl, send);
	account_own(&first, send);
	account_end(&first, &tl, 0);
	timeline_add(&tl, send);
	account_own(&second, send);
	account_end(&second, &tl, 0);

	CHECK_EQ(first.rows[SUB_CPU_USER], 100);
	CHECK_EQ(first.rows[SUB_CPU_KERNEL_NET], 30);
	CHECK_EQ(first.rows[SUB_SCHED_PREEMPTED], 7);
	CHECK_EQ(first.rows[SUB_BLOCK_DEVICE], 200);
	CHECK_EQ(first.rows[SUB_APP_QUEUE], 10); /* the read of the second */
	CHECK_EQ(account_close(&first, 10 + 107 + 10 + 205 + 20), 0);

	CHECK_EQ(second.rows[SUB_NET_RXQUEUE], 100);
	CHECK_EQ(second.rows[SUB_SCHED_PREEMPTED], 7); /* delayed it just the same */
	CHECK_EQ(second.rows[SUB_CPU_USER], 0);
	CHECK_EQ(second.rows[SUB_BLOCK_DEVICE], 200);
	CHECK_EQ(second.rows[SUB_APP_QUEUE], 20); /* the send of the first */
	CHECK_EQ(sum_of(&second), 107 + 10 + 205 + 20 + 20);
}

static void test_polled_is_no_queue(void)
{
	struct timeline tl = { 0 };
	struct account a;
	const int64_t wait[TS_COUNT] = { [TS_WAIT_POLL] = 300, [TS_WAKEUP] = 4 };

	account_begin(&a, &tl, NULL, NULL);
	timeline_add(&tl, wait);
	account_end(&a, &tl, 0);
	account_polled(&a, &tl, SUB_CALL);
	CHECK_EQ(a.rows[SUB_CALL], 300);
	CHECK_EQ(a.rows[SUB_APP_QUEUE], 0);
	CHECK_EQ(a.rows[SUB_SCHED_WAKEUP], 4);
}

/* What the thread does while the request waits elsewhere is none of its business. */
static void test_leave_and_return(void)
{
	struct timeline tl = { 0 };
	struct account a;
	const int64_t others[TS_COUNT] = { [TS_USER] = 70, [TS_RUNQUEUE] = 9, [TS_WAIT_POLL] = 300 };
	const int64_t before[TS_COUNT] = { [TS_USER] = 5 };
	const int64_t io[TS_COUNT] = { [TS_WAIT_BLOCK] = 200, [TS_KERNEL_FS] = 30 };

	account_begin(&a, &tl, NULL, NULL);
	timeline_add(&tl, before); /* for another */
	account_leave(&a, &tl);
	timeline_add(&tl, others);
	CHECK_EQ(account_return(&a, &tl), 300);
	account_add(&a, io);
	account_handoff(&a, NULL, 40);
	timeline_add(&tl, before);
	account_own(&a, before);
	account_end(&a, &tl, 0);
	CHECK_EQ(a.rows[SUB_APP_QUEUE], 5);
	CHECK_EQ(a.rows[SUB_CPU_USER], 5);
	CHECK_EQ(a.rows[SUB_SCHED_RUNQUEUE], 0);
	CHECK_EQ(a.rows[SUB_BLOCK_DEVICE], 200);
	CHECK_EQ(a.rows[SUB_CPU_KERNEL_FS], 30);
	CHECK_EQ(a.rows[SUB_APP_HANDOFF], 40);
	CHECK_EQ(sum_of(&a), 5 + 5 + 230 + 40);
}

static void test_time_after_the_handover(void)
{
	struct timeline tl = { 0 };
	struct account a;
	const int64_t send[TS_COUNT] = { [TS_KERNEL_NET] = 50, [TS_IRQ_OTHER] = 10 };

	account_begin(&a, &tl, NULL, send);
	account_end(&a, &tl, 55);
	CHECK_EQ(a.rows[SUB_CPU_KERNEL_NET], 0);
	CHECK_EQ(a.rows[SUB_CPU_IRQ_OTHER], 5);
}

static void test_close_never_exceeds(void)
{
	struct account a = { .rows = { [SUB_CPU_USER] = 100, [SUB_APP_QUEUE] = -3 } };

	CHECK_EQ(account_close(&a, 90), 0);
	CHECK_EQ(sum_of(&a), 90);
	CHECK_EQ(a.rows[SUB_APP_QUEUE], 0);
	CHECK_EQ(account_close(&a, 120), 30);
}

/* A wait nobody can name has no row. */
static void test_unnamed_wait(void)
{
	struct timeline tl = { 0 };
	struct account a;
	const int64_t own[TS_COUNT] = { [TS_WAIT_OTHER] = 40, [TS_USER] = 2 };

	account_begin(&a, &tl, NULL, own);
	account_end(&a, &tl, 0);
	CHECK_EQ(account_close(&a, 42), 40);
}

int main(void)
{
	RUN(test_own_and_behind);
	RUN(test_polled_is_no_queue);
	RUN(test_leave_and_return);
	RUN(test_time_after_the_handover);
	RUN(test_close_never_exceeds);
	RUN(test_unnamed_wait);
	return check_done();
}
