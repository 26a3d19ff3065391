/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections under TLS. The library's functions are the service's reads and writes there: what
 * SSL_read() returned is a receive of plaintext, what SSL_write() took is a send. The system calls
 * inside only moved ciphertext; it is counted, and given to the message that it was for.
 */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tls {
	uint64_t in_bytes, out_bytes; /* ciphertext that no message has yet */
	uint64_t moving;	      /* ciphertext of the chunk at hand */
	bool is_moving;		      /* there is one */
	bool received;		      /* `receive` is the first that brought some of in_bytes */
	struct event_receive receive; /* without its bytes */
	uint64_t latest_ns;	      /* arrival of the last ciphertext */
	uint64_t tx_ns;
	bool shaking; /* its handshake is not over */
	struct row_op handshake;
	struct request_ref owner;  /* of the handshake of a call */
	uint64_t shaken[TS_COUNT]; /* the thread's counters when it last sent for the handshake */
	int64_t shaken_ns;
};

/* A record of TLS: a handshake, or data where its beginning was not seen (RFC 8446, 5.1). */
static bool looks_like_tls(const struct connection *c, const struct event_receive *e)
{
	const uint8_t *b = e->bytes;
	bool middle = c->row.open_ns == TRACE_NONE;

	return e->seen >= 3 && (b[0] == 0x16 || (middle && b[0] == 0x17)) && b[1] == 0x03 &&
	       b[2] <= 0x04;
}

static void look_at_first_bytes(struct connection *c, const struct event_call *e)
{
	if (c->looked || e->head.kind != EVENT_RECEIVE)
		return;
	c->looked = true;
	c->looks_tls = looks_like_tls(c, (const struct event_receive *)e);
}

static struct tls *tls_meet(struct assembler *a, struct connection *c)
{
	if (c->tls)
		return c->tls;
	c->tls = calloc(1, sizeof(*c->tls));
	if (!c->tls) {
		a->failed = -ENOMEM;
		return NULL;
	}
	c->row.tls = 1;
	c->tls->shaking = c->row.open_ns != TRACE_NONE;
	return c->tls;
}

/* What came before the service's own flight was for the handshake. */
static void give_in_to_handshake(struct tls *tls)
{
	tls->handshake.reply_bytes += tls->in_bytes;
	tls->in_bytes = 0;
	tls->received = false;
}

static void begin_handshake(struct tls *tls, int64_t start_ns)
{
	if (!tls->handshake.kind)
		tls->handshake = (struct row_op){
			.kind = OP_HANDSHAKE,
			.start_ns = start_ns,
			.offset = TRACE_NONE,
		};
}

static void note_receive(struct assembler *a, struct tls *tls, const struct event_receive *e)
{
	uint64_t arrival_ns = e->arrival_ns ? e->arrival_ns : e->call.enter_ns;

	if (tls->shaking)
		begin_handshake(tls, TRACE_TIME(a, arrival_ns));
	tls->latest_ns = e->latest_ns;
	tls->in_bytes += e->call.ret;
	if (e->call.tls == TLS_HANDSHAKE && tls->shaking) {
		give_in_to_handshake(tls);
	} else if (!tls->received) {
		tls->received = true;
		tls->receive = *e;
	}
}

/* Up to its last send (of a write: before it) the call shook hands. */
static void note_shaken(struct assembler *a, struct tls *tls, const struct event_call *e)
{
	bool writes = e->tls == TLS_WRITE;

	memcpy(tls->shaken, writes ? e->enter : e->exit, sizeof(tls->shaken));
	tls->shaken_ns = TRACE_TIME(a, writes ? e->enter_ns : e->head.ns);
}

/* When a write shakes hands first, the last send in it is the message. */
static void note_send(struct assembler *a, struct tls *tls, const struct event_call *e)
{
	if (tls->shaking) {
		begin_handshake(tls, TRACE_TIME(a, e->enter_ns));
		give_in_to_handshake(tls);
		tls->handshake.bytes += tls->out_bytes;
		tls->out_bytes = 0;
	}
	if (tls->shaking)
		note_shaken(a, tls, e);
	if (e->tls == TLS_WRITE || !tls->shaking)
		tls->out_bytes += e->ret;
	else
		tls->handshake.bytes += e->ret;
	tls->tx_ns = e->tx_ns;
}

/* The library hands the kernel what it need not see (sendfile): that is a message itself. */
static bool is_plaintext(const struct event_call *e)
{
	return !e->tls && e->op == SYSCALL_SENDFILE;
}

/* The library's threads share locks: no work changes hands there. */
static bool is_lock(const struct event_call *e)
{
	return e->tls && (e->op == SYSCALL_WAIT || e->op == SYSCALL_WAKE);
}

