/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that come in: which requests they are of. Where a framer knows the protocol it says where
 * messages begin and end. Else, and where it cannot see enough, a request is a turn: a run of bytes
 * in, then a run of bytes out that answers all that came.
 */
#include "capture/assemble/assembly.h"

#include <stdio.h>
#include <string.h>

enum confidence {
	ARRIVAL_UNKNOWN = 80,
	TAKEN_TOGETHER = 50, /* by io_uring: which the thread worked on first, no call shows */
};

/*
 * The thread's time from an arrival to a boundary `to`, whose last boundary before
 * was `from` at from_ns. With its counters at the arrival it is their difference.
 * Without (NULL), what lies before the arrival is taken out of the sleep that it ended, then
 * out of the rest; and time before `from` is known only by its length.
 */
static void since_arrival(const uint64_t *arrived, int64_t arrival_ns, const uint64_t *from,
			  int64_t from_ns, const uint64_t *to, int64_t ret_delta[TS_COUNT])
{
	static const int order[] = { TS_WAIT_POLL,    TS_WAIT_NET,	TS_WAIT_OTHER,
				     TS_USER,	      TS_KERNEL_FAULT,	TS_KERNEL_NET,
				     TS_KERNEL_FS,    TS_WAIT_BLOCK,	TS_WAIT_QUEUE,
				     TS_WAIT_HELD,    TS_WAIT_DIRTY,	TS_WAIT_FAULT,
				     TS_WAIT_JOURNAL, TS_JOURNAL_BLOCK, TS_KERNEL_OTHER };
	int64_t before = arrival_ns - from_ns;

	counters_delta(arrived ? arrived : from, to, ret_delta);
	if (arrived)
		return;
	if (before < 0)
		ret_delta[TS_USER] -= before;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && before > 0; i++) {
		int64_t part = ret_delta[order[i]] < before ? ret_delta[order[i]] : before;

		ret_delta[order[i]] -= part;
		before -= part;
	}
}

/*
 * The account of a request that has just been read begins at its arrival: time that
 * the thread gave to others since then is `unread`, the rest is its own.
 */
static void begin_account(struct assembler *a, struct athread *t, struct request *r,
			  const struct event_receive *e, const struct segment *seg)
{
	int64_t arrival = r->row.arrival_ns, unread[TS_COUNT], own[TS_COUNT];
	bool free = t->owner == OWNER_NONE;
	const uint64_t *arrived =
		e->counted && arrival == TRACE_TIME(a, e->arrival_ns) ? e->arrival : NULL;

	if (free && arrival >= t->last_ns) {
		since_arrival(arrived, arrival, t->last, t->last_ns, e->call.exit, own);
		account_begin(&r->account, &t->timeline, NULL, own);
	} else if (!free && arrival >= seg->enter_ns) {
		since_arrival(arrived, arrival, e->call.enter, seg->enter_ns, e->call.exit, own);
		account_begin(&r->account, &t->timeline, NULL, own);
	} else if (free) {
		since_arrival(arrived, arrival, t->last, t->last_ns, t->last, unread);
		counters_delta(t->last, e->call.exit, own);
		account_begin(&r->account, &t->timeline, unread, own);
	} else {
		since_arrival(arrived, arrival, t->last, t->last_ns, e->call.enter, unread);
		account_begin(&r->account, &t->timeline, unread, seg->call);
	}
}

/* It came before the service had its connection: nobody could have read it until then. */
static void wait_for_accept(const struct connection *c, struct request *r)
{
	int64_t unread = r->account.rows[SUB_NET_RXQUEUE];
	int64_t before = c->accepted_ns - r->row.arrival_ns;

	if (before > 0 && unread > 0)
		account_move(&r->account, SUB_NET_RXQUEUE, SUB_NET_ACCEPT,
			     before < unread ? before : unread);
}

/*
 * When the byte at `at` of a receive came: with the last segment that begins at or before it. Of more
 * segments than are told apart the first came before those that are.
 */
static uint64_t arrival_at(const struct athread *t, const struct connection *c,
			   const struct event_receive *e, uint64_t at)
{
	const struct event_pieces *pieces = t->pieces;
	uint64_t behind = (uint64_t)e->call.ret - at, ns = e->arrival_ns;

	if (!pieces || pieces->head.ns < e->call.enter_ns || c->tls || !ns)
		return ns;
	if (at && pieces->count == RX_PIECES_MAX)
		ns = pieces->at[0].ns;
	for (uint32_t i = 0; i < pieces->count && pieces->at[i].bytes >= behind; i++)
		ns = pieces->at[i].ns;
	return ns < e->call.head.ns ? ns : e->call.head.ns;
}

