/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/probe.h"

#include "base/clock.h"

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
void probe_read_own(const struct thread_slot *slot, uint64_t ret_counters[TS_COUNT],
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
}
