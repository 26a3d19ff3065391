/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/owners.h"

#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The row of each op that has further owners: few have, so the others are not kept. */
struct shared_ops {
	struct idmap ids;
	uint32_t *rows;
};

static int shared_ops_init(struct shared_ops *shared, const struct plan_source *s)
{
	size_t count = s->op_requests_count;

	*shared = (struct shared_ops){ .rows = malloc((count + 1) * sizeof(*shared->rows)) };
	if (!shared->rows || idmap_init(&shared->ids, count))
		return -ENOMEM;
	memset(shared->rows, 0xff, (count + 1) * sizeof(*shared->rows));
	for (size_t i = 0; i < count; i++)
		idmap_put(&shared->ids, s->op_requests[i].op_id, (uint32_t)shared->ids.count);
	for (size_t i = 0; i < s->ops_count && count; i++) {
		uint32_t at = idmap_get(&shared->ids, s->ops[i].op_id);

		if (at != IDMAP_NONE && shared->rows[at] == IDMAP_NONE)
			shared->rows[at] = (uint32_t)i;
	}
	return 0;
}

static void shared_ops_release(struct shared_ops *shared)
{
	idmap_release(&shared->ids);
	free(shared->rows);
}

static uint32_t shared_ops_row(const struct shared_ops *shared, uint64_t op_id)
{
	uint32_t at = idmap_get(&shared->ids, op_id);

	return at == IDMAP_NONE ? IDMAP_NONE : shared->rows[at];
}

/* Calls fn with each op and each of its owners that is in the plan: the first, then the further. */
typedef void (*owner_fn)(struct owners *o, uint32_t op, uint32_t request);

static void each_owner(struct owners *o, const struct planner *p, const struct shared_ops *shared,
		       owner_fn fn)
{
	const struct plan_source *s = &p->source;

	for (size_t i = 0; i < s->ops_count; i++) {
		uint32_t request = idmap_get(&p->requests, s->ops[i].request_id);

		if (request != IDMAP_NONE)
			fn(o, (uint32_t)i, request);
	}
	for (size_t i = 0; i < s->op_requests_count; i++) {
		uint32_t op = shared_ops_row(shared, s->op_requests[i].op_id);
		uint32_t request = idmap_get(&p->requests, s->op_requests[i].request_id);

		if (op != IDMAP_NONE && request != IDMAP_NONE &&
		    s->ops[op].request_id != s->op_requests[i].request_id)
			fn(o, op, request);
	}
}

static void count_owner(struct owners *o, uint32_t op, uint32_t request)
{
	o->first[op + 1]++;
	o->count++;
}

/* first[op] runs ahead while owners are put in; collect() sets it back. */
static void put_owner(struct owners *o, uint32_t op, uint32_t request)
{
	o->at[o->first[op]++] = (struct owner){ .request = request, .op = op };
}

static int allocate(struct owners *o, const struct planner *p, struct err *err)
{
	if (o->count > PLAN_ROWS_MAX)
		return err_set(err, E2BIG,
			       "%zu ops of requests are more than the %llu that a replay can count",
			       o->count, (unsigned long long)PLAN_ROWS_MAX);
	o->at = scratch_alloc(p->opts->scratch, o->count * sizeof(*o->at), err);
	return o->at ? 0 : -ENOMEM;
}

static int collect(struct owners *o, const struct planner *p, const struct shared_ops *shared,
		   struct err *err)
{
	size_t ops = p->source.ops_count;
	int ret;

	o->first = calloc(ops + 2, sizeof(*o->first));
	if (!o->first)
		return err_errno(err, ENOMEM, "cannot hold %zu ops", ops);
	each_owner(o, p, shared, count_owner);
	ret = allocate(o, p, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < ops; i++) {
		o->most = o->first[i + 1] > o->most ? o->first[i + 1] : o->most;
		o->first[i + 1] += o->first[i];
	}
	each_owner(o, p, shared, put_owner);
	memmove(o->first + 1, o->first, ops * sizeof(*o->first));
	o->first[0] = 0;
	return 0;
}

/* The recorded flag is the first owner's; to the others it matters when their own reply ended. */
bool owner_is_after_reply(const struct planner *p, const struct owner *owner)
{
	const struct row_op *op = &p->source.ops[owner->op];
	const struct row_request *row = p->origins[owner->request].row;

	if (op->request_id == row->request_id || row->end_ns == TRACE_NONE)
		return op->after_reply;
	return op->start_ns >= row->end_ns;
}

static void move_to_front(struct owner *owners, size_t front, size_t i)
{
	struct owner moved = owners[i];

	memmove(&owners[front + 1], &owners[front], (i - front) * sizeof(*owners));
	owners[front] = moved;
}

static void choose_doers(struct owners *o, const struct planner *p)
{
	bool live = p->opts->batching == PLAN_BATCHING_LIVE;

	for (size_t op = 0; op < p->source.ops_count; op++) {
		struct owner *owners = &o->at[o->first[op]];
		uint32_t count = o->first[op + 1] - o->first[op], doers = 0;

		for (uint32_t i = 0; i < count; i++) {
			if (!owner_is_after_reply(p, &owners[i]))
				move_to_front(owners, doers++, i);
		}
		if (!doers)
			doers = live ? count : count > 0;
		for (uint32_t i = 0; i < doers; i++)
			owners[i].group = doers;
	}
}

int owners_init(struct owners *o, const struct planner *p, struct err *err)
{
	struct shared_ops shared;
	int ret = shared_ops_init(&shared, &p->source);

	*o = (struct owners){ 0 };
	ret = ret ? err_errno(err, -ret, "cannot hold the shared ops") :
		    collect(o, p, &shared, err);
	shared_ops_release(&shared);
	if (ret)
		owners_release(o);
	else
		choose_doers(o, p);
	return ret;
}

void owners_release(struct owners *o)
{
	scratch_free(o->at);
	free(o->first);
	*o = (struct owners){ 0 };
}

size_t owners_of(const struct owners *o, size_t op, struct owner **ret_doers)
{
	*ret_doers = &o->at[o->first[op]];
	return o->first[op] < o->first[op + 1] ? (*ret_doers)->group : 0;
}