static void note_arrival(struct assembler *a, struct connection *c, struct request *r,
			 const struct event_receive *e, const struct segment *seg, uint64_t at_ns)
{
	r->row.arrival_ns = TRACE_TIME(a, at_ns);
	if (!e->arrival_ns) {
		r->row.arrival_ns = seg->enter_ns;
		request_doubt(r, ARRIVAL_UNKNOWN);
		a->ledger.count[LG_ARRIVALS_UNKNOWN]++;
	}
	r->row.read_ns = seg->end_ns;
	if (c->first == r)
		connection_turn(c, r->row.arrival_ns);
	if (c->previous && c->previous_end_ns <= r->row.arrival_ns) {
		r->row.after_request = c->previous;
		r->row.think_ns = r->row.arrival_ns - c->previous_end_ns;
	}
}

/* A chunk that comes in, as it is taken apart. */
struct incoming {
	struct athread *thread;
	struct connection *connection;
	const struct event_receive *event;
	const struct segment *segment;
	struct request *owner; /* whose the thread's time is: the first of them; NULL: nobody's yet */
	struct request *first; /* that begins in this chunk */
	struct request *open;  /* whose bytes come now */
	uint64_t from;	       /* where its bytes in this chunk begin */
	bool free;	       /* the thread worked for nobody before */
};

static void keep_head(struct request *r, const struct event_receive *e, uint64_t at)
{
	uint64_t n = at < e->seen ? e->seen - at : 0;

	r->head_bytes = n < HEAD_BYTES ? n : HEAD_BYTES;
	memcpy(r->head, e->bytes + (n ? at : 0), r->head_bytes);
}

/*
 * One begins at `at`: the first of its chunk has the thread's time. The others came with it, or later, when
 * the thread's counters were not looked at.
 */
static void begin_request(struct assembler *a, struct incoming *in, uint64_t at)
{
	struct request *r = request_open(a, in->thread, in->connection);

	if (!r)
		return;
	note_arrival(a, in->connection, r, in->event, in->segment,
		     arrival_at(in->thread, in->connection, in->event, at));
	keep_head(r, in->event, at);
	if (in->first && r->row.arrival_ns == in->first->row.arrival_ns) {
		r->account = in->first->account;
	} else {
		begin_account(a, in->thread, r, in->event, in->segment);
		wait_for_accept(in->connection, r);
	}
	if (!in->first)
		in->first = r;
	if (!in->owner) {
		if (in->free)
			request_add_user(r, in->segment->before, in->thread->last_ns);
		if (in->connection->tls) /* a kernel's receive has no user time in it */
			request_add_user(r, in->segment->call, in->segment->enter_ns);
		in->owner = r;
	}
	in->open = r;
}

static void add_bytes(struct incoming *in, uint64_t to)
{
	const struct connection *c = in->connection;

	if (in->open) {
		in->open->row.request_bytes +=
			connection_wire_bytes(c, in->from, to, in->event->call.ret);
		in->open->row.request_plain_bytes += c->tls ? to - in->from : 0;
	}
	in->from = to;
}

static void request_mark(struct assembler *a, struct incoming *in, const struct framer_mark *mark)
{
	bool begins = mark->kind == FRAMER_REQUEST_BEGIN;

	/* the start of a message that came in pieces may be there, not yet known as one */
	if (begins && (!in->open || in->open->frame)) {
		begin_request(a, in, mark->at);
		in->from = mark->at;
	}
	if (!in->open)
		return;
	in->open->frame = mark->id;
	if (mark->verb[0])
		memcpy(in->open->verb, mark->verb, sizeof(in->open->verb));
	if (begins)
		return;
	add_bytes(in, mark->at);
	in->open->complete = true;
	if (mark->id >> 32 && in->connection->datagrams)
		request_doubt(in->open, BY_TURNS);
	in->open->no_reply = mark->flags & FRAMER_NO_REPLY;
	if (in->open->no_reply)
		waiting_remove(in->open);
	in->open = NULL;
}

