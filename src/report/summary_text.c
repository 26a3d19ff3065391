/* SPDX-License-Identifier: Apache-2.0 */
#include "report/summary_text.h"

#include "base/units.h"
#include "report/cells.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t per(uint64_t sum, uint64_t count)
{
	return count ? sum / count : 0;
}

static int64_t mean_ns(int64_t sum, uint64_t count)
{
	return count ? sum / (int64_t)count : 0;
}

/* How each severity is headed, the worst first. */
static const struct {
	enum ledger_severity severity;
	const char *name;
} severities[] = {
	{ LEDGER_LOST, "LOST" },	 { LEDGER_REFUSED, "failed" },
	{ LEDGER_DOUBTFUL, "doubtful" }, { LEDGER_UNPAIRED, "unpaired" },
	{ LEDGER_TRUNCATED, "cut" },	 { LEDGER_SEEN, "seen" },
};

static void put_severity(const struct ledger *ledger, enum ledger_severity severity,
			 const char *name, struct grid *grid)
{
	for (int i = 0; i < LG_COUNT; i++) {
		if (ledger_infos[i].severity != severity || !ledger->count[i])
			continue;
		grid_cell(grid, "%s", name);
		cell_count(grid, ledger->count[i]);
		grid_cell(grid, "%s", ledger_infos[i].text);
	}
}

static void put_warnings(const struct summary *s, const struct manifest *m, struct buf *out)
{
	char text[UNIT_TEXT_SIZE], all[UNIT_TEXT_SIZE];

	if (ledger_has_loss(&s->ledger))
		buf_puts(out, "LOSSES: the numbers below are not to be trusted\n");
	if (s->partial)
		buf_puts(out, "CUT SHORT: no manifest; what is whole of each table is shown\n");
	for (int t = 0; t < TABLE_COUNT; t++) {
		if (s->edited & 1U << t)
			buf_printf(out, "EDITED: %s.csv is not what was written\n", tables[t].name);
	}
	if (s->summed)
		grid_put_line(out,
			      "SAMPLE: %s of %s requests have rows, the slowest among them; spans, "
			      "outcomes and breakdown are of all, the rest is of these",
			      unit_format_count(text, sizeof(text), s->requests.count),
			      unit_format_count(all, sizeof(all), s->summed));
	if (m->load[0])
		grid_put_line(out, "not the load of the trace: %s", m->load);
	if (m->warm_up_ns)
		grid_put_line(out, "the first %s are left out of times: %s",
			      unit_format_ns(text, sizeof(text), (int64_t)m->warm_up_ns),
			      m->warm_up_rule);
	if (m->verdict[0])
		grid_put_line(out, "%s", m->verdict);
}

void summary_put_ledger(const struct summary *s, const struct manifest *m, struct buf *out)
{
	struct grid grid;

	put_warnings(s, m, out);
	grid_init(&grid, "lrl");
	for (size_t i = 0; i < sizeof(severities) / sizeof(severities[0]); i++)
		put_severity(&s->ledger, severities[i].severity, severities[i].name, &grid);
	if (!ledger_has_loss(&s->ledger) && !s->partial)
		buf_puts(out, "ledger (nothing lost)\n");
	else
		buf_puts(out, "ledger\n");
	grid_put(&grid, 2, out);
	grid_release(&grid);
}

static void put_origin(const struct summary *s, const struct manifest *m, struct grid *grid)
{
	char duration[UNIT_TEXT_SIZE];

	unit_format_ns(duration, sizeof(duration), s->duration_ns);
	if (m->source[0]) {
		CELLS(grid, "source");
		grid_cell(grid, "%s, written by %s", m->source, m->tool);
	}
	if (m->filter[0])
		CELLS(grid, "filter", m->filter);
	CELLS(grid, "duration");
	if (m->started_at[0])
		grid_cell(grid, "%s from %s", duration, m->started_at);
	else
		grid_cell(grid, "%s", duration);
	if (m->assumed[0])
		CELLS(grid, "ASSUMED", m->assumed);
	if (m->origin[0]) {
		CELLS(grid, "replay of");
		grid_cell(grid, "%s, batching %s", m->origin, m->batching);
	}
}

