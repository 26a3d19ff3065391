/* SPDX-License-Identifier: Apache-2.0 */
#include "edit/rows.h"

#include <string.h>

/* A column, by its place in the table's struct. */
struct id_column {
	enum trace_table table;
	size_t offset;
	enum id_space space;
};

struct time_column {
	enum trace_table table;
	size_t offset;
};

#define ID(table, row, member, space)                                    \
	{                                                                \
		TABLE_##table, offsetof(struct row, member), IDS_##space \
	}
#define TIME(table, row, member)                            \
	{                                                   \
		TABLE_##table, offsetof(struct row, member) \
	}

static const struct id_column id_columns[] = {
	ID(SERVICES, row_service, service_id, SERVICE),
	ID(CONNECTIONS, row_connection, connection_id, CONNECTION),
	ID(CONNECTIONS, row_connection, service_id, SERVICE),
	ID(CLASSES, row_class, class_id, CLASS),
	ID(CLASSES, row_class, service_id, SERVICE),
	ID(REQUESTS, row_request, request_id, REQUEST),
	ID(REQUESTS, row_request, parent_id, REQUEST),
	ID(REQUESTS, row_request, class_id, CLASS),
	ID(REQUESTS, row_request, service_id, SERVICE),
	ID(REQUESTS, row_request, connection_id, CONNECTION),
	ID(REQUESTS, row_request, after_request, REQUEST),
	ID(OPS, row_op, op_id, OP),
	ID(OPS, row_op, request_id, REQUEST),
	ID(OPS, row_op, after, OP),
	ID(OPS, row_op, service_id, SERVICE),
	ID(OPS, row_op, target_id, TARGET),
	ID(OPS, row_op, connection_id, CONNECTION),
	ID(OP_REQUESTS, row_op_request, op_id, OP),
	ID(OP_REQUESTS, row_op_request, request_id, REQUEST),
	ID(TARGETS, row_target, target_id, TARGET),
	ID(TARGETS, row_target, service_id, SERVICE),
	ID(LATENCY, row_latency, request_id, REQUEST),
	ID(LATENCY, row_latency, service_id, SERVICE),
	ID(TIMELINE, row_stretch, request_id, REQUEST),
	ID(TIMELINE, row_stretch, service_id, SERVICE),
};

static const struct time_column time_columns[] = {
	TIME(CONNECTIONS, row_connection, open_ns),
	TIME(CONNECTIONS, row_connection, close_ns),
	TIME(REQUESTS, row_request, arrival_ns),
	TIME(REQUESTS, row_request, request_end_ns),
	TIME(REQUESTS, row_request, read_ns),
	TIME(REQUESTS, row_request, write_ns),
	TIME(REQUESTS, row_request, end_ns),
	TIME(OPS, row_op, start_ns),
	TIME(TIMELINE, row_stretch, from_ns),
	TIME(TIMELINE, row_stretch, until_ns),
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t *id_at(void *row, const struct id_column *column)
{
	return (uint64_t *)((char *)row + column->offset);
}

static int64_t *time_at(void *row, const struct time_column *column)
{
	return (int64_t *)((char *)row + column->offset);
}

void rows_note_ids(enum trace_table table, const void *row, uint64_t largest[IDS_COUNT])
{
	for (size_t i = 0; i < COUNT_OF(id_columns); i++) {
		const struct id_column *column = &id_columns[i];
		uint64_t id;

		if (column->table != table)
			continue;
		id = *id_at((void *)row, column);
		if (id > largest[column->space])
			largest[column->space] = id;
	}
}

int64_t rows_time(const struct rows_clock *clock, int64_t ns)
{
	ns += clock->start_ns;
	if (clock->line)
		ns = clock_line_to_a(clock->line, ns);
	return ns - clock->origin_ns;
}

void rows_move(enum trace_table table, void *row, const uint64_t first[IDS_COUNT],
	       const struct rows_clock *clock)
{
	for (size_t i = 0; i < COUNT_OF(id_columns); i++) {
		uint64_t *id = id_at(row, &id_columns[i]);

		if (id_columns[i].table == table && *id)
			*id += first[id_columns[i].space];
	}
	for (size_t i = 0; i < COUNT_OF(time_columns); i++) {
		int64_t *ns = time_at(row, &time_columns[i]);

		if (time_columns[i].table == table && *ns != TRACE_NONE)
			*ns = rows_time(clock, *ns);
	}
}

bool rows_times_are_sane(enum trace_table table, const void *row)
{
	for (size_t i = 0; i < COUNT_OF(time_columns); i++) {
		int64_t ns;

		if (time_columns[i].table != table)
			continue;
		ns = *time_at((void *)row, &time_columns[i]);
		if (ns != TRACE_NONE && (ns > ROWS_TIME_MAX || ns < -ROWS_TIME_MAX))
			return false;
	}
	return true;
}
