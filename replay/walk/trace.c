/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/trace.h"

#include "base/clock.h"
#include "base/work.h"
#include "replay/net/wire.h"
#include "replay/walk/tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A thread of the walk, and its connection. */
struct walker {
	uint64_t session, end; /* of the session: the request behind its last */
	uint64_t requests;     /* of the session so far */
	int64_t open_ns, due_ns;
	double due_fraction;
};

struct walk_trace {
	const struct walk_opts *opts;
	struct walk_schedule schedule;
	struct chain chain; /* borrowed, with the work of this machine */
	struct trace_writer *writer;
	struct walker *walkers;
	struct plan_op *ops;
	struct walk_extents extents;
	uint64_t ops_count;
	uint64_t class_requests[WALK_CLASSES_MAX];
	int64_t last_ns;
	struct manifest manifest;
};

/* --- connections --------------------------------------------------------------------------- */

static int end_session(struct walk_trace *t, uint32_t thread, bool last, struct err *err)
{
	const struct walker *w = &t->walkers[thread];
	const struct row_connection row = {
		.connection_id = walk_connection(&t->schedule, thread, w->session),
		.service_id = WALK_SERVICE,
		.open_ns = w->open_ns,
		.close_ns = last ? TRACE_NONE : w->due_ns,
		.srtt_ns = TRACE_NONE,
		.min_rtt_ns = TRACE_NONE,
		.wire = ROW_WIRE_UNKNOWN,
		.requests = w->requests,
		.confidence = 100,
	};

	if (!w->requests)
		return 0;
	t->manifest.ledger.count[LG_CONNECTIONS]++;
	return trace_write(t->writer, TABLE_CONNECTIONS, &row, err);
}

/* The first ones are open before the start; others are when the one before has ended. */
static void begin_session(struct walk_trace *t, uint32_t thread)
{
	struct walker *w = &t->walkers[thread];

	w->end = walk_first_of_session(&t->schedule, w->session + 1);
	w->open_ns = w->session ? w->due_ns : TRACE_NONE;
	w->requests = 0;
	if (!w->session)
		w->due_ns = walk_first_due_ns(&t->schedule, thread, 0);
	w->due_fraction = 0;
}

/* To the session of the request, and to when it is due. */
static int move_on(struct walk_trace *t, uint32_t thread, uint64_t request, struct err *err)
{
	struct walker *w = &t->walkers[thread];
	int rc = 0;

	if (!request)
		begin_session(t, thread);
	if (request < w->end) {
		if (w->requests)
			walk_next_due(&t->schedule, thread, request - 1, &w->due_ns,
				      &w->due_fraction);
		return 0;
	}
	rc = end_session(t, thread, false, err);
	while (w->end <= request) {
		w->session++;
		begin_session(t, thread);
	}
	return rc;
}

/* --- requests ------------------------------------------------------------------------------ */

static int write_op(struct walk_trace *t, uint64_t request_id, int64_t due_ns,
		    const struct plan_op *op, struct err *err)
{
	struct row_op row = walk_op_row(&t->chain, op);

	row.op_id = ++t->ops_count;
	row.request_id = request_id;
	row.service_id = WALK_SERVICE;
	row.start_ns = due_ns;
	if (op->kind == OP_SLEEP)
		row.elapsed_ns = op->work;
	if (op->kind == OP_COMPUTE || op->kind == OP_LOCK)
		row.elapsed_ns = row.cpu_ns =
			(uint64_t)((unsigned __int128)op->work * NS_PER_MS / t->chain.work_per_ms);
	walk_extents_add(&t->extents, &row);
	t->manifest.ledger.count[LG_OPS]++;
	return trace_write(t->writer, TABLE_OPS, &row, err);
}