static void put_host(const struct manifest_host *host, struct grid *grid)
{
	char memory[UNIT_TEXT_SIZE];

	unit_format_bytes(memory, sizeof(memory), host->memory_bytes);
	grid_cell(grid, "host %" PRIu64, host->host_id);
	if (!host->name[0] && !host->cpus) {
		grid_cell(grid, "unknown: packets do not tell");
		return;
	}
	grid_cell(grid, "%s: %" PRIu64 " CPUs (%s), %s, Linux %s, clock %s, CPU quota %s",
		  host->name, host->cpus, host->cpu_model, memory, host->kernel, host->clock_source,
		  host->cgroup_cpu_quota);
	if (host->mitigations[0])
		CELLS(grid, "", host->mitigations);
}

/* The last known price. */
static void put_price(const struct manifest *m, struct grid *grid)
{
	const struct manifest_price *p = &m->price;
	char price[UNIT_TEXT_SIZE], low[UNIT_TEXT_SIZE], high[UNIT_TEXT_SIZE];

	unit_format_ns(price, sizeof(price), p->ns_per_request);
	if (!p->rounds) {
		grid_cell(grid, "%s, %s of CPU per request", m->attribution, price);
		return;
	}
	grid_cell(grid,
		  "%s, %s of CPU per request (95%%: %s to %s, %" PRIu64
		  " rounds), %.1f%% of throughput",
		  m->attribution, price, unit_format_ns(low, sizeof(low), p->low_ns),
		  unit_format_ns(high, sizeof(high), p->high_ns), p->rounds,
		  p->throughput_ppm / 1e4);
	CELLS(grid, "");
	grid_cell(grid, "a bystander's system call: %.0f ns with them, %.0f ns without",
		  p->bystander_on_ps / 1e3, p->bystander_off_ps / 1e3);
}

/* Of requests alone; packets tell calls, too. */
static const char *detail_of(const struct manifest *m)
{
	if (m->assumed[0])
		return "requests and sizes alone; their compute is assumed";
	if (m->tables[TABLE_OPS].rows)
		return "requests, sizes and calls alone: no other operations, no breakdown";
	return "requests and sizes alone: no operations, no breakdown";
}

static void put_instrument(const struct manifest *m, struct grid *grid)
{
	if (!m->attribution[0])
		return;
	if (!strcmp(m->detail, "requests")) {
		CELLS(grid, "detail");
		grid_cell(grid, "%s", detail_of(m));
	}
	if (m->sample_one_in > 1) {
		CELLS(grid, "sample");
		grid_cell(grid,
			  "one connection in %" PRIu64
			  ": counts and rates are those of the sample, "
			  "nothing is scaled",
			  m->sample_one_in);
	}
	if (!strcmp(m->attribution, "user")) {
		CELLS(grid, "rows");
		grid_cell(grid, "by the nodes' own clocks, without probes: fewer are told apart");
		return;
	}
	CELLS(grid, "probes");
	if (m->price.ns_per_request == TRACE_NONE)
		grid_cell(grid, "%s, overhead not measured", m->attribution);
	else
		put_price(m, grid);
}

static void put_service_cpu(const struct summary *s, const struct manifest *m, struct grid *grid)
{
	char user[UNIT_TEXT_SIZE], kernel[UNIT_TEXT_SIZE], share[UNIT_TEXT_SIZE];
	double sum;

	if (m->service_user_ns == TRACE_NONE || m->service_kernel_ns == TRACE_NONE)
		return;
	sum = (double)m->service_user_ns + (double)m->service_kernel_ns;
	CELLS(grid, "CPU");
	grid_cell(grid, "%s of one CPU: user %s, kernel %s",
		  unit_format_percent(share, sizeof(share), sum, (double)s->duration_ns),
		  unit_format_ns(user, sizeof(user), m->service_user_ns),
		  unit_format_ns(kernel, sizeof(kernel), m->service_kernel_ns));
}

static void put_about(const struct summary *s, const struct manifest *m, struct buf *out)
{
	struct grid grid;

	grid_init(&grid, "ll");
	put_origin(s, m, &grid);
	for (uint32_t i = 0; i < m->hosts_count; i++)
		put_host(&m->hosts[i], &grid);
	put_service_cpu(s, m, &grid);
	put_instrument(m, &grid);
	grid_put_section(&grid, "trace", out);
}

