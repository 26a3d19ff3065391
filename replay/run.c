/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/run.h"

#include "replay/breakdown.h"
#include "replay/keep.h"
#include "replay/plan/idmap.h"
#include "replay/run_spool.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL_SERVICE_BIT 52 /* of the ids of calls: whose node made it */
#define FORGET_ROWS 4096    /* after so many, what was looked at of the plans may go */

/* Of a timeline; and whose node tells it. */
struct spooled_stretch {
	struct wire_stretch stretch;
	uint32_t service;
};

struct run {
	struct trace_writer *writer;
	const struct plan_set *set;
	struct trace *origin;
	const char *path;
	const struct run_keep *keep; /* NULL: all rows */
	bool *named;		     /* of each request, with it */
	/* requests and connections of all plans in a row: where those of each begin */
	size_t first_request[PLAN_SERVICES_MAX + 1], first_connection[PLAN_SERVICES_MAX + 1];
	struct idmap requests;	    /* request_id -> number in that row */
	struct idmap origins;	    /* connection in the trace -> the first of the plans from it */
	uint32_t *copies;	    /* of each connection: the next one from the same */
	uint16_t *threads;	    /* of the node, 1..; 0: not known */
	bool *calls_failed;	    /* of each request: one of its calls did */
	int rows_fd;		    /* struct wire_row of request i at i * sizeof */
	struct run_spool oprows;    /* struct wire_oprow, as they came */
	struct run_spool stretches; /* struct spooled_stretch */
	uint64_t shared_calls;	    /* oprows of calls that may have several */
	uint32_t ops;		    /* that are written */
	struct run_result result;
	struct ledger *ledger;
};

static int open_spools(struct run *run, struct err *err)
{
	run_spool_init(&run->oprows, run->path, sizeof(struct wire_oprow));
	run_spool_init(&run->stretches, run->path, sizeof(struct spooled_stretch));
	run->rows_fd = scratch_open(run->path, err);
	return run->rows_fd < 0 ? run->rows_fd : 0;
}

static uint32_t service_of(const size_t *first, uint32_t number)
{
	uint32_t service = 0;

	while (number >= first[service + 1])
		service++;
	return service;
}

static const struct plan_request *request_at(const struct run *run, uint32_t number)
{
	uint32_t service = service_of(run->first_request, number);

	return &run->set->plans[service].requests[number - run->first_request[service]];
}

static const struct plan_connection *connection_at(const struct run *run, uint32_t number)
{
	uint32_t service = service_of(run->first_connection, number);

	return &run->set->plans[service].connections[number - run->first_connection[service]];
}

/* Of a request of the client's. */
static uint32_t number_of(const struct run *run, size_t sent)
{
	return idmap_get(&run->requests, run->set->client.requests[sent].request_id);
}

static uint64_t service_id_of(const struct run *run, uint32_t service)
{
	return run->set->plans[service].service.service_id;
}

static void count_plans(struct run *run)
{
	for (size_t s = 0; s < run->set->count; s++) {
		const struct plan *plan = &run->set->plans[s];

		run->first_request[s + 1] = run->first_request[s] + plan->requests_count;
		run->first_connection[s + 1] = run->first_connection[s] + plan->connections_count;
	}
}

static int index_requests(struct run *run, struct err *err)
{
	size_t count = run->first_request[run->set->count];

	run->threads = calloc(count + 1, sizeof(*run->threads));
	run->calls_failed = calloc(count + 1, sizeof(*run->calls_failed));
	run->named = run->keep ? calloc(count + 1, sizeof(*run->named)) : NULL;
	if (!run->threads || !run->calls_failed || (run->keep && !run->named) ||
	    idmap_init(&run->requests, count))
		return err_errno(err, ENOMEM, "cannot hold %zu requests", count);
	for (size_t i = 0; i < count; i++)
		idmap_put(&run->requests, request_at(run, (uint32_t)i)->request_id, (uint32_t)i);
	plan_set_forget(run->set);
	return 0;
}

