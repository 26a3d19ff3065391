/* SPDX-License-Identifier: Apache-2.0 */
/* The second reading: every row goes out with its new ids, times and parents. */
#include "edit/merge_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below what a summary calls doubtful. */
#define DOUBTFUL_CONFIDENCE 40

static struct rows_clock clock_of(const struct merge *m, const struct input *in)
{
	return (struct rows_clock){
		.start_ns = in->start_ns,
		.line = in->host ? &m->hosts[in->host].to_first : NULL,
		.origin_ns = m->origin_ns,
	};
}

static int by_child(const void *key, const void *element)
{
	const uint64_t *id = key;
	const struct parent *parent = element;

	return *id < parent->child_id ? -1 : *id > parent->child_id;
}

/* A parent that the capture knew already stays. */
static void set_parent(const struct merge *m, struct row_request *row)
{
	const struct parent *parent;

	if (row->parent_id || !m->parents_count)
		return;
	parent = bsearch(&row->request_id, m->parents, m->parents_count, sizeof(*parent), by_child);
	if (!parent)
		return;
	row->parent_id = parent->parent_id;
	if (parent->doubtful && row->confidence > DOUBTFUL_CONFIDENCE)
		row->confidence = DOUBTFUL_CONFIDENCE;
}

static int by_target(const void *key, const void *element)
{
	const uint64_t *id = key;
	const struct called_service *called = element;

	return *id < called->target_id ? -1 : *id > called->target_id;
}

static void set_called(const struct merge *m, struct row_target *row)
{
	const struct called_service *called;

	if (row->kind != TARGET_SERVICE || row->service_id || !m->called_count)
		return;
	called = bsearch(&row->target_id, m->called, m->called_count, sizeof(*called), by_target);
	if (called)
		row->service_id = called->service_id;
}

static int on_row(struct merge *m, struct input *in, enum trace_table table, void *row)
{
	struct rows_clock clock = clock_of(m, in);

	rows_move(table, row, in->first, &clock);
	if (table == TABLE_SERVICES)
		((struct row_service *)row)->host_id = in->host + 1;
	else if (table == TABLE_REQUESTS)
		set_parent(m, row);
	else if (table == TABLE_TARGETS)
		set_called(m, row);
	return trace_write(m->writer, table, row, m->err);
}

/* The earliest start is the new 0; returns whose it is. */
static const struct input *set_span(struct merge *m)
{
	const struct input *earliest = NULL;
	int64_t first_ns = INT64_MAX, last_ns = INT64_MIN;

	for (const struct input *in = m->inputs; in < m->inputs + m->inputs_count; in++) {
		struct rows_clock clock = clock_of(m, in); /* origin 0: host 0's clock */
		int64_t duration_ns = trace_manifest(in->trace)->duration_ns;
		int64_t from_ns = rows_time(&clock, 0);
		int64_t to_ns = rows_time(&clock, duration_ns > 0 ? duration_ns : 0);

		earliest = from_ns < first_ns ? in : earliest;
		first_ns = from_ns < first_ns ? from_ns : first_ns;
		last_ns = to_ns > last_ns ? to_ns : last_ns;
	}
	m->origin_ns = first_ns;
	m->end_ns = last_ns;
	return earliest;
}

static void put_host(const struct merge *m, size_t index, struct manifest_host *to)
{
	const struct host *from = &m->hosts[index];
	int64_t start_ns;

	if (from->facts)
		*to = *from->facts;
	else
		to->realtime_offset_start_ns = to->realtime_offset_end_ns = TRACE_NONE;
	to->host_id = index + 1;
	to->work_per_ms = from->work_per_ms;
	to->clock_offset_ns = to->clock_drift_ppb = to->clock_bound_ns = 0;
	if (!index)
		return;
	start_ns = clock_line_to_b(&from->to_first, m->origin_ns);
	to->clock_offset_ns = m->origin_ns - start_ns;
	to->clock_drift_ppb = (int64_t)(from->to_first.drift * 1e9);
	to->clock_bound_ns = from->to_first.bound_ns;
}

/* Equal in all inputs, or "mixed". */
static void put_common(char *to, size_t size, const char *text)
{
	if (!to[0])
		snprintf(to, size, "%s", text);
	else if (text[0] && strcmp(to, text))
		snprintf(to, size, "mixed");
}

static void put_filter(struct manifest *to, const struct manifest *from)
{
	size_t used = strlen(to->filter);

	if (from->filter[0])
		snprintf(to->filter + used, sizeof(to->filter) - used, "%s%s", used ? "; " : "",
			 from->filter);
}

/* A sum is known when all its parts are. */
static void add_known(int64_t *sum, int64_t ns)
{
	if (*sum == TRACE_NONE || ns == TRACE_NONE || __builtin_add_overflow(*sum, ns, sum))
		*sum = TRACE_NONE;
}

/* What this merge says itself, whatever the inputs say of it. */
static const enum ledger_entry counted_anew[] = {
	LG_CONNECTIONS_REVERSED, LG_CALLS_JOINED,      LG_CALLS_OUTSIDE,
	LG_CALLS_UNJOINED,	 LG_REQUESTS_UNJOINED, LG_JOINS_DOUBTFUL,
};

static void add_manifest(struct manifest *to, const struct input *in)
{
	const struct manifest *from = trace_manifest(in->trace);

	ledger_merge(&to->ledger, &from->ledger);
	for (size_t i = 0; i < sizeof(counted_anew) / sizeof(counted_anew[0]); i++)
		to->ledger.count[counted_anew[i]] = 0;
	to->ledger.count[LG_ROWS_CUT] += in->rows_cut;
	to->ledger.count[LG_TRACES_CUT] += trace_is_partial(in->trace);
	put_filter(to, from);
	put_common(to->demand_method, sizeof(to->demand_method), from->demand_method);
	put_common(to->detail, sizeof(to->detail), from->detail);
	put_common(to->assumed, sizeof(to->assumed), from->assumed);
	put_common(to->attribution, sizeof(to->attribution), from->attribution);
	add_known(&to->service_user_ns, from->service_user_ns);
	add_known(&to->service_kernel_ns, from->service_kernel_ns);
}

static void put_manifest(const struct merge *m, const struct input *earliest, struct manifest *to)
{
	manifest_init(to);
	snprintf(to->source, sizeof(to->source), "merge");
	to->service_user_ns = to->service_kernel_ns = 0;
	for (size_t i = 0; i < m->inputs_count; i++)
		add_manifest(to, &m->inputs[i]);
	ledger_merge(&to->ledger, &m->ledger);
	memcpy(to->started_at, trace_manifest(earliest->trace)->started_at, sizeof(to->started_at));
	snprintf(to->tool, sizeof(to->tool), "gait %s", GAIT_VERSION);
	to->start_monotonic_ns = m->origin_ns;
	to->duration_ns = m->end_ns - m->origin_ns;
	to->work_per_ms = m->hosts[0].work_per_ms;
	to->hosts_count = (uint32_t)m->hosts_count;
	for (size_t i = 0; i < m->hosts_count; i++)
		put_host(m, i, &to->hosts[i]);
}

int merge_write(struct merge *m, struct manifest *ret_manifest)
{
	const struct input *earliest = set_span(m);
	int rc = 0;

	for (int t = 0; t < TABLE_COUNT; t++) {
		for (size_t i = 0; i < m->inputs_count && !rc; i++)
			rc = merge_each_row(m, &m->inputs[i], t, on_row);
	}
	if (rc)
		return rc;
	put_manifest(m, earliest, ret_manifest);
	return trace_writer_finish(m->writer, ret_manifest, m->err);
}
