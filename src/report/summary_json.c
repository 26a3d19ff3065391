/* SPDX-License-Identifier: Apache-2.0 */
#include "report/summary_json.h"

#include "report/hist_json.h"

/* Every function returns 0, or non-zero when memory ran out. */
typedef int (*put_fn)(struct json *object, const struct summary *s, const struct manifest *m);

static int put_trust(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *edited = json_put_array(root, "edited_tables");
	int rc = !edited || json_put_bool(root, "trusted", !summary_is_doubtful(s, m)) ||
		 json_put_bool(root, "partial", s->partial) ||
		 json_put_text(root, "load", m->load) ||
		 json_put_u64(root, "warm_up_ns", m->warm_up_ns) ||
		 json_put_text(root, "verdict", m->verdict);

	for (int t = 0; t < TABLE_COUNT && !rc; t++) {
		if (s->edited & 1U << t)
			rc = json_add_text(edited, tables[t].name);
	}
	return rc;
}

static int put_ledger(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *ledger = json_put_object(root, "ledger");
	int rc = !ledger;

	for (int i = 0; i < LG_COUNT && !rc; i++)
		rc = json_put_u64(ledger, ledger_infos[i].name, s->ledger.count[i]);
	return rc;
}

static int put_origin(struct json *root, const struct summary *s, const struct manifest *m)
{
	return json_put_text(root, "source", m->source) || json_put_text(root, "tool", m->tool) ||
	       json_put_text(root, "filter", m->filter) ||
	       json_put_text(root, "started_at", m->started_at) ||
	       json_put_text(root, "detail", m->detail) ||
	       json_put_text(root, "assumed", m->assumed) ||
	       json_put_u64(root, "sample_one_in", m->sample_one_in) ||
	       json_put_int(root, "duration_ns", s->duration_ns) ||
	       json_put_int(root, "service_user_ns", m->service_user_ns) ||
	       json_put_int(root, "service_kernel_ns", m->service_kernel_ns) ||
	       json_put_int(root, "probe_overhead_ns_per_request", m->price.ns_per_request) ||
	       json_put_int(root, "probe_overhead_low_ns", m->price.low_ns) ||
	       json_put_int(root, "probe_overhead_high_ns", m->price.high_ns) ||
	       json_put_int(root, "probe_throughput_ppm", m->price.throughput_ppm) ||
	       json_put_int(root, "bystander_on_ps", m->price.bystander_on_ps) ||
	       json_put_int(root, "bystander_off_ps", m->price.bystander_off_ps);
}

static int put_host(struct json *host, const struct manifest_host *from)
{
	return !host || json_put_u64(host, "host_id", from->host_id) ||
	       json_put_text(host, "name", from->name) ||
	       json_put_text(host, "kernel", from->kernel) ||
	       json_put_text(host, "cpu_model", from->cpu_model) ||
	       json_put_u64(host, "cpus", from->cpus) ||
	       json_put_u64(host, "memory_bytes", from->memory_bytes) ||
	       json_put_text(host, "clock_source", from->clock_source) ||
	       json_put_text(host, "mitigations", from->mitigations) ||
	       json_put_text(host, "cgroup_cpu_quota", from->cgroup_cpu_quota);
}

static int put_hosts(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *hosts = json_put_array(root, "hosts");
	int rc = !hosts;

	for (uint32_t i = 0; i < m->hosts_count && !rc; i++)
		rc = put_host(json_add_object(hosts), &m->hosts[i]);
	return rc;
}

static int put_outcomes(struct json *parent, const struct summary *s)
{
	struct json *outcomes = json_put_object(parent, "outcomes");
	int rc = !outcomes;

	for (int i = 0; i < OUTCOME_COUNT && !rc; i++)
		rc = json_put_u64(outcomes, outcome_names[i], s->outcomes[i]);
	return rc;
}

static int put_requests(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *object = json_put_object(root, "requests");

	return !object || json_put_u64(object, "count", summary_requests_count(s)) ||
	       json_put_u64(object, "with_rows", s->requests.count) ||
	       json_put_double(object, "per_second", summary_rate(s, summary_requests_count(s))) ||
	       json_put_u64(object, "peak_per_second", s->peak_per_second) ||
	       json_put_double(object, "under_way", summary_in_flight(s)) ||
	       json_put_u64(object, "spans_unknown", s->spans_unknown) ||
	       json_put_u64(object, "doubtful", s->doubtful) ||
	       hist_put_json(object, "request_bytes", &s->request_sizes) ||
	       hist_put_json(object, "response_bytes", &s->response_sizes) ||
	       hist_put_json(object, "server_span_ns", &s->requests.span) ||
	       hist_put_json(object, "client_span_ns", &s->client_span) ||
	       hist_put_json(object, "client_wait_ns", &s->client_wait) ||
	       hist_put_json(object, "client_late_ns", &s->client_late) || put_outcomes(object, s);
}

static int put_sums(struct json *object, const struct summary_requests *sum)
{
	return json_put_u64(object, "requests", sum->count) ||
	       json_put_u64(object, "request_bytes", sum->request_bytes) ||
	       json_put_u64(object, "response_bytes", sum->response_bytes) ||
	       json_put_u64(object, "ops", sum->ops) ||
	       json_put_u64(object, "cpu_ns", sum->cpu_ns) ||
	       hist_put_json(object, "server_span_ns", &sum->span);
}

