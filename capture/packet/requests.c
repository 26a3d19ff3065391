/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes are of which request: messages where a framer finds them, else turns - a run of bytes
 * in, then a run of bytes out that answers all that came.
 */
#include "capture/packet/requests.h"

#include "capture/packet/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_LEAST 4 /* bytes that are the same by chance otherwise */
#define HEAD_MOST 256

/* As in a live capture, where the same holds (docs/CAPTURE.md). */
enum confidence {
	CERTAIN = 100,
	BY_TURNS = 90,
	BY_RUN = 60,	 /* several were under way, and nothing shows which bytes are whose */
	ACROSS_GAP = 30, /* some of its bytes were not captured */
};

static int write_row(void *arg, enum trace_table table, const void *row)
{
	struct requests *r = arg;

	rows_write(r, table, row);
	return r->failed;
}

static void on_released(void *arg, struct span *span);

struct requests *requests_new(int64_t start_ns, const struct row_sink *sink)
{
	struct requests *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pool_init(&r->conversations, sizeof(struct conversation));
	r->start_ns = start_ns;
	r->sink = *sink;
	r->services = calloc(PACKET_SERVICES_MAX, sizeof(*r->services));
	r->classes = calloc(PACKET_CLASSES_MAX, sizeof(*r->classes));
	r->calls = calls_new(&(struct calls_sink){ { write_row, r }, on_released, r }, &r->ledger);
	if (r->services && r->classes && r->calls)
		return r;
	requests_free(r);
	return NULL;
}

void requests_free(struct requests *r)
{
	if (!r)
		return;
	while (r->free_exchanges) {
		struct exchange *next = r->free_exchanges->next;

		free(r->free_exchanges);
		r->free_exchanges = next;
	}
	for (size_t i = 0; i < r->framers_count; i++)
		free(r->free_framers[i]);
	free(r->free_framers);
	calls_free(r->calls);
	pool_release(&r->conversations);
	free(r->marks);
	free(r->classes);
	free(r->services);
	free(r);
}

int requests_failed(const struct requests *r)
{
	return r->failed ? r->failed : calls_failed(r->calls);
}

const struct ledger *requests_ledger(const struct requests *r)
{
	return &r->ledger;
}

/* --- requests under way -------------------------------------------------------------------------- */

static void doubt(struct exchange *x, unsigned confidence)
{
	if (x->row.confidence > confidence)
		x->row.confidence = confidence;
}

static void add_turn(struct requests *r, struct conversation *c, int64_t arrival_ns)
{
	if (!c->previous || c->turns_count == DEPENDENCE_TURNS_MAX)
		return;
	if (!c->turns && r->turns_tables < TURNS_TABLES_MAX) {
		c->turns = malloc(DEPENDENCE_TURNS_MAX * sizeof(*c->turns));
		r->turns_tables += c->turns != NULL;
	}
	if (!c->turns)
		return;
	c->turns[c->turns_count++] = (struct turn){
		.service_ns = c->previous_end_ns - c->previous_arrival_ns,
		.interval_ns = arrival_ns - c->previous_arrival_ns,
	};
}

static void begin_exchange(struct requests *r, struct conversation *c, int64_t ns)
{
	struct exchange *x = r->free_exchanges ? r->free_exchanges : malloc(sizeof(*x));

	if (!x) {
		r->failed = -ENOMEM;
		return;
	}
	if (x == r->free_exchanges)
		r->free_exchanges = x->next;
	*x = (struct exchange){ .span = { .row = &x->row,
					  .link = c->link,
					  .host = r->services[c->service].host,
					  .service = c->service },
				.row = { .request_id = ++r->ledger.count[LG_REQUESTS],
					 .service_id = r->services[c->service].row.service_id,
					 .connection_id = c->connection_id,
					 .confidence = CERTAIN,
					 .arrival_ns = ns,
					 .request_end_ns = ns,
					 .think_ns = TRACE_NONE,
					 .read_ns = TRACE_NONE,
					 .write_ns = TRACE_NONE,
					 .end_ns = TRACE_NONE,
					 .intended_ns = TRACE_NONE,
					 .sent_ns = TRACE_NONE,
					 .received_ns = TRACE_NONE } };
	if (!c->first)
		add_turn(r, c, ns);
	if (c->previous && c->previous_end_ns <= ns) {
		x->row.after_request = c->previous;
		x->row.think_ns = ns - c->previous_end_ns;
	}
	*(c->last ? &c->last->next : &c->first) = x;
	c->last = x;
	c->asking = x;
	c->requests++;
	c->exchanges++;
	calls_begin(r->calls, &x->span);
}

