/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/meter.h"

#include "base/clock.h"
#include "probe/probe.h"

#include <string.h>

/* Without a slot an interruption looks like own code; nothing of ours takes that long. */
#define SELF_SEGMENT_MAX_NS (20 * NS_PER_US)

/*
 * Now and then nobody tells the kernel side that a thread came back (account_came_back()),
 * and it goes on charging the wait until the next event. Whoever reads here runs, but so must the
 * reading go on, or the same time would count twice.
 */
static void follow_missed_switch(struct stamp *stamp, const struct thread_slot *slot)
{
	const volatile uint8_t *off_cpu = &slot->off_cpu;
	int64_t since_ns = stamp->ns - (int64_t)slot->last_ns;
	uint8_t off = *off_cpu;

	if (!off || off > TS_COUNT || since_ns <= 0)
		return;
	stamp->counters[TS_USER] -= (uint64_t)since_ns;
	stamp->counters[off - 1] += (uint64_t)since_ns;
}

static void stamp_take(struct stamp *stamp, struct meter *m)
{
	if (m->own) {
		stamp->ns = own_slot_read(m->own);
		memcpy(stamp->counters, m->own->slot.ns, sizeof(stamp->counters));
	} else if (m->slot) {
		m->reading = probe_read_own(m->slot, stamp->counters, &stamp->ns);
		follow_missed_switch(stamp, m->slot);
	} else {
		stamp->ns = clock_now_ns();
	}
}

void meter_init(struct meter *m, const struct thread_slot *slots, struct own_slot *own)
{
	memset(m, 0, sizeof(*m));
	m->slot = probe_own_slot(slots);
	if (!slots && own) {
		own_slot_init(own);
		m->own = own;
		m->slot = &own->slot;
	}
	stamp_take(&m->last, m);
}

void meter_note_steps(struct meter *m, struct steps *steps)
{
	m->steps = steps;
	steps_begin(steps, m->own ? NULL : m->slot, m->last.ns);
}

void meter_end(struct meter *m)
{
	if (m->own)
		own_slot_release(m->own);
	m->own = NULL;
	m->slot = NULL;
}

/* The kernel's fast clock may be a few ns behind user space's: a short segment's sum can be < 0. */
static int64_t cpu_sum(const int64_t delta[TS_COUNT])
{
	int64_t sum = delta[TS_USER] + delta[TS_KERNEL_NET] + delta[TS_KERNEL_FS] +
		      delta[TS_KERNEL_MM] + delta[TS_KERNEL_OTHER];

	return sum > 0 ? sum : 0;
}

/* The segment from the last boundary to now, in the states of the activity. */
static void segment(struct meter *m, enum activity activity, int64_t ret_delta[TS_COUNT])
{
	struct stamp now;

	stamp_take(&now, m);
	if (!m->slot) {
		int64_t ns = now.ns - m->last.ns;

		if (activity == ACTIVITY_SELF && ns < SELF_SEGMENT_MAX_NS)
			m->self_ns += ns;
		m->last.ns = now.ns;
		return;
	}
	counters_delta(m->last.counters, now.counters, ret_delta);
	activity_relabel(m->own ? activity_untold(activity) : activity, ret_delta);
	m->segment_cpu_ns = cpu_sum(ret_delta);
	if (activity == ACTIVITY_SELF)
		m->self_ns += ret_delta[TS_USER];
	if (m->steps)
		steps_add(m->steps, m->own ? NULL : m->slot, now.ns, activity, m->owner, ret_delta);
	m->last = now;
}

/*
 * Most segments are short: the kernel side has not told of anything, and one counter moved. A steps'
 * log asks for more.
 */
static bool mark_unchanged(struct meter *m, enum activity activity)
{
	int64_t now_ns, ns;

	if (!m->slot || m->own || m->steps || !probe_unchanged(m->slot, m->reading, &now_ns))
		return false;
	ns = now_ns - m->last.ns;
	m->last.ns = now_ns;
	m->last.counters[TS_USER] += (uint64_t)ns;
	m->pending[activity_state(activity, TS_USER)] += ns;
	m->segment_cpu_ns = ns;
	if (activity == ACTIVITY_SELF)
		m->self_ns += ns;
	m->unsettled = true;
	return true;
}

int64_t meter_mark(struct meter *m, enum activity activity)
{
	int64_t delta[TS_COUNT];

	if (mark_unchanged(m, activity))
		return m->last.ns;
	segment(m, activity, delta);
	if (!m->slot)
		return m->last.ns;
	for (size_t i = 0; i < TS_COUNT; i++)
		m->pending[i] += delta[i];
	m->unsettled = true;
	return m->last.ns;
}

void meter_settle(struct meter *m)
{
	if (!m->unsettled)
		return;
	timeline_add(&m->timeline, m->pending);
	if (m->owner)
		account_own(m->owner, m->pending);
	for (size_t i = 0; i < TS_COUNT; i++)
		m->totals[i] += m->pending[i];
	memset(m->pending, 0, sizeof(m->pending));
	m->unsettled = false;
}

void meter_own(struct meter *m, struct account *owner)
{
	if (m->owner == owner)
		return;
	if (m->owner)
		meter_mark(m, ACTIVITY_SELF);
	meter_settle(m);
	m->owner = owner;
}

void meter_disown(struct meter *m)
{
	meter_settle(m);
	m->owner = NULL;
}

int64_t meter_mark_shared(struct meter *m, enum activity activity, int64_t ret_delta[TS_COUNT])
{
	memset(ret_delta, 0, TS_COUNT * sizeof(*ret_delta));
	meter_settle(m);
	segment(m, activity, ret_delta);
	if (!m->slot)
		return m->last.ns;
	timeline_add(&m->timeline, ret_delta);
	for (size_t i = 0; i < TS_COUNT; i++)
		m->totals[i] += ret_delta[i];
	return m->last.ns;
}