static int index_connections(struct run *run, struct err *err)
{
	size_t count = run->first_connection[run->set->count];

	run->copies = calloc(count + 1, sizeof(*run->copies));
	if (!run->copies || idmap_init(&run->origins, count))
		return err_errno(err, ENOMEM, "cannot hold %zu connections", count);
	for (uint32_t c = 0; c < count; c++) {
		uint64_t origin = connection_at(run, c)->origin_id;
		uint32_t first;

		idmap_put(&run->origins, origin, c);
		first = idmap_get(&run->origins, origin);
		run->copies[c] = first == c ? IDMAP_NONE : run->copies[first];
		if (first != c)
			run->copies[first] = c;
	}
	return 0;
}

int run_new(const char *path, unsigned flags, const struct plan_set *set, struct trace *origin,
	    const struct run_keep *keep, struct run **ret_run, struct err *err)
{
	struct run *run = calloc(1, sizeof(*run));
	int ret;

	if (!run)
		return err_errno(err, ENOMEM, "cannot write '%s'", path);
	*run = (struct run){
		.set = set, .origin = origin, .path = path, .keep = keep, .rows_fd = -1
	};
	count_plans(run);
	ret = trace_writer_new(path, flags | TRACE_WRITER_RUN, &run->writer, err);
	if (!ret)
		ret = open_spools(run, err);
	if (!ret)
		ret = index_requests(run, err);
	if (!ret)
		ret = index_connections(run, err);
	if (ret)
		run_free(run);
	else
		*ret_run = run;
	return ret;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	if (run->rows_fd >= 0)
		close(run->rows_fd);
	run_spool_release(&run->oprows);
	run_spool_release(&run->stretches);
	trace_writer_free(run->writer);
	idmap_release(&run->requests);
	idmap_release(&run->origins);
	free(run->copies);
	free(run->threads);
	free(run->calls_failed);
	free(run->named);
	free(run);
}

/* Rows of requests that are not in the plan cannot be: they are passed over. */
int run_take_row(void *arg, const struct wire_row *row, struct err *err)
{
	const struct run_node *node = arg;
	struct run *run = node->run;
	uint32_t i = idmap_get(&run->requests, row->request_id);

	if (i == IDMAP_NONE)
		return 0;
	run->threads[i] = (uint16_t)(node->service * WIRE_THREADS_MAX + row->thread + 1);
	errno = 0;
	if (pwrite(run->rows_fd, row, sizeof(*row), (off_t)i * (off_t)sizeof(*row)) != sizeof(*row))
		return run_spool_failed(run->path, err);
	return 0;
}

static void note_failed_call(struct run *run, const struct wire_oprow *row)
{
	uint32_t i = idmap_get(&run->requests, row->request_id);

	if (i != IDMAP_NONE && row->kind == OP_FORWARD && row->flags & OPF_FAILED)
		run->calls_failed[i] = true;
}

int run_take_oprow(void *arg, const struct wire_oprow *row, struct err *err)
{
	const struct run_node *node = arg;
	struct run *run = node->run;
	struct wire_oprow kept = *row;

	kept.call_id &= (1ull << CALL_SERVICE_BIT) - 1;
	kept.call_id |= (uint64_t)node->service << CALL_SERVICE_BIT;
	run->shared_calls += (row->flags & OPF_SHARED) != 0;
	note_failed_call(run, row);
	return run_spool_put(&run->oprows, &kept, err);
}

int run_take_total(void *arg, const struct wire_total *total, struct err *err)
{
	const struct run_node *node = arg;

	if (!node->run->keep)
		return err_set(err, EPROTO, "the node has totals that nobody asked for");
	return run_totals_take(node->run->keep->totals, node->service, total, err);
}

int run_take_stretch(void *arg, const struct wire_stretch *stretch, struct err *err)
{
	const struct run_node *node = arg;
	const struct spooled_stretch kept = { *stretch, node->service };

	return run_spool_put(&node->run->stretches, &kept, err);
}

void run_name(struct run *run, const struct wire_slow *slow)
{
	for (uint32_t i = 0; i < slow->count; i++) {
		uint32_t number = idmap_get(&run->requests, slow->requests[i]);

		if (number != IDMAP_NONE)
			run->named[number] = true;
	}
}

/* With all that it comes of: rows are those of whole trees. */
static bool is_kept(const struct run *run, uint32_t number)
{
	uint64_t root_id = plan_root_of(request_at(run, number));
	uint32_t root = idmap_get(&run->requests, root_id);

	return !run->keep || keep_is_sampled(run->keep->share, KEEP_SEED, root_id) ||
	       (root != IDMAP_NONE && run->named[root]);
}

