/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan_share.h"
#include "replay/plan_source.h"
#include "replay/wire.h"

#include <assert.h>
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
	[OP_FORWARD] = { false, false, LG_CALLS_STUBBED },
	[OP_SLEEP] = { true, false, LG_OPS_SKIPPED },
	[OP_LOCK] = { false, false, LG_OPS_SKIPPED },
	[OP_MEMORY] = { false, false, LG_OPS_SKIPPED },
	[OP_HANDSHAKE] = { false, false, LG_OPS_SKIPPED },
	[OP_REPLY] = { true, false, LG_OPS_SKIPPED },
};

/* A request's part in an op. */
struct owner {
	uint32_t request, op; /* indices of plan->requests and source.ops */
	uint32_t mode;	      /* enum plan_op_mode */
	uint64_t work, bytes;
	int64_t offset;
};

/* All owners, by op: those of op i are at[first[i]] up to at[first[i + 1]]. */
struct owners {
	struct owner *at;
	size_t *first;
	size_t count;
};

/* What is shared on a target: a store or sync that any two requests have in common makes all so. */
struct sharing {
	bool kinds[OP_KIND_COUNT];
	struct share_model *model; /* of its stores, when those are shared */
};

struct ops_builder {
	struct planner *planner;
	struct owners owners;
	struct sharing *sharings; /* of each target; the last is for ops without one */
	uint32_t *classes;	  /* scratch: of the owners of one op */
	uint64_t *shares;
	size_t most_owners;
};

static bool is_playable(const struct planner *p, const struct row_op *op, struct ledger *ledger)
{
	bool known = op->kind < OP_KIND_COUNT;
	bool file = known && (kinds[op->kind].needs_file || (op->flags & OPF_SENDFILE));

	if (known && kinds[op->kind].played && !(op->flags & OPF_FAILED) &&
	    op->bytes <= WIRE_OP_BYTES_MAX &&
	    !(file && idmap_get(&p->targets, op->target_id) == IDMAP_NONE))
		return true;
	ledger->count[known ? kinds[op->kind].left_out : LG_OPS_SKIPPED]++;
	return false;
}

/* The manifest's calibration stands in where the op has none; without either it cannot be played. */
static uint64_t work_of(const struct planner *p, const struct row_op *op)
{
	if (op->kind == OP_SLEEP)
		return op->elapsed_ns;
	if (op->work || !p->source.work_per_ms)
		return op->work;
	return (uint64_t)((double)op->cpu_ns * (double)p->source.work_per_ms / 1e6);
}

static uint64_t scale_work(uint64_t work, uint32_t ppm)
{
	return work / 1000000 * ppm + work % 1000000 * ppm / 1000000;
}

/* Calls fn with each op and each of its owners that is in the plan: the first, then the further. */
typedef void (*owner_fn)(struct owners *owners, uint32_t op, uint32_t request);

static void each_owner(struct ops_builder *b, const struct idmap *op_index, owner_fn fn)
{
	const struct plan_source *s = &b->planner->source;

	for (size_t i = 0; i < s->ops_count; i++) {
		uint32_t request = idmap_get(&b->planner->requests, s->ops[i].request_id);

		if (request != IDMAP_NONE)
			fn(&b->owners, (uint32_t)i, request);
	}
	for (size_t i = 0; i < s->op_requests_count; i++) {
		uint32_t op = idmap_get(op_index, s->op_requests[i].op_id);
		uint32_t request = idmap_get(&b->planner->requests, s->op_requests[i].request_id);

		if (op != IDMAP_NONE && request != IDMAP_NONE &&
		    s->ops[op].request_id != s->op_requests[i].request_id)
			fn(&b->owners, op, request);
	}
}

static void count_owner(struct owners *owners, uint32_t op, uint32_t request)
{
	owners->first[op + 1]++;
	owners->count++;
}

/* first[op] runs ahead while owners are put in; collect_owners() sets it back. */
static void put_owner(struct owners *owners, uint32_t op, uint32_t request)
{
	owners->at[owners->first[op]++] = (struct owner){ .request = request, .op = op };
}