static void put_requests_line(const struct summary *s, struct grid *grid)
{
	char rate[UNIT_TEXT_SIZE], peak[UNIT_TEXT_SIZE], count[UNIT_TEXT_SIZE];

	unit_format_count(count, sizeof(count), summary_requests_count(s));
	unit_format_rate(rate, sizeof(rate), summary_rate(s, summary_requests_count(s)));
	unit_format_rate(peak, sizeof(peak), (double)s->peak_per_second);
	CELLS(grid, "requests");
	if (s->summed) /* the peak of a sample is not theirs */
		grid_cell(grid, "%s: %s, %.2f under way on average", count, rate,
			  summary_in_flight(s));
	else
		grid_cell(grid, "%s: %s, peak %s, %.2f under way on average", count, rate, peak,
			  summary_in_flight(s));
}

static void put_bytes_line(const struct summary *s, struct grid *grid)
{
	double in = summary_rate(s, s->requests.request_bytes);
	double out = summary_rate(s, s->requests.response_bytes);
	char in_text[UNIT_TEXT_SIZE], out_text[UNIT_TEXT_SIZE];

	CELLS(grid, "bytes");
	grid_cell(grid, "%s/s in, %s/s out",
		  unit_format_bytes(in_text, sizeof(in_text), (uint64_t)in),
		  unit_format_bytes(out_text, sizeof(out_text), (uint64_t)out));
}

static void put_doubts(const struct summary *s, struct grid *grid)
{
	char text[UNIT_TEXT_SIZE];

	if (s->spans_unknown) {
		CELLS(grid, "unknown");
		grid_cell(grid, "the server span of %s",
			  unit_format_count(text, sizeof(text), s->spans_unknown));
	}
	if (s->doubtful) {
		CELLS(grid, "doubtful");
		grid_cell(grid, "%s with a confidence below 50%%",
			  unit_format_count(text, sizeof(text), s->doubtful));
	}
}

static void put_files(const struct summary *s, struct grid *grid)
{
	const struct summary_targets *files = &s->targets[TARGET_FILE];
	char count[UNIT_TEXT_SIZE], bytes[UNIT_TEXT_SIZE];

	if (!files->count)
		return;
	CELLS(grid, "files");
	grid_cell(grid, "%s, %s together", unit_format_count(count, sizeof(count), files->count),
		  unit_format_bytes(bytes, sizeof(bytes), files->bytes));
}

static void put_load(const struct summary *s, struct buf *out)
{
	struct grid grid;

	grid_init(&grid, "ll");
	put_requests_line(s, &grid);
	if (!s->summed) /* else nothing counts them all */
		put_bytes_line(s, &grid);
	put_files(s, &grid);
	put_doubts(s, &grid);
	grid_put_section(&grid, "load", out);
}

static void put_outcomes(const struct summary *s, struct buf *out)
{
	struct grid grid;
	uint64_t all = 0;

	for (int i = 0; i < OUTCOME_COUNT; i++)
		all += s->outcomes[i];
	if (!all)
		return;
	grid_init(&grid, "lrr");
	for (int i = 0; i < OUTCOME_COUNT; i++) {
		if (!s->outcomes[i])
			continue;
		CELLS(&grid, outcome_names[i]);
		cell_count(&grid, s->outcomes[i]);
		cell_share(&grid, (double)s->outcomes[i], (double)all);
	}
	grid_put_section(&grid, "outcomes", out);
}

/* Of a trace cut short, services and classes are known by their ids alone. */
static void name_of(const char *name, const char *what, uint64_t id,
		    char ret_name[SUMMARY_NAME_SIZE])
{
	if (name[0])
		snprintf(ret_name, SUMMARY_NAME_SIZE, "%s", name);
	else
		snprintf(ret_name, SUMMARY_NAME_SIZE, "%s %" PRIu64, what, id);
}

