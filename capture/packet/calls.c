/* SPDX-License-Identifier: Apache-2.0 */
/* Requests between their first byte and their row: who may call keeps them for a moment. */
#include "capture/packet/calls_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_NS (CALLS_LATE_NS / 2)

struct calls *calls_new(const struct calls_sink *sink, struct ledger *ledger)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->sink = *sink;
	c->ledger = ledger;
	c->known = calls_model_new();
	c->guessed = calls_model_new();
	c->candidates_room = CANDIDATES_MAX;
	c->candidates = calloc(c->candidates_room, sizeof(*c->candidates));
	if (c->known && c->guessed && c->candidates)
		return c;
	calls_free(c);
	return NULL;
}

void calls_free(struct calls *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->hosts_count; i++)
		free(c->hosts[i].edges);
	calls_model_free(c->known);
	calls_model_free(c->guessed);
	free(c->choices);
	free(c->candidates);
	free(c);
}

int calls_failed(const struct calls *c)
{
	return c->failed;
}

static void write_row(struct calls *c, enum trace_table table, const void *row)
{
	if (!c->failed)
		c->failed = c->sink.rows.write(c->sink.rows.arg, table, row);
}

/* --- hosts ---------------------------------------------------------------------------------------- */

static uint16_t host_at(const struct calls *c, const uint8_t address[16])
{
	for (unsigned i = 0; i < c->hosts_count; i++)
		if (!memcmp(c->hosts[i].address, address, 16))
			return (uint16_t)(i + 1);
	return 0;
}

uint16_t calls_add_service(struct calls *c, uint16_t service, const uint8_t address[16],
			   const struct row_service *row)
{
	struct service_state *s;
	uint16_t host = host_at(c, address);

	if (service >= CALLS_SERVICES_MAX)
		return 0;
	if (!host) {
		memcpy(c->hosts[c->hosts_count++].address, address, 16);
		host = (uint16_t)c->hosts_count;
	}
	s = &c->services[service];
	s->host = host;
	s->service_id = row->service_id;
	s->first_ns = INT64_MAX;
	snprintf(s->listen, sizeof(s->listen), "%s", row->listen);
	if (c->services_count <= service)
		c->services_count = service + 1u;
	return host;
}

uint16_t calls_caller_at(const struct calls *c, const uint8_t address[16], uint16_t service)
{
	uint16_t host = host_at(c, address);

	for (unsigned i = 0; host && i < c->services_count; i++)
		if (i != service && c->services[i].host == host)
			return host;
	return 0;
}

/* --- connections ---------------------------------------------------------------------------------- */

struct call_link *calls_link(struct calls *c, uint16_t host, const int64_t *closed_ns,
			     int64_t start_ns)
{
	struct call_link *link = calloc(1, sizeof(*link));

	if (!link) {
		c->failed = -ENOMEM;
		return NULL;
	}
	link->host = host;
	link->closed_ns = closed_ns;
	link->start_ns = start_ns;
	c->hosts[host - 1].calls = true;
	return link;
}

/* The caller's row of it: the same connection from its other end. */
static void write_link(struct calls *c, const struct call_link *link,
		       const struct row_connection *served)
{
	struct row_connection row = *served;

	row.connection_id = link->connection_id;
	row.service_id = link->service_id;
	row.requests = 0;
	row.outgoing = 1;
	row.dependent = row.confidence = 0;
	row.wire = (struct row_wire)ROW_WIRE_UNKNOWN; /* told once is enough */
	memcpy(row.local, served->remote, sizeof(row.local));
	memcpy(row.remote, served->local, sizeof(row.remote));
	write_row(c, TABLE_CONNECTIONS, &row);
}

void calls_unlink(struct calls *c, struct call_link *link, const struct row_connection *row)
{
	if (link->spans) {
		link->closed_ns = NULL;
		link->row = malloc(sizeof(*row));
		if (link->row)
			*link->row = *row;
		else
			c->failed = -ENOMEM;
		return;
	}
	if (link->connection_id)
		write_link(c, link, row);
	free(link);
}

static void leave_link(struct calls *c, struct call_link *link)
{
	link->spans--;
	if (link->spans || link->closed_ns)
		return;
	if (link->connection_id && link->row)
		write_link(c, link, link->row);
	free(link->row);
	free(link);
}

/* --- requests ------------------------------------------------------------------------------------- */

