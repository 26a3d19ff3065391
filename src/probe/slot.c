/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/probe.h"

#include "base/clock.h"

#include <string.h>
#include <unistd.h>

const struct thread_slot *probe_own_slot(const struct thread_slot *slots)
{
	uint32_t tid = gettid(), tgid = getpid();

	if (!slots)
		return NULL;
	for (size_t i = 0; i < PROBE_THREADS_MAX; i++)
		if (slots[i].tid == tid && slots[i].tgid == tgid)
			return &slots[i];
	return NULL;
}

/* An interrupt on this CPU may change the counters at any point; the sequence tells. */
uint32_t probe_read_own(const struct thread_slot *slot, uint64_t ret_counters[TS_COUNT],
			int64_t *ret_ns)
{
	const volatile uint32_t *sequence = &slot->sequence;
	uint32_t before;
	int64_t now;

	do {
		before = *sequence;
		__asm__ volatile("" ::: "memory");
		for (size_t i = 0; i < TS_COUNT; i++)
			ret_counters[i] = slot->ns[i];
		now = clock_now_ns();
		if (now > (int64_t)slot->last_ns)
			ret_counters[TS_USER] += now - slot->last_ns;
		__asm__ volatile("" ::: "memory");
	} while (*sequence != before);
	*ret_ns = now;
	return before;
}

bool probe_unchanged(const struct thread_slot *slot, uint32_t sequence, int64_t *ret_ns)
{
	const volatile uint32_t *now = &slot->sequence;

	if (*now != sequence || slot->off_cpu || slot->last_ns == SLOT_FROZEN_NS)
		return false;
	*ret_ns = clock_now_ns();
	__asm__ volatile("" ::: "memory");
	return *now == sequence;
}

int64_t probe_read_arrival(const struct thread_slot *slot, uint64_t bytes)
{
	const struct rx_piece *pieces = slot->rx_pieces;
	uint32_t count = slot->rx_pieces_count, at = 0;

	while (at < count && pieces[at].bytes >= bytes)
		at++;
	if (!at && count == RX_PIECES_MAX) /* those before it are forgotten */
		return (int64_t)pieces[0].ns;
	return (int64_t)(at ? pieces[at - 1].ns : slot->rx_arrival_ns);
}

/* An entry of the log: up to when, and in which state. */
static int64_t logged_until(const volatile uint64_t *log, uint64_t i, uint32_t *ret_state)
{
	uint64_t entry = log[i % SLOT_LOG_MAX];

	*ret_state = entry & ((1u << SLOT_LOG_BITS) - 1);
	return (int64_t)(entry >> SLOT_LOG_BITS);
}

/* Backwards, from now on: behind the last entry the thread ran, for it is here. */
static bool add_between(const struct thread_slot *slot, int64_t from_ns, int64_t until_ns,
			int64_t delta[TS_COUNT])
{
	uint64_t count = *(const volatile uint64_t *)&slot->logged, i = count;
	uint32_t state = TS_USER, before;
	int64_t end_ns = until_ns;

	memset(delta, 0, TS_COUNT * sizeof(*delta));
	while (end_ns > from_ns) {
		int64_t begin_ns;

		if (!i || count - i == SLOT_LOG_MAX - 1)
			return false;
		begin_ns = logged_until(slot->log, --i, &before);
		begin_ns = begin_ns > from_ns ? begin_ns : from_ns;
		if (begin_ns < end_ns && state < TS_COUNT) {
			delta[state] += end_ns - begin_ns;
			end_ns = begin_ns;
		}
		state = before;
	}
	return true;
}

bool probe_read_between(const struct thread_slot *slot, int64_t from_ns, int64_t until_ns,
			int64_t ret_delta[TS_COUNT])
{
	const volatile uint32_t *sequence = &slot->sequence;
	uint32_t before;
	bool known;

	do {
		before = *sequence;
		__asm__ volatile("" ::: "memory");
		known = add_between(slot, from_ns, until_ns, ret_delta);
		__asm__ volatile("" ::: "memory");
	} while (*sequence != before);
	return known;
}
