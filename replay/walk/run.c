/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/run.h"

#include "replay/chain/calls.h"
#include "replay/run.h"
#include "replay/run_spool.h"
#include "replay/run_totals.h"
#include "replay/scratch.h"
#include "replay/walk/sieve.h"
#include "replay/walk/tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPOOL_BUFFER_BYTES (1 << 20)
#define REQUESTS_MAX (1ull << 40) /* that are told apart from calls by their number */
#define IDS_MAX (1ull << 62)

/* As they came, with who said so. */
struct spooled_call {
	struct wire_row row;
	uint32_t node;
};

struct spooled_op {
	struct wire_oprow row;
	uint32_t node;
};

/* A thread's connection, while the rows of its requests go by. */
struct session {
	uint64_t number; /* of the thread's */
	uint64_t requests;
	int64_t open_ns, last_ns;
};

struct spooled_stretch {
	struct wire_stretch stretch;
	uint32_t node;
};

struct walk_run {
	const struct walk_opts *opts;
	struct walk_schedule schedule;
	uint32_t nodes;
	uint64_t requests; /* that there can be */
	struct trace_writer *writer;
	int rows_fd;		    /* struct walk_row, as they left */
	int node_fd;		    /* struct wire_row of request i at i * sizeof */
	struct run_spool calls;	    /* struct spooled_call */
	struct run_spool oprows;    /* struct spooled_op */
	struct run_spool stretches; /* struct spooled_stretch */
	struct chain_calls numbers;
	uint32_t *threads; /* of each node, that had a request */
	struct walk_extents extents;
	struct session *sessions; /* of each thread */
	uint64_t class_requests[WALK_CLASSES_MAX];
	uint64_t connections;
	struct walk_sieve *sieve;  /* NULL: all rows are kept */
	FILE *kept;		   /* of the sieve, into rows_fd */
	struct run_totals *totals; /* of the sieve */
	int failed;		   /* of what the sieve gave */
	struct err failure;
	struct walk_run_result result;
	struct ledger *ledger;
};

/* --- spools -------------------------------------------------------------------------------- */

static int open_spools(struct walk_run *run, struct err *err)
{
	int *const files[] = { &run->rows_fd, &run->node_fd };
	int rc = 0;

	run_spool_init(&run->calls, run->opts->run, sizeof(struct spooled_call));
	run_spool_init(&run->oprows, run->opts->run, sizeof(struct spooled_op));
	run_spool_init(&run->stretches, run->opts->run, sizeof(struct spooled_stretch));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc >= 0; i++)
		rc = *files[i] = scratch_open(run->opts->run, err);
	return rc < 0 ? rc : 0;
}

/* Calls of all requests have ids of their own. */
static int number_calls(struct walk_run *run, struct err *err)
{
	chain_calls_init(&run->numbers, &run->opts->chain);
	if (run->numbers.count && run->requests < IDS_MAX / run->numbers.count)
		return 0;
	return err_set(
		err, E2BIG,
		"with all its addresses and retries the chain may make more calls than a run "
		"can number: give its forwards fewer, or leave out -O");
}

static int end_session(struct walk_run *run, uint32_t thread, struct err *err)
{
	const struct session *s = &run->sessions[thread];
	bool last = s->number + 1 == run->schedule.sessions;
	const struct row_connection row = {
		.connection_id = walk_connection(&run->schedule, thread, s->number),
		.service_id = WALK_SERVICE,
		.open_ns = s->open_ns,
		.close_ns = last ? TRACE_NONE : s->last_ns,
		.srtt_ns = TRACE_NONE,
		.min_rtt_ns = TRACE_NONE,
		.wire = ROW_WIRE_UNKNOWN,
		.requests = s->requests,
		.confidence = 100,
	};

	if (!s->requests)
		return 0;
	run->connections++;
	return trace_write(run->writer, TABLE_CONNECTIONS, &row, err);
}

/*
 * A session whose first request is due when it is connected: that is when it opened. Those that
 * were open before the first was due have no time.
 */