static bool is_answered(const struct exchange *x)
{
	return x->row.end_ns != TRACE_NONE;
}

static void unlink_exchange(struct conversation *c, struct exchange *x)
{
	struct exchange **at = &c->first, *before = NULL;

	while (*at != x) {
		before = *at;
		at = &(*at)->next;
	}
	*at = x->next;
	if (c->last == x)
		c->last = before;
	if (c->asking == x)
		c->asking = NULL;
	if (c->replying == x)
		c->replying = NULL;
	c->exchanges--;
}

static void close_exchange(struct requests *r, struct conversation *c, struct exchange *x,
			   const char *status)
{
	if (is_answered(x)) {
		c->previous = x->row.request_id;
		c->previous_arrival_ns = x->row.arrival_ns;
		c->previous_end_ns = x->row.end_ns;
	}
	if (x->gapped) {
		doubt(x, ACROSS_GAP);
		r->ledger.count[LG_REQUESTS_GAPPED]++;
	}
	if (status[0])
		snprintf(x->row.status, sizeof(x->row.status), "%s", status);
	x->row.class_id = rows_class(r, c, x);
	unlink_exchange(c, x);
	calls_end(r->calls, &x->span, r->now_ns);
}

/* Its row is out. */
static void on_released(void *arg, struct span *span)
{
	struct requests *r = arg;
	struct exchange *x = (struct exchange *)((char *)span - offsetof(struct exchange, span));

	x->next = r->free_exchanges;
	r->free_exchanges = x;
}

static const char *status_of(const struct exchange *x, const char *unanswered)
{
	if (is_answered(x))
		return "";
	return x->no_reply ? "no-reply" : unanswered;
}

/* A reply may begin before its request is whole: then that goes on, as far as anybody can tell. */
static bool is_over(const struct conversation *c, const struct exchange *x)
{
	return x->no_reply || (is_answered(x) && (x->complete || !c->framed));
}

/*
 * What has been answered is over when the next bytes come. On a stream replies come in order, or
 * close their requests themselves; so nobody looks behind the first that still waits.
 */
static void close_answered(struct requests *r, struct conversation *c, bool datagrams)
{
	struct exchange *next;

	for (struct exchange *x = c->first; x && (datagrams || is_over(c, x)); x = next) {
		next = x->next;
		if (is_over(c, x))
			close_exchange(r, c, x, status_of(x, ""));
	}
	while (c->exchanges >= (datagrams ? DATAGRAMS_MAX : EXCHANGES_MAX)) {
		close_exchange(r, c, c->first, "unanswered");
		r->ledger.count[LG_REQUESTS_UNANSWERED]++;
	}
	if (!c->first)
		framing_rest(r, c);
}

/* --- bytes in ------------------------------------------------------------------------------------- */

static void add_request_bytes(struct conversation *c, uint64_t n, bool gap, int64_t ns)
{
	if (!c->asking)
		return;
	if (n && c->asking->row.request_end_ns < ns)
		c->asking->row.request_end_ns = ns;
	c->asking->row.request_bytes += n;
	c->asking->gapped |= gap;
}

/*
 * Where a proxy passes the head of a message on, call and request have the same. A hash (FNV-1a) of
 * the first line, or of so many bytes, stays in memory as long as the request does.
 */
