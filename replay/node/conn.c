/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/conn.h"

#include "probe/probe.h"
#include "replay/node/limits.h"
#include "replay/node/service.h"
#include "replay/node/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn *conn_new(uint64_t connection_id, struct worker *worker)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->source = (struct source){ SOURCE_CONN, -1 };
	c->channel = CHANNEL_NONE;
	queue_init(&c->inbox);
	c->connection_id = connection_id;
	c->worker = worker;
	return c;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	channel_close(&c->channel);
	free(c);
}

void conn_mail(struct conn *c)
{
	if (atomic_exchange(&c->mailed, true))
		return;
	stack_push(&c->worker->mail, &c->mail);
	worker_wake(c->worker);
}

void conn_put(struct conn *c, struct queued_request *q)
{
	queue_push(&c->inbox, &q->link);
	if (atomic_load(&c->hungry) || atomic_load(&c->closed))
		conn_mail(c);
}

struct queued_request *conn_take_planned(struct conn *c)
{
	return (struct queued_request *)queue_pop(&c->inbox);
}

static void drop_planned(struct worker *w, struct conn *c)
{
	struct queued_request *q;

	while ((q = conn_take_planned(c))) {
		forward_forget(w, q);
		node_plan_give(&w->service->plan, q);
	}
}

static void watch(struct worker *w, struct conn *c, uint32_t events)
{
	if (c->source.fd < 0 || c->events == events)
		return;
	worker_watch(w, &c->source, c->events, events);
	c->events = events;
}

static bool is_hungry(struct conn *c)
{
	return atomic_load_explicit(&c->hungry, memory_order_relaxed);
}

static bool may_read(struct conn *c)
{
	return !c->eof && !c->blocked && !is_hungry(c);
}

/*
 * Reading is only switched off when bytes have come that must wait (conn_event()):
 * most often none do, and a system call is saved.
 */
static void watch_what_is_needed(struct worker *w, struct conn *c)
{
	uint32_t reads = channel_read_events(&c->channel);
	uint32_t in = may_read(c) ? reads : c->eof ? 0 : c->events & EPOLLIN;

	watch(w, c, in | (c->sending ? channel_write_events(&c->channel) : 0));
}

static void close_conn(struct worker *w, struct conn *c)
{
	conn_break(w, c);
	atomic_store(&c->closed, true);
	drop_planned(w, c);
}

void conn_break(struct worker *w, struct conn *c)
{
	watch(w, c, 0);
	channel_close(&c->channel);
	c->source.fd = -1;
	c->eof = true;
	c->received_bytes = 0;
}

/* A message that overtook its plan waits; NULL: so it is. */
static struct queued_request *wait_for_plan(struct worker *w, struct conn *c)
{
	struct queued_request *q;

	atomic_store(&c->hungry, true);
	q = conn_take_planned(c); /* it may have come before the flag was seen */
	if (!q)
		w->exec.ledger.count[LG_PLAN_OVERTAKEN]++;
	return q;
}

static void note_behind(struct conn *c, uint64_t received, const struct plan_request *request)
{
	c->arrival.behind = received > request->request_bytes ? received - request->request_bytes :
								0;
}

/*
 * The thread's counters when the first that it has just received arrived; NULL: they are not known. The
 * kernel's fast clock may be a few ns ahead of ours: a counter that seems to have gone back has not moved.
 */
static const uint64_t *counters_at_first(const struct thread_slot *slot, const struct stamp *now,
					 uint64_t then[TS_COUNT])
{
	if (slot->rx_counted != slot->rx_arrival_ns ||
	    now->ns - (int64_t)slot->rx_arrival_ns >= (int64_t)COUNTED_WITHIN_NS)
		return NULL;
	for (size_t i = 0; i < TS_COUNT; i++) {
		uint32_t moved = (uint32_t)now->counters[i] - slot->rx_low[i];

		then[i] = now->counters[i] - (moved < COUNTED_WITHIN_NS ? moved : 0);
	}
	return then;
}

/* The same at any time, as far back as the slot's log goes. */
static const uint64_t *counters_at(const struct thread_slot *slot, const struct stamp *now,
				   int64_t at_ns, uint64_t then[TS_COUNT])
{
	int64_t since[TS_COUNT];

	if (at_ns == (int64_t)slot->rx_arrival_ns)
		return counters_at_first(slot, now, then);
	if (!probe_read_between(slot, at_ns, now->ns, since))
		return NULL;
	for (size_t i = 0; i < TS_COUNT; i++)
		then[i] = now->counters[i] - (uint64_t)since[i];
	return then;
}

