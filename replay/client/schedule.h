/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_SCHEDULE_H
#define GAIT_REPLAY_CLIENT_SCHEDULE_H

#include "replay/plan/chains.h"
#include "replay/plan/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which request is due next. Those that go by the clock are in the plan's order;
 * one that waits for a reply joins when schedule_answered() tells of it, so at most
 * one of a connection is waiting to be due.
 *
 * Pure: times are ns since the anchor, and parameters.
 */
struct schedule_entry {
	int64_t due_ns;
	uint32_t request; /* index in the plan */
};

/* Of a request in the plan: due then, or, when it waits for a reply, so long after it. */
struct schedule_time {
	int64_t ns : 63;
	uint64_t waits : 1;
};

struct schedule {
	const struct plan_chains *chains; /* lent */
	struct schedule_time *times;
	size_t count;		     /* of requests */
	size_t next;		     /* the first one by the clock that was not taken */
	struct schedule_entry *heap; /* those released by replies, earliest first */
	size_t heap_most;
	size_t heap_count;
};

/* The plan need not stay. 0 or -ENOMEM. */
int schedule_init(struct schedule *s, const struct plan *plan, const struct plan_chains *chains);

/* Before anything was taken: a request that is not to be due. */
void schedule_leave_out(struct schedule *s, uint32_t request);
void schedule_release(struct schedule *s);

/* The entry that is due first; false when none is known now. */
bool schedule_peek(const struct schedule *s, struct schedule_entry *ret_entry);

/* Takes what schedule_peek() showed. */
void schedule_take(struct schedule *s);

/* A request's reply was complete at at_ns: what waits for it is due think_ns later. */
void schedule_answered(struct schedule *s, uint32_t request, int64_t at_ns);

#endif
