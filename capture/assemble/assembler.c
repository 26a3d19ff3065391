/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events in, rows out. A system call's return closes two stretches of its thread's
 * time: what came before the call and the call itself; the handlers below say whose
 * each of them was.
 */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a trace of requests alone does not have. */
static bool of_details(enum trace_table table)
{
	return table == TABLE_TARGETS || table == TABLE_LATENCY || table == TABLE_OP_REQUESTS;
}

void assembly_write(struct assembler *a, enum trace_table table, const void *row)
{
	int rc;

	if (a->failed || (a->opts.requests_only && of_details(table)))
		return;
	rc = a->opts.sink.write(a->opts.sink.arg, table, row);
	if (rc < 0)
		a->failed = rc;
}

void assembly_write_op(struct assembler *a, struct row_op *op)
{
	if (a->opts.requests_only)
		return;
	if (!op->op_id)
		op->op_id = ++a->ops;
	a->ledger.count[LG_OPS]++;
	a->ledger.count[LG_BACKGROUND_OPS] += !op->request_id;
	assembly_write(a, TABLE_OPS, op);
}

typedef void (*call_handler)(struct assembler *a, struct athread *t, const struct event_call *e,
			     const struct segment *seg);

static const call_handler call_handlers[] = {
	[SYSCALL_CLOSE] = op_on_file,	   [SYSCALL_OPEN] = op_on_file,
	[SYSCALL_STAT] = op_on_file,	   [SYSCALL_SLEEP] = op_on_sleep,
	[SYSCALL_POLL] = op_on_poll,	   [SYSCALL_ACCEPT] = op_on_accept,
	[SYSCALL_CONNECT] = op_on_connect, [SYSCALL_SYNC] = op_on_file,
	[SYSCALL_DATASYNC] = op_on_file,   [SYSCALL_READ] = op_on_file,
	[SYSCALL_READV] = op_on_file,	   [SYSCALL_PREAD] = op_on_file,
	[SYSCALL_WRITE] = op_on_file,	   [SYSCALL_WRITEV] = op_on_file,
	[SYSCALL_PWRITE] = op_on_file,	   [SYSCALL_SENDFILE] = op_on_file,
	[SYSCALL_SPLICE_IN] = op_on_file,  [SYSCALL_SPLICE_OUT] = op_on_file,
};

static void on_other(struct assembler *a, struct athread *t, const struct segment *seg)
{
	owner_give_before(a, t, seg, NULL, false);
	owner_give_call(a, t, seg, owner_current(t));
}

static void dispatch(struct assembler *a, struct athread *t, const struct event_call *e,
		     const struct segment *seg)
{
	size_t op = e->op;

	if (e->object == OBJECT_UNSAMPLED)
		op_on_others(a, t, seg);
	else if (e->head.kind == EVENT_DATAGRAM)
		datagram_call(a, t, (const struct event_datagram *)e, seg);
	else if (e->head.kind == EVENT_RECEIVE)
		turn_receive(a, t, (const struct event_receive *)e, seg);
	else if (e->object == OBJECT_SIGNAL)
		op_on_signal(a, t, e, seg);
	else if (e->socket_id && op != SYSCALL_ACCEPT && op != SYSCALL_CONNECT)
		turn_send(a, t, e, seg);
	else if (op < sizeof(call_handlers) / sizeof(call_handlers[0]) && call_handlers[op])
		call_handlers[op](a, t, e, seg);
	else
		on_other(a, t, seg);
}

static void thread_free(struct athread *t)
{
	if (!t)
		return;
	free(t->pass);
	free(t->batch.steps);
	free(t->pieces);
	unit_free(t->unit);
	free(t);
}

struct athread *thread_hold(struct athread *t)
{
	if (t)
		t->held++;
	return t;
}

static void free_if_unheld(struct assembler *a, struct athread *t)
{
	if (t->held || !t->gone)
		return;
	owner_flush_background(a, t);
	*(t->gone_before ? &t->gone_before->gone_after : &a->gone) = t->gone_after;
	if (t->gone_after)
		t->gone_after->gone_before = t->gone_before;
	thread_free(t);
}