static void note_head(struct conversation *c, const struct flow_chunk *chunk, size_t from)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	size_t at = from;

	if (!c->asking || chunk->gap || c->encrypted)
		return;
	for (; at < chunk->seen && at < from + HEAD_MOST && chunk->bytes[at] != '\n'; at++)
		hash = (hash ^ chunk->bytes[at]) * 0x100000001b3ull;
	if (at >= from + HEAD_LEAST)
		c->asking->span.head = hash;
}

/* from: what of the chunk is counted already. Returns the same, behind the mark. */
static uint64_t mark_request(struct requests *r, struct conversation *c,
			     const struct framer_mark *mark, uint64_t from,
			     const struct flow_chunk *chunk, int64_t ns)
{
	bool begins = mark->kind == FRAMER_REQUEST_BEGIN;

	/* the start of a message that came in pieces may be there, not yet known as one */
	if (begins && (!c->asking || c->asking->frame)) {
		begin_exchange(r, c, ns);
		note_head(c, chunk, mark->back ? chunk->seen : mark->at);
		add_request_bytes(c, mark->back, chunk->gap, ns);
		from = mark->at;
	}
	if (!c->asking)
		return mark->at;
	c->asking->frame = mark->id;
	c->asking->span.framed = !(mark->id >> 32); /* else its reply has no end */
	if (mark->verb[0])
		memcpy(c->asking->verb, mark->verb, sizeof(c->asking->verb));
	if (begins)
		return from;
	add_request_bytes(c, mark->at - from, chunk->gap, ns);
	c->asking->complete = true;
	c->asking->no_reply = mark->flags & FRAMER_NO_REPLY;
	if (mark->id >> 32)
		doubt(c->asking, BY_TURNS);
	if (c->asking->replied)
		close_exchange(r, c, c->asking, "");
	c->asking = NULL;
	return mark->at;
}

/* Frames of the connection itself come between requests, and are none. */
static bool is_multiplexed(const struct conversation *c)
{
	return !strcmp(c->protocol, "http/2");
}

/* Of an encrypted chunk, what the application sent: a turn's. False: none of it is. */
static bool decipher(struct requests *r, struct conversation *c, bool reply,
		     struct flow_chunk *chunk)
{
	if (!c->encrypted)
		return true;
	chunk->total =
		tls_application_bytes(&c->tls, reply, chunk->bytes, chunk->seen, chunk->total);
	if (c->tls.hello)
		greeting_keep(r, c, c->tls.lost);
	chunk->seen = 0;
	return chunk->total > 0;
}

static void bytes_in(struct requests *r, struct conversation *c, bool datagrams,
		     const struct flow_chunk *chunk, int64_t ns)
{
	uint64_t from = 0;

	close_answered(r, c, datagrams);
	c->unpaired = false;
	if (!c->asking && c->last && !(c->last->complete && c->framed))
		c->asking = c->last;
	framing_find_marks(r, c, datagrams, false, chunk);
	for (size_t i = 0; i < r->marks_count; i++)
		if (r->marks[i].kind <= FRAMER_REQUEST_END)
			from = mark_request(r, c, &r->marks[i], from, chunk, ns);
	if (from == chunk->total || (!c->asking && c->framed && is_multiplexed(c)))
		return;
	if (!c->asking && !c->framed && c->last)
		c->asking = c->last; /* no boundary is known: more of the same turn */
	if (!c->asking) {
		begin_exchange(r, c, ns);
		note_head(c, chunk, from);
	}
	add_request_bytes(c, chunk->total - from, chunk->gap, ns);
	if (c->asking && !c->framed) {
		c->asking->complete = true;
		doubt(c->asking, BY_TURNS);
	}
}

/* --- bytes out ------------------------------------------------------------------------------------ */

