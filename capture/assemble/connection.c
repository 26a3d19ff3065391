/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: who talks to whom, turn by turn, and the calls a service makes. */
#include "capture/assemble/assembly.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct connection **bucket_of(struct assembler *a, uint64_t socket_id)
{
	return &a->connections[socket_id % CONNECTION_BUCKETS];
}

struct connection *connection_find(struct assembler *a, uint64_t socket_id)
{
	struct connection *c = *bucket_of(a, socket_id);

	while (c && (c->socket_id != socket_id || c->datagrams))
		c = c->next;
	return c;
}

static bool is_mapped_v4(const uint8_t address[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(address, prefix, sizeof(prefix));
}

/* The four bytes of an IPv4 address, also of one that is mapped into IPv6; NULL for IPv6. */
static const uint8_t *ipv4_of(const struct event_socket *e, const uint8_t address[16])
{
	if (e->family == AF_INET)
		return address;
	return is_mapped_v4(address) ? address + 12 : NULL;
}

/* How far away the peer is. */
static const char *peer_class(const struct event_socket *e)
{
	const uint8_t *v4 = ipv4_of(e, e->remote_addr);

	if (e->family == AF_UNIX)
		return "unix";
	if (v4 && v4[0] == 127)
		return "loopback";
	if (v4 && (v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
		   (v4[0] == 192 && v4[1] == 168)))
		return "local";
	if (!v4 && !memcmp(e->remote_addr, &in6addr_loopback, 16))
		return "loopback";
	if (!v4 && ((e->remote_addr[0] & 0xfe) == 0xfc || e->remote_addr[0] == 0xfe))
		return "local";
	return "remote";
}

static void format_address(const struct event_socket *e, const uint8_t address[16], uint16_t port,
			   char *ret, size_t size)
{
	const uint8_t *v4 = ipv4_of(e, address);
	char text[INET6_ADDRSTRLEN] = "";

	if (e->family == AF_UNIX) { /* its name is a file's, and not told */
		snprintf(ret, size, "unix");
		return;
	}
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? v4 : address, text, sizeof(text));
	snprintf(ret, size, v4 ? "%s:%u" : "[%s]:%u", text, port);
}

struct connection *connection_new(struct assembler *a, const struct event_socket *e, uint64_t key)
{
	struct connection **bucket = bucket_of(a, key);
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		a->failed = -ENOMEM;
		return NULL;
	}
	c->socket_id = e->socket_id;
	c->key = key;
	c->local = e->family == AF_UNIX;
	a->locals_count += c->local;
	c->row.connection_id = ++a->connections_seen;
	c->local_port = e->local_port;
	c->row.open_ns = e->flags & SOCKET_BEFORE ? TRACE_NONE : TRACE_TIME(a, e->head.ns);
	c->row.close_ns = c->row.srtt_ns = c->row.min_rtt_ns = TRACE_NONE;
	c->row.wire = (struct row_wire)ROW_WIRE_UNKNOWN;
	snprintf(c->row.transport, sizeof(c->row.transport), "%s", c->local ? "unix" : "tcp");
	c->row.outgoing = !!(e->flags & SOCKET_OUTGOING);
	snprintf(c->row.peer_class, sizeof(c->row.peer_class), "%s", peer_class(e));
	format_address(e, e->local_addr, e->local_port, c->row.local, sizeof(c->row.local));
	format_address(e, e->remote_addr, e->remote_port, c->row.remote, sizeof(c->row.remote));
	c->next = *bucket;
	*bucket = c;
	a->ledger.count[LG_CONNECTIONS]++;
	if (c->row.outgoing)
		c->called_target = target_of_service(a, c->row.remote);
	return c;
}

void connection_opened(struct assembler *a, const struct event_socket *e)
{
	connection_new(a, e, e->socket_id);
}

/* 0 and ~0 are TCP's "not measured yet". */
void connection_round_trips(struct connection *c, uint32_t srtt_us, uint32_t min_rtt_us)
{
	if (srtt_us)
		c->row.srtt_ns = srtt_us * NS_PER_US;
	if (min_rtt_us && min_rtt_us != UINT32_MAX)
		c->row.min_rtt_ns = min_rtt_us * NS_PER_US;
}

uint64_t connection_wire_bytes(const struct connection *c, uint64_t from, uint64_t to,
			       uint64_t total)
{
	return c->tls ? tls_wire_bytes(c, from, to, total) : to - from;
}

/* Another request has arrived: what the sender's habit was between it and the one before. */
void connection_turn(struct connection *c, int64_t arrival_ns)
{
	if (!c->previous || c->turns_count == DEPENDENCE_TURNS_MAX)
		return;
	if (!c->turns)
		c->turns = malloc(DEPENDENCE_TURNS_MAX * sizeof(*c->turns));
	if (!c->turns)
		return;
	c->turns[c->turns_count++] = (struct turn){
		.service_ns = c->previous_end_ns - c->previous_arrival_ns,
		.interval_ns = arrival_ns - c->previous_arrival_ns,
	};
}

