/* SPDX-License-Identifier: Apache-2.0 */
/* A request from its first byte to the last of its reply. */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request *request_get(struct request_ref ref)
{
	return ref.request && ref.id && ref.request->row.request_id == ref.id ? ref.request : NULL;
}

static struct request *request_take(struct assembler *a)
{
	struct request *r = a->free_requests;

	if (r)
		a->free_requests = r->next;
	else
		r = malloc(sizeof(*r));
	if (!r) {
		a->failed = -ENOMEM;
		return NULL;
	}
	memset(r, 0, sizeof(*r));
	return r;
}

/* Memory stays with the assembler, so that a stale request_ref can still look at the id. */
static void request_give(struct assembler *a, struct request *r)
{
	thread_drop(a, r->thread);
	r->row.request_id = 0;
	memset(r->head, 0, sizeof(r->head));
	r->next = a->free_requests;
	a->free_requests = r;
}

struct request *request_open(struct assembler *a, struct athread *t, struct connection *c)
{
	struct request *r = request_take(a);

	if (!r)
		return NULL;
	r->thread = thread_hold(t);
	r->connection = c;
	r->row.request_id = ++a->requests;
	r->row.service_id = t->service->row.service_id;
	r->row.connection_id = c->row.connection_id;
	r->row.thread_id = t->tid;
	r->row.confidence = 100;
	r->row.think_ns = r->row.request_end_ns = TRACE_NONE;
	r->row.write_ns = r->row.end_ns = TRACE_NONE;
	c->row.service_id = r->row.service_id;
	*(c->last ? &c->last->next : &c->first) = r;
	c->last = r;
	t->service->open++;
	t->service->requests++;
	pass_add(a, t, r);
	waiting_add(r);
	return r;
}

static void connection_unlink(struct connection *c, struct request *r)
{
	struct request **at = &c->first, *before = NULL;

	while (*at != r) {
		before = *at;
		at = &(*at)->next;
	}
	*at = r->next;
	if (c->last == r)
		c->last = before;
	if (c->replying == r)
		c->replying = NULL;
}

void request_doubt(struct request *r, unsigned confidence)
{
	if (r->row.confidence > confidence)
		r->row.confidence = confidence;
}

bool request_is_answered(const struct request *r)
{
	return r->row.end_ns != TRACE_NONE;
}

/* User code that was interrupted or moved is no measure of what it needs. */
static bool delta_disturbed(const int64_t delta[TS_COUNT])
{
	for (size_t i = TS_IRQ_NET; i <= TS_STEAL; i++)
		if (delta[i])
			return true;
	return false;
}

void request_disturb(struct request *r, const int64_t delta[TS_COUNT])
{
	r->disturbed |= delta_disturbed(delta);
}

void request_add_user(struct request *r, const int64_t delta[TS_COUNT], int64_t start_ns)
{
	int64_t user_ns = counters_user(delta);

	if (user_ns <= 0)
		return;
	if (!r->compute_ns)
		r->compute_start_ns = start_ns;
	r->compute_ns += user_ns;
	r->compute_elapsed_ns += counters_sum(delta);
	r->user_ns += user_ns;
	request_disturb(r, delta);
}

/* The user time since the last op becomes an op itself, before the next one. */
void request_flush_compute(struct assembler *a, struct request *r)
{
	struct row_op op = {
		.kind = OP_COMPUTE,
		.service_id = r->row.service_id,
		.start_ns = r->compute_start_ns,
		.elapsed_ns = r->compute_elapsed_ns,
		.cpu_ns = r->compute_ns,
		.work = r->compute_ns * a->opts.work_per_ms / 1000000,
		.offset = TRACE_NONE,
	};

	if (r->compute_ns <= 0)
		return;
	r->compute_ns = r->compute_elapsed_ns = 0;
	request_op(a, r, &op);
}

/* Kinds of ops in their order, repeated ones once. */
void request_sign(struct request *r, enum op_kind kind)
{
	const char *name = op_kind_names[kind];
	size_t len = strlen(r->signature), add = strlen(name);

	if (len >= add && !strcmp(r->signature + len - add, name))
		return;
	if (len + add + 2 > sizeof(r->signature))
		return;
	if (len)
		r->signature[len++] = ' ';
	memcpy(r->signature + len, name, add + 1);
}

/* The op is this request's, after the one before; it gets its id now, its row when it is done. */
void request_begin_op(struct assembler *a, struct request *r, struct row_op *op)
{
	op->op_id = ++a->ops;
	op->request_id = r->row.request_id;
	op->after = r->last_op;
	op->thread_id = op->thread_id ? op->thread_id : r->row.thread_id;
	r->last_op = op->op_id;
	request_sign(r, op->kind);
}

/* Writes an op that this request owns, after the one before. */
void request_op(struct assembler *a, struct request *r, struct row_op *op)
{
	request_begin_op(a, r, op);
	assembly_write_op(a, op);
}

