/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several requests of a connection wait for their replies, and one thread does what they need.
 * Whose an op is shows, if at all, by the replies: one that comes alone ends one request; one
 * call that answers n of them ends n, and if the kinds of the ops before it repeat n times
 * (load store, load store), the k-th round was the k-th request's. So the ops wait here until
 * then. Where nothing tells they are shared by all, and CPU time goes in equal parts.
 */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <stdlib.h>

#define STEPS_MAX 4096 /* more without a reply are the first one's */

/* --- rounds -------------------------------------------------------------------------------- */

static int64_t distance(int64_t a, int64_t b)
{
	return a > b ? a - b : b - a;
}

static bool kinds_repeat(const struct pending *steps, size_t count, size_t per, size_t until)
{
	uint8_t kinds[ROUND_OPS_MAX];
	size_t n = 0;

	if (per > ROUND_OPS_MAX)
		return false;
	for (size_t i = 0; i < count && n < until; i++) {
		if (steps[i].op.kind == OP_COMPUTE)
			continue;
		if (n < per)
			kinds[n] = steps[i].op.kind;
		else if (kinds[n % per] != steps[i].op.kind)
			return false;
		n++;
	}
	return true;
}

/*
 * User time between two rounds may end the one or begin the other: as there is as much of it
 * before the first round, or behind the last.
 */
static bool compute_leads(const struct pending *steps, size_t count, const struct rounds *rounds)
{
	int64_t first = 0, between = 0, last = 0;
	size_t ops = 0;

	for (size_t i = 0; i < count; i++) {
		if (steps[i].op.kind != OP_COMPUTE)
			ops++;
		else if (!ops)
			first += steps[i].op.cpu_ns;
		else if (ops == rounds->n * rounds->per)
			last += steps[i].op.cpu_ns;
		else if (ops < rounds->n * rounds->per && ops % rounds->per == 0)
			between += steps[i].op.cpu_ns;
	}
	between /= (int64_t)rounds->n - 1;
	return distance(first, between) <= distance(last, between);
}

bool rounds_find(struct rounds *ret, const struct pending *steps, size_t count, size_t n, bool tail)
{
	struct rounds rounds = { .n = n };
	size_t ops = 0;

	for (size_t i = 0; i < count; i++)
		ops += steps[i].op.kind != OP_COMPUTE;
	if (n < 2 || !ops || (ops % n && !tail))
		return false;
	for (rounds.per = ops / n; rounds.per; rounds.per = tail ? rounds.per - 1 : 0)
		if (kinds_repeat(steps, count, rounds.per, n * rounds.per))
			break;
	if (!rounds.per)
		return false;
	rounds.tail = ops > n * rounds.per;
	rounds.leads = compute_leads(steps, count, &rounds);
	*ret = rounds;
	return true;
}

size_t rounds_next(struct rounds *rounds, const struct pending *step)
{
	size_t at = rounds->done / rounds->per;

	if (step->op.kind != OP_COMPUTE)
		rounds->done++;
	else if (rounds->done && rounds->done <= rounds->n * rounds->per &&
		 rounds->done % rounds->per == 0 && !rounds->leads)
		at--;
	if (at < rounds->n)
		return at;
	return rounds->tail ? rounds->n : rounds->n - 1;
}

/* --- steps --------------------------------------------------------------------------------- */

static void give_step(struct assembler *a, struct request *r, struct pending *step)
{
	if (step->op.kind == OP_COMPUTE)
		request_add_user(r, step->delta, step->op.start_ns);
	else
		request_flush_compute(a, r);
	account_own(&r->account, step->delta);
	if (step->op.kind != OP_COMPUTE)
		request_op(a, r, &step->op);
}

static void give_parts(struct request *const requests[], size_t n, const struct pending *step)
{
	int64_t part[TS_COUNT];

	for (size_t i = 0; i < TS_COUNT; i++)
		part[i] = step->delta[i] / (int64_t)n;
	for (size_t i = 0; i < n; i++)
		request_add_user(requests[i], part, step->op.start_ns);
	request_share_call(requests, n, step->delta);
}

static void share_step(struct assembler *a, struct request *const requests[], size_t n,
		       struct pending *step)
{
	if (n == 1)
		give_step(a, requests[0], step);
	else if (step->op.kind == OP_COMPUTE)
		give_parts(requests, n, step);
	else
		request_op_of_all(a, requests, n, &step->op, step->delta);
}

static void give_to_all(struct assembler *a, struct batch *b, struct request *const requests[],
			size_t n)
{
	for (size_t i = 0; i < b->count; i++)
		share_step(a, requests, n, &b->steps[i]);
	b->count = b->ops = 0;
}

static bool give_rounds(struct assembler *a, struct batch *b, struct request *const requests[],
			size_t n, bool tail)
{
	struct rounds rounds;

	if (!rounds_find(&rounds, b->steps, b->count, n, tail))
		return false;
	for (size_t i = 0; i < b->count; i++) {
		size_t k = rounds_next(&rounds, &b->steps[i]);

		if (k < n)
			give_step(a, requests[k], &b->steps[i]);
		else
			share_step(a, requests, n, &b->steps[i]);
	}
	b->count = b->ops = 0;
	return true;
}