static void read_messages(struct assembler *a, struct incoming *in)
{
	const struct event_receive *e = in->event;
	struct connection *c = in->connection;

	marks_find(a, c, FRAMER_IN, e->bytes, e->seen, e->call.ret);
	for (size_t i = 0; i < a->marks_count; i++)
		if (a->marks[i].kind <= FRAMER_REQUEST_END)
			request_mark(a, in, &a->marks[i]);
	if (in->from == (uint64_t)e->call.ret)
		return;
	if (!in->open && !c->framed && in->owner)
		in->open = c->last; /* no boundary is known: more of the same turn */
	if (!in->open)
		begin_request(a, in, in->from);
	add_bytes(in, e->call.ret);
	if (in->open && !c->framed) {
		in->open->complete = true;
		request_doubt(in->open, BY_TURNS);
	}
}

/* A service may answer none of them. */
static void close_oldest_datagram(struct assembler *a, struct connection *c)
{
	size_t open = 0;

	for (struct request *r = c->first; r; r = r->next)
		open++;
	if (open == DATAGRAMS_OPEN_MAX)
		request_close(a, c->first, "unanswered");
}

/* What has been answered is over when the next bytes come. */
static void close_answered(struct assembler *a, struct connection *c)
{
	struct request *next;

	for (struct request *r = c->first; r; r = next) {
		next = r->next;
		if (request_is_answered(r) || r->no_reply)
			request_close(a, r, r->no_reply ? "no-reply" : "");
	}
	if (c->datagrams)
		close_oldest_datagram(a, c);
	if (c->first)
		return;
	framer_init(&c->framer);
	c->framed = true;
}

/*
 * The peer reads a reply and sends on while the service is still in the call that sent it: what
 * then arrives is read, and told, first. The bytes had gone out before, so this is a new turn.
 */
static bool reply_is_out(const struct assembler *a, const struct request *r,
			 const struct event_receive *e)
{
	return r->complete && e->call.tx_ns && e->arrival_ns > e->call.tx_ns &&
	       TRACE_TIME(a, e->call.tx_ns) > r->row.read_ns;
}

void requests_receive_more(struct assembler *a, struct athread *t, struct connection *c,
			   const struct event_receive *e, const struct segment *seg)
{
	struct incoming in = { .thread = t, .connection = c, .event = e, .segment = seg };

	close_answered(a, c);
	read_messages(a, &in);
	if (in.owner && t->owner == OWNER_NONE)
		owner_set_request(a, t, in.owner);
	else if (in.owner)
		in.owner->behind = true;
}

/*
 * A thread of io_uring may find several requests done at once, of several connections. The order
 * in which it takes them up is its own: what is between here and their replies may be the other's.
 */
static void note_uring(struct athread *t, struct request *before, const struct incoming *in)
{
	t->polls = true;
	if (!before || !in->owner || before->connection == in->connection ||
	    request_is_answered(before))
		return;
	request_doubt(before, TAKEN_TOGETHER);
	request_doubt(in->owner, TAKEN_TOGETHER);
}

void requests_receive(struct assembler *a, struct athread *t, struct connection *c,
		      const struct event_receive *e, const struct segment *seg)
{
	struct incoming in = { .thread = t, .connection = c, .event = e, .segment = seg };
	bool early;
	struct request *before = owner_current(t);

	close_answered(a, c);
	early = c->last && reply_is_out(a, c->last, e);
	if (c->last && !early && !(c->last->complete && c->framed))
		in.open = in.owner = c->last;
	if (in.owner) { /* it was for these bytes that its thread polled */
		account_move(&in.owner->account, SUB_LOCK_USER, SUB_NET_SOCKET,
			     in.owner->polled_ns);
		in.owner->polled_ns = 0;
	}
	in.free = t->owner == OWNER_NONE && !in.owner;
	if (in.free)
		timeline_add(&t->timeline, seg->before);
	else
		owner_give_before(a, t, seg, in.owner, false);
	batch_settle(a, t);
	owner_leave(t, seg->enter_ns);
	owner_give_call(a, t, seg, in.owner);
	read_messages(a, &in);
	if (e->call.submit_ns)
		note_uring(t, before, &in);
	t->several |= t->connection_id && t->connection_id != c->row.connection_id;
	t->connection_id = c->row.connection_id;
	t->serves = true;
	marks_judge_bytes(a, c, t->service, c->first != c->last && !early);
	t->service->readers_change |= c->reader && c->reader != t->number;
	c->reader = t->number;
	if (c->acceptor && c->acceptor != t->number)
		t->service->accepts_apart = true;
	if (!t->service->row.listen[0])
		snprintf(t->service->row.listen, sizeof(t->service->row.listen), "%s",
			 c->row.local);
	c->paused = false;
	if (in.owner)
		owner_set_request(a, t, in.owner);
}
