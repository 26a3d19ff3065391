/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/chain/chain.h"

#include "base/clock.h"

#include <errno.h>

struct draw {
	const struct chain *c;
	uint64_t seed, request;
	uint32_t cut; /* values that were above their limit */
};

static struct spec_key key_of(const struct draw *d, uint32_t index, enum chain_slot slot)
{
	return (struct spec_key){ d->seed, d->request, index, slot };
}

static uint64_t draw_spec(struct draw *d, const struct spec *s, uint32_t index,
			  enum chain_slot slot, uint64_t max)
{
	struct spec_key key = key_of(d, index, slot);
	uint64_t value = spec_draw(s, &key);

	if (value <= max)
		return value;
	d->cut++;
	return max;
}

static uint64_t draw_amount(struct draw *d, uint32_t index, uint64_t max)
{
	return draw_spec(d, &d->c->ops[index].amount, index, CHAIN_SLOT_AMOUNT, max);
}

/* Time as work of the machine where it is done. */
static void draw_work(struct draw *d, uint32_t index, struct plan_op *op)
{
	uint64_t ns = draw_amount(d, index, CHAIN_TIME_MAX_NS);
	unsigned __int128 units = (unsigned __int128)ns * d->c->work_per_ms;

	op->work = d->c->work_per_ms ? (uint64_t)(units / NS_PER_MS) : ns;
}

static void draw_lock(struct draw *d, uint32_t index, struct plan_op *op)
{
	draw_work(d, index, op);
	op->target_id = d->c->ops[index].device;
}

static void draw_sleep(struct draw *d, uint32_t index, struct plan_op *op)
{
	op->work = draw_amount(d, index, CHAIN_TIME_MAX_NS);
}

static void draw_bytes(struct draw *d, uint32_t index, struct plan_op *op)
{
	op->bytes = draw_amount(d, index, CHAIN_BYTES_MAX);
}

static void draw_target(struct draw *d, uint32_t index, struct plan_op *op)
{
	op->target_id = 1 + (uint64_t)d->c->ops[index].device;
}

static void draw_kernel(struct draw *d, uint32_t index, struct plan_op *op)
{
	draw_target(d, index, op);
	op->work = draw_amount(d, index, CHAIN_CALLS_MAX);
}

static void draw_file(struct draw *d, uint32_t index, struct plan_op *op)
{
	const struct chain_op *from = &d->c->ops[index];

	draw_target(d, index, op);
	draw_bytes(d, index, op);
	if (from->has_offset)
		op->offset = (int64_t)draw_spec(d, &from->offset, index, CHAIN_SLOT_OFFSET,
						SPEC_VALUE_MAX);
}

static void draw_reply(struct draw *d, uint32_t index, struct plan_op *op)
{
	if (op->flags & OPF_SENDFILE)
		draw_file(d, index, op);
	else
		draw_bytes(d, index, op);
}

static void (*const draws[OP_KIND_COUNT])(struct draw *d, uint32_t index, struct plan_op *op) = {
	[OP_COMPUTE] = draw_work, [OP_KERNEL] = draw_kernel, [OP_LOAD] = draw_file,
	[OP_STORE] = draw_file,	  [OP_SYNC] = draw_target,   [OP_FORWARD] = draw_bytes,
	[OP_SLEEP] = draw_sleep,  [OP_LOCK] = draw_lock,     [OP_MEMORY] = draw_bytes,
	[OP_REPLY] = draw_reply,
};

static struct plan_op draw_op(struct draw *d, uint32_t index)
{
	const struct chain_op *from = &d->c->ops[index];
	struct plan_op op = {
		.op_id = index + 1,
		.kind = from->kind,
		.flags = from->flags,
		.mode = PLAN_INLINE,
		.owners = 1,
		.offset = TRACE_NONE,
	};

	draws[from->kind](d, index, &op);
	return op;
}

static bool skips(const struct draw *d, uint32_t index)
{
	const struct chain_skip *skip = &d->c->ops[index].skip;
	struct spec_key key = key_of(d, index, CHAIN_SLOT_SKIP);

	return d->request % skip->every == 0 && (skip->prob >= 1 || spec_chance(&key) < skip->prob);
}

bool chain_skips(const struct chain *c, uint64_t seed, uint64_t request, uint32_t index)
{
	return skips(&(struct draw){ c, seed, request, 0 }, index);
}

uint32_t chain_behind(const struct chain *c, uint32_t index)
{
	while (c->ops[index].kind == OP_FORWARD && c->ops[index].forward->next_branch)
		index = c->ops[index].forward->next_branch;
	return c->ops[index].kind == CHAIN_SKIP ? index + 1 : c->ops[index].end;
}

static bool begins_chain(const struct chain *c, uint32_t at)
{
	return at < c->count && (!at || c->ops[at - 1].kind == OP_FORWARD);
}

int chain_draw(const struct chain *c, uint64_t seed, uint64_t request, uint32_t at,
	       struct plan_op *ops, size_t max, struct chain_request *ret_request)
{
	struct draw d = { c, seed, request, 0 };
	struct chain_request result = { 0 };

	if (!begins_chain(c, at))
		return -EINVAL;
	for (;;) {
		if (c->ops[at].kind == CHAIN_SKIP) {
			at = skips(&d, at) ? c->ops[at].end : at + 1;
			continue;
		}
		if (result.ops == max)
			return -ENOBUFS;
		ops[result.ops++] = draw_op(&d, at);
		if (c->ops[at].kind == OP_REPLY)
			break;
		at = chain_behind(c, at);
	}
	result.response_bytes = ops[result.ops - 1].bytes;
	result.end = at + 1;
	result.cut = d.cut;
	*ret_request = result;
	return 0;
}

struct plan_op chain_draw_op(const struct chain *c, uint64_t seed, uint64_t request, uint32_t index)
{
	struct draw d = { c, seed, request, 0 };

	return draw_op(&d, index);
}

uint64_t chain_forward_bytes(const struct chain *c, uint64_t seed, uint64_t request, uint32_t index)
{
	struct draw d = { c, seed, request, 0 };

	return draw_amount(&d, index, CHAIN_BYTES_MAX);
}
