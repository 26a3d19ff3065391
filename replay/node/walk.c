/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/walk.h"

#include "replay/node/datagram.h"
#include "replay/node/forward_datagram.h"
#include "replay/node/limits.h"
#include "replay/node/service.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

static struct walk_conn *of_walk(struct conn *c)
{
	return (struct walk_conn *)c;
}

static struct walk_slot *slot_of(struct queued_request *q)
{
	return (struct walk_slot *)((char *)q - offsetof(struct walk_slot, request));
}

static struct walk_program *program_of(const struct worker *w)
{
	return w->service->walk;
}

/* --- the program --------------------------------------------------------------------------- */

/* A chain that nothing has to be drawn for and nothing run. */
static uint64_t plain_reply_bytes(const struct chain *c)
{
	const struct chain_op *op = c->ops;

	if (c->count != 1 || op->kind != OP_REPLY || op->flags || !spec_is_constant(&op->amount))
		return 0;
	return spec_draw(&op->amount, &(struct spec_key){ 0 });
}

int walk_program_init(struct walk_program *p, const struct wire_walk *walk, const char *text,
		      uint64_t work_per_ms, struct err *err)
{
	int rc = chain_parse_text(&p->chain, text, walk->text_bytes, err);

	if (rc)
		return rc;
	p->chain.work_per_ms = work_per_ms;
	chain_calls_init(&p->calls, &p->chain);
	p->seed = walk->seed;
	p->ops_max = p->chain.count;
	p->rows = walk->rows;
	p->timelines = walk->rows == 2;
	p->plain_reply_bytes = walk->rows ? 0 : plain_reply_bytes(&p->chain);
	return 0;
}

void walk_program_release(struct walk_program *p)
{
	chain_release(&p->chain);
}

/* --- memory -------------------------------------------------------------------------------- */

int walk_work_init(struct walk_work *work, const struct walk_program *program)
{
	work->drawn = calloc(program ? program->ops_max : 1, sizeof(*work->drawn));
	work->staging = calloc(1, NODE_RECEIVE_BYTES);
	if (getrandom(&work->call_serial, sizeof(work->call_serial), 0) !=
	    sizeof(work->call_serial))
		abort(); /* so few are always there */
	return work->drawn && work->staging ? 0 : -ENOMEM;
}

static struct walk_slot *slot_take(struct worker *w)
{
	struct walk_work *work = &w->walk;
	struct walk_slot *slot = work->spare;

	if (slot) {
		work->spare = slot->next;
		return slot;
	}
	slot = malloc(sizeof(*slot) + program_of(w)->ops_max * sizeof(slot->ops[0]));
	if (!slot)
		return NULL;
	slot->after = work->slots;
	work->slots = slot;
	return slot;
}

static void slot_give(struct worker *w, struct walk_slot *slot)
{
	slot->next = w->walk.spare;
	w->walk.spare = slot;
}

struct conn *walk_conn_new(struct worker *w, uint64_t connection_id)
{
	struct walk_conn *wc = calloc(1, sizeof(*wc));

	if (!wc)
		return NULL;
	wc->conn.source = (struct source){ SOURCE_WALK, -1 };
	wc->conn.channel = CHANNEL_NONE;
	wc->conn.connection_id = connection_id;
	wc->conn.worker = w;
	wc->conn.walks = true;
	wc->after = w->walk.conns;
	if (wc->after)
		wc->after->before = wc;
	w->walk.conns = wc;
	return &wc->conn;
}

static void conn_forget(struct walk_work *work, struct walk_conn *wc)
{
	*(wc->before ? &wc->before->after : &work->conns) = wc->after;
	if (wc->after)
		wc->after->before = wc->before;
	channel_close(&wc->conn.channel);
	replies_release(&wc->replies);
	free(wc);
}

/* It is looked at when the pass ends. */
static void doom(struct walk_work *work, struct walk_conn *wc)
{
	wc->dead = true;
	if (wc->doomed)
		return;
	wc->doomed = true;
	wc->next_doomed = work->doomed;
	work->doomed = wc;
}

