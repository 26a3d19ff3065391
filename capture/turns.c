/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on connections: which requests they bring and answer, and calls to other services.
 *
 * Where a framer knows the protocol it says where messages begin and end. Else, and where it
 * cannot see enough, a request is a turn: a run of bytes in, then a run of bytes out that answers
 * all that came.
 */
#include "capture/assembly.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The thread's time from an arrival to a boundary `to`, whose last boundary before
 * was `from` at from_ns. With the counters at the arrival it is their difference.
 * Without, what lies before the arrival is taken out of the sleep that it ended, then
 * out of the rest; and time before `from` is known only by its length.
 */
static void since_arrival(const struct event_receive *e, int64_t arrival_ns, const uint64_t *from,
			  int64_t from_ns, const uint64_t *to, int64_t ret_delta[TS_COUNT])
{
	static const int order[] = { TS_WAIT_POLL,  TS_WAIT_NET,     TS_WAIT_OTHER,
				     TS_USER,	    TS_KERNEL_NET,   TS_KERNEL_FS,
				     TS_WAIT_BLOCK, TS_WAIT_JOURNAL, TS_KERNEL_OTHER };
	int64_t before = arrival_ns - from_ns;

	counters_delta(e->counted ? e->arrival : from, to, ret_delta);
	if (e->counted)
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

	if (free && arrival >= t->last_ns) {
		since_arrival(e, arrival, t->last, t->last_ns, e->call.exit, own);
		account_begin(&r->account, &t->timeline, NULL, own);
	} else if (!free && arrival >= seg->enter_ns) {
		since_arrival(e, arrival, e->call.enter, seg->enter_ns, e->call.exit, own);
		account_begin(&r->account, &t->timeline, NULL, own);
	} else if (free) {
		since_arrival(e, arrival, t->last, t->last_ns, t->last, unread);
		counters_delta(t->last, e->call.exit, own);
		account_begin(&r->account, &t->timeline, unread, own);
	} else {
		since_arrival(e, arrival, t->last, t->last_ns, e->call.enter, unread);
		account_begin(&r->account, &t->timeline, unread, seg->call);
	}
}

enum confidence {
	BY_TURNS = 90, /* the protocol is not known */
	ARRIVAL_UNKNOWN = 80,
	ANSWERED_TOGETHER = 80, /* CPU time and ops are parted among them */
	OPENED_FOR_OLDEST = 50, /* several had been read before it connected */
	ANSWERED_BY_RUN = 60,	/* several at once, and nothing shows which bytes are whose */
	TAKEN_TOGETHER = 50,	/* by io_uring: which the thread worked on first, no call shows */
};

/* Grows an array that is a member of *a; false when memory ran out. */
#define ROOM_FOR_ONE(a, array, count, capacity) \
	((a)->count < (a)->capacity ||          \
	 grow((a), (void **)&(a)->array, &(a)->capacity, sizeof(*(a)->array)))

static bool grow(struct assembler *a, void **array, size_t *capacity, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : 64;
	void *grown = realloc(*array, more * size);

	if (!grown) {
		a->failed = -ENOMEM;
		return false;
	}
	*array = grown;
	*capacity = more;
	return true;
}

static void keep_mark(void *arg, const struct framer_mark *mark)
{
	struct assembler *a = arg;

	if (ROOM_FOR_ONE(a, marks, marks_count, marks_capacity))
		a->marks[a->marks_count++] = *mark;
}

static void touch(struct assembler *a, struct request *r)
{
	if (r->touched_by == a->ledger.count[LG_EVENTS])
		return;
	r->touched_by = a->ledger.count[LG_EVENTS];
	if (ROOM_FOR_ONE(a, touched, touched_count, touched_capacity))
		a->touched[a->touched_count++] = r;
}

#define LOOK_REQUESTS 1000 /* so many without two at once: the bytes are not worth their cost */

/*
 * Bytes are needed where requests overlap on a connection. A service starts with them; they
 * are given up when it does not, and asked for again when it does after all.
 */
