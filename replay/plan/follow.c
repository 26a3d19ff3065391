/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/wire.h"
#include "replay/plan/compose.h"
#include "replay/plan/source.h"
#include "replay/plan/tree.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>

/* What a plan is going to have. */
struct following {
	struct plan to;
	size_t requests, ops;	  /* that it needs room for */
	struct idmap from;	  /* connection_id -> connection of the plan as it is */
	struct idmap connections; /* and as it is going to be */
};

struct follower {
	struct plan_tree tree; /* of the plans as they are */
	uint64_t span;
	struct idmap connections; /* of what the client sends */
	struct following plans[PLAN_SERVICES_MAX];
	uint32_t *stack;
	size_t depth;
};

/* Which copy of a request, and of all that it calls for. */
struct copy {
	const struct plan_request *sent; /* by the client */
	uint64_t offset;		 /* of all ids */
	int64_t shift_ns;
	uint32_t of_load; /* as plan_connection's */
};

typedef int (*take_fn)(struct follower *f, const struct copy *copy, uint32_t number,
		       struct err *err);

static int index_connections(struct idmap *map, const struct plan *plan)
{
	if (idmap_init(map, plan->connections_count))
		return -ENOMEM;
	for (size_t i = 0; i < plan->connections_count; i++)
		idmap_put(map, plan->connections[i].connection_id, (uint32_t)i);
	return 0;
}

static int follower_init(struct follower *f, struct plan_set *set)
{
	if (plan_tree_init(&f->tree, set) || index_connections(&f->connections, &set->client))
		return -ENOMEM;
	for (size_t p = 0; p < set->count; p++)
		if (index_connections(&f->plans[p].from, &set->plans[p]))
			return -ENOMEM;
	f->stack = calloc(plan_tree_count(&f->tree) + 1, sizeof(*f->stack));
	return f->stack ? 0 : -ENOMEM;
}

static void follower_release(struct follower *f)
{
	for (size_t p = 0; p < PLAN_SERVICES_MAX; p++) {
		plan_release(&f->plans[p].to);
		idmap_release(&f->plans[p].from);
		idmap_release(&f->plans[p].connections);
	}
	idmap_release(&f->connections);
	plan_tree_release(&f->tree);
	free(f->stack);
}

/* What the request calls for is next. */
static void stack_calls(struct follower *f, uint32_t number)
{
	const struct plan_request *r = plan_tree_request(&f->tree, number);
	const struct plan *plan = &f->tree.set->plans[plan_tree_plan(&f->tree, number)];

	for (uint32_t i = 0; i < r->ops_count; i++) {
		uint32_t called = plan_tree_called(&f->tree, &plan->ops[r->first_op + i]);

		if (called != IDMAP_NONE)
			f->stack[f->depth++] = called;
	}
}

/* A request that is sent, and what is called for because of it. */
static int take_tree(struct follower *f, const struct plan_request *sent, take_fn take,
		     struct err *err)
{
	const struct plan *client = &f->tree.set->client;
	uint64_t origin = f->span ? sent->request_id % f->span : sent->request_id;
	uint32_t connection = idmap_get(&f->connections, sent->connection_id);
	uint32_t number = idmap_get(&f->tree.requests, origin);
	const struct copy copy = {
		.sent = sent,
		.offset = sent->request_id - origin,
		.shift_ns = sent->due_ns - plan_tree_request(&f->tree, number)->due_ns,
		.of_load = client->connections[connection].copy,
	};
	int rc = 0;

	f->stack[f->depth++] = number;
	while (f->depth && !rc) {
		number = f->stack[--f->depth];
		rc = take(f, &copy, number, err);
		stack_calls(f, number);
	}
	return rc;
}

static int take_all(struct follower *f, take_fn take, struct err *err)
{
	const struct plan *client = &f->tree.set->client;
	int rc = 0;

	for (size_t i = 0; i < client->requests_count && !rc; i++)
		rc = take_tree(f, &client->requests[i], take, err);
	return rc;
}

static int count(struct follower *f, const struct copy *copy, uint32_t number, struct err *err)
{
	struct following *plan = &f->plans[plan_tree_plan(&f->tree, number)];

	plan->requests++;
	plan->ops += plan_tree_request(&f->tree, number)->ops_count;
	if (plan->requests <= PLAN_ROWS_MAX && plan->ops <= PLAN_ROWS_MAX)
		return 0;
	return err_set(
		err, E2BIG,
		"that makes more than %llu requests or ops, which is what a replay can count",
		(unsigned long long)PLAN_ROWS_MAX);
}