char *summary_service_name(const struct summary *s, const struct summary_service *service,
			   char name[SUMMARY_NAME_SIZE])
{
	bool unique = true;

	for (size_t i = 0; i < s->services_count; i++)
		unique &= &s->services[i] == service ||
			  strcmp(s->services[i].row.name, service->row.name);
	if (unique || !service->row.name[0])
		name_of(service->row.name, "service", service->row.service_id, name);
	else
		snprintf(name, SUMMARY_NAME_SIZE, "%s (service %" PRIu64 ")", service->row.name,
			 service->row.service_id);
	return name;
}

static void put_service(const struct summary *s, const struct summary_service *service,
			struct grid *grid)
{
	char name[SUMMARY_NAME_SIZE];

	summary_service_name(s, service, name);
	CELLS(grid, name, service->row.listen);
	cell_count(grid, service->row.threads);
	CELLS(grid, service->row.io_model);
	cell_count(grid, service->connections);
	cell_count(grid, service->dependent);
	cell_count(grid, service->requests.count);
	cell_rate(grid, summary_rate(s, service->requests.count));
	cell_ns(grid, (int64_t)hist_value_at_percentile(&service->requests.span, 50));
	cell_ns(grid, (int64_t)hist_value_at_percentile(&service->requests.span, 99));
}

static void put_services(const struct summary *s, struct buf *out)
{
	struct grid grid;

	grid_init(&grid, "llrlrrrrrr");
	CELLS(&grid, "name", "listens on", "threads", "io model", "conns", "closed loop",
	      "requests", "rate", "p50", "p99");
	for (size_t i = 0; i < s->services_count; i++) {
		/* the client is no service, unless requests say they belong to none */
		if (i || s->services[i].requests.count)
			put_service(s, &s->services[i], &grid);
	}
	grid_put_section(&grid, "services", out);
}

/* Services may call each other in circles: a tree is drawn this far. */
#define TOPOLOGY_DEPTH_MAX 8
#define TOPOLOGY_LINES_MAX 256

static void put_called(const struct summary *s, size_t from, int depth, unsigned *lines,
		       struct grid *grid)
{
	char name[SUMMARY_NAME_SIZE];

	for (size_t i = 0; i < s->edges_count && depth < TOPOLOGY_DEPTH_MAX; i++) {
		const struct summary_edge *edge = &s->edges[i];
		const struct summary_service *to = &s->services[edge->to];
		uint64_t callers = s->services[from].requests.count;

		if (edge->from != from)
			continue;
		if (++*lines > TOPOLOGY_LINES_MAX)
			return;
		summary_service_name(s, to, name);
		grid_cell(grid, "%*s%s", 2 * depth, "", name);
		cell_count(grid, edge->calls);
		grid_cell(grid, "%.2f", callers ? (double)edge->calls / (double)callers : 0);
		if (edge->to != from)
			put_called(s, edge->to, depth + 1, lines, grid);
	}
}

/* Requests of the service that came from outside. */
static uint64_t from_outside(const struct summary *s, size_t service)
{
	uint64_t count = s->services[service].requests.count;

	for (size_t i = 0; i < s->edges_count; i++)
		count -= s->edges[i].to == service ? s->edges[i].calls : 0;
	return count;
}

/* Who calls whom: a tree below each service that the world calls. */
static void put_topology(const struct summary *s, struct buf *out)
{
	char children[UNIT_TEXT_SIZE], all[UNIT_TEXT_SIZE], title[128], name[SUMMARY_NAME_SIZE];
	unsigned lines = 0;
	struct grid grid;

	if (s->services_count < 3 || !s->with_parent)
		return;
	grid_init(&grid, "lrr");
	CELLS(&grid, "service", "requests", "/request of its caller");
	for (size_t i = 0; i < s->services_count; i++) {
		uint64_t roots = from_outside(s, i);

		if (!roots)
			continue;
		summary_service_name(s, &s->services[i], name);
		CELLS(&grid, name);
		cell_count(&grid, roots);
		CELLS(&grid, "-");
		put_called(s, i, 1, &lines, &grid);
	}
	snprintf(title, sizeof(title), "topology: %s of %s requests have a parent",
		 unit_format_count(children, sizeof(children), s->with_parent),
		 unit_format_count(all, sizeof(all), s->requests.count));
	grid_put_section(&grid, title, out);
}

