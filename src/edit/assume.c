/* SPDX-License-Identifier: Apache-2.0 */
#include "edit/assume.h"

#include "base/work.h"
#include "edit/rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A call that a request made: meanwhile it waited. */
struct call {
	uint64_t request_id;
	int64_t from_ns, to_ns;
};

struct assume {
	const struct assume_opts *opts;
	struct trace *trace;
	struct trace_writer *writer;
	struct assume_result *result;
	struct call *calls; /* by request, then by time */
	size_t calls_count, calls_room;
	uint64_t last_op;
	uint64_t work_per_ms;
	struct err *err;
};

int assume_model_parse(struct assume_model *ret_model, const char *text, struct err *err)
{
	struct assume_model model = { .kind = ASSUME_SERVER_TIME, .fraction = 1 };
	struct err why;
	char *end;
	double number;

	if (strcmp(text, "server-time")) {
		number = strtod(text, &end);
		if (*text && !*end && !(number > 0 && number <= 1))
			return err_set(
				err, EINVAL,
				"'%s' is no fraction of the server time, which is above 0 and "
				"at most 1; a time has a unit, as 100us",
				text);
		model.fraction = number;
		if (!*text || *end) {
			const struct spec_files files = { 0 };

			model.kind = ASSUME_DIST;
			if (spec_parse(&model.dist, text, SPEC_NS, &files, &why))
				return err_set(
					err, EINVAL,
					"--compute takes server-time, a fraction of it as 0.3, "
					"or times: %s",
					why.text);
		}
	}
	*ret_model = model;
	return 0;
}

void assume_model_release(struct assume_model *model)
{
	if (model->kind == ASSUME_DIST)
		spec_release(&model->dist);
}

/* --- which traces ------------------------------------------------------------------------------ */

