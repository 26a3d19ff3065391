/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/owners.h"
#include "replay/plan/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is shared on a target: a store or sync that any two requests have in common makes all so. */
struct sharing {
	bool kinds[OP_KIND_COUNT];
	struct share_model *model; /* of its stores, when those are shared */
};

struct parts {
	const struct planner *planner;
	const struct owners *owners;
	struct sharing *sharings; /* of each target; the last is for ops without one */
	uint32_t *classes;	  /* scratch: of the owners of one op */
	uint64_t *shares;
};

/* The other kinds bring their CPU time back by what they do. */
static bool has_cpu_demand(const struct row_op *op)
{
	if (op->kind == OP_KERNEL)
		return !(op->flags & (OPF_OPEN | OPF_STAT | OPF_CLOSE));
	return op->kind == OP_COMPUTE || op->kind == OP_LOCK || op->kind == OP_HANDSHAKE;
}

uint64_t plan_work_of(const struct planner *p, const struct row_op *op)
{
	if (op->kind == OP_SLEEP) /* how long the timer was set to, where that is known */
		return op->work ? op->work : op->elapsed_ns;
	if (!has_cpu_demand(op))
		return op->kind == OP_KERNEL ? op->work : 0; /* calls */
	if (op->work || !p->source.work_per_ms)
		return op->work;
	return (uint64_t)((double)op->cpu_ns * (double)p->source.work_per_ms / 1e6);
}

static struct sharing *sharing_of(const struct parts *parts, const struct row_op *op)
{
	uint32_t target = idmap_get(&parts->planner->targets, op->target_id);

	return &parts->sharings[target == IDMAP_NONE ? parts->planner->plan->targets_count : target];
}

/* The classes of an op's owners into parts->classes. */
static size_t owner_classes(const struct parts *parts, size_t op)
{
	struct owner *owners;
	size_t count = owners_of(parts->owners, op, &owners);

	for (size_t i = 0; i < count; i++)
		parts->classes[i] = parts->planner->origins[owners[i].request].class_index;
	return count;
}

static int find_shared(struct parts *parts)
{
	const struct plan_source *s = &parts->planner->source;
	struct owner *owners;

	for (size_t i = 0; i < s->ops_count; i++) {
		struct sharing *sharing = sharing_of(parts, &s->ops[i]);

		if (s->ops[i].kind >= OP_KIND_COUNT || owners_of(parts->owners, i, &owners) < 2)
			continue;
		sharing->kinds[s->ops[i].kind] = true;
		if (s->ops[i].kind != OP_STORE || sharing->model)
			continue;
		sharing->kinds[OP_SYNC] = true; /* it makes the shared store durable */
		sharing->model = malloc(sizeof(*sharing->model));
		if (!sharing->model)
			return -ENOMEM;
		share_model_init(sharing->model, parts->planner->classes);
	}
	return 0;
}

/* Requests beyond the owners of a class caused nothing on this target. */
static void add_idle(const struct parts *parts, struct share_model *model,
		     const uint64_t *owned_by_class, const uint64_t *requests_by_class)
{
	for (size_t c = 0; c < parts->planner->classes; c++) {
		if (requests_by_class[c] > owned_by_class[c])
			share_model_add_idle(model, (uint32_t)c,
					     requests_by_class[c] - owned_by_class[c]);
	}
}

/* One pass over the ops for each target with shared stores: there are few of those. */
static void fit_model(struct parts *parts, struct sharing *sharing, uint64_t *owned,
		      const uint64_t *requests)
{
	const struct plan_source *s = &parts->planner->source;

	memset(owned, 0, parts->planner->classes * sizeof(*owned));
	for (size_t i = 0; i < s->ops_count; i++) {
		size_t count;

		if (s->ops[i].kind != OP_STORE || sharing_of(parts, &s->ops[i]) != sharing)
			continue;
		count = owner_classes(parts, i);
		if (count)
			share_model_add(sharing->model, parts->classes, count, s->ops[i].bytes);
		for (size_t o = 0; o < count; o++)
			owned[parts->classes[o]]++;
	}
	add_idle(parts, sharing->model, owned, requests);
	share_model_solve(sharing->model);
}

static int fit_models(struct parts *parts)
{
	const struct planner *p = parts->planner;
	uint64_t *requests = calloc(p->classes, sizeof(*requests));
	uint64_t *owned = calloc(p->classes, sizeof(*owned));

	for (size_t i = 0; i < p->plan->requests_count && requests; i++)
		requests[p->origins[i].class_index]++;
	for (size_t t = 0; t <= p->plan->targets_count && requests && owned; t++) {
		if (parts->sharings[t].model)
			fit_model(parts, &parts->sharings[t], owned, requests);
	}
	free(owned);
	free(requests);
	return requests && owned ? 0 : -ENOMEM;
}

