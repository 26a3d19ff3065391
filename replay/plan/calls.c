/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/wire.h"
#include "replay/plan/source.h"

#include <errno.h>
#include <stdlib.h>

/* What stamps of the two ends may be apart: between hosts their clocks are, too. */
#define SLACK_NS 1000000

/* A call, or a request that was called for; `parent` is the caller's row. */
struct end {
	uint32_t parent, row;
	int64_t at_ns;
	bool paired;
};

struct ends {
	struct end *all;
	size_t count;
};

struct finder {
	const struct plan_source *source;
	const struct plan_services *played;
	struct plan_calls *calls;
	struct idmap requests, targets; /* ids to rows */
	struct ends out, in;
};

static bool is_played(const struct finder *f, uint64_t service_id)
{
	size_t i = 0;

	while (i < f->played->count && f->played->ids[i] != service_id)
		i++;
	return i < f->played->count;
}

static uint32_t row_of_caller(const struct finder *f, uint64_t request_id)
{
	uint32_t row = idmap_get(&f->requests, request_id);

	if (row == IDMAP_NONE || !is_played(f, f->source->requests[row].service_id))
		return IDMAP_NONE;
	return row;
}

static int index_rows(struct finder *f)
{
	const struct plan_source *s = f->source;

	if (idmap_init(&f->requests, s->requests_count) ||
	    idmap_init(&f->targets, s->targets_count))
		return -ENOMEM;
	for (size_t i = 0; i < s->requests_count; i++)
		idmap_put(&f->requests, s->requests[i].request_id, (uint32_t)i);
	for (size_t i = 0; i < s->targets_count; i++)
		idmap_put(&f->targets, s->targets[i].target_id, (uint32_t)i);
	return 0;
}

static bool is_call(const struct row_op *op)
{
	return op->kind == OP_FORWARD && !(op->flags & OPF_FAILED) &&
	       op->bytes <= WIRE_OP_BYTES_MAX && op->request_id;
}

static int collect_calls(struct finder *f)
{
	const struct plan_source *s = f->source;
	size_t count = 0;

	for (size_t i = 0; i < s->ops_count; i++)
		count += is_call(&s->ops[i]);
	f->out.all = calloc(count + 1, sizeof(*f->out.all));
	if (!f->out.all)
		return -ENOMEM;
	for (size_t i = 0; i < s->ops_count; i++) {
		uint32_t parent = is_call(&s->ops[i]) ? row_of_caller(f, s->ops[i].request_id) :
							IDMAP_NONE;

		if (parent != IDMAP_NONE)
			f->out.all[f->out.count++] =
				(struct end){ parent, (uint32_t)i, s->ops[i].start_ns, false };
	}
	return 0;
}

static int64_t came_ns(const struct row_request *row)
{
	return row->arrival_ns != TRACE_NONE ? row->arrival_ns : row->read_ns;
}

static int collect_called(struct finder *f)
{
	const struct plan_source *s = f->source;
	size_t count = 0;

	for (size_t i = 0; i < s->requests_count; i++)
		count += s->requests[i].parent_id != 0;
	f->in.all = calloc(count + 1, sizeof(*f->in.all));
	if (!f->in.all)
		return -ENOMEM;
	for (size_t i = 0; i < s->requests_count; i++) {
		const struct row_request *row = &s->requests[i];
		uint32_t parent = row->parent_id ? row_of_caller(f, row->parent_id) : IDMAP_NONE;

		if (parent == IDMAP_NONE || !is_played(f, row->service_id))
			continue;
		f->in.all[f->in.count++] = (struct end){ parent, (uint32_t)i, came_ns(row), false };
		f->calls->of_request[i] = PLAN_CALL_STUBBED;
	}
	return 0;
}

