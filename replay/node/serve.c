/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/serve.h"

#include "base/clock.h"
#include "probe/probe.h"
#include "replay/node/datagram.h"
#include "replay/node/limits.h"
#include "replay/node/service.h"
#include "replay/node/uring.h"
#include "replay/node/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_ACTIVES 64
#define OWN_COST_WINDOW 64 /* requests between two corrections of the mean */

struct active_slab {
	struct active_slab *next;
	struct active actives[SLAB_ACTIVES];
};

enum step {
	STEP_ON,   /* it may go on */
	STEP_STOP, /* it waits, or is over */
};

static struct active *active_take(struct active_pool *p)
{
	struct active_slab *slab;
	struct active *a;

	if (!p->spare) {
		slab = calloc(1, sizeof(*slab));
		if (!slab)
			return NULL;
		slab->next = p->slabs;
		p->slabs = slab;
		for (size_t i = 0; i < SLAB_ACTIVES; i++) {
			slab->actives[i].next = p->spare;
			p->spare = &slab->actives[i];
		}
	}
	a = p->spare;
	p->spare = a->next;
	return a;
}

static void active_give(struct active_pool *p, struct active *a)
{
	a->next = p->spare;
	p->spare = a;
}

void active_pool_release(struct active_pool *p)
{
	while (p->slabs) {
		struct active_slab *next = p->slabs->next;

		free(p->slabs);
		p->slabs = next;
	}
	p->spare = NULL;
}

struct active *serve_begin(struct worker *w, struct conn *c, struct queued_request *q)
{
	struct active *a = active_take(&w->actives);
	const struct arrival *arrival = &c->arrival;
	bool known = !w->exec.meter.own || !arrival->behind, split = known && arrival->split;

	if (!a && !c->walks)
		node_plan_give(&w->service->plan, q);
	if (!a)
		return NULL;
	a->next = a->behind = NULL;
	a->conn = c;
	a->plan = q;
	a->op = q->ops;
	a->state = ACTIVE_RUNS;
	a->answered = a->told = false;
	a->replied_bytes = a->held_bytes = 0;
	a->reply = (struct exec_result){ 0 };
	memset(&a->row, 0, sizeof(a->row));
	a->row.arrival_ns = known ? arrival->first_ns : 0;
	a->row.read_ns = arrival->read_ns;
	if (w->exec.meter.slot)
		account_begin(&a->account, &arrival->timeline, split ? arrival->unread : NULL,
			      split ? arrival->own : NULL);
	if (w->timelines)
		route_begin(&a->route, &w->reading, arrival->split, arrival->counted,
			    arrival->read_ns);
	return a;
}

static void active_free(struct worker *w, struct active *a)
{
	if (a->conn->walks)
		walk_finish(w, a);
	else
		node_plan_give(&w->service->plan, a->plan);
	active_give(&w->actives, a);
}

void serve_abandon(struct worker *w, struct active *a)
{
	w->exec.ledger.count[LG_OPEN_AT_END]++;
	if (w->exec.meter.owner == &a->account)
		meter_disown(&w->exec.meter);
	forward_forget(w, a->plan);
	active_free(w, a);
}

static struct plan_op *largest_compute(struct active *a)
{
	struct plan_op *largest = NULL;

	for (struct queued_op *q = a->plan->ops; q; q = queued_op_next(q))
		if (q->op.kind == OP_COMPUTE && (!largest || q->op.work > largest->work))
			largest = &q->op;
	return largest;
}

/* Takes the node's own cost off the work to be done; what is more than all of it is counted. */
static void subtract_own_cost(struct worker *w, struct active *a)
{
	uint64_t per_ms = w->exec.setup->demand.work_per_ms;
	uint64_t own = (uint64_t)w->own.mean_ns * per_ms / NS_PER_MS;

	while (own) {
		struct plan_op *op = largest_compute(a);
		uint64_t part = op ? (op->work < own ? op->work : own) : 0;

		if (!part)
			break;
		op->work -= part;
		own -= part;
	}
	w->exec.ledger.count[LG_OWN_COST_EXCESS_NS] += own * NS_PER_MS / per_ms;
}

