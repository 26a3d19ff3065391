/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/stats.h"

#include "base/units.h"

void stats_init(struct stats *s)
{
	*s = (struct stats){ 0 };
	for (size_t i = 0; i < OP_KIND_COUNT; i++)
		hist_init(&s->ops[i].elapsed);
}

void stats_release(struct stats *s)
{
	for (size_t i = 0; i < OP_KIND_COUNT; i++)
		hist_release(&s->ops[i].elapsed);
}

void stats_count(struct stats *s, uint32_t kind, bool failed, uint64_t bytes, int64_t elapsed_ns)
{
	struct op_stats *op = &s->ops[kind];

	op->count++;
	op->failed += failed;
	op->bytes += bytes;
	hist_record(&op->elapsed, (uint64_t)(elapsed_ns > 0 ? elapsed_ns : 0));
}

void node_stats_init(struct node_stats *n)
{
	pthread_mutex_init(&n->lock, NULL);
	stats_init(&n->all);
}

void node_stats_release(struct node_stats *n)
{
	stats_release(&n->all);
	pthread_mutex_destroy(&n->lock);
}

void node_stats_add(struct node_stats *n, struct stats *own)
{
	pthread_mutex_lock(&n->lock);
	n->all.requests += own->requests;
	n->all.datagrams_refused += own->datagrams_refused;
	own->requests = own->datagrams_refused = 0;
	for (size_t i = 0; i < OP_KIND_COUNT; i++) {
		struct op_stats *to = &n->all.ops[i], *from = &own->ops[i];

		if (!from->count)
			continue;
		to->count += from->count;
		to->failed += from->failed;
		to->bytes += from->bytes;
		hist_merge(&to->elapsed, &from->elapsed);
		from->count = from->failed = from->bytes = 0;
		hist_reset(&from->elapsed);
	}
	pthread_mutex_unlock(&n->lock);
}

void node_stats_refused(struct node_stats *n, unsigned datagrams)
{
	pthread_mutex_lock(&n->lock);
	n->all.datagrams_refused += datagrams;
	pthread_mutex_unlock(&n->lock);
}

void node_stats_answer(struct node_stats *n, struct stats *own, uint32_t *seen)
{
	uint32_t asked = atomic_load_explicit(&n->asked, memory_order_relaxed);

	if (asked == *seen)
		return;
	*seen = asked;
	node_stats_add(n, own);
}

static void put_op(const struct op_stats *op, const char *name, struct buf *out)
{
	static const double percentiles[] = { 50, 99, 100 };
	char bytes[UNIT_TEXT_SIZE], times[3][UNIT_TEXT_SIZE];

	if (!op->count)
		return;
	unit_format_bytes(bytes, sizeof(bytes), op->bytes);
	for (size_t i = 0; i < 3; i++)
		unit_format_ns(times[i], sizeof(times[i]),
			       (int64_t)hist_value_at_percentile(&op->elapsed, percentiles[i]));
	buf_printf(out, "%-9s %12llu %8llu %10s %9s %9s %9s\n", name, (unsigned long long)op->count,
		   (unsigned long long)op->failed, bytes, times[0], times[1], times[2]);
}

void node_stats_put(struct node_stats *n, struct buf *out)
{
	pthread_mutex_lock(&n->lock);
	buf_printf(out, "%llu requests served\n", (unsigned long long)n->all.requests);
	if (n->all.datagrams_refused)
		buf_printf(out, "%llu datagrams refused\n",
			   (unsigned long long)n->all.datagrams_refused);
	buf_printf(out, "%-9s %12s %8s %10s %9s %9s %9s\n", "op", "calls", "failed", "bytes", "p50",
		   "p99", "max");
	for (uint32_t i = 0; i < OP_KIND_COUNT; i++)
		put_op(&n->all.ops[i], op_kind_names[i], out);
	pthread_mutex_unlock(&n->lock);
}
