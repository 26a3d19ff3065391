/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_METER_H
#define GAIT_REPLAY_NODE_METER_H

#include "attribution/timeline.h"
#include "probe/own_slot.h"
#include "replay/node/activity.h"
#include "replay/node/steps.h"

#include <stdbool.h>

/*
 * Where a thread of the node stands: it marks each boundary with what it did since
 * the last one, and the time goes to the request that owns it now. Its slot is filled
 * in by the kernel side, or, without probes, by itself (probe/own_slot.h); without
 * one only times are known and all counters stay 0.
 */
struct meter {
	const struct thread_slot *slot; /* this thread's own, or NULL */
	struct own_slot *own;		/* NULL: the kernel side fills it in */
	struct stamp last;	   /* the last boundary; counters as the kernel side has them */
	uint32_t reading;	   /* that it comes from (probe_unchanged()) */
	struct timeline timeline;  /* up to the last settlement */
	struct account *owner;	   /* NULL: nobody */
	int64_t pending[TS_COUNT]; /* of the owner, since the last settlement */
	bool unsettled;		   /* there are any */
	int64_t totals[TS_COUNT];  /* of the thread, settled */
	int64_t segment_cpu_ns;	   /* of the last segment: without interrupts; 0: unknown */
	struct steps *steps;	   /* what it went through, lent; NULL: nobody asks */
	int64_t self_ns;	   /* user CPU of the node's own code so far */
};

/*
 * To be called by the thread itself; `slots` may be NULL. `own`, lent and not yet initialised: what
 * to fill in then; or NULL. It is the meter's to release with meter_end().
 */
void meter_init(struct meter *m, const struct thread_slot *slots, struct own_slot *own);
void meter_end(struct meter *m);

/* What the thread goes through from now on is noted too. */
void meter_note_steps(struct meter *m, struct steps *steps);

/* Ends a segment; returns "now" in ns. */
int64_t meter_mark(struct meter *m, enum activity activity);

/*
 * The thread works for `owner` (NULL: for nobody) from now on; when it worked for
 * nobody, from the last boundary on.
 */
void meter_own(struct meter *m, struct account *owner);

/* From the last boundary on it works for nobody. */
void meter_disown(struct meter *m);

/* Gives what is pending to the timeline and to the owner. */
void meter_settle(struct meter *m);

/* Ends a segment that belongs to many: give the result to account_own() of each. */
int64_t meter_mark_shared(struct meter *m, enum activity activity, int64_t ret_delta[TS_COUNT]);

#endif
