/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/activity.h"

#include "attribution/timeline.h"

#include <stdbool.h>
#include <string.h>

#define RELABELS_MAX 4

struct relabel {
	uint8_t from, to; /* enum thread_state */
};

/* A row that moves a state to itself is unused, and the last. */
static const struct relabel relabels[ACTIVITY_COUNT][RELABELS_MAX] = {
	[ACTIVITY_POLL] = {
		{ TS_USER, TS_KERNEL_NET },
		{ TS_IRQ_NET, TS_KERNEL_NET },
		{ TS_WAIT_OTHER, TS_WAIT_POLL },
	},
	[ACTIVITY_NET] = {
		{ TS_USER, TS_KERNEL_NET },
		{ TS_IRQ_NET, TS_KERNEL_NET },
		{ TS_WAIT_OTHER, TS_WAIT_NET },
	},
	[ACTIVITY_FILE] = {
		{ TS_USER, TS_KERNEL_FS },
		{ TS_WAIT_OTHER, TS_WAIT_JOURNAL },
	},
	[ACTIVITY_DEVICE] = {
		{ TS_USER, TS_KERNEL_FS },
		{ TS_WAIT_OTHER, TS_WAIT_JOURNAL },
	},
	[ACTIVITY_LOCK] = {
		{ TS_WAIT_OTHER, TS_WAIT_FUTEX },
	},
	[ACTIVITY_MEMORY] = { /* of the user's own there is one store a page */
		{ TS_USER, TS_KERNEL_MM },
		{ TS_WAIT_OTHER, TS_WAIT_MEM },
	},
	[ACTIVITY_KERNEL] = {
		{ TS_USER, TS_KERNEL_OTHER },
	},
	[ACTIVITY_FILE_UNTOLD] = {
		{ TS_USER, TS_KERNEL_FS },
	},
	[ACTIVITY_DEVICE_UNTOLD] = {
		{ TS_USER, TS_KERNEL_FS },
		{ TS_WAIT_OTHER, TS_WAIT_BLOCK },
	},
	[ACTIVITY_MEMORY_UNTOLD] = {
		{ TS_USER, TS_KERNEL_MM },
	},
};

/* Its device, a journal, a lock: the wait stays TS_WAIT_OTHER, which has no row. */
enum activity activity_untold(enum activity activity)
{
	switch (activity) {
	case ACTIVITY_FILE:
		return ACTIVITY_FILE_UNTOLD;
	case ACTIVITY_DEVICE:
		return ACTIVITY_DEVICE_UNTOLD;
	case ACTIVITY_MEMORY:
		return ACTIVITY_MEMORY_UNTOLD;
	default:
		return activity;
	}
}

enum thread_state activity_state(enum activity activity, enum thread_state state)
{
	for (size_t i = 0; i < RELABELS_MAX; i++)
		if (relabels[activity][i].from == state)
			return relabels[activity][i].to;
	return state;
}

void activity_relabel(enum activity activity, int64_t delta[TS_COUNT])
{
	const struct relabel *r = relabels[activity];

	for (size_t i = 0; i < RELABELS_MAX && r[i].from != r[i].to; i++) {
		delta[r[i].to] += delta[r[i].from];
		delta[r[i].from] = 0;
	}
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Takes the first `ns` of a segment away, idle waiting before work. */
static void drop_beginning(int64_t delta[TS_COUNT], enum thread_state waiting,
			   enum thread_state working, int64_t ns)
{
	int64_t idle = smaller(ns, delta[waiting]);

	delta[waiting] -= idle;
	delta[working] -= smaller(ns - idle, delta[working]);
}

/* Adds what lies between two readings of the counters, in the states of the activity. */
static void add_between(int64_t into[TS_COUNT], const uint64_t *from, const uint64_t *to,
			enum activity activity)
{
	const struct relabel *r = relabels[activity];

	for (size_t i = 0; i < TS_COUNT; i++)
		into[i] += (int64_t)(to[i] - from[i]);
	for (size_t i = 0; i < RELABELS_MAX && r[i].from != r[i].to; i++) {
		int64_t moved = (int64_t)(to[r[i].from] - from[r[i].from]);

		into[r[i].to] += moved;
		into[r[i].from] -= moved;
	}
}

/* Adds the part of the segment `from`..`to` that lies after the arrival. */
static void add_part(int64_t into[TS_COUNT], const struct stamp *from, const struct stamp *to,
		     enum activity activity, int64_t arrival_ns, const uint64_t *arrived)
{
	bool inside = arrival_ns > from->ns;
	int64_t delta[TS_COUNT];

	if (arrival_ns >= to->ns)
		return;
	if (!inside || arrived) {
		add_between(into, inside ? arrived : from->counters, to->counters, activity);
		return;
	}
	counters_delta(from->counters, to->counters, delta);
	drop_beginning(delta, TS_WAIT_OTHER, TS_USER, arrival_ns - from->ns);
	activity_relabel(activity, delta);
	for (size_t i = 0; i < TS_COUNT; i++)
		into[i] += delta[i];
}

void reading_split(const struct reading *r, int64_t arrival_ns, const uint64_t *arrived,
		   int64_t ret_unread[TS_COUNT], int64_t ret_own[TS_COUNT])
{
	memset(ret_unread, 0, TS_COUNT * sizeof(*ret_unread));
	memset(ret_own, 0, TS_COUNT * sizeof(*ret_own));
	if (arrival_ns < r->sleep.ns && arrived) {
		/* in an earlier pass: the thread was at others until it read */
		add_between(ret_unread, arrived, r->enter.counters, ACTIVITY_NET);
		arrival_ns = r->enter.ns;
	} else if (arrival_ns < r->sleep.ns) {
		/* known by its length only; whatever it was, it was for others */
		ret_unread[TS_KERNEL_NET] = r->sleep.ns - arrival_ns;
		arrival_ns = r->sleep.ns;
	}
	add_part(ret_own, &r->sleep, &r->wake, ACTIVITY_POLL, arrival_ns, arrived);
	add_part(ret_unread, &r->wake, &r->enter, ACTIVITY_NET, arrival_ns, arrived);
	add_part(ret_own, &r->enter, &r->leave, ACTIVITY_NET, arrival_ns, arrived);
}