/* Nobody waits for the answer to a request on a connection that is closed. */
static int64_t gone_ns(const struct span *s)
{
	const int64_t *ns = s->link ? s->link->closed_ns : NULL;

	return ns && *ns ? *ns - s->link->start_ns : INT64_MAX;
}

int64_t span_end(const struct calls *c, const struct span *s)
{
	int64_t end_ns = s->row->end_ns;
	bool answered = end_ns != TRACE_NONE;

	if (answered && (s->closed || (!s->framed && c->now_ns >= end_ns + CALLS_LATE_NS)))
		return end_ns;
	if (s->closed)
		return s->closed_ns;
	return answered ? INT64_MAX : gone_ns(s);
}

unsigned span_class(const struct span *s)
{
	return s->row->class_id ? (unsigned)s->row->class_id : CALLS_OPEN;
}

/*
 * Somebody connects from there; in the beginning that is not known yet, for bytes of connections
 * that are older than the capture are handed on late.
 */
static bool may_call(const struct calls *c, const struct host *h)
{
	return h->calls || c->now_ns < 2 * CALLS_LATE_NS;
}

/* Most come in order. */
static void insert_span(struct host *h, struct span *s)
{
	struct span *before = h->last;

	while (before && before->row->arrival_ns > s->row->arrival_ns)
		before = before->older;
	s->older = before;
	s->newer = before ? before->newer : h->first;
	*(s->newer ? &s->newer->older : &h->last) = s;
	*(before ? &before->newer : &h->first) = s;
}

static void remove_span(struct host *h, struct span *s)
{
	*(s->older ? &s->older->newer : &h->first) = s->newer;
	*(s->newer ? &s->newer->older : &h->last) = s->older;
}

static void insert_waiting(struct host *h, struct span *s)
{
	struct span *before = h->latest;

	while (before && before->row->arrival_ns > s->row->arrival_ns)
		before = before->before;
	s->before = before;
	s->next = before ? before->next : h->waiting;
	*(s->next ? &s->next->before : &h->latest) = s;
	*(before ? &before->next : &h->waiting) = s;
	h->waiting_count++;
}

static void add_busy(struct service_state *s, int64_t ns, int by)
{
	if (by > 0 && !s->open++) {
		s->since_ns = ns;
		s->first_ns = ns < s->first_ns ? ns : s->first_ns;
	}
	if (by < 0 && !--s->open && ns > s->since_ns)
		s->busy_ns += ns - s->since_ns;
}

void calls_begin(struct calls *c, struct span *s)
{
	s->certainty = 100;
	if (!s->host)
		return;
	c->open++;
	c->events++;
	insert_span(&c->hosts[s->host - 1], s);
	add_busy(&c->services[s->service], s->row->arrival_ns, 1);
	if (!s->link) {
		s->settled = true;
		return;
	}
	s->link->spans++;
	insert_waiting(&c->hosts[s->link->host - 1], s);
}

int span_add_call(struct span *s, const struct call_made *made)
{
	uint16_t room = s->made_room ? (uint16_t)(s->made_room * 2) : 4;
	size_t at = s->made_count;
	struct call_made *grown;

	if (s->made_count == CALLS_OF_REQUEST_MAX)
		return -E2BIG;
	if (s->made_count == s->made_room) {
		grown = realloc(s->made, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->made = grown;
		s->made_room = room;
	}
	for (; at && s->made[at - 1].start_ns > made->start_ns; at--)
		s->made[at] = s->made[at - 1];
	s->made[at] = *made;
	s->made_count++;
	return 0;
}

void span_remove_call(struct span *s, const struct span *call)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->made_count; i++)
		if (s->made[i].span != call)
			s->made[kept++] = s->made[i];
	s->made_count = (uint16_t)kept;
}

static uint64_t target_of(struct calls *c, struct service_state *s)
{
	struct row_target row = { .kind = TARGET_SERVICE, .service_id = s->service_id };

	if (s->target_id)
		return s->target_id;
	for (unsigned i = 0; i < c->services_count; i++)
		if (c->services[i].target_id > s->target_id)
			s->target_id = c->services[i].target_id;
	row.target_id = ++s->target_id;
	snprintf(row.name, sizeof(row.name), "%s", s->listen);
	write_row(c, TABLE_TARGETS, &row);
	return s->target_id;
}

