/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose is a thread's time? From the return of a call it belongs to the request that
 * was read last, after a reply to that reply's aftermath, and behind a poll to whoever
 * the next call is for. User time that nobody owns is the service's background.
 */
#include "capture/assemble/assembly.h"

#define BACKGROUND_FLUSH_NS 1000000 /* unowned user time is written in pieces of this size */

/* User time that became an op by itself: after a reply, or nobody's. */
static void write_compute(struct assembler *a, struct athread *t, uint64_t request_id,
			  bool after_reply, int64_t start_ns, int64_t cpu_ns)
{
	struct row_op op = {
		.request_id = request_id,
		.after_reply = after_reply,
		.kind = OP_COMPUTE,
		.service_id = t->service->row.service_id,
		.thread_id = t->tid,
		.start_ns = start_ns,
		.elapsed_ns = cpu_ns,
		.cpu_ns = cpu_ns,
		.work = cpu_ns * a->opts.work_per_ms / 1000000,
		.offset = TRACE_NONE,
	};

	assembly_write_op(a, &op);
}

void owner_flush_after(struct assembler *a, struct athread *t)
{
	if (t->after_ns > 0)
		write_compute(a, t, t->after_id, true, t->after_start_ns, t->after_ns);
	t->after_ns = 0;
}

void owner_add_background(struct assembler *a, struct athread *t, int64_t ns, int64_t start_ns)
{
	t->background_start_ns = t->background_ns ? t->background_start_ns : start_ns;
	t->background_ns += ns;
	if (t->background_ns >= BACKGROUND_FLUSH_NS)
		owner_flush_background(a, t);
}

void owner_flush_background(struct assembler *a, struct athread *t)
{
	if (t->background_ns > 0)
		write_compute(a, t, 0, false, t->background_start_ns, t->background_ns);
	t->background_ns = 0;
}

void owner_set_none(struct assembler *a, struct athread *t)
{
	owner_flush_after(a, t);
	batch_settle(a, t);
	t->owner = OWNER_NONE;
	t->shared = false;
}

void owner_set_request(struct assembler *a, struct athread *t, struct request *r)
{
	owner_flush_after(a, t);
	batch_settle(a, t);
	batch_begin(t, r);
	t->owner = OWNER_REQUEST;
	t->current = (struct request_ref){ r, r->row.request_id };
	t->shared = false;
}

void owner_set_after(struct assembler *a, struct athread *t, const struct request *r)
{
	owner_flush_after(a, t);
	batch_settle(a, t);
	t->owner = OWNER_AFTER;
	t->after_id = r->row.request_id;
	t->shared = false;
}

void owner_set_others(struct assembler *a, struct athread *t)
{
	owner_flush_after(a, t);
	batch_settle(a, t);
	t->owner = OWNER_OTHERS;
}

void owner_answered(struct athread *t, const struct request *r, int64_t at_ns)
{
	if (owner_current(t) != r)
		return;
	t->owner = OWNER_ANSWERED;
	t->after_id = r->row.request_id;
	/* if it woke somebody since, what followed was waiting, in whatever way */
	t->answered_ns = t->gave_ns > r->row.read_ns ? t->gave_ns : at_ns;
}

void owner_set_nobody(struct assembler *a, struct athread *t)
{
	owner_flush_after(a, t);
	batch_settle(a, t);
	t->owner = OWNER_NOBODY;
}

/* The request the thread works for; NULL when it works for none. */
struct request *owner_current(struct athread *t)
{
	return t->owner == OWNER_REQUEST ? request_get(t->current) : NULL;
}

void owner_leave(struct athread *t, int64_t at_ns)
{
	struct request *r = owner_current(t);

	if (!r || r->thread != t || r->elsewhere || request_is_answered(r))
		return;
	if (r->left_ns && r->worker)
		return; /* what it has done since, beside the worker, the request did not wait for */
	r->left = r->account;
	account_detach(&r->left, &t->timeline);
	account_polled(&r->left, &t->timeline, r->called ? SUB_CALL : SUB_NET_SOCKET);
	r->left_ns = at_ns;
}

/* A segment of thread t that is request r's own. */
static void give_request(struct assembler *a, struct athread *t, struct request *r,
			 const int64_t delta[TS_COUNT], int64_t start_ns)
{
	if (batch_holds(t, r)) {
		batch_time(a, t, delta, start_ns);
		return;
	}
	request_add_user(r, delta, start_ns);
	if (r->elsewhere) {
		account_add(&r->account, delta);
		r->known_ns = start_ns + counters_sum(delta);
	} else if (r->thread == t) {
		account_own(&r->account, delta);
	}
}

/* Whose is the time before a call that is for `next` (NULL: for nobody)? */
static struct request *owner_before(struct athread *t, struct request *next, bool replies)
{
	struct request *current = owner_current(t);

	if (current && !(t->shared && next && replies))
		return current;
	if (t->owner == OWNER_OTHERS || t->owner == OWNER_NOBODY || t->owner == OWNER_ANSWERED ||
	    (t->owner == OWNER_AFTER && !replies))
		return NULL;
	return next;
}

/* What it did until the other thread replied was for that request, what it did since for nobody. */
static void give_answered(struct assembler *a, struct athread *t, int64_t user_ns)
{
	int64_t until = t->answered_ns - t->last_ns;
	int64_t part = until < 0 ? 0 : until < user_ns ? until : user_ns;

	if (part)
		write_compute(a, t, t->after_id, false, t->last_ns, part);
	if (user_ns > part)
		owner_add_background(a, t, user_ns - part, t->last_ns + part);
	t->owner = OWNER_NONE;
}

void owner_give_before(struct assembler *a, struct athread *t, const struct segment *seg,
		       struct request *next, bool replies)
{
	struct request *r = owner_before(t, next, replies);
	int64_t user = counters_user(seg->before);

	timeline_add(&t->timeline, seg->before);
	if (r) {
		give_request(a, t, r, seg->before, t->last_ns);
	} else if (t->owner == OWNER_OTHERS) {
		return; /* demand that no row is to have */
	} else if (t->owner == OWNER_ANSWERED) {
		give_answered(a, t, user);
	} else if (t->owner == OWNER_AFTER) {
		t->after_start_ns = t->after_ns ? t->after_start_ns : t->last_ns;
		t->after_ns += user;
	} else if (t->serves) {
		t->background_start_ns = t->background_ns ? t->background_start_ns : t->last_ns;
		t->background_ns += user;
	} else {
		unit_add_user(a, t, seg->before, t->last_ns);
	}
}

void owner_give_call(struct assembler *a, struct athread *t, const struct segment *seg,
		     struct request *r)
{
	timeline_add(&t->timeline, seg->call);
	if (r)
		give_request(a, t, r, seg->call, seg->enter_ns);
}
