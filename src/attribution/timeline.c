/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/timeline.h"

#include <stddef.h>
#include <string.h>

#define NO_ROW (-1) /* a wait nobody can name: unattributed */

/*
 * The row of a state, by view. Interrupts and the scheduler delay all requests of
 * a thread alike; the rest delays only its owner by what it is, and the others by
 * their place in the queue.
 */
static const int rows[TS_COUNT][VIEW_COUNT] = {
	[TS_USER] = { SUB_CPU_USER, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_KERNEL_NET] = { SUB_CPU_KERNEL_NET, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_KERNEL_FS] = { SUB_CPU_KERNEL_FS, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_KERNEL_MM] = { SUB_CPU_KERNEL_MM, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_KERNEL_OTHER] = { SUB_CPU_KERNEL_OTHER, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_KERNEL_FAULT] = { SUB_MEM_FAULT, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_IRQ_NET] = { SUB_CPU_IRQ_NET, SUB_CPU_IRQ_NET, SUB_CPU_IRQ_NET },
	[TS_IRQ_BLOCK] = { SUB_CPU_IRQ_BLOCK, SUB_CPU_IRQ_BLOCK, SUB_CPU_IRQ_BLOCK },
	[TS_IRQ_TIMER] = { SUB_CPU_IRQ_TIMER, SUB_CPU_IRQ_TIMER, SUB_CPU_IRQ_TIMER },
	[TS_IRQ_OTHER] = { SUB_CPU_IRQ_OTHER, SUB_CPU_IRQ_OTHER, SUB_CPU_IRQ_OTHER },
	[TS_WAKEUP] = { SUB_SCHED_WAKEUP, SUB_SCHED_WAKEUP, SUB_SCHED_WAKEUP },
	[TS_RUNQUEUE] = { SUB_SCHED_RUNQUEUE, SUB_SCHED_RUNQUEUE, SUB_SCHED_RUNQUEUE },
	[TS_PREEMPTED] = { SUB_SCHED_PREEMPTED, SUB_SCHED_PREEMPTED, SUB_SCHED_PREEMPTED },
	[TS_THROTTLED] = { SUB_SCHED_THROTTLED, SUB_SCHED_THROTTLED, SUB_SCHED_THROTTLED },
	[TS_STEAL] = { SUB_SCHED_STEAL, SUB_SCHED_STEAL, SUB_SCHED_STEAL },
	/* who waits behind a poll waits for its call or its socket: account_polled() says which */
	[TS_WAIT_POLL] = { SUB_NET_RXQUEUE, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_NET] = { SUB_NET_SOCKET, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_SLEEP] = { SUB_APP_SLEEP, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_FUTEX] = { SUB_LOCK_USER, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_BLOCK] = { SUB_BLOCK_DEVICE, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_QUEUE] = { SUB_BLOCK_QUEUE, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_HELD] = { SUB_BLOCK_THROTTLED, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_JOURNAL] = { SUB_FS_JOURNAL, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_JOURNAL_BLOCK] = { SUB_FS_JOURNAL_BLOCK, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_DIRTY] = { SUB_FS_WRITEBACK, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_FAULT] = { SUB_MEM_FAULT, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_MEM] = { SUB_MEM_RECLAIM, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_LOCK] = { SUB_LOCK_KERNEL, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_COMPACTION] = { SUB_MEM_COMPACTION, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
	[TS_WAIT_OTHER] = { NO_ROW, SUB_APP_QUEUE, SUB_NET_RXQUEUE },
};

int timeline_row(enum thread_state state, enum timeline_view view)
{
	return rows[state][view] == NO_ROW ? SUB_COUNT : rows[state][view];
}

void counters_delta(const uint64_t *from, const uint64_t *to, int64_t ret_delta[TS_COUNT])
{
	for (size_t i = 0; i < TS_COUNT; i++)
		ret_delta[i] = (int64_t)(to[i] - from[i]);
}

int64_t counters_user(const int64_t delta[TS_COUNT])
{
	return delta[TS_USER] + delta[TS_KERNEL_FAULT];
}

int64_t counters_sum(const int64_t delta[TS_COUNT])
{
	int64_t sum = 0;

	for (size_t i = 0; i < TS_COUNT; i++)
		sum += delta[i];
	return sum;
}

static void add_rows(int64_t into[SUB_COUNT], const int64_t delta[TS_COUNT],
		     enum timeline_view view, int sign)
{
	for (size_t i = 0; i < TS_COUNT; i++)
		if (delta[i] && rows[i][view] != NO_ROW)
			into[rows[i][view]] += sign * delta[i];
}

void timeline_add(struct timeline *tl, const int64_t delta[TS_COUNT])
{
	add_rows(tl->behind, delta, VIEW_BEHIND, 1);
	tl->polled_ns += delta[TS_WAIT_POLL];
}

void account_begin(struct account *a, const struct timeline *tl, const int64_t *unread,
		   const int64_t *own)
{
	memset(a->rows, 0, sizeof(a->rows));
	memcpy(a->behind, tl->behind, sizeof(a->behind));
	a->polled_ns = tl->polled_ns;
	a->detached = false;
	if (unread)
		add_rows(a->rows, unread, VIEW_UNREAD, 1);
	if (own)
		add_rows(a->rows, own, VIEW_OWN, 1);
}

void account_own(struct account *a, const int64_t delta[TS_COUNT])
{
	add_rows(a->rows, delta, VIEW_OWN, 1);
	add_rows(a->rows, delta, VIEW_BEHIND, -1);
}

void account_detach(struct account *a, const struct timeline *tl)
{
	for (size_t i = 0; i < SUB_COUNT && !a->detached; i++)
		a->rows[i] += tl->behind[i] - a->behind[i];
	a->detached = true;
}

void account_leave(struct account *a, const struct timeline *tl)
{
	for (size_t i = 0; i < SUB_COUNT; i++)
		a->behind[i] -= tl->behind[i];
	a->polled_ns -= tl->polled_ns;
	a->left_polled_ns = tl->polled_ns;
}

int64_t account_return(struct account *a, const struct timeline *tl)
{
	for (size_t i = 0; i < SUB_COUNT; i++)
		a->behind[i] += tl->behind[i];
	a->polled_ns += tl->polled_ns;
	return tl->polled_ns - a->left_polled_ns;
}

void account_add(struct account *a, const int64_t delta[TS_COUNT])
{
	add_rows(a->rows, delta, VIEW_OWN, 1);
}

void account_move(struct account *a, enum subsystem from, enum subsystem to, int64_t ns)
{
	a->rows[from] -= ns;
	a->rows[to] += ns;
}

void account_handoff(struct account *a, const int64_t *waited, int64_t gap_ns)
{
	static const int states[] = { TS_WAKEUP, TS_RUNQUEUE };

	for (size_t i = 0; waited && i < sizeof(states) / sizeof(states[0]); i++) {
		int64_t ns = waited[states[i]] < gap_ns ? waited[states[i]] : gap_ns;

		if (ns <= 0)
			continue;
		a->rows[rows[states[i]][VIEW_OWN]] += ns;
		gap_ns -= ns;
	}
	if (gap_ns > 0)
		a->rows[SUB_APP_HANDOFF] += gap_ns;
}

void account_share(struct account *const accounts[], size_t n)
{
	static const int shared[] = { SUB_CPU_USER, SUB_CPU_KERNEL_NET, SUB_CPU_KERNEL_FS,
				      SUB_CPU_KERNEL_MM, SUB_CPU_KERNEL_OTHER };

	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
		int64_t sum = 0;

		for (size_t j = 0; j < n; j++)
			sum += accounts[j]->rows[shared[i]];
		for (size_t j = 0; j < n; j++) {
			int64_t *row = &accounts[j]->rows[shared[i]];
			int64_t part = sum / (int64_t)n;

			accounts[j]->rows[SUB_APP_QUEUE] += *row - part;
			*row = part;
		}
	}
}

