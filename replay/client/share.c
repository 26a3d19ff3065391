/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEND_MS 30000
#define SEND_BYTES (256 * 1024) /* in one go */

/* --- there --------------------------------------------------------------------------------- */

static bool is_own(const struct client_setup *setup, size_t connection)
{
	return !setup->share || setup->share[connection] == setup->self;
}

static int send_some(struct talk *t, struct err *err)
{
	return t->out.len < SEND_BYTES ? 0 : talk_send(t, SEND_MS, err);
}

static int put_routes(struct talk *t, const struct client_setup *setup, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < setup->routes_count && !rc; i++) {
		const struct client_route *from = &setup->routes[i];
		struct wire_route route = { .service_id = from->service_id };
		char text[ADDRESS_TEXT_SIZE];
		struct address address;

		rc = endpoint_address(&from->data, from->transport, &address, err);
		if (rc)
			break;
		snprintf(route.address, sizeof(route.address), "%.255s",
			 address_format(&address, text));
		memcpy(route.secret, from->secret, sizeof(route.secret));
		wire_put_route(&t->out, &route);
	}
	return rc;
}

/* Its connections, by their ids. */
static int find_own(const struct client_setup *setup, struct idmap *ret_own)
{
	const struct plan *plan = setup->plan;
	int rc = idmap_init(ret_own, plan->connections_count);

	for (size_t i = 0; i < plan->connections_count && !rc; i++)
		if (is_own(setup, i))
			idmap_put(ret_own, plan->connections[i].connection_id, (uint32_t)i);
	return rc;
}

static uint64_t count_requests(const struct plan *plan, const struct idmap *own)
{
	uint64_t count = 0;

	for (size_t i = 0; i < plan->requests_count; i++)
		count += idmap_get(own, plan->requests[i].connection_id) != IDMAP_NONE;
	return count;
}

static int send_connections(struct talk *t, const struct client_setup *setup, struct err *err)
{
	const struct plan *plan = setup->plan;
	int rc = 0;

	for (size_t i = 0; i < plan->connections_count && !rc; i++) {
		const struct plan_connection *c = &plan->connections[i];

		if (!is_own(setup, i))
			continue;
		wire_put_opening(&t->out, &(struct wire_opening){ c->connection_id, c->service_id,
								  c->first_due_ns, c->requests });
		rc = send_some(t, err);
	}
	return rc;
}

static int send_requests(struct talk *t, const struct plan *plan, const struct idmap *own,
			 uint32_t *places, struct err *err)
{
	size_t count = 0;
	int rc = 0;

	for (size_t i = 0; i < plan->requests_count && !rc; i++) {
		struct plan_request request = plan->requests[i];

		if (idmap_get(own, request.connection_id) == IDMAP_NONE)
			continue;
		places[count++] = (uint32_t)i;
		request.ops_count = 0;
		wire_put_plan(&t->out, &request, NULL);
		rc = send_some(t, err);
	}
	return rc;
}

static int send_all(struct talk *t, const struct client_setup *setup, const struct idmap *own,
		    uint32_t *places, struct err *err)
{
	int rc = put_routes(t, setup, err);

	if (!rc)
		rc = send_connections(t, setup, err);
	if (!rc)
		rc = send_requests(t, setup->plan, own, places, err);
	if (rc)
		return rc;
	wire_put_empty(&t->out, WIRE_PLAN_END);
	return talk_send(t, SEND_MS, err);
}

int client_share_send(struct talk *t, const struct client_setup *setup, bool spins, uint32_t beside,
		      uint32_t **ret_places, size_t *ret_count, struct err *err)
{
	struct wire_load load = { .routes = (uint32_t)setup->routes_count,
				  .timeout_ns = setup->timeout_ns,
				  .spins = spins,
				  .beside = beside };
	uint32_t *places;
	struct idmap own;
	int rc = find_own(setup, &own);

	if (rc)
		return err_errno(err, ENOMEM, "cannot hold what an agent is told");
	load.connections = (uint32_t)own.count;
	load.requests = count_requests(setup->plan, &own);
	places = malloc((load.requests + 1) * sizeof(*places));
	if (!places)
		rc = err_errno(err, ENOMEM, "cannot hold what an agent is told");
	else if (load.requests > WIRE_LOAD_REQUESTS_MAX ||
		 load.connections > WIRE_LOAD_CONNECTIONS_MAX)
		rc = err_set(err, E2BIG,
			     "an agent on another host takes %u requests on %u connections at most",
			     WIRE_LOAD_REQUESTS_MAX, WIRE_LOAD_CONNECTIONS_MAX);
	if (!rc)
		rc = wire_put_load(&t->out, &load);
	if (!rc)
		rc = send_all(t, setup, &own, places, err);
	idmap_release(&own);
	if (rc) {
		free(places);
		return rc;
	}
	*ret_places = places;
	*ret_count = load.requests;
	return 0;
}

/* --- and here ------------------------------------------------------------------------------ */

int client_share_begin(struct client_share *s, const struct wire_frame *frame, struct err *err)
{
	int rc = wire_get_load(frame, &s->load, err);

	if (rc)
		return rc;
	s->plan.connections = calloc(s->load.connections + 1, sizeof(*s->plan.connections));
	s->last = calloc(s->load.connections + 1, sizeof(*s->last));
	if (!s->plan.connections || !s->last || idmap_init(&s->ids, s->load.connections))
		return err_errno(err, ENOMEM, "cannot hold %u connections", s->load.connections);
	return 0;
}

