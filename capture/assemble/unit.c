/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of a thread that reads no requests itself. Whose it is shows only when it is
 * delivered, so its ops wait in memory until then; what is never delivered was the
 * service's background.
 */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNIT_OPS_MAX 1024 /* more than that without a delivery is background */

static struct unit *unit_get(struct assembler *a, struct athread *t)
{
	if (!t->unit) {
		t->unit = calloc(1, sizeof(*t->unit));
		if (!t->unit)
			a->failed = -ENOMEM;
		else
			t->unit->thread = t;
	}
	return t->unit;
}

static bool unit_grow(struct assembler *a, struct unit *u)
{
	size_t capacity = u->capacity ? u->capacity * 2 : 8;
	struct pending *ops;

	if (u->count < u->capacity)
		return true;
	ops = realloc(u->ops, capacity * sizeof(*ops));
	if (!ops) {
		a->failed = -ENOMEM;
		return false;
	}
	u->ops = ops;
	u->capacity = capacity;
	return true;
}

static struct pending *unit_push(struct assembler *a, struct unit *u, const struct row_op *op)
{
	struct pending *p;

	if (!unit_grow(a, u))
		return NULL;
	p = &u->ops[u->count++];
	*p = (struct pending){ .op = *op };
	return p;
}

/* The user time since the last op, and its waits, become an op of their own. */
static void unit_flush_user(struct assembler *a, struct unit *u)
{
	int64_t user_ns = counters_user(u->user);
	struct row_op op = {
		.kind = OP_COMPUTE,
		.service_id = u->thread->service->row.service_id,
		.thread_id = u->thread->tid,
		.start_ns = u->user_start_ns,
		.elapsed_ns = counters_sum(u->user),
		.cpu_ns = user_ns,
		.work = user_ns * a->opts.work_per_ms / 1000000,
		.offset = TRACE_NONE,
	};
	struct pending *p = user_ns ? unit_push(a, u, &op) : NULL;

	if (p)
		memcpy(p->delta, u->user, sizeof(p->delta));
	memset(u->user, 0, sizeof(u->user));
}

bool unit_ready(struct assembler *a, struct athread *t)
{
	struct unit *u = unit_get(a, t);

	if (u)
		unit_flush_user(a, u);
	return u;
}

void unit_add_user(struct assembler *a, struct athread *t, const int64_t delta[TS_COUNT],
		   int64_t start_ns)
{
	struct unit *u = counters_user(delta) > 0 ? unit_get(a, t) : NULL;

	if (!u)
		return;
	if (!counters_user(u->user))
		u->user_start_ns = start_ns;
	for (size_t i = 0; i < TS_COUNT; i++)
		u->user[i] += delta[i];
}

static struct unit *unit_room(struct assembler *a, struct athread *t)
{
	if (!unit_ready(a, t))
		return NULL;
	if (t->unit->count >= UNIT_OPS_MAX)
		unit_drop(a, t);
	return t->unit;
}

void unit_add_op(struct assembler *a, struct athread *t, const struct row_op *op,
		 const int64_t delta[TS_COUNT])
{
	struct unit *u = unit_room(a, t);
	struct pending *p = u ? unit_push(a, u, op) : NULL;

	if (p)
		memcpy(p->delta, delta, sizeof(p->delta));
}

void unit_begin_call(struct assembler *a, struct athread *t, struct connection *c)
{
	struct unit *u = unit_room(a, t);
	struct pending *p = u ? unit_push(a, u, &c->call.op) : NULL;

	if (!p)
		return;
	p->call = c;
	c->call.unit = u;
	c->call.index = p - u->ops;
}

/* It is complete; it waits for its owner with the others. */
void unit_end_call(struct connection *c)
{
	struct pending *p = &c->call.unit->ops[c->call.index];

	p->op = c->call.op;
	p->call = NULL;
	c->call.unit = NULL;
}

void unit_called(struct athread *t, int64_t ns)
{
	if (t->unit)
		t->unit->called_ns += ns;
}

/* An op that was no request's: user time is gathered, the rest written. */
static void write_background(struct assembler *a, struct athread *t, struct pending *p)
{
	if (p->call) { /* goes on: its row is written at its end */
		p->call->call.unit = NULL;
	} else if (p->op.kind == OP_COMPUTE) {
		owner_add_background(a, t, p->op.cpu_ns, p->op.start_ns);
	} else {
		a->ledger.count[LG_CALLS_UNOWNED] += p->op.kind == OP_FORWARD;
		assembly_write_op(a, &p->op);
	}
}

void unit_give_one(struct assembler *a, struct pending *p, struct request *r)
{
	if (p->call)
		connection_call_owned(a, p->call, r);
	else
		request_give_op(a, r, &p->op);
}

void unit_give(struct assembler *a, struct unit *u, struct request *r, int64_t from_ns)
{
	for (size_t i = 0; i < u->count; i++) {
		struct pending *p = &u->ops[i];

		if (!r || p->op.start_ns < from_ns)
			write_background(a, u->thread, p);
		else
			unit_give_one(a, p, r);
	}
	u->count = 0;
}

void unit_drop(struct assembler *a, struct athread *t)
{
	if (!t->unit)
		return;
	unit_flush_user(a, t->unit);
	unit_give(a, t->unit, NULL, 0);
}

void unit_free(struct unit *u)
{
	if (u)
		free(u->ops);
	free(u);
}