/* The next message came then; w->reading is of its receive. */
static void arrive(struct worker *w, struct arrival *arrival, int64_t at_ns)
{
	const struct thread_slot *slot = w->exec.meter.slot;
	const uint64_t *counters;
	uint64_t then[TS_COUNT];

	arrival->first_ns = at_ns < arrival->read_ns ? at_ns : arrival->read_ns;
	arrival->split = at_ns > 0;
	counters = arrival->split ? counters_at(slot, &w->reading.leave, at_ns, then) : NULL;
	arrival->counted = counters != NULL;
	if (arrival->split)
		reading_split(&w->reading, arrival->first_ns, counters, arrival->unread,
			      arrival->own);
}

static void arrive_with_latest(struct arrival *arrival)
{
	arrival->first_ns = arrival->latest_ns;
	arrival->split = arrival->latest_ns > 0;
	arrival->counted = false;
	memset(arrival->unread, 0, sizeof(arrival->unread));
	memset(arrival->own, 0, sizeof(arrival->own));
	if (arrival->split)
		arrival->unread[TS_KERNEL_NET] = arrival->read_ns - arrival->latest_ns;
}

/* Whether the slot and w->reading still tell of that receive, and no later one. */
static bool is_last_receive(const struct worker *w, const struct arrival *arrival)
{
	const struct thread_slot *slot = w->exec.meter.slot;
	const struct reading *r = &w->reading;

	return arrival->sequence && slot && slot->rx_sequence == arrival->sequence &&
	       r->leave.ns == arrival->read_ns && r->wake.ns <= r->enter.ns;
}

void conn_arrive_next(struct worker *w, struct conn *c)
{
	struct arrival *arrival = &c->arrival;
	int64_t at_ns = 0;

	if (arrival->behind && is_last_receive(w, arrival))
		at_ns = probe_read_arrival(w->exec.meter.slot, arrival->behind);
	if (!at_ns)
		arrive_with_latest(arrival);
	else if (!arrival->split || at_ns != arrival->first_ns) /* else they came together */
		arrive(w, arrival, at_ns);
}

/* The slot's stamps are of the receive of n bytes that has just returned. */
static void note_arrival(struct worker *w, struct conn *c, uint64_t n)
{
	const struct thread_slot *slot = w->exec.meter.slot;
	struct arrival *arrival = &c->arrival;

	arrival->latest_ns = (int64_t)slot->rx_latest_ns;
	if (arrival->latest_ns > arrival->read_ns)
		arrival->latest_ns = arrival->read_ns;
	arrival->sequence = c->channel.tls ? 0 : slot->rx_sequence;
	if (!c->incoming) {
		arrive(w, arrival, (int64_t)slot->rx_arrival_ns);
		return;
	}
	arrival->split = false;
	note_behind(c, c->received_bytes + n, &c->incoming->plan->request);
	conn_arrive_next(w, c);
}

static bool begin_next(struct worker *w, struct conn *c)
{
	struct queued_request *q;

	if (!c->received_bytes)
		return false;
	q = conn_take_planned(c);
	if (!q && !is_hungry(c))
		q = wait_for_plan(w, c);
	if (!q)
		return false;
	if (is_hungry(c))
		atomic_store(&c->hungry, false);
	note_behind(c, c->received_bytes, &q->request);
	c->incoming = serve_begin(w, c, q);
	conn_arrive_next(w, c);
	if (!c->incoming)
		conn_break(w, c);
	return c->incoming;
}

void conn_add(struct conn *c, struct active *a)
{
	*(c->last ? &c->last->behind : &c->first) = a;
	c->last = a;
}

void conn_remove(struct conn *c, struct active *a)
{
	struct active *before = c->first == a ? NULL : c->first;

	while (before && before->behind != a)
		before = before->behind;
	*(before ? &before->behind : &c->first) = a->behind;
	if (c->last == a)
		c->last = before;
}

/* The next request whose bytes are all there, if it may run now. */
static struct active *next_request(struct worker *w, struct conn *c)
{
	struct active *a;