void walk_sweep(struct worker *w)
{
	struct walk_conn *wc = w->walk.doomed, *next;

	w->walk.doomed = NULL;
	for (; wc; wc = next) {
		next = wc->next_doomed;
		wc->doomed = false;
		if (!wc->open)
			conn_forget(&w->walk, wc);
	}
}

uint64_t walk_work_open(const struct walk_work *work)
{
	uint64_t open = 0;

	for (const struct walk_conn *wc = work->conns; wc; wc = wc->after)
		open += wc->open;
	return open;
}

void walk_work_release(struct walk_work *work)
{
	while (work->conns)
		conn_forget(work, work->conns);
	while (work->slots) { /* those under way too */
		struct walk_slot *after = work->slots->after;

		free(work->slots);
		work->slots = after;
	}
	forward_work_release(&work->forward);
	free(work->drawn);
	free(work->staging);
}

/* --- replies ------------------------------------------------------------------------------- */

void walk_drop(struct worker *w, struct walk_conn *wc)
{
	struct conn *c = &wc->conn;

	if (c->source.fd >= 0)
		worker_watch(w, &c->source, c->events, 0);
	channel_close(&c->channel);
	c->source.fd = -1;
	c->events = 0;
	replies_drop(&wc->replies);
	doom(&w->walk, wc);
	if (wc->peer)
		forward_lost(w, wc);
}

static void message_add(struct worker *w, struct walk_conn *wc, const struct walk_reply *message)
{
	if (wc->conn.source.fd >= 0 && replies_add(&wc->replies, message))
		walk_drop(w, wc);
}

/* Where it comes from, if it does so out of a file. */
static void take_from_file(struct walk_reply *reply, const struct queued_op *q)
{
	if (!q || !(q->op.flags & OPF_SENDFILE) || !q->target || storage_fd(q->target) < 0)
		return;
	reply->offset =
		storage_reply_offset(q->target, &q->op, reply->message.size - WIRE_MESSAGE_BYTES);
	reply->file = reply->offset >= 0 ? q->target : NULL;
}

static void reply_add(struct worker *w, struct walk_conn *wc, const struct wire_message *m,
		      uint64_t bytes, uint8_t status, const struct queued_op *q)
{
	struct walk_reply reply = { .message = *m };

	reply.message.size = (uint32_t)(bytes > WIRE_MESSAGE_BYTES ? bytes : WIRE_MESSAGE_BYTES);
	reply.message.status = status;
	if (wc->conn.peer) {
		datagram_reply(w, &wc->conn, &reply.message);
		return;
	}
	take_from_file(&reply, q);
	message_add(w, wc, &reply);
}

/* What the file lacks is made up; so is all of it when it cannot be sent. */
static ssize_t send_file(struct walk_conn *wc, struct walk_reply *r, uint64_t behind)
{
	uint64_t left = r->message.size - WIRE_MESSAGE_BYTES - behind;
	ssize_t n = channel_sendfile(&wc->conn.channel, storage_fd(r->file),
				     r->offset + (off_t)behind, left);

	if (n > 0 || n == -EAGAIN || n == -EINTR || n == -EPIPE || n == -ECONNRESET)
		return n;
	r->file = NULL;
	return 0;
}

/* Sends what the socket takes. */
static void flush(struct worker *w, struct walk_conn *wc)
{
	struct meter *m = &w->exec.meter;

	if (wc->conn.peer)
		datagrams_flush(w, wc->conn.peer->port);
	while (wc->replies.count && wc->conn.source.fd >= 0 && !wc->dialled) {
		uint64_t behind;
		struct walk_reply *file = replies_in_file(&wc->replies, &behind);
		size_t bytes = replies_compose(&wc->replies, w->walk.staging,
					       file ? 0 : NODE_RECEIVE_BYTES);
		ssize_t n;

		meter_mark(m, ACTIVITY_SELF);
		n = file ? send_file(wc, file, behind) :
			   channel_send(&wc->conn.channel, w->walk.staging, bytes);
		meter_mark(m, ACTIVITY_NET);
		if (n == -EINTR)
			continue;
		if (n < 0 && n != -EAGAIN)
			walk_drop(w, wc);
		if (n < 0)
			return;
		replies_sent(&wc->replies, (uint64_t)n);
		if ((size_t)n < bytes)
			return;
	}
}