static int follow_session(struct walk_run *run, const struct walk_row *row, struct err *err)
{
	struct session *s = &run->sessions[row->thread];
	int64_t due_ns = walk_first_due_ns(&run->schedule, row->thread, row->session);
	int rc = 0;

	if (s->requests && s->number != row->session) {
		rc = end_session(run, row->thread, err);
		s->requests = 0;
	}
	if (!s->requests) {
		*s = (struct session){
			.number = row->session,
			.open_ns = row->due_ns > due_ns ? row->due_ns : TRACE_NONE,
			.last_ns = row->due_ns,
		};
	}
	s->requests++;
	if (row->received_ns > s->last_ns)
		s->last_ns = row->received_ns;
	return rc;
}

/* --- a sample of the rows ------------------------------------------------------------------ */

static struct run_totals *open_totals(const struct walk_run *run)
{
	uint32_t classes = run->opts->classes_count ? (uint32_t)run->opts->classes_count : 1;
	uint64_t class_ids[WALK_CLASSES_MAX], service_ids[CHAIN_PEERS_MAX + 1];

	for (uint32_t i = 0; i < classes; i++)
		class_ids[i] = WALK_CLASS + i;
	for (uint32_t i = 0; i < run->nodes; i++)
		service_ids[i] = WALK_SERVICE + i;
	return run_totals_new(class_ids, classes, service_ids, run->nodes);
}

/* What a node says of it is not known: the node's time and the wire stay in the rest. */
static int add_total(struct walk_run *run, uint32_t class, const struct walk_row *client,
		     struct err *err)
{
	static const struct node_clock none;
	const struct client_fact fact = walk_fact(client);
	struct row_latency row;

	if (client->received_ns < 0)
		return 0;
	node_clock_split(&none, &fact, NULL, &row);
	return run_totals_add(run->totals, class, &row, err);
}

static void take_each(void *arg, const struct walk_row *row)
{
	struct walk_run *run = arg;
	uint64_t number = walk_number(&run->schedule, row->thread, row->request);
	size_t class = walk_class_of(&run->schedule, number);

	if (run->failed)
		return;
	run->class_requests[class]++;
	run->failed = follow_session(run, row, &run->failure);
	if (!run->failed)
		run->failed = add_total(run, (uint32_t) class, row, &run->failure);
}

static void take_kept(void *arg, const struct walk_row *row)
{
	struct walk_run *run = arg;

	errno = 0;
	if (!run->failed && fwrite(row, sizeof(*row), 1, run->kept) != 1)
		run->failed = run_spool_failed(run->opts->run, &run->failure);
}

static int open_sieve(struct walk_run *run, struct err *err)
{
	const struct walk_sieve_setup setup = {
		.schedule = run->schedule,
		.share = run->opts->keep_share,
		.slowest = run->opts->keep_slowest,
		.each = take_each,
		.kept = take_kept,
		.arg = run,
	};
	int fd = dup(run->rows_fd);

	run->kept = fd < 0 ? NULL : fdopen(fd, "w");
	run->totals = open_totals(run);
	if (!run->kept || !run->totals)
		return err_errno(err, ENOMEM, "cannot keep a sample of the rows");
	return walk_sieve_new(&setup, &run->sieve, err);
}

int walk_run_new(const struct walk_opts *opts, uint32_t nodes, struct walk_run **ret_run,
		 struct err *err)
{
	unsigned flags = TRACE_WRITER_RUN | (opts->replace_run ? TRACE_WRITER_REPLACE : 0);
	struct walk_run *run = calloc(1, sizeof(*run));
	int rc;

	if (!run)
		return err_errno(err, ENOMEM, "cannot write '%s'", opts->run);
	run->opts = opts;
	run->schedule = walk_schedule_of(opts);
	run->nodes = nodes;
	run->requests = opts->requests < REQUESTS_MAX / opts->threads ?
				opts->requests * opts->threads :
				REQUESTS_MAX;
	run->rows_fd = run->node_fd = -1;
	run->threads = calloc(nodes, sizeof(*run->threads));
	run->sessions = calloc(opts->threads, sizeof(*run->sessions));
	rc = run->threads && run->sessions ? trace_writer_new(opts->run, flags, &run->writer, err) :
					     err_errno(err, ENOMEM, "cannot write '%s'", opts->run);
	if (!rc)
		rc = number_calls(run, err);
	if (!rc)
		rc = open_spools(run, err);
	if (!rc && opts->keeps)
		rc = open_sieve(run, err);
	if (rc)
		walk_run_free(run);
	else
		*ret_run = run;
	return rc;
}

