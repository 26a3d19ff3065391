/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/set.h"

#include "replay/net/wire.h"
#include "replay/plan/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- which services ------------------------------------------------------------------------ */

struct counted {
	const struct row_service *service;
	uint64_t roots, requests;
};

static struct counted count_requests(const struct plan_source *s, const struct row_service *service)
{
	struct counted counted = { .service = service };

	for (size_t i = 0; i < s->requests_count; i++) {
		if (s->requests[i].service_id != service->service_id)
			continue;
		counted.requests++;
		counted.roots += !s->requests[i].parent_id;
	}
	return counted;
}

/* With most requests that no other service caused; of equals the first. */
static int compare_counted(const void *a, const void *b)
{
	const struct counted *x = a, *y = b;

	if (x->roots != y->roots)
		return x->roots > y->roots ? -1 : 1;
	return (x->service > y->service) - (x->service < y->service);
}

static const struct row_service *find_service(const struct plan_source *s, const char *name,
					      bool *ret_ambiguous)
{
	const struct row_service *found = NULL;
	char number[24];

	*ret_ambiguous = false;
	for (size_t i = 0; i < s->services_count; i++) {
		if (strcmp(s->services[i].name, name))
			continue;
		*ret_ambiguous = found != NULL;
		found = found ? found : &s->services[i];
	}
	if (found)
		return found;
	for (size_t i = 0; i < s->services_count; i++) {
		snprintf(number, sizeof(number), "%llu",
			 (unsigned long long)s->services[i].service_id);
		if (!strcmp(number, name))
			return &s->services[i];
	}
	return NULL;
}

static int choose_named(const struct plan_source *s, const struct plan_choice *choice,
			const struct row_service **services, struct err *err)
{
	bool ambiguous;

	for (size_t i = 0; i < choice->names_count; i++) {
		services[i] = find_service(s, choice->names[i], &ambiguous);
		if (ambiguous)
			return err_set(err, EINVAL,
				       "several services are called '%s': give the number that it "
				       "has in services.csv",
				       choice->names[i]);
		if (!services[i])
			return err_set(err, ENOENT, "the trace has no service '%s'",
				       choice->names[i]);
		for (size_t j = 0; j < i; j++)
			if (services[j] == services[i])
				return err_set(err, EINVAL, "service '%s' has two nodes",
					       choice->names[i]);
	}
	return (int)choice->names_count;
}

static int choose_counted(const struct plan_source *s, bool all,
			  const struct row_service **services, struct err *err)
{
	struct counted *counted = calloc(s->services_count + 1, sizeof(*counted));
	int count = 0;

	if (!counted)
		return err_errno(err, ENOMEM, "cannot hold the services");
	for (size_t i = 0; i < s->services_count; i++)
		counted[i] = count_requests(s, &s->services[i]);
	qsort(counted, s->services_count, sizeof(*counted), compare_counted);
	for (size_t i = 0; i < s->services_count && count < PLAN_SERVICES_MAX; i++)
		if (i ? all && counted[i].requests : counted[i].roots)
			services[count++] = counted[i].service;
	free(counted);
	return count;
}

/* How many there are, or a failure. */
static int choose(const struct plan_source *s, const struct plan_choice *choice,
		  const struct row_service **services, struct err *err)
{
	int count = choice->names_count ? choose_named(s, choice, services, err) :
					  choose_counted(s, choice->all, services, err);

	return count ? count : err_set(err, ENODATA, "the trace has no request to replay");
}

/* --- who calls whom ------------------------------------------------------------------------ */

struct linker {
	struct plan_set *set;
	size_t first[PLAN_SERVICES_MAX + 1]; /* requests of all plans in a row: where each begins */
	struct idmap requests;
	struct idmap connections[PLAN_SERVICES_MAX];
	uint8_t *reached;
	uint32_t *stack;
	size_t depth;
};

static int linker_init(struct linker *l)
{
	size_t total;

	for (size_t p = 0; p < l->set->count; p++)
		l->first[p + 1] = l->first[p] + l->set->plans[p].requests_count;
	total = l->first[l->set->count];
	l->reached = calloc(total + 1, sizeof(*l->reached));
	l->stack = calloc(total + 1, sizeof(*l->stack));
	if (!l->reached || !l->stack || idmap_init(&l->requests, total))
		return -ENOMEM;
	for (size_t p = 0; p < l->set->count; p++) {
		const struct plan *plan = &l->set->plans[p];

		if (idmap_init(&l->connections[p], plan->connections_count))
			return -ENOMEM;
		for (size_t i = 0; i < plan->connections_count; i++)
			idmap_put(&l->connections[p], plan->connections[i].connection_id,
				  (uint32_t)i);
		for (size_t i = 0; i < plan->requests_count; i++)
			idmap_put(&l->requests, plan->requests[i].request_id,
				  (uint32_t)(l->first[p] + i));
	}
	return 0;
}