static size_t connections_max(const struct following *plan)
{
	return plan->requests < WIRE_CONNECTIONS_MAX ? plan->requests : WIRE_CONNECTIONS_MAX;
}

static int allocate(struct following *plan, const char *scratch, struct err *err)
{
	struct plan *to = &plan->to;

	to->requests = scratch_alloc(scratch, plan->requests * sizeof(*to->requests), err);
	if (to->requests)
		to->ops = scratch_alloc(scratch, plan->ops * sizeof(*to->ops), err);
	if (!to->ops)
		return -ENOMEM;
	to->connections = calloc(connections_max(plan) + 1, sizeof(*to->connections));
	if (to->connections && !idmap_init(&plan->connections, connections_max(plan)))
		return 0;
	return err_errno(err, ENOMEM, "cannot hold the connections");
}

/* A copy of the request's, which others of the same copy have too. NULL: that is one too many. */
static struct plan_connection *connection_of(struct follower *f, size_t p, const struct copy *copy,
					     uint64_t connection_id)
{
	const struct plan *from = &f->tree.set->plans[p];
	struct following *plan = &f->plans[p];
	uint64_t id = connection_id + copy->offset;
	uint32_t c = idmap_get(&plan->connections, id);
	struct plan_connection *connection;

	if (c != IDMAP_NONE)
		return &plan->to.connections[c];
	if (plan->to.connections_count == WIRE_CONNECTIONS_MAX)
		return NULL;
	c = (uint32_t)plan->to.connections_count++;
	idmap_put(&plan->connections, id, c);
	connection = &plan->to.connections[c];
	*connection = from->connections[idmap_get(&plan->from, connection_id)];
	connection->connection_id = id;
	connection->copy = copy->of_load;
	connection->first_due_ns = INT64_MAX;
	connection->last_due_ns = connection->requests = 0;
	return connection;
}

/* What the client sends is as it is sent; all else comes as much later as that. */
static int put(struct follower *f, const struct copy *copy, uint32_t number, struct err *err)
{
	size_t p = plan_tree_plan(&f->tree, number);
	const struct plan *from = &f->tree.set->plans[p];
	struct plan *to = &f->plans[p].to;
	struct plan_request *r = &to->requests[to->requests_count++];
	struct plan_connection *connection;

	*r = *plan_tree_request(&f->tree, number);
	connection = connection_of(f, p, copy, r->connection_id);
	if (!connection)
		return err_set(err, E2BIG,
			       "that makes more than %u connections, which is what a node takes",
			       WIRE_CONNECTIONS_MAX);
	if (r->parent_id) {
		r->request_id += copy->offset;
		r->connection_id += copy->offset;
		r->parent_id += copy->offset;
		r->due_ns += copy->shift_ns;
	} else {
		*r = *copy->sent;
	}
	plan_copy_ops(from, copy->offset, to, r);
	connection->requests++;
	if (r->due_ns < connection->first_due_ns)
		connection->first_due_ns = r->due_ns;
	if (r->due_ns > connection->last_due_ns)
		connection->last_due_ns = r->due_ns;
	return 0;
}

static int complete(struct plan *plan, struct plan *to, enum plan_batching batching)
{
	scratch_free(plan->requests);
	free(plan->connections);
	scratch_free(plan->ops);
	plan->requests = to->requests;
	plan->connections = to->connections;
	plan->ops = to->ops;
	plan->requests_count = to->requests_count;
	plan->connections_count = to->connections_count;
	plan->ops_count = to->ops_count;
	*to = (struct plan){ 0 };
	plan_sort(plan);
	return batching == PLAN_BATCHING_RECORDED ? plan_count_owners(plan) : 0;
}

static int follow(struct follower *f, struct plan_set *set, enum plan_batching batching,
		  struct err *err)
{
	int rc = take_all(f, count, err);

	if (rc)
		return rc;
	for (size_t p = 0; p < set->count; p++)
		if (allocate(&f->plans[p], set->plans[p].scratch, err))
			return -ENOMEM;
	rc = take_all(f, put, err);
	for (size_t p = 0; p < set->count && !rc; p++)
		if (complete(&set->plans[p], &f->plans[p].to, batching))
			rc = err_errno(err, ENOMEM, "cannot hold the ops of a group");
	return rc;
}

int plan_follow(struct plan_set *set, uint64_t span, enum plan_batching batching, struct err *err)
{
	struct follower f = { .span = span };
	int rc = follower_init(&f, set);

	rc = rc ? err_errno(err, ENOMEM, "cannot hold the calls") : follow(&f, set, batching, err);
	follower_release(&f);
	return rc;
}