static void count_own_cost(struct worker *w)
{
	struct own_cost *own = &w->own;
	int64_t mean_ns;

	if (++own->served < OWN_COST_WINDOW)
		return;
	mean_ns = (w->exec.meter.self_ns - own->self_ns) / own->served;
	mean_ns = mean_ns > 0 ? mean_ns : 0;
	own->mean_ns = own->mean_ns ? (7 * own->mean_ns + mean_ns) / 8 : mean_ns;
	own->self_ns = w->exec.meter.self_ns;
	own->served = 0;
}

void serve_ready(struct worker *w, struct active *a)
{
	subtract_own_cost(w, a);
}

void serve_next_op(struct active *a)
{
	a->op = queued_op_next(a->op);
	a->reply = (struct exec_result){ 0 };
	a->state = ACTIVE_RUNS;
}

void serve_failed(struct active *a, int status)
{
	if (!a->row.status)
		a->row.status = (uint32_t)status;
}

/* Waits of the thread from here until unpark() are in truth the request's own, of that state. */
static void park(struct worker *w, struct active *a, enum active_state state)
{
	a->state = state;
	a->conn->blocked++;
	meter_own(&w->exec.meter, NULL);
	a->parked_queue_ns = w->exec.meter.timeline.behind[SUB_APP_QUEUE];
	if (w->timelines)
		route_leave(&a->route, w->exec.meter.last.ns, DETOUR_ROW);
}

/* How much of that went to it: its thread's interrupts and waits for a CPU keep their rows. */
static int64_t unpark(struct worker *w, struct active *a, enum thread_state state,
		      int64_t at_most_ns)
{
	int64_t delta[TS_COUNT] = { 0 };

	a->state = ACTIVE_RUNS;
	a->conn->blocked--;
	if (!w->exec.meter.slot)
		return 0;
	meter_settle(&w->exec.meter);
	delta[state] = w->exec.meter.timeline.behind[SUB_APP_QUEUE] - a->parked_queue_ns;
	if (delta[state] > at_most_ns)
		delta[state] = at_most_ns;
	account_own(&a->account, delta);
	if (w->timelines)
		route_return(&a->route, w->exec.meter.last.ns, timeline_row(state, VIEW_OWN),
			     at_most_ns);
	return delta[state];
}

/* Out of the file a reply was taken from; < 0 when it was none, or there is nothing (more) in it. */
static ssize_t send_file(struct active *a, uint64_t bytes, const struct queued_op *q)
{
	int file = q && q->op.flags & OPF_SENDFILE && q->target ? storage_fd(q->target) : -1;
	off_t offset = q ? (off_t)((uint64_t)q->op.offset + a->reply.bytes) : 0;
	ssize_t n;

	if (file < 0 || offset < 0)
		return -ENODATA;
	n = channel_sendfile(&a->conn->channel, file, offset, bytes);
	if (n < 0 && n != -EAGAIN && n != -EPIPE)
		serve_failed(a, (int)-n);
	return n ? n : -ENODATA;
}

/* Those of the last one stay. */
void serve_note_sent(struct worker *w, struct active *a, uint64_t tx_sequence, int64_t start_ns)
{
	const struct meter *m = &w->exec.meter;
	int64_t tx_ns = 0;

	if (m->slot && m->slot->tx_sequence != tx_sequence)
		tx_ns = (int64_t)m->slot->tx_ns;
	if (!a->row.write_ns)
		a->row.write_ns = start_ns;
	if (!a->reply.start_ns)
		a->reply.start_ns = start_ns;
	a->reply.end_ns = m->last.ns;
	a->reply.cpu_ns += m->segment_cpu_ns;
	a->row.tx_ns = tx_ns >= start_ns && tx_ns <= m->last.ns ? tx_ns : 0;
}