	if (c->first && c->first->state == ACTIVE_TURN)
		return c->first;
	if (c->blocked || (!c->incoming && !begin_next(w, c)))
		return NULL;
	a = c->incoming;
	if (c->received_bytes < a->plan->request.request_bytes)
		return NULL;
	c->received_bytes -= a->plan->request.request_bytes;
	c->incoming = NULL;
	conn_add(c, a);
	serve_ready(w, a);
	return a;
}

/* One that is all there is of the receive. */
static void note_datagram(struct worker *w, struct conn *c, int64_t arrival_ns)
{
	struct arrival *arrival = &c->arrival;

	arrival->latest_ns = arrival_ns < arrival->read_ns ? arrival_ns : arrival->read_ns;
	arrival->first_ns = arrival->latest_ns;
	arrival->split = true;
	arrival->counted = false;
	reading_split(&w->reading, arrival->first_ns, NULL, arrival->unread, arrival->own);
}

struct receipt receipt_begin(struct worker *w, struct account *account)
{
	struct meter *m = &w->exec.meter;

	meter_own(m, account);
	meter_mark(m, ACTIVITY_SELF);
	w->reading.enter = m->last;
	return (struct receipt){ .sequence = m->slot ? m->slot->rx_sequence : 0 };
}

void receipt_end(struct worker *w, struct receipt *receipt, ssize_t received)
{
	struct meter *m = &w->exec.meter;

	receipt->read_ns = meter_mark(m, ACTIVITY_NET);
	meter_disown(m);
	w->reading.leave = m->last;
	receipt->stamped = m->slot && received > 0 && m->slot->rx_sequence != receipt->sequence;
}

void conn_note_receive(struct worker *w, struct conn *c, const struct receipt *receipt,
		       ssize_t received)
{
	c->arrival.read_ns = receipt->read_ns;
	c->arrival.timeline = w->exec.meter.timeline;
	c->arrival.sequence = 0;
	if (receipt->stamped)
		note_arrival(w, c, (uint64_t)received);
	else if (receipt->arrival_ns)
		note_datagram(w, c, receipt->arrival_ns);
	else
		c->arrival.first_ns = c->arrival.latest_ns = 0;
}

ssize_t conn_receive(struct worker *w, struct conn *c)
{
	struct receipt receipt = receipt_begin(w, c->incoming ? &c->incoming->account : NULL);
	ssize_t n = channel_recv(&c->channel, w->received, NODE_RECEIVE_BYTES);

	receipt_end(w, &receipt, n);
	conn_note_receive(w, c, &receipt, n);
	return n;
}

/* True when something came. */
static bool read_more(struct worker *w, struct conn *c)
{
	ssize_t n = conn_receive(w, c);

	if (n > 0)
		c->received_bytes += (uint64_t)n;
	else if (!n)
		c->eof = true;
	else if (n != -EAGAIN && n != -EINTR)
		conn_break(w, c);
	return n > 0;
}

/* What TLS has taken off the socket already, and no event tells of. */
static bool read_left_over(struct worker *w, struct conn *c)
{
	return channel_has_more(&c->channel) && may_read(c) && read_more(w, c);
}

void conn_advance(struct worker *w, struct conn *c)
{
	struct active *a;

	if (c->walks) {
		walk_admitted(w, c);
		return;
	}
	if (c->sending && c->source.fd < 0)
		serve_resume_send(w, c->sending);
	do
		while ((a = next_request(w, c)))
			serve_run(w, a);
	while (read_left_over(w, c));
	if (c->eof && c->incoming) {
		serve_abandon(w, c->incoming);
		c->incoming = NULL;
	}
	if (c->eof && !c->first)
		close_conn(w, c);
	else
		watch_what_is_needed(w, c);
}

void conn_event(struct worker *w, struct conn *c, uint32_t events)
{
	uint32_t reads = channel_read_events(&c->channel) | EPOLLERR | EPOLLHUP;

	if (c->sending && events & channel_write_events(&c->channel))
		serve_resume_send(w, c->sending);
	if (events & (EPOLLERR | EPOLLHUP) && !may_read(c))
		conn_break(w, c);
	else if (events & reads && may_read(c))
		read_more(w, c);
	else if (events & EPOLLIN)
		watch(w, c, c->events & ~(uint32_t)EPOLLIN);
	conn_advance(w, c);
}

void conn_attend(struct worker *w, struct conn *c)
{
	atomic_store(&c->mailed, false);
	if (atomic_load(&c->closed)) {
		drop_planned(w, c);
		return;
	}
	conn_advance(w, c);
}
