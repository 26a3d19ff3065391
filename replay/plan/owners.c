/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/owners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Calls fn with each op and each of its owners that is in the plan: the first, then the further. */
typedef void (*owner_fn)(struct owners *o, uint32_t op, uint32_t request);

static void each_owner(struct owners *o, const struct planner *p, const struct idmap *op_index,
		       owner_fn fn)
{
	const struct plan_source *s = &p->source;

	for (size_t i = 0; i < s->ops_count; i++) {
		uint32_t request = idmap_get(&p->requests, s->ops[i].request_id);

		if (request != IDMAP_NONE)
			fn(o, (uint32_t)i, request);
	}
	for (size_t i = 0; i < s->op_requests_count; i++) {
		uint32_t op = idmap_get(op_index, s->op_requests[i].op_id);
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

static int collect(struct owners *o, const struct planner *p)
{
	const struct plan_source *s = &p->source;
	struct idmap op_index = { 0 };
	int ret = -ENOMEM;

	o->first = calloc(s->ops_count + 2, sizeof(*o->first));
	o->doers = calloc(s->ops_count + 1, sizeof(*o->doers));
	if (!o->first || !o->doers || idmap_init(&op_index, s->ops_count))
		goto out;
	for (size_t i = 0; i < s->ops_count; i++)
		idmap_put(&op_index, s->ops[i].op_id, (uint32_t)i);
	each_owner(o, p, &op_index, count_owner);
	o->at = calloc(o->count + 1, sizeof(*o->at));
	if (!o->at)
		goto out;
	for (size_t i = 0; i < s->ops_count; i++) {
		o->most = o->first[i + 1] > o->most ? o->first[i + 1] : o->most;
		o->first[i + 1] += o->first[i];
	}
	each_owner(o, p, &op_index, put_owner);
	memmove(o->first + 1, o->first, s->ops_count * sizeof(*o->first));
	o->first[0] = 0;
	ret = 0;
out:
	idmap_release(&op_index);
	return ret;
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
		uint32_t count = (uint32_t)(o->first[op + 1] - o->first[op]), doers = 0;

		for (uint32_t i = 0; i < count; i++) {
			if (!owner_is_after_reply(p, &owners[i]))
				move_to_front(owners, doers++, i);
		}
		if (!doers)
			doers = live ? count : count > 0;
		for (uint32_t i = 0; i < doers; i++)
			owners[i].group = doers;
		o->doers[op] = doers;
	}
}

int owners_init(struct owners *o, const struct planner *p)
{
	int ret;

	*o = (struct owners){ 0 };
	ret = collect(o, p);
	if (ret)
		owners_release(o);
	else
		choose_doers(o, p);
	return ret;
}

void owners_release(struct owners *o)
{
	free(o->at);
	free(o->first);
	free(o->doers);
	*o = (struct owners){ 0 };
}

size_t owners_of(const struct owners *o, size_t op, struct owner **ret_doers)
{
	*ret_doers = &o->at[o->first[op]];
	return o->doers[op];
}
