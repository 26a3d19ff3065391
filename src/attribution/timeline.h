/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_ATTRIBUTION_TIMELINE_H
#define GAIT_ATTRIBUTION_TIMELINE_H

#include "bpf/event.h"
#include "trace/subsystem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From a thread's microstates to the breakdown of the requests it works for.
 *
 * A thread's time is cut into segments at its boundaries (a system call's entry
 * and return, a change of request). The owner of a segment gets its states as
 * they are; every other request that the thread has read and not answered waits
 * behind it (app.queue), and a request that has arrived and is not read waits
 * too (net.rxqueue). Scheduling and interrupts delay all of them alike and keep
 * their rows.
 *
 * The thread adds each segment once to what a bystander would see (`behind`); a
 * request takes the difference between its begin and its end, and corrects it for
 * the segments it owns. So a segment costs the same however many requests wait.
 * Rows of a request sum to its time exactly if the counters do. In which order they came is not
 * known here: attribution/course.h has that, of requests that have a timeline.
 */
struct timeline {
	int64_t behind[SUB_COUNT];
	int64_t polled_ns; /* of it in poll, where nobody is worked for */
};

struct account {
	int64_t rows[SUB_COUNT];
	int64_t behind[SUB_COUNT]; /* the timeline's at its begin */
	int64_t polled_ns;
	int64_t left_polled_ns; /* the timeline's at account_leave() */
	bool detached;		/* from the timeline it began on: account_detach() */
};

/* Who looks at a thread's segment: the request it works for, or one that waits. */
enum timeline_view {
	VIEW_OWN,
	VIEW_BEHIND, /* read, waiting its turn */
	VIEW_UNREAD, /* arrived, not yet read */
	VIEW_COUNT
};

/* The row (enum subsystem) of a state for who looks; SUB_COUNT: a wait nobody can name. */
int timeline_row(enum thread_state state, enum timeline_view view);

/* Difference of two readings of a thread's counters, in ns. */
void counters_delta(const uint64_t *from, const uint64_t *to, int64_t ret_delta[TS_COUNT]);

/* What user code took of the CPU: its demand. Page faults, where they are told apart, are of it. */
int64_t counters_user(const int64_t delta[TS_COUNT]);

/* Sum over all states. */
int64_t counters_sum(const int64_t delta[TS_COUNT]);

/* A segment of the thread's time, whoever owns it. */
void timeline_add(struct timeline *tl, const int64_t delta[TS_COUNT]);

/*
 * A request was read. `unread` is the thread's time from its arrival up to here
 * spent on others, `own` on waking up for it and on reading it (both may be NULL).
 */
void account_begin(struct account *a, const struct timeline *tl, const int64_t *unread,
		   const int64_t *own);

/* A segment that was also given to timeline_add() was this request's own. */
void account_own(struct account *a, const int64_t delta[TS_COUNT]);

/*
 * The request ends now; `after_ns` is how long before "now" its last byte was
 * handed to the network: that much is taken back from the network rows.
 */
void account_end(struct account *a, const struct timeline *tl, int64_t after_ns);

/* The same, when the states of that time are known. */
void account_end_before(struct account *a, const struct timeline *tl,
			const int64_t after[TS_COUNT]);

/*
 * The same of rows that are done: of the after_ns since the hand-over, takes back what can have gone
 * into them by then, and returns how much that was.
 */
int64_t rows_take_end(int64_t own[SUB_COUNT], int64_t after_ns);

/*
 * After account_end(): the time the thread spent in poll while the request was open
 * was no queue; it waited for what `row` says (its call, room in the socket).
 */
void account_polled(struct account *a, const struct timeline *tl, enum subsystem row);

/* ns of what account_own() gave were a wait in poll for what `row` says. */
void account_own_poll(struct account *a, enum subsystem row, int64_t ns);

/*
 * Another thread goes on with the request: its rows are those of this timeline up to
 * now, and grow by account_add() and account_handoff() alone. Once is enough.
 */
void account_detach(struct account *a, const struct timeline *tl);

/*
 * The request waits elsewhere, where the thread's timeline says nothing of it, and
 * comes back; what it waited for goes in by account_add() and account_handoff().
 * Returns how long the thread was in poll meanwhile.
 */
void account_leave(struct account *a, const struct timeline *tl);
int64_t account_return(struct account *a, const struct timeline *tl);

/* A segment of another thread that was this request's own. */
void account_add(struct account *a, const int64_t delta[TS_COUNT]);

/* ns of one row were really another's. */
void account_move(struct account *a, enum subsystem from, enum subsystem to, int64_t ns);

/*
 * It took gap_ns until the next thread took it up. `waited` are that thread's states in
 * the wait that ended with it (NULL: it did not wait): waking up and the run queue keep
 * their rows, the rest is app.handoff.
 */
void account_handoff(struct account *a, const int64_t *waited, int64_t gap_ns);

/*
 * n requests were answered at once and nothing shows which of them the CPU time was
 * for: each gets an equal part of it, and queued for what the others got.
 */
void account_share(struct account *const accounts[], size_t n);

/* total minus all rows; when rows exceed the total the largest gives way (returns 0 then). */
int64_t account_close(struct account *a, int64_t total_ns);

#endif