static bool is_full(const struct walk_conn *wc)
{
	return wc->replies.count >= NODE_WALK_REPLIES || wc->open >= NODE_WALK_OPEN;
}

/* Nobody is read from who does not take his replies, or asks for more than is worked on. */
static void watch(struct worker *w, struct walk_conn *wc)
{
	struct conn *c = &wc->conn;
	bool writes = wc->replies.count || wc->dialled;
	uint32_t reads = channel_read_events(&c->channel) | (wc->left_over ? EPOLLOUT : 0);
	uint32_t events = is_full(wc) || c->eof ? 0 : reads;

	if (writes)
		events |= channel_write_events(&c->channel);

	if (c->eof && !wc->open && !wc->replies.count)
		walk_drop(w, wc);
	if (c->source.fd < 0 || events == c->events)
		return;
	worker_watch(w, &c->source, c->events, events);
	c->events = events;
}

static void request_give(struct worker *w, struct queued_request *q)
{
	if (w->service->walk)
		slot_give(w, slot_of(q));
	else
		node_plan_give(&w->service->plan, q);
}

/* With probes each reply leaves at once: its stamps are its own. A part does not wait for the next. */
void walk_answer(struct worker *w, struct active *a, uint64_t bytes, bool last,
		 const struct queued_op *q)
{
	struct walk_conn *wc = of_walk(a->conn);
	struct meter *m = &w->exec.meter;
	uint64_t tx_sequence = m->slot ? m->slot->tx_sequence : 0;
	int64_t start_ns = meter_mark(m, ACTIVITY_SELF);
	uint8_t status = !last			    ? WIRE_STATUS_PART :
			 !a->row.status		    ? WIRE_STATUS_OK :
			 a->row.status == ETIMEDOUT ? WIRE_STATUS_TIMEOUT :
						      WIRE_STATUS_ERROR;

	reply_add(w, wc, &a->message, bytes, status, q);
	if (m->slot || !last)
		flush(w, wc);
	if (!last && !wc->parsing)
		watch(w, wc); /* that it may stay for a while */
	serve_note_sent(w, a, tx_sequence, start_ns);
}

void walk_finish(struct worker *w, struct active *a)
{
	struct walk_conn *wc = of_walk(a->conn);

	request_give(w, a->plan);
	wc->open--;
	if (wc->dead)
		doom(&w->walk, wc);
	else if (!wc->parsing) {
		flush(w, wc);
		watch(w, wc);
	}
}

/* --- peers --------------------------------------------------------------------------------- */

struct walk_conn *walk_dial(struct worker *w, uint32_t peer)
{
	const struct endpoint *to = &w->service->peers.all[peer].endpoint;
	struct conn *c;
	int on = 1;

	if (w->service->peers.all[peer].datagrams)
		return forward_dial_datagrams(w, peer);
	c = walk_conn_new(w, 0);
	if (!c)
		return NULL;
	of_walk(c)->peer = peer + 1;
	of_walk(c)->dialled = true;
	c->source.fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->channel.fd = c->source.fd;
	setsockopt(c->source.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (c->source.fd < 0 ||
	    (connect(c->source.fd, (const struct sockaddr *)&to->at, to->size) &&
	     errno != EINPROGRESS)) {
		walk_drop(w, of_walk(c));
		return NULL;
	}
	watch(w, of_walk(c));
	return of_walk(c);
}

struct wire_preface walk_preface(struct worker *w, uint32_t peer)
{
	const struct forward_peer *to = &w->service->peers.all[peer];
	bool walks = w->service->walk != NULL;
	struct wire_preface preface = { .flags = walks ? WIRE_PREFACE_WALK : WIRE_PREFACE_CALL };

