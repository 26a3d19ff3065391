/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/wire.h"
#include "replay/plan/owners.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a node plays, and where the rest is counted. */
static const struct {
	bool played;
	bool needs_file;
	enum ledger_entry left_out;
} kinds[OP_KIND_COUNT] = {
	[OP_COMPUTE] = { true, false, LG_OPS_SKIPPED },
	[OP_KERNEL] = { true, false, LG_OPS_SKIPPED },
	[OP_LOAD] = { true, true, LG_OPS_SKIPPED },
	[OP_STORE] = { true, true, LG_OPS_SKIPPED },
	[OP_SYNC] = { true, true, LG_OPS_SKIPPED },
	[OP_FORWARD] = { true, false, LG_CALLS_STUBBED },
	[OP_SLEEP] = { true, false, LG_OPS_SKIPPED },
	[OP_LOCK] = { true, false, LG_OPS_SKIPPED },
	[OP_MEMORY] = { true, false, LG_OPS_SKIPPED },
	[OP_HANDSHAKE] = { true, false, LG_OPS_SKIPPED },
	[OP_REPLY] = { true, false, LG_OPS_SKIPPED },
};

/* An open or stat of a name that is not there is work too; of others only success can be had. */
static bool may_fail(const struct row_op *op)
{
	return op->kind == OP_KERNEL && op->flags & (OPF_OPEN | OPF_STAT);
}

/* The first request that the op calls for; NULL: nobody will answer it. */
static const struct row_request *first_called(const struct planner *p, const struct row_op *op)
{
	uint32_t called = p->calls ? p->calls->called[op - p->source.ops] : 0;

	return called ? &p->source.requests[called - 1] : NULL;
}

static const struct row_request *next_called(const struct planner *p, const struct row_request *row)
{
	uint32_t next = p->calls->next[row - p->source.requests];

	return next ? &p->source.requests[next - 1] : NULL;
}

static bool is_playable(const struct planner *p, const struct row_op *op, struct ledger *ledger)
{
	bool known = op->kind < OP_KIND_COUNT;
	bool file = known && (kinds[op->kind].needs_file || (op->flags & OPF_SENDFILE));

	if (op->flags & OPF_CLOSE)
		return false; /* the open has closed it */
	if (op->kind == OP_FORWARD && !first_called(p, op)) {
		ledger->count[LG_CALLS_STUBBED]++;
		return false;
	}
	if (known && kinds[op->kind].played && (!(op->flags & OPF_FAILED) || may_fail(op)) &&
	    op->bytes <= WIRE_OP_BYTES_MAX &&
	    !(file && idmap_get(&p->targets, op->target_id) == IDMAP_NONE))
		return true;
	ledger->count[known ? kinds[op->kind].left_out : LG_OPS_SKIPPED]++;
	return false;
}

static uint64_t scale_work(uint64_t work, uint32_t ppm)
{
	return work / 1000000 * ppm + work % 1000000 * ppm / 1000000;
}

static struct plan_op op_here(const struct row_op *op)
{
	return (struct plan_op){
		.op_id = op->op_id,
		.kind = op->kind,
		.flags = op->flags,
		.mode = PLAN_INLINE,
		.owners = 1,
		.bytes = op->bytes,
		.reply_bytes = op->reply_bytes,
		.offset = op->offset,
		.target_id = op->target_id,
	};
}

static struct plan_op op_of_owner(const struct planner *p, const struct owner *owner)
{
	struct plan_op op = op_here(&p->source.ops[owner->op]);

	op.mode = owner->mode;
	op.owners = owner->group;
	op.work = op.kind == OP_COMPUTE || op.kind == OP_LOCK || op.kind == OP_HANDSHAKE ?
			  scale_work(owner->work, p->origins[owner->request].demand_ppm) :
			  owner->work;
	op.bytes = owner->bytes;
	op.offset = owner->offset;
	return op;
}

/*
 * A response is exactly as long as recorded: what its replies lack goes into the
 * last one, what they have too much is taken from the last ones. Returns the
 * number of ops; there is room for one more.
 */