/* One call; < 0: why not. */
static ssize_t send_some(struct worker *w, struct active *a, uint64_t bytes,
			 const struct queued_op *q)
{
	struct meter *m = &w->exec.meter;
	uint64_t tx_sequence = m->slot ? m->slot->tx_sequence : 0;
	int64_t start_ns = meter_mark(m, ACTIVITY_SELF);
	ssize_t n;

	bytes = bytes < NODE_CALL_BYTES ? bytes : NODE_CALL_BYTES;
	n = send_file(a, bytes, q);
	if (n < 0)
		n = channel_send(&a->conn->channel, w->exec.setup->storage->filler, bytes);
	meter_mark(m, ACTIVITY_NET);
	serve_note_sent(w, a, tx_sequence, start_ns);
	return n;
}

static bool is_its_turn(struct active *a)
{
	if (a->conn->walks || a->conn->peer || a->conn->first == a)
		return true;
	a->state = ACTIVE_TURN;
	return false;
}

/* By another node, in a replay. */
static bool is_called(const struct worker *w, const struct active *a)
{
	return a->conn->walks && !w->service->walk;
}

/* A part leaves when there is a message in it, and will be in what follows. */
static void answer_caller(struct worker *w, struct active *a, const struct queued_op *q)
{
	uint64_t left = a->plan->request.response_bytes - a->replied_bytes;

	if (left && (a->held_bytes < WIRE_MESSAGE_BYTES || left < WIRE_MESSAGE_BYTES)) {
		a->reply.start_ns = a->reply.end_ns = w->exec.meter.last.ns;
		return;
	}
	walk_answer(w, a, a->held_bytes, !left, q);
	a->held_bytes = 0;
	a->told = !left;
}

/* Sends `bytes` of the response. Without a socket they count as sent, with a status. */
static enum step send_all(struct worker *w, struct active *a, uint64_t bytes,
			  const struct queued_op *q)
{
	struct conn *c = a->conn;

	if (!is_its_turn(a))
		return STEP_STOP;
	if (is_called(w, a)) {
		a->reply.bytes += bytes;
		a->replied_bytes += bytes;
		a->held_bytes += bytes;
		if (!a->told)
			answer_caller(w, a, q);
		return STEP_ON;
	}
	if ((c->walks || c->peer) && bytes) {
		if (c->walks)
			walk_answer(w, a, bytes, true, q);
		else
			datagram_answer(w, a, bytes);
		a->reply.bytes += bytes;
		a->replied_bytes += bytes;
		bytes = 0;
	}
	while (bytes && c->source.fd >= 0) {
		ssize_t n = send_some(w, a, bytes, q);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			park(w, a, ACTIVE_SEND);
			c->sending = a;
			return STEP_STOP;
		}
		if (n < 0) {
			conn_break(w, c);
			break;
		}
		bytes -= (uint64_t)n;
		a->reply.bytes += (uint64_t)n;
		a->replied_bytes += (uint64_t)n;
	}
	if (bytes)
		serve_failed(a, EPIPE);
	a->replied_bytes += bytes;
	return STEP_ON;
}

void serve_resume_send(struct worker *w, struct active *a)
{
	a->conn->sending = NULL;
	unpark(w, a, TS_WAIT_NET, INT64_MAX);
	serve_run(w, a);
}

static enum step run_alone(struct worker *w, struct active *a, const struct queued_op *q)
{
	int status = exec_alone(&w->exec, &q->op, q->target, &a->plan->request);

	if (status)
		serve_failed(a, status);
	return STEP_ON;
}

/* Away from its thread's timeline, until serve_io_done(). */
static void leave_for_io(struct worker *w, struct active *a, const struct queued_op *q)
{
	a->state = ACTIVE_IO;
	a->conn->blocked++;
	a->io = (struct io_job){
		.worker = w,
		.active = a,
		.op = &q->op,
		.target = q->target,
		.result = { .done = true, .offset = TRACE_NONE },
	};
	meter_own(&w->exec.meter, NULL);
	a->io.left_ns = w->exec.meter.last.ns;
	if (w->exec.meter.slot && !a->answered)
		account_leave(&a->account, &w->exec.meter.timeline);
	if (w->timelines)
		route_leave(&a->route, a->io.left_ns, DETOUR_AWAY);
}