bool tls_absorbs(struct assembler *a, const struct event_call *e)
{
	bool moves = e->op != SYSCALL_ACCEPT && e->op != SYSCALL_CONNECT;
	struct connection *c = e->socket_id && moves ? connection_find(a, e->socket_id) : NULL;
	struct tls *tls;

	if (is_lock(e))
		return true;
	if (!c)
		return false;
	look_at_first_bytes(c, e);
	if ((!e->tls && !c->tls) || is_plaintext(e))
		return false;
	tls = tls_meet(a, c);
	if (tls && e->head.kind == EVENT_RECEIVE)
		note_receive(a, tls, (const struct event_receive *)e);
	else if (tls)
		note_send(a, tls, e);
	return true;
}

/* `worker`: the thread that shook hands for a call whose request is not known yet; or NULL. */
static void write_handshake(struct assembler *a, struct tls *tls, struct athread *worker,
			    uint32_t flags)
{
	const int64_t delta[TS_COUNT] = { [TS_USER] = (int64_t)tls->handshake.cpu_ns };
	struct request *r = request_get(tls->owner);

	tls->shaking = false;
	if (!tls->handshake.kind)
		return;
	tls->handshake.flags = flags;
	tls->handshake.work = tls->handshake.cpu_ns * a->opts.work_per_ms / 1000000;
	if (r)
		request_op(a, r, &tls->handshake);
	else if (worker)
		unit_add_op(a, worker, &tls->handshake, delta);
	else
		assembly_write_op(a, &tls->handshake);
}

/* Its user time is in the handshake, not in the compute around it. */
static void give_account(struct athread *t, struct request *r, const struct segment *seg)
{
	if (r->elsewhere) {
		account_add(&r->account, seg->call);
		r->known_ns = seg->exit_ns;
	} else if (r->thread == t) {
		account_own(&r->account, seg->call);
	}
}

static struct athread *worker_of(struct athread *t, const struct connection *c)
{
	return c->row.outgoing && !t->serves ? t : NULL;
}

/*
 * A call that shook hands. A service's own handshakes are nobody's request; those of the
 * calls it makes are the request's that it makes them for.
 */
static void shake(struct assembler *a, struct athread *t, struct connection *c,
		  const struct event_tls *e, const struct segment *seg)
{
	struct request *r = c->row.outgoing ? owner_current(t) : NULL;
	struct row_op *op = &c->tls->handshake;
	int64_t user_ns = counters_user(seg->call);

	begin_handshake(c->tls, seg->enter_ns);
	owner_give_before(a, t, seg, NULL, false);
	if (!c->row.outgoing)
		owner_leave(t, seg->enter_ns);
	timeline_add(&t->timeline, seg->call);
	if (r) {
		give_account(t, r, seg);
		request_flush_compute(a, r);
		c->tls->owner = (struct request_ref){ r, r->row.request_id };
	}
	c->row.service_id = op->service_id = t->service->row.service_id;
	op->thread_id = t->tid;
	op->cpu_ns += user_ns > 0 ? user_ns : 0;
	op->elapsed_ns = seg->exit_ns - op->start_ns;
	if (!c->row.outgoing)
		owner_set_none(a, t);
	if (e->op == TLS_HANDSHAKE && e->bytes > 0)
		write_handshake(a, c->tls, worker_of(t, c), 0);
}

/* The call as the kernel would have told it, had the library been the kernel. */
static struct event_call as_call(const struct event_tls *e, enum event_kind kind, uint8_t op)
{
	struct event_call call = {
		.head = e->head,
		.enter_ns = e->enter_ns,
		.socket_id = e->socket_id,
		.offset = -1,
		.ret = e->bytes,
		.op = op,
		.object = OBJECT_SOCKET,
	};

	call.head.kind = kind;
	memcpy(call.enter, e->enter, sizeof(call.enter));
	memcpy(call.exit, e->exit, sizeof(call.exit));
	return call;
}

/*
 * The program sees `bytes` of plaintext; on the socket they were the ciphertext of before. It is
 * shared among messages of one chunk in proportion.
 */
static void begin_moving(struct tls *tls, uint64_t *from)
{
	tls->moving = *from;
	tls->is_moving = true;
	*from = 0;
}

uint64_t tls_wire_bytes(const struct connection *c, uint64_t from, uint64_t to, uint64_t total)
{
	const struct tls *tls = c->tls;

	if (!tls->is_moving || !total)
		return to - from; /* the kernel encrypts: what it adds is not known */
	/* each share ends where the next begins, so none is lost by rounding */
	return to * tls->moving / total - from * tls->moving / total;
}

static uint32_t copy_plain(const struct event_tls *e, const uint8_t *plain, uint8_t *ret)
{
	uint32_t seen = e->seen < EVENT_BYTES_LARGE ? e->seen : EVENT_BYTES_LARGE;

	memcpy(ret, plain, seen);
	return seen;
}

/* What the library still had arrived with the last ciphertext at the latest. */
static void message_in(struct assembler *a, struct athread *t, struct connection *c,
		       const struct event_tls *e, const uint8_t *plain, const struct segment *seg)
{
	struct event_receive *read = &a->plain.receive;
	struct tls *tls = c->tls;

	*read = tls->receive;
	if (!tls->received) {
		read->arrival_ns = read->latest_ns = tls->latest_ns;
		read->counted = 0;
	}
	read->call = as_call(e, EVENT_RECEIVE, SYSCALL_READ);
	read->seen = copy_plain(e, plain, read->bytes);
	tls->received = false;
	begin_moving(tls, &tls->in_bytes);
	turn_receive(a, t, read, seg);
	tls->is_moving = false;
}

