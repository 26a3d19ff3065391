/* SPDX-License-Identifier: Apache-2.0 */
/* The trace's requests, each with its connection, its ops and its breakdown; and their join. */
#include "judge/judge.h"

struct table_rows {
	void *rows;
	size_t count;
};

static struct table_rows read_table(struct trace *trace, enum trace_table table)
{
	struct table_rows t = { 0 };
	struct err err;

	if (trace_read_all(trace, table, &t.rows, &t.count, &err) < 0) {
		fprintf(stderr, "judge: %s\n", err.text);
		exit(2);
	}
	return t;
}

static struct trace *trace_of(const char *path)
{
	struct trace *trace;
	struct err err;

	if (trace_open(path, 0, &trace, &err) < 0) {
		fprintf(stderr, "judge: %s\n", err.text);
		exit(2);
	}
	return trace;
}

/* Rows by an id, which is at most `most`: a plain array. */
struct index {
	const void **at;
	uint64_t most;
};

static struct index index_of(const struct table_rows *t, size_t row_size)
{
	struct index index = { 0 };
	const char *rows = t->rows;

	for (size_t i = 0; i < t->count; i++) /* the key is a row's first member */
		if (*(const uint64_t *)(rows + i * row_size) > index.most)
			index.most = *(const uint64_t *)(rows + i * row_size);
	index.at = must_alloc(calloc(index.most + 1, sizeof(*index.at)));
	for (size_t i = 0; i < t->count; i++)
		index.at[*(const uint64_t *)(rows + i * row_size)] = rows + i * row_size;
	return index;
}

static const void *index_get(const struct index *index, uint64_t id)
{
	return id <= index->most ? index->at[id] : NULL;
}

static struct index requests_taken; /* struct taken by request id */
static struct table_rows services;

const struct taken *taken_by_id(const struct trace_rows *trace, uint64_t request_id)
{
	return index_get(&requests_taken, request_id);
}

static struct taken *own(uint64_t request_id)
{
	return (struct taken *)index_get(&requests_taken, request_id);
}

/* A UNIX socket's other end has no name of its own. */
static const char *remote_of(const struct taken *t)
{
	if (!t->connection)
		return "?";
	return strcmp(t->connection->peer_class, "unix") ? t->connection->remote : "unix";
}

static int by_place(const void *left, const void *right)
{
	const struct taken *a = left, *b = right;
	const struct row_request *x = a->row, *y = b->row;
	int order = strcmp(remote_of(a), remote_of(b));

	if (order)
		return order;
	if (x->connection_id != y->connection_id)
		return x->connection_id < y->connection_id ? -1 : 1;
	if (x->read_ns != y->read_ns)
		return x->read_ns < y->read_ns ? -1 : 1;
	return x->request_id < y->request_id ? -1 : x->request_id > y->request_id;
}

static int by_time(const void *left, const void *right)
{
	const struct row_op *a = *(const struct row_op *const *)left;
	const struct row_op *b = *(const struct row_op *const *)right;

	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns ? -1 : 1;
	return a->op_id < b->op_id ? -1 : a->op_id > b->op_id;
}

static void give_op(const struct row_op *op, uint64_t request_id)
{
	struct taken *t = own(request_id);

	if (!t || !op)
		return;
	t->ops = must_alloc(realloc(t->ops, (t->ops_count + 1) * sizeof(*t->ops)));
	t->ops[t->ops_count++] = op;
}

static void give_ops(struct trace *trace)
{
	struct table_rows ops = read_table(trace, TABLE_OPS);
	struct table_rows also = read_table(trace, TABLE_OP_REQUESTS);
	struct index by_id = index_of(&ops, sizeof(struct row_op));
	const struct row_op_request *shared = also.rows;
	const struct row_op *op = ops.rows;

	for (size_t i = 0; i < ops.count; i++)
		if (op[i].request_id)
			give_op(&op[i], op[i].request_id);
	for (size_t i = 0; i < also.count; i++)
		give_op(index_get(&by_id, shared[i].op_id), shared[i].request_id);
}

