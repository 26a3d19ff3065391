/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/compose.h"

#include "replay/net/wire.h"
#include "replay/plan/idmap.h"
#include "replay/plan/source.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct composer {
	const struct plan *from;
	const struct plan_chains *chains;
	uint64_t span;
	bool copies_ops; /* recorded batching: each instance has groups of its own */
	struct plan to;
};

uint64_t plan_most_id(const struct plan *plan)
{
	uint64_t most = 0;

	for (size_t i = 0; i < plan->requests_count; i++)
		most = plan->requests[i].request_id > most ? plan->requests[i].request_id : most;
	for (size_t i = 0; i < plan->connections_count; i++)
		most = plan->connections[i].connection_id > most ?
			       plan->connections[i].connection_id :
			       most;
	for (size_t i = 0; i < plan->ops_count; i++)
		most = plan->ops[i].op_id > most ? plan->ops[i].op_id : most;
	return most;
}

uint64_t plan_id_span(const struct plan *plan)
{
	uint64_t most = plan_most_id(plan), span = 1;

	most = plan->most_id > most ? plan->most_id : most;
	while (span <= most && span <= UINT64_MAX / 10)
		span *= 10;
	return span > most ? span : 0;
}

static bool is_of_part(const struct plan_request *r, const struct plan_part *part)
{
	return r->due_ns >= part->from_ns && r->due_ns < part->before_ns;
}

/* How many requests and ops the parts have; and whether their ids can be told apart. */
static int count_parts(struct composer *c, const struct plan_part *parts, size_t count,
		       size_t *ret_requests, size_t *ret_ops, struct err *err)
{
	size_t requests = 0, ops = 0;
	uint64_t instances = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t r = c->chains->first[parts[i].connection];

		for (; r != PLAN_CHAIN_END; r = c->chains->next[r]) {
			if (!is_of_part(&c->from->requests[r], &parts[i]))
				continue;
			requests++;
			ops += c->from->requests[r].ops_count;
		}
		instances = parts[i].instance > instances ? parts[i].instance : instances;
		if (requests > PLAN_ROWS_MAX || (c->copies_ops && ops > PLAN_ROWS_MAX))
			return err_set(err, E2BIG,
				       "that makes more than %llu requests or ops, which is what "
				       "a replay can count",
				       (unsigned long long)PLAN_ROWS_MAX);
	}
	if (instances && (!c->span || instances > INT64_MAX / c->span - 1))
		return err_set(err, E2BIG, "the trace's ids are too large for copies");
	*ret_requests = requests;
	*ret_ops = ops;
	return 0;
}

static int allocate(struct composer *c, size_t parts, size_t requests, size_t ops, struct err *err)
{
	const char *scratch = c->from->scratch;

	c->to.requests = scratch_alloc(scratch, requests * sizeof(*c->to.requests), err);
	if (c->to.requests && c->copies_ops)
		c->to.ops = scratch_alloc(scratch, ops * sizeof(*c->to.ops), err);
	if (!c->to.requests || (c->copies_ops && !c->to.ops))
		return -ENOMEM;
	c->to.connections = calloc(parts + 1, sizeof(*c->to.connections));
	return c->to.connections ? 0 : err_errno(err, ENOMEM, "cannot hold the connections");
}

void plan_copy_ops(const struct plan *from, uint64_t offset, struct plan *to,
		   struct plan_request *r)
{
	const struct plan_op *ops = &from->ops[r->first_op];

	r->first_op = (uint32_t)to->ops_count;
	for (uint32_t i = 0; i < r->ops_count; i++) {
		struct plan_op *op = &to->ops[to->ops_count++];

		*op = ops[i];
		if (op->op_id)
			op->op_id += offset;
		if (op->kind == OP_FORWARD && op->offset != TRACE_NONE)
			op->offset += (int64_t)offset;
	}
}

static void take_part(struct composer *c, const struct plan_part *part)
{
	struct plan_connection *connection = &c->to.connections[c->to.connections_count];
	uint64_t offset = part->instance * c->span;
	uint32_t r = c->chains->first[part->connection];

	*connection = c->from->connections[part->connection];
	connection->connection_id += offset;
	connection->copy += part->copy;
	connection->requests = 0;
	for (; r != PLAN_CHAIN_END; r = c->chains->next[r]) {
		struct plan_request *to = &c->to.requests[c->to.requests_count];

		if (!is_of_part(&c->from->requests[r], part))
			continue;
		*to = c->from->requests[r];
		to->request_id += offset;
		to->connection_id += offset;
		to->after_request += to->after_request ? offset : 0;
		to->due_ns += part->shift_ns;
		if (c->copies_ops)
			plan_copy_ops(c->from, offset, &c->to, to);
		if (!connection->requests++)
			connection->first_due_ns = to->due_ns;
		connection->last_due_ns = to->due_ns;
		c->to.requests_count++;
	}
	c->to.connections_count += connection->requests != 0;
}