void thread_drop(struct assembler *a, struct athread *t)
{
	if (!t)
		return;
	t->held--;
	free_if_unheld(a, t);
}

bool thread_is_of_one(const struct athread *t)
{
	return t->serves && !t->several && !t->accepts;
}

static void thread_finish(struct assembler *a, struct athread *t, const uint64_t ns[TS_COUNT])
{
	struct service *s = t->service;

	owner_flush_after(a, t);
	handoff_quit(a, t);
	owner_flush_background(a, t);
	a->totals.user_ns += ns[TS_USER] + ns[TS_KERNEL_FAULT];
	a->totals.kernel_ns +=
		ns[TS_KERNEL_NET] + ns[TS_KERNEL_FS] + ns[TS_KERNEL_MM] + ns[TS_KERNEL_OTHER];
	s->row.threads += t->serves;
	s->polls |= t->serves && t->polls && !thread_is_of_one(t);
	s->polls_within |= t->polls && thread_is_of_one(t);
}

/* Its slot is free for the next; it stays while requests that it has read are open. */
static void thread_end(struct assembler *a, struct athread *t, const uint64_t ns[TS_COUNT])
{
	batch_settle(a, t);
	free(t->batch.steps);
	t->batch = (struct batch){ 0 };
	thread_finish(a, t, ns);
	pass_release(t);
	a->threads[t->slot] = NULL;
	t->gone = true;
	t->gone_after = a->gone;
	if (a->gone)
		a->gone->gone_before = t;
	a->gone = t;
	free_if_unheld(a, t);
}

static struct athread *thread_new(struct assembler *a, const struct event_head *head)
{
	struct athread *t = calloc(1, sizeof(*t)), *before = a->threads[head->slot];

	if (before) /* the event of its end was lost */
		thread_end(a, before, before->last);
	if (!t) {
		a->failed = -ENOMEM;
		return NULL;
	}
	t->number = a->ledger.count[LG_THREADS] + 1;
	t->slot = head->slot;
	t->generation = head->generation;
	t->last_ns = TRACE_TIME(a, head->ns);
	t->service = &a->services[0];
	a->threads[head->slot] = t;
	a->ledger.count[LG_THREADS]++;
	return t;
}

static struct athread *thread_find(struct assembler *a, const struct event_head *head)
{
	struct athread *t = head->slot < THREAD_SLOTS ? a->threads[head->slot] : NULL;

	return t && t->generation == head->generation ? t : NULL;
}

static void on_thread(struct assembler *a, const struct event_thread *e)
{
	struct athread *t;

	if (e->head.slot >= THREAD_SLOTS || thread_find(a, &e->head))
		return;
	t = thread_new(a, &e->head);
	if (!t)
		return;
	t->tid = e->tid;
	t->tgid = e->tgid;
	t->service = &a->services[e->service < SERVICES_MAX ? e->service : 0];
	memcpy(t->comm, e->comm, sizeof(t->comm));
}

static bool process_has_threads(const struct assembler *a, uint32_t tgid)
{
	for (size_t i = 0; i < THREAD_SLOTS; i++)
		if (a->threads[i] && a->threads[i]->tgid == tgid)
			return true;
	return false;
}

static void on_thread_exit(struct assembler *a, const struct event_thread *e)
{
	struct athread *t = thread_find(a, &e->head);

	if (!t)
		return;
	thread_end(a, t, e->ns);
	if (a->locals_count && !process_has_threads(a, e->tgid))
		connections_left(a, e->tgid, TRACE_TIME(a, e->head.ns));
}

/* The thread of an event that has its counters at entry. */
static struct athread *thread_meet(struct assembler *a, const struct event_head *head,
				   const uint64_t enter[TS_COUNT])
{
	struct athread *t = thread_find(a, head);

	if (!t && head->slot < THREAD_SLOTS) { /* the event that announced it was lost */
		t = thread_new(a, head);
		if (t)
			memcpy(t->last, enter, sizeof(t->last));
	}
	return t;
}

static void segment_close(struct athread *t, const uint64_t exit[TS_COUNT], int64_t exit_ns)
{
	memcpy(t->last, exit, sizeof(t->last));
	t->last_ns = exit_ns;
}

