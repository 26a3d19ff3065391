/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/exec.h"

#include "replay/node/limits.h"

#include <errno.h>
#include <sys/mman.h>

#define CALL_ID_BITS 40 /* below the executor's index */

int executor_init(struct executor *x, const struct exec_setup *setup, uint32_t index)
{
	*x = (struct executor){ .setup = setup, .calls = (uint64_t)index << CALL_ID_BITS };
	x->stamps.slot = &x->own.slot;
	x->buffer = mmap(NULL, NODE_CALL_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (x->buffer == MAP_FAILED) {
		x->buffer = NULL;
		return -ENOMEM;
	}
	spool_writer_init(&x->oprows, setup->oprows);
	stats_init(&x->stats);
	return 0;
}

void executor_begin(struct executor *x)
{
	meter_init(&x->meter, x->setup->slots, x->setup->counts_itself ? &x->own : NULL);
}

void executor_release(struct executor *x)
{
	meter_end(&x->meter);
	spool_writer_end(&x->oprows);
	if (x->setup && x->setup->stats)
		node_stats_add(x->setup->stats, &x->stats);
	stats_release(&x->stats);
	if (x->buffer)
		munmap(x->buffer, NODE_CALL_BYTES);
	x->buffer = NULL;
	streamed_release(&x->streamed);
}

void executor_tell_stats(struct executor *x)
{
	if (x->setup->stats)
		node_stats_answer(x->setup->stats, &x->stats, &x->stats_seen);
}

static void run_compute(struct executor *x, const struct plan_op *op, struct target *target,
			struct exec_result *result)
{
	demand_compute(&x->setup->demand, op->work);
}

static void run_lock(struct executor *x, const struct plan_op *op, struct target *target,
		     struct exec_result *result)
{
	demand_lock(&x->setup->demand, op->target_id, op->work);
}

/* Fresh pages, or a stream over what prepare() has touched. */
static void run_memory(struct executor *x, const struct plan_op *op, struct target *target,
		       struct exec_result *result)
{
	if (op->flags & OPF_CACHED)
		demand_stream(&x->setup->demand, &x->streamed, op->bytes);
	else
		result->status = -demand_touch(&x->setup->demand, op->bytes);
	result->bytes = result->status ? 0 : op->bytes;
}

static void run_file(struct executor *x, const struct plan_op *op, struct target *target,
		     struct exec_result *result)
{
	struct storage_result moved;

	if (!target && op->kind != OP_KERNEL) {
		result->done = false;
		return;
	}
	moved = target ? storage_run(x->setup->storage, target, op, x->buffer) :
			 storage_look(x->setup->storage, op);
	result->status = moved.status;
	result->bytes = moved.bytes;
	result->offset = moved.offset;
	result->done = moved.status != ENOSYS;
	x->ledger.count[LG_OPS_ROUNDED] += moved.rounded;
}

/* A connection that is encrypted has shaken hands when it was opened; in the clear it is work. */
static void run_handshake(struct executor *x, const struct plan_op *op, struct target *target,
			  struct exec_result *result)
{
	if (!atomic_load_explicit(x->setup->encrypts, memory_order_relaxed))
		run_compute(x, op, target, result);
}

bool exec_is_kernel_work(const struct plan_op *op)
{
	return op->kind == OP_KERNEL && !(op->flags & (OPF_OPEN | OPF_STAT | OPF_CLOSE));
}

/* `work` of them, but one at least: a trace has a row for each. */
static void run_calls(struct executor *x, const struct plan_op *op, struct target *target,
		      struct exec_result *result)
{
	uint64_t left = op->work ? op->work : 1;

	while (left-- && !result->status && result->done &&
	       !atomic_load_explicit(x->setup->demand.stopping, memory_order_relaxed))
		run_file(x, op, target, result);
}

static void run_kernel(struct executor *x, const struct plan_op *op, struct target *target,
		       struct exec_result *result)
{
	if (exec_is_kernel_work(op))
		demand_kernel(&x->setup->demand, op->work);
	else
		run_calls(x, op, target, result);
}

typedef void (*run_fn)(struct executor *x, const struct plan_op *op, struct target *target,
		       struct exec_result *result);

static const struct {
	run_fn run;
	enum activity activity;
} kinds[OP_KIND_COUNT] = {
	[OP_COMPUTE] = { run_compute, ACTIVITY_COMPUTE },
	[OP_KERNEL] = { run_kernel, ACTIVITY_FILE },
	[OP_LOAD] = { run_file, ACTIVITY_FILE },
	[OP_STORE] = { run_file, ACTIVITY_FILE },
	[OP_SYNC] = { run_file, ACTIVITY_FILE },
	[OP_LOCK] = { run_lock, ACTIVITY_LOCK },
	[OP_MEMORY] = { run_memory, ACTIVITY_MEMORY },
	[OP_HANDSHAKE] = { run_handshake, ACTIVITY_COMPUTE },
};

bool exec_waits_for_device(const struct plan_op *op, const struct target *target)
{
	bool direct = op->flags & OPF_DIRECT ||
		      (target && target->device && target->device->direct);

	return op->kind == OP_LOAD && direct;
}

static enum activity activity_of(const struct plan_op *op, const struct target *target)
{
	if (op->kind == OP_MEMORY && op->flags & OPF_CACHED)
		return ACTIVITY_COMPUTE;
	if (exec_waits_for_device(op, target))
		return ACTIVITY_DEVICE;
	return exec_is_kernel_work(op) ? ACTIVITY_KERNEL : kinds[op->kind].activity;
}

/* What shall not count as the op's own. */
static int prepare(struct executor *x, const struct plan_op *op)
{
	if (op->kind == OP_MEMORY && op->flags & OPF_CACHED)
		return streamed_prepare(&x->streamed, op->bytes);
	return 0;
}

bool exec_knows(uint32_t kind)
{
	return kind < OP_KIND_COUNT && kinds[kind].run;
}

struct exec_result exec_run(struct executor *x, const struct plan_op *op, struct target *target,
			    int64_t *ret_shared)
{
	struct exec_result result = { .done = true, .offset = TRACE_NONE };
	enum activity activity = activity_of(op, target);

	result.status = -prepare(x, op);
	result.start_ns = meter_mark(&x->meter, ACTIVITY_SELF);
	if (!result.status)
		kinds[op->kind].run(x, op, target, &result);
	result.end_ns = ret_shared ? meter_mark_shared(&x->meter, activity, ret_shared) :
				     meter_mark(&x->meter, activity);
	result.cpu_ns = x->meter.segment_cpu_ns;
	if (!result.done)
		x->ledger.count[LG_OPS_SKIPPED]++;
	return result;
}

uint64_t exec_next_call(struct executor *x)
{
	return ++x->calls;
}

void exec_note(struct executor *x, uint64_t call_id, const struct plan_op *op,
	       const struct plan_request *owner, const struct exec_result *result)
{
	struct wire_oprow row = {
		.call_id = call_id,
		.op_id = op->op_id,
		.request_id = owner ? owner->request_id : 0,
		.root_id = owner ? plan_root_of(owner) : 0,
		.call = owner ? owner->call : 0,
		.kind = op->kind,
		.flags = op->flags | (result->status ? OPF_FAILED : 0),
		.after_reply = op->mode == PLAN_AFTER_REPLY,
		.status = (uint32_t)result->status,
		.start_ns = result->start_ns,
		.elapsed_ns = result->end_ns - result->start_ns,
		.cpu_ns = result->cpu_ns,
		.work = op->kind == OP_FORWARD ? 0 : op->work,
		.bytes = result->bytes,
		.reply_bytes = result->reply_bytes,
		.offset = result->offset,
		.target_id = op->target_id,
	};

	if (!result->done)
		return;
	spool_add(&x->oprows, &row);
	if (call_id == x->counted) /* a call for several requests */
		return;
	x->counted = call_id;
	stats_count(&x->stats, op->kind, result->status, result->bytes,
		    result->end_ns - result->start_ns);
}

int exec_alone(struct executor *x, const struct plan_op *op, struct target *target,
	       const struct plan_request *owner)
{
	struct exec_result result = exec_run(x, op, target, NULL);

	exec_note(x, exec_next_call(x), op, owner, &result);
	return result.done ? result.status : 0;
}
