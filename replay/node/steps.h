/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_STEPS_H
#define GAIT_REPLAY_NODE_STEPS_H

#include "attribution/course.h"
#include "attribution/timeline.h"
#include "replay/node/activity.h"

#include <stdbool.h>

/*
 * What a thread went through, for the timelines of its requests: the changes of its state as the
 * kernel side logged them in its slot (bpf/event.h), each named by what the node did then, and for
 * whom. Taken at each boundary of the thread's meter; the newest STEPS_MAX are there. Without a log
 * (a node that counts itself) the order within a segment is not known: its states come one after
 * another.
 *
 * attribution/timeline.h, which the sums come from, adds the same time up without its order.
 */
#define STEPS_MAX 8192 /* a power of two */
#define STEP_UNKNOWN TS_COUNT

struct thread_step {
	int64_t until_ns;
	const struct account *owner; /* NULL: nobody, or several */
	uint32_t state;		     /* enum thread_state, as the activity names it; STEP_UNKNOWN */
};

struct steps {
	uint64_t count;	 /* so far */
	int64_t from_ns; /* where the first began */
	uint64_t logged; /* of the slot: what is taken */
	uint64_t lost;	 /* that were overwritten before they were taken */
	struct thread_step at[STEPS_MAX];
};

/* Time passes from then on. */
void steps_begin(struct steps *s, const struct thread_slot *slot, int64_t from_ns);

/*
 * A segment of the thread's time, up to until_ns; slot NULL: there is no log. `delta`: how long it
 * was in each state in it, as the activity names them.
 */
void steps_add(struct steps *s, const struct thread_slot *slot, int64_t until_ns,
	       enum activity activity, const struct account *owner, const int64_t delta[TS_COUNT]);

/* Time of a request in which its thread's states tell something else than its account has. */
enum detour_kind {
	DETOUR_OWN,  /* the thread worked for it and others */
	DETOUR_ROW,  /* its place in the queue was in truth a wait of that row */
	DETOUR_AWAY, /* it was on another thread */
};

struct detour {
	int64_t from_ns, until_ns; /* 0: it goes on */
	enum detour_kind kind;
	int row;
	int64_t at_most_ns; /* of its place in the queue */
};

/* What a request remembers of its way. More detours than these are not known of. */
#define DETOURS_MAX 12

struct route {
	bool stamped; /* how its receive went is known: struct reading */
	bool counted; /* and what the thread did since the arrival; else it was all for others */
	int64_t read_ns, sleep_ns, wake_ns, enter_ns;
	uint32_t count;
	struct detour detours[DETOURS_MAX];
};

void route_begin(struct route *r, const struct reading *reading, bool stamped, bool counted,
		 int64_t read_ns);
void route_leave(struct route *r, int64_t from_ns, enum detour_kind kind);

/* Of its place in the queue no more than at_most_ns was that row, the first. */
void route_return(struct route *r, int64_t until_ns, int row, int64_t at_most_ns);

/* The course of a request from..until as the thread's steps tell it; the rest is unknown. */
void steps_course(const struct steps *s, const struct route *r, const struct account *owner,
		  int64_t from_ns, int64_t until_ns, struct course *ret_course);

#endif