/* Back on it; how long the thread was in poll meanwhile. */
static int64_t return_from_io(struct worker *w, struct active *a)
{
	a->conn->blocked--;
	a->state = ACTIVE_RUNS;
	if (w->timelines)
		route_return(&a->route, w->exec.meter.last.ns, COURSE_UNKNOWN, INT64_MAX);
	if (!w->exec.meter.slot || a->answered)
		return 0;
	return account_return(&a->account, &w->exec.meter.timeline);
}

/* Nobody could be found to do it. */
static void stay(struct worker *w, struct active *a)
{
	return_from_io(w, a);
	meter_own(&w->exec.meter, a->answered ? NULL : &a->account);
}

static enum step io_in_ring(struct worker *w, struct active *a, const struct queued_op *q)
{
	struct storage *storage = w->exec.setup->storage;

	leave_for_io(w, a, q);
	a->io.call = storage_plan(storage, q->target, &q->op);
	a->io.result.start_ns = a->io.left_ns;
	w->exec.ledger.count[LG_OPS_ROUNDED] += a->io.call.rounded;
	uring_add(w->ring, storage, &a->io, w->exec.buffer);
	return STEP_STOP;
}

static enum step io_in_thread(struct worker *w, struct active *a, const struct queued_op *q)
{
	leave_for_io(w, a, q);
	if (!io_start(&w->service->io, &a->io))
		return STEP_STOP;
	stay(w, a);
	return run_alone(w, a, q);
}

/* A store is done here; the sync that it is to be on the device with is its device's. */
static enum step io_until_sync(struct worker *w, struct active *a, const struct queued_op *q)
{
	struct exec_result result = { .done = true, .offset = TRACE_NONE };

	if (q->op.kind != OP_SYNC)
		result = exec_run(&w->exec, &q->op, q->target, NULL);
	leave_for_io(w, a, q);
	a->io.result = result;
	a->io.begun_ns = a->io.left_ns;
	if (!result.status && !io_await_sync(&w->service->io, &a->io))
		return STEP_STOP;
	stay(w, a);
	if (q->op.kind == OP_SYNC)
		return run_alone(w, a, q);
	if (result.status)
		serve_failed(a, result.status);
	exec_note(&w->exec, exec_next_call(&w->exec), &q->op, &a->plan->request, &result);
	return STEP_ON;
}

static enum step run_io(struct worker *w, struct active *a, const struct queued_op *q)
{
	enum io_mode mode = w->service->io.opts.mode;

	if (!q->target)
		return run_alone(w, a, q);
	if (storage_awaits_sync(q->target, &q->op) && (q->op.kind == OP_SYNC || mode == IO_WORKER))
		return io_until_sync(w, a, q);
	if (mode == IO_URING)
		return io_in_ring(w, a, q);
	return mode == IO_THREADS ? io_in_thread(w, a, q) : run_alone(w, a, q);
}

/*
 * What the threads of the device measured is the request's own; until one of them
 * took it up, and until its worker did again, it was handed from thread to thread.
 */
static void account_for_threads(struct worker *w, struct active *a)
{
	const struct io_job *job = &a->io;

	account_add(&a->account, job->delta);
	account_handoff(&a->account, NULL, job->begun_ns - job->left_ns);
	account_handoff(&a->account, NULL, w->exec.meter.last.ns - job->result.end_ns);
}

/*
 * io_uring does not tell what a call waited for. Of a load past the cache it is known, also
 * while the worker slept. The rest stays unattributed.
 */