/* Who of an op's owners asks for it; when the model knows none, all do. */
static bool is_cause(const struct parts *parts, const struct share_model *model, size_t count,
		     size_t i)
{
	if (!model || share_model_is_cause(model, parts->classes[i]))
		return true;
	for (size_t o = 0; o < count; o++) {
		if (share_model_is_cause(model, parts->classes[o]))
			return false;
	}
	return true;
}

static void split_bytes(const struct parts *parts, const struct row_op *op,
			const struct share_model *model, size_t count)
{
	if (model) {
		share_split(model, parts->classes, count, op->bytes, parts->shares);
		return;
	}
	for (size_t i = 0; i < count; i++)
		parts->shares[i] = share_equal(op->bytes, count, i);
}

/* Live: every owner does its part, when it comes to it; what is shared the node gathers again. */
static void give_parts(struct parts *parts, size_t op_index)
{
	const struct row_op *op = &parts->planner->source.ops[op_index];
	const struct sharing *sharing = sharing_of(parts, op);
	const struct share_model *model =
		op->kind == OP_STORE || op->kind == OP_SYNC ? sharing->model : NULL;
	bool shared = sharing->kinds[op->kind] && (op->kind == OP_STORE || op->kind == OP_SYNC);
	uint64_t work = plan_work_of(parts->planner, op), before = 0;
	size_t count = owner_classes(parts, op_index);
	struct owner *owners;

	owners_of(parts->owners, op_index, &owners);
	split_bytes(parts, op, model, count);
	for (size_t i = 0; i < count; i++) {
		owners[i].work = share_equal(work, count, i);
		owners[i].bytes = parts->shares[i];
		owners[i].offset = op->offset == TRACE_NONE ? TRACE_NONE :
							      op->offset + (int64_t)before;
		owners[i].mode = owner_is_after_reply(parts->planner, &owners[i]) ?
					 PLAN_AFTER_REPLY :
				 !shared			  ? PLAN_INLINE :
				 is_cause(parts, model, count, i) ? PLAN_SHARED :
								    PLAN_WAIT;
		before += parts->shares[i];
	}
}

/* Recorded: the op stays whole, and is done when all its doers have come to it. */
static void give_whole(struct parts *parts, size_t op_index)
{
	const struct row_op *op = &parts->planner->source.ops[op_index];
	struct owner *owners;
	size_t count = owners_of(parts->owners, op_index, &owners);

	for (size_t i = 0; i < count; i++) {
		owners[i].work = plan_work_of(parts->planner, op);
		owners[i].bytes = op->bytes;
		owners[i].offset = op->offset;
		owners[i].mode = owner_is_after_reply(parts->planner, &owners[i]) ?
					 PLAN_AFTER_REPLY :
				 count > 1 ? PLAN_SHARED :
					     PLAN_INLINE;
	}
}

static void give_all(struct parts *parts)
{
	const struct plan_source *s = &parts->planner->source;
	bool live = parts->planner->opts->batching == PLAN_BATCHING_LIVE;
	struct owner *owners;

	for (size_t i = 0; i < s->ops_count; i++) {
		if (owners_of(parts->owners, i, &owners) && s->ops[i].kind < OP_KIND_COUNT)
			(live ? give_parts : give_whole)(parts, i);
	}
}

static int allocate(struct parts *parts)
{
	parts->sharings = calloc(parts->planner->plan->targets_count + 1, sizeof(*parts->sharings));
	parts->classes = calloc(parts->owners->most + 1, sizeof(*parts->classes));
	parts->shares = calloc(parts->owners->most + 1, sizeof(*parts->shares));
	return parts->sharings && parts->classes && parts->shares ? 0 : -ENOMEM;
}

static void parts_release(struct parts *parts)
{
	for (size_t i = 0; parts->sharings && i <= parts->planner->plan->targets_count; i++)
		free(parts->sharings[i].model);
	free(parts->sharings);
	free(parts->classes);
	free(parts->shares);
}

int owners_give_parts(struct owners *o, const struct planner *p)
{
	struct parts parts = { .planner = p, .owners = o };
	int ret = allocate(&parts);

	if (!ret)
		ret = find_shared(&parts);
	if (!ret)
		ret = fit_models(&parts);
	if (!ret)
		give_all(&parts);
	parts_release(&parts);
	return ret;
}