static size_t fix_replies(struct plan_op *ops, size_t count, uint64_t response_bytes)
{
	struct plan_op *last = NULL;
	uint64_t left = response_bytes;

	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind != OP_REPLY)
			continue;
		ops[i].mode = PLAN_INLINE;
		if (ops[i].bytes > left)
			ops[i].bytes = left;
		left -= ops[i].bytes;
		last = &ops[i];
	}
	if (!left)
		return count;
	if (!last) {
		last = &ops[count++];
		*last = (struct plan_op){
			.kind = OP_REPLY,
			.owners = 1,
			.offset = TRACE_NONE,
		};
	}
	last->bytes += left;
	return count;
}

/* A reply that had to be added comes before what was done after the reply. */
static void move_reply(struct plan_op *ops, size_t count)
{
	while (count > 1 && ops[count - 1].kind == OP_REPLY &&
	       ops[count - 2].mode == PLAN_AFTER_REPLY) {
		struct plan_op swap = ops[count - 1];

		ops[count - 1] = ops[count - 2];
		ops[count - 2] = swap;
		count--;
	}
}

/* Whether it comes to the end of the pass before it answers, by itself. */
static bool waits_for_pass(const struct plan_op *ops, size_t count)
{
	for (size_t i = 0; i < count && ops[i].kind != OP_REPLY; i++)
		if (ops[i].mode == PLAN_SHARED || ops[i].mode == PLAN_WAIT)
			return true;
	return false;
}

/* The reply waits until the others of the pass are read too: an op that asks for nothing. */
static size_t defer_reply(struct plan_op *ops, size_t count)
{
	size_t at = 0;

	while (at < count && ops[at].kind != OP_REPLY)
		at++;
	if (at == count || waits_for_pass(ops, count))
		return count;
	memmove(&ops[at + 1], &ops[at], (count - at) * sizeof(*ops));
	ops[at] = (struct plan_op){
		.kind = OP_SYNC,
		.mode = PLAN_WAIT,
		.owners = 1,
		.offset = TRACE_NONE,
	};
	return count + 1;
}

/* Calls that are under way together: the last ops of a request so far, or some before. */
struct together {
	size_t first, count; /* ops */
	int64_t until_ns;
};

/*
 * The call at ops[at] began before those had all come back, so it does again: what was done in
 * between is done before.
 */
static void join_calls(struct plan_op *ops, size_t at, const struct row_op *row, struct together *t)
{
	int64_t end_ns = row->start_ns + (int64_t)row->elapsed_ns;
	size_t between = at - (t->first + t->count);
	struct plan_op call = ops[at];

	if (!t->count || row->start_ns >= t->until_ns || call.mode != ops[t->first].mode ||
	    t->count + 1 >= WIRE_OPS_MAX) {
		*t = (struct together){ at, 1, end_ns };
		return;
	}
	for (size_t i = 0; i < between; i++) { /* one step to the front each */
		struct plan_op moved = ops[t->first + t->count];

		memmove(&ops[t->first + 1], &ops[t->first], t->count * sizeof(*ops));
		ops[t->first++] = moved;
	}
	ops[t->first + t->count++] = call;
	ops[t->first].owners = (uint32_t)t->count;
	t->until_ns = end_ns > t->until_ns ? end_ns : t->until_ns;
}

/* The ops of a request so far. */
struct emitted {
	struct plan_op *ops;
	size_t count;
	struct together together;
};

/* A reply and a wait may be added. */
static bool has_room(const struct emitted *e, struct ledger *ledger)
{
	if (e->count + 2 < WIRE_OPS_MAX)
		return true;
	ledger->count[LG_OPS_SKIPPED]++;
	return false;
}

/*
 * A call for each request that it became, if it is this owner's: it is made once. Several went
 * out together, and do so again, each with its own bytes.
 */