	preface.flags |= to->datagrams ? WIRE_PREFACE_DATAGRAM : 0;
	preface.connection_id = WIRE_CALL_ID(walks ? 0 : to->thread + 1, w->walk.call_serial++);
	wire_preface_sign(&preface, to->secret);
	return preface;
}

/* The connect is through, well or not: who we are goes first. */
static void dialled(struct worker *w, struct walk_conn *wc)
{
	const struct wire_preface preface = walk_preface(w, wc->peer - 1);
	uint8_t bytes[WIRE_PREFACE_BYTES];
	socklen_t size = sizeof(int);
	int error = 0;

	wc->dialled = false;
	wire_preface_encode(&preface, bytes);
	getsockopt(wc->conn.source.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error || send(wc->conn.source.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != sizeof(bytes))
		walk_drop(w, wc);
}

void walk_post(struct worker *w, struct walk_conn *wc, const struct wire_message *message)
{
	if (wc->datagrams) {
		forward_send_datagram(w, wc, message);
		return;
	}
	message_add(w, wc, &(struct walk_reply){ .message = *message });
	flush(w, wc);
	watch(w, wc);
}

/* --- requests ------------------------------------------------------------------------------ */

static struct walk_slot *draw(struct worker *w, const struct walk_conn *wc)
{
	const struct walk_program *p = program_of(w);
	struct walk_slot *slot = slot_take(w);
	struct chain_request request;

	if (!slot)
		return NULL;
	if (chain_draw(&p->chain, p->seed, wc->message.request, wc->message.at, w->walk.drawn,
		       p->ops_max, &request)) {
		slot_give(w, slot);
		return NULL;
	}
	if (request.response_bytes < WIRE_MESSAGE_BYTES) /* no reply is less than its header */
		request.response_bytes = w->walk.drawn[request.ops - 1].bytes = WIRE_MESSAGE_BYTES;
	slot->request.request = (struct plan_request){
		.request_id = wc->message.request,
		.connection_id = wc->conn.connection_id,
		.request_bytes = wc->message.size,
		.response_bytes = request.response_bytes,
		.ops_count = (uint32_t)request.ops,
		.call = wc->message.at ? wc->message.attempt : 0,
	};
	slot->request.ops = slot->request.last_op = NULL;
	for (size_t i = request.ops; i-- > 0;) {
		struct queued_op *q = &slot->ops[i];

		q->op = w->walk.drawn[i];
		q->target = storage_target_of_walk(w->service->setup.storage, &q->op);
		q->link.next = (struct link *)slot->request.ops;
		slot->request.ops = q;
	}
	return slot;
}

/* False: there is no memory. */
static bool serve(struct worker *w, struct walk_conn *wc, struct queued_request *q)
{
	struct active *a;

	flush(w, wc); /* what is done does not wait for what is not */
	a = serve_begin(w, &wc->conn, q);
	if (!a) {
		request_give(w, q);
		return false;
	}
	a->message = wc->message;
	conn_arrive_next(w, &wc->conn);
	wc->open++;
	serve_ready(w, a);
	serve_run(w, a);
	return true;
}

/* Of a replay: it is in the plan, or has come before that, and fails. */
static bool call_came(struct worker *w, struct walk_conn *wc)
{
	struct queued_request *q;

	if (wc->message.status == WIRE_STATUS_FORGET) {
		called_forget(&w->called, wc->message.request);
		forward_drop_unwanted(w);
		return true;
	}
	q = called_take(&w->called, wc->message.request);
	if (q)
		return serve(w, wc, q);
	w->exec.ledger.count[LG_PLAN_OVERTAKEN]++;
	reply_add(w, wc, &wc->message, 0, WIRE_STATUS_ERROR, NULL);
	return true;
}

/* All of its bytes are there. False: what it asks for is not in the chain. */
static bool request_came(struct worker *w, struct walk_conn *wc)
{
	const struct walk_program *p = program_of(w);
	struct walk_slot *slot;

	if (wc->peer) {
		forward_reply(w, &wc->message);
		return true;
	}
	if (!p)
		return call_came(w, wc);
	if (p->plain_reply_bytes && !wc->message.at) {
		w->exec.ledger.count[LG_REQUESTS]++;
		w->exec.stats.requests++;
		reply_add(w, wc, &wc->message, p->plain_reply_bytes, WIRE_STATUS_OK, NULL);
		return true;
	}
	slot = draw(w, wc);
	return slot && serve(w, wc, &slot->request);
}

/* How many of the n bytes were taken; 0: this is no message. */
static size_t take(struct worker *w, struct walk_conn *wc, const char *bytes, size_t n)
{
	size_t part;

	if (wc->body_left) {
		part = wc->body_left < n ? (size_t)wc->body_left : n;
		wc->body_left -= part;
	} else {
		part = WIRE_MESSAGE_BYTES - wc->head_bytes;
		part = part < n ? part : n;
		memcpy(wc->head + wc->head_bytes, bytes, part);
		wc->head_bytes += part;
		if (wc->head_bytes < WIRE_MESSAGE_BYTES)
			return part;
		wc->head_bytes = 0;
		if (!wire_message_decode(wc->head, &wc->message))
			return 0;
		wc->body_left = wc->message.size - WIRE_MESSAGE_BYTES;
	}
	wc->conn.arrival.behind = n - part;
	if (!wc->body_left && !request_came(w, wc))
		return 0;
	return part;
}

static void take_all(struct worker *w, struct walk_conn *wc, const char *bytes, size_t n)
{
	wc->parsing = true;
	while (n && wc->conn.source.fd >= 0) {
		size_t part = take(w, wc, bytes, n);

		if (!part) {
			w->exec.ledger.count[LG_MESSAGES_BAD]++;
			walk_drop(w, wc);
		}
		bytes += part;
		n -= part;
	}
	wc->parsing = false;
}

/* What TLS has taken off the socket is read too: no event would tell of it. */
static void read_all(struct worker *w, struct walk_conn *wc)
{
	struct conn *c = &wc->conn;
	ssize_t n;

	do {
		n = conn_receive(w, c);
		if (n > 0)
			take_all(w, wc, w->received, (size_t)n);
		else if (!n)
			c->eof = true;
		else if (n != -EAGAIN && n != -EINTR)
			walk_drop(w, wc);
	} while (n > 0 && channel_has_more(&c->channel) && !is_full(wc));
	wc->left_over = n > 0 && channel_has_more(&c->channel);
}

bool walk_datagram(struct worker *w, struct conn *c, const struct wire_message *message)
{
	struct walk_conn *wc = of_walk(c);
	bool done;

	if (is_full(wc))
		return false;
	wc->message = *message;
	wc->parsing = true;
	done = request_came(w, wc);
	wc->parsing = false;
	return done;
}

void walk_peer_gone(struct worker *w, struct conn *c)
{
	doom(&w->walk, of_walk(c));
}

void walk_admitted(struct worker *w, struct conn *c)
{
	walk_event(w, c, channel_has_more(&c->channel) ? EPOLLIN : 0);
}

void walk_event(struct worker *w, struct conn *c, uint32_t events)
{
	struct walk_conn *wc = of_walk(c);
	uint32_t reads = channel_read_events(&c->channel) | EPOLLIN | EPOLLHUP | EPOLLERR;

	if (wc->datagrams) {
		forward_receive_datagrams(w, wc);
		return;
	}
	if (wc->dialled)
		dialled(w, wc);
	if (c->source.fd >= 0 && (events & reads || (wc->left_over && !is_full(wc))))
		read_all(w, wc);
	flush(w, wc);
	watch(w, wc);
}