/* Without its bytes when nobody wants them: then a framer is not asked. */
static void message_out(struct assembler *a, struct athread *t, struct connection *c,
			const struct event_tls *e, const uint8_t *plain, const struct segment *seg)
{
	struct event_send *send = &a->plain.send;

	send->call = as_call(e, e->seen ? EVENT_SEND : EVENT_CALL, SYSCALL_WRITE);
	send->call.tx_ns = c->tls->tx_ns;
	send->seen = copy_plain(e, plain, send->bytes);
	begin_moving(c->tls, &c->tls->out_bytes);
	turn_send(a, t, &send->call, seg);
	c->tls->is_moving = false;
}

/* The oldest request without an answer: what the library does between messages is for it. */
static struct request *unanswered(const struct connection *c)
{
	struct request *r = c->first;

	while (r && request_is_answered(r))
		r = r->next;
	return r;
}

/* Ciphertext that made no message: part of a record, or what the two libraries say to each other. */
static void between_messages(struct assembler *a, struct athread *t, struct connection *c,
			     const struct segment *seg)
{
	struct request *r = unanswered(c);

	if (!r || r->thread != t)
		r = owner_current(t);
	owner_give_before(a, t, seg, r, false);
	owner_give_call(a, t, seg, r);
}

/* A call that shook hands and then moved a message: two calls, one behind the other. */
static void shake_first(struct assembler *a, struct athread *t, struct connection *c,
			struct event_tls *e, struct segment *seg)
{
	struct tls *tls = c->tls;
	struct segment first = *seg;

	if (tls->shaken_ns > seg->enter_ns && tls->shaken_ns < seg->exit_ns) {
		first.end_ns = first.exit_ns = tls->shaken_ns;
		counters_delta(e->enter, tls->shaken, first.call);
		shake(a, t, c, e, &first);
		memcpy(e->enter, tls->shaken, sizeof(e->enter));
		e->enter_ns = tls->shaken_ns + a->opts.start_ns;
		memcpy(t->last, e->enter, sizeof(t->last));
		t->last_ns = seg->start_ns = seg->enter_ns = tls->shaken_ns;
		counters_delta(e->enter, e->enter, seg->before);
		counters_delta(e->enter, e->exit, seg->call);
	}
	write_handshake(a, tls, worker_of(t, c), 0);
}

/* Another op inside the call (a lock, a file) has closed the thread's time up to there. */
static void begin_at_last(struct assembler *a, const struct athread *t, struct event_tls *e)
{
	if (t->last_ns <= TRACE_TIME(a, e->enter_ns))
		return;
	e->enter_ns = t->last_ns + a->opts.start_ns;
	memcpy(e->enter, t->last, sizeof(e->enter));
}

void tls_returned(struct assembler *a, struct athread *t, const struct event_tls *event)
{
	struct connection *c = connection_find(a, event->socket_id);
	bool message = event->op != TLS_HANDSHAKE && event->bytes > 0;
	struct event_tls e = *event; /* without its bytes */
	struct segment seg;

	begin_at_last(a, t, &e);
	seg.start_ns = seg.enter_ns = TRACE_TIME(a, e.enter_ns);
	seg.end_ns = seg.exit_ns = TRACE_TIME(a, e.head.ns);
	counters_delta(t->last, e.enter, seg.before);
	counters_delta(e.enter, e.exit, seg.call);
	if (!c || !tls_meet(a, c)) {
		owner_give_before(a, t, &seg, NULL, false);
		owner_give_call(a, t, &seg, owner_current(t));
		return;
	}
	if (c->tls->shaking && message)
		shake_first(a, t, c, &e, &seg);
	if (c->tls->shaking)
		shake(a, t, c, &e, &seg);
	else if (message && e.op == TLS_READ)
		message_in(a, t, c, &e, event->plain, &seg);
	else if (message)
		message_out(a, t, c, &e, event->plain, &seg);
	else
		between_messages(a, t, c, &seg);
}

void tls_pause(struct connection *c)
{
	struct tls *tls = c->tls;

	if (!tls)
		return;
	tls->in_bytes = tls->out_bytes = 0;
	tls->received = tls->shaking = false;
	tls->handshake = (struct row_op){ 0 };
}

void tls_finish(struct assembler *a, struct connection *c)
{
	if (c->tls && c->tls->shaking)
		write_handshake(a, c->tls, NULL, OPF_FAILED);
	if (!c->tls && c->looks_tls) {
		c->row.tls = 1;
		a->ledger.count[LG_TLS_OPAQUE]++;
	}
	if (c->row.tls && !c->row.outgoing && c->row.service_id)
		a->services[c->row.service_id - 1].row.tls = 1;
	free(c->tls);
	c->tls = NULL;
}
