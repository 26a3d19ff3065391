/* SPDX-License-Identifier: Apache-2.0 */
/* Calls with the requests that they became: parents, called services, and what stayed single. */
#include "edit/merge_state.h"

#include <stdlib.h>

/* Whether the other capture ran all through it; if that is not known, yes. */
static bool was_captured(const struct merge *m, const struct join_clock *clock,
			 const struct end *in, const struct join_message *call)
{
	const struct input *input = &m->inputs[in->input];
	int64_t duration_ns = trace_manifest(input->trace)->duration_ns;

	if (trace_is_partial(input->trace) || duration_ns <= 0)
		return true;
	return call->start_ns >= join_clock_of_request(clock, input->start_ns) &&
	       call->end_ns <= join_clock_of_request(clock, input->start_ns + duration_ns);
}

static bool caller_was_captured(const struct merge *m, const struct end *out, int64_t start_ns,
				int64_t end_ns)
{
	const struct input *input = &m->inputs[out->input];
	int64_t duration_ns = trace_manifest(input->trace)->duration_ns;

	if (trace_is_partial(input->trace) || duration_ns <= 0)
		return true;
	return start_ns >= input->start_ns && end_ns <= input->start_ns + duration_ns;
}

static void count_calls(struct merge *m, const struct join *j, const struct end *in)
{
	for (size_t i = 0; i < j->calls_count; i++) {
		const struct join_message *call = &j->calls[i];

		if (call->mate != JOIN_NONE) {
			m->ledger.count[LG_CALLS_JOINED]++;
			m->ledger.count[LG_JOINS_DOUBTFUL] += call->doubtful;
		} else if (was_captured(m, &j->clock, in, call)) {
			m->ledger.count[LG_CALLS_UNJOINED]++;
		} else {
			m->ledger.count[LG_CALLS_OUTSIDE]++;
		}
	}
}

static void take_parents(struct merge *m, const struct join *j, const struct end *out,
			 const struct end *in)
{
	const uint64_t *caller = m->inputs[out->input].first, *called = m->inputs[in->input].first;

	for (size_t i = 0; i < j->requests_count; i++) {
		const struct join_message *request = &j->requests[i], *call;

		if (request->mate == JOIN_NONE) {
			m->ledger.count[LG_REQUESTS_UNJOINED] += caller_was_captured(
				m, out, join_clock_of_request(&j->clock, request->start_ns),
				join_clock_of_request(&j->clock, request->end_ns));
			continue;
		}
		call = &j->calls[request->mate];
		if (!call->request_id)
			continue;
		m->parents[m->parents_count++] = (struct parent){
			.child_id = called[IDS_REQUEST] + request->request_id,
			.parent_id = caller[IDS_REQUEST] + call->request_id,
			.doubtful = request->doubtful,
		};
	}
}

static int join_ends(struct merge *m, const struct end *out)
{
	const struct end *in = &m->ends[out->mate];
	struct join j = {
		.calls = m->messages + out->first,
		.calls_count = out->count,
		.requests = m->messages + in->first,
		.requests_count = in->count,
	};
	uint32_t caller = m->inputs[out->input].host, called = m->inputs[in->input].host;

	j.clock = merge_clock_of(m, out->input, in->input, &j.slack_ns);
	if (caller != called &&
	    m->pairs[caller < called ? caller : called][caller < called ? called : caller].fit ==
		    CLOCK_UNBOUNDED) {
		m->ledger.count[LG_CALLS_UNJOINED] += out->count;
		m->ledger.count[LG_REQUESTS_UNJOINED] += in->count;
		return 0;
	}
	if (join_all(&j))
		return merge_no_memory(m);
	count_calls(m, &j, in);
	take_parents(m, &j, out, in);
	return 0;
}

static int by_child(const void *a, const void *b)
{
	const struct parent *x = a, *y = b;

	return x->child_id < y->child_id ? -1 : x->child_id > y->child_id;
}

static int by_target(const void *a, const void *b)
{
	const struct called_service *x = a, *y = b;

	if (x->target_id != y->target_id)
		return x->target_id < y->target_id ? -1 : 1;
	return x->service_id < y->service_id ? -1 : x->service_id > y->service_id;
}

/* One entry a target; one that different services answered is nobody's. */
static void settle_called(struct merge *m)
{
	size_t kept = 0;

	if (m->called_count)
		qsort(m->called, m->called_count, sizeof(*m->called), by_target);
	for (size_t i = 0; i < m->called_count; i++) {
		struct called_service *last = kept ? &m->called[kept - 1] : NULL;

		if (!last || last->target_id != m->called[i].target_id)
			m->called[kept++] = m->called[i];
		else if (last->service_id != m->called[i].service_id)
			last->service_id = 0;
	}
	m->called_count = kept;
}

static void note_called(struct merge *m, const struct end *out)
{
	const struct end *in = &m->ends[out->mate];

	if (!out->target_id || !in->service_id)
		return;
	m->called[m->called_count++] = (struct called_service){
		.target_id = m->inputs[out->input].first[IDS_TARGET] + out->target_id,
		.service_id = m->inputs[in->input].first[IDS_SERVICE] + in->service_id,
	};
}

int merge_join_calls(struct merge *m)
{
	size_t requests = 0, calls = 0;

	for (const struct end *end = m->ends; end < m->ends + m->ends_count; end++) {
		if (end->mate == JOIN_NONE)
			continue;
		requests += end->outgoing ? 0 : end->count;
		calls += end->outgoing;
	}
	m->parents = calloc(requests + 1, sizeof(*m->parents));
	m->called = calloc(calls + 1, sizeof(*m->called));
	if (!m->parents || !m->called)
		return merge_no_memory(m);
	for (const struct end *out = m->ends; out < m->ends + m->ends_count; out++) {
		int rc;

		if (!out->outgoing || out->mate == JOIN_NONE)
			continue;
		rc = join_ends(m, out);
		if (rc)
			return rc;
		note_called(m, out);
	}
	qsort(m->parents, m->parents_count, sizeof(*m->parents), by_child);
	settle_called(m);
	return 0;
}