static void judge_bytes(struct assembler *a, const struct connection *c, struct service *s,
			bool overlaps)
{
	unsigned unwanted;

	s->overlaps |= overlaps;
	unwanted = s->overlaps || s->requests < LOOK_REQUESTS ? 0 : UNWANTED_IN | UNWANTED_OUT;
	if (unwanted == s->unwanted || !a->opts.set_unwanted || !c->local_port || c->datagrams)
		return;
	s->unwanted = unwanted;
	a->opts.set_unwanted(a->opts.unwanted_arg, c->local_port, unwanted);
}

/* Of a protocol that is not known, a datagram in is a request. */
static void mark_datagram(struct assembler *a, struct connection *c, size_t total)
{
	struct framer_mark mark = { .kind = FRAMER_REQUEST_BEGIN,
				    .id = 1ull << 32 | ++c->unframed };

	keep_mark(a, &mark);
	mark.kind = FRAMER_REQUEST_END;
	mark.at = total;
	keep_mark(a, &mark);
}

/* Each stands for itself; what one of them is says nothing of the next. */
static void frame_datagram(struct assembler *a, struct connection *c, enum framer_side side,
			   const uint8_t *bytes, size_t seen, size_t total)
{
	if (framer_datagram(&c->framer, side, bytes, seen, total, keep_mark, a) != FRAMER_OK &&
	    side == FRAMER_IN)
		mark_datagram(a, c, total);
}

static void note_protocol(struct connection *c)
{
	if (!c->row.protocol[0])
		snprintf(c->row.protocol, sizeof(c->row.protocol), "%s",
			 framer_protocol(&c->framer));
}

/* What a chunk of bytes means to the connection's framer: a->marks. Not framed from here if not. */
static void frame(struct assembler *a, struct connection *c, enum framer_side side,
		  const uint8_t *bytes, size_t seen, size_t total)
{
	enum framer_result result;

	a->marks_count = 0;
	if (!c->framed)
		return;
	if (c->datagrams) {
		frame_datagram(a, c, side, bytes, seen, total);
	} else {
		result = framer_feed(&c->framer, side, bytes, seen, total, keep_mark, a);
		if (result != FRAMER_OK)
			c->framed = false;
	}
	note_protocol(c);
}