static void add_reply(struct exchange *x, uint64_t n, bool gap, int64_t ns)
{
	if (ns < x->row.arrival_ns)
		ns = x->row.arrival_ns; /* stamps may step back */
	if (x->row.write_ns == TRACE_NONE)
		x->row.write_ns = ns;
	if (x->row.end_ns == TRACE_NONE || x->row.end_ns < ns)
		x->row.end_ns = ns;
	x->row.response_bytes += n;
	x->gapped |= gap;
}

/* A request without reply gives its number back: the next one has it again. */
static struct exchange *exchange_of(struct conversation *c, uint64_t frame)
{
	struct exchange *x = frame ? c->first : NULL;

	while (x && (x->frame != frame || x->no_reply))
		x = x->next;
	return x;
}

/* By the framer: whose reply each byte is. False: nothing was of anybody's. */
static bool reply_framed(struct requests *r, struct conversation *c, const struct flow_chunk *chunk,
			 int64_t ns)
{
	bool any = c->replying != NULL;
	uint64_t from = 0;

	for (size_t i = 0; i < r->marks_count; i++) {
		const struct framer_mark *mark = &r->marks[i];

		if (mark->kind == FRAMER_REPLY_BEGIN) {
			c->replying = exchange_of(c, mark->id);
			from = mark->at;
			any |= c->replying != NULL;
			if (c->replying && mark->back) /* it came in pieces */
				add_reply(c->replying, mark->back, chunk->gap,
					  c->unclaimed_ns ? c->unclaimed_ns : ns);
			c->unclaimed_ns = 0;
		} else if (mark->kind == FRAMER_REPLY_END) {
			struct exchange *x = c->replying;

			c->unclaimed_ns = 0;
			if (!x)
				continue;
			add_reply(x, mark->at - from, chunk->gap, ns);
			from = mark->at;
			x->replied = true;
			c->replying = NULL;
			if (x->complete)
				close_exchange(r, c, x, "");
		}
	}
	if (c->replying && from < chunk->total)
		add_reply(c->replying, chunk->total - from, chunk->gap, ns);
	else if (from < chunk->total && !c->unclaimed_ns)
		c->unclaimed_ns = ns;
	return any;
}

static bool is_waiting(const struct exchange *x)
{
	return x->complete && !x->no_reply && !is_answered(x);
}

/* By turns: these bytes answer all that had come; if all has an answer, they are more of it. */
static bool reply_run(struct conversation *c, const struct flow_chunk *chunk, int64_t ns)
{
	uint64_t bytes = chunk->total;
	size_t waiting = 0;

	for (struct exchange *x = c->first; x; x = x->next)
		waiting += is_waiting(x);
	for (struct exchange *x = c->first; x; x = x->next) {
		if (waiting ? !is_waiting(x) : x->no_reply)
			continue;
		x->span.framed = false;
		if (!x->frame)
			doubt(x, BY_TURNS);
		if (waiting > 1)
			doubt(x, BY_RUN);
		add_reply(x, bytes, chunk->gap, ns);
		bytes = 0;
	}
	return !bytes;
}

/* A datagram out answers the oldest that waits; a further one belongs to the last reply. */
static bool reply_datagram(struct conversation *c, const struct flow_chunk *chunk, int64_t ns)
{
	struct exchange *x = c->first;

	while (x && is_answered(x))
		x = x->next;
	if (x && x->next)
		doubt(x, BY_RUN);
	if (!x)
		x = c->last;
	if (x)
		add_reply(x, chunk->total, chunk->gap, ns);
	return x != NULL;
}

static bool seen_open(const struct flow *flow)
{
	return flow->side[0].began || flow->side[1].began;
}

/* Nobody asked for it: the request came before the capture, or there was none. */
static void note_unpaired(struct requests *r, struct conversation *c, const struct flow *flow)
{
	if (!c->unpaired)
		r->ledger.count[seen_open(flow) || c->requests ? LG_REPLIES_UNPAIRED :
								 LG_OPEN_AT_START]++;
	c->unpaired = true;
}