static void put_class(const struct summary *s, const struct summary_class *class, struct grid *grid)
{
	const struct summary_requests *sum = &class->requests;
	char name[SUMMARY_NAME_SIZE];

	name_of(class->row.name, "class", class->row.class_id, name);
	CELLS(grid, name);
	cell_count(grid, sum->count);
	cell_share(grid, (double)sum->count, (double)s->requests.count);
	cell_bytes(grid, per(sum->request_bytes, sum->count));
	cell_bytes(grid, per(sum->response_bytes, sum->count));
	cell_ns(grid, (int64_t)per(sum->cpu_ns, sum->count));
	cell_share(grid, (double)sum->cpu_ns, (double)s->requests.cpu_ns);
	cell_ns(grid, (int64_t)hist_value_at_percentile(&sum->span, 50));
	cell_ns(grid, (int64_t)hist_value_at_percentile(&sum->span, 99));
	CELLS(grid, class->row.signature);
}

/* The most frequent first. */
static int by_requests(const void *a, const void *b)
{
	const struct summary_class *const *x = a, *const *y = b;
	uint64_t left = (*x)->requests.count, right = (*y)->requests.count;

	if (left != right)
		return left < right ? 1 : -1;
	return (*x)->row.class_id < (*y)->row.class_id ? -1 : 1;
}

static void put_classes(const struct summary *s, struct buf *out)
{
	const struct summary_class *sorted[SUMMARY_CLASSES_MAX + 1];
	struct grid grid;

	grid_init(&grid, "lrrrrrrrrl");
	CELLS(&grid, "name", "requests", "share", "in", "out", "CPU", "share", "p50", "p99",
	      "signature");
	for (size_t i = 0; i < s->classes_count; i++)
		sorted[i] = &s->classes[i];
	qsort(sorted, s->classes_count, sizeof(sorted[0]), by_requests);
	for (size_t i = 0; i < s->classes_count && sorted[i]->requests.count; i++)
		put_class(s, sorted[i], &grid);
	grid_put_section(&grid, "classes (bytes and CPU per request)", out);
}

static void put_op_kind(const struct summary *s, int kind, struct grid *grid)
{
	const struct summary_ops *ops = &s->ops[kind];
	double owned = (double)(ops->count - ops->background);
	uint64_t all_cpu = 0;

	for (int i = 0; i < OP_KIND_COUNT; i++)
		all_cpu += s->ops[i].cpu_ns;
	CELLS(grid, op_kind_names[kind]);
	cell_count(grid, ops->count);
	grid_cell(grid, "%.2f", s->requests.count ? owned / (double)s->requests.count : 0);
	cell_count(grid, ops->background);
	cell_count(grid, ops->failed);
	cell_bytes(grid, ops->bytes + ops->reply_bytes);
	cell_bytes(grid, per(ops->bytes + ops->reply_bytes, ops->count));
	cell_ns(grid, (int64_t)ops->cpu_ns);
	cell_share(grid, (double)ops->cpu_ns, (double)all_cpu);
	cell_ns(grid, (int64_t)hist_value_at_percentile(&ops->elapsed, 50));
	cell_ns(grid, (int64_t)hist_value_at_percentile(&ops->elapsed, 99));
}

static void put_ops(const struct summary *s, struct buf *out)
{
	struct grid grid;

	if (!s->rows[TABLE_OPS])
		return;
	grid_init(&grid, "lrrrrrrrrrr");
	CELLS(&grid, "kind", "count", "/request", "background", "failed", "bytes", "mean size",
	      "CPU", "share", "p50", "p99");
	for (int kind = 0; kind < OP_KIND_COUNT; kind++) {
		if (s->ops[kind].count)
			put_op_kind(s, kind, &grid);
	}
	grid_put_section(&grid, "operations (percentiles of the time elapsed)", out);
}

static const double percentiles[] = { 50, 90, 99, 99.9, 100 };

static void put_distribution(const struct hist *hist, const char *name,
			     void (*cell)(struct grid *grid, uint64_t value), struct grid *grid)
{
	if (!hist_count(hist))
		return;
	CELLS(grid, name);
	cell(grid, hist_min(hist));
	cell(grid, (uint64_t)hist_mean(hist));
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		cell(grid, hist_value_at_percentile(hist, percentiles[i]));
}