/* Calls fn with each row; fn may change it. */
typedef int (*row_fn)(struct run *run, enum trace_table table, union row_any *row, struct err *err);

static int each_row(struct run *run, enum trace_table table, row_fn fn, struct err *err)
{
	struct trace_reader *reader = NULL;
	union row_any row;
	int ret = trace_reader_new(run->origin, table, &reader, err);

	while (!ret) {
		ret = trace_reader_next(reader, &row, err);
		if (ret <= 0)
			break;
		ret = fn(run, table, &row, err);
	}
	trace_reader_free(reader);
	return ret;
}

static int copy_row(struct run *run, enum trace_table table, union row_any *row, struct err *err)
{
	return trace_write(run->writer, table, row, err);
}

/* IDMAP_NONE: no node did. */
static uint32_t service_played(const struct run *run, uint64_t service_id)
{
	for (uint32_t s = 0; s < run->set->count; s++)
		if (service_id_of(run, s) == service_id)
			return s;
	return IDMAP_NONE;
}

static int copy_service(struct run *run, enum trace_table table, union row_any *row,
			struct err *err)
{
	uint32_t service = service_played(run, row->service.service_id);

	row->service.host_id = service == IDMAP_NONE ? 1 : run->result.clocks[service].host_id;
	return copy_row(run, table, row, err);
}

/* The work in the run's ops is what was done: nothing is left to scale. */
static int copy_class(struct run *run, enum trace_table table, union row_any *row, struct err *err)
{
	row->class.demand_ppm = 1000000;
	return copy_row(run, table, row, err);
}

/* What packets told of the trace's connection is not so of the run's. */
static int put_connection(struct run *run, struct row_connection *row, struct err *err)
{
	row->wire = (struct row_wire)ROW_WIRE_UNKNOWN;
	run->ledger->count[LG_CONNECTIONS]++;
	return trace_write(run->writer, TABLE_CONNECTIONS, row, err);
}

/* A connection of the plan; when a copy was open in the trace is not known. */
static int put_planned(struct run *run, uint32_t c, struct row_connection row, struct err *err)
{
	const struct plan_connection *planned = connection_at(run, c);

	if (planned->connection_id != planned->origin_id)
		row.open_ns = row.close_ns = TRACE_NONE;
	row.connection_id = planned->connection_id;
	row.requests = planned->requests;
	return put_connection(run, &row, err);
}

/* Those that had requests but have none in the plan are left out. */
static int copy_connection(struct run *run, enum trace_table table, union row_any *row,
			   struct err *err)
{
	struct row_connection *connection = &row->connection;
	uint32_t c = idmap_get(&run->origins, connection->connection_id);
	bool ours = service_played(run, connection->service_id) != IDMAP_NONE;
	int ret = 0;

	if (c == IDMAP_NONE && (!ours || connection->outgoing || !connection->requests))
		return put_connection(run, connection, err);
	for (; c != IDMAP_NONE && !ret; c = run->copies[c])
		ret = put_planned(run, c, *connection, err);
	return ret;
}

static int copy_origin(struct run *run, struct err *err)
{
	static const struct {
		enum trace_table table;
		row_fn fn;
	} copies[] = {
		{ TABLE_SERVICES, copy_service },
		{ TABLE_CONNECTIONS, copy_connection },
		{ TABLE_CLASSES, copy_class },
		{ TABLE_TARGETS, copy_row },
	};
	int ret = 0;

	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]) && !ret; i++)
		ret = each_row(run, copies[i].table, copies[i].fn, err);
	return ret;
}

/* A stamp of one side as a time of the run. */
static int64_t since(int64_t anchor_ns, int64_t stamp_ns)
{
	return stamp_ns && anchor_ns ? stamp_ns - anchor_ns : TRACE_NONE;
}

static int64_t at_node(const struct run *run, uint32_t service, int64_t stamp_ns)
{
	return node_clock_time(&run->result.clocks[service].clock, stamp_ns);
}

static int64_t at_client(const struct run *run, int64_t stamp_ns)
{
	return since(run->result.client_anchor_ns, stamp_ns);
}

const char *run_errno_name(uint32_t status)
{
	const char *name = strerrorname_np((int)status);

	return name ? name : "failed";
}

