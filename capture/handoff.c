/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that one thread reads and another works on.
 *
 * Certain is only what is delivered. A thread that sends the reply itself has worked
 * for that request since it last delivered something, or since the request was read.
 * One that signals another thread (eventfd, pipe) has delivered to whoever replies
 * then, and for which request is inferred twice: from the start - the thread that woke
 * it was working for that request, or the request was the oldest that its reader had
 * left - and from the end, where results are sent in the order in which they came.
 * The request's confidence says how well the two agree.
 */
#include "capture/assembly.h"

#include <stdlib.h>
#include <string.h>

enum confidence {
	SENT_BY_WORKER = 90,
	START_AND_END_AGREE = 90,
	OUT_OF_ORDER = 80,
	END_ALONE = 50,
	NOTHING_KNOWN = 30,
};

#define DELIVERED_MAX 4096 /* results that nobody has sent; older ones are given up */

static void lower_confidence(struct request *r, unsigned confidence)
{
	if (r->row.confidence > confidence)
		r->row.confidence = confidence;
}

/* Requests whose reader has turned to something else, oldest first. */

void left_add(struct request *r)
{
	struct service *s = r->thread->service;

	if (r->in_left)
		return;
	r->in_left = true;
	r->newer = NULL;
	r->older = s->left_last;
	*(s->left_last ? &s->left_last->newer : &s->left_first) = r;
	s->left_last = r;
}

static void left_remove(struct request *r)
{
	struct service *s = r->thread->service;

	if (!r->in_left)
		return;
	r->in_left = false;
	*(r->older ? &r->older->newer : &s->left_first) = r->newer;
	*(r->newer ? &r->newer->older : &s->left_last) = r->older;
}

/* Results that wait for their reply, oldest first. */

static void delivered_add(struct service *s, struct unit *u)
{
	u->newer = NULL;
	u->older = s->delivered_last;
	*(s->delivered_last ? &s->delivered_last->newer : &s->delivered_first) = u;
	s->delivered_last = u;
	s->delivered++;
}

static void delivered_remove(struct service *s, struct unit *u)
{
	*(u->older ? &u->older->newer : &s->delivered_first) = u->newer;
	*(u->newer ? &u->newer->older : &s->delivered_last) = u->older;
	s->delivered--;
}

static void delivered_give_up(struct assembler *a, struct unit *u)
{
	struct request *r = request_get(u->guess);

	if (r && r->unit == u)
		r->unit = NULL;
	delivered_remove(u->thread->service, u);
	unit_give(a, u, NULL, 0);
	unit_free(u);
}

/* What the thread works on may be r. */
static void unit_guess(struct athread *t, struct request *r)
{
	struct request *before = request_get(t->unit->guess);

	if (before && before->worker == t)
		before->worker = NULL;
	t->unit->guess = (struct request_ref){ r, r ? r->row.request_id : 0 };
	if (!r)
		return;
	left_remove(r);
	r->worker = t;
}

/* The request that the thread which ended our wait was working for. */
static struct request *waker_request(struct assembler *a, const struct athread *t,
				     const struct event_call *e)
{
	struct athread *waker = e->waker && e->waker <= THREAD_SLOTS ? a->threads[e->waker - 1] :
								       NULL;
	struct request *r = waker && waker != t ? owner_current(waker) : NULL;

	if (!r || r->thread != waker || r->worker || r->row.end_ns != TRACE_NONE)
		return NULL;
	return r->thread->service == t->service ? r : NULL;
}

/* A condition variable sleeps on one of two words side by side, its mutex lies apart. */
static bool same_signal(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) < 16;
}

static struct mark *mark_add(struct unit *u, int64_t ns, const uint64_t counters[TS_COUNT])
{
	struct mark *m;

	if (u->marks_count == UNIT_MARKS) {
		memmove(&u->marks[1], &u->marks[2], (UNIT_MARKS - 2) * sizeof(u->marks[0]));
		u->marks_count--;
	}
	m = &u->marks[u->marks_count++];
	m->ns = ns;
	memcpy(m->counters, counters, sizeof(m->counters));
	m->has_waited = false;
	return m;
}

void handoff_woken(struct assembler *a, struct athread *t, const struct event_call *e,
		   const struct segment *seg)
{
	struct request *r = waker_request(a, t, e);
	struct mark *m;

	if (!t->service->open)
		unit_drop(a, t);
	if (!unit_ready(a, t))
		return;
	m = mark_add(t->unit, seg->exit_ns, e->exit);
	memcpy(m->waited, seg->call, sizeof(m->waited));
	m->has_waited = true;
	if (!r || (request_get(t->unit->guess) && !same_signal(e->inode, t->idle_at)))
		return;
	unit_guess(t, r);
	t->idle_at = e->inode;
}

/* It has delivered: from here on it works on the next, if one waits to be taken. */
static void begin_next(struct assembler *a, struct athread *t, int64_t ns,
		       const uint64_t counters[TS_COUNT])
{
	if (!unit_ready(a, t))
		return;
	t->unit->marks_count = 0;
	t->unit->called_ns = 0;
	mark_add(t->unit, ns, counters);
	unit_guess(t, t->delivers ? t->service->left_first : NULL);
}