static void emit_call(struct planner *p, const struct owner *owner, struct emitted *e)
{
	const struct row_op *row = &p->source.ops[owner->op];
	const struct row_request *called = first_called(p, row);
	bool several = next_called(p, called) != NULL;

	if (called->parent_id != p->plan->requests[owner->request].request_id) {
		p->plan->ledger.count[LG_CALLS_STUBBED]++;
		return;
	}
	for (; called && has_room(e, &p->plan->ledger); called = next_called(p, called)) {
		struct plan_op *op = &e->ops[e->count];

		*op = op_of_owner(p, owner);
		op->owners = 1;
		op->offset = (int64_t)called->request_id;
		op->bytes = several ? called->request_bytes : row->bytes;
		op->reply_bytes = several ? called->response_bytes : row->reply_bytes;
		join_calls(e->ops, e->count++, row, &e->together);
	}
}

/* The ops of one request out of its parts in them. */
static void emit_request(struct planner *p, uint32_t r, const struct owners *o,
			 const uint32_t *parts, size_t parts_count)
{
	struct plan *plan = p->plan;
	struct plan_request *request = &plan->requests[r];
	struct emitted e = { .ops = &plan->ops[plan->ops_count] };
	size_t count;

	for (size_t i = 0; i < parts_count; i++) {
		const struct owner *owner = &o->at[parts[i]];
		const struct row_op *op = &p->source.ops[owner->op];

		if (!is_playable(p, op, &plan->ledger) || !owner->group)
			continue;
		if (op->kind == OP_FORWARD)
			emit_call(p, owner, &e);
		else if (has_room(&e, &plan->ledger))
			e.ops[e.count++] = op_of_owner(p, owner);
	}
	count = fix_replies(e.ops, e.count, request->response_bytes);
	move_reply(e.ops, count);
	if (p->defers_replies && p->opts->batching == PLAN_BATCHING_LIVE)
		count = defer_reply(e.ops, count);
	request->first_op = (uint32_t)plan->ops_count;
	request->ops_count = (uint32_t)count;
	plan->ops_count += count;
}

/* Calls that became several requests are as many ops. */
static size_t count_further_calls(const struct planner *p)
{
	size_t count = 0;

	for (size_t i = 0; p->calls && i < p->source.requests_count; i++)
		count += p->calls->next[i] != 0;
	return count;
}

/* The parts that each request has in ops, as indices of owners: those of r begin at first[r]. */
struct parts_of {
	uint32_t *first, *at;
};

static int parts_of_init(struct parts_of *parts, const struct planner *p, const struct owners *o)
{
	size_t requests = p->plan->requests_count;

	parts->first = calloc(requests + 2, sizeof(*parts->first));
	parts->at = malloc((o->count + 1) * sizeof(*parts->at));
	if (!parts->first || !parts->at)
		return -ENOMEM;
	for (size_t i = 0; i < o->count; i++)
		parts->first[o->at[i].request + 2]++;
	for (size_t r = 0; r < requests; r++)
		parts->first[r + 2] += parts->first[r + 1];
	for (size_t i = 0; i < o->count; i++) /* first[r + 1] runs up to where r + 1 begins */
		parts->at[parts->first[o->at[i].request + 1]++] = (uint32_t)i;
	return 0;
}

static void parts_of_release(struct parts_of *parts)
{
	free(parts->first);
	free(parts->at);
}

struct part_order {
	const struct owner *owners;
	const struct row_op *ops;
};

static int compare_parts(const void *a, const void *b, void *arg)
{
	const struct part_order *order = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct row_op *x = &order->ops[order->owners[i].op];
	const struct row_op *y = &order->ops[order->owners[j].op];

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	if (x->op_id != y->op_id)
		return x->op_id < y->op_id ? -1 : 1;
	return (i > j) - (i < j);
}

static void emit_all(struct planner *p, const struct owners *o, const struct parts_of *parts)
{
	struct part_order order = { o->at, p->source.ops };

	for (uint32_t r = 0; r < p->plan->requests_count; r++) {
		uint32_t *at = &parts->at[parts->first[r]];
		size_t count = parts->first[r + 1] - parts->first[r];

		qsort_r(at, count, sizeof(*at), compare_parts, &order);
		emit_request(p, r, o, at, count);
	}
}

