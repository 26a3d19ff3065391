/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/call_tree.h"

#include <errno.h>
#include <stdlib.h>

/* A request with its brothers behind each other, and a call that one of them made. */
struct brother {
	uint64_t parent_id;
	struct tree_request *request;
};

struct made {
	const struct tree_call *call;
	struct tree_request *by; /* who made it: one of the brothers, or their parent */
	size_t taken;		 /* requests that came of it */
};

#define BROTHERS_MAX 1024
#define MADE_MAX 1024

struct settle {
	struct call_tree *tree;
	uint64_t *owners; /* of each call, as it turns out */
	struct made made[MADE_MAX];
	size_t made_count;
};

static int by_parent_and_arrival(const void *a, const void *b)
{
	const struct brother *x = a, *y = b;

	if (x->parent_id != y->parent_id)
		return x->parent_id < y->parent_id ? -1 : 1;
	return (x->request->arrival_ns > y->request->arrival_ns) -
	       (x->request->arrival_ns < y->request->arrival_ns);
}

static bool holds(const struct tree_request *r, int64_t ns)
{
	return r->arrival_ns <= ns && ns <= r->end_ns;
}

/* The brother at the same service that was under way when the call was made. */
static struct tree_request *maker_of(const struct tree_call *call, struct tree_request *told,
				     const struct brother *brothers, size_t count)
{
	if (holds(told, call->start_ns))
		return told;
	for (size_t i = 0; i < count; i++)
		if (brothers[i].request->service_id == told->service_id &&
		    holds(brothers[i].request, call->start_ns))
			return brothers[i].request;
	return told;
}

static void add_made(struct settle *s, struct tree_request *told, const struct brother *brothers,
		     size_t count)
{
	size_t calls_count;
	const struct tree_call *calls = call_tree_calls(s->tree, told->request_id, &calls_count);

	for (size_t i = 0; i < calls_count && s->made_count < MADE_MAX; i++) {
		struct tree_request *by = maker_of(&calls[i], told, brothers, count);

		s->owners[&calls[i] - s->tree->calls] = by->request_id;
		s->made[s->made_count++] = (struct made){ &calls[i], by, 0 };
	}
}

static bool may_be_of(const struct tree_request *r, const struct made *made)
{
	const struct tree_call *call = made->call;

	return made->by != r && made->by->clock == r->clock && call->service_id == r->service_id &&
	       call->start_ns <= r->arrival_ns && r->arrival_ns <= call->end_ns;
}

/* The latest call that was made before it came, of those that have the fewest already. */
static void settle_request(struct settle *s, struct tree_request *r)
{
	struct made *best = NULL;

	for (size_t i = 0; i < s->made_count; i++) {
		struct made *m = &s->made[i];

		if (!may_be_of(r, m))
			continue;
		if (!best || m->taken < best->taken ||
		    (m->taken == best->taken && m->call->start_ns > best->call->start_ns))
			best = m;
	}
	if (!best)
		return;
	best->taken++;
	r->parent_id = best->by->request_id;
}

static void settle_brothers(struct settle *s, const struct brother *brothers, size_t count)
{
	struct tree_request *parent = call_tree_find(s->tree, brothers[0].parent_id);

	if (!parent || count > BROTHERS_MAX)
		return;
	s->made_count = 0;
	add_made(s, parent, brothers, 0);
	for (size_t i = 0; i < count; i++)
		add_made(s, brothers[i].request, brothers, count);
	for (size_t i = 0; i < count; i++)
		settle_request(s, brothers[i].request);
}

static size_t list_brothers(struct call_tree *tree, struct brother *brothers)
{
	size_t count = 0;

	for (size_t i = 0; i < tree->requests_count; i++)
		if (tree->requests[i].parent_id)
			brothers[count++] =
				(struct brother){ tree->requests[i].parent_id, &tree->requests[i] };
	if (count)
		qsort(brothers, count, sizeof(brothers[0]), by_parent_and_arrival);
	return count;
}

static void settle_all(struct settle *s, const struct brother *brothers, size_t count)
{
	for (size_t i = 0; i < s->tree->calls_count; i++)
		s->owners[i] = s->tree->calls[i].request_id;
	for (size_t from = 0, to; from < count; from = to) {
		for (to = from; to < count && brothers[to].parent_id == brothers[from].parent_id;)
			to++;
		settle_brothers(s, brothers + from, to - from);
	}
	for (size_t i = 0; i < s->tree->calls_count; i++)
		s->tree->calls[i].request_id = s->owners[i];
}

int call_tree_settle(struct call_tree *tree)
{
	struct brother *brothers = calloc(tree->requests_count + 1, sizeof(*brothers));
	struct settle *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	if (s)
		s->owners = calloc(tree->calls_count + 1, sizeof(s->owners[0]));
	if (brothers && s && s->owners) {
		s->tree = tree;
		settle_all(s, brothers, list_brothers(tree, brothers));
		call_tree_sort(tree);
		rc = 0;
	}
	if (s)
		free(s->owners);
	free(s);
	free(brothers);
	return rc;
}
