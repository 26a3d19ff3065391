/* SPDX-License-Identifier: Apache-2.0 */
/* What is right, and how far off the rest is. */
#include "judge/judge.h"

#include <math.h>

#define LOW_CONFIDENCE 50

/* --- numbers ------------------------------------------------------------------------------- */

struct list {
	double *values;
	size_t count, capacity;
};

static void list_add(struct list *list, double value)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity ? list->capacity * 2 : 1024;
		list->values =
			must_alloc(realloc(list->values, list->capacity * sizeof(*list->values)));
	}
	list->values[list->count++] = value;
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

/* Nearest rank; NAN of nothing. */
static double list_percentile(struct list *list, double percentile)
{
	size_t rank = ceil(percentile / 100 * list->count);

	if (!list->count)
		return NAN;
	qsort(list->values, list->count, sizeof(*list->values), by_value);
	return list->values[rank ? rank - 1 : 0];
}

static double percent(double part, double whole)
{
	return whole > 0 ? 100 * part / whole : NAN;
}

static bool in_range(struct range r, uint64_t value)
{
	return value >= r.lo && value <= r.hi;
}

/* --- ops ----------------------------------------------------------------------------------- */

/* Computing is measured by itself, and waiting is nothing that the server did. */
static bool is_call(const struct row_op *op)
{
	return op->kind == OP_LOAD || op->kind == OP_STORE || op->kind == OP_SYNC ||
	       op->kind == OP_FORWARD || op->kind == OP_REPLY ||
	       (op->kind == OP_KERNEL && op->flags & (OPF_OPEN | OPF_STAT | OPF_CLOSE));
}

static size_t calls_of(const struct taken *t, const struct row_op **ret_ops)
{
	size_t count = 0;

	for (size_t i = 0; i < t->ops_count; i++)
		if (is_call(t->ops[i]))
			ret_ops[count++] = t->ops[i];
	return count;
}

static bool same_kind(const struct log_op *truth, const struct row_op *op)
{
	return truth->kind == op->kind && (op->flags & truth->flag) == truth->flag &&
	       truth->after_reply == !!op->after_reply;
}

static bool same_bytes(const struct log_op *truth, const struct row_op *op)
{
	return truth->bytes == op->bytes && truth->reply_bytes == op->reply_bytes;
}

static bool same_offset(const struct log_op *truth, const struct row_op *op)
{
	if (truth->offset == ANY_OFFSET)
		return op->kind != OP_STORE || op->flags & OPF_APPEND;
	return truth->offset == (op->offset == TRACE_NONE ? NO_OFFSET : op->offset);
}

static bool all_same(const struct log_row *truth, const struct row_op **ops,
		     bool (*same)(const struct log_op *truth, const struct row_op *op))
{
	for (size_t i = 0; i < truth->ops_count; i++)
		if (!same(&truth->ops[i], ops[i]))
			return false;
	return true;
}

struct tally {
	size_t found, extra, bytes, ops, sure, ops_sure, ops_count, ops_kinds, ops_bytes, threads,
		low;
	size_t calls, calls_right, calls_wrong, calls_low;
	struct list cpu, cpu_us, rest, rest_us, time, time_us, unattributed, confidence;
};

static bool is_sure(const struct log_row *truth)
{
	return truth->found->row->confidence > LOW_CONFIDENCE;
}

static void tally_ops(struct tally *tally, const struct log_row *truth)
{
	const struct row_op **ops = must_alloc(calloc(truth->found->ops_count + 1, sizeof(*ops)));

	if (calls_of(truth->found, ops) == truth->ops_count) {
		tally->ops_count++;
		if (all_same(truth, ops, same_kind)) {
			tally->ops_kinds++;
			if (all_same(truth, ops, same_bytes)) {
				bool exact = all_same(truth, ops, same_offset);

				tally->ops_bytes++;
				tally->ops += exact;
				tally->ops_sure += exact && is_sure(truth);
			}
		}
	}
	free(ops);
}

/* Every op was done by the thread that the server says. */
static void tally_threads(struct tally *tally, const struct log_row *truth)
{
	bool right = truth->found->row->thread_id == truth->read_tid;

	for (size_t i = 0; i < truth->found->ops_count; i++) {
		const struct row_op *op = truth->found->ops[i];

		if (op->kind == OP_REPLY || op->after_reply)
			right &= op->thread_id == truth->reply_tid;
		else if (is_call(op) && !(op->flags & OPF_SHARED))
			right &= op->thread_id == truth->work_tid;
	}
	tally->threads += right;
}

/* --- CPU and time -------------------------------------------------------------------------- */