static int allocate_ops(struct plan *plan, size_t most, struct err *err)
{
	if (most > PLAN_ROWS_MAX)
		return err_set(err, E2BIG, "%zu ops are more than the %llu that a replay can count",
			       most, (unsigned long long)PLAN_ROWS_MAX);
	plan->ops = scratch_alloc(plan->scratch, most * sizeof(*plan->ops), err);
	return plan->ops ? 0 : -ENOMEM;
}

/* Each request may have a reply and a wait added. */
static int emit_requests(struct planner *p, struct owners *o, struct err *err)
{
	struct plan *plan = p->plan;
	struct parts_of parts = { 0 };
	size_t most = o->count + count_further_calls(p) + 2 * plan->requests_count;
	int ret = allocate_ops(plan, most, err);

	if (!ret && parts_of_init(&parts, p, o))
		ret = err_errno(err, ENOMEM, "cannot hold %zu ops", o->count);
	if (!ret) {
		emit_all(p, o, &parts);
		scratch_trim(plan->ops, plan->ops_count * sizeof(*plan->ops));
	}
	parts_of_release(&parts);
	return ret;
}

static bool is_background(const struct planner *p, const struct owners *o, size_t i)
{
	const struct row_op *op = &p->source.ops[i];
	struct owner *owners;

	return !op->request_id && !owners_of(o, i, &owners) &&
	       (!op->service_id || op->service_id == p->plan->service.service_id);
}

/* Threads that serve no request are numbered behind those that do. */
static uint32_t background_thread(struct planner *p, const struct row_op *op, uint32_t *next)
{
	uint32_t thread = idmap_get(&p->threads, op->thread_id);

	if (thread != IDMAP_NONE || !op->thread_id ||
	    *next - p->plan->threads >= WIRE_BACKGROUND_THREADS_MAX)
		return thread == IDMAP_NONE ? p->plan->threads : thread;
	idmap_put(&p->threads, op->thread_id, *next);
	return (*next)++;
}

static int compare_background(const void *a, const void *b)
{
	const struct plan_background *x = a, *y = b;

	if (x->due_ns != y->due_ns)
		return x->due_ns < y->due_ns ? -1 : 1;
	return (x->op.op_id > y->op.op_id) - (x->op.op_id < y->op.op_id);
}

static int emit_background(struct planner *p, const struct owners *o, struct err *err)
{
	struct plan *plan = p->plan;
	uint32_t next_thread = plan->threads;
	size_t count = 0;

	for (size_t i = 0; i < p->source.ops_count; i++)
		count += is_background(p, o, i);
	plan->background = calloc(count + 1, sizeof(*plan->background));
	if (!plan->background)
		return err_errno(err, ENOMEM, "cannot hold %zu background ops", count);
	for (size_t i = 0; i < p->source.ops_count; i++) {
		const struct row_op *op = &p->source.ops[i];
		struct plan_background *background = &plan->background[plan->background_count];

		if (!is_background(p, o, i) || op->kind == OP_REPLY ||
		    !is_playable(p, op, &plan->ledger))
			continue;
		if (plan->background_count == WIRE_BACKGROUND_MAX) {
			plan->ledger.count[LG_OPS_SKIPPED]++;
			continue;
		}
		background->due_ns = op->start_ns > 0 ? op->start_ns : 0;
		background->thread = background_thread(p, op, &next_thread);
		background->op = op_here(op);
		background->op.work = plan_work_of(p, op);
		plan->background_count++;
	}
	qsort(plan->background, plan->background_count, sizeof(*plan->background),
	      compare_background);
	return 0;
}

int plan_ops_build(struct planner *p, struct err *err)
{
	struct owners owners;
	int ret = owners_init(&owners, p, err);

	if (!ret && owners_give_parts(&owners, p))
		ret = err_errno(err, ENOMEM, "cannot hold %zu ops", p->source.ops_count);
	if (!ret)
		ret = emit_background(p, &owners, err);
	if (!ret)
		ret = emit_requests(p, &owners, err);
	owners_release(&owners);
	return ret;
}