static void account_for_ring(struct active *a, int64_t slept_ns)
{
	const int64_t delta[TS_COUNT] = { [TS_WAIT_BLOCK] = slept_ns };

	if (exec_waits_for_device(a->io.op, a->io.target))
		account_add(&a->account, delta);
}

void serve_io_done(struct worker *w, struct io_job *job)
{
	struct active *a = job->active;
	struct conn *c = a->conn;
	int64_t slept_ns;

	meter_own(&w->exec.meter, NULL);
	meter_mark(&w->exec.meter, ACTIVITY_SELF);
	meter_settle(&w->exec.meter);
	slept_ns = return_from_io(w, a);
	if (w->exec.meter.slot && !a->answered && job->begun_ns)
		account_for_threads(w, a);
	else if (w->exec.meter.slot && !a->answered)
		account_for_ring(a, slept_ns);
	if (!job->result.end_ns)
		job->result.end_ns = w->exec.meter.last.ns;
	if (job->result.status)
		serve_failed(a, job->result.status);
	exec_note(&w->exec, exec_next_call(&w->exec), job->op, &a->plan->request, &job->result);
	serve_next_op(a);
	serve_run(w, a);
	conn_advance(w, c);
}

void serve_io_call_done(struct worker *w, struct io_job *job)
{
	if (!job->result.status && storage_awaits_sync(job->target, job->op)) {
		job->result.end_ns = clock_now_ns();
		job->begun_ns = job->result.end_ns; /* the ring's part has no name */
		job->left_ns = job->begun_ns;
		if (!io_await_sync(&w->service->io, job))
			return;
	}
	serve_io_done(w, job);
}

/* As much as the op and the response still have; a second visit goes on with the first. */
static enum step run_reply(struct worker *w, struct active *a, const struct queued_op *q)
{
	uint64_t left = a->plan->request.response_bytes - a->replied_bytes;
	uint64_t bytes = q->op.bytes - a->reply.bytes;

	if (send_all(w, a, bytes < left ? bytes : left, q) == STEP_STOP)
		return STEP_STOP;
	a->reply.done = a->reply.bytes;
	a->reply.offset = q->op.flags & OPF_SENDFILE ? q->op.offset : TRACE_NONE;
	exec_note(&w->exec, exec_next_call(&w->exec), &q->op, &a->plan->request, &a->reply);
	return STEP_ON;
}

/* What came of a sleep is the op's row. */
static void note_slept(struct worker *w, struct active *a)
{
	a->reply.end_ns = w->exec.meter.last.ns;
	a->reply.done = true;
	a->reply.offset = TRACE_NONE;
	exec_note(&w->exec, exec_next_call(&w->exec), &a->op->op, &a->plan->request, &a->reply);
}

void serve_called(struct worker *w, struct active *a, struct exec_result *results, size_t count)
{
	int64_t start_ns = a->reply.start_ns;
	struct conn *c = a->conn;
	int status = 0;

	account_move(&a->account, SUB_NET_SOCKET, SUB_CALL, unpark(w, a, TS_WAIT_NET, INT64_MAX));
	if (w->timelines)
		route_return(&a->route, w->exec.meter.last.ns, SUB_CALL, INT64_MAX);
	for (size_t i = 0; i < count; i++) {
		results[i].start_ns = start_ns;
		results[i].offset = TRACE_NONE;
		exec_note(&w->exec, exec_next_call(&w->exec), &a->op->op, &a->plan->request,
			  &results[i]);
		status = results[i].status ? results[i].status : status;
		serve_next_op(a);
	}
	if (status) {
		serve_failed(a, status);
		w->exec.ledger.count[LG_CALLS_FAILED] += !w->service->walk;
	}
	while (status && w->service->walk && a->op && a->op->op.kind != OP_REPLY)
		serve_next_op(a);
	serve_run(w, a);
	if (!c->walks) /* one that walks looks after itself: walk_finish() */
		conn_advance(w, c);
}