static void note_arrival(struct assembler *a, struct connection *c, struct request *r,
			 const struct event_receive *e, const struct segment *seg)
{
	r->row.arrival_ns = TRACE_TIME(a, e->arrival_ns);
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

/* One begins at `at`: the first of its chunk has the thread's time, the others came with it. */
static void begin_request(struct assembler *a, struct incoming *in, uint64_t at)
{
	struct request *r = request_open(a, in->thread, in->connection);

	if (!r)
		return;
	note_arrival(a, in->connection, r, in->event, in->segment);
	keep_head(r, in->event, at);
	if (in->first) {
		r->account = in->first->account;
	} else {
		begin_account(a, in->thread, r, in->event, in->segment);
		in->first = r;
	}
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

	frame(a, c, FRAMER_IN, e->bytes, e->seen, e->call.ret);
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

/* The thread goes on with what came first in its call. */
static void receive_more(struct assembler *a, struct athread *t, struct connection *c,
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

static void receive_requests(struct assembler *a, struct athread *t, struct connection *c,
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
	judge_bytes(a, c, t->service, c->first != c->last && !early);
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

static void receive_reply_of_call(struct assembler *a, struct athread *t, struct connection *c,
				  const struct event_receive *e, const struct segment *seg)
{
	struct request *r = c->call.unit ? NULL : request_get(c->owner);

	owner_give_before(a, t, seg, r, false);
	owner_give_call(a, t, seg, r);
	connection_call_receive(a, c, &e->call);
	if (c->others) {
		owner_set_others(a, t);
	} else if (r) {
		account_move(&r->account, SUB_NET_SOCKET, SUB_CALL, seg->call[TS_WAIT_NET]);
		owner_set_request(a, t, r);
	} else if (t->serves) {
		owner_set_none(a, t);
	} else {
		unit_called(t, seg->call[TS_WAIT_NET]);
	}
}

void turn_receive(struct assembler *a, struct athread *t, const struct event_receive *e,
		  const struct segment *seg)
{
	struct connection *c = connection_find(a, e->call.socket_id);

	if (!c)
		return;
	connection_round_trips(c, e->srtt_us, e->min_rtt_us);
	turn_receive_on(a, t, c, e, seg);
}

void turn_receive_on(struct assembler *a, struct athread *t, struct connection *c,
		     const struct event_receive *e, const struct segment *seg)
{
	c->tgid = t->tgid;
	if (c->row.outgoing)
		receive_reply_of_call(a, t, c, e, seg);
	else if (e->call.more)
		receive_more(a, t, c, e, seg);
	else
		receive_requests(a, t, c, e, seg);
}

/* A request without reply gives its number back: the next one has it again. */
static bool has_frame(const struct request *r, uint64_t frame)
{
	return r->frame == frame && !r->no_reply;
}

/* NULL for a reply that nobody asked for. Nearly always it is the one behind `last`. */
static struct request *request_of_frame(struct connection *c, struct request *last, uint64_t frame)
{
	struct request *r = last ? last->next : NULL;

	if (!frame)
		return NULL;
	if (!r || !has_frame(r, frame))
		for (r = c->first; r && !has_frame(r, frame);)
			r = r->next;
	return r;
}

/* from..to of a chunk of `total` bytes are of r's reply. */
static void count_reply(struct connection *c, struct request *r, uint64_t from, uint64_t to,
			uint64_t total)
{
	uint64_t wire = connection_wire_bytes(c, from, to, total);

	r->row.response_bytes += wire;
	r->row.response_plain_bytes += c->tls ? to - from : 0;
	r->sending += wire;
}

static void reply_bytes(struct assembler *a, struct connection *c, uint64_t from, uint64_t to,
			uint64_t total)
{
	if (!c->replying || from == to)
		return;
	count_reply(c, c->replying, from, to, total);
	touch(a, c->replying);
}

/* By the framer: whose reply each byte is, and which of them are complete. */
static void touch_framed(struct assembler *a, struct connection *c, uint64_t total)
{
	struct request *last = NULL;
	uint64_t from = 0;

	for (size_t i = 0; i < a->marks_count; i++) {
		const struct framer_mark *mark = &a->marks[i];

		if (mark->kind == FRAMER_REPLY_BEGIN) {
			c->replying = request_of_frame(c, last, mark->id);
			last = c->replying ? c->replying : last;
			from = mark->at;
		} else if (mark->kind == FRAMER_REPLY_END) {
			reply_bytes(a, c, from, mark->at, total);
			if (c->replying)
				c->replying->replied = true;
			c->replying = NULL;
			from = mark->at;
		}
	}
	reply_bytes(a, c, from, total, total);
}

/* What comes after the reply's call began is answered by a later one. */
static bool is_waiting(const struct request *r, int64_t enter_ns)
{
	return r->complete && !r->no_reply && !request_is_answered(r) && r->row.read_ns <= enter_ns;
}

/* By turns: these bytes answer all that had come; if all has an answer, they are more of it. */
static void touch_run(struct assembler *a, struct connection *c, uint64_t total, int64_t enter_ns)
{
	size_t open = 0;

	for (struct request *r = c->first; r; r = r->next)
		open += is_waiting(r, enter_ns);
	for (struct request *r = c->first; r; r = r->next) {
		if (open ? !is_waiting(r, enter_ns) : r->no_reply)
			continue;
		touch(a, r);
		if (!r->frame)
			request_doubt(r, BY_TURNS);
		if (open > 1)
			request_doubt(r, ANSWERED_BY_RUN);
	}
	if (a->touched_count)
		count_reply(c, a->touched[0], 0, total, total);
}

/*
 * A datagram out is the reply to what the thread works on, else to the oldest that waits; a
 * further one belongs to the last reply.
 */
static void touch_datagram(struct assembler *a, struct athread *t, struct connection *c,
			   uint64_t total)
{
	struct request *working = owner_current(t), *r = c->first;

	while (r && request_is_answered(r))
		r = r->next;
	if (r && r->next && (!working || working->connection != c))
		request_doubt(r, ANSWERED_BY_RUN);
	if (working && working->connection == c && !request_is_answered(working))
		r = working;
	c->replying = r ? r : c->last;
	reply_bytes(a, c, 0, total, total);
	c->replying = NULL;
}

static void touch_requests(struct assembler *a, struct athread *t, struct connection *c,
			   const struct event_call *e, int64_t enter_ns)
{
	const struct event_send *send = (const struct event_send *)e;

	a->touched_count = 0;
	if (e->head.kind == EVENT_SEND && c->framed && c->first) {
		frame(a, c, FRAMER_OUT, send->bytes, send->seen, e->ret);
		touch_framed(a, c, e->ret);
		if (!c->framed && c->replying)
			request_doubt(c->replying, BY_TURNS);
		if (c->datagrams && !a->touched_count)
			touch_datagram(a, t, c, e->ret);
		if (c->framed || a->touched_count)
			return;
	}
	if (c->datagrams)
		return;
	c->framed = false;
	touch_run(a, c, e->ret, enter_ns);
}

static void reply_op(struct assembler *a, struct athread *t, struct request *r,
		     const struct event_call *e, const struct segment *seg)
{
	struct row_op op = op_begin(t, seg, OP_REPLY);

	request_flush_compute(a, r);
	op.cpu_ns /= a->touched_count;
	op.bytes = r->sending;
	r->sending = 0;
	if (e->op == SYSCALL_SENDFILE && e->inode) {
		op.flags = OPF_SENDFILE;
		op.offset = e->offset;
		op.target_id = target_of_file(a, e, false);
	}
	request_op(a, r, &op);
}

static void note_unpaired(struct assembler *a, struct athread *t, struct connection *c,
			  const struct segment *seg)
{
	owner_give_before(a, t, seg, NULL, true);
	owner_give_call(a, t, seg, NULL);
	a->ledger.count[c->row.open_ns == TRACE_NONE || c->paused ? LG_OPEN_AT_START :
								    LG_REPLIES_UNPAIRED]++;
	if (t->serves)
		owner_set_none(a, t);
}

/* The one that came behind those that have just been answered, if it can be worked on now. */
static struct request *next_of(const struct connection *c, const struct athread *t)
{
	struct request *r = c->first;

	while (r && request_is_answered(r))
		r = r->next;
	return r && r->complete && r->thread == t && !r->no_reply ? r : NULL;
}

/* Of the datagrams that one call brought, from whomever, the first that is not answered. */
static struct request *next_datagram(const struct athread *t, const struct request *answered)
{
	struct request *next = NULL;

	for (size_t i = 0; i < t->pass_count; i++) {
		struct request *r = t->pass[i];

		if (r->connection->datagrams && r->row.read_ns == answered->row.read_ns &&
		    !request_is_answered(r) && !r->no_reply &&
		    (!next || r->row.request_id < next->row.request_id))
			next = r;
	}
	if (next)
		next->behind = false;
	return next;
}

/* A call may have begun before the request was read whose reply it is taken for. */
static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void send_reply(struct assembler *a, struct athread *t, struct connection *c,
		       const struct event_call *e, const struct segment *seg)
{
	int64_t tx_ns = TRACE_TIME(a, e->tx_ns), end_ns;
	struct request *first, *next;
	bool reader, parted; /* each has what it needed itself */

	touch_requests(a, t, c, e, seg->start_ns);
	if (!a->touched_count) {
		note_unpaired(a, t, c, seg);
		return;
	}
	first = a->touched[0];
	reader = first->thread == t;
	parted = !reader && batch_answer(a, first->thread, a->touched, a->touched_count);
	if (!handoff_collect(a, t, first, e, seg))
		owner_give_before(a, t, seg, first, true);
	parted |= !reader && a->touched_count > 1 && first->parted;
	if (owner_current(t) != first)
		batch_settle(a, t);
	else if (batch_answer(a, t, a->touched, a->touched_count))
		parted = true;
	if (owner_current(t) != first)
		owner_leave(t, seg->enter_ns);
	if (a->touched_count > 1)
		t->service->together = true;
	owner_give_call(a, t, seg, parted ? NULL : first);
	if (parted)
		request_share_call(a->touched, a->touched_count, seg->call);
	else if (a->touched_count > 1)
		request_share(a->touched, a->touched_count);
	/* the stamp is of this call if it lies in it; else the bytes went later, or nobody looked */
	end_ns = tx_ns > seg->start_ns && tx_ns < seg->end_ns ? tx_ns : seg->end_ns;
	for (size_t i = 0; i < a->touched_count; i++) {
		struct request *r = a->touched[i];

		if (a->touched_count > 1)
			request_doubt(r, ANSWERED_TOGETHER);
		if (r->row.write_ns == TRACE_NONE)
			r->row.write_ns = later(seg->start_ns, r->row.read_ns);
		reply_op(a, t, r, e, seg);
		request_answered(r, end_ns > r->row.read_ns ? end_ns : seg->exit_ns, seg->exit_ns);
	}
	next = next_of(c, t);
	if (!next && c->datagrams)
		next = next_datagram(t, first);
	if (!reader) {
		owner_answered(first->thread, first, seg->enter_ns);
		handoff_sent(a, t, e, seg);
	} else if (next)
		owner_set_request(a, t, next);
	else
		owner_set_after(a, t, first);
	for (size_t i = 0; i < a->touched_count; i++)
		if (a->touched[i]->replied)
			request_close(a, a->touched[i], "");
}

/* Whose call it is; the thread works for it since its last boundary. */
static struct request *begin_call(struct assembler *a, struct athread *t,
				  const struct connection *c, const struct event_call *e,
				  struct request *opener)
{
	struct request *current = owner_current(t), *r;
	unsigned confidence;

	r = call_owner(t, e, opener, &confidence);
	if (!r)
		return current;
	request_doubt(r, r == opener && c->guessed ? OPENED_FOR_OLDEST : confidence);
	if (r == current || r == opener)
		return r;
	owner_leave(t, t->last_ns);
	owner_set_request(a, t, r);
	return r;
}

static void send_call(struct assembler *a, struct athread *t, struct connection *c,
		      const struct event_call *e, const struct segment *seg)
{
	struct request *before = owner_current(t), *r = before, *opener = request_get(c->owner);
	bool begins = connection_call_begins(c);

	c->others = t->owner == OWNER_OTHERS;
	if (c->call.op.kind == OP_FORWARD)
		opener = NULL;
	if (begins && !c->others && t->serves)
		r = begin_call(a, t, c, e, opener);
	else if (opener)
		r = opener; /* it connected for that one; since then it may have read others */
	if (!r && !c->others && !c->call.unit && !c->call.op.reply_bytes)
		r = request_get(c->owner); /* more of the same message */
	owner_give_before(a, t, seg, r, false);
	owner_give_call(a, t, seg, r);
	if (c->others) {
		connection_call_end(a, c);
		c->owner.id = 0;
		return;
	}
	if (r) {
		batch_forget(a, r);
		request_flush_compute(a, r);
		r->called = true;
		waiting_remove(r);
	}
	if (!r && !t->serves)
		handoff_working(a, t, seg);
	connection_call_send(a, t, c, r, e);
	if (before && before != r && !before->called)
		owner_set_request(a, t, before); /* its turn is still to come */
}

void turn_send(struct assembler *a, struct athread *t, const struct event_call *e,
	       const struct segment *seg)
{
	struct connection *c = connection_find(a, e->socket_id);

	if (c)
		turn_send_on(a, t, c, e, seg);
}

void turn_send_on(struct assembler *a, struct athread *t, struct connection *c,
		  const struct event_call *e, const struct segment *seg)
{
	c->tgid = t->tgid;
	if (c->row.outgoing)
		send_call(a, t, c, e, seg);
	else
		send_reply(a, t, c, e, seg);
}
