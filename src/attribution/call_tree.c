/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/call_tree.h"

#include "attribution/call_split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLOCKS_MAX (MANIFEST_HOSTS_MAX * (MANIFEST_HOSTS_MAX - 1) / 2)
#define ROOM_FIRST 1024

/* Times beyond these, some 18 years, are nonsense that must not overflow. */
#define SANE_NS (INT64_MAX / 16)

/* What call_split() works on, for one request at a time. */
struct split {
	struct call_wait waits[CALL_WAITS_MAX];
	struct callee callees[CALL_CALLEES_MAX];
};

void call_tree_init(struct call_tree *tree)
{
	memset(tree, 0, sizeof(*tree));
}

void call_tree_release(struct call_tree *tree)
{
	free(tree->requests);
	free(tree->calls);
	free(tree->children);
	free(tree->first_child);
	free(tree->clocks);
	call_tree_init(tree);
}

/* For one more; `ret_items` keeps what it had when there is no memory. */
static int make_room(void *ret_items, size_t size, size_t count, size_t *room, size_t max)
{
	void **items = ret_items, *more;
	size_t wanted = *room ? 2 * *room : ROOM_FIRST;

	if (count < *room)
		return 0;
	if (count >= max)
		return -ENOSPC;
	more = realloc(*items, wanted * size);
	if (!more)
		return -ENOMEM;
	*items = more;
	*room = wanted;
	return 0;
}

static bool is_sane(int64_t from_ns, int64_t to_ns)
{
	return from_ns > -SANE_NS && to_ns < SANE_NS && from_ns <= to_ns;
}

int call_tree_add_request(struct call_tree *tree, const struct tree_request *request)
{
	int rc = make_room(&tree->requests, sizeof(tree->requests[0]), tree->requests_count,
			   &tree->requests_room, CALL_TREE_REQUESTS_MAX);
	struct tree_request *r;

	if (rc)
		return rc;
	r = &tree->requests[tree->requests_count++];
	*r = *request;
	if (!is_sane(r->arrival_ns, r->end_ns))
		r->arrival_ns = r->end_ns = TRACE_NONE;
	r->parent = r->root = r->place = CALL_TREE_NONE;
	r->path_ns = r->wire_ns = r->left_ns = 0;
	return 0;
}

int call_tree_add_call(struct call_tree *tree, const struct tree_call *call)
{
	int rc;

	if (!is_sane(call->start_ns, call->end_ns))
		return 0;
	rc = make_room(&tree->calls, sizeof(tree->calls[0]), tree->calls_count, &tree->calls_room,
		       CALL_TREE_CALLS_MAX);
	if (!rc)
		tree->calls[tree->calls_count++] = *call;
	return rc;
}

static int by_request_id(const void *a, const void *b)
{
	const struct tree_request *x = a, *y = b;

	return (x->request_id > y->request_id) - (x->request_id < y->request_id);
}

static int by_caller(const void *a, const void *b)
{
	const struct tree_call *x = a, *y = b;

	if (x->request_id != y->request_id)
		return x->request_id < y->request_id ? -1 : 1;
	return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

void call_tree_sort(struct call_tree *tree)
{
	if (tree->requests_count)
		qsort(tree->requests, tree->requests_count, sizeof(tree->requests[0]),
		      by_request_id);
	if (tree->calls_count)
		qsort(tree->calls, tree->calls_count, sizeof(tree->calls[0]), by_caller);
}

struct tree_request *call_tree_find(const struct call_tree *tree, uint64_t request_id)
{
	size_t low = 0, high = tree->requests_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tree->requests[middle].request_id < request_id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == tree->requests_count || tree->requests[low].request_id != request_id)
		return NULL;
	return &tree->requests[low];
}

static uint32_t index_of(const struct call_tree *tree, const struct tree_request *r)
{
	return r ? (uint32_t)(r - tree->requests) : CALL_TREE_NONE;
}