/* A message out is a call, a stream's until the reply comes; every datagram is one. */
bool connection_call_begins(const struct connection *c)
{
	return !c->call.open || c->call.op.reply_bytes || c->datagrams;
}

static void call_after_reply(struct assembler *a, struct athread *t, struct connection *c)
{
	c->call.op.request_id = t->after_id;
	c->call.op.after_reply = 1;
	owner_flush_after(a, t);
}

/* Bytes to another service; the first of a message begins a forward op of request r. */
void connection_call_send(struct assembler *a, struct athread *t, struct connection *c,
			  struct request *r, const struct event_call *e)
{
	if (connection_call_begins(c))
		connection_call_end(a, c);
	if (!c->call.open) {
		memset(&c->call, 0, sizeof(c->call));
		c->call.open = true;
		c->call.op.kind = OP_FORWARD;
		c->call.op.start_ns = TRACE_TIME(a, e->enter_ns);
		c->call.op.target_id = c->called_target;
		c->call.op.connection_id = c->row.connection_id;
		c->call.op.offset = TRACE_NONE;
		c->owner = (struct request_ref){ r, r ? r->row.request_id : 0 };
		c->call.op.thread_id = t->tid;
		c->call.op.service_id = t->service->row.service_id;
		c->row.service_id = t->service->row.service_id;
		if (r)
			request_begin_op(a, r, &c->call.op);
		else if (call_is_after_reply(t))
			call_after_reply(a, t, c);
		else if (!t->serves)
			unit_begin_call(a, t, c);
		else
			a->ledger.count[LG_CALLS_UNOWNED]++;
	}
	c->call.op.bytes += connection_wire_bytes(c, 0, e->ret, e->ret);
}

void connection_call_receive(struct assembler *a, struct connection *c, const struct event_call *e)
{
	if (!c->call.open)
		return;
	c->call.op.reply_bytes += connection_wire_bytes(c, 0, e->ret, e->ret);
	c->call.op.elapsed_ns = TRACE_TIME(a, e->head.ns) - c->call.op.start_ns;
}

void connection_call_end(struct assembler *a, struct connection *c)
{
	if (!c->call.open)
		return;
	c->call.open = false;
	if (c->call.unit)
		unit_end_call(c);
	else
		assembly_write_op(a, &c->call.op);
}

void connection_call_owned(struct assembler *a, struct connection *c, struct request *r)
{
	request_flush_compute(a, r);
	request_begin_op(a, r, &c->call.op);
	c->owner = (struct request_ref){ r, r->row.request_id };
	c->call.unit = NULL;
}

static void connection_remove(struct assembler *a, struct connection *c)
{
	struct connection **at = bucket_of(a, c->key);

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	datagram_forget(a, c);
	a->locals_count -= c->local;
	free(c->turns);
	free(c);
}

static const char *status_at_end(const struct request *r, int64_t close_ns)
{
	if (request_is_answered(r))
		return "";
	if (r->no_reply)
		return "no-reply";
	return close_ns == TRACE_NONE ? "open" : "unanswered";
}

/* Closes all that is open; returns how many had no answer. */
static uint64_t close_requests(struct assembler *a, struct connection *c, int64_t close_ns)
{
	uint64_t open = 0;

	while (c->first) {
		const char *status = status_at_end(c->first, close_ns);

		open += !strcmp(status, "open");
		request_close(a, c->first, status);
	}
	return open;
}

void connection_pause(struct assembler *a, struct connection *c)
{
	connection_call_end(a, c);
	tls_pause(c);
	a->ledger.count[LG_OPEN_AT_PAUSE] += close_requests(a, c, TRACE_NONE);
	c->previous = 0;
	c->owner = (struct request_ref){ 0 };
	c->paused = true;
}

/* Writes the connection's row, and its last requests'. close_ns TRACE_NONE: it goes on. */
void connection_finish(struct assembler *a, struct connection *c, int64_t close_ns)
{
	struct dependence verdict;

	connection_call_end(a, c);
	a->ledger.count[LG_OPEN_AT_END] += close_requests(a, c, close_ns);
	tls_finish(a, c);
	verdict = dependence_judge(c->turns, c->turns_count);
	c->row.dependent = verdict.dependent;
	c->row.confidence = verdict.confidence;
	c->row.close_ns = close_ns;
	assembly_write(a, TABLE_CONNECTIONS, &c->row);
	connection_remove(a, c);
}

void connection_closed(struct assembler *a, const struct event_socket *e)
{
	struct connection *c = connection_find(a, e->socket_id);

	if (!c) {
		datagram_socket_closed(a, e);
		return;
	}
	connection_round_trips(c, e->srtt_us, e->min_rtt_us);
	connection_finish(a, c, TRACE_TIME(a, e->head.ns));
}

void connections_left(struct assembler *a, uint32_t tgid, int64_t close_ns)
{
	struct connection *next;

	for (size_t i = 0; i < CONNECTION_BUCKETS && a->locals_count; i++)
		for (struct connection *c = a->connections[i]; c; c = next) {
			next = c->next;
			if (c->local && c->tgid == tgid)
				connection_finish(a, c, close_ns);
		}
}
