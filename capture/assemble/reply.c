/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that go out to who asked: which requests they answer. */
#include "capture/assemble/assembly.h"

enum confidence {
	ANSWERED_TOGETHER = 80, /* CPU time and ops are parted among them */
	ANSWERED_BY_RUN = 60,	/* several at once, and nothing shows which bytes are whose */
};

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
		marks_find(a, c, FRAMER_OUT, send->bytes, send->seen, e->ret);
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

void reply_send(struct assembler *a, struct athread *t, struct connection *c,
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