const struct tree_call *call_tree_calls(const struct call_tree *tree, uint64_t request_id,
					size_t *ret_count)
{
	size_t low = 0, high = tree->calls_count, from;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tree->calls[middle].request_id < request_id)
			low = middle + 1;
		else
			high = middle;
	}
	for (from = low; low < tree->calls_count && tree->calls[low].request_id == request_id;)
		low++;
	*ret_count = low - from;
	return tree->calls + from;
}

static size_t children_count(const struct call_tree *tree, uint32_t i)
{
	return tree->first_child[i + 1] - tree->first_child[i];
}

static struct tree_request *child_of(const struct call_tree *tree, uint32_t parent, size_t number)
{
	return &tree->requests[tree->children[tree->first_child[parent] + number]];
}

/* Children by parent, counted first, then put behind each other. */
static int link_children(struct call_tree *tree)
{
	size_t count = tree->requests_count;

	tree->first_child = calloc(count + 2, sizeof(tree->first_child[0]));
	tree->children = calloc(count + 1, sizeof(tree->children[0]));
	if (!tree->first_child || !tree->children)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct tree_request *r = &tree->requests[i];

		if (r->parent_id)
			r->parent = index_of(tree, call_tree_find(tree, r->parent_id));
		if (r->parent != CALL_TREE_NONE)
			tree->first_child[r->parent + 2]++;
	}
	for (size_t i = 2; i < count + 2; i++)
		tree->first_child[i] += tree->first_child[i - 1];
	for (size_t i = 0; i < count; i++) {
		uint32_t parent = tree->requests[i].parent;

		if (parent != CALL_TREE_NONE)
			tree->children[tree->first_child[parent + 1]++] = (uint32_t)i;
	}
	return 0;
}

/* --- clocks -------------------------------------------------------------------------------- */

static struct tree_clocks *find_clocks(const struct call_tree *tree, uint32_t x, uint32_t y)
{
	uint32_t a = x < y ? x : y, b = x < y ? y : x;

	for (size_t i = 0; i < tree->clocks_count; i++)
		if (tree->clocks[i].a == a && tree->clocks[i].b == b)
			return &tree->clocks[i];
	return NULL;
}

static struct tree_clocks *clocks_get(struct call_tree *tree, uint32_t x, uint32_t y,
				      int64_t from_ns, int64_t to_ns)
{
	struct tree_clocks *clocks = find_clocks(tree, x, y);

	if (clocks || tree->clocks_count == CLOCKS_MAX)
		return clocks;
	clocks = &tree->clocks[tree->clocks_count++];
	clocks->a = x < y ? x : y;
	clocks->b = x < y ? y : x;
	clock_bounds_init(&clocks->bounds, from_ns, to_ns);
	return clocks;
}

/* A call of which there is no doubt what it became: the only one, and one request came of it. */
static const struct tree_call *only_call(const struct call_tree *tree, uint32_t parent)
{
	size_t count;
	const struct tree_call *call =
		call_tree_calls(tree, tree->requests[parent].request_id, &count);

	return count == 1 && children_count(tree, parent) == 1 ? call : NULL;
}

static void add_bounds(struct call_tree *tree, uint32_t parent, int64_t from_ns, int64_t to_ns)
{
	const struct tree_request *caller = &tree->requests[parent], *called;
	const struct tree_call *call = only_call(tree, parent);
	struct clock_interval before; /* the caller's clock before the other */
	struct tree_clocks *clocks;

	if (!call)
		return;
	called = child_of(tree, parent, 0);
	if (called->clock == caller->clock || called->arrival_ns == TRACE_NONE)
		return;
	before = (struct clock_interval){ call->start_ns - called->arrival_ns,
					  call->end_ns - called->end_ns };
	clocks = clocks_get(tree, caller->clock, called->clock, from_ns, to_ns);
	if (!clocks)
		return;
	if (caller->clock == clocks->a)
		clock_bounds_add(&clocks->bounds, call->start_ns, before);
	else
		clock_bounds_add(&clocks->bounds, called->arrival_ns,
				 (struct clock_interval){ -before.high_ns, -before.low_ns });
}