void walk_run_free(struct walk_run *run)
{
	if (!run)
		return;
	if (run->rows_fd >= 0)
		close(run->rows_fd);
	if (run->node_fd >= 0)
		close(run->node_fd);
	run_spool_release(&run->calls);
	run_spool_release(&run->oprows);
	run_spool_release(&run->stretches);
	if (run->kept)
		fclose(run->kept);
	walk_sieve_free(run->sieve);
	run_totals_free(run->totals);
	trace_writer_free(run->writer);
	free(run->threads);
	free(run->sessions);
	free(run);
}

struct walk_sieve *walk_run_sieve(const struct walk_run *run)
{
	return run->sieve;
}

int walk_run_rows_fd(const struct walk_run *run)
{
	return run->rows_fd;
}

/* Calls are behind all that clients can have. */
static uint64_t id_of(const struct walk_run *run, uint64_t number, uint32_t call)
{
	if (!call)
		return number + 1;
	return run->requests + number * (run->numbers.count - 1) + call;
}

static int take_call(struct walk_run *run, uint32_t node, const struct wire_row *row,
		     struct err *err)
{
	struct spooled_call call = { *row, node };

	return run_spool_put(&run->calls, &call, err);
}

/* The client sends to the first node alone. */
static bool can_be(const struct walk_run_node *node, uint64_t number, uint32_t call)
{
	const struct walk_run *run = node->run;

	return number < run->requests && call < run->numbers.count && (call || !node->index);
}

/* Rows of requests that were not made cannot be: they are passed over. Calls have no connection. */
int walk_run_take_row(void *arg, const struct wire_row *row, struct err *err)
{
	const struct walk_run_node *node = arg;
	struct walk_run *run = node->run;

	errno = 0;
	if (!can_be(node, row->request_id, row->call))
		return 0;
	if (row->thread >= run->threads[node->index])
		run->threads[node->index] = row->thread + 1;
	if (row->call)
		return take_call(run, node->index, row, err);
	if (pwrite(run->node_fd, row, sizeof(*row), (off_t)row->request_id * (off_t)sizeof(*row)) !=
	    sizeof(*row))
		return run_spool_failed(run->opts->run, err);
	return 0;
}

int walk_run_take_oprow(void *arg, const struct wire_oprow *row, struct err *err)
{
	const struct walk_run_node *node = arg;
	struct spooled_op op = { *row, node->index };
	const struct chain *c = &node->run->opts->chain;

	if (!can_be(node, row->request_id, row->call) || !row->op_id || row->op_id > c->count ||
	    c->ops[row->op_id - 1].kind != row->kind)
		return 0;
	return run_spool_put(&node->run->oprows, &op, err);
}

int walk_run_take_stretch(void *arg, const struct wire_stretch *stretch, struct err *err)
{
	const struct walk_run_node *node = arg;
	const struct spooled_stretch kept = { *stretch, node->index };

	if (!can_be(node, stretch->request_id, stretch->call))
		return 0;
	return run_spool_put(&node->run->stretches, &kept, err);
}

int walk_run_take_total(void *arg, const struct wire_total *total, struct err *err)
{
	const struct walk_run_node *node = arg;

	if (!node->run->totals)
		return err_set(err, EPROTO, "the node has totals that nobody asked for");
	return run_totals_take(node->run->totals, node->index, total, err);
}

/* --- tables -------------------------------------------------------------------------------- */