static void on_call(struct assembler *a, const struct event_call *e)
{
	struct athread *t = thread_meet(a, &e->head, e->enter);
	struct segment seg = {
		.enter_ns = TRACE_TIME(a, e->enter_ns),
		.exit_ns = TRACE_TIME(a, e->head.ns),
		.start_ns = TRACE_TIME(a, e->submit_ns ? e->submit_ns : e->enter_ns),
		.end_ns = TRACE_TIME(a, e->submit_ns ? e->done_ns : e->head.ns),
	};

	if (!t || tls_absorbs(a, e))
		return;
	counters_delta(t->last, e->enter, seg.before);
	counters_delta(e->enter, e->exit, seg.call);
	dispatch(a, t, e, &seg);
	segment_close(t, e->exit, seg.exit_ns);
}

static void on_tls(struct assembler *a, const struct event_tls *e)
{
	struct athread *t = thread_meet(a, &e->head, e->enter);

	if (!t)
		return;
	tls_returned(a, t, e);
	segment_close(t, e->exit, TRACE_TIME(a, e->head.ns));
}

static void on_datagram_more(struct assembler *a, const struct event_datagram_more *e)
{
	struct athread *t = thread_find(a, &e->head);

	if (t)
		datagram_more(a, t, e);
}

static void on_pieces(struct assembler *a, const struct event_pieces *e)
{
	struct athread *t = thread_find(a, &e->head);

	if (!t || e->count > RX_PIECES_MAX)
		return;
	if (!t->pieces)
		t->pieces = malloc(sizeof(*t->pieces));
	if (t->pieces)
		*t->pieces = *e;
	else
		a->failed = -ENOMEM;
}

static size_t event_size(uint16_t kind)
{
	static const size_t sizes[] = {
		[EVENT_THREAD] = sizeof(struct event_thread),
		[EVENT_THREAD_EXIT] = sizeof(struct event_thread),
		[EVENT_SOCKET] = sizeof(struct event_socket),
		[EVENT_SOCKET_CLOSE] = sizeof(struct event_socket),
		[EVENT_CALL] = sizeof(struct event_call),
		[EVENT_RECEIVE] = sizeof(struct event_receive),
		[EVENT_SEND] = sizeof(struct event_send),
		[EVENT_TLS] = sizeof(struct event_tls),
		[EVENT_DATAGRAM] = sizeof(struct event_datagram),
		[EVENT_DATAGRAM_MORE] = sizeof(struct event_datagram_more),
		[EVENT_PIECES] = sizeof(struct event_pieces),
	};

	return kind < sizeof(sizes) / sizeof(sizes[0]) ? sizes[kind] : 0;
}

/* Bytes of a message that the record says it holds, behind its fixed part. */
static size_t bytes_seen(const struct event_head *head)
{
	if (head->kind == EVENT_TLS)
		return ((const struct event_tls *)head)->seen;
	if (head->kind == EVENT_RECEIVE)
		return ((const struct event_receive *)head)->seen;
	return head->kind == EVENT_SEND ? ((const struct event_send *)head)->seen : 0;
}

int assembler_event(struct assembler *a, const void *event, size_t size)
{
	const struct event_head *head = event;
	size_t want = size >= sizeof(*head) ? event_size(head->kind) : 0;

	if (want && size >= want)
		want += bytes_seen(head);

	if (!want || size < want)
		return a->failed;
	a->ledger.count[LG_EVENTS]++;
	if (head->kind == EVENT_THREAD)
		on_thread(a, event);
	else if (head->kind == EVENT_THREAD_EXIT)
		on_thread_exit(a, event);
	else if (head->kind == EVENT_SOCKET)
		connection_opened(a, event);
	else if (head->kind == EVENT_SOCKET_CLOSE)
		connection_closed(a, event);
	else if (head->kind == EVENT_TLS)
		on_tls(a, event);
	else if (head->kind == EVENT_DATAGRAM_MORE)
		on_datagram_more(a, event);
	else if (head->kind == EVENT_PIECES)
		on_pieces(a, event);
	else
		on_call(a, event);
	return a->failed;
}

