/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/plan.h"

#include "replay/net/wire.h"
#include "replay/plan/chains.h"
#include "replay/plan/source.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In a run when the client was to send it: that it was late is delay. Else when it arrived. */
static int64_t due_of(const struct row_request *row)
{
	int64_t due = row->intended_ns != TRACE_NONE ? row->intended_ns :
		      row->arrival_ns != TRACE_NONE  ? row->arrival_ns :
						       row->read_ns;

	return due > 0 ? due : 0;
}

/* Whose requests come by calls: what nobody calls for is stubbed with its call. */
static bool is_replayable(const struct planner *p, const struct row_request *row,
			  struct ledger *ledger)
{
	size_t index = (size_t)(row - p->source.requests);

	if (row->service_id != p->plan->service.service_id)
		return false;
	if (p->calls && p->calls->of_request[index] == PLAN_CALL_STUBBED) {
		ledger->count[LG_CALLS_STUBBED]++;
		return false;
	}
	if (row->request_id && row->connection_id && row->request_bytes &&
	    row->request_bytes <= WIRE_MESSAGE_MAX && row->response_bytes <= WIRE_MESSAGE_MAX)
		return true;
	ledger->count[LG_UNSENT]++;
	return false;
}

/* 0: the client sends it. */
static uint64_t caller_of(const struct planner *p, const struct row_request *row)
{
	size_t index = (size_t)(row - p->source.requests);

	return p->calls && p->calls->of_request[index] == PLAN_CALL_MADE ? row->parent_id : 0;
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
	if (!p->origins || idmap_init(&p->requests, s->requests_count))
		return err_errno(err, ENOMEM, "cannot hold %zu requests", s->requests_count);

	for (size_t i = 0; i < s->requests_count; i++)
		if (is_replayable(p, &s->requests[i], &plan->ledger))
			p->origins[plan->requests_count++].row = &s->requests[i];
	plan->requests =
		scratch_alloc(plan->scratch, plan->requests_count * sizeof(*plan->requests), err);
	if (!plan->requests)
		return -ENOMEM;
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
			.parent_id = caller_of(p, row),
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
		    chains->next[before] != r || p->plan->requests[before].parent_id)
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

/* Of a call it is the caller that says when. */
static void depend_on_callers(struct plan *plan)
{
	for (size_t i = 0; i < plan->requests_count; i++) {
		if (!plan->requests[i].parent_id)
			continue;
		plan->requests[i].after_request = 0;
		plan->requests[i].think_ns = 0;
	}
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
	depend_on_callers(p->plan);
out:
	idmap_release(&rows);
	plan_chains_release(&chains);
	return ret;
}

/* Of several services each lays out its own files. */
static int collect_used(const struct planner *p, struct idmap *used)
{
	const struct plan_source *s = &p->source;

	if (idmap_init(used, s->targets_count + s->ops_count))
		return -ENOMEM;
	for (size_t i = 0; i < s->ops_count; i++) {
		const struct row_op *op = &s->ops[i];

		if (op->service_id == p->plan->service.service_id ||
		    idmap_get(&p->requests, op->request_id) != IDMAP_NONE)
			idmap_put(used, op->target_id, 0);
	}
	return 0;
}

static int collect_targets(struct planner *p, struct err *err)
{
	const struct plan_source *s = &p->source;
	struct idmap used = { 0 };
	struct plan *plan = p->plan;

	plan->targets = calloc(s->targets_count + 1, sizeof(*plan->targets));
	if (!plan->targets || idmap_init(&p->targets, s->targets_count) ||
	    (p->calls && collect_used(p, &used)))
		return err_errno(err, ENOMEM, "cannot hold %zu targets", s->targets_count);
	for (size_t i = 0; i < s->targets_count; i++) {
		if (s->targets[i].kind != TARGET_FILE || !s->targets[i].target_id ||
		    (p->calls && idmap_get(&used, s->targets[i].target_id) == IDMAP_NONE))
			continue;
		idmap_put(&p->targets, s->targets[i].target_id, (uint32_t)plan->targets_count);
		plan->targets[plan->targets_count++] = s->targets[i];
	}
	idmap_release(&used);
	if (plan->targets_count <= WIRE_TARGETS_MAX)
		return 0;
	return err_set(err, E2BIG, "the trace uses %zu files; a node keeps at most %u",
		       plan->targets_count, WIRE_TARGETS_MAX);
}

static int64_t duration_of(const struct plan *plan, int64_t duration_ns)
{
	int64_t last = plan->requests_count ? plan->requests[plan->requests_count - 1].due_ns : 0;

	return duration_ns > last ? duration_ns : last;
}

typedef int (*plan_step)(struct planner *p, struct err *err);

/* Each goes over the rows once more, mostly in their order. */
static int run_step(struct planner *p, plan_step step, struct err *err)
{
	plan_source_forget(&p->source);
	plan_forget(p->plan);
	return step(p, err);
}

int plan_build_service(const struct plan_source *source, const struct plan_opts *opts,
		       const struct row_service *service, const struct plan_calls *calls,
		       struct plan *ret_plan, struct err *err)
{
	static const plan_step steps[] = {
		collect_requests,     resolve_classes, collect_threads,	    collect_connections,
		describe_connections, collect_targets, plan_find_structure, plan_ops_build,
	};
	struct plan plan = { .service = *service, .scratch = opts->scratch };
	struct planner p = { .source = *source, .opts = opts, .calls = calls, .plan = &plan };
	int ret = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !ret; i++)
		ret = run_step(&p, steps[i], err);
	plan.duration_ns = duration_of(&plan, source->duration_ns);
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

static int compare_requests(const void *a, const void *b)
{
	const struct plan_request *x = a, *y = b;

	if (x->due_ns != y->due_ns)
		return x->due_ns < y->due_ns ? -1 : 1;
	return (x->request_id > y->request_id) - (x->request_id < y->request_id);
}

static int compare_connections(const void *a, const void *b)
{
	const struct plan_connection *x = a, *y = b;

	if (x->first_due_ns != y->first_due_ns)
		return x->first_due_ns < y->first_due_ns ? -1 : 1;
	return (x->connection_id > y->connection_id) - (x->connection_id < y->connection_id);
}

void plan_sort(struct plan *p)
{
	qsort(p->requests, p->requests_count, sizeof(*p->requests), compare_requests);
	qsort(p->connections, p->connections_count, sizeof(*p->connections), compare_connections);
}

void plan_forget(const struct plan *p)
{
	scratch_forget(p->requests);
	scratch_forget(p->ops);
}

void plan_release(struct plan *p)
{
	if (!p)
		return;
	free(p->targets);
	free(p->connections);
	scratch_free(p->requests);
	scratch_free(p->ops);
	free(p->background);
	*p = (struct plan){ 0 };
}