static void give_latency(struct trace *trace)
{
	struct table_rows t = read_table(trace, TABLE_LATENCY);
	const struct row_latency *row = t.rows;

	for (size_t i = 0; i < t.count; i++)
		if (own(row[i].request_id))
			own(row[i].request_id)->latency = &row[i];
}

static void index_taken(struct trace_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		requests_taken.at[rows->taken[i].row->request_id] = &rows->taken[i];
}

void trace_read(const char *path, struct trace_rows *ret_rows)
{
	struct trace *trace = trace_of(path);
	struct table_rows requests = read_table(trace, TABLE_REQUESTS);
	struct table_rows connections = read_table(trace, TABLE_CONNECTIONS);
	struct index by_id = index_of(&connections, sizeof(struct row_connection));
	const struct row_request *row = requests.rows;
	struct trace_rows rows = { .manifest = trace_manifest(trace), .count = requests.count };

	services = read_table(trace, TABLE_SERVICES);
	requests_taken = index_of(&requests, sizeof(*row));
	rows.taken = must_alloc(calloc(requests.count + 1, sizeof(*rows.taken)));
	for (size_t i = 0; i < requests.count; i++)
		rows.taken[i] =
			(struct taken){ .row = &row[i],
					.connection = index_get(&by_id, row[i].connection_id) };
	qsort(rows.taken, rows.count, sizeof(*rows.taken), by_place);
	index_taken(&rows);
	give_ops(trace);
	give_latency(trace);
	for (size_t i = 0; i < rows.count; i++)
		if (rows.taken[i].ops_count)
			qsort(rows.taken[i].ops, rows.taken[i].ops_count,
			      sizeof(*rows.taken[i].ops), by_time);
	*ret_rows = rows;
}

/* --- the join ------------------------------------------------------------------------------ */

/* A UNIX socket has no port. */
static bool is_of_port(const struct taken *t, uint64_t port)
{
	char tail[24];
	size_t len = snprintf(tail, sizeof(tail), ":%lu", port);
	size_t size = t->connection ? strlen(t->connection->local) : 0;

	if (!t->connection || t->connection->outgoing)
		return false;
	return !port || (size > len && !strcmp(t->connection->local + size - len, tail));
}

static const struct row_service *service_of(uint64_t service_id)
{
	const struct row_service *row = services.rows;

	for (size_t i = 0; i < services.count; i++)
		if (row[i].service_id == service_id)
			return &row[i];
	return NULL;
}

static bool log_row_is_on(const struct log *log, size_t i, const struct log_row *first)
{
	return i < log->count && log->rows[i].connection == first->connection &&
	       !strcmp(log->rows[i].peer, first->peer);
}

static bool taken_is_on(const struct trace_rows *trace, size_t k, uint64_t connection_id)
{
	return k < trace->count && trace->taken[k].row->connection_id == connection_id;
}

/* Request by request; what is left of the connection on either side is missing, or extra. */
static void join_connection(struct log *log, size_t *i, struct trace_rows *trace, size_t *k)
{
	const struct log_row *first = &log->rows[*i];
	uint64_t connection_id = trace->taken[*k].row->connection_id;

	trace->service = service_of(trace->taken[*k].row->service_id);
	while (taken_is_on(trace, *k, connection_id)) {
		struct taken *t = &trace->taken[(*k)++];

		t->log_connection = first->connection;
		if (!log_row_is_on(log, *i, first))
			continue;
		t->truth = &log->rows[*i];
		log->rows[(*i)++].found = t;
	}
	while (log_row_is_on(log, *i, first))
		(*i)++;
}

/* Both sides are in the order of other end, connection, request: they go side by side. */
void join(struct log *log, struct trace_rows *trace, uint64_t port)
{
	size_t i = 0, k = 0;

	trace->service = NULL;
	for (size_t n = 0; n < trace->count; n++)
		trace->taken[n].judged |= is_of_port(&trace->taken[n], port);
	while (i < log->count && k < trace->count) {
		int order = strcmp(log->rows[i].peer, remote_of(&trace->taken[k]));

		if (order > 0 || !is_of_port(&trace->taken[k], port))
			k++;
		else if (order < 0)
			i++;
		else
			join_connection(log, &i, trace, &k);
	}
}