static double irq_ns(const struct row_latency *l)
{
	if (!l)
		return 0;
	return l->ns[SUB_CPU_IRQ_NET] + l->ns[SUB_CPU_IRQ_BLOCK] + l->ns[SUB_CPU_IRQ_TIMER] +
	       l->ns[SUB_CPU_IRQ_OTHER];
}

/*
 * Kernels without CONFIG_IRQ_TIME_ACCOUNTING count an interrupt as the time of the thread that it
 * hit, and so does the server; gait does not. So the truth is between gait's user time and that with
 * the interrupts that it saw, as far as the ops lasted longer than their CPU time.
 */
static double cpu_off(double user, double truth, double irq)
{
	return fmax(fmax(user - truth, truth - user - irq), 0);
}

/* The server burns some of its time in this op. */
static bool has_burn(const struct log_row *truth, const struct row_op *op, int64_t zero_ns)
{
	for (size_t i = 0; i < truth->burns_count; i++) {
		int64_t at = truth->burns[i].middle_ns - zero_ns - op->start_ns;

		if (truth->burns[i].tid == op->thread_id && at >= 0 && at < (int64_t)op->elapsed_ns)
			return true;
	}
	return false;
}

/*
 * The server knows its burns; what it takes between its calls beyond them it does not, and that is
 * some micro seconds on a quiet machine and some hundred on one where others push it out of the caches.
 */
static void tally_cpu(struct tally *tally, const struct log_row *truth, int64_t zero_ns)
{
	double known = 0, user = 0, rest = 0, longer = 0, off;

	for (size_t i = 0; i < truth->burns_count; i++)
		known += truth->burns[i].ns;
	for (size_t i = 0; i < truth->found->ops_count; i++) {
		const struct row_op *op = truth->found->ops[i];

		if (op->kind != OP_COMPUTE || op->after_reply)
			continue;
		if (!has_burn(truth, op, zero_ns)) {
			rest += op->cpu_ns;
			continue;
		}
		user += op->cpu_ns;
		longer += op->elapsed_ns > op->cpu_ns ? op->elapsed_ns - op->cpu_ns : 0;
	}
	off = cpu_off(user, known, fmin(irq_ns(truth->found->latency), longer));
	list_add(&tally->cpu_us, off / 1000);
	list_add(&tally->rest_us, rest / 1000);
	if (known > 0) {
		list_add(&tally->cpu, 100 * off / known);
		list_add(&tally->rest, 100 * rest / known);
	}
}

/* The last byte was handed to the network while the last call that sends was going on. */
static void tally_time(struct tally *tally, const struct log_row *truth)
{
	const struct row_request *row = truth->found->row;
	double span = row->end_ns - row->read_ns, off;

	if (row->end_ns == TRACE_NONE || row->read_ns == TRACE_NONE)
		return;
	off = fmax(fmax(truth->reply_last_ns - truth->read_end_ns - span,
			span - (truth->reply_end_ns - truth->read_end_ns)),
		   0);
	list_add(&tally->time_us, off / 1000);
	list_add(&tally->time, 100 * off / (truth->reply_end_ns - truth->read_end_ns));
}

static void tally_latency(struct tally *tally, const struct row_latency *l)
{
	if (l && l->total_ns > 0)
		list_add(&tally->unattributed, percent(l->unattributed_ns, l->total_ns));
}

/* --- calls --------------------------------------------------------------------------------- */

/*
 * Where the called server was not captured: a forward op is right when its request made a call of
 * these bytes, in that order, and wrong when it did not.
 */
static void tally_forwards(struct tally *tally, const struct log_row *truth)
{
	size_t seen = 0;

	tally->calls += truth->calls_count;
	if (!truth->found)
		return;
	for (size_t i = 0; i < truth->found->ops_count; i++) {
		const struct row_op *op = truth->found->ops[i];
		const struct log_call *call = &truth->calls[seen];
		bool low = truth->found->row->confidence < LOW_CONFIDENCE;

		if (op->kind != OP_FORWARD)
			continue;
		tally->calls_low += low;
		if (seen < truth->calls_count && call->bytes_out == op->bytes &&
		    call->bytes_in == op->reply_bytes) {
			tally->calls_right++;
			seen++;
		} else {
			tally->calls_wrong += !low;
		}
	}
}

static const struct log_row *caller_of(const struct log *log, const struct log_row *called)
{
	const char *colon = strrchr(called->peer, ':');
	uint64_t port = colon ? strtoull(colon + 1, NULL, 10) : 0;

	for (size_t i = 0; i < log->count; i++)
		for (size_t k = 0; k < log->rows[i].calls_count; k++)
			if (log->rows[i].calls[k].port == port &&
			    log->rows[i].calls[k].number == called->request)
				return &log->rows[i];
	return NULL;
}