/* What is known of a request. */
struct joined {
	uint32_t number;
	const struct client_fact *fact; /* NULL: it is not the client's */
	struct wire_row node;		/* all 0: it had none */
};

/* A call is as good as the answer of its node; of others the client knows. */
static enum outcome outcome_of(const struct run *run, const struct joined *j)
{
	if (!j->fact)
		return j->node.request_id && !j->node.status ? OUTCOME_OK : OUTCOME_ERROR;
	if (j->fact->outcome == OUTCOME_OK && run->calls_failed[j->number])
		return OUTCOME_ERROR;
	return j->fact->outcome;
}

/*
 * It was answered, but what it says is that its service could not do it. Of a sample that is
 * not known of all: then LG_CALLS_FAILED alone tells.
 */
static void count_outcome(struct run *run, enum outcome outcome, const struct client_fact *fact)
{
	if (run->keep || !fact || fact->outcome != OUTCOME_OK || outcome == OUTCOME_OK)
		return;
	run->ledger->count[LG_ANSWERED]--;
	run->ledger->count[LG_ERRORS]++;
}

static int write_request(struct run *run, const struct joined *j, struct err *err)
{
	static const struct client_fact none;
	uint32_t service = service_of(run->first_request, j->number);
	const struct plan_request *planned = request_at(run, j->number);
	const struct client_fact *fact = j->fact ? j->fact : &none;
	const struct wire_row *node = &j->node;
	struct row_request row = {
		.request_id = planned->request_id,
		.parent_id = planned->parent_id,
		.class_id = planned->class_id,
		.service_id = service_id_of(run, service),
		.connection_id = planned->connection_id,
		.thread_id = run->threads[j->number],
		.after_request = planned->after_request,
		.think_ns = planned->after_request ? planned->think_ns : TRACE_NONE,
		.confidence = 100,
		.arrival_ns = at_node(run, service, node->arrival_ns),
		.request_end_ns = TRACE_NONE,
		.read_ns = at_node(run, service, node->read_ns),
		.write_ns = at_node(run, service, node->write_ns),
		.end_ns = at_node(run, service, node->end_ns),
		.request_bytes = planned->request_bytes,
		.response_bytes = node->request_id ? node->response_bytes : 0,
		.intended_ns = at_client(run, fact->intended_ns),
		.sent_ns = at_client(run, fact->sent_ns),
		.received_ns = at_client(run, fact->received_ns),
		.outcome = outcome_of(run, j),
	};

	if (node->status)
		snprintf(row.status, sizeof(row.status), "%s", run_errno_name(node->status));
	count_outcome(run, row.outcome, j->fact);
	run->ledger->count[LG_REQUESTS]++;
	return trace_write(run->writer, TABLE_REQUESTS, &row, err);
}

/* 0 stays what it is: unknown. */
static int64_t stamp_of_run(int64_t anchor_ns, int64_t stamp_ns)
{
	return stamp_ns ? stamp_ns - anchor_ns : 0;
}

/* The client's times as those of the run. */
static struct client_fact fact_of_run(int64_t anchor_ns, const struct client_fact *fact)
{
	struct client_fact of_run = *fact;
	int64_t *const stamps[] = { &of_run.intended_ns, &of_run.sent_ns,    &of_run.tx_ns,
				    &of_run.again_ns,	 &of_run.left_ns,    &of_run.sent_end_ns,
				    &of_run.came_ns,	 &of_run.arrival_ns, &of_run.received_ns };

	for (size_t i = 0; i < sizeof(stamps) / sizeof(stamps[0]); i++)
		*stamps[i] = stamp_of_run(anchor_ns, *stamps[i]);
	return of_run;
}

static int write_latency(struct run *run, const struct joined *j, struct err *err)
{
	uint32_t service = service_of(run->first_request, j->number);
	const struct wire_row *node = &j->node;
	struct row_latency row = {
		.request_id = node->request_id,
		.service_id = service_id_of(run, service),
		.total_ns = node->total_ns,
		.unattributed_ns = node->unattributed_ns,
	};
	struct client_fact fact;
	int ret = 0;

	memcpy(row.ns, node->ns, sizeof(row.ns));
	if (node->request_id)
		ret = trace_write(run->writer, TABLE_LATENCY, &row, err);
	if (ret || !j->fact || !j->fact->received_ns)
		return ret;
	fact = fact_of_run(run->result.client_anchor_ns, j->fact);
	node_clock_split(&run->result.clocks[service].clock, &fact, node->request_id ? node : NULL,
			 &row);
	row.request_id = request_at(run, j->number)->request_id;
	return trace_write(run->writer, TABLE_LATENCY, &row, err);
}