static int collect_owners(struct ops_builder *b)
{
	const struct plan_source *s = &b->planner->source;
	struct owners *owners = &b->owners;
	struct idmap op_index = { 0 };
	int ret = -ENOMEM;

	owners->first = calloc(s->ops_count + 2, sizeof(*owners->first));
	if (!owners->first || idmap_init(&op_index, s->ops_count))
		goto out;
	for (size_t i = 0; i < s->ops_count; i++)
		idmap_put(&op_index, s->ops[i].op_id, (uint32_t)i);
	each_owner(b, &op_index, count_owner);
	owners->at = calloc(owners->count + 1, sizeof(*owners->at));
	if (!owners->at)
		goto out;
	for (size_t i = 0; i < s->ops_count; i++) {
		if (owners->first[i + 1] > b->most_owners)
			b->most_owners = owners->first[i + 1];
		owners->first[i + 1] += owners->first[i];
	}
	each_owner(b, &op_index, put_owner);
	memmove(owners->first + 1, owners->first, s->ops_count * sizeof(*owners->first));
	owners->first[0] = 0;
	ret = 0;
out:
	idmap_release(&op_index);
	return ret;
}

static size_t owners_of(const struct ops_builder *b, size_t op, struct owner **ret_owners)
{
	*ret_owners = &b->owners.at[b->owners.first[op]];
	return b->owners.first[op + 1] - b->owners.first[op];
}

static struct sharing *sharing_of(const struct ops_builder *b, const struct row_op *op)
{
	uint32_t target = idmap_get(&b->planner->targets, op->target_id);

	return &b->sharings[target == IDMAP_NONE ? b->planner->plan->targets_count : target];
}

/* The classes of an op's owners into b->classes. */
static size_t owner_classes(const struct ops_builder *b, size_t op)
{
	struct owner *owners;
	size_t count = owners_of(b, op, &owners);

	for (size_t i = 0; i < count; i++)
		b->classes[i] = b->planner->origins[owners[i].request].class_index;
	return count;
}

static int find_shared(struct ops_builder *b)
{
	const struct plan_source *s = &b->planner->source;
	struct owner *owners;

	for (size_t i = 0; i < s->ops_count; i++) {
		struct sharing *sharing = sharing_of(b, &s->ops[i]);

		if (s->ops[i].kind >= OP_KIND_COUNT || owners_of(b, i, &owners) < 2)
			continue;
		sharing->kinds[s->ops[i].kind] = true;
		if (s->ops[i].kind != OP_STORE || sharing->model)
			continue;
		sharing->kinds[OP_SYNC] = true; /* it makes the shared store durable */
		sharing->model = malloc(sizeof(*sharing->model));
		if (!sharing->model)
			return -ENOMEM;
		share_model_init(sharing->model, b->planner->classes);
	}
	return 0;
}

/* Requests beyond the owners of a class caused nothing on this target. */
static void add_idle(const struct ops_builder *b, struct share_model *model,
		     const uint64_t *owned_by_class, const uint64_t *requests_by_class)
{
	for (size_t c = 0; c < b->planner->classes; c++) {
		if (requests_by_class[c] > owned_by_class[c])
			share_model_add_idle(model, (uint32_t)c,
					     requests_by_class[c] - owned_by_class[c]);
	}
}

/* One pass over the ops for each target with shared stores: there are few of those. */
static void fit_model(struct ops_builder *b, struct sharing *sharing, uint64_t *owned,
		      const uint64_t *requests)
{
	const struct plan_source *s = &b->planner->source;

	memset(owned, 0, b->planner->classes * sizeof(*owned));
	for (size_t i = 0; i < s->ops_count; i++) {
		size_t count;

		if (s->ops[i].kind != OP_STORE || sharing_of(b, &s->ops[i]) != sharing)
			continue;
		count = owner_classes(b, i);
		if (count)
			share_model_add(sharing->model, b->classes, count, s->ops[i].bytes);
		for (size_t o = 0; o < count; o++)
			owned[b->classes[o]]++;
	}
	add_idle(b, sharing->model, owned, requests);
	share_model_solve(sharing->model);
}

static int fit_models(struct ops_builder *b)
{
	const struct planner *p = b->planner;
	uint64_t *requests = calloc(p->classes, sizeof(*requests));
	uint64_t *owned = calloc(p->classes, sizeof(*owned));

	for (size_t i = 0; i < p->plan->requests_count && requests; i++)
		requests[p->origins[i].class_index]++;
	for (size_t t = 0; t <= p->plan->targets_count && requests && owned; t++) {
		if (b->sharings[t].model)
			fit_model(b, &b->sharings[t], owned, requests);
	}
	free(owned);
	free(requests);
	return requests && owned ? 0 : -ENOMEM;
}