static struct pending *step_add(struct assembler *a, struct athread *t)
{
	struct batch *b = &t->batch;
	size_t capacity = b->capacity ? b->capacity * 2 : 64;
	struct request *first = request_get(b->first);

	if (b->count == STEPS_MAX)
		give_to_all(a, b, &first, 1);
	if (b->count == b->capacity) {
		struct pending *steps = realloc(b->steps, capacity * sizeof(*steps));

		if (!steps) {
			a->failed = -ENOMEM;
			return NULL;
		}
		b->steps = steps;
		b->capacity = capacity;
	}
	b->steps[b->count] = (struct pending){ 0 };
	return &b->steps[b->count++];
}

void batch_time(struct assembler *a, struct athread *t, const int64_t delta[TS_COUNT],
		int64_t start_ns)
{
	struct batch *b = &t->batch;
	struct pending *step = b->count ? &b->steps[b->count - 1] : NULL;

	if (!step || step->op.kind != OP_COMPUTE) {
		step = step_add(a, t);
		if (!step)
			return;
		step->op.kind = OP_COMPUTE;
		step->op.start_ns = start_ns;
	}
	for (size_t i = 0; i < TS_COUNT; i++)
		step->delta[i] += delta[i];
	step->op.cpu_ns += counters_user(delta);
}

void batch_op(struct assembler *a, struct athread *t, const struct row_op *op,
	      const int64_t delta[TS_COUNT])
{
	struct pending *step = step_add(a, t);

	if (!step)
		return;
	step->op = *op;
	for (size_t i = 0; i < TS_COUNT; i++)
		step->delta[i] = delta[i];
	t->batch.ops++;
}

/* --- whose they are ------------------------------------------------------------------------ */

/* Whether the thread can work on it now, and its time is known. */
static bool takes_part(const struct request *r, const struct athread *t)
{
	return r->thread == t && r->complete && !r->no_reply && !r->elsewhere &&
	       !request_is_answered(r);
}

void batch_begin(struct athread *t, struct request *r)
{
	const struct request *next = r->next;

	t->batch.first = (struct request_ref){ 0 };
	if (takes_part(r, t) && !r->called && next && takes_part(next, t))
		t->batch.first = (struct request_ref){ r, r->row.request_id };
}

bool batch_holds(struct athread *t, const struct request *r)
{
	return r && t->batch.first.request == r && t->batch.first.id == r->row.request_id;
}

/* The first and those behind it: a->together. */
static size_t gather(struct assembler *a, struct athread *t, struct request *first)
{
	size_t n = 0;

	for (struct request *r = first; r && n < REQUESTS_SHARED_MAX; r = r->next)
		if (takes_part(r, t))
			a->together[n++] = r;
	return n;
}

static void note_rounds(struct request *const requests[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		requests[i]->worked_on = true;
		request_doubt(requests[i], DONE_TOGETHER);
	}
}

void batch_settle(struct assembler *a, struct athread *t)
{
	struct batch *b = &t->batch;
	struct request *first = request_get(b->first);
	size_t n;

	b->first = (struct request_ref){ 0 };
	if (!b->count || !first)
		return;
	n = gather(a, t, first);
	if (!b->ops && n)
		give_to_all(a, b, a->together, n);
	else if (!give_rounds(a, b, a->together, n, true))
		give_to_all(a, b, &first, 1);
	else
		note_rounds(a->together, n);
}

void batch_forget(struct assembler *a, struct request *r)
{
	struct athread *t = r->thread;

	if (!batch_holds(t, r))
		return;
	give_to_all(a, &t->batch, &r, 1);
	t->batch.first = (struct request_ref){ 0 };
}

static bool writes(const struct pending *step)
{
	return step->op.kind == OP_STORE || step->op.kind == OP_SYNC;
}

/* Each has been worked on, and then what all of them write was written at once. */
static bool ends_in_writes(const struct batch *b)
{
	size_t i = b->count, written = 0;

	for (; i && (writes(&b->steps[i - 1]) || b->steps[i - 1].op.kind == OP_COMPUTE); i--)
		written += writes(&b->steps[i - 1]);
	while (i && !writes(&b->steps[i - 1]))
		i--;
	return written && !i;
}

/* A reply to the first alone: all that was done was for it, or the work of all is done. */
static void answer_one(struct assembler *a, struct athread *t, struct request *first)
{
	struct batch *b = &t->batch;
	size_t n = gather(a, t, first);

	if (!t->service->one_by_one && give_rounds(a, b, a->together, n, ends_in_writes(b))) {
		note_rounds(a->together, n);
		return;
	}
	give_to_all(a, b, &first, 1);
}

bool batch_answer(struct assembler *a, struct athread *t, struct request *const requests[],
		  size_t n)
{
	struct request *first = request_get(t->batch.first);
	bool rounds = false;

	if (first && requests[0] != first)
		return false; /* those before it: another thread replies, and t is further */
	t->batch.first = (struct request_ref){ 0 };
	if (!first || !t->batch.count)
		return false;
	if (n > REQUESTS_SHARED_MAX)
		give_to_all(a, &t->batch, &first, 1);
	else if (n == 1)
		answer_one(a, t, first);
	else if (give_rounds(a, &t->batch, requests, n, true))
		rounds = true;
	else
		give_to_all(a, &t->batch, requests, n);
	return rounds;
}