static int put_service(struct json *object, const struct summary_service *service)
{
	return !object || json_put_u64(object, "service_id", service->row.service_id) ||
	       json_put_text(object, "name", service->row.name) ||
	       json_put_text(object, "listen", service->row.listen) ||
	       json_put_u64(object, "threads", service->row.threads) ||
	       json_put_text(object, "io_model", service->row.io_model) ||
	       json_put_u64(object, "connections", service->connections) ||
	       json_put_u64(object, "closed_loop_connections", service->dependent) ||
	       json_put_u64(object, "outgoing_connections", service->outgoing) ||
	       put_sums(object, &service->requests);
}

static int put_services(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *array = json_put_array(root, "services");
	int rc = !array;

	for (size_t i = 1; i < s->services_count && !rc; i++)
		rc = put_service(json_add_object(array), &s->services[i]);
	return rc;
}

static int put_edge(struct json *object, const struct summary *s, const struct summary_edge *edge)
{
	uint64_t callers = s->services[edge->from].requests.count;

	return !object ||
	       json_put_u64(object, "from_service_id", s->services[edge->from].row.service_id) ||
	       json_put_u64(object, "to_service_id", s->services[edge->to].row.service_id) ||
	       json_put_u64(object, "calls", edge->calls) ||
	       json_put_double(object, "calls_per_request",
			       callers ? (double)edge->calls / (double)callers : 0);
}

static int put_topology(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *object = json_put_object(root, "topology"), *array;
	int rc = !object || json_put_u64(object, "requests_with_parent", s->with_parent);

	array = rc ? NULL : json_put_array(object, "calls");
	rc = !array;
	for (size_t i = 0; i < s->edges_count && !rc; i++)
		rc = put_edge(json_add_object(array), s, &s->edges[i]);
	return rc;
}

static int put_class(struct json *object, const struct summary_class *class)
{
	return !object || json_put_u64(object, "class_id", class->row.class_id) ||
	       json_put_u64(object, "service_id", class->row.service_id) ||
	       json_put_text(object, "name", class->row.name) ||
	       json_put_text(object, "signature", class->row.signature) ||
	       put_sums(object, &class->requests);
}

static int put_classes(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *array = json_put_array(root, "classes");
	int rc = !array;

	for (size_t i = 0; i < s->classes_count && !rc; i++)
		rc = put_class(json_add_object(array), &s->classes[i]);
	return rc;
}

static int put_op_kind(struct json *object, const char *name, const struct summary_ops *ops)
{
	return !object || json_put_text(object, "kind", name) ||
	       json_put_u64(object, "count", ops->count) ||
	       json_put_u64(object, "background", ops->background) ||
	       json_put_u64(object, "failed", ops->failed) ||
	       json_put_u64(object, "bytes", ops->bytes) ||
	       json_put_u64(object, "reply_bytes", ops->reply_bytes) ||
	       json_put_u64(object, "cpu_ns", ops->cpu_ns) ||
	       hist_put_json(object, "elapsed_ns", &ops->elapsed);
}

static int put_ops(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *array = json_put_array(root, "operations");
	int rc = !array;

	for (int i = 0; i < OP_KIND_COUNT && !rc; i++) {
		if (s->ops[i].count)
			rc = put_op_kind(json_add_object(array), op_kind_names[i], &s->ops[i]);
	}
	return rc;
}

/* Sums over the band, so that a script can add up services. */
static int put_band(struct json *object, const char *name, const struct summary_band *band)
{
	struct json *rows;
	int rc = !object || json_put_text(object, "band", name) ||
		 json_put_u64(object, "requests", band->requests) ||
		 json_put_int(object, "total_ns", band->total_ns) ||
		 json_put_int(object, "unattributed_ns", band->unattributed_ns);

	rows = rc ? NULL : json_put_object(object, "subsystems_ns");
	for (int i = 0; i < SUB_COUNT && rows && !rc; i++)
		rc = json_put_int(rows, subsystems[i].name, band->ns[i]);
	return !rows || rc;
}

static int put_bands(struct json *object, const struct summary_service *service)
{
	struct json *bands;
	int rc;

	if (!object || json_put_u64(object, "service_id", service->row.service_id) ||
	    json_put_text(object, "name", service->row.name))
		return -1;
	bands = json_put_array(object, "bands");
	rc = !bands;
	for (int i = 0; i < BAND_COUNT && !rc; i++)
		rc = put_band(json_add_object(bands), summary_band_names[i], &service->bands[i]);
	return rc;
}

static int put_breakdown(struct json *root, const struct summary *s, const struct manifest *m)
{
	struct json *array = json_put_array(root, "breakdown");
	int rc = !array;

	for (size_t i = 0; i < s->services_count && !rc; i++) {
		if (hist_count(&s->services[i].total))
			rc = put_bands(json_add_object(array), &s->services[i]);
	}
	return rc;
}

/* In the order of the text for people. */
static const put_fn parts[] = {
	put_trust,    put_ledger,   put_origin,	 put_hosts, put_requests,
	put_services, put_topology, put_classes, put_ops,   put_breakdown,
};

struct json *summary_to_json(const struct summary *s, const struct manifest *m)
{
	struct json *root = json_new_object();
	int rc = !root;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !rc; i++)
		rc = parts[i](root, s, m);
	if (!rc)
		return root;
	json_free(root);
	return NULL;
}