static int write_request(struct walk_trace *t, uint32_t thread, uint64_t request, struct err *err)
{
	const struct walker *w = &t->walkers[thread];
	uint64_t number = walk_number(&t->schedule, thread, request);
	size_t class = walk_class_of(&t->schedule, number);
	struct chain_request drawn;
	struct row_request row = {
		.request_id = number + 1,
		.class_id = WALK_CLASS + class,
		.service_id = WALK_SERVICE,
		.connection_id = walk_connection(&t->schedule, thread, w->session),
		.think_ns = TRACE_NONE,
		.confidence = 100,
		.arrival_ns = w->due_ns,
		.request_end_ns = TRACE_NONE,
		.read_ns = TRACE_NONE,
		.write_ns = TRACE_NONE,
		.end_ns = TRACE_NONE,
	};
	bool raised;
	int rc = chain_draw(&t->chain, t->opts->seed, number, 0, t->ops, t->chain.count, &drawn);

	if (rc)
		return err_errno(err, -rc, "cannot draw a request");
	if (drawn.response_bytes < WIRE_MESSAGE_BYTES)
		drawn.response_bytes = t->ops[drawn.ops - 1].bytes = WIRE_MESSAGE_BYTES;
	row.request_bytes = walk_request_bytes(&t->schedule, thread, request, &raised);
	row.response_bytes = drawn.response_bytes;
	t->class_requests[class]++;
	t->manifest.ledger.count[LG_REQUESTS]++;
	t->last_ns = w->due_ns > t->last_ns ? w->due_ns : t->last_ns;
	rc = trace_write(t->writer, TABLE_REQUESTS, &row, err);
	for (size_t i = 0; i < drawn.ops && !rc; i++)
		rc = write_op(t, row.request_id, w->due_ns, &t->ops[i], err);
	return rc;
}

static int write_next(struct walk_trace *t, uint32_t thread, uint64_t request, struct err *err)
{
	int rc = move_on(t, thread, request, err);

	if (!rc)
		rc = write_request(t, thread, request, err);
	t->walkers[thread].requests++;
	return rc;
}

static int write_requests(struct walk_trace *t, struct err *err)
{
	int rc = 0;

	for (uint64_t request = 0; request < t->schedule.requests && !rc; request++) {
		for (uint32_t thread = 0; thread < t->schedule.threads && !rc; thread++)
			rc = write_next(t, thread, request, err);
		if (!rc && *t->opts->interrupted)
			rc = err_set(err, EINTR, "interrupted");
	}
	for (uint32_t thread = 0; thread < t->schedule.threads && !rc; thread++)
		rc = end_session(t, thread, true, err);
	return rc;
}

/* --- the rest ------------------------------------------------------------------------------ */

static int write_service(struct walk_trace *t, struct err *err)
{
	struct row_service row = {
		.service_id = WALK_SERVICE,
		.host_id = 1,
		.name = "node",
		.io_model = "event-loop",
	};
	char text[ADDRESS_TEXT_SIZE];

	snprintf(row.listen, sizeof(row.listen), "%.63s", address_format(&t->opts->to, text));
	return trace_write(t->writer, TABLE_SERVICES, &row, err);
}

static int write_all(struct walk_trace *t, struct err *err)
{
	struct manifest *m = &t->manifest;
	int rc = write_service(t, err);

	if (!rc)
		rc = write_requests(t, err);
	if (!rc)
		rc = walk_tables_write(t->writer, t->opts, t->class_requests, &t->extents, err);
	if (rc)
		return rc;
	m->duration_ns = t->last_ns;
	return trace_writer_finish(t->writer, m, err);
}

static void describe_here(struct walk_trace *t)
{
	struct manifest *m = &t->manifest;

	walk_manifest_init(t->opts, clock_now_ns(), m);
	m->start_monotonic_ns = clock_now_ns();
	m->work_per_ms = t->chain.work_per_ms;
	snprintf(m->attribution, sizeof(m->attribution), "none");
	manifest_host_here(&m->hosts[0]);
	m->hosts[0].host_id = 1;
	m->hosts_count = 1;
}

int walk_trace_write(const struct walk_opts *opts, struct ledger *ret_ledger, struct err *err)
{
	struct walk_trace *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_errno(err, ENOMEM, "cannot write '%s'", opts->run);
	t->opts = opts;
	t->schedule = walk_schedule_of(opts);
	t->chain = opts->chain;
	t->chain.work_per_ms = work_calibrate();
	t->walkers = calloc(opts->threads, sizeof(*t->walkers));
	t->ops = calloc(opts->chain.count, sizeof(*t->ops));
	rc = t->walkers && t->ops ?
		     trace_writer_new(opts->run, opts->replace_run ? TRACE_WRITER_REPLACE : 0,
				      &t->writer, err) :
		     err_errno(err, ENOMEM, "cannot write '%s'", opts->run);
	if (!rc) {
		describe_here(t);
		rc = write_all(t, err);
	}
	*ret_ledger = t->manifest.ledger;
	trace_writer_free(t->writer);
	free(t->walkers);
	free(t->ops);
	free(t);
	return rc;
}