static int write_services(struct walk_run *run, const struct manifest *m, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < run->nodes && !rc; i++) {
		const struct walk_run_clock *node = &run->result.nodes[i];
		struct row_service row = {
			.service_id = WALK_SERVICE + i,
			.threads = run->threads[i],
			.io_model = "event-loop",
		};
		char text[ADDRESS_TEXT_SIZE];

		for (uint32_t h = 0; h < m->hosts_count && !row.host_id; h++)
			if (!strcmp(m->hosts[h].boot_id, node->hello->host.boot_id))
				row.host_id = m->hosts[h].host_id;
		snprintf(row.name, sizeof(row.name), i ? "node-%u" : "node", i + 1);
		snprintf(row.listen, sizeof(row.listen), "%.63s",
			 address_format(&node->address, text));
		rc = trace_write(run->writer, TABLE_SERVICES, &row, err);
	}
	return rc;
}

static int64_t at_node(const struct walk_run *run, uint32_t node, int64_t stamp_ns)
{
	return node_clock_time(&run->result.nodes[node].clock, stamp_ns);
}

/* What a node says of a request: its own, or a call's. */
static void put_node_times(const struct walk_run *run, uint32_t node, const struct wire_row *from,
			   struct row_request *to)
{
	to->service_id = WALK_SERVICE + node;
	to->thread_id = from->end_ns ? from->thread + 1 : 0;
	to->confidence = 100;
	to->think_ns = to->request_end_ns = TRACE_NONE;
	to->arrival_ns = at_node(run, node, from->arrival_ns);
	to->read_ns = at_node(run, node, from->read_ns);
	to->write_ns = at_node(run, node, from->write_ns);
	to->end_ns = at_node(run, node, from->end_ns);
	to->response_bytes = from->response_bytes;
	if (from->status)
		snprintf(to->status, sizeof(to->status), "%s", run_errno_name(from->status));
}

static int write_node_latency(struct walk_run *run, uint32_t node, uint64_t request_id,
			      const struct wire_row *from, struct err *err)
{
	struct row_latency row = {
		.request_id = request_id,
		.service_id = WALK_SERVICE + node,
		.total_ns = from->total_ns,
		.unattributed_ns = from->unattributed_ns,
	};

	memcpy(row.ns, from->ns, sizeof(row.ns));
	return from->end_ns ? trace_write(run->writer, TABLE_LATENCY, &row, err) : 0;
}

static int write_client_latency(struct walk_run *run, const struct walk_row *client,
				uint64_t request_id, const struct wire_row *node, struct err *err)
{
	const struct client_fact fact = walk_fact(client);
	struct row_latency row;

	if (client->received_ns < 0)
		return 0;
	node_clock_split(&run->result.nodes[0].clock, &fact, node, &row);
	row.request_id = request_id;
	return trace_write(run->writer, TABLE_LATENCY, &row, err);
}

/* What the node said of a request; all 0 (a hole in the file, or its end): nothing. */
static ssize_t read_node_row(const struct walk_run *run, uint64_t number, struct wire_row *ret_row)
{
	memset(ret_row, 0, sizeof(*ret_row));
	return pread(run->node_fd, ret_row, sizeof(*ret_row),
		     (off_t)number * (off_t)sizeof(*ret_row));
}

static int write_request(struct walk_run *run, const struct walk_row *client, struct err *err)
{
	static const enum outcome outcomes[WALK_OUTCOMES] = {
		[WALK_OK] = OUTCOME_OK,
		[WALK_ERROR] = OUTCOME_ERROR,
		[WALK_TIMEOUT] = OUTCOME_TIMEOUT,
		[WALK_UNSENT] = OUTCOME_ERROR,
	};
	uint64_t number = walk_number(&run->schedule, client->thread, client->request);
	size_t class = walk_class_of(&run->schedule, number);
	struct row_request row = {
		.request_id = number + 1,
		.class_id = WALK_CLASS + class,
		.connection_id = walk_connection(&run->schedule, client->thread, client->session),
		.request_bytes = client->request_bytes,
		.intended_ns = client->due_ns,
		.sent_ns = client->sent_ns,
		.received_ns = client->received_ns < 0 ? TRACE_NONE : client->received_ns,
		.outcome = outcomes[client->outcome],
	};
	struct wire_row node;
	int rc;

	if (read_node_row(run, number, &node) < 0)
		return run_spool_failed(run->opts->run, err);
	put_node_times(run, 0, &node, &row);
	if (client->response_bytes)
		row.response_bytes = client->response_bytes;
	if (!run->sieve)
		run->class_requests[class]++;
	else if (!node.end_ns && client->received_ns >= 0)
		run->ledger->count[LG_ROWS_GONE]++;
	run->ledger->count[LG_REQUESTS]++;
	rc = trace_write(run->writer, TABLE_REQUESTS, &row, err);
	if (!rc)
		rc = write_node_latency(run, 0, row.request_id, &node, err);
	return rc ? rc : write_client_latency(run, client, row.request_id, &node, err);
}