static void bytes_out(struct requests *r, struct conversation *c, const struct flow *flow,
		      const struct flow_chunk *chunk, int64_t ns)
{
	bool datagrams = flow->protocol == PACKET_UDP, was_framed = c->framed;

	if (!c->requests && !seen_open(flow))
		calls_unseen(r->calls, c->service, ns);
	c->asking = c->framed ? c->asking : NULL; /* a turn ends where the other begins */
	framing_find_marks(r, c, datagrams, true, chunk);
	if (was_framed && reply_framed(r, c, chunk, ns)) {
		if (!c->framed && c->replying)
			doubt(c->replying, BY_TURNS);
		if (!c->first && !c->unclaimed_ns)
			framing_rest(r, c);
		return;
	}
	if (datagrams) {
		if (!reply_datagram(c, chunk, ns))
			note_unpaired(r, c, flow);
		return;
	}
	if (c->framed && (c->protocol[0] || !c->first))
		return; /* pushed, or between messages, or a greeting: the framer knows */
	c->framed = false;
	c->replying = NULL;
	if (!reply_run(c, chunk, ns))
		note_unpaired(r, c, flow);
}

/* --- what flows tell ------------------------------------------------------------------------------ */

static void on_opened(void *arg, struct flow *flow)
{
	struct requests *r = arg;
	struct conversation *c = pool_take(&r->conversations);

	flow->user = c;
	if (c)
		rows_open(r, c, flow);
	else
		r->failed = -ENOMEM;
}

static void on_bytes(void *arg, struct flow *flow, bool reply, const struct flow_chunk *chunk)
{
	struct requests *r = arg;
	struct conversation *c = flow->user;
	struct flow_chunk own = *chunk;
	int64_t ns = chunk->ns - r->start_ns;
	bool datagrams = flow->protocol == PACKET_UDP;

	if (!c || r->failed)
		return;
	r->now_ns = ns;
	calls_advance(r->calls, ns);
	rows_look_for_caller(r, c, flow);
	if (!reply && !datagrams)
		greeting_look(r, c, chunk);
	if (!decipher(r, c, reply, &own))
		return;
	if (reply)
		bytes_out(r, c, flow, &own, ns);
	else
		bytes_in(r, c, datagrams, &own, ns);
}

/* What only the close ends: an HTTP/1 reply without length. */
static void on_ended(void *arg, struct flow *flow, bool reply, int64_t ns)
{
	static const struct flow_chunk nothing;
	struct requests *r = arg;
	struct conversation *c = flow->user;

	if (!c || !c->framer || !c->framed)
		return;
	r->marks_count = 0;
	r->now_ns = ns - r->start_ns;
	framer_end(c->framer, reply ? FRAMER_OUT : FRAMER_IN, framing_keep_mark, r);
	if (reply)
		reply_framed(r, c, &nothing, ns - r->start_ns);
}

static void on_closed(void *arg, struct flow *flow)
{
	struct requests *r = arg;
	struct conversation *c = flow->user;
	const char *status = flow->close_ns ? "unanswered" : "open";
	enum ledger_entry entry = flow->close_ns ? LG_REQUESTS_UNANSWERED : LG_OPEN_AT_END;

	if (!c)
		return;
	r->now_ns = (flow->close_ns ? flow->close_ns : flow->last_ns) - r->start_ns;
	while (c->first) {
		r->ledger.count[entry] += !is_answered(c->first) && !c->first->no_reply;
		close_exchange(r, c, c->first, status_of(c->first, status));
	}
	greeting_keep(r, c, true);
	rows_close(r, c, flow);
	framing_give(r, c);
	r->turns_tables -= c->turns != NULL;
	free(c->turns);
	pool_give(&r->conversations, c);
	flow->user = NULL;
}

struct flow_sink requests_flow_sink(struct requests *r)
{
	return (struct flow_sink){ on_opened, on_bytes, on_ended, on_closed, r };
}
