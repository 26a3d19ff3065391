/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node_datagram.h"

#include "base/clock.h"
#include "replay/limits.h"
#include "replay/node_service.h"
#include "replay/node_walk.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 16384 /* a power of two */

int datagram_work_add(struct datagram_work *work, size_t listener, const struct listener *l, int fd)
{
	struct datagram_port *port = calloc(1, sizeof(*port));

	if (!work->buckets)
		work->buckets = calloc(BUCKETS, sizeof(struct datagram_peer *));
	if (!port || !work->buckets) {
		free(port);
		return -ENOMEM;
	}
	port->listener = l;
	port->fd = fd;
	work->ports[listener] = port;
	return 0;
}

/* --- peers --------------------------------------------------------------------------------- */

/* Unless they want to, peers differ in their ports. */
static size_t bucket_of(const struct endpoint *at, uint64_t connection_id)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&at->at;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&at->at;
	uint64_t h = connection_id * 0x9e3779b97f4a7c15u;

	if (at->at.ss_family == AF_INET6)
		h ^= v6->sin6_port | (uint64_t)v6->sin6_addr.s6_addr32[3] << 16;
	else
		h ^= v4->sin_port | (uint64_t)v4->sin_addr.s_addr << 16;
	h *= 0xff51afd7ed558ccdu;
	return (h >> 40) & (BUCKETS - 1);
}

static bool is_peer(const struct datagram_peer *p, const struct datagram_port *port,
		    const struct endpoint *at, uint64_t connection_id)
{
	return p->port == port && p->conn->connection_id == connection_id &&
	       p->at.size == at->size && !memcmp(&p->at.at, &at->at, at->size);
}

static void unlink_age(struct datagram_work *work, struct datagram_peer *p)
{
	*(p->older ? &p->older->newer : &work->oldest) = p->newer;
	*(p->newer ? &p->newer->older : &work->newest) = p->older;
}

static void link_newest(struct datagram_work *work, struct datagram_peer *p)
{
	p->older = work->newest;
	p->newer = NULL;
	*(work->newest ? &work->newest->newer : &work->oldest) = p;
	work->newest = p;
}

/* What it asked for goes on, and nobody hears of it. */
static void peer_forget(struct worker *w, struct datagram_peer *p)
{
	struct datagram_work *work = &w->datagrams;
	struct datagram_peer **at = &work->buckets[bucket_of(&p->at, p->conn->connection_id)];

	while (*at != p)
		at = &(*at)->same;
	*at = p->same;
	unlink_age(work, p);
	work->peers--;
	p->conn->peer = NULL;
	if (p->conn->walks)
		walk_peer_gone(w, p->conn);
	free(p);
}

static struct datagram_peer *peer_find(struct datagram_work *work, struct datagram_port *port,
				       const struct endpoint *at, uint64_t connection_id)
{
	struct datagram_peer *p = work->buckets[bucket_of(at, connection_id)];

	while (p && !is_peer(p, port, at, connection_id))
		p = p->same;
	return p;
}

/* NULL: no memory, or the preface names no connection that it may be. */
static struct datagram_peer *peer_new(struct worker *w, struct datagram_port *port,
				      const struct endpoint *at, const struct wire_preface *preface)
{
	struct datagram_work *work = &w->datagrams;
	struct datagram_peer *p = calloc(1, sizeof(*p)), **bucket;
	bool ours;

	if (p)
		p->conn = service_claim(w->service, w, preface, &ours);
	if (!p || !p->conn) {
		free(p);
		return NULL;
	}
	if (work->peers == NODE_PEERS_MAX)
		peer_forget(w, work->oldest);
	p->port = port;
	p->at = *at;
	p->conn->peer = p;
	bucket = &work->buckets[bucket_of(at, preface->connection_id)];
	p->same = *bucket;
	*bucket = p;
	link_newest(work, p);
	work->peers++;
	return p;
}

static void peer_heard(struct worker *w, struct datagram_peer *p)
{
	p->heard_ns = w->exec.meter.last.ns;
	unlink_age(&w->datagrams, p);
	link_newest(&w->datagrams, p);
}

void datagram_peers_expire(struct worker *w)
{
	struct datagram_work *work = &w->datagrams;
	int64_t since_ns = w->exec.meter.last.ns - NODE_PEER_IDLE_S * NS_PER_SEC;

	while (work->oldest && work->oldest->heard_ns < since_ns)
		peer_forget(w, work->oldest);
}

void datagram_work_release(struct datagram_work *work)
{
	while (work->oldest) {
		struct datagram_peer *newer = work->oldest->newer;

		free(work->oldest);
		work->oldest = newer;
	}
	for (size_t i = 0; i < NODE_LISTENERS_MAX; i++)
		free(work->ports[i]);
	free(work->buckets);
}

