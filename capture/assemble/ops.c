/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread does between a request and its reply: files, timers, looking for work. */
#include "capture/assemble/assembly.h"

#include <fcntl.h>

/*
 * An interrupt within the kernel side's own update can undo a few us of a counter, once
 * in a million calls; an op's CPU time is not less than none for that.
 */
static int64_t kernel_ns(const int64_t delta[TS_COUNT])
{
	int64_t sum = delta[TS_KERNEL_NET] + delta[TS_KERNEL_FS] + delta[TS_KERNEL_MM] +
		      delta[TS_KERNEL_OTHER];

	return sum > 0 ? sum : 0;
}

struct row_op op_begin(const struct athread *t, const struct segment *seg, enum op_kind kind)
{
	return (struct row_op){
		.kind = kind,
		.service_id = t->service->row.service_id,
		.thread_id = t->tid,
		.start_ns = seg->start_ns,
		.elapsed_ns = seg->end_ns - seg->start_ns,
		.cpu_ns = kernel_ns(seg->call),
		.offset = TRACE_NONE,
	};
}

/* An op on a file that one request owns, or none, or one that had been answered. */
static void lone_op(struct assembler *a, struct athread *t, struct row_op *op,
		    const struct segment *seg)
{
	struct request *r = owner_current(t);

	if (r && r->worked_on) /* no: it was not all done before */
		t->service->one_by_one = true;
	if (batch_holds(t, r)) {
		timeline_add(&t->timeline, seg->call);
		batch_op(a, t, op, seg->call);
		return;
	}
	owner_give_call(a, t, seg, r);
	if (t->owner == OWNER_OTHERS)
		return;
	if (r) {
		request_flush_compute(a, r);
		request_op(a, r, op);
		return;
	}
	if (t->owner == OWNER_AFTER) {
		op->request_id = t->after_id;
		op->after_reply = 1;
	}
	owner_flush_after(a, t);
	if (t->serves || op->request_id) {
		assembly_write_op(a, op);
	} else {
		handoff_working(a, t, seg);
		unit_add_op(a, t, op, seg->call);
	}
}

/* One op for all of a->together, some of which other threads have read. */
static void shared_op(struct assembler *a, struct athread *t, size_t owners, struct row_op *op,
		      const struct segment *seg)
{
	timeline_add(&t->timeline, seg->call);
	for (size_t i = 0; i < owners; i++)
		if (a->together[i]->thread != t)
			handoff_take(a, a->together[i], seg->enter_ns);
	request_op_of_all(a, a->together, owners, op, seg->call);
	for (size_t i = 0; i < owners; i++)
		if (a->together[i]->elsewhere)
			a->together[i]->known_ns = seg->exit_ns;
	t->shared = true;
}

static void note_done(struct request *const requests[], size_t n, const struct row_op *op)
{
	for (size_t i = 0; i < n; i++) {
		if (op->kind == OP_STORE)
			requests[i]->stored_target = op->target_id;
		else
			requests[i]->synced_target = op->target_id;
	}
}

/* All that a write or sync can be for: a->together. */
static size_t gather_owners(struct assembler *a, struct athread *t, size_t of_pass,
			    struct request *current, const struct row_op *op)
{
	size_t n = of_pass < REQUESTS_SHARED_MAX ? of_pass : REQUESTS_SHARED_MAX;

	for (size_t i = 0; i < n; i++)
		a->together[i] = t->pass[i];
	if (n || (!current && t->owner == OWNER_NONE))
		n = pass_owners_elsewhere(a, t, n, op->kind, op->target_id);
	if (!n && current && t->owner != OWNER_OTHERS)
		a->together[n++] = current;
	return n;
}

static void write_or_sync(struct assembler *a, struct athread *t, struct row_op *op,
			  const struct segment *seg)
{
	bool others = t->owner == OWNER_OTHERS;
	struct request *current = others ? request_get(t->current) : owner_current(t);
	size_t owners = current ? pass_owners(t, current, op->kind, op->target_id) : 0;

	if (!others && batch_holds(t, current) && pass_is_of(t, owners, current->connection) &&
	    !t->service->readers_change) {
		note_done(t->pass, owners, op);
		lone_op(a, t, op, seg);
		return;
	}
	if (owners > 1) {
		batch_settle(a, t);
		owners = pass_owners(t, current, op->kind, op->target_id);
	}
	owners = gather_owners(a, t, owners, current, op);
	/* shared with requests outside the sample: its owners here are all that are known */
	if (owners > 1 || (owners && (others || a->together[0] != current)))
		shared_op(a, t, owners, op, seg);
	else
		lone_op(a, t, op, seg);
	note_done(a->together, owners, op);
}

static uint32_t flags_of_file(const struct event_call *e)
{
	uint32_t flags = 0;

	if (e->file_flags & O_DIRECT)
		flags |= OPF_DIRECT;
	if ((e->file_flags & O_SYNC) == O_SYNC)
		flags |= OPF_SYNC;
	else if (e->file_flags & O_DSYNC)
		flags |= OPF_DSYNC;
	if (e->file_flags & O_APPEND)
		flags |= OPF_APPEND;
	return flags;
}

/* What an op is by its call. `flags` are those of the call; the file's come on top. */
struct file_op {
	enum op_kind kind;
	uint32_t flags;
};

