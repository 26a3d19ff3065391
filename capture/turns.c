/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on connections: turns of requests and replies, and calls to other services. */
#include "capture/assembly.h"

#include <stdio.h>
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

static void note_framing(struct connection *c, struct request *r, const struct event_receive *e)
{
	struct framing framing;

	framer_look(e->bytes, e->seen, &framing);
	snprintf(r->verb, sizeof(r->verb), "%s", framing.verb);
	if (!c->row.protocol[0])
		snprintf(c->row.protocol, sizeof(c->row.protocol), "%s", framing.protocol);
}

static void note_arrival(struct assembler *a, struct connection *c, struct request *r,
			 const struct event_receive *e, const struct segment *seg)
{
	r->row.arrival_ns = TRACE_TIME(a, e->arrival_ns);
	if (!e->arrival_ns) {
		r->row.arrival_ns = seg->enter_ns;
		r->row.confidence = 80;
		a->ledger.count[LG_ARRIVALS_UNKNOWN]++;
	}
	r->row.read_ns = seg->exit_ns;
	r->row.request_bytes = e->call.ret;
	connection_turn(c, r->row.arrival_ns);
	if (c->previous && c->previous_end_ns <= r->row.arrival_ns) {
		r->row.after_request = c->previous;
		r->row.think_ns = r->row.arrival_ns - c->previous_end_ns;
	}
}

/* The first bytes of a turn. */
static void begin_turn(struct assembler *a, struct athread *t, struct connection *c,
		       const struct event_receive *e, const struct segment *seg)
{
	bool free = t->owner == OWNER_NONE;
	struct request *r;

	if (free)
		timeline_add(&t->timeline, seg->before);
	else
		owner_give_before(t, seg, NULL, false);
	timeline_add(&t->timeline, seg->call);
	r = request_open(a, t, c);
	if (!r)
		return;
	note_arrival(a, c, r, e, seg);
	note_framing(c, r, e);
	begin_account(a, t, r, e, seg);
	if (free)
		request_add_user(r, seg->before, t->last_ns);
	t->serves = true;
	owner_set_request(a, t, r);
}

/* Where the two ends speak out of turn, bytes go to the request that is open. */
static void continue_turn(struct assembler *a, struct athread *t, struct request *r,
			  const struct event_receive *e, const struct segment *seg)
{
	owner_give_before(t, seg, r, false);
	owner_give_call(t, seg, r);
	r->row.request_bytes += e->call.ret;
	owner_set_request(a, t, r);
}

static void receive_reply_of_call(struct assembler *a, struct athread *t, struct connection *c,
				  const struct event_receive *e, const struct segment *seg)
{
	struct request *r = request_get(c->owner);

	owner_give_before(t, seg, r, false);
	owner_give_call(t, seg, r);
	connection_call_receive(a, c, &e->call);
	if (r)
		owner_set_request(a, t, r);
	else
		owner_set_none(a, t);
}

void turn_receive(struct assembler *a, struct athread *t, const struct event_receive *e,
		  const struct segment *seg)
{
	struct connection *c = connection_find(a, e->call.socket_id);
	struct request *r = c ? c->request : NULL;

	if (!c)
		return;
	connection_round_trips(c, e->srtt_us, e->min_rtt_us);
	if (c->row.outgoing) {
		receive_reply_of_call(a, t, c, e, seg);
		return;
	}
	if (r && r->row.end_ns != TRACE_NONE) {
		request_close(a, r, "");
		r = NULL;
	}
	if (r)
		continue_turn(a, t, r, e, seg);
	else
		begin_turn(a, t, c, e, seg);
}

static void reply_op(struct assembler *a, struct athread *t, struct request *r,
		     const struct event_call *e, const struct segment *seg)
{
	struct row_op op = op_begin(t, seg, OP_REPLY);

	request_flush_compute(a, r);
	op.bytes = e->ret;
	if (e->op == SYSCALL_SENDFILE && e->inode) {
		op.flags = OPF_SENDFILE;
		op.offset = e->offset;
		op.target_id = target_of_file(a, e, false);
	}
	request_op(a, r, &op);
}

static void send_reply(struct assembler *a, struct athread *t, struct connection *c,
		       const struct event_call *e, const struct segment *seg)
{
	struct request *r = c->request;
	int64_t tx_ns = TRACE_TIME(a, e->tx_ns);

	owner_give_before(t, seg, r, true);
	owner_give_call(t, seg, r);
	if (!r) {
		a->ledger.count[c->row.open_ns == TRACE_NONE ? LG_OPEN_AT_START :
							       LG_REPLIES_UNPAIRED]++;
		owner_set_none(a, t);
		return;
	}
	if (r->row.write_ns == TRACE_NONE)
		r->row.write_ns = seg->enter_ns;
	r->row.response_bytes += e->ret;
	reply_op(a, t, r, e, seg);
	/* the stamp is of this call if it lies in it; else the bytes went later, or nobody looked */
	request_answered(r, tx_ns > seg->enter_ns && tx_ns < seg->exit_ns ? tx_ns : seg->exit_ns,
			 seg->exit_ns);
	owner_set_after(a, t, r);
}

static void send_call(struct assembler *a, struct athread *t, struct connection *c,
		      const struct event_call *e, const struct segment *seg)
{
	struct request *r = owner_current(t);

	if (!r)
		r = request_get(c->owner);
	owner_give_before(t, seg, r, false);
	owner_give_call(t, seg, r);
	if (r) {
		request_flush_compute(a, r);
		r->called = true;
	}
	connection_call_send(a, c, r, e);
}

void turn_send(struct assembler *a, struct athread *t, const struct event_call *e,
	       const struct segment *seg)
{
	struct connection *c = connection_find(a, e->socket_id);

	if (!c)
		return;
	if (c->row.outgoing)
		send_call(a, t, c, e, seg);
	else
		send_reply(a, t, c, e, seg);
}