static void deliver(struct assembler *a, struct athread *t, const struct event_call *e,
		    const struct segment *seg)
{
	struct unit *u = t->unit;
	struct request *r = u ? request_get(u->guess) : NULL;

	if (!u || (!u->count && !u->user_ns))
		return;
	unit_ready(a, t);
	memcpy(u->end, e->exit, sizeof(u->end));
	u->end_ns = seg->exit_ns;
	if (r && r->worker == t)
		r->unit = u;
	else
		u->guess = (struct request_ref){ 0 };
	if (t->service->delivered == DELIVERED_MAX)
		delivered_give_up(a, t->service->delivered_first);
	delivered_add(t->service, u);
	t->unit = NULL;
	t->delivers = t->service->delivers = true;
	begin_next(a, t, seg->exit_ns, e->exit);
}

static bool takes(uint8_t op)
{
	return op == SYSCALL_WAIT || op == SYSCALL_READ || op == SYSCALL_READV;
}

static bool gives(uint8_t op)
{
	return op == SYSCALL_WRITE || op == SYSCALL_WRITEV;
}

void op_on_signal(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg)
{
	struct request *r = owner_current(t);

	owner_give_before(a, t, seg, NULL, false);
	owner_give_call(t, seg, r);
	if (r || t->serves)
		return;
	if (takes(e->op))
		handoff_woken(a, t, e, seg);
	else if (gives(e->op))
		deliver(a, t, e, seg);
}

/* From now on the request's account grows by what other threads do for it. */
static void detach(struct request *r)
{
	if (r->elsewhere)
		return;
	r->elsewhere = true;
	if (r->left_ns) {
		r->account = r->left;
		r->known_ns = r->left_ns;
	} else {
		account_detach(&r->account, &r->thread->timeline);
		r->known_ns = r->thread->last_ns;
	}
}

/* Where the thread began with a request that was read at read_ns; NULL: nothing shows it. */
static const struct mark *mark_from(const struct unit *u, int64_t read_ns)
{
	for (unsigned i = 0; u && i < u->marks_count; i++)
		if (u->marks[i].ns >= read_ns)
			return &u->marks[i];
	return NULL;
}

/* The thread's work up to to_ns, when its counters were `to`, was request r's. */
static void claim(struct assembler *a, struct unit *u, struct request *r, int64_t to_ns,
		  const uint64_t to[TS_COUNT])
{
	const struct mark *from = mark_from(u, r->row.read_ns);
	int64_t own[TS_COUNT];

	detach(r);
	if (from) {
		account_handoff(&r->account, from->has_waited ? from->waited : NULL,
				from->ns - r->known_ns);
		counters_delta(from->counters, to, own);
		account_add(&r->account, own);
		account_move(&r->account, SUB_NET_SOCKET, SUB_CALL, u->called_ns);
		request_disturb(r, own);
		r->thread->service->works = true;
	}
	r->known_ns = to_ns;
	if (u)
		unit_give(a, u, r, from ? from->ns : to_ns);
}

static bool is_running(const struct request *r)
{
	const struct athread *w = r->worker;

	return w && w->delivers && w->unit && request_get(w->unit->guess) == r;
}

/* The result that this reply sends, and how sure that is. */
static struct unit *choose(struct assembler *a, struct request *r)
{
	struct service *s = r->thread->service;
	struct unit *oldest;

	if (r->unit) {
		lower_confidence(r, r->unit == s->delivered_first ? START_AND_END_AGREE :
								    OUT_OF_ORDER);
		return r->unit;
	}
	while ((oldest = s->delivered_first) && oldest->end_ns < r->row.read_ns)
		delivered_give_up(a, oldest);
	if (oldest || s->delivers)
		lower_confidence(r, oldest ? END_ALONE : NOTHING_KNOWN);
	return oldest;
}

/* Its reader sends what another thread has worked out. */
static void collect_result(struct assembler *a, struct athread *t, struct request *r)
{
	struct unit *u = NULL;

	if (!r->unit &&
	    is_running(r)) { /* the signal is on its way, the result was there already */
		struct athread *w = r->worker;

		unit_ready(a, w);
		claim(a, w->unit, r, w->last_ns, w->last);
		begin_next(a, w, w->last_ns, w->last);
		lower_confidence(r, OUT_OF_ORDER);
	} else {
		u = choose(a, r);
	}
	if (u) {
		claim(a, u, r, u->end_ns, u->end);
		delivered_give_up(a, u);
	}
	if (r->elsewhere && t->last_ns > r->known_ns) {
		account_handoff(&r->account, NULL, t->last_ns - r->known_ns);
		r->known_ns = t->last_ns;
	}
}

bool handoff_collect(struct assembler *a, struct athread *t, struct request *r,
		     const struct event_call *e, const struct segment *seg)
{
	if (r->thread == t) {
		if (r->left_ns && owner_current(t) != r && !r->called &&
		    r->row.write_ns == TRACE_NONE)
			collect_result(a, t, r);
		return false;
	}
	timeline_add(&t->timeline, seg->before);
	if (!t->serves)
		unit_add_user(a, t, seg->before[TS_USER], t->last_ns);
	if (t->unit)
		unit_ready(a, t);
	claim(a, t->unit, r, seg->enter_ns, e->enter);
	lower_confidence(r, SENT_BY_WORKER);
	t->service->hands_off = true;
	return true;
}

void handoff_sent(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg)
{
	t->owner = OWNER_NONE;
	begin_next(a, t, seg->exit_ns, e->exit);
}

void handoff_forget(struct assembler *a, struct request *r)
{
	left_remove(r);
	if (r->unit)
		delivered_give_up(a, r->unit);
	r->unit = NULL;
	r->worker = NULL;
}
