/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that one thread reads and another works on.
 *
 * Certain is only what is delivered. A thread that sends the reply itself has worked
 * for that request since it last delivered something, or since the request was read.
 * One that signals another thread (eventfd, pipe) has delivered to whoever replies
 * then, and for which request is told by two orders: results are sent as they were
 * delivered, and threads that come for work take the requests as they were read. The
 * request's confidence says whether the two agree.
 */
#include "capture/assemble/assembly.h"

#include <stdlib.h>
#include <string.h>

enum confidence {
	SENT_BY_WORKER = 90,
	ORDERS_AGREE = 90,
	END_ALONE = 50,
	TAKEN_WITH_OTHERS = 60,
	NOTHING_KNOWN = 30,
};

#define DELIVERED_MAX 4096 /* results that nobody has sent; older ones are given up */

/* Requests that have been read and that nobody is known to work on, in the order of reading. */

/* Where r belongs: it is the newest, or comes back, and then is one of the oldest. */
static struct request *next_newer(const struct service *s, const struct request *r)
{
	struct request *newer = s->waiting_first;

	if (s->waiting_last && s->waiting_last->row.request_id < r->row.request_id)
		return NULL;
	while (newer && newer->row.request_id < r->row.request_id)
		newer = newer->newer;
	return newer;
}

void waiting_add(struct request *r)
{
	struct service *s = r->thread->service;

	if (r->in_waiting || r->no_reply || r->called || request_is_answered(r))
		return;
	r->in_waiting = true;
	r->newer = next_newer(s, r);
	r->older = r->newer ? r->newer->older : s->waiting_last;
	*(r->older ? &r->older->newer : &s->waiting_first) = r;
	*(r->newer ? &r->newer->older : &s->waiting_last) = r;
}

void waiting_remove(struct request *r)
{
	struct service *s = r->thread->service;

	if (!r->in_waiting)
		return;
	r->in_waiting = false;
	*(r->older ? &r->older->newer : &s->waiting_first) = r->newer;
	*(r->newer ? &r->newer->older : &s->waiting_last) = r->older;
}

/* Results that wait for their reply, oldest first. */

static void delivered_add(struct service *s, struct unit *u)
{
	thread_hold(u->thread);
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
	thread_drop(a, u->thread);
	unit_free(u);
}

static void set_worker(struct assembler *a, struct request *r, struct athread *t)
{
	struct athread *before = r->worker;

	r->worker = thread_hold(t);
	thread_drop(a, before);
}

/* What the thread works on may be r (NULL: nobody knows); `soft` while nothing shows that it works. */
static void unit_guess(struct assembler *a, struct athread *t, struct request *r, bool soft)
{
	struct request *before = request_get(t->unit->guess);

	if (before && before->worker == t) {
		set_worker(a, before, NULL);
		waiting_add(before);
	}
	t->unit->guess = (struct request_ref){ r, r ? r->row.request_id : 0 };
	t->unit->soft = soft;
	if (!r)
		return;
	waiting_remove(r);
	set_worker(a, r, t);
}

/* The oldest that waits, but for what the thread has read itself. */
static struct request *next_to_take(const struct athread *t)
{
	const struct service *s = t->service;
	struct request *r = s->waiting_first;

	while (r && r->thread == t)
		r = r->newer;
	return r;
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
	m->has_waited = m->working = false;
	return m;
}

void handoff_woken(struct assembler *a, struct athread *t, const struct event_call *e,
		   const struct segment *seg)
{
	struct mark *m;

	if (!t->service->open)
		unit_drop(a, t);
	if (!unit_ready(a, t))
		return;
	m = mark_add(t->unit, seg->exit_ns, e->exit);
	memcpy(m->waited, seg->call, sizeof(m->waited));
	m->has_waited = true;
	if (request_get(t->unit->guess) && !t->unit->soft && !same_signal(e->inode, t->idle_at))
		return; /* a lock on its way */
	unit_guess(a, t, NULL, false);
	unit_guess(a, t, next_to_take(t), false);
	t->idle_at = e->inode;
}

static bool has_worked(const struct unit *u)
{
	for (unsigned i = 0; i < u->marks_count; i++)
		if (u->marks[i].working)
			return true;
	return false;
}

/*
 * Its first op since it came for work: a thread that is woken for one request and kept from the
 * queue for a while may come out of it with one that was read after it had been woken.
 */
void handoff_working(struct assembler *a, struct athread *t, const struct segment *seg)
{
	uint64_t enter[TS_COUNT];

	if (!unit_ready(a, t) || has_worked(t->unit))
		return;
	for (size_t i = 0; i < TS_COUNT; i++)
		enter[i] = t->last[i] + seg->before[i];
	mark_add(t->unit, seg->enter_ns, enter)->working = true;
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
	unit_guess(a, t, t->delivers ? next_to_take(t) : NULL, true);
}

