/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams: a connection for each peer that a socket exchanged any with. Who sent the first one
 * asks; the other answers.
 */
#include "capture/assemble/assembly.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static uint64_t key_of(const struct datagram *d)
{
	uint64_t hash = d->socket_id;

	for (size_t i = 0; i < sizeof(d->remote_addr); i++)
		hash = (hash ^ d->remote_addr[i]) * 0x100000001b3u;
	return (hash ^ d->remote_port) * 0x9e3779b97f4a7c15u >> 16;
}

static void unlink_peer(struct assembler *a, struct connection *c)
{
	*(c->older ? &c->older->newer : &a->peers_oldest) = c->newer;
	*(c->newer ? &c->newer->older : &a->peers_newest) = c->older;
	c->older = c->newer = NULL;
	a->peers_count--;
}

static void link_peer(struct assembler *a, struct connection *c)
{
	c->older = a->peers_newest;
	*(a->peers_newest ? &a->peers_newest->newer : &a->peers_oldest) = c;
	a->peers_newest = c;
	a->peers_count++;
}

void datagram_forget(struct assembler *a, struct connection *c)
{
	if (c->datagrams)
		unlink_peer(a, c);
}

static struct connection *peer_find(struct assembler *a, const struct datagram *d, uint64_t key)
{
	struct connection *c = a->connections[key % CONNECTION_BUCKETS];

	while (c &&
	       (!c->datagrams || c->socket_id != d->socket_id || c->remote_port != d->remote_port ||
		memcmp(c->remote_addr, d->remote_addr, sizeof(c->remote_addr))))
		c = c->next;
	return c;
}

static struct connection *peer_new(struct assembler *a, const struct datagram *d, uint64_t key,
				   uint64_t ns)
{
	struct event_socket e = {
		.head.ns = d->arrival_ns ? d->arrival_ns : ns,
		.socket_id = d->socket_id,
		.family = AF_INET6,
		.local_port = d->local_port,
		.remote_port = d->remote_port,
		.flags = d->sent ? SOCKET_OUTGOING : 0,
	};
	struct connection *c;

	if (a->peers_count == DATAGRAM_PEERS_MAX)
		connection_finish(a, a->peers_oldest, a->peers_oldest->used_ns);
	memcpy(e.local_addr, d->local_addr, sizeof(e.local_addr));
	memcpy(e.remote_addr, d->remote_addr, sizeof(e.remote_addr));
	c = connection_new(a, &e, key);
	if (!c)
		return NULL;
	c->datagrams = c->framed = true;
	snprintf(c->row.transport, sizeof(c->row.transport), "udp");
	c->remote_port = d->remote_port;
	memcpy(c->remote_addr, d->remote_addr, sizeof(c->remote_addr));
	link_peer(a, c);
	return c;
}

/* The peer's connection, the latest of all from now on. */
static struct connection *peer_of(struct assembler *a, const struct datagram *d, uint64_t ns)
{
	uint64_t key = key_of(d);
	struct connection *c = peer_find(a, d, key);

	if (c) {
		unlink_peer(a, c);
		link_peer(a, c);
	} else {
		c = peer_new(a, d, key, ns);
	}
	if (c)
		c->used_ns = TRACE_TIME(a, ns);
	return c;
}

/* As if it had come on a stream. */
union as_stream {
	struct event_receive receive;
	struct event_send send;
	uint8_t room[sizeof(struct event_receive) + EVENT_BYTES_SMALL];
};

static void take(struct assembler *a, struct athread *t, union as_stream *s,
		 const struct datagram *d, const struct segment *seg)
{
	struct connection *c = peer_of(a, d, s->receive.call.head.ns);
	size_t seen = d->seen < EVENT_BYTES_SMALL ? d->seen : EVENT_BYTES_SMALL;

	if (!c || !d->bytes)
		return;
	s->receive.call.ret = d->bytes;
	if (d->sent) {
		s->send.call.head.kind = EVENT_SEND;
		s->send.seen = seen;
		memcpy(s->send.bytes, d->first, seen);
		turn_send_on(a, t, c, &s->send.call, seg);
	} else {
		s->receive.call.head.kind = EVENT_RECEIVE;
		s->receive.arrival_ns = s->receive.latest_ns = d->arrival_ns;
		s->receive.seen = seen;
		memcpy(s->receive.bytes, d->first, seen);
		turn_receive_on(a, t, c, &s->receive, seg);
	}
}

void datagram_call(struct assembler *a, struct athread *t, const struct event_datagram *e,
		   const struct segment *seg)
{
	union as_stream s = { .receive = { .call = e->call, .counted = e->counted } };

	memcpy(s.receive.arrival, e->arrival, sizeof(e->arrival));
	if (e->datagram.sent)
		memset(&s.send.seen, 0, sizeof(s) - offsetof(struct event_send, seen));
	take(a, t, &s, &e->datagram, seg);
}

void datagram_more(struct assembler *a, struct athread *t, const struct event_datagram_more *e)
{
	int64_t now = t->last_ns; /* of the call: since it was told, an interrupt may have come */
	struct segment seg = { .enter_ns = now, .exit_ns = now, .start_ns = now, .end_ns = now };
	union as_stream s = { .receive.call = { .head = e->head,
						.enter_ns = e->head.ns,
						.socket_id = e->datagram.socket_id,
						.object = OBJECT_SOCKET,
						.offset = -1,
						.more = 1 } };

	memcpy(s.receive.call.enter, t->last, sizeof(t->last));
	memcpy(s.receive.call.exit, t->last, sizeof(t->last));
	take(a, t, &s, &e->datagram, &seg);
}

void datagram_socket_closed(struct assembler *a, const struct event_socket *e)
{
	struct connection *next;

	for (struct connection *c = a->peers_oldest; c; c = next) {
		next = c->newer;
		if (c->socket_id == e->socket_id)
			connection_finish(a, c, TRACE_TIME(a, e->head.ns));
	}
}