/* --- requests ------------------------------------------------------------------------------ */

static void refuse(struct worker *w)
{
	w->exec.ledger.count[LG_DATAGRAMS_REFUSED]++;
	w->exec.stats.datagrams_refused++;
}

/* Of another session, maybe: the control thread knows whose. False: there is no other. */
static bool pass_on(struct worker *w, const struct datagram_port *port, const struct dgram *d)
{
	struct stranger *stranger = NULL;

	if (atomic_load(&w->service->setup.listeners->sessions) > 1)
		stranger = stranger_new_datagram(port->listener, d);
	if (!stranger)
		return false;
	atomic_fetch_add(&w->service->datagrams_refused, 1); /* until somebody takes it */
	service_pass_stranger(w->service, stranger);
	return true;
}

static void take(struct worker *w, struct datagram_port *port, const struct dgram *d,
		 const struct receipt *receipt)
{
	struct datagram_peer *p;
	struct wire_preface preface;
	struct wire_message message;

	if (!datagram_get_request(d, &preface, &message)) {
		refuse(w);
		return;
	}
	if (!service_has_token(w->service, preface.token)) {
		if (!pass_on(w, port, d))
			refuse(w);
		return;
	}
	p = peer_find(&w->datagrams, port, &d->peer, preface.connection_id);
	if (!p)
		p = peer_new(w, port, &d->peer, &preface);
	if (!p) {
		refuse(w);
		return;
	}
	peer_heard(w, p);
	conn_note_receive(w, p->conn, receipt);
	if (!walk_datagram(w, p->conn, &message))
		refuse(w);
}

/* With probes one at a time: its stamps are its own. */
int datagrams_event(struct worker *w, struct datagram_port *port)
{
	struct receipt receipt = receipt_begin(w, NULL);
	int n = datagrams_receive(port->fd, &port->in, w->exec.meter.slot ? 1 : DATAGRAM_BATCH,
				  w->received);

	receipt_end(w, &receipt, n);
	for (int i = 0; i < n; i++)
		take(w, port, &port->in.at[i], &receipt);
	datagrams_flush(w, port);
	return n;
}

void datagram_offered(struct worker *w, struct stranger *stranger)
{
	const struct receipt receipt = { .read_ns = clock_now_ns() };

	for (size_t i = 0; i < NODE_LISTENERS_MAX; i++) {
		struct datagram_port *port = w->datagrams.ports[i];

		if (!port || port->listener != stranger->listener)
			continue;
		take(w, port, stranger->datagram, &receipt);
		datagrams_flush(w, port);
	}
	stranger_free(stranger);
}

void datagrams_pass_on(struct worker *w, struct datagram_port *port)
{
	struct wire_preface preface;
	struct wire_message message;

	while (datagrams_receive(port->fd, &port->in, DATAGRAM_BATCH, w->received) > 0)
		for (unsigned i = 0; i < port->in.count; i++)
			if (datagram_get_request(&port->in.at[i], &preface, &message))
				pass_on(w, port, &port->in.at[i]);
}

/* --- replies ------------------------------------------------------------------------------- */

void datagram_reply(struct worker *w, const struct conn *c, const struct wire_message *message)
{
	struct datagram_port *port = c->peer->port;
	struct dgram *d;

	if (message->size > DATAGRAM_MAX) {
		w->exec.ledger.count[LG_DATAGRAMS_UNSENT]++;
		return;
	}
	if (port->out.count == DATAGRAM_BATCH)
		datagrams_flush(w, port);
	d = &port->out.at[port->out.count++];
	d->peer = c->peer->at;
	datagram_put_reply(d, message);
}

/* Full it is for as long as the device needs to send some: no peer holds it up. */
static int send_some(struct datagram_port *port, unsigned first, const void *filler)
{
	struct pollfd room = { .fd = port->fd, .events = POLLOUT };
	int n = datagrams_send(port->fd, &port->out, first, filler);

	if (n == -EAGAIN && poll(&room, 1, NODE_DATAGRAM_MS) > 0)
		n = datagrams_send(port->fd, &port->out, first, filler);
	return n;
}

void datagrams_flush(struct worker *w, struct datagram_port *port)
{
	struct meter *m = &w->exec.meter;
	unsigned sent = 0;

	if (!port->out.count)
		return;
	meter_mark(m, ACTIVITY_SELF);
	while (sent < port->out.count) {
		int n = send_some(port, sent, w->exec.setup->storage->filler);

		if (n == -EINTR)
			continue;
		if (n < 0) /* of the first of them */
			w->exec.ledger.count[LG_DATAGRAMS_UNSENT]++;
		sent += n < 0 ? 1 : (unsigned)n;
	}
	port->out.count = 0;
	meter_mark(m, ACTIVITY_NET);
}
