/* SPDX-License-Identifier: Apache-2.0 */
#include "edit/merge_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int merge_no_memory(struct merge *m)
{
	return err_set(m->err, ENOMEM, "not enough memory to merge %zu traces", m->inputs_count);
}

int merge_grow(struct merge *m, void **array, size_t count, size_t *room, size_t size)
{
	size_t want = *room ? *room * 2 : 256;
	void *grown;

	if (count < *room)
		return 0;
	grown = reallocarray(*array, want, size);
	if (!grown)
		return merge_no_memory(m);
	*array = grown;
	*room = want;
	return 0;
}

static int each_row(struct merge *m, struct input *in, struct trace_reader *reader,
		    enum trace_table table, merge_row_fn fn)
{
	_Alignas(8) char row[sizeof(union row_any)];
	int rc;

	while ((rc = trace_reader_next(reader, row, m->err)) > 0) {
		if (table == TABLE_TOTALS)
			return err_set(
				m->err, EINVAL,
				"'%s' has rows of a sample of its requests alone (walk --keep), "
				"which cannot be merged",
				trace_path(in->trace));
		if (!rows_times_are_sane(table, row))
			return err_set(m->err, EINVAL, "'%s': %s.csv has a time beyond 36 years",
				       trace_path(in->trace), tables[table].name);
		rc = fn(m, in, table, row);
		if (rc)
			return rc;
	}
	return rc;
}

int merge_each_row(struct merge *m, struct input *in, enum trace_table table, merge_row_fn fn)
{
	struct trace_reader *reader;
	int rc = trace_reader_new(in->trace, table, &reader, m->err);

	if (rc)
		return rc;
	rc = each_row(m, in, reader, table, fn);
	if (m->count_cut)
		in->rows_cut += trace_reader_rows_cut(reader);
	trace_reader_free(reader);
	return rc;
}

/* The ids of each input begin where those of the one before end. */
static int number_ids(struct merge *m)
{
	uint64_t next[IDS_COUNT] = { 0 };

	for (struct input *in = m->inputs; in < m->inputs + m->inputs_count; in++) {
		for (int s = 0; s < IDS_COUNT; s++) {
			in->first[s] = next[s];
			if (in->largest[s] > INT64_MAX - next[s])
				return err_set(m->err, E2BIG,
					       "'%s' has ids too large to make room for others",
					       trace_path(in->trace));
			next[s] += in->largest[s];
		}
	}
	return 0;
}

/* Ends and messages are needed no longer when parents are known. */
static void forget_messages(struct merge *m)
{
	free(m->messages);
	free(m->ends);
	free(m->by_id);
	m->messages = NULL;
	m->ends = NULL;
	m->by_id = NULL;
	m->ends_count = m->messages_count = 0;
}

static void put_result(const struct merge *m, struct merge_result *result)
{
	result->connections = m->connections;
	result->connections_called = m->connections_called;
	for (size_t h = 1; h < m->hosts_count; h++)
		result->clocks[result->clocks_count++] = m->hosts[h].how;
	for (size_t i = 0; i < m->inputs_count; i++)
		result->cut[i] = trace_is_partial(m->inputs[i].trace);
}

static int merge(struct merge *m, struct merge_result *result)
{
	unsigned flags = m->opts->replace ? TRACE_WRITER_REPLACE : 0;
	int rc = merge_open(m);

	if (!rc)
		rc = trace_writer_new(m->opts->output, flags, &m->writer, m->err);
	if (!rc)
		rc = merge_find_ends(m);
	m->count_cut = true;
	if (!rc)
		rc = merge_read_messages(m);
	m->count_cut = false;
	if (!rc)
		rc = number_ids(m);
	if (!rc)
		rc = merge_find_clocks(m);
	if (!rc)
		rc = merge_join_calls(m);
	if (rc)
		return rc;
	forget_messages(m);
	rc = merge_write(m, &result->manifest);
	if (!rc)
		put_result(m, result);
	return rc;
}

int merge_traces(const struct merge_opts *opts, struct merge_result *ret_result, struct err *err)
{
	struct merge *m = calloc(1, sizeof(*m));
	struct merge_result *result = calloc(1, sizeof(*result));
	int rc;

	if (!m || !result) {
		rc = err_set(err, ENOMEM, "not enough memory to merge traces");
		goto out;
	}
	m->opts = opts;
	m->err = err;
	rc = merge(m, result);
	if (!rc)
		*ret_result = *result;
	merge_close(m);
out:
	free(result);
	free(m);
	return rc;
}