/* A request that the node had no row for reads as zeros: a hole in the file, or its end. */
static int write_joined(struct run *run, uint32_t number, const struct client_fact *fact,
			struct err *err)
{
	struct joined joined = { .number = number, .fact = fact };
	off_t at = (off_t)number * (off_t)sizeof(joined.node);
	int ret;

	if (pread(run->rows_fd, &joined.node, sizeof(joined.node), at) < 0)
		return run_spool_failed(run->path, err);
	/* a timeline ends when the node says so */
	if (fact && !run->stretches.file &&
	    run->result.clocks[service_of(run->first_request, number)].clock.is_clients)
		breakdown_end_on_arrival(fact, &joined.node);
	if (run->ledger->count[LG_REQUESTS] % FORGET_ROWS == 0)
		plan_set_forget(run->set);
	if (run->keep && fact && fact->received_ns && !joined.node.request_id)
		run->ledger->count[LG_ROWS_GONE]++;
	ret = write_request(run, &joined, err);
	return ret ? ret : write_latency(run, &joined, err);
}

/* What a node says of it may not have come: the node's time stays in the rest. */
static int add_total(struct run *run, uint32_t number, const struct client_fact *fact,
		     struct err *err)
{
	struct row_latency row;

	if (!run->keep || !fact->received_ns)
		return 0;
	breakdown_client(fact, NULL, false, &row);
	return run_totals_add(run->keep->totals, request_at(run, number)->class, &row, err);
}

static int write_clients(void *arg, const struct client_fact *fact, struct err *err)
{
	struct run *run = arg;
	uint32_t number = number_of(run, fact->request);
	int ret = add_total(run, number, fact, err);

	return ret || !is_kept(run, number) ? ret : write_joined(run, number, fact, err);
}

static int write_called(struct run *run, struct err *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < run->first_request[run->set->count] && !ret; i++)
		if (request_at(run, i)->parent_id && is_kept(run, i))
			ret = write_joined(run, i, NULL, err);
	return ret;
}

static int write_op(struct run *run, const struct wire_oprow *op, uint32_t number, struct err *err)
{
	uint32_t i = idmap_get(&run->requests, op->request_id);
	uint32_t service = (uint32_t)(op->call_id >> CALL_SERVICE_BIT);
	struct row_op row = {
		.op_id = number,
		.request_id = op->request_id,
		.after_reply = op->after_reply,
		.kind = op->kind,
		.service_id = service_id_of(run, service),
		.thread_id = i == IDMAP_NONE ? 0 : run->threads[i],
		.start_ns = at_node(run, service, op->start_ns),
		.elapsed_ns = (uint64_t)op->elapsed_ns,
		.cpu_ns = (uint64_t)op->cpu_ns,
		.work = op->work,
		.bytes = op->bytes,
		.reply_bytes = op->reply_bytes,
		.offset = op->offset,
		.target_id = op->target_id,
		.flags = op->flags,
	};

	run->ledger->count[op->request_id ? LG_OPS : LG_BACKGROUND_OPS]++;
	return trace_write(run->writer, TABLE_OPS, &row, err);
}

/*
 * The first row of a call is its op, the further ones are the op's further owners. Ops are numbered
 * as they come: a node's own numbers say which thread made the call, and are too large for copies.
 */
static int write_oprow(struct run *run, struct idmap *calls, const struct wire_oprow *op,
		       struct err *err)
{
	bool shared = op->flags & OPF_SHARED;
	uint32_t first = shared ? idmap_get(calls, op->call_id) : IDMAP_NONE;
	struct row_op_request owner = { first, op->request_id };

	if (first != IDMAP_NONE)
		return trace_write(run->writer, TABLE_OP_REQUESTS, &owner, err);
	run->ops++;
	if (shared)
		idmap_put(calls, op->call_id, run->ops);
	return write_op(run, op, run->ops, err);
}