static void find_times(const struct call_tree *tree, int64_t *ret_from_ns, int64_t *ret_to_ns)
{
	int64_t from_ns = INT64_MAX, to_ns = INT64_MIN;

	for (size_t i = 0; i < tree->requests_count; i++) {
		const struct tree_request *r = &tree->requests[i];

		if (r->arrival_ns == TRACE_NONE)
			continue;
		from_ns = r->arrival_ns < from_ns ? r->arrival_ns : from_ns;
		to_ns = r->end_ns > to_ns ? r->end_ns : to_ns;
	}
	*ret_from_ns = from_ns <= to_ns ? from_ns : 0;
	*ret_to_ns = from_ns <= to_ns ? to_ns : 0;
}

/* Bounds that contradict each other are of clocks that were set, or of messages that were lost. */
static int bound_clocks(struct call_tree *tree)
{
	int64_t from_ns, to_ns;

	tree->clocks = calloc(CLOCKS_MAX, sizeof(tree->clocks[0]));
	if (!tree->clocks)
		return -ENOMEM;
	find_times(tree, &from_ns, &to_ns);
	for (uint32_t i = 0; i < tree->requests_count; i++)
		add_bounds(tree, i, from_ns, to_ns);
	for (size_t i = 0; i < tree->clocks_count; i++) {
		struct tree_clocks *clocks = &tree->clocks[i];

		clocks->fit = clock_bounds_fit(&clocks->bounds, &clocks->line);
		clocks->good = clocks->fit == CLOCK_CONSTANT || clocks->fit == CLOCK_DRIFTS;
	}
	return 0;
}

/* --- paths --------------------------------------------------------------------------------- */

/* By the caller's clock, if there is a way to it. */
static void put_times(const struct call_tree *tree, uint32_t clock, const struct tree_request *r,
		      struct callee *callee)
{
	const struct tree_clocks *clocks = r->clock == clock ? NULL :
							       find_clocks(tree, r->clock, clock);
	int64_t (*convert)(const struct clock_line *line, int64_t ns);

	callee->arrival_ns = callee->end_ns = TRACE_NONE;
	callee->bound_ns = 0;
	if (r->arrival_ns == TRACE_NONE || (r->clock != clock && (!clocks || !clocks->good)))
		return;
	callee->arrival_ns = r->arrival_ns;
	callee->end_ns = r->end_ns;
	if (!clocks)
		return;
	convert = clock == clocks->a ? clock_line_to_a : clock_line_to_b;
	callee->arrival_ns = convert(&clocks->line, r->arrival_ns);
	callee->end_ns = convert(&clocks->line, r->end_ns);
	callee->bound_ns = clocks->line.bound_ns;
}

/* Those of no common clock come last. */
static int64_t order_of(const struct callee *callee)
{
	return callee->arrival_ns == TRACE_NONE ? INT64_MAX : callee->arrival_ns;
}

/* By arrival. They are few, and nearly sorted: by insertion. */
static void insert_callee(struct callee *callees, uint32_t *indices, size_t count,
			  const struct callee *callee, uint32_t index)
{
	size_t at = count;

	while (at && order_of(&callees[at - 1]) > order_of(callee)) {
		callees[at] = callees[at - 1];
		indices[at] = indices[at - 1];
		at--;
	}
	callees[at] = *callee;
	indices[at] = index;
}

static size_t put_waits(const struct call_tree *tree, const struct tree_request *r,
			struct call_wait *waits)
{
	size_t count;
	const struct tree_call *calls = call_tree_calls(tree, r->request_id, &count);

	if (count > CALL_WAITS_MAX)
		return 0;
	for (size_t i = 0; i < count; i++)
		waits[i] = (struct call_wait){ .start_ns = calls[i].start_ns,
					       .end_ns = calls[i].end_ns,
					       .service = calls[i].service_id };
	return count;
}

