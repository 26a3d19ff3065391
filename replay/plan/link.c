/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/wire.h"
#include "replay/plan/compose.h"
#include "replay/plan/tree.h"

#include <errno.h>
#include <stdlib.h>

/* Who calls whom: from what the client sends to all that comes of it. */
struct linker {
	struct plan_tree tree;
	struct idmap connections[PLAN_SERVICES_MAX];
	uint8_t *reached;
	uint32_t *stack;
	size_t depth;
};

static int linker_init(struct linker *l, struct plan_set *set)
{
	if (plan_tree_init(&l->tree, set))
		return -ENOMEM;
	l->reached = calloc(plan_tree_count(&l->tree) + 1, sizeof(*l->reached));
	l->stack = calloc(plan_tree_count(&l->tree) + 1, sizeof(*l->stack));
	if (!l->reached || !l->stack)
		return -ENOMEM;
	for (size_t p = 0; p < set->count; p++) {
		const struct plan *plan = &set->plans[p];

		if (idmap_init(&l->connections[p], plan->connections_count))
			return -ENOMEM;
		for (size_t i = 0; i < plan->connections_count; i++)
			idmap_put(&l->connections[p], plan->connections[i].connection_id,
				  (uint32_t)i);
	}
	return 0;
}

static void linker_release(struct linker *l)
{
	for (size_t p = 0; p < PLAN_SERVICES_MAX; p++)
		idmap_release(&l->connections[p]);
	plan_tree_release(&l->tree);
	free(l->reached);
	free(l->stack);
}

static struct plan_connection *connection_of(const struct linker *l, size_t p,
					     const struct plan_request *request)
{
	uint32_t c = idmap_get(&l->connections[p], request->connection_id);

	return &l->tree.set->plans[p].connections[c];
}

static void reach(struct linker *l, uint32_t request)
{
	if (l->reached[request])
		return;
	l->reached[request] = 1;
	l->stack[l->depth++] = request;
}

static bool is_padded(uint64_t bytes)
{
	return bytes < WIRE_MESSAGE_BYTES;
}

/* It calls the thread that served the request then. One that several share is the parent's. */
static void link_call(struct linker *l, struct plan *caller, const struct plan_request *by,
		      struct plan_op *op)
{
	uint32_t called = plan_tree_called(&l->tree, op);
	struct plan_request *request = NULL;
	size_t p;

	if (called != IDMAP_NONE)
		request = plan_tree_request(&l->tree, called);
	/* nor is one called twice, which only a trace can say whose ids are not unique */
	if (!request || request->parent_id != by->request_id || l->reached[called]) {
		op->offset = TRACE_NONE; /* the node counts it */
		return;
	}
	p = plan_tree_plan(&l->tree, called);
	op->work = plan_set_first_link(l->tree.set, p) + connection_of(l, p, request)->thread;
	caller->ledger.count[LG_CALLS_PADDED] +=
		is_padded(op->bytes) + is_padded(request->response_bytes);
	request->root_id = plan_root_of(by);
	reach(l, called);
}

static void link_calls_of(struct linker *l, uint32_t request)
{
	const struct plan_request *r = plan_tree_request(&l->tree, request);
	struct plan *plan = &l->tree.set->plans[plan_tree_plan(&l->tree, request)];

	for (uint32_t i = 0; i < r->ops_count; i++) {
		struct plan_op *op = &plan->ops[r->first_op + i];

		if (op->kind == OP_FORWARD && op->offset != TRACE_NONE)
			link_call(l, plan, r, op);
	}
}

/* What nobody calls for would wait in its node for ever, and a group for what is dropped. */
static int drop_unreached(struct linker *l, size_t p)
{
	struct plan *plan = &l->tree.set->plans[p];
	size_t all = plan->requests_count, kept = 0;

	for (size_t i = 0; i < all; i++) {
		const struct plan_request *r = &plan->requests[i];

		if (l->reached[l->tree.first[p] + i]) {
			plan->requests[kept++] = *r;
			continue;
		}
		plan->ledger.count[LG_CALLS_STUBBED]++;
		connection_of(l, p, r)->requests--;
	}
	plan->requests_count = kept;
	return kept < all ? plan_count_owners(plan) : 0;
}

int plan_link(struct plan_set *set)
{
	struct linker l = { .depth = 0 };
	int rc = linker_init(&l, set);

	for (size_t p = 0; p < set->count && !rc; p++) {
		set->plans[p].ledger.count[LG_CALLS_PADDED] = 0;
		for (size_t i = 0; i < set->plans[p].requests_count; i++)
			if (!set->plans[p].requests[i].parent_id)
				reach(&l, (uint32_t)(l.tree.first[p] + i));
	}
	while (!rc && l.depth)
		link_calls_of(&l, l.stack[--l.depth]);
	for (size_t p = 0; p < set->count && !rc; p++)
		rc = drop_unreached(&l, p);
	linker_release(&l);
	return rc;
}
