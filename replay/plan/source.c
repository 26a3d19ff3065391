/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/source.h"

#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPOOL_ROWS 1024

/* Rows of a table on their way to a file; a short table needs none. */
struct spool {
	struct trace *trace;
	enum trace_table table;
	const char *directory;
	int fd; /* < 0: not yet */
	char *rows;
	size_t row_size, pending, written;
};

static int refuse_rows(const struct spool *s, uint64_t rows, struct err *err)
{
	if (rows <= PLAN_ROWS_MAX)
		return 0;
	return err_set(err, E2BIG,
		       "'%s/%s.csv' has more than %llu rows, which is what a replay can count: "
		       "capture for a shorter time",
		       trace_path(s->trace), tables[s->table].name,
		       (unsigned long long)PLAN_ROWS_MAX);
}

static int spool_write(struct spool *s, struct err *err)
{
	int ret;

	if (s->fd < 0)
		s->fd = scratch_open(s->directory, err);
	if (s->fd < 0)
		return s->fd;
	ret = scratch_put(s->fd, s->rows, s->pending * s->row_size,
			  SCRATCH_HEAD + s->written * s->row_size);
	if (ret)
		return err_errno(err, -ret, "cannot keep the rows of '%s/%s.csv' in '%s'",
				 trace_path(s->trace), tables[s->table].name,
				 s->directory ? s->directory : "memory");
	s->written += s->pending;
	s->pending = 0;
	return refuse_rows(s, s->written, err);
}

static int spool_rows(struct spool *s, struct trace_reader *r, struct err *err)
{
	int ret = 0, more;

	do {
		more = trace_reader_next(r, s->rows + s->pending * s->row_size, err);
		s->pending += more > 0;
		if (s->pending == SPOOL_ROWS)
			ret = spool_write(s, err);
	} while (more > 0 && !ret);
	return more < 0 ? more : ret;
}

static void *spool_map(struct spool *s, struct err *err)
{
	void *array;

	if (s->fd < 0) {
		array = scratch_alloc(NULL, s->pending * s->row_size, err);
		if (array)
			memcpy(array, s->rows, s->pending * s->row_size);
		s->written = s->pending;
		return array;
	}
	if (spool_write(s, err))
		return NULL;
	return scratch_map(s->fd, s->written * s->row_size, err);
}

static int spool_table(struct spool *s, void **ret_array, struct err *err)
{
	const struct manifest *m = trace_manifest(s->trace);
	struct trace_reader *r;
	int ret = refuse_rows(s, m ? m->tables[s->table].rows : 0, err);

	if (!ret)
		ret = trace_reader_new(s->trace, s->table, &r, err);
	if (ret)
		return ret;
	ret = spool_rows(s, r, err);
	trace_reader_free(r);
	if (ret)
		return ret;
	*ret_array = spool_map(s, err);
	return *ret_array ? 0 : -ENOMEM;
}

static int read_rows(struct trace *t, enum trace_table table, const char *directory,
		     void *ret_array, size_t *ret_count, struct err *err)
{
	struct spool s = { .trace = t,
			   .table = table,
			   .directory = directory,
			   .fd = -1,
			   .row_size = tables[table].row_size };
	void *array = NULL;
	int ret;

	s.rows = malloc(SPOOL_ROWS * s.row_size);
	ret = s.rows ? spool_table(&s, &array, err) :
		       err_errno(err, ENOMEM, "cannot read the trace");
	memcpy(ret_array, &array, sizeof(array));
	*ret_count = array ? s.written : 0;
	free(s.rows);
	if (s.fd >= 0)
		close(s.fd);
	return ret;
}

/* A capture that was killed has not written its last tables: its requests still say whose they are. */
static int assume_service(struct plan_source *s, struct err *err)
{
	if (s->services_count || !s->requests_count)
		return 0;
	scratch_free(s->services);
	s->services = scratch_alloc(NULL, sizeof(*s->services), err);
	if (!s->services)
		return -ENOMEM;
	s->services[0].service_id = s->requests[0].service_id;
	s->services_count = 1;
	return 0;
}

/* What nobody captured can be assumed, but only by somebody who says so. */
static int refuse_without_demand(const struct manifest *m, const char *path, struct err *err)
{
	if (!strcmp(m->source, "pcap"))
		return err_set(
			err, EINVAL,
			"'%s' is made of packets, which do not show what requests demand of "
			"a service: capture on its host with gait capture to replay, or fill "
			"in what you assume with gait edit assume",
			path);
	if (!strcmp(m->detail, "requests"))
		return err_set(err, EINVAL,
			       "'%s' has requests and sizes alone (--detail requests), not what "
			       "they demand of a service: capture with --detail full to replay, or "
			       "fill in what you assume with gait edit assume",
			       path);
	return 0;
}

int plan_source_read(struct plan_source *s, struct trace *t, const char *scratch, struct err *err)
{
	const struct manifest *m = trace_manifest(t);
	int ret = 0;

	if (m && !m->assumed[0])
		ret = refuse_without_demand(m, trace_path(t), err);
	if (ret)
		return ret;
	if (m && m->tables[TABLE_TOTALS].rows)
		return err_set(
			err, EINVAL,
			"'%s' has rows of a sample of its requests alone (--keep), which is not "
			"the load that it was: walk again as its manifest's filter says, or "
			"replay the trace that this is a run of",
			trace_path(t));
	s->work_per_ms = m ? m->work_per_ms : 0;
	s->duration_ns = m ? m->duration_ns : 0;
#define READ(table, rows_name) \
	ret = ret ? ret : read_rows(t, table, scratch, &s->rows_name, &s->rows_name##_count, err)
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

void plan_source_forget(const struct plan_source *s)
{
	scratch_forget(s->requests);
	scratch_forget(s->ops);
}

void plan_source_release(struct plan_source *s)
{
	scratch_free(s->services);
	scratch_free(s->connections);
	scratch_free(s->classes);
	scratch_free(s->requests);
	scratch_free(s->ops);
	scratch_free(s->op_requests);
	scratch_free(s->targets);
}