static int take_route(struct client_share *s, const struct wire_frame *frame, struct err *err)
{
	static const struct address_defaults none = { NULL, -1 };
	struct wire_route from;
	struct client_route *route = &s->routes[s->routes_count];
	int rc = wire_get_route(frame, &from, err);

	if (!rc && s->routes_count == s->load.routes)
		rc = err_set(err, EPROTO, "more routes than there were to be");
	if (!rc)
		rc = address_parse(from.address, &none, &s->addresses[s->routes_count], err);
	if (rc)
		return rc;
	route->service_id = from.service_id;
	route->transport = s->addresses[s->routes_count].transport;
	memcpy(route->secret, from.secret, sizeof(route->secret));
	s->routes_count++;
	return 0;
}

static bool has_route(const struct client_share *s, uint64_t service_id)
{
	for (size_t i = 0; i < s->routes_count; i++)
		if (s->routes[i].service_id == service_id)
			return true;
	return false;
}

static int take_opening(struct client_share *s, const struct wire_frame *frame, struct err *err)
{
	size_t count = s->plan.connections_count;
	struct wire_opening from;
	int rc = wire_get_opening(frame, &from, err);

	if (rc)
		return rc;
	if (count == s->load.connections || !has_route(s, from.service_id) ||
	    idmap_get(&s->ids, from.connection_id) != IDMAP_NONE)
		return err_set(err, EPROTO, "connection %llu cannot be",
			       (unsigned long long)from.connection_id);
	idmap_put(&s->ids, from.connection_id, (uint32_t)count);
	s->plan.connections[s->plan.connections_count++] = (struct plan_connection){
		.connection_id = from.connection_id,
		.origin_id = from.connection_id,
		.service_id = from.service_id,
		.first_due_ns = from.first_due_ns,
		.requests = from.requests,
	};
	return 0;
}

static bool make_room(struct client_share *s)
{
	size_t room = s->requests_room ? 2 * s->requests_room : 1024;
	void *requests;

	if (s->plan.requests_count < s->requests_room)
		return true;
	requests = realloc(s->plan.requests, room * sizeof(*s->plan.requests));
	if (!requests)
		return false;
	s->plan.requests = requests;
	s->requests_room = room;
	return true;
}

/* Two of them still add up. */
static bool is_time(int64_t ns)
{
	return ns >= 0 && ns <= (int64_t)1 << 61;
}

/*
 * What waits for a reply is a connection's first, or waits for the one before it: at most one of
 * each.
 */
static int take_request(struct client_share *s, const struct wire_frame *frame, struct err *err)
{
	struct plan_request request;
	int rc = wire_get_plan(frame, &request, NULL, 0, err);
	uint32_t c;

	if (rc)
		return rc;
	c = idmap_get(&s->ids, request.connection_id);
	if (c == IDMAP_NONE || s->plan.requests_count == s->load.requests || !request.request_id ||
	    !is_time(request.due_ns) || !is_time(request.think_ns) ||
	    (request.after_request && s->last[c] && request.after_request != s->last[c]))
		return err_set(err, EPROTO, "request %llu cannot be",
			       (unsigned long long)request.request_id);
	if (!make_room(s))
		return err_errno(err, ENOMEM, "cannot hold %zu requests", s->plan.requests_count);
	s->last[c] = request.request_id;
	s->plan.requests[s->plan.requests_count++] = request;
	return 0;
}

static int take_end(struct client_share *s, struct err *err)
{
	if (s->plan.requests_count != s->load.requests ||
	    s->plan.connections_count != s->load.connections)
		return err_set(err, EPROTO, "fewer connections or requests than there were to be");
	for (size_t c = 0; c < s->plan.connections_count; c++)
		if (!s->last[c])
			return err_set(err, EPROTO, "a connection without requests");
	return 1;
}

int client_share_take(struct client_share *s, const struct wire_frame *frame, struct err *err)
{
	switch ((int)frame->type) {
	case WIRE_ROUTE:
		return take_route(s, frame, err);
	case WIRE_OPENING:
		return take_opening(s, frame, err);
	case WIRE_PLAN:
		return take_request(s, frame, err);
	case WIRE_PLAN_END:
		return take_end(s, err);
	}
	return err_set(err, EPROTO, "a %s message is not due now", wire_type_name(frame->type));
}

void client_share_release(struct client_share *s)
{
	free(s->plan.connections);
	free(s->plan.requests);
	free(s->last);
	idmap_release(&s->ids);
}

/* --- facts --------------------------------------------------------------------------------- */

void client_fact_put(struct buf *out, const struct client_fact *f)
{
	const struct wire_fact fact = {
		f->intended_ns, f->sent_ns,	f->tx_ns,   f->again_ns, f->left_ns, f->sent_end_ns,
		f->arrival_ns,	f->received_ns, f->request, f->order,	 f->outcome, 0,
	};

	wire_put_fact(out, &fact);
}

/* 0 stays: it did not happen. */
static int64_t back(int64_t at_ns, int64_t offset_ns)
{
	return at_ns ? at_ns - offset_ns : 0;
}

int client_fact_get(const struct wire_frame *frame, int64_t offset_ns, struct client_fact *ret_fact,
		    struct err *err)
{
	struct wire_fact f;
	int rc = wire_get_fact(frame, &f, err);

	if (rc)
		return rc;
	*ret_fact = (struct client_fact){
		.intended_ns = back(f.intended_ns, offset_ns),
		.sent_ns = back(f.sent_ns, offset_ns),
		.tx_ns = back(f.tx_ns, offset_ns),
		.again_ns = back(f.again_ns, offset_ns),
		.left_ns = back(f.left_ns, offset_ns),
		.sent_end_ns = back(f.sent_end_ns, offset_ns),
		.arrival_ns = back(f.arrival_ns, offset_ns),
		.received_ns = back(f.received_ns, offset_ns),
		.request = f.request,
		.order = f.order,
		.outcome = (uint8_t)f.outcome,
		.settled = true,
	};
	return 0;
}