static int compare_ends(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	if (x->at_ns != y->at_ns)
		return x->at_ns < y->at_ns ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

/* A call to an address of which nobody knows whose it is may be to any. */
static bool goes_there(const struct finder *f, const struct end *out, const struct end *in)
{
	uint32_t target = idmap_get(&f->targets, f->source->ops[out->row].target_id);
	uint64_t to = target == IDMAP_NONE ? 0 : f->source->targets[target].service_id;

	return !to || to == f->source->requests[in->row].service_id;
}

static bool is_within(const struct finder *f, const struct end *out, const struct end *in)
{
	const struct row_op *op = &f->source->ops[out->row];

	return in->at_ns >= op->start_ns - SLACK_NS &&
	       in->at_ns <= op->start_ns + (int64_t)op->elapsed_ns + SLACK_NS;
}

/* Before those that the call has already. */
static void pair(struct finder *f, struct end *out, struct end *in)
{
	f->calls->next[in->row] = f->calls->called[out->row];
	f->calls->called[out->row] = in->row + 1;
	out->paired = in->paired = true;
	f->calls->of_request[in->row] = PLAN_CALL_MADE;
}

enum likeness { AS_LONG, WITHIN, IN_ORDER };

static bool is_like(const struct finder *f, const struct end *out, const struct end *in,
		    enum likeness likeness)
{
	if (in->paired || !goes_there(f, out, in))
		return false;
	if (likeness == AS_LONG &&
	    f->source->ops[out->row].bytes != f->source->requests[in->row].request_bytes)
		return false;
	return likeness == IN_ORDER || is_within(f, out, in);
}

/* Of one caller. */
static void pair_up(struct finder *f, struct end *out, size_t out_count, struct end *in,
		    size_t in_count, enum likeness likeness)
{
	for (size_t o = 0; o < out_count; o++) {
		for (size_t i = 0; i < in_count && !out[o].paired; i++)
			if (is_like(f, &out[o], &in[i], likeness))
				pair(f, &out[o], &in[i]);
	}
}

/* Several went out by one call: those that come first, and together are as long as it. */
static void pair_several(struct finder *f, struct end *out, struct end *in, size_t in_count)
{
	uint64_t left = f->source->ops[out->row].bytes;
	size_t end = 0;

	for (; end < in_count && left; end++) {
		uint64_t bytes = f->source->requests[in[end].row].request_bytes;

		if (!is_like(f, out, &in[end], WITHIN))
			continue;
		if (bytes > left)
			return;
		left -= bytes;
	}
	if (left)
		return;
	while (end-- > 0)
		if (is_like(f, out, &in[end], WITHIN))
			pair(f, out, &in[end]);
}

/*
 * First those that came while the call was under way and are as long as it, by themselves or
 * together, then those that came then, at last by order.
 */
static void pair_children(struct finder *f, struct end *out, size_t out_count, struct end *in,
			  size_t in_count)
{
	pair_up(f, out, out_count, in, in_count, AS_LONG);
	for (size_t o = 0; o < out_count; o++)
		if (!out[o].paired)
			pair_several(f, &out[o], in, in_count);
	pair_up(f, out, out_count, in, in_count, WITHIN);
	pair_up(f, out, out_count, in, in_count, IN_ORDER);
}

static size_t run_length(const struct ends *ends, size_t from, uint32_t parent)
{
	size_t to = from;

	while (to < ends->count && ends->all[to].parent == parent)
		to++;
	return to - from;
}

static void pair_all(struct finder *f)
{
	size_t o = 0, i = 0;

	qsort(f->out.all, f->out.count, sizeof(*f->out.all), compare_ends);
	qsort(f->in.all, f->in.count, sizeof(*f->in.all), compare_ends);
	while (o < f->out.count && i < f->in.count) {
		uint32_t parent = f->in.all[i].parent;
		size_t calls, called = run_length(&f->in, i, parent);

		while (o < f->out.count && f->out.all[o].parent < parent)
			o++;
		calls = run_length(&f->out, o, parent);
		pair_children(f, &f->out.all[o], calls, &f->in.all[i], called);
		o += calls;
		i += called;
	}
}

int plan_calls_find(struct plan_calls *calls, const struct plan_source *s,
		    const struct plan_services *played)
{
	struct finder f = { .source = s, .played = played, .calls = calls };
	int rc = -ENOMEM;

	calls->of_request = calloc(s->requests_count + 1, sizeof(*calls->of_request));
	calls->called = calloc(s->ops_count + 1, sizeof(*calls->called));
	calls->next = calloc(s->requests_count + 1, sizeof(*calls->next));
	if (calls->of_request && calls->called && calls->next)
		rc = index_rows(&f);
	if (!rc)
		rc = collect_calls(&f);
	if (!rc)
		rc = collect_called(&f);
	if (!rc)
		pair_all(&f);
	free(f.out.all);
	free(f.in.all);
	idmap_release(&f.requests);
	idmap_release(&f.targets);
	return rc;
}

void plan_calls_release(struct plan_calls *calls)
{
	free(calls->of_request);
	free(calls->called);
	free(calls->next);
	*calls = (struct plan_calls){ 0 };
}