static FILE *open_rows(const struct walk_run *run, struct err *err)
{
	FILE *rows = fdopen(dup(run->rows_fd), "r");

	if (!rows) {
		err_errno(err, errno, "cannot read the rows again");
		return NULL;
	}
	setvbuf(rows, NULL, _IOFBF, SPOOL_BUFFER_BYTES);
	rewind(rows);
	return rows;
}

static void add_bounds(const struct node_clock *clock, struct clock_bounds *bounds,
		       const struct walk_row *row, const struct wire_row *node)
{
	const struct client_fact fact = walk_fact(row);

	node_clock_add(clock, bounds, &fact, node);
}

int walk_run_bind_clock(const struct walk_run *run, int64_t duration_ns, struct node_clock *clock,
			struct err *err)
{
	FILE *rows = open_rows(run, err);
	struct clock_bounds bounds;
	struct walk_row row;
	struct wire_row node;
	int rc = 0;

	if (!rows)
		return -EIO;
	clock_bounds_init(&bounds, 0, duration_ns);
	while (!rc && fread(&row, sizeof(row), 1, rows) == 1) {
		uint64_t number = walk_number(&run->schedule, row.thread, row.request);

		if (read_node_row(run, number, &node) < 0)
			rc = run_spool_failed(run->opts->run, err);
		else if (row.received_ns >= 0)
			add_bounds(clock, &bounds, &row, &node);
	}
	fclose(rows);
	if (!rc)
		node_clock_bind(clock, &bounds);
	return rc;
}

static int write_requests(struct walk_run *run, struct err *err)
{
	FILE *rows = open_rows(run, err);
	struct walk_row row;
	int rc = 0;

	if (!rows)
		return -EIO;
	while (!rc && fread(&row, sizeof(row), 1, rows) == 1) {
		if (!run->sieve)
			rc = follow_session(run, &row, err);
		if (!rc)
			rc = write_request(run, &row, err);
	}
	fclose(rows);
	for (uint32_t i = 0; i < run->schedule.threads && !rc; i++)
		rc = end_session(run, i, err);
	run->ledger->count[LG_CONNECTIONS] += run->connections;
	return rc;
}

/* All that the sieve gave is in the file. */
static int end_sieve(struct walk_run *run, struct err *err)
{
	errno = 0;
	if (!run->sieve)
		return 0;
	if (run->failed) {
		if (err)
			*err = run->failure;
		return run->failed;
	}
	return fflush(run->kept) ? run_spool_failed(run->opts->run, err) : 0;
}

/* What one node asked of another. */
static int write_call(struct walk_run *run, const struct spooled_call *from, struct err *err)
{
	uint64_t number = from->row.request_id;
	struct row_request row = {
		.request_id = id_of(run, number, from->row.call),
		.parent_id = id_of(run, number, chain_caller(&run->numbers, from->row.call)),
		.request_bytes = from->row.request_bytes,
		.intended_ns = TRACE_NONE,
		.sent_ns = TRACE_NONE,
		.received_ns = TRACE_NONE,
		.outcome = from->row.status ? OUTCOME_ERROR : OUTCOME_OK,
	};
	int rc;

	put_node_times(run, from->node, &from->row, &row);
	run->ledger->count[LG_REQUESTS]++;
	rc = trace_write(run->writer, TABLE_REQUESTS, &row, err);
	return rc ? rc : write_node_latency(run, from->node, row.request_id, &from->row, err);
}