/* Rows that time after the hand-over to the network can have gone into, likeliest first. */
static const int after_send[] = { SUB_CPU_KERNEL_NET, SUB_CPU_IRQ_NET,	   SUB_CPU_IRQ_OTHER,
				  SUB_CPU_IRQ_TIMER,  SUB_SCHED_PREEMPTED, SUB_CPU_USER,
				  SUB_SCHED_RUNQUEUE };

int64_t rows_take_end(int64_t own[SUB_COUNT], int64_t after_ns)
{
	int64_t left = after_ns;

	for (size_t i = 0; i < sizeof(after_send) / sizeof(after_send[0]) && left > 0; i++) {
		int64_t *row = &own[after_send[i]];
		int64_t part = *row < left ? *row : left;

		if (part <= 0)
			continue;
		*row -= part;
		left -= part;
	}
	return after_ns - left;
}

void account_end(struct account *a, const struct timeline *tl, int64_t after_ns)
{
	account_detach(a, tl);
	rows_take_end(a->rows, after_ns);
}

void account_end_before(struct account *a, const struct timeline *tl, const int64_t after[TS_COUNT])
{
	account_detach(a, tl);
	add_rows(a->rows, after, VIEW_OWN, -1);
}

void account_polled(struct account *a, const struct timeline *tl, enum subsystem row)
{
	int64_t polled = tl->polled_ns - a->polled_ns;

	account_move(a, SUB_APP_QUEUE, row, polled);
}

void account_own_poll(struct account *a, enum subsystem row, int64_t ns)
{
	a->polled_ns += ns;
	account_move(a, SUB_NET_RXQUEUE, row, ns);
}

/* Takes ns from the rows, the largest first. */
static void take_from_largest(struct account *a, int64_t ns)
{
	while (ns > 0) {
		size_t largest = 0;
		int64_t part;

		for (size_t i = 1; i < SUB_COUNT; i++)
			if (a->rows[i] > a->rows[largest])
				largest = i;
		part = a->rows[largest] < ns ? a->rows[largest] : ns;
		if (part <= 0)
			return;
		a->rows[largest] -= part;
		ns -= part;
	}
}

/* A correction can leave a row below zero by the grain of the clock: the largest pay for it. */
static void settle_negative(struct account *a)
{
	int64_t below = 0;

	for (size_t i = 0; i < SUB_COUNT; i++) {
		if (a->rows[i] >= 0)
			continue;
		below -= a->rows[i];
		a->rows[i] = 0;
	}
	take_from_largest(a, below);
}

int64_t account_close(struct account *a, int64_t total_ns)
{
	int64_t rest = total_ns;

	settle_negative(a);
	for (size_t i = 0; i < SUB_COUNT; i++)
		rest -= a->rows[i];
	if (rest >= 0)
		return rest;
	take_from_largest(a, -rest);
	return 0;
}