/* Who of an op's owners asks for it; when the model knows none, all do. */
static bool is_cause(const struct ops_builder *b, const struct share_model *model, size_t count,
		     size_t i)
{
	if (!model || share_model_is_cause(model, b->classes[i]))
		return true;
	for (size_t o = 0; o < count; o++) {
		if (share_model_is_cause(model, b->classes[o]))
			return false;
	}
	return true;
}

static void split_bytes(const struct ops_builder *b, const struct row_op *op,
			const struct share_model *model, size_t count)
{
	if (model) {
		share_split(model, b->classes, count, op->bytes, b->shares);
		return;
	}
	for (size_t i = 0; i < count; i++)
		b->shares[i] = share_equal(op->bytes, count, i);
}

/* Live: every owner does its part, when it comes to it; what is shared the node gathers again. */
static void give_parts(struct ops_builder *b, size_t op_index)
{
	const struct row_op *op = &b->planner->source.ops[op_index];
	const struct sharing *sharing = sharing_of(b, op);
	const struct share_model *model = op->kind == OP_STORE || op->kind == OP_SYNC ?
						  sharing->model : NULL;
	bool shared = sharing->kinds[op->kind] && (op->kind == OP_STORE || op->kind == OP_SYNC);
	uint64_t work = work_of(b->planner, op), before = 0;
	size_t count = owner_classes(b, op_index);
	struct owner *owners;

	owners_of(b, op_index, &owners);
	split_bytes(b, op, model, count);
	for (size_t i = 0; i < count; i++) {
		owners[i].work = share_equal(work, count, i);
		owners[i].bytes = b->shares[i];
		owners[i].offset = op->offset == TRACE_NONE ? TRACE_NONE :
							      op->offset + (int64_t)before;
		owners[i].mode = !shared ? PLAN_INLINE :
				 is_cause(b, model, count, i) ? PLAN_SHARED : PLAN_WAIT;
		before += b->shares[i];
	}
}

/* Recorded: the op stays whole, and is done when all its owners have come to it. */
static void give_whole(struct ops_builder *b, size_t op_index)
{
	const struct row_op *op = &b->planner->source.ops[op_index];
	struct owner *owners;
	size_t count = owners_of(b, op_index, &owners);

	for (size_t i = 0; i < count; i++) {
		owners[i].work = work_of(b->planner, op);
		owners[i].bytes = op->bytes;
		owners[i].offset = op->offset;
		owners[i].mode = count > 1 ? PLAN_SHARED : PLAN_INLINE;
	}
}

/* The recorded flag is the first owner's; to the others it matters when their own reply ended. */
static bool is_after_reply(const struct planner *p, const struct owner *owner)
{
	const struct row_op *op = &p->source.ops[owner->op];
	const struct row_request *row = p->origins[owner->request].row;

	if (op->request_id == row->request_id || row->end_ns == TRACE_NONE)
		return op->after_reply;
	return op->start_ns >= row->end_ns;
}

static int assign_parts(struct ops_builder *b)
{
	const struct planner *p = b->planner;
	bool live = p->opts->batching == PLAN_BATCHING_LIVE;

	for (size_t i = 0; i < p->source.ops_count; i++) {
		struct owner *owners;
		size_t count = owners_of(b, i, &owners);

		if (!count || p->source.ops[i].kind >= OP_KIND_COUNT)
			continue;
		(live ? give_parts : give_whole)(b, i);
		for (size_t o = 0; o < count; o++) {
			if (is_after_reply(p, &owners[o]))
				owners[o].mode = PLAN_AFTER_REPLY;
		}
	}
	return 0;
}