static int write_ops(struct run *run, struct err *err)
{
	struct wire_oprow op;
	struct idmap calls;
	int ret;

	if (idmap_init(&calls, run->shared_calls))
		return err_errno(err, ENOMEM, "cannot hold the shared operations");
	ret = run_spool_rewind(&run->oprows, err);
	while (!ret && run_spool_next(&run->oprows, &op))
		ret = write_oprow(run, &calls, &op, err);
	idmap_release(&calls);
	return ret;
}

static int write_stretch(struct run *run, const struct spooled_stretch *from, struct err *err)
{
	const struct wire_stretch *stretch = &from->stretch;
	uint32_t i = idmap_get(&run->requests, stretch->request_id);
	const struct row_stretch row = {
		.request_id = stretch->request_id,
		.service_id = service_id_of(run, from->service),
		.thread_id = from->service * WIRE_THREADS_MAX + stretch->thread + 1,
		.from_ns = at_node(run, from->service, stretch->from_ns),
		.until_ns = at_node(run, from->service, stretch->until_ns),
		.subsystem = stretch->row,
	};

	if (i == IDMAP_NONE || !is_kept(run, i))
		return 0;
	return trace_write(run->writer, TABLE_TIMELINE, &row, err);
}

static int write_timeline(struct run *run, struct err *err)
{
	struct spooled_stretch stretch;
	int ret = run_spool_rewind(&run->stretches, err);

	while (!ret && run_spool_next(&run->stretches, &stretch))
		ret = write_stretch(run, &stretch, err);
	return ret;
}

/* --- clocks -------------------------------------------------------------------------------- */

struct binding {
	const struct run *run;
	int64_t client_anchor_ns;
	const struct run_clock *clocks;
	struct clock_bounds bounds[PLAN_SERVICES_MAX];
};

static int add_bounds(void *arg, const struct client_fact *fact, struct err *err)
{
	struct binding *b = arg;
	uint32_t number = number_of(b->run, fact->request);
	uint32_t service = service_of(b->run->first_request, number);
	const struct client_fact of_run = fact_of_run(b->client_anchor_ns, fact);
	struct wire_row node = { 0 };

	if (b->clocks[service].clock.is_clients || !fact->received_ns)
		return 0;
	if (pread(b->run->rows_fd, &node, sizeof(node), (off_t)number * (off_t)sizeof(node)) < 0)
		return run_spool_failed(b->run->path, err);
	node_clock_add(&b->clocks[service].clock, &b->bounds[service], &of_run, &node);
	return 0;
}

int run_bind_clocks(const struct run *run, const struct run_result *result, int64_t duration_ns,
		    struct run_clock *clocks, struct err *err)
{
	struct binding *b = NULL;
	bool apart = false;
	int ret;

	for (size_t s = 0; s < run->set->count; s++)
		apart |= !clocks[s].clock.is_clients;
	if (!apart)
		return 0;
	b = malloc(sizeof(*b));
	if (!b)
		return err_errno(err, ENOMEM, "cannot compare clocks");
	b->run = run;
	b->client_anchor_ns = result->client_anchor_ns;
	b->clocks = clocks;
	for (size_t s = 0; s < run->set->count; s++)
		clock_bounds_init(&b->bounds[s], 0, duration_ns);
	ret = client_rows_each(result->rows, add_bounds, b, err);
	for (size_t s = 0; s < run->set->count && !ret; s++)
		if (!clocks[s].clock.is_clients)
			node_clock_bind(&clocks[s].clock, &b->bounds[s]);
	free(b);
	return ret;
}

int run_finish(struct run *run, const struct run_result *result, struct manifest *m,
	       struct err *err)
{
	int ret;

	run->result = *result;
	run->ledger = &m->ledger;
	ret = copy_origin(run, err);
	if (!ret)
		ret = client_rows_each(result->rows, write_clients, run, err);
	if (!ret)
		ret = write_called(run, err);
	if (!ret)
		ret = write_ops(run, err);
	if (!ret)
		ret = write_timeline(run, err);
	if (!ret && run->keep)
		ret = run_totals_write(run->keep->totals, run->writer, run->ledger, err);
	return ret ? ret : trace_writer_finish(run->writer, m, err);
}