/* In a replay a call to a service that no node plays costs nothing here. */
static enum step run_forward(struct worker *w, struct active *a, const struct queued_op *q)
{
	if (w->service->walk || q->op.offset != TRACE_NONE) {
		a->reply.start_ns = meter_mark(&w->exec.meter, ACTIVITY_SELF);
		park(w, a, ACTIVE_CALL);
		if (forward_begin(w, a, &q->op))
			return STEP_STOP;
		unpark(w, a, TS_WAIT_NET, 0);
		return STEP_ON;
	}
	w->exec.ledger.count[LG_CALLS_STUBBED]++;
	return STEP_ON;
}

static bool sleepers_add(struct sleepers *s, struct active *a)
{
	size_t at = s->count;

	if (s->count == s->capacity) {
		size_t capacity = s->capacity ? 2 * s->capacity : 64;
		struct active **heap = reallocarray(s->heap, capacity, sizeof(*heap));

		if (!heap)
			return false;
		s->heap = heap;
		s->capacity = capacity;
	}
	for (s->count++; at && s->heap[(at - 1) / 2]->wake_ns > a->wake_ns; at = (at - 1) / 2)
		s->heap[at] = s->heap[(at - 1) / 2];
	s->heap[at] = a;
	return true;
}

static struct active *sleepers_take(struct sleepers *s)
{
	struct active *first = s->heap[0], *moved = s->heap[--s->count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < s->count) {
		if (child + 1 < s->count && s->heap[child + 1]->wake_ns < s->heap[child]->wake_ns)
			child++;
		if (s->heap[child]->wake_ns >= moved->wake_ns)
			break;
		s->heap[at] = s->heap[child];
		at = child;
	}
	s->heap[at] = moved;
	return first;
}

static enum step run_sleep(struct worker *w, struct active *a, const struct queued_op *q)
{
	a->reply.start_ns = meter_mark(&w->exec.meter, ACTIVITY_SELF);
	a->wake_ns = a->reply.start_ns + (int64_t)q->op.work;
	if (!sleepers_add(&w->sleepers, a)) {
		w->exec.ledger.count[LG_OPS_SKIPPED]++;
		return STEP_ON;
	}
	park(w, a, ACTIVE_SLEEP);
	return STEP_STOP;
}

int64_t serve_next_wake_ns(const struct worker *w)
{
	return w->sleepers.count ? w->sleepers.heap[0]->wake_ns : INT64_MAX;
}

static void wake_up(struct worker *w, struct active *a)
{
	struct conn *c = a->conn;

	unpark(w, a, TS_WAIT_SLEEP, a->wake_ns - a->reply.start_ns);
	note_slept(w, a);
	serve_next_op(a);
	serve_run(w, a);
	conn_advance(w, c);
}

void serve_wake(struct worker *w)
{
	while (serve_next_wake_ns(w) <= w->exec.meter.last.ns)
		wake_up(w, sleepers_take(&w->sleepers));
}

typedef enum step (*op_fn)(struct worker *w, struct active *a, const struct queued_op *q);

static const op_fn op_fns[OP_KIND_COUNT] = {
	[OP_COMPUTE] = run_alone,   [OP_KERNEL] = run_alone,	[OP_LOAD] = run_io,
	[OP_STORE] = run_io,	    [OP_SYNC] = run_io,		[OP_LOCK] = run_alone,
	[OP_MEMORY] = run_alone,    [OP_REPLY] = run_reply,	[OP_SLEEP] = run_sleep,
	[OP_FORWARD] = run_forward, [OP_HANDSHAKE] = run_alone,
};

static enum step run_op(struct worker *w, struct active *a)
{
	const struct queued_op *q = a->op;
	bool shared = q->op.mode == PLAN_SHARED || q->op.mode == PLAN_WAIT;

	if (shared && exec_knows(q->op.kind)) {
		pass_join(w, a);
		return STEP_STOP;
	}
	if (!op_fns[q->op.kind])
		w->exec.ledger.count[LG_OPS_SKIPPED]++;
	else if (op_fns[q->op.kind](w, a, q) == STEP_STOP)
		return STEP_STOP;
	serve_next_op(a);
	return STEP_ON;
}

