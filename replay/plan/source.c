/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const enum trace_table read_tables[] = {
	TABLE_SERVICES, TABLE_CONNECTIONS, TABLE_CLASSES, TABLE_REQUESTS,
	TABLE_OPS,	TABLE_OP_REQUESTS, TABLE_TARGETS,
};

static int refuse_rows(struct trace *t, uint64_t rows, struct err *err)
{
	if (rows <= PLAN_ROWS_MAX)
		return 0;
	return err_set(err, E2BIG,
		       "trace '%s' has more than %d rows, which is what a replay holds in memory: "
		       "capture for a shorter time",
		       trace_path(t), PLAN_ROWS_MAX);
}

static int read_rows(struct trace *t, enum trace_table table, uint64_t *rows, void *ret_array,
		     size_t *ret_count, struct err *err)
{
	void *array;
	int ret;

	ret = trace_read_all(t, table, &array, ret_count, err);
	if (ret < 0)
		return ret;
	memcpy(ret_array, &array, sizeof(array));
	*rows += *ret_count;
	return refuse_rows(t, *rows, err);
}

/* A capture that was killed has not written its last tables: its requests still say whose they are. */
static int assume_service(struct plan_source *s, struct err *err)
{
	if (s->services_count || !s->requests_count)
		return 0;
	free(s->services);
	s->services = calloc(1, sizeof(*s->services));
	if (!s->services)
		return err_errno(err, ENOMEM, "cannot hold a service");
	s->services[0].service_id = s->requests[0].service_id;
	s->services_count = 1;
	return 0;
}

int plan_source_read(struct plan_source *s, struct trace *t, struct err *err)
{
	const struct manifest *m = trace_manifest(t);
	uint64_t rows = 0;
	int ret;

	if (m && !strcmp(m->detail, "requests"))
		return err_set(
			err, EINVAL,
			"'%s' has requests and sizes alone (--detail requests), not what they "
			"demand of a service: capture with --detail full to replay",
			trace_path(t));
	for (size_t i = 0; i < sizeof(read_tables) / sizeof(read_tables[0]) && m; i++)
		rows += m->tables[read_tables[i]].rows;
	ret = refuse_rows(t, rows, err);
	if (ret)
		return ret;
	s->work_per_ms = m ? m->work_per_ms : 0;
	s->duration_ns = m ? m->duration_ns : 0;

	rows = 0;
#define READ(table, rows_name) \
	ret = ret ? ret : read_rows(t, table, &rows, &s->rows_name, &s->rows_name##_count, err)
	READ(TABLE_SERVICES, services);
	READ(TABLE_CONNECTIONS, connections);
	READ(TABLE_CLASSES, classes);
	READ(TABLE_REQUESTS, requests);
	READ(TABLE_OPS, ops);
	READ(TABLE_OP_REQUESTS, op_requests);
	READ(TABLE_TARGETS, targets);
#undef READ
	return ret ? ret : assume_service(s, err);
}

void plan_source_release(struct plan_source *s)
{
	free(s->services);
	free(s->connections);
	free(s->classes);
	free(s->requests);
	free(s->ops);
	free(s->op_requests);
	free(s->targets);
}