static int compare_owners(const void *a, const void *b, void *arg)
{
	const struct owner *x = a, *y = b;
	const struct row_op *ops = arg;

	if (x->request != y->request)
		return x->request < y->request ? -1 : 1;
	if (ops[x->op].start_ns != ops[y->op].start_ns)
		return ops[x->op].start_ns < ops[y->op].start_ns ? -1 : 1;
	return (ops[x->op].op_id > ops[y->op].op_id) - (ops[x->op].op_id < ops[y->op].op_id);
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

static struct plan_op op_of_owner(const struct planner *p, const struct owner *owner,
				  size_t owners)
{
	struct plan_op op = op_here(&p->source.ops[owner->op]);

	op.mode = owner->mode;
	op.owners = (uint32_t)owners;
	op.work = op.kind == OP_COMPUTE ?
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
			.kind = OP_REPLY, .owners = 1, .offset = TRACE_NONE,
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

/* The ops of one request out of its owners; returns how many owners it took. */
static size_t emit_request(struct planner *p, const struct ops_builder *b, uint32_t r,
			   const struct owner *owners, size_t left)
{
	struct plan *plan = p->plan;
	struct plan_request *request = &plan->requests[r];
	struct plan_op *ops = &plan->ops[plan->ops_count];
	size_t taken, count = 0;

	for (taken = 0; taken < left && owners[taken].request == r; taken++) {
		const struct row_op *op = &p->source.ops[owners[taken].op];
		struct owner *unused;

		if (!is_playable(p, op, &plan->ledger))
			continue;
		if (count + 1 >= WIRE_OPS_MAX) {
			plan->ledger.count[LG_OPS_SKIPPED]++;
			continue;
		}
		ops[count++] = op_of_owner(p, &owners[taken],
					   owners_of(b, owners[taken].op, &unused));
	}
	count = fix_replies(ops, count, request->response_bytes);
	move_reply(ops, count);
	request->first_op = (uint32_t)plan->ops_count;
	request->ops_count = (uint32_t)count;
	plan->ops_count += count;
	return taken;
}

/* Leaves b->owners sorted by request: first[] still counts owners of an op, at[] no longer fits. */
static int emit_requests(struct ops_builder *b)
{
	struct planner *p = b->planner;
	struct plan *plan = p->plan;
	size_t taken = 0;

	plan->ops = calloc(b->owners.count + plan->requests_count + 1, sizeof(*plan->ops));
	if (!plan->ops)
		return -ENOMEM;
	qsort_r(b->owners.at, b->owners.count, sizeof(*b->owners.at), compare_owners,
		p->source.ops);
	for (uint32_t r = 0; r < plan->requests_count; r++)
		taken += emit_request(p, b, r, &b->owners.at[taken], b->owners.count - taken);
	assert(taken == b->owners.count);
	return 0;
}

static bool is_background(const struct ops_builder *b, size_t i)
{
	const struct row_op *op = &b->planner->source.ops[i];
	struct owner *owners;

	return !op->request_id && !owners_of(b, i, &owners) &&
	       (!op->service_id || op->service_id == b->planner->plan->service.service_id);
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

static int emit_background(struct ops_builder *b)
{
	struct planner *p = b->planner;
	struct plan *plan = p->plan;
	uint32_t next_thread = plan->threads;
	size_t count = 0;

	for (size_t i = 0; i < p->source.ops_count; i++)
		count += is_background(b, i);
	plan->background = calloc(count + 1, sizeof(*plan->background));
	if (!plan->background)
		return -ENOMEM;
	for (size_t i = 0; i < p->source.ops_count; i++) {
		const struct row_op *op = &p->source.ops[i];
		struct plan_background *background = &plan->background[plan->background_count];

		if (!is_background(b, i) || op->kind == OP_REPLY ||
		    !is_playable(p, op, &plan->ledger))
			continue;
		if (plan->background_count == WIRE_BACKGROUND_MAX) {
			plan->ledger.count[LG_OPS_SKIPPED]++;
			continue;
		}
		background->due_ns = op->start_ns > 0 ? op->start_ns : 0;
		background->thread = background_thread(p, op, &next_thread);
		background->op = op_here(op);
		background->op.work = work_of(p, op);
		plan->background_count++;
	}
	qsort(plan->background, plan->background_count, sizeof(*plan->background),
	      compare_background);
	return 0;
}

static int allocate(struct ops_builder *b)
{
	b->sharings = calloc(b->planner->plan->targets_count + 1, sizeof(*b->sharings));
	b->classes = calloc(b->most_owners + 1, sizeof(*b->classes));
	b->shares = calloc(b->most_owners + 1, sizeof(*b->shares));
	return b->sharings && b->classes && b->shares ? 0 : -ENOMEM;
}

static void builder_release(struct ops_builder *b)
{
	for (size_t i = 0; b->sharings && i <= b->planner->plan->targets_count; i++)
		free(b->sharings[i].model);
	free(b->sharings);
	free(b->classes);
	free(b->shares);
	free(b->owners.at);
	free(b->owners.first);
}

int plan_ops_build(struct planner *p, struct err *err)
{
	static int (*const steps[])(struct ops_builder *b) = {
		collect_owners, allocate,	 find_shared,	fit_models,
		assign_parts,	emit_background, emit_requests,
	};
	struct ops_builder b = { .planner = p };
	int ret = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !ret; i++)
		ret = steps[i](&b);
	builder_release(&b);
	return ret ? err_errno(err, -ret, "cannot hold %zu ops", p->source.ops_count) : 0;
}