/* Whose reply will not come is not waited for. */
static int drop_dangling(struct plan *plan)
{
	struct idmap ids = { 0 };

	if (idmap_init(&ids, plan->requests_count))
		return -ENOMEM;
	for (size_t i = 0; i < plan->requests_count; i++)
		idmap_put(&ids, plan->requests[i].request_id, (uint32_t)i);
	for (size_t i = 0; i < plan->requests_count; i++) {
		struct plan_request *r = &plan->requests[i];
		uint32_t before = idmap_get(&ids, r->after_request);

		if (r->after_request && (before == IDMAP_NONE || before >= i)) {
			r->after_request = 0;
			r->think_ns = 0;
		}
	}
	idmap_release(&ids);
	return 0;
}

/* Of a call `owners` says something else. */
static bool is_of_group(const struct plan_op *op)
{
	return op->owners > 1 && op->kind != OP_FORWARD;
}

static void count_owners(const struct plan *plan, const struct plan_request *r,
			 struct idmap *groups, uint32_t *owners)
{
	for (uint32_t i = r->first_op; i < r->first_op + r->ops_count; i++) {
		if (!is_of_group(&plan->ops[i]))
			continue;
		idmap_put(groups, plan->ops[i].op_id, i);
		owners[idmap_get(groups, plan->ops[i].op_id)]++;
	}
}

int plan_count_owners(struct plan *plan)
{
	uint32_t *owners = calloc(plan->ops_count + 1, sizeof(*owners));
	struct idmap groups = { 0 };

	if (!owners || idmap_init(&groups, plan->ops_count)) {
		free(owners);
		return -ENOMEM;
	}
	for (size_t i = 0; i < plan->requests_count; i++)
		count_owners(plan, &plan->requests[i], &groups, owners);
	for (size_t i = 0; i < plan->ops_count; i++) {
		uint32_t group = idmap_get(&groups, plan->ops[i].op_id);

		if (is_of_group(&plan->ops[i]) && group != IDMAP_NONE)
			plan->ops[i].owners = owners[group];
	}
	idmap_release(&groups);
	free(owners);
	return 0;
}

static int complete(struct composer *c, struct err *err)
{
	struct plan *to = &c->to;

	plan_sort(to);
	if (to->connections_count > WIRE_CONNECTIONS_MAX)
		return err_set(err, E2BIG, "that makes %zu connections; a node takes at most %u",
			       to->connections_count, WIRE_CONNECTIONS_MAX);
	if (drop_dangling(to) || (c->copies_ops && plan_count_owners(to)))
		return err_errno(err, ENOMEM, "cannot hold %zu requests", to->requests_count);
	return 0;
}

static void replace(struct plan *plan, struct composer *c)
{
	scratch_free(plan->requests);
	free(plan->connections);
	plan->requests = c->to.requests;
	plan->connections = c->to.connections;
	plan->requests_count = c->to.requests_count;
	plan->connections_count = c->to.connections_count;
	if (!c->copies_ops)
		return;
	scratch_free(plan->ops);
	plan->ops = c->to.ops;
	plan->ops_count = c->to.ops_count;
}

int plan_compose(struct plan *plan, const struct plan_chains *chains, const struct plan_part *parts,
		 size_t count, enum plan_batching batching, struct err *err)
{
	struct composer c = {
		.from = plan,
		.chains = chains,
		.span = plan_id_span(plan),
		.copies_ops = batching == PLAN_BATCHING_RECORDED,
	};
	size_t requests = 0, ops = 0;
	int ret = count_parts(&c, parts, count, &requests, &ops, err);

	if (!ret)
		ret = allocate(&c, count, requests, ops, err);
	for (size_t i = 0; i < count && !ret; i++)
		take_part(&c, &parts[i]);
	if (!ret)
		ret = complete(&c, err);
	if (ret)
		plan_release(&c.to);
	else
		replace(plan, &c);
	return ret;
}