static size_t put_callees(const struct call_tree *tree, uint32_t parent, struct callee *callees,
			  uint32_t *indices)
{
	size_t count = children_count(tree, parent);

	if (count > CALL_CALLEES_MAX)
		return 0;
	for (size_t i = 0; i < count; i++) {
		const struct tree_request *r = child_of(tree, parent, i);
		struct callee callee = { .total_ns = r->total_ns, .service = r->service_id };

		put_times(tree, tree->requests[parent].clock, r, &callee);
		insert_callee(callees, indices, i, &callee, index_of(tree, r));
	}
	return count;
}

/* What the tree's own path leaves of a time of the request. */
static int64_t on_path(const struct tree_request *r, int64_t ns)
{
	return r->total_ns > 0 ? call_scale(ns, r->path_ns, r->total_ns) : 0;
}

/*
 * Splits what the request waited, gives each child its part of the path and puts the children on
 * it into `indices`, which has room for them all.
 */
static size_t walk_down(struct call_tree *tree, struct split *split, uint32_t i, uint32_t *indices)
{
	struct tree_request *r = &tree->requests[i];
	size_t waits = put_waits(tree, r, split->waits), on = 0;
	size_t count = put_callees(tree, i, split->callees, indices);

	tree->waits += waits;
	call_split(r->call_ns, split->waits, waits, split->callees, count);
	for (size_t k = 0; k < count; k++) {
		const struct callee *callee = &split->callees[k];
		struct tree_request *child = &tree->requests[indices[k]];

		if (callee->taken_ns <= 0) {
			tree->beside++;
			continue;
		}
		child->root = r->root;
		child->path_ns = on_path(r, callee->taken_ns);
		child->wire_ns = on_path(r, callee->wire_ns);
		r->left_ns -= child->path_ns + child->wire_ns;
		tree->waits_replaced++;
		indices[on++] = indices[k];
	}
	return on;
}

/* Depth first; returns 0 or -ENOMEM. */
static int descend(struct call_tree *tree, struct split *split, uint32_t i, int depth)
{
	uint32_t few[16], *indices = few;
	size_t room = children_count(tree, i), count;
	int rc = 0;

	tree->requests[i].left_ns = on_path(&tree->requests[i], tree->requests[i].call_ns);
	if (depth >= CALL_TREE_DEPTH_MAX)
		return 0;
	if (room > sizeof(few) / sizeof(few[0]))
		indices = calloc(room, sizeof(indices[0]));
	if (!indices)
		return -ENOMEM;
	count = walk_down(tree, split, i, indices);
	for (size_t k = 0; k < count && !rc; k++)
		rc = descend(tree, split, indices[k], depth + 1);
	if (indices != few)
		free(indices);
	return rc;
}

/* A row whose parts are not within its total is nonsense: it cannot be split. */
static void check_rows(struct call_tree *tree)
{
	for (size_t i = 0; i < tree->requests_count; i++) {
		struct tree_request *r = &tree->requests[i];

		if (r->total_ns < 0 || r->total_ns > SANE_NS || r->call_ns > r->total_ns)
			r->total_ns = r->call_ns = 0;
		if (r->call_ns < 0)
			r->call_ns = 0;
	}
}

int call_tree_close(struct call_tree *tree)
{
	struct split *split = malloc(sizeof(*split));
	int rc = split ? link_children(tree) : -ENOMEM;

	check_rows(tree);
	if (!rc)
		rc = bound_clocks(tree);
	for (uint32_t i = 0; i < tree->requests_count && !rc; i++) {
		struct tree_request *r = &tree->requests[i];

		if (r->parent != CALL_TREE_NONE || r->total_ns <= 0)
			continue;
		r->root = i;
		r->path_ns = r->total_ns;
		rc = descend(tree, split, i, 0);
	}
	free(split);
	return rc;
}