static void deliver(struct assembler *a, struct athread *t, const struct event_call *e,
		    const struct segment *seg)
{
	struct unit *u = t->unit;
	struct request *r = u ? request_get(u->guess) : NULL;

	if (!u || (!u->count && !counters_user(u->user)))
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

void op_on_signal(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg)
{
	struct request *r = owner_current(t);

	owner_give_before(a, t, seg, NULL, false);
	owner_leave(t, seg->enter_ns); /* if it is for this request, another goes on with it now */
	owner_give_call(a, t, seg, r);
	if (e->op == SYSCALL_WAKE || e->op == SYSCALL_GIVE)
		t->gave_ns = seg->exit_ns;
	if (r || t->serves)
		return;
	if (takes(e->op))
		handoff_woken(a, t, e, seg);
	else if (e->op == SYSCALL_GIVE)
		deliver(a, t, e, seg);
}

/*
 * Where the thread began with r; NULL: nothing shows it. It may have been woken for r any time
 * after r was read. Straight after its last delivery it can only have gone on to r if the reader
 * had let go of r by then: a thread that spins for work does not work.
 */
static const struct mark *mark_from(const struct unit *u, const struct request *r)
{
	for (unsigned i = 0; u && i < u->marks_count; i++) {
		const struct mark *m = &u->marks[i];

		if (m->has_waited || m->working ? m->ns >= r->row.read_ns :
						  r->left_ns && m->ns >= r->left_ns)
			return m;
	}
	return NULL;
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

void handoff_take(struct assembler *a, struct request *r, int64_t ns)
{
	if (owner_current(r->thread) == r)
		owner_set_nobody(a, r->thread); /* it spins */
	detach(r);
	if (ns > r->known_ns)
		account_handoff(&r->account, NULL, ns - r->known_ns);
	r->known_ns = ns;
	request_doubt(r, TAKEN_WITH_OTHERS);
}

/* The thread's work up to to_ns, when its counters were `to`, was request r's. */
static void claim(struct assembler *a, struct unit *u, struct request *r, int64_t to_ns,
		  const uint64_t to[TS_COUNT])
{
	const struct mark *from = mark_from(u, r);
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

/*
 * Those of r's connection that came with r or before the worker began, in order: a->together.
 * If one call answers several, those.
 */
static size_t batch_of(struct assembler *a, struct request *r, int64_t from_ns)
{
	size_t n = 0;

	if (a->touched_count > 1) {
		for (; n < a->touched_count && n < REQUESTS_SHARED_MAX; n++)
			a->together[n] = a->touched[n];
		return n;
	}
	for (; r && n < REQUESTS_SHARED_MAX; r = r->next)
		if (r->complete && !r->no_reply && !r->worked_on && !request_is_answered(r) &&
		    r->row.read_ns <= from_ns)
			a->together[n++] = r;
	return n;
}

/* The rounds that a worker did before it began to reply: how many there are, 0: one request. */
static size_t find_rounds(struct assembler *a, const struct unit *u, size_t first_op,
			  struct request *r, int64_t from_ns, struct rounds *ret)
{
	size_t n = u->thread->service->one_by_one ? 0 : batch_of(a, r, from_ns);
	size_t least = a->touched_count > 1 ? n : 2;
	const struct pending *ops = u->ops ? u->ops + first_op : NULL;

	for (; n >= 2 && n >= least; n--)
		if (rounds_find(ret, ops, u->count - first_op, n, false))
			return n;
	return 0;
}

/* What r's own round was, of all the time from from_ns on that it waited for its batch. */
static void account_round(struct request *r, const int64_t own[TS_COUNT], int64_t all_ns)
{
	int64_t behind = all_ns - counters_sum(own);

	account_add(&r->account, own);
	if (behind > 0)
		r->account.rows[SUB_APP_QUEUE] += behind;
	request_disturb(r, own);
}

static void begin_round(struct request *r, const struct request *first, const struct mark *from)
{
	if (!r->elsewhere && r != first && r->row.read_ns == first->row.read_ns) {
		r->elsewhere = true; /* it came with the first, and has waited as long */
		r->account = first->account;
		r->known_ns = r->left_ns = first->known_ns;
		return;
	}
	detach(r);
	account_handoff(&r->account, from->has_waited ? from->waited : NULL,
			from->ns - r->known_ns);
	r->known_ns = from->ns;
}

/*
 * The worker has worked on several requests of the connection before it replied to the first:
 * the k-th round is the k-th request's. False: it has not.
 */
static bool claim_rounds(struct assembler *a, struct unit *u, struct request *r, int64_t to_ns)
{
	const struct mark *from = mark_from(u, r);
	struct rounds rounds;
	size_t n, first_op = 0, at = 0;
	int64_t own[TS_COUNT] = { 0 };

	while (u && first_op < u->count && from && u->ops[first_op].op.start_ns < from->ns)
		first_op++;
	n = from ? find_rounds(a, u, first_op, r, from->ns, &rounds) : 0;
	if (!n)
		return false;
	for (size_t i = 0; i < n; i++)
		begin_round(a->together[i], a->together[0], from);
	for (size_t i = first_op; i <= u->count; i++) {
		struct pending *p = i < u->count ? &u->ops[i] : NULL;
		size_t k = p ? rounds_next(&rounds, p) : n;

		if (k != at) {
			account_round(a->together[at], own, to_ns - from->ns);
			memset(own, 0, sizeof(own));
			at = k;
		}
		for (size_t s = 0; p && s < TS_COUNT; s++)
			own[s] += p->delta[s];
		if (p)
			unit_give_one(a, p, a->together[k]);
	}
	for (size_t i = 0; i < n; i++) {
		request_flush_compute(a, a->together[i]);
		request_doubt(a->together[i], DONE_TOGETHER);
		a->together[i]->worked_on = a->together[i]->parted = true;
		a->together[i]->known_ns = to_ns;
	}
	u->count = first_op;
	unit_give(a, u, NULL, 0);
	r->thread->service->works = true;
	return true;
}

/* The oldest result that can be r's. */
static struct unit *oldest_result(struct assembler *a, const struct request *r)
{
	struct unit *u = r->thread->service->delivered_first, *next;

	for (; u; u = next) {
		bool stale = u->guess.id && !request_get(u->guess);

		next = u->newer;
		if (stale || u->end_ns < r->row.read_ns)
			delivered_give_up(a, u);
		else if (mark_from(u, r))
			return u;
	}
	return NULL;
}

/* u is r's after all: what was taken for r's is that which u was taken for. */
static void correct_guess(struct assembler *a, struct unit *u, struct request *r)
{
	struct request *other = request_get(u->guess);
	struct unit *others = r->unit ? r->unit : r->worker ? r->worker->unit : NULL;

	if (others && request_get(others->guess) == r)
		others->guess = u->guess;
	else
		others = NULL;
	if (other) {
		request_doubt(other, END_ALONE);
		set_worker(a, other, others ? others->thread : NULL);
		other->unit = others && others->end_ns ? others : NULL;
		if (!others)
			waiting_add(other);
	}
	waiting_remove(r);
	u->guess = (struct request_ref){ r, r->row.request_id };
	r->unit = u;
}

/* The result that this reply sends, and how sure that is. */
static struct unit *choose(struct assembler *a, struct request *r)
{
	struct unit *u = oldest_result(a, r);

	if (u && u == r->unit) {
		request_doubt(r, ORDERS_AGREE);
	} else if (u) {
		request_doubt(r, END_ALONE);
		correct_guess(a, u, r);
	} else if (r->thread->service->delivers) {
		request_doubt(r, NOTHING_KNOWN);
	}
	return u;
}

/* Its reader sends what another thread has worked out. */
static void collect_result(struct assembler *a, struct athread *t, struct request *r)
{
	struct unit *u = choose(a, r);

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
		else if (r->elsewhere && owner_current(t) != r)
			handoff_take(a, r, seg->enter_ns);
		return false;
	}
	timeline_add(&t->timeline, seg->before);
	if (!t->serves)
		unit_add_user(a, t, seg->before, t->last_ns);
	if (t->unit)
		unit_ready(a, t);
	if (r->worked_on && t->unit && t->unit->count > 1)
		t->service->one_by_one = true;
	if (!claim_rounds(a, t->unit, r, seg->enter_ns))
		claim(a, t->unit, r, seg->enter_ns, e->enter);
	request_doubt(r, SENT_BY_WORKER);
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
	waiting_remove(r);
	if (r->unit)
		delivered_give_up(a, r->unit);
	r->unit = NULL;
	set_worker(a, r, NULL);
}

void handoff_quit(struct assembler *a, struct athread *t)
{
	if (!t->unit)
		return;
	unit_drop(a, t);
	unit_guess(a, t, NULL, false);
	unit_free(t->unit);
	t->unit = NULL;
}

void handoff_give_up_all(struct assembler *a, struct service *s)
{
	while (s->delivered_first)
		delivered_give_up(a, s->delivered_first);
}