static void cell_latency(struct grid *grid, uint64_t ns)
{
	cell_ns(grid, ns > INT64_MAX ? INT64_MAX : (int64_t)ns);
}

static void put_distributions(const struct summary *s, struct buf *out)
{
	struct grid grid;

	grid_init(&grid, "lrrrrrrr");
	CELLS(&grid, "", "min", "mean", "p50", "p90", "p99", "p99.9", "max");
	put_distribution(&s->request_sizes, "request size", cell_bytes, &grid);
	put_distribution(&s->response_sizes, "response size", cell_bytes, &grid);
	put_distribution(&s->requests.span, "server span", cell_latency, &grid);
	put_distribution(&s->client_span, "client span (from due)", cell_latency, &grid);
	put_distribution(&s->client_wait, "client wait (from sent)", cell_latency, &grid);
	put_distribution(&s->client_late, "client late (due to sent)", cell_latency, &grid);
	grid_put_section(&grid, "distributions", out);
}

/* A subsystem that took no time in any band is noise. */
static bool is_silent(const struct summary_service *service, int subsystem)
{
	for (int band = 0; band < BAND_COUNT; band++) {
		if (service->bands[band].ns[subsystem])
			return false;
	}
	return true;
}

static void cell_band(struct grid *grid, const struct summary_band *band, int64_t ns)
{
	cell_ns(grid, mean_ns(ns, band->requests));
	cell_share(grid, (double)ns, (double)band->total_ns);
}

static void put_bands_of(const struct summary_service *service, struct grid *grid)
{
	for (int i = 0; i < SUB_COUNT; i++) {
		if (is_silent(service, i))
			continue;
		CELLS(grid, subsystems[i].name);
		for (int band = 0; band < BAND_COUNT; band++)
			cell_band(grid, &service->bands[band], service->bands[band].ns[i]);
		CELLS(grid, subsystems[i].text);
	}
}

void summary_put_breakdown(const struct summary *s, const struct summary_service *service,
			   struct buf *out)
{
	const struct summary_band *bands = service->bands;
	struct grid grid;
	char name[SUMMARY_NAME_SIZE];

	grid_init(&grid, "lrrrrrrl");
	CELLS(&grid, "mean per request");
	for (int band = 0; band < BAND_COUNT; band++)
		CELLS(&grid, summary_band_names[band], "share");
	grid_end_row(&grid);
	put_bands_of(service, &grid);
	CELLS(&grid, "unattributed");
	for (int band = 0; band < BAND_COUNT; band++)
		cell_band(&grid, &bands[band], bands[band].unattributed_ns);
	CELLS(&grid, "no subsystem claims it", "total");
	for (int band = 0; band < BAND_COUNT; band++)
		cell_band(&grid, &bands[band], bands[band].total_ns);
	grid_end_row(&grid);
	CELLS(&grid, "requests");
	for (int band = 0; band < BAND_COUNT; band++) {
		cell_count(&grid, bands[band].requests);
		CELLS(&grid, "");
	}
	grid_end_row(&grid);
	buf_putc(out, '\n');
	summary_service_name(s, service, name);
	grid_put_line(out, "breakdown of %s", name);
	grid_put(&grid, 2, out);
	grid_release(&grid);
}

void summary_put_text(const struct summary *s, const struct manifest *m, struct buf *out)
{
	summary_put_ledger(s, m, out);
	put_about(s, m, out);
	put_load(s, out);
	put_outcomes(s, out);
	put_services(s, out);
	put_topology(s, out);
	put_classes(s, out);
	put_ops(s, out);
	put_distributions(s, out);
	for (size_t i = 0; i < s->services_count; i++) {
		if (hist_count(&s->services[i].total))
			summary_put_breakdown(s, &s->services[i], out);
	}
}

void summary_put_price(const struct manifest *m, struct buf *out)
{
	struct grid grid;

	if (m->price.ns_per_request == TRACE_NONE)
		return;
	grid_init(&grid, "ll");
	put_instrument(m, &grid);
	grid_put(&grid, 2, out);
	grid_release(&grid);
}
