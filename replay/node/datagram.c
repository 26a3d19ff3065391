/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/datagram.h"

#include "base/clock.h"
#include "replay/node/limits.h"
#include "replay/node/service.h"
#include "replay/node/walk.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* As many as came when its buffer was full, since it was opened. */
static uint32_t drops_of(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(info);

	getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size);
	return info[SK_MEMINFO_DROPS];
}

void datagrams_count_drops(struct worker *w)
{
	for (size_t i = 0; i < w->datagrams.ports_count; i++) {
		const struct datagram_port *port = w->datagrams.ports[i];

		if (port->counts)
			w->exec.ledger.count[LG_DATAGRAMS_DROPPED] +=
				drops_of(port->fd) - port->drops;
	}
}

struct datagram_port *datagram_work_add(struct datagram_work *work, const struct listener *l,
					int fd, bool counts)
{
	struct datagram_port *port = calloc(1, sizeof(*port));

	if (!port || (!work->peers.buckets && peers_init(&work->peers))) {
		free(port);
		return NULL;
	}
	port->listener = l;
	port->fd = fd;
	port->counts = counts;
	port->drops = drops_of(fd);
	work->ports[work->ports_count++] = port;
	return port;
}

/* --- peers --------------------------------------------------------------------------------- */

static struct datagram_peer *of_datagrams(struct peer *p)
{
	return (struct datagram_peer *)p;
}

/* What it asked for goes on, and nobody hears of it. */
static void peer_forget(struct worker *w, struct datagram_peer *p)
{
	peers_remove(&w->datagrams.peers, &p->peer);
	w->exec.ledger.count[LG_PEERS_FORGOTTEN]++;
	p->conn->peer = NULL;
	walk_peer_gone(w, p->conn);
	free(p);
}

void datagram_peers_expire(struct worker *w)
{
	const int64_t idle_ns = w->service->setup.workers->peer_idle_ns;
	struct peer *p;

	while ((p = peers_overdue(&w->datagrams.peers, NODE_PEERS_MAX, idle_ns,
				  w->exec.meter.last.ns)))
		peer_forget(w, of_datagrams(p));
}

/* NULL: no memory, or the preface names no connection that it may be. */
static struct datagram_peer *peer_new(struct worker *w, struct datagram_port *port,
				      const struct endpoint *at, const struct wire_preface *preface)
{
	struct datagram_peer *p = calloc(1, sizeof(*p));
	bool ours;

	if (p)
		p->conn = service_claim(w->service, w, preface, at, &ours);
	if (!p || !p->conn) {
		free(p);
		return NULL;
	}
	p->port = port;
	p->peer = (struct peer){ .port = port,
				 .at = *at,
				 .connection_id = preface->connection_id,
				 .ages = p->conn->walks };
	memcpy(p->token, preface->token, sizeof(p->token));
	p->conn->peer = p;
	peers_add(&w->datagrams.peers, &p->peer, w->exec.meter.last.ns);
	datagram_peers_expire(w);
	return p;
}

static void drop_peer(struct peer *p)
{
	free(of_datagrams(p));
}