/* The operation of the caller that this request is. */
static void write_call(struct calls *c, struct span *s)
{
	const struct row_request *row = s->row;
	int64_t end_ns = row->end_ns != TRACE_NONE ? row->end_ns : s->closed_ns;
	struct row_op op = {
		.op_id = s->op_id,
		.request_id = row->parent_id,
		.after = s->after_op,
		.kind = OP_FORWARD,
		.service_id = s->parent_service,
		.start_ns = row->arrival_ns,
		.elapsed_ns = end_ns > row->arrival_ns ? (uint64_t)(end_ns - row->arrival_ns) : 0,
		.bytes = row->request_bytes,
		.reply_bytes = row->response_bytes,
		.offset = TRACE_NONE,
		.target_id = target_of(c, &c->services[s->service]),
	};

	if (!s->link->connection_id) {
		s->link->connection_id = ++c->ledger->count[LG_CONNECTIONS];
		s->link->service_id = s->parent_service;
	}
	op.connection_id = s->link->connection_id;
	write_row(c, TABLE_OPS, &op);
}

static void let_go(struct calls *c, struct span *s)
{
	struct host *h = s->host ? &c->hosts[s->host - 1] : NULL;

	if (h) {
		remove_span(h, s);
		h->swept_ns = span_end(c, s) > h->swept_ns ? span_end(c, s) : h->swept_ns;
	}
	if (h && h->calls && !s->made_more)
		calls_learn(c, s);
	free(s->made);
	s->made = NULL;
	write_row(c, TABLE_REQUESTS, s->row);
	if (s->row->parent_id)
		write_call(c, s);
	if (s->link)
		leave_link(c, s->link);
	c->sink.release(c->sink.arg, s);
}

void calls_end(struct calls *c, struct span *s, int64_t end_ns)
{
	bool answered = s->row->end_ns != TRACE_NONE;

	s->closed = true;
	s->closed_ns = end_ns > s->row->arrival_ns ? end_ns : s->row->arrival_ns;
	if (!s->host) {
		let_go(c, s);
		return;
	}
	c->open--;
	c->events++;
	add_busy(&c->services[s->service], answered ? s->row->end_ns : s->closed_ns, -1);
	if (s->settled && !may_call(c, &c->hosts[s->host - 1]))
		let_go(c, s);
	else
		c->held++;
}

void calls_unseen(struct calls *c, uint16_t service, int64_t ns)
{
	struct service_state *s = service < CALLS_SERVICES_MAX ? &c->services[service] : NULL;

	if (s && ns > s->unseen_ns)
		s->unseen_ns = ns;
}

/* A call that ended and waits for its request to be found needs those that it may lie in. */
static int64_t oldest_needed(const struct calls *c, const struct host *h)
{
	int64_t ns = c->now_ns - CALLS_LATE_NS;

	for (const struct span *s = h->waiting; s; s = s->next)
		if (s->row->arrival_ns < ns && span_end(c, s) != INT64_MAX)
			return s->row->arrival_ns;
	return ns;
}

static void sweep(struct calls *c, struct host *h, bool all)
{
	int64_t needed_ns = may_call(c, h) ? oldest_needed(c, h) : INT64_MAX;
	struct span *next;

	for (struct span *s = h->first; s; s = next) {
		next = s->newer;
		if (!s->closed || !s->settled || (!all && span_end(c, s) >= needed_ns))
			continue;
		c->held--;
		let_go(c, s);
	}
}

static void tick(struct calls *c, bool all)
{
	for (unsigned i = 0; i < c->hosts_count; i++)
		if (c->hosts[i].waiting)
			calls_settle(c, &c->hosts[i], all);
	for (unsigned i = 0; i < c->hosts_count; i++)
		sweep(c, &c->hosts[i], all);
}

/* Each look goes through all that is open: not for little news of much, but once in a while. */
static bool is_due(const struct calls *c)
{
	int64_t late_ns = c->now_ns - c->tick_ns;

	if (c->held >= CALLS_HELD_MAX)
		return true;
	return c->held && late_ns >= 0 && (c->events >= c->open / 16 || late_ns >= CALLS_WAIT_NS);
}

void calls_advance(struct calls *c, int64_t now_ns)
{
	if (now_ns > c->now_ns)
		c->now_ns = now_ns;
	if (!is_due(c))
		return;
	c->tick_ns = c->now_ns + TICK_NS;
	c->events = 0;
	tick(c, c->held >= CALLS_HELD_MAX);
}

int calls_finish(struct calls *c)
{
	tick(c, true);
	return c->failed;
}