/*
 * What the thread did once the last byte had been handed over, within its call: who got it may
 * take the CPU at once, which is no time of the request any more.
 */
static bool states_after(const struct worker *w, int64_t end_ns, int64_t after_ns,
			 int64_t ret_after[TS_COUNT])
{
	const struct meter *m = &w->exec.meter;

	if (m->own || after_ns <= 0 ||
	    !probe_read_between(m->slot, end_ns, end_ns + after_ns, ret_after))
		return false;
	activity_relabel(ACTIVITY_NET, ret_after);
	return true;
}

static void fill_breakdown(struct worker *w, struct active *a, int64_t after_ns)
{
	struct wire_row *row = &a->row;
	int64_t after[TS_COUNT];

	row->unattributed_ns = row->total_ns;
	if (!w->exec.meter.slot)
		return;
	if (!row->arrival_ns)
		w->exec.ledger.count[LG_SLOTS_UNREAD]++;
	if (states_after(w, row->end_ns, after_ns, after))
		account_end_before(&a->account, &w->exec.meter.timeline, after);
	else
		account_end(&a->account, &w->exec.meter.timeline, after_ns);
	row->unattributed_ns = account_close(&a->account, row->total_ns);
	memcpy(row->ns, a->account.rows, sizeof(row->ns));
}

/* The response has gone: the request's time is over, even if ops follow. */
static void finish_answer(struct worker *w, struct active *a)
{
	struct wire_row *row = &a->row;
	int64_t now_ns;

	if (!a->plan->request.response_bytes)
		meter_mark(&w->exec.meter, ACTIVITY_SELF);
	now_ns = w->exec.meter.last.ns;
	meter_disown(&w->exec.meter);
	row->request_id = a->plan->request.request_id;
	row->connection_id = a->plan->request.connection_id;
	row->request_bytes = a->plan->request.request_bytes;
	row->response_bytes = a->plan->request.response_bytes;
	row->thread = w->index;
	row->root_id = plan_root_of(&a->plan->request);
	row->call = a->plan->request.call;
	row->class = a->plan->request.class;
	row->end_ns = row->tx_ns ? row->tx_ns : now_ns;
	row->total_ns = row->end_ns - (row->arrival_ns ? row->arrival_ns : row->read_ns);
	fill_breakdown(w, a, now_ns - row->end_ns);
	if (w->timelines)
		timelines_tell(w->timelines, &w->exec.meter, &a->account, &a->route, row);
	spool_add(&w->rows, row);
	a->answered = true;
}

/* Whatever the reply ops said, the client gets as many bytes as it waits for. */
static enum step answer(struct worker *w, struct active *a)
{
	uint64_t left = a->plan->request.response_bytes - a->replied_bytes;

	if (!is_its_turn(a) || send_all(w, a, left, NULL) == STEP_STOP)
		return STEP_STOP;
	finish_answer(w, a);
	return STEP_ON;
}

static enum step finish(struct worker *w, struct active *a)
{
	struct conn *c = a->conn;

	if (!c->walks)
		conn_remove(c, a);
	w->exec.ledger.count[LG_REQUESTS]++;
	w->exec.stats.requests++;
	count_own_cost(w);
	active_free(w, a);
	return STEP_STOP;
}

static enum step serve_step(struct worker *w, struct active *a)
{
	bool sent = a->replied_bytes && a->replied_bytes == a->plan->request.response_bytes;
	bool answer_due = !a->op || a->op->op.mode == PLAN_AFTER_REPLY || sent;

	if (answer_due && !a->answered)
		return answer(w, a);
	return a->op ? run_op(w, a) : finish(w, a);
}

void serve_run(struct worker *w, struct active *a)
{
	a->state = ACTIVE_RUNS;
	meter_own(&w->exec.meter, a->answered ? NULL : &a->account);
	while (serve_step(w, a) == STEP_ON)
		;
}