static const struct file_op file_ops[SYSCALL_OTHER + 1] = {
	[SYSCALL_READ] = { OP_LOAD, 0 },
	[SYSCALL_READV] = { OP_LOAD, 0 },
	[SYSCALL_PREAD] = { OP_LOAD, 0 },
	[SYSCALL_WRITE] = { OP_STORE, 0 },
	[SYSCALL_WRITEV] = { OP_STORE, 0 },
	[SYSCALL_PWRITE] = { OP_STORE, 0 },
	[SYSCALL_SENDFILE] = { OP_LOAD, OPF_SENDFILE },
	[SYSCALL_SPLICE_IN] = { OP_LOAD, 0 },
	[SYSCALL_SPLICE_OUT] = { OP_STORE, 0 },
	[SYSCALL_SYNC] = { OP_SYNC, OPF_SYNC },
	[SYSCALL_DATASYNC] = { OP_SYNC, OPF_DSYNC },
	[SYSCALL_OPEN] = { OP_KERNEL, OPF_OPEN },
	[SYSCALL_STAT] = { OP_KERNEL, OPF_STAT },
	[SYSCALL_CLOSE] = { OP_KERNEL, OPF_CLOSE },
};

static void fill_file_op(struct assembler *a, struct row_op *op, const struct event_call *e,
			 const struct segment *seg)
{
	const struct file_op *of = &file_ops[e->op];

	op->flags = of->flags | (e->ret < 0 ? OPF_FAILED : 0);
	if (target_is_pseudo(e->magic)) {
		op->kind = OP_KERNEL; /* /proc and its like: kernel work, no storage */
		op->flags &= OPF_OPEN | OPF_STAT | OPF_CLOSE | OPF_FAILED;
		return;
	}
	op->target_id = target_of_file(a, e, op->kind == OP_STORE);
	if (op->kind != OP_LOAD && op->kind != OP_STORE)
		return;
	op->bytes = e->ret > 0 ? e->ret : 0;
	op->offset = e->offset >= 0 ? e->offset : TRACE_NONE;
	op->flags |= flags_of_file(e);
	if (op->kind == OP_LOAD && !seg->call[TS_WAIT_BLOCK] && !seg->call[TS_WAIT_QUEUE] &&
	    !seg->call[TS_WAIT_HELD])
		op->flags |= OPF_CACHED;
}

void op_on_file(struct assembler *a, struct athread *t, const struct event_call *e,
		const struct segment *seg)
{
	struct row_op op = op_begin(t, seg, file_ops[e->op].kind);

	t->on_files = true;
	owner_give_before(a, t, seg, NULL, false);
	fill_file_op(a, &op, e, seg);
	if (op.kind == OP_STORE || op.kind == OP_SYNC)
		write_or_sync(a, t, &op, seg);
	else
		lone_op(a, t, &op, seg);
}

void op_on_sleep(struct assembler *a, struct athread *t, const struct event_call *e,
		 const struct segment *seg)
{
	struct row_op op = op_begin(t, seg, OP_SLEEP);

	owner_give_before(a, t, seg, NULL, false);
	lone_op(a, t, &op, seg);
}

/*
 * The request behind whose back the thread polls: nobody else can be served meanwhile, so it
 * waits for something that its request needs, a lock or a page. NULL: it looks for work.
 */
static struct request *polls_for(struct athread *t)
{
	struct request *r = thread_is_of_one(t) && !t->service->delivers ? owner_current(t) : NULL;

	return r && r->complete && !r->called && !r->elsewhere && !request_is_answered(r) ? r :
											    NULL;
}

static void poll_within(struct assembler *a, struct athread *t, const struct segment *seg,
			struct request *r)
{
	batch_settle(a, t);
	owner_give_call(a, t, seg, r);
	account_own_poll(&r->account, SUB_LOCK_USER, seg->call[TS_WAIT_POLL]);
	r->polled_ns += seg->call[TS_WAIT_POLL];
}

/* The loop looks for work: what it held waits for something else now. */
void op_on_poll(struct assembler *a, struct athread *t, const struct event_call *e,
		const struct segment *seg)
{
	struct request *r = polls_for(t);

	owner_give_before(a, t, seg, NULL, false);
	t->polls = true;
	if (r) {
		poll_within(a, t, seg, r);
		return;
	}
	batch_settle(a, t);
	owner_leave(t, seg->enter_ns);
	owner_give_call(a, t, seg, NULL);
	owner_set_none(a, t);
	pass_clear(t);
	if (t->serves)
		owner_add_background(a, t, 0, t->last_ns);
	else
		handoff_woken(a, t, e, seg);
}

/* Bytes on a connection outside the sample. */
void op_on_others(struct assembler *a, struct athread *t, const struct segment *seg)
{
	owner_give_before(a, t, seg, NULL, false);
	owner_give_call(a, t, seg, NULL);
	owner_set_others(a, t);
}

void op_on_accept(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg)
{
	struct connection *c = connection_find(a, e->socket_id);

	owner_give_before(a, t, seg, NULL, false);
	batch_settle(a, t);
	owner_leave(t, seg->enter_ns);
	owner_give_call(a, t, seg, NULL);
	owner_set_nobody(a, t);
	t->accepts = true;
	if (!c)
		return;
	c->acceptor = t->number;
	c->accepted_ns = seg->end_ns;
}

void op_on_connect(struct assembler *a, struct athread *t, const struct event_call *e,
		   const struct segment *seg)
{
	struct connection *c = connection_find(a, e->socket_id);
	struct request *r = owner_current(t), *caller;

	owner_give_before(a, t, seg, NULL, false);
	owner_give_call(a, t, seg, r);
	caller = c && r ? call_connects(t, &c->guessed) : NULL;
	if (caller)
		c->owner = (struct request_ref){ caller, caller->row.request_id };
}