static bool same_folder(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int check_input(const struct assume *a)
{
	const struct manifest *m = trace_manifest(a->trace);
	const char *path = trace_path(a->trace);

	if (same_folder(path, a->opts->output))
		return err_set(
			a->err, EINVAL,
			"'%s' is to be read and to be written: choose another name for the output",
			path);
	if (trace_is_partial(a->trace))
		return err_set(a->err, EINVAL,
			       "'%s' was cut short: it has no manifest, which says what it lacks",
			       path);
	if (m->assumed[0])
		return err_set(
			a->err, EINVAL,
			"of '%s' something is assumed already (%s): begin with the trace that it "
			"was made of",
			path, m->assumed);
	if (strcmp(m->detail, "requests"))
		return err_set(a->err, EINVAL,
			       "'%s' says itself what its requests demand: there is nothing to "
			       "assume",
			       path);
	return 0;
}

/* --- rows ------------------------------------------------------------------------------------- */

typedef int (*row_fn)(struct assume *a, enum trace_table table, void *row);

static int each_row(struct assume *a, enum trace_table table, row_fn fn)
{
	_Alignas(8) char row[sizeof(union row_any)];
	struct trace_reader *reader;
	int rc = trace_reader_new(a->trace, table, &reader, a->err);

	if (rc)
		return rc;
	while ((rc = trace_reader_next(reader, row, a->err)) > 0) {
		rc = rows_times_are_sane(table, row) ?
			     fn(a, table, row) :
			     err_set(a->err, EINVAL, "'%s': %s.csv has a time beyond 36 years",
				     trace_path(a->trace), tables[table].name);
		if (rc)
			break;
	}
	trace_reader_free(reader);
	return rc;
}

static int add_call(struct assume *a, const struct row_op *op)
{
	size_t room = a->calls_room ? a->calls_room * 2 : 256;
	int64_t elapsed_ns = op->elapsed_ns < ROWS_TIME_MAX ? (int64_t)op->elapsed_ns :
							      ROWS_TIME_MAX;
	struct call *grown;

	if (a->calls_count == a->calls_room) {
		grown = reallocarray(a->calls, room, sizeof(*grown));
		if (!grown)
			return err_set(a->err, ENOMEM, "not enough memory for %zu calls of '%s'",
				       room, trace_path(a->trace));
		a->calls = grown;
		a->calls_room = room;
	}
	a->calls[a->calls_count++] = (struct call){
		.request_id = op->request_id,
		.from_ns = op->start_ns,
		.to_ns = op->start_ns + elapsed_ns,
	};
	return 0;
}

/* What operations the trace has stay, in front of those that are assumed. */
static int copy_op(struct assume *a, enum trace_table table, void *row)
{
	const struct row_op *op = row;

	(void)table;
	a->last_op = op->op_id > a->last_op ? op->op_id : a->last_op;
	if (op->kind == OP_FORWARD && op->request_id && op->start_ns != TRACE_NONE &&
	    add_call(a, op))
		return -ENOMEM;
	return trace_write(a->writer, TABLE_OPS, op, a->err);
}

static int copy_row(struct assume *a, enum trace_table table, void *row)
{
	return trace_write(a->writer, table, row, a->err);
}

static int compare_calls(const void *x, const void *y)
{
	const struct call *a = x, *b = y;

	if (a->request_id != b->request_id)
		return a->request_id < b->request_id ? -1 : 1;
	return (a->from_ns > b->from_ns) - (a->from_ns < b->from_ns);
}

/* Index of the first call of the request, or of one after it. */
static size_t first_call(const struct assume *a, uint64_t request_id)
{
	size_t low = 0, high = a->calls_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (a->calls[middle].request_id < request_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* --- what is assumed -------------------------------------------------------------------------- */

static int put_compute(struct assume *a, const struct row_request *request, int64_t start_ns,
		       uint64_t elapsed_ns, uint64_t cpu_ns)
{
	const struct row_op op = {
		.op_id = ++a->last_op,
		.request_id = request->request_id,
		.kind = OP_COMPUTE,
		.service_id = request->service_id,
		.thread_id = request->thread_id,
		.start_ns = start_ns,
		.elapsed_ns = elapsed_ns,
		.cpu_ns = cpu_ns,
		.work = (uint64_t)((double)cpu_ns * (double)a->work_per_ms / 1e6),
		.offset = TRACE_NONE,
	};

	a->result->compute_ns += cpu_ns;
	a->result->manifest.ledger.count[LG_OPS]++;
	return trace_write(a->writer, TABLE_OPS, &op, a->err);
}

/* A stretch in which no call of the request was under way. */
static int put_stretch(struct assume *a, const struct row_request *request, int64_t from_ns,
		       int64_t to_ns)
{
	double ns = (double)(to_ns - from_ns) * a->opts->model.fraction;

	if (to_ns <= from_ns)
		return 0;
	return put_compute(a, request, from_ns, (uint64_t)(to_ns - from_ns), (uint64_t)(ns + 0.5));
}

/* The whole request is there: the first byte where nothing says when the last came, or it came late. */
static int64_t asked_ns(const struct row_request *request)
{
	int64_t ns = request->request_end_ns;

	return ns == TRACE_NONE || ns > request->write_ns ? request->arrival_ns : ns;
}

/* From the request to the first byte of its reply, around its calls. */
static int put_server_time(struct assume *a, const struct row_request *request)
{
	int64_t at_ns = asked_ns(request), end_ns = request->write_ns;
	int rc = 0;

	if (at_ns == TRACE_NONE || end_ns == TRACE_NONE || end_ns < at_ns) {
		a->result->without++;
		return 0;
	}
	for (size_t i = first_call(a, request->request_id);
	     i < a->calls_count && a->calls[i].request_id == request->request_id && !rc; i++) {
		const struct call *call = &a->calls[i];

		rc = put_stretch(a, request, at_ns,
				 call->from_ns < end_ns ? call->from_ns : end_ns);
		at_ns = call->to_ns > at_ns ? call->to_ns : at_ns;
	}
	return rc ? rc : put_stretch(a, request, at_ns, end_ns);
}

/* Whatever calls it makes come after. */
static int put_drawn(struct assume *a, const struct row_request *request)
{
	const struct spec_key key = { .seed = a->opts->seed, .request = a->result->requests - 1 };
	uint64_t ns = spec_draw(&a->opts->model.dist, &key);

	if (!ns || request->arrival_ns == TRACE_NONE) {
		a->result->without += request->arrival_ns == TRACE_NONE;
		return 0;
	}
	return put_compute(a, request, request->arrival_ns, ns, ns);
}

static int on_request(struct assume *a, enum trace_table table, void *row)
{
	int rc = trace_write(a->writer, table, row, a->err);

	if (rc)
		return rc;
	a->result->requests++;
	return a->opts->model.kind == ASSUME_DIST ? put_drawn(a, row) : put_server_time(a, row);
}

/* --- the trace -------------------------------------------------------------------------------- */

/* In the words that a reader of the trace, or of its replay, needs. */
static int describe(struct assume *a, struct manifest *m)
{
	bool drawn = a->opts->model.kind == ASSUME_DIST && !spec_is_constant(&a->opts->model.dist);
	bool part = a->opts->model.kind == ASSUME_SERVER_TIME && a->opts->model.fraction < 1;
	char seed[40] = "";
	int len;

	if (drawn)
		snprintf(seed, sizeof(seed), ", seed %llu", (unsigned long long)a->opts->seed);
	len = snprintf(m->assumed, sizeof(m->assumed), "compute: %s%s%s", a->opts->text,
		       part ? " of the server time" : "", seed);
	if (len >= (int)sizeof(m->assumed))
		return err_set(a->err, E2BIG,
			       "the manifest has %zu bytes for what is assumed, not %d: "
			       "write it shorter, or into a file",
			       sizeof(m->assumed) - 1, len);
	return 0;
}

/* CPU time is that of the machine of the capture where it is known, else of this one. */
static int begin_manifest(struct assume *a)
{
	struct manifest *m = &a->result->manifest;

	*m = *trace_manifest(a->trace);
	memset(m->tables, 0, sizeof(m->tables));
	snprintf(m->tool, sizeof(m->tool), "gait %s", GAIT_VERSION);
	m->ledger.count[LG_TABLE_EDITED] +=
		(uint64_t)__builtin_popcount(trace_edited_tables(a->trace));
	if (!m->work_per_ms)
		m->work_per_ms = work_calibrate();
	a->work_per_ms = m->work_per_ms;
	return describe(a, m);
}

static int write_tables(struct assume *a)
{
	int rc = each_row(a, TABLE_OPS, copy_op);

	if (a->calls_count)
		qsort(a->calls, a->calls_count, sizeof(*a->calls), compare_calls);
	for (int t = 0; t < TABLE_COUNT && !rc; t++) {
		if (t != TABLE_OPS)
			rc = each_row(a, t, t == TABLE_REQUESTS ? on_request : copy_row);
	}
	return rc;
}

static int assume(struct assume *a)
{
	unsigned flags = a->opts->replace ? TRACE_WRITER_REPLACE : 0;
	int rc = trace_open(a->opts->input, TRACE_OPEN_VERIFY, &a->trace, a->err);

	if (!rc)
		rc = check_input(a);
	if (!rc)
		rc = begin_manifest(a);
	if (!rc)
		rc = trace_writer_new(a->opts->output, flags, &a->writer, a->err);
	if (!rc)
		rc = write_tables(a);
	return rc ? rc : trace_writer_finish(a->writer, &a->result->manifest, a->err);
}

int assume_compute(const struct assume_opts *opts, struct assume_result *ret_result,
		   struct err *err)
{
	struct assume a = { .opts = opts, .result = ret_result, .err = err };
	int rc;

	memset(ret_result, 0, sizeof(*ret_result));
	rc = assume(&a);
	trace_writer_free(a.writer);
	trace_free(a.trace);
	free(a.calls);
	return rc;
}