void request_share_call(struct request *const requests[], size_t n, const int64_t delta[TS_COUNT])
{
	int64_t part[TS_COUNT];

	for (size_t i = 0; i < TS_COUNT; i++)
		part[i] = delta[i] / (int64_t)n;
	for (size_t i = 0; i < n; i++)
		if (requests[i]->elsewhere)
			account_add(&requests[i]->account, part);
		else
			account_own(&requests[i]->account, part);
}

void request_op_of_all(struct assembler *a, struct request *const requests[], size_t n,
		       struct row_op *op, const int64_t delta[TS_COUNT])
{
	op->flags |= OPF_SHARED;
	for (size_t i = 0; i < n; i++) {
		struct request *r = requests[i];

		request_flush_compute(a, r);
		if (r->elsewhere)
			account_add(&r->account, delta);
		else
			account_own(&r->account, delta);
		if (!i) {
			request_op(a, r, op);
		} else {
			struct row_op_request also = { op->op_id, r->row.request_id };

			assembly_write(a, TABLE_OP_REQUESTS, &also);
			r->last_op = op->op_id;
			request_sign(r, op->kind);
		}
	}
}

void request_give_op(struct assembler *a, struct request *r, struct row_op *op)
{
	request_flush_compute(a, r);
	if (op->kind == OP_COMPUTE)
		r->user_ns += op->cpu_ns;
	request_op(a, r, op);
}

/* Their user time, and what it cost, in equal parts. */
void request_share(struct request *const requests[], size_t n)
{
	struct request sum = { .compute_start_ns = INT64_MAX };
	struct account *accounts[REQUESTS_SHARED_MAX];

	if (n > REQUESTS_SHARED_MAX)
		n = REQUESTS_SHARED_MAX;
	for (size_t i = 0; i < n; i++) {
		const struct request *r = requests[i];

		sum.compute_ns += r->compute_ns;
		sum.compute_elapsed_ns += r->compute_elapsed_ns;
		sum.user_ns += r->user_ns;
		sum.disturbed |= r->disturbed;
		if (r->compute_ns && r->compute_start_ns < sum.compute_start_ns)
			sum.compute_start_ns = r->compute_start_ns;
		accounts[i] = &requests[i]->account;
	}
	for (size_t i = 0; i < n; i++) {
		struct request *r = requests[i];

		r->compute_start_ns = sum.compute_start_ns;
		r->compute_ns = sum.compute_ns / (int64_t)n;
		r->compute_elapsed_ns = sum.compute_elapsed_ns / (int64_t)n;
		r->user_ns = sum.user_ns / (int64_t)n;
		r->disturbed = sum.disturbed;
	}
	account_share(accounts, n);
}

/*
 * A part of the reply has gone out: the breakdown up to here, final unless more
 * follows. The thread's time is known up to exit_ns, the reply ended at end_ns.
 */
void request_answered(struct request *r, int64_t end_ns, int64_t exit_ns)
{
	struct account account = r->account;

	if (!request_is_answered(r))
		r->thread->service->open--;
	r->row.end_ns = end_ns;
	r->latency.request_id = r->row.request_id;
	r->latency.service_id = r->row.service_id;
	r->latency.total_ns = end_ns - r->row.arrival_ns;
	account_end(&account, &r->thread->timeline, exit_ns - end_ns);
	if (!r->elsewhere)
		account_polled(&account, &r->thread->timeline,
			       r->called ? SUB_CALL : SUB_NET_SOCKET);
	r->latency.unattributed_ns = account_close(&account, r->latency.total_ns);
	memcpy(r->latency.ns, account.rows, sizeof(r->latency.ns));
	pass_remove(r->thread, r);
	waiting_remove(r);
}

/* The turn is over: its rows are written. `status` is "" for one that went its way. */
void request_close(struct assembler *a, struct request *r, const char *status)
{
	struct connection *c = r->connection;
	bool answered = request_is_answered(r);

	batch_forget(a, r);
	request_flush_compute(a, r);
	pass_remove(r->thread, r);
	handoff_forget(a, r);
	r->row.class_id = class_of(a, r);
	if (!answered) {
		r->row.end_ns = r->row.read_ns;
		r->thread->service->open--;
	}
	if (status[0])
		snprintf(r->row.status, sizeof(r->row.status), "%s", status);
	c->previous = r->row.request_id;
	c->previous_arrival_ns = r->row.arrival_ns;
	c->previous_end_ns = r->row.end_ns;
	c->row.requests++;
	connection_unlink(c, r);
	a->ledger.count[LG_REQUESTS]++;
	assembly_write(a, TABLE_REQUESTS, &r->row);
	if (answered)
		assembly_write(a, TABLE_LATENCY, &r->latency);
	request_give(a, r);
}