/* Where it was: its requests' parents. */
static void tally_parent(struct tally *tally, const struct log *log, const struct trace_rows *trace,
			 struct range connections, const struct log_row *called)
{
	const struct log_row *caller = caller_of(log, called);
	uint64_t parent = called->found ? called->found->row->parent_id : 0;
	bool low = called->found && called->found->row->confidence < LOW_CONFIDENCE;

	if (!caller || !in_range(connections, caller->connection))
		return;
	tally->calls++;
	tally->calls_low += low;
	if (!parent)
		return;
	if (caller->found && parent == caller->found->row->request_id)
		tally->calls_right++;
	else
		tally->calls_wrong += !low;
}

/* --- all ----------------------------------------------------------------------------------- */

static void tally_found(struct tally *tally, const struct log_row *truth, int64_t zero_ns)
{
	const struct row_request *row = truth->found->row;

	tally->found++;
	tally->bytes += row->request_bytes == truth->bytes_in &&
			row->response_bytes == truth->bytes_out;
	tally->sure += is_sure(truth);
	tally->low += row->confidence < LOW_CONFIDENCE;
	list_add(&tally->confidence, row->confidence);
	tally_ops(tally, truth);
	tally_threads(tally, truth);
	tally_cpu(tally, truth, zero_ns);
	tally_time(tally, truth);
	tally_latency(tally, truth->found->latency);
}

static size_t count_extra(const struct trace_rows *trace, struct range connections)
{
	size_t extra = 0;

	for (size_t i = 0; i < trace->count; i++) {
		const struct taken *t = &trace->taken[i];

		extra += t->judged && !t->truth &&
			 (!t->log_connection || in_range(connections, t->log_connection));
	}
	return extra;
}

size_t measure_all(const struct log *log, const struct log *upstream,
		   const struct trace_rows *trace, struct range connections,
		   double ret_values[M_COUNT])
{
	const uint64_t *ledger = trace->manifest->ledger.count;
	struct tally t = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < log->count; i++) {
		if (!in_range(connections, log->rows[i].connection))
			continue;
		count++;
		if (log->rows[i].found)
			tally_found(&t, &log->rows[i], trace->manifest->start_monotonic_ns);
		if (!upstream->count)
			tally_forwards(&t, &log->rows[i]);
	}
	for (size_t i = 0; i < upstream->count; i++)
		tally_parent(&t, log, trace, connections, &upstream->rows[i]);
	ret_values[M_REQUESTS] = percent(t.found, count);
	ret_values[M_EXTRA] = count_extra(trace, connections);
	ret_values[M_BYTES] = percent(t.bytes, count);
	ret_values[M_OPS] = percent(t.ops, count);
	ret_values[M_OPS_SURE] = percent(t.ops_sure, t.sure);
	ret_values[M_OPS_COUNT] = percent(t.ops_count, count);
	ret_values[M_OPS_KINDS] = percent(t.ops_kinds, count);
	ret_values[M_OPS_BYTES] = percent(t.ops_bytes, count);
	ret_values[M_THREADS] = percent(t.threads, count);
	ret_values[M_CALLS] = percent(t.calls_right, t.calls);
	ret_values[M_CALLS_WRONG] = percent(t.calls_wrong, t.calls);
	ret_values[M_CALLS_LOW] = percent(t.calls_low, t.calls);
	ret_values[M_CPU_MEDIAN] = list_percentile(&t.cpu, 50);
	ret_values[M_CPU_MEDIAN_US] = list_percentile(&t.cpu_us, 50);
	ret_values[M_CPU_P99] = list_percentile(&t.cpu, 99);
	ret_values[M_CPU_P99_US] = list_percentile(&t.cpu_us, 99);
	ret_values[M_CPU_REST] = list_percentile(&t.rest, 50);
	ret_values[M_CPU_REST_US] = list_percentile(&t.rest_us, 50);
	ret_values[M_TIME] = list_percentile(&t.time, 50);
	ret_values[M_TIME_US] = list_percentile(&t.time_us, 50);
	ret_values[M_UNATTRIBUTED] = list_percentile(&t.unattributed, 50);
	ret_values[M_CONFIDENCE] = list_percentile(&t.confidence, 50);
	ret_values[M_CONFIDENCE_LEAST] = list_percentile(&t.confidence, 0);
	ret_values[M_LOW] = percent(t.low, t.found);
	ret_values[M_LOST] = ledger[LG_EVENTS_LOST] + ledger[LG_PROBE_MISSES];
	return count;
}