static void linker_release(struct linker *l)
{
	for (size_t p = 0; p < l->set->count; p++)
		idmap_release(&l->connections[p]);
	idmap_release(&l->requests);
	free(l->reached);
	free(l->stack);
}

static size_t plan_of(const struct linker *l, uint32_t request)
{
	size_t p = 0;

	while (request >= l->first[p + 1])
		p++;
	return p;
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

/* The op calls the thread that served the request then. */
static void link_call(struct linker *l, struct plan *caller, struct plan_op *op)
{
	uint32_t called = idmap_get(&l->requests, (uint64_t)op->offset), c;
	const struct plan_request *request;
	const struct plan *plan;
	size_t p;

	if (called == IDMAP_NONE) {
		op->offset = TRACE_NONE; /* the node counts it */
		return;
	}
	p = plan_of(l, called);
	plan = &l->set->plans[p];
	request = &plan->requests[called - l->first[p]];
	c = idmap_get(&l->connections[p], request->connection_id);
	op->work = plan_set_first_link(l->set, p) + plan->connections[c].thread;
	caller->ledger.count[LG_CALLS_PADDED] +=
		is_padded(op->bytes) + is_padded(request->response_bytes);
	reach(l, called);
}

static void link_calls_of(struct linker *l, uint32_t request)
{
	size_t p = plan_of(l, request);
	struct plan *plan = &l->set->plans[p];
	const struct plan_request *r = &plan->requests[request - l->first[p]];

	for (uint32_t i = 0; i < r->ops_count; i++) {
		struct plan_op *op = &plan->ops[r->first_op + i];

		if (op->kind == OP_FORWARD && op->offset != TRACE_NONE)
			link_call(l, plan, op);
	}
}

/* What nobody calls for would wait in its node for ever. */
static void drop_unreached(struct linker *l, size_t p)
{
	struct plan *plan = &l->set->plans[p];
	size_t kept = 0;

	for (size_t i = 0; i < plan->requests_count; i++) {
		const struct plan_request *r = &plan->requests[i];

		if (l->reached[l->first[p] + i]) {
			plan->requests[kept++] = *r;
			continue;
		}
		plan->ledger.count[LG_CALLS_STUBBED]++;
		plan->connections[idmap_get(&l->connections[p], r->connection_id)].requests--;
	}
	plan->requests_count = kept;
}

static int link_calls(struct plan_set *set)
{
	struct linker l = { .set = set };
	int rc = linker_init(&l);

	for (size_t p = 0; p < set->count && !rc; p++)
		for (size_t i = 0; i < set->plans[p].requests_count; i++)
			if (!set->plans[p].requests[i].parent_id)
				reach(&l, (uint32_t)(l.first[p] + i));
	while (!rc && l.depth)
		link_calls_of(&l, l.stack[--l.depth]);
	for (size_t p = 0; p < set->count && !rc; p++)
		drop_unreached(&l, p);
	linker_release(&l);
	return rc;
}

/* --- the client's -------------------------------------------------------------------------- */

/* Connections, with what is sent on them. */
static int count_sent(struct plan *client, const struct plan *plan)
{
	size_t first = client->connections_count;
	struct idmap connections = { 0 };

	if (idmap_init(&connections, plan->connections_count))
		return -ENOMEM;
	for (size_t i = 0; i < plan->requests_count; i++) {
		const struct plan_request *r = &plan->requests[i];
		struct plan_connection *c;
		uint32_t at;

		if (r->parent_id)
			continue;
		idmap_put(&connections, r->connection_id, (uint32_t)client->connections_count);
		at = idmap_get(&connections, r->connection_id);
		c = &client->connections[at];
		if (at == client->connections_count) {
			client->connections_count++;
			*c = (struct plan_connection){ .connection_id = r->connection_id,
						       .first_due_ns = r->due_ns };
		}
		c->last_due_ns = r->due_ns;
		c->requests++;
		client->requests[client->requests_count++] = *r;
	}
	for (size_t i = 0; i < plan->connections_count; i++) {
		const struct plan_connection *from = &plan->connections[i];
		uint32_t at = idmap_get(&connections, from->connection_id);

		if (at == IDMAP_NONE || at < first)
			continue;
		client->connections[at].origin_id = from->origin_id;
		client->connections[at].service_id = from->service_id;
		client->connections[at].thread = from->thread;
		client->connections[at].dependent = from->dependent;
	}
	idmap_release(&connections);
	return 0;
}

static int gather_client(struct plan_set *set)
{
	struct plan *client = &set->client;
	size_t requests = 0, connections = 0;
	int rc = 0;

	set->client_is_own = true;
	*client = (struct plan){ .service = set->plans[0].service };
	for (size_t p = 0; p < set->count; p++) {
		requests += set->plans[p].requests_count;
		connections += set->plans[p].connections_count;
		if (set->plans[p].duration_ns > client->duration_ns)
			client->duration_ns = set->plans[p].duration_ns;
	}
	client->requests = calloc(requests + 1, sizeof(*client->requests));
	client->connections = calloc(connections + 1, sizeof(*client->connections));
	if (!client->requests || !client->connections)
		return -ENOMEM;
	for (size_t p = 0; p < set->count && !rc; p++)
		rc = count_sent(client, &set->plans[p]);
	plan_sort(client);
	return rc;
}

void plan_set_renew_client(struct plan_set *set)
{
	if (!set->client_is_own)
		set->client = set->plans[0];
}

/* --- all of it ----------------------------------------------------------------------------- */

size_t plan_set_first_link(const struct plan_set *set, size_t i)
{
	size_t link = 0;

	while (i-- > 0)
		link += set->plans[i].threads;
	return link;
}

bool plan_set_has_calls(const struct plan_set *set)
{
	for (size_t p = 0; p < set->count; p++)
		for (size_t i = 0; i < set->plans[p].requests_count; i++)
			if (set->plans[p].requests[i].parent_id)
				return true;
	return false;
}

static int build_plans(const struct plan_source *source, const struct plan_opts *opts,
		       const struct row_service *const *services, struct plan_set *set,
		       struct err *err)
{
	struct plan_services played = { .count = set->count };
	struct plan_calls calls = { 0 };
	int rc = 0;

	for (size_t p = 0; p < set->count; p++)
		played.ids[p] = services[p]->service_id;
	if (set->count > 1 && plan_calls_find(&calls, source, &played))
		rc = err_errno(err, ENOMEM, "cannot hold the calls of %zu ops", source->ops_count);
	for (size_t p = 0; p < set->count && !rc; p++)
		rc = plan_build_service(source, opts, services[p], calls.of_request ? &calls : NULL,
					&set->plans[p], err);
	plan_calls_release(&calls);
	return rc;
}

/* Requests of services that nobody plays and nobody called. */
static void count_left_out(const struct plan_source *s, struct plan_set *set)
{
	for (size_t i = 0; i < s->requests_count; i++) {
		const struct row_request *row = &s->requests[i];
		size_t p = 0;

		while (p < set->count && set->plans[p].service.service_id != row->service_id)
			p++;
		set->plans[0].ledger.count[LG_UNSENT] += p == set->count && !row->parent_id;
	}
}

static int join_plans(struct plan_set *set, struct err *err)
{
	if (set->count == 1) {
		plan_set_renew_client(set);
		return 0;
	}
	if (link_calls(set) || gather_client(set))
		return err_errno(err, ENOMEM, "cannot hold the requests of %zu services",
				 set->count);
	return set->client.requests_count ?
		       0 :
		       err_set(err, ENODATA, "the trace has no request that a client sent");
}

int plan_set_build(struct trace *t, const struct plan_opts *opts, const struct plan_choice *choice,
		   struct plan_set *ret_set, struct err *err)
{
	const struct row_service *services[PLAN_SERVICES_MAX];
	struct plan_source source = { 0 };
	struct plan_set set = { .count = 0 };
	int rc = plan_source_read(&source, t, err);

	if (!rc)
		rc = choose(&source, choice, services, err);
	if (rc > 0) {
		set.count = (size_t)rc;
		rc = build_plans(&source, opts, services, &set, err);
	}
	if (!rc) {
		count_left_out(&source, &set);
		set.links = plan_set_first_link(&set, set.count);
		rc = join_plans(&set, err);
	}
	plan_source_release(&source);
	if (rc)
		plan_set_release(&set);
	else
		*ret_set = set;
	return rc;
}

int plan_set_spill(struct plan_set *set, const char *directory, struct err *err)
{
	int rc = 0;

	for (size_t p = 0; p < set->count && !rc; p++)
		rc = plan_spill(&set->plans[p], directory, err);
	if (!rc && set->client_is_own)
		rc = plan_spill(&set->client, directory, err);
	plan_set_renew_client(set);
	return rc;
}

void plan_set_forget(const struct plan_set *set)
{
	for (size_t p = 0; p < set->count; p++)
		plan_forget(&set->plans[p]);
	if (set->client_is_own)
		plan_forget(&set->client);
}

void plan_set_release(struct plan_set *set)
{
	for (size_t p = 0; p < set->count; p++)
		plan_release(&set->plans[p]);
	if (set->client_is_own)
		plan_release(&set->client);
	*set = (struct plan_set){ 0 };
}

int plan_build(struct trace *t, const struct plan_opts *opts, struct plan *ret_plan,
	       struct err *err)
{
	struct plan_set set;
	int rc = plan_set_build(t, opts, &(struct plan_choice){ 0 }, &set, err);

	if (!rc)
		*ret_plan = set.plans[0];
	return rc;
}