static int write_calls(struct walk_run *run, struct err *err)
{
	struct spooled_call call;
	int rc = run_spool_rewind(&run->calls, err);

	while (!rc && run_spool_next(&run->calls, &call))
		rc = write_call(run, &call, err);
	return rc;
}

/* Who did it; of calls that is not told. */
static uint64_t thread_of(const struct walk_run *run, const struct wire_oprow *op)
{
	struct wire_row row;

	if (op->call || read_node_row(run, op->request_id, &row) <= 0)
		return 0;
	return row.end_ns ? row.thread + 1 : 0;
}

static int write_op(struct walk_run *run, const struct spooled_op *from, struct err *err)
{
	const struct wire_oprow *done = &from->row;
	const struct walk_opts *opts = run->opts;
	struct chain chain = opts->chain;
	struct plan_op drawn;
	struct row_op row;

	chain.work_per_ms = run->result.nodes[from->node].hello->work_per_ms;
	drawn = chain_draw_op(&chain, opts->seed, done->request_id, (uint32_t)done->op_id - 1);
	row = walk_op_row(&chain, &drawn);
	row.op_id = ((uint64_t)from->node << 48) + done->call_id;
	row.request_id = id_of(run, done->request_id, done->call);
	row.thread_id = thread_of(run, done);
	row.after_reply = done->after_reply;
	row.service_id = WALK_SERVICE + from->node;
	row.start_ns = at_node(run, from->node, done->start_ns);
	row.elapsed_ns = (uint64_t)done->elapsed_ns;
	row.cpu_ns = (uint64_t)done->cpu_ns;
	if (done->kind != OP_FORWARD) /* nodes do not tell of calls how much they sent */
		row.bytes = done->bytes;
	row.offset = done->offset;
	row.flags = done->flags;
	walk_extents_add(&run->extents, &row);
	run->ledger->count[LG_OPS]++;
	return trace_write(run->writer, TABLE_OPS, &row, err);
}

static int write_ops(struct walk_run *run, struct err *err)
{
	struct spooled_op op;
	int rc = run_spool_rewind(&run->oprows, err);

	while (!rc && run_spool_next(&run->oprows, &op))
		rc = write_op(run, &op, err);
	return rc;
}

static int write_timeline(struct walk_run *run, struct err *err)
{
	struct spooled_stretch from;
	int rc = run_spool_rewind(&run->stretches, err);

	while (!rc && run_spool_next(&run->stretches, &from)) {
		const struct wire_stretch *stretch = &from.stretch;
		const struct row_stretch row = {
			.request_id = id_of(run, stretch->request_id, stretch->call),
			.service_id = WALK_SERVICE + from.node,
			.thread_id = stretch->thread + 1,
			.from_ns = at_node(run, from.node, stretch->from_ns),
			.until_ns = at_node(run, from.node, stretch->until_ns),
			.subsystem = stretch->row,
		};

		rc = trace_write(run->writer, TABLE_TIMELINE, &row, err);
	}
	return rc;
}

int walk_run_finish(struct walk_run *run, const struct walk_run_result *result, struct manifest *m,
		    struct err *err)
{
	int rc;

	run->result = *result;
	run->ledger = &m->ledger;
	rc = end_sieve(run, err);
	if (!rc)
		rc = write_services(run, m, err);
	if (!rc)
		rc = write_requests(run, err);
	if (!rc && run->totals)
		rc = run_totals_write(run->totals, run->writer, run->ledger, err);
	if (!rc)
		rc = write_calls(run, err);
	if (!rc)
		rc = write_ops(run, err);
	if (!rc)
		rc = write_timeline(run, err);
	if (!rc)
		rc = walk_tables_write(run->writer, run->opts, run->class_requests, &run->extents,
				       err);
	return rc ? rc : trace_writer_finish(run->writer, m, err);
}
