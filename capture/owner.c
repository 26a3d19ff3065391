/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose is a thread's time? From the return of a call it belongs to the request that
 * was read last, after a reply to that reply's aftermath, and behind a poll to whoever
 * the next call is for. User time that nobody owns is the service's background.
 */
#include "capture/assembly.h"

/* User time that became an op by itself: after a reply, or nobody's. */
static void write_compute(struct assembler *a, struct athread *t, uint64_t request_id,
			  int64_t start_ns, int64_t cpu_ns)
{
	struct row_op op = {
		.request_id = request_id,
		.after_reply = request_id != 0,
		.kind = OP_COMPUTE,
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
		write_compute(a, t, t->after_id, t->after_start_ns, t->after_ns);
	t->after_ns = 0;
}

void owner_flush_background(struct assembler *a, struct athread *t)
{
	if (t->background_ns > 0)
		write_compute(a, t, 0, t->background_start_ns, t->background_ns);
	t->background_ns = 0;
}

void owner_set_none(struct assembler *a, struct athread *t)
{
	owner_flush_after(a, t);
	t->owner = OWNER_NONE;
	t->shared = false;
}

void owner_set_request(struct assembler *a, struct athread *t, struct request *r)
{
	owner_flush_after(a, t);
	t->owner = OWNER_REQUEST;
	t->current = (struct request_ref){ r, r->row.request_id };
	t->shared = false;
}

void owner_set_after(struct assembler *a, struct athread *t, const struct request *r)
{
	owner_flush_after(a, t);
	t->owner = OWNER_AFTER;
	t->after_id = r->row.request_id;
	t->shared = false;
}

/* The request the thread works for; NULL when it works for none. */
struct request *owner_current(struct athread *t)
{
	return t->owner == OWNER_REQUEST ? request_get(t->current) : NULL;
}

/* A segment of thread t that is request r's own. */
static void give_request(struct athread *t, struct request *r, const int64_t delta[TS_COUNT],
			 int64_t start_ns)
{
	request_add_user(r, delta, start_ns);
	if (r->thread == t)
		account_own(&r->account, delta);
	else
		r->other_thread = true;
}

/* Whose is the time before a call that is for `next` (NULL: for nobody)? */
static struct request *owner_before(struct athread *t, struct request *next, bool replies)
{
	struct request *current = owner_current(t);

	if (current && !(t->shared && next && replies))
		return current;
	if (t->owner == OWNER_AFTER && !replies)
		return NULL;
	return next;
}

void owner_give_before(struct athread *t, const struct segment *seg, struct request *next,
		       bool replies)
{
	struct request *r = owner_before(t, next, replies);
	int64_t user = seg->before[TS_USER];

	timeline_add(&t->timeline, seg->before);
	if (r) {
		give_request(t, r, seg->before, t->last_ns);
	} else if (t->owner == OWNER_AFTER) {
		t->after_start_ns = t->after_ns ? t->after_start_ns : t->last_ns;
		t->after_ns += user;
	} else {
		t->background_start_ns = t->background_ns ? t->background_start_ns : t->last_ns;
		t->background_ns += user;
	}
}

void owner_give_call(struct athread *t, const struct segment *seg, struct request *r)
{
	timeline_add(&t->timeline, seg->call);
	if (r)
		give_request(t, r, seg->call, seg->enter_ns);
}
