/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan.h"

#include "replay/plan_chains.h"
#include "replay/plan_source.h"
#include "replay/wire.h"

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

static int source_read(struct plan_source *s, struct trace *t, struct err *err)
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
	return ret;
}

static void source_release(struct plan_source *s)
{
	free(s->services);
	free(s->connections);
	free(s->classes);
	free(s->requests);
	free(s->ops);
	free(s->op_requests);
	free(s->targets);
}

static uint64_t requests_of(const struct plan_source *s, uint64_t service_id)
{
	uint64_t requests = 0;

	for (size_t i = 0; i < s->requests_count; i++)
		requests += s->requests[i].service_id == service_id && !s->requests[i].parent_id;
	return requests;
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

/* The service that the world calls most: this version replays one. */
static int choose_service(struct planner *p, struct err *err)
{
	uint64_t most = 0;
	int ret = assume_service(&p->source, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < p->source.services_count; i++) {
		uint64_t requests = requests_of(&p->source, p->source.services[i].service_id);

		if (requests > most)
			p->plan->service = p->source.services[i];
		most = requests > most ? requests : most;
	}
	return most ? 0 : err_set(err, ENODATA, "the trace has no request to replay");
}

/* In a run when the client was to send it: that it was late is delay. Else when it arrived. */
static int64_t due_of(const struct row_request *row)
{
	int64_t due = row->intended_ns != TRACE_NONE ? row->intended_ns :
		      row->arrival_ns != TRACE_NONE  ? row->arrival_ns :
						       row->read_ns;

	return due > 0 ? due : 0;
}

/* Requests of other services are the doing of this one: its calls, which are stubbed. */
static bool is_replayable(const struct planner *p, const struct row_request *row,
			  struct ledger *ledger)
{
	if (row->service_id != p->plan->service.service_id) {
		ledger->count[row->parent_id ? LG_CALLS_STUBBED : LG_UNSENT]++;
		return false;
	}
	if (row->request_id && row->connection_id && row->request_bytes &&
	    row->request_bytes <= WIRE_MESSAGE_MAX && row->response_bytes <= WIRE_MESSAGE_MAX)
		return true;
	ledger->count[LG_UNSENT]++;
	return false;
}

static int compare_due(const void *a, const void *b)
{
	const struct row_request *x = ((const struct plan_origin *)a)->row;
	const struct row_request *y = ((const struct plan_origin *)b)->row;
	int64_t due = due_of(x) - due_of(y);

	if (due)
		return due < 0 ? -1 : 1;
	return (x->request_id > y->request_id) - (x->request_id < y->request_id);
}

static int collect_requests(struct planner *p, struct err *err)
{
	const struct plan_source *s = &p->source;
	struct plan *plan = p->plan;

	p->origins = calloc(s->requests_count + 1, sizeof(*p->origins));
	plan->requests = calloc(s->requests_count + 1, sizeof(*plan->requests));
	if (!p->origins || !plan->requests || idmap_init(&p->requests, s->requests_count))
		return err_errno(err, ENOMEM, "cannot hold %zu requests", s->requests_count);

	for (size_t i = 0; i < s->requests_count; i++)
		if (is_replayable(p, &s->requests[i], &plan->ledger))
			p->origins[plan->requests_count++].row = &s->requests[i];
	qsort(p->origins, plan->requests_count, sizeof(*p->origins), compare_due);
	for (size_t i = 0; i < plan->requests_count; i++) {
		const struct row_request *row = p->origins[i].row;

		plan->requests[i] = (struct plan_request){
			.request_id = row->request_id,
			.connection_id = row->connection_id,
			.class_id = row->class_id,
			.request_bytes = row->request_bytes,
			.response_bytes = row->response_bytes,
			.due_ns = due_of(row),
		};
		idmap_put(&p->requests, row->request_id, (uint32_t)i);
	}
	return 0;
}

/* Each request's class: its index among the service's, and how its CPU is scaled. */
static int resolve_classes(struct planner *p, struct err *err)
{
	const struct plan_source *s = &p->source;
	struct idmap classes = { 0 };

	if (idmap_init(&classes, s->classes_count))
		return err_errno(err, ENOMEM, "cannot hold %zu classes", s->classes_count);
	for (size_t i = 0; i < s->classes_count; i++)
		idmap_put(&classes, s->classes[i].class_id, (uint32_t)i);
	p->classes = s->classes_count + 1;
	for (size_t i = 0; i < p->plan->requests_count; i++) {
		struct plan_origin *origin = &p->origins[i];
		uint32_t c = idmap_get(&classes, origin->row->class_id);
		uint64_t ppm = c == IDMAP_NONE ? 0 : s->classes[c].demand_ppm;

		origin->class_index = c == IDMAP_NONE ? (uint32_t)s->classes_count : c;
		origin->demand_ppm = ppm && ppm < UINT32_MAX ? (uint32_t)ppm : 1000000;
	}
	idmap_release(&classes);
	return 0;
}

/* Threads that serve requests get the first indices, in the order of their first request. */
static int collect_threads(struct planner *p, struct err *err)
{
	struct plan *plan = p->plan;

	if (idmap_init(&p->threads, plan->requests_count + WIRE_BACKGROUND_THREADS_MAX))
		return err_errno(err, ENOMEM, "cannot hold the threads");
	for (size_t i = 0; i < plan->requests_count; i++) {
		uint64_t thread_id = p->origins[i].row->thread_id;

		if (!thread_id || idmap_get(&p->threads, thread_id) != IDMAP_NONE)
			continue;
		idmap_put(&p->threads, thread_id, plan->threads++);
	}
	plan->threads += plan->threads == 0;
	if (plan->threads <= WIRE_THREADS_MAX)
		return 0;
	return err_set(err, E2BIG, "the service ran on %u threads; a node plays at most %u",
		       plan->threads, WIRE_THREADS_MAX);
}

static uint32_t thread_of(const struct planner *p, size_t request)
{
	uint32_t thread = idmap_get(&p->threads, p->origins[request].row->thread_id);

	return thread == IDMAP_NONE ? 0 : thread;
}

/* In the order of their first request. */
static int collect_connections(struct planner *p, struct err *err)
{
	struct plan *plan = p->plan;
	struct idmap seen = { 0 };

	plan->connections = calloc(plan->requests_count + 1, sizeof(*plan->connections));
	if (!plan->connections || idmap_init(&seen, plan->requests_count))
		return err_errno(err, ENOMEM, "cannot hold the connections");
	for (size_t i = 0; i < plan->requests_count; i++) {
		const struct plan_request *r = &plan->requests[i];
		uint32_t c = idmap_get(&seen, r->connection_id);

		if (c == IDMAP_NONE) {
			c = (uint32_t)plan->connections_count++;
			idmap_put(&seen, r->connection_id, c);
			plan->connections[c] = (struct plan_connection){
				.connection_id = r->connection_id,
				.origin_id = r->connection_id,
				.service_id = plan->service.service_id,
				.first_due_ns = r->due_ns,
			};
		}
		plan->connections[c].last_due_ns = r->due_ns;
		plan->connections[c].requests++;
	}
	idmap_release(&seen);
	if (plan->connections_count <= WIRE_CONNECTIONS_MAX)
		return 0;
	return err_set(err, E2BIG, "the trace has %zu connections; a node takes at most %u",
		       plan->connections_count, WIRE_CONNECTIONS_MAX);
}

/* The thread that served most of a connection's requests; counts[] is all 0 before and after. */
static uint32_t most_frequent_thread(const struct planner *p, const struct plan_chains *chains,
				     size_t connection, uint32_t *counts)
{
	uint32_t best = 0;

	for (uint32_t r = chains->first[connection]; r != PLAN_CHAIN_END; r = chains->next[r])
		counts[thread_of(p, r)]++;
	for (uint32_t thread = 0; thread < p->plan->threads; thread++) {
		if (counts[thread] > counts[best])
			best = thread;
	}
	memset(counts, 0, p->plan->threads * sizeof(*counts));
	return best;
}

/*
 * The wire there and back: TCP's least round trip. Its smoothed one is mostly the
 * peer's think time, as acknowledgements ride on the next request.
 */
static int64_t wire_ns(const struct row_connection *row)
{
	return row->min_rtt_ns > 0 ? row->min_rtt_ns : 0; /* TRACE_NONE too */
}

/*
 * A request waits for the reply that it waited for in the capture. The think time
 * there was seen at the server: from the reply's last byte out to this one's first
 * byte in. The round trip in it is delay, which comes back by itself.
 */
static void depend(struct planner *p, const struct plan_chains *chains, size_t connection,
		   int64_t round_trip_ns)
{
	for (uint32_t r = chains->first[connection]; r != PLAN_CHAIN_END; r = chains->next[r]) {
		const struct row_request *row = p->origins[r].row;
		uint32_t before = idmap_get(&p->requests, row->after_request);
		int64_t think = row->think_ns != TRACE_NONE ? row->think_ns : 0;

		if (before == IDMAP_NONE || chains->connection[before] != connection ||
		    chains->next[before] != r)
			continue;
		p->plan->requests[r].after_request = row->after_request;
		p->plan->requests[r].think_ns = think > round_trip_ns ? think - round_trip_ns : 0;
	}
}

static void describe_connection(struct planner *p, const struct plan_chains *chains, size_t c,
				const struct row_connection *row, uint32_t *counts)
{
	static const struct row_connection unknown = { .min_rtt_ns = TRACE_NONE };
	struct plan_connection *connection = &p->plan->connections[c];
	enum plan_arrivals arrivals = p->opts->arrivals;

	row = row ? row : &unknown;
	connection->thread = most_frequent_thread(p, chains, c, counts);
	connection->dependent = arrivals == PLAN_ARRIVALS_DEPENDENT ||
				(arrivals == PLAN_ARRIVALS_AUTO && row->dependent);
	if (connection->dependent)
		depend(p, chains, c, wire_ns(row));
}

static int describe_connections(struct planner *p, struct err *err)
{
	const struct plan_source *s = &p->source;
	uint32_t counts[WIRE_THREADS_MAX] = { 0 };
	struct plan_chains chains = { 0 };
	struct idmap rows = { 0 };
	int ret = 0;

	if (plan_chains_init(&chains, p->plan) || idmap_init(&rows, s->connections_count)) {
		ret = err_errno(err, ENOMEM, "cannot hold the connections");
		goto out;
	}
	for (size_t i = 0; i < s->connections_count; i++)
		idmap_put(&rows, s->connections[i].connection_id, (uint32_t)i);
	for (size_t c = 0; c < p->plan->connections_count; c++) {
		uint32_t row = idmap_get(&rows, p->plan->connections[c].connection_id);

		describe_connection(p, &chains, c, row == IDMAP_NONE ? NULL : &s->connections[row],
				    counts);
	}
	if (plan_find_successions(p, &chains))
		ret = err_errno(err, ENOMEM, "cannot hold the connections");
out:
	idmap_release(&rows);
	plan_chains_release(&chains);
	return ret;
}

static int collect_targets(struct planner *p, struct err *err)
{
	const struct plan_source *s = &p->source;
	struct plan *plan = p->plan;

	plan->targets = calloc(s->targets_count + 1, sizeof(*plan->targets));
	if (!plan->targets || idmap_init(&p->targets, s->targets_count))
		return err_errno(err, ENOMEM, "cannot hold %zu targets", s->targets_count);
	for (size_t i = 0; i < s->targets_count; i++) {
		if (s->targets[i].kind != TARGET_FILE || !s->targets[i].target_id)
			continue;
		idmap_put(&p->targets, s->targets[i].target_id, (uint32_t)plan->targets_count);
		plan->targets[plan->targets_count++] = s->targets[i];
	}
	if (plan->targets_count <= WIRE_TARGETS_MAX)
		return 0;
	return err_set(err, E2BIG, "the trace uses %zu files; a node keeps at most %u",
		       plan->targets_count, WIRE_TARGETS_MAX);
}

static int64_t duration_of(const struct plan *plan, const struct manifest *m)
{
	int64_t last = plan->requests_count ? plan->requests[plan->requests_count - 1].due_ns : 0;

	return m && m->duration_ns > last ? m->duration_ns : last;
}

typedef int (*plan_step)(struct planner *p, struct err *err);

static int plan_fill(struct planner *p, struct trace *t, struct err *err)
{
	static const plan_step steps[] = {
		choose_service,	 collect_requests,    resolve_classes,
		collect_threads, collect_connections, describe_connections,
		collect_targets, plan_find_structure, plan_ops_build,
	};
	int ret = source_read(&p->source, t, err);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !ret; i++)
		ret = steps[i](p, err);
	p->plan->duration_ns = duration_of(p->plan, trace_manifest(t));
	return ret;
}

int plan_build(struct trace *t, const struct plan_opts *opts, struct plan *ret_plan,
	       struct err *err)
{
	struct plan plan = { 0 };
	struct planner p = { .opts = opts, .plan = &plan };
	int ret = plan_fill(&p, t, err);

	source_release(&p.source);
	free(p.origins);
	idmap_release(&p.requests);
	idmap_release(&p.threads);
	idmap_release(&p.targets);
	if (ret)
		plan_release(&plan);
	else
		*ret_plan = plan;
	return ret;
}

void plan_release(struct plan *p)
{
	if (!p)
		return;
	free(p->targets);
	free(p->connections);
	free(p->requests);
	free(p->ops);
	free(p->background);
	*p = (struct plan){ 0 };
}
