/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/set.h"

#include "replay/plan/compose.h"
#include "replay/plan/source.h"
#include "replay/plan/tree.h"
#include "replay/scratch.h"

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

static size_t count_roots(const struct plan *plan)
{
	size_t roots = 0;

	for (size_t i = 0; i < plan->requests_count; i++)
		roots += !plan->requests[i].parent_id;
	return roots;
}

static int gather_client(struct plan_set *set, struct err *err)
{
	struct plan *client = &set->client;
	size_t requests = 0, connections = 0;
	int rc = 0;

	set->client_is_own = true;
	*client =
		(struct plan){ .service = set->plans[0].service, .scratch = set->plans[0].scratch };
	for (size_t p = 0; p < set->count; p++) {
		const struct plan *plan = &set->plans[p];

		requests += count_roots(plan);
		connections += plan->connections_count;
		if (plan->duration_ns > client->duration_ns)
			client->duration_ns = plan->duration_ns;
		if (plan_most_id(plan) > client->most_id)
			client->most_id = plan_most_id(plan);
	}
	client->requests =
		scratch_alloc(client->scratch, requests * sizeof(*client->requests), err);
	if (!client->requests)
		return -ENOMEM;
	client->connections = calloc(connections + 1, sizeof(*client->connections));
	rc = client->connections ? 0 : -ENOMEM;
	for (size_t p = 0; p < set->count && !rc; p++)
		rc = count_sent(client, &set->plans[p]);
	if (rc)
		return err_errno(err, ENOMEM, "cannot hold the connections");
	plan_sort(client);
	return 0;
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

size_t plan_set_count_calls(const struct plan_set *set)
{
	size_t calls = 0;

	for (size_t p = 0; p < set->count; p++)
		for (size_t i = 0; i < set->plans[p].requests_count; i++)
			calls += set->plans[p].requests[i].parent_id != 0;
	return calls;
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
	int rc;

	if (set->count == 1) {
		plan_set_renew_client(set);
		return 0;
	}
	if (plan_link(set))
		return err_errno(err, ENOMEM, "cannot hold the requests of %zu services",
				 set->count);
	rc = gather_client(set, err);
	if (rc)
		return rc;
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
	int rc = plan_source_read(&source, t, opts->scratch, err);

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