void datagram_work_release(struct datagram_work *work)
{
	peers_release(&work->peers, drop_peer);
	for (size_t i = 0; i < work->ports_count; i++)
		free(work->ports[i]);
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

/* One that has been overtaken: it is waited for until so many more have been. */
static void keep_missed(struct worker *w, struct datagram_peer *p, uint32_t index,
			struct queued_request *q)
{
	struct datagram_missed *missed = &p->missed[p->next_missed++ % DATAGRAM_MISSED];

	if (missed->request)
		node_plan_give(&w->service->plan, missed->request);
	*missed = (struct datagram_missed){ index, q };
}

static struct queued_request *find_missed(struct datagram_peer *p, uint32_t index)
{
	for (size_t i = 0; i < DATAGRAM_MISSED; i++) {
		struct queued_request *q = p->missed[i].request;

		if (!q || p->missed[i].index != index)
			continue;
		p->missed[i].request = NULL;
		return q;
	}
	return NULL;
}

/* A request of the plan by its place in it; NULL: it was served or given up, or is not known yet. */
static struct queued_request *find_planned(struct worker *w, struct datagram_peer *p,
					   uint32_t index)
{
	if (index < p->taken)
		return find_missed(p, index);
	for (;;) {
		struct queued_request *q = conn_take_planned(p->conn);

		if (!q) {
			w->exec.ledger.count[LG_PLAN_OVERTAKEN]++;
			return NULL;
		}
		if (p->taken++ == index)
			return q;
		keep_missed(w, p, p->taken - 1, q);
	}
}

/* Of a recorded service: requests of a connection are served side by side. */
static bool take_planned(struct worker *w, struct datagram_peer *p,
			 const struct wire_message *message)
{
	struct queued_request *q = find_planned(w, p, message->attempt);
	struct active *a = q ? serve_begin(w, p->conn, q) : NULL;

	if (!a)
		return false;
	conn_arrive_next(w, p->conn);
	a->message = *message;
	conn_add(p->conn, a);
	serve_ready(w, a);
	serve_run(w, a);
	return true;
}

/* To the thread that has the connection. False: this one has, or none. */
static bool hand_over(struct worker *w, const struct datagram_port *port, const struct dgram *d,
		      const struct wire_preface *preface)
{
	struct worker *to = service_worker_of(w->service, preface);
	struct stranger *stranger = NULL;

	if (to && to != w)
		stranger = stranger_new_datagram(port->listener, d);
	if (!stranger)
		return false;
	stack_push(&to->handed, &stranger->handed);
	worker_wake(to);
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
	p = of_datagrams(peers_find(&w->datagrams.peers, port, &d->peer, preface.connection_id));
	if (p ? !wire_tokens_equal(p->token, preface.token) :
		!service_signed(w->service, &preface)) {
		if (!pass_on(w, port, d))
			refuse(w);
		return;
	}
	if (!p)
		p = peer_new(w, port, &d->peer, &preface);
	if (!p) {
		if (!hand_over(w, port, d, &preface))
			refuse(w);
		return;
	}
	peers_heard(&w->datagrams.peers, &p->peer, w->exec.meter.last.ns);
	conn_note_receive(w, p->conn, receipt, 0);
	if (!(p->conn->walks ? walk_datagram(w, p->conn, &message) : take_planned(w, p, &message)))
		refuse(w);
}

/* With probes one at a time: its stamps are its own. */
int datagrams_event(struct worker *w, struct datagram_port *port)
{
	struct receipt receipt = receipt_begin(w, NULL);
	int n = datagrams_receive(port->fd, &port->in, w->exec.meter.slot ? 1 : DATAGRAM_BATCH,
				  w->received);

	receipt_end(w, &receipt, n);
	if (n > 0 && w->exec.meter.slot)
		receipt.arrival_ns = stamps_tell(&w->exec.stamps, port->in.at[0].stamp_ns);
	for (int i = 0; i < n; i++)
		take(w, port, &port->in.at[i], &receipt);
	datagrams_flush(w, port);
	return n;
}

void datagram_offered(struct worker *w, struct stranger *stranger)
{
	const struct receipt receipt = { .read_ns = clock_now_ns() };

	for (size_t i = 0; i < w->datagrams.ports_count; i++) {
		struct datagram_port *port = w->datagrams.ports[i];

		if (port->listener != stranger->listener)
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
	d->peer = c->peer->peer.at;
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

void datagram_answer(struct worker *w, struct active *a, uint64_t bytes)
{
	struct meter *m = &w->exec.meter;
	uint64_t tx_sequence = m->slot ? m->slot->tx_sequence : 0;
	int64_t start_ns = meter_mark(m, ACTIVITY_SELF);
	const struct wire_message message = {
		.size = (uint32_t)(bytes > WIRE_MESSAGE_BYTES ? bytes : WIRE_MESSAGE_BYTES),
		.status = a->row.status ? WIRE_STATUS_ERROR : WIRE_STATUS_OK,
		.request = a->message.request,
		.attempt = a->message.attempt,
		.cookie = (uint32_t)bytes,
	};

	w->exec.ledger.count[LG_MESSAGES_RAISED] += message.size > bytes;
	datagram_reply(w, a->conn, &message);
	datagrams_flush(w, a->conn->peer->port);
	serve_note_sent(w, a, tx_sequence, start_ns);
}