void assembler_pause(struct assembler *a)
{
	for (size_t i = 0; i < CONNECTION_BUCKETS; i++)
		for (struct connection *c = a->connections[i]; c; c = c->next)
			connection_pause(a, c);
	for (size_t i = 0; i < THREAD_SLOTS; i++) {
		if (!a->threads[i])
			continue;
		owner_set_none(a, a->threads[i]);
		pass_clear(a->threads[i]);
		unit_drop(a, a->threads[i]);
	}
	for (size_t i = 0; i < SERVICES_MAX; i++)
		handoff_give_up_all(a, &a->services[i]);
}

void assembler_thread_end(struct assembler *a, unsigned slot, uint32_t generation,
			  const uint64_t counters[TS_COUNT])
{
	struct event_head head = { .slot = slot, .generation = generation };
	struct athread *t = thread_find(a, &head);

	if (t)
		thread_end(a, t, counters);
}

/* What holds first, from the most to the least particular. */
static const char *io_model(const struct service *s)
{
	if (!s->row.threads)
		return "";
	if (s->works || s->delivers)
		return "worker-pool";
	if (s->hands_off)
		return "io-threads";
	if (s->polls)
		return s->accepts_apart ? "hand-off" : "event-loop";
	if (s->polls_within && s->row.threads == 1 && !s->accepts_apart)
		return "event-loop"; /* nobody else may have come */
	return "per-connection";
}

/* Threads whose end nobody has told; then all that they left behind. */
static void finish_threads(struct assembler *a)
{
	for (size_t i = 0; i < THREAD_SLOTS; i++)
		if (a->threads[i])
			thread_end(a, a->threads[i], a->threads[i]->last);
	for (size_t i = 0; i < SERVICES_MAX; i++)
		handoff_give_up_all(a, &a->services[i]);
	for (struct athread *t = a->gone; t; t = t->gone_after)
		owner_flush_background(a, t);
}

int assembler_finish(struct assembler *a, int64_t end_ns, struct assembler_totals *ret_totals)
{
	finish_threads(a);
	for (size_t i = 0; i < CONNECTION_BUCKETS; i++)
		while (a->connections[i])
			connection_finish(a, a->connections[i], TRACE_NONE);
	classes_finish(a);
	for (size_t i = 0; i < SERVICES_MAX; i++) {
		struct row_service *row = &a->services[i].row;

		if (!a->opts.requests_only)
			snprintf(row->io_model, sizeof(row->io_model), "%s",
				 io_model(&a->services[i]));
		a->totals.services[i] = *row;
	}
	*ret_totals = a->totals;
	return a->failed;
}

const struct ledger *assembler_ledger(const struct assembler *a)
{
	return &a->ledger;
}

struct assembler *assembler_new(const struct assembler_opts *opts)
{
	struct assembler *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->opts = *opts;
	for (size_t i = 0; i < SERVICES_MAX; i++)
		a->services[i].row.service_id = i + 1;
	return a;
}

static void connection_free(struct connection *c)
{
	while (c->first) {
		struct request *r = c->first;

		c->first = r->next;
		free(r);
	}
	free(c->turns);
	free(c->tls);
	free(c);
}

static void service_release(struct service *s)
{
	while (s->delivered_first) {
		struct unit *u = s->delivered_first;

		s->delivered_first = u->newer;
		unit_free(u);
	}
}

void assembler_free(struct assembler *a)
{
	struct request *r;
	struct athread *t;

	if (!a)
		return;
	for (size_t i = 0; i < CONNECTION_BUCKETS; i++) {
		while (a->connections[i]) {
			struct connection *c = a->connections[i];

			a->connections[i] = c->next;
			connection_free(c);
		}
	}
	while ((r = a->free_requests)) {
		a->free_requests = r->next;
		free(r);
	}
	while ((t = a->gone)) {
		a->gone = t->gone_after;
		thread_free(t);
	}
	for (size_t i = 0; i < THREAD_SLOTS; i++)
		thread_free(a->threads[i]);
	for (size_t i = 0; i < SERVICES_MAX; i++)
		service_release(&a->services[i]);
	free(a->marks);
	free(a->touched);
	free(a->files);
	free(a);
}
