/* SPDX-License-Identifier: Apache-2.0 */
#include "report/summary.h"

#include "base/clock.h"
#include "report/id_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PEAK_SECONDS_MAX 86400

const char *const summary_band_names[BAND_COUNT] = {
	[BAND_ALL] = "all",
	[BAND_MEDIAN] = "p40-p60",
	[BAND_TAIL] = "p99-max",
};

/* Of the bands of one service, as hist_round() has them. */
struct band_limits {
	uint64_t median_from, median_to, tail_from;
};

/* What is needed while building only. */
struct build {
	struct trace *trace;
	struct summary *s;
	struct id_map *class_of;   /* request id to index of its class */
	struct id_map *warming;	   /* requests of the warm-up; NULL: it has none */
	struct id_map *service_of; /* and of its service; NULL: there is one only */
	uint32_t *per_second;	   /* arrivals; PEAK_SECONDS_MAX entries */
	struct band_limits limits[SUMMARY_SERVICES_MAX + 2];
	struct err *err;
};

/* A table's rows go to one function each. */
typedef int (*row_fn)(struct build *b, const void *row);

static int out_of_memory(struct build *b)
{
	return err_set(b->err, ENOMEM, "not enough memory to summarise '%s'", trace_path(b->trace));
}

static int read_rows(struct build *b, struct trace_reader *r, row_fn fn, uint64_t *ret_count)
{
	_Alignas(8) char row[sizeof(union row_any)];
	uint64_t count = 0;
	int rc;

	while ((rc = trace_reader_next(r, row, b->err)) > 0) {
		rc = fn(b, row);
		if (rc)
			return rc;
		count++;
	}
	*ret_count = count;
	return rc;
}

static int read_table(struct build *b, enum trace_table table, row_fn fn)
{
	struct trace_reader *r;
	uint64_t *rows = &b->s->rows[table];
	bool again = *rows > 0; /* a second pass counts nothing */
	int rc = trace_reader_new(b->trace, table, &r, b->err);

	if (rc)
		return rc;
	rc = read_rows(b, r, fn, rows);
	if (!again)
		b->s->ledger.count[LG_ROWS_CUT] += trace_reader_rows_cut(r);
	trace_reader_free(r);
	return rc;
}

/* Ids mostly count from 1, in order: look there first. */
static struct summary_class *find_class(struct summary *s, uint64_t id)
{
	if (id && id <= s->classes_count && s->classes[id - 1].row.class_id == id)
		return &s->classes[id - 1];
	for (size_t i = 0; i < s->classes_count; i++) {
		if (s->classes[i].row.class_id == id)
			return &s->classes[i];
	}
	return NULL;
}

static struct summary_class *add_class(struct summary *s, const struct row_class *row)
{
	struct summary_class *c = &s->classes[s->classes_count];

	if (s->classes_count > SUMMARY_CLASSES_MAX)
		return &s->classes[SUMMARY_CLASSES_MAX];
	c->row = *row;
	if (s->classes_count++ == SUMMARY_CLASSES_MAX)
		c->row = (struct row_class){ .class_id = UINT64_MAX, .name = "(others)" };
	return c;
}

/* Of a trace cut short, classes.csv is empty: then the requests tell which there are. */
static struct summary_class *class_get(struct summary *s, uint64_t id)
{
	struct summary_class *c = find_class(s, id);
	struct row_class row = { .class_id = id, .name = "(none)" };

	if (c)
		return c;
	if (id)
		row.name[0] = '\0';
	return add_class(s, &row);
}

/* services[0], the client, has no row in services.csv. */
static struct summary_service *find_service(struct summary *s, uint64_t id)
{
	if (id < s->services_count && s->services[id].row.service_id == id)
		return &s->services[id];
	for (size_t i = 0; i < s->services_count; i++) {
		if (s->services[i].row.service_id == id)
			return &s->services[i];
	}
	return NULL;
}

static struct summary_service *add_service(struct summary *s, const struct row_service *row)
{
	const size_t others = SUMMARY_SERVICES_MAX + 1;
	struct summary_service *service = &s->services[s->services_count];

	if (s->services_count > others)
		return &s->services[others];
	service->row = *row;
	if (s->services_count++ == others)
		service->row = (struct row_service){ .service_id = UINT64_MAX, .name = "(others)" };
	return service;
}

static struct summary_service *service_get(struct summary *s, uint64_t id)
{
	struct summary_service *service = find_service(s, id);
	struct row_service row = { .service_id = id };

	return service ? service : add_service(s, &row);
}

static int on_service(struct build *b, const void *row)
{
	add_service(b->s, row);
	return 0;
}

static int on_class(struct build *b, const void *row)
{
	add_class(b->s, row);
	return 0;
}

static int on_connection(struct build *b, const void *data)
{
	const struct row_connection *row = data;
	struct summary_service *service = service_get(b->s, row->service_id);

	service->outgoing += row->outgoing != 0;
	service->connections += row->outgoing == 0;
	service->dependent += row->outgoing == 0 && row->dependent;
	return 0;
}

static int on_target(struct build *b, const void *data)
{
	const struct row_target *row = data;
	struct summary_targets *targets = &b->s->targets[row->kind];

	targets->count++;
	targets->bytes += row->file_bytes;
	return 0;
}

/* False when either end is unknown or they are the wrong way round. */
static bool known_span(int64_t from_ns, int64_t to_ns, uint64_t *ret_ns)
{
	int64_t ns;

	if (from_ns == TRACE_NONE || to_ns == TRACE_NONE ||
	    __builtin_sub_overflow(to_ns, from_ns, &ns) || ns < 0)
		return false;
	*ret_ns = (uint64_t)ns;
	return true;
}

static int record_span(struct build *b, struct hist *hist, int64_t from_ns, int64_t to_ns)
{
	uint64_t ns;

	if (known_span(from_ns, to_ns, &ns) && hist_record(hist, ns))
		return out_of_memory(b);
	return 0;
}

static bool is_warming(const struct build *b, const struct row_request *row)
{
	return b->warming && row->intended_ns != TRACE_NONE &&
	       row->intended_ns < (int64_t)trace_manifest(b->trace)->warm_up_ns;
}

static int add_request(struct build *b, struct summary_requests *sum, const struct row_request *row)
{
	sum->count++;
	sum->request_bytes += row->request_bytes;
	sum->response_bytes += row->response_bytes;
	if (is_warming(b, row) || b->s->rows[TABLE_TOTALS])
		return 0;
	return record_span(b, &sum->span, row->arrival_ns, row->end_ns);
}

static void count_arrival(struct build *b, int64_t arrival_ns)
{
	int64_t second = arrival_ns / NS_PER_SEC;

	if (arrival_ns < 0 || second >= PEAK_SECONDS_MAX)
		return;
	if (++b->per_second[second] > b->s->peak_per_second)
		b->s->peak_per_second = b->per_second[second];
}

static void widen(struct summary *s, int64_t ns)
{
	if (ns == TRACE_NONE)
		return;
	if (s->first_ns == TRACE_NONE || ns < s->first_ns)
		s->first_ns = ns;
	if (s->last_ns == TRACE_NONE || ns > s->last_ns)
		s->last_ns = ns;
}

static int add_client_times(struct build *b, const struct row_request *row)
{
	struct summary *s = b->s;
	int rc;

	if (row->intended_ns == TRACE_NONE)
		return 0;
	s->outcomes[row->outcome] += !s->rows[TABLE_TOTALS];
	if (is_warming(b, row))
		return id_map_set(b->warming, row->request_id, 1) == -ENOMEM ? out_of_memory(b) : 0;
	rc = s->rows[TABLE_TOTALS] ?
		     0 :
		     record_span(b, &s->client_span, row->intended_ns, row->received_ns);
	if (!rc)
		rc = record_span(b, &s->client_wait, row->sent_ns, row->received_ns);
	return rc ? rc : record_span(b, &s->client_late, row->intended_ns, row->sent_ns);
}

static int remember_class(struct build *b, uint64_t request_id, const struct summary_class *class)
{
	int rc = id_map_set(b->class_of, request_id, (uint16_t)(class - b->s->classes));

	return rc == -ENOMEM ? out_of_memory(b) : 0; /* a full map shows in ops_unclassed */
}

static int remember_service(struct build *b, const struct row_request *row)
{
	size_t service;

	b->s->with_parent += row->parent_id != 0;
	if (!b->service_of)
		return 0;
	service = (size_t)(service_get(b->s, row->service_id) - b->s->services);
	if (id_map_set(b->service_of, row->request_id, (uint16_t)service) == -ENOMEM)
		return out_of_memory(b);
	return 0;
}

static void add_edge(struct summary *s, size_t from, size_t to)
{
	size_t i = 0;

	while (i < s->edges_count && (s->edges[i].from != from || s->edges[i].to != to))
		i++;
	if (i == SUMMARY_EDGES_MAX) {
		s->edges_over++;
		return;
	}
	if (i == s->edges_count)
		s->edges[s->edges_count++] = (struct summary_edge){ from, to, 0 };
	s->edges[i].calls++;
}

/* Second pass over requests.csv: a parent's row may come behind its children's. */
static int on_child(struct build *b, const void *data)
{
	const struct row_request *row = data;
	uint16_t from, to;

	if (!row->parent_id)
		return 0;
	from = id_map_get(b->service_of, row->parent_id);
	to = id_map_get(b->service_of, row->request_id);
	if (from == ID_MAP_NONE || to == ID_MAP_NONE)
		b->s->edges_over++;
	else
		add_edge(b->s, from, to);
	return 0;
}

static int record_sizes(struct build *b, const struct row_request *row)
{
	if (hist_record(&b->s->request_sizes, row->request_bytes) ||
	    hist_record(&b->s->response_sizes, row->response_bytes))
		return out_of_memory(b);
	return 0;
}

static int on_request(struct build *b, const void *data)
{
	const struct row_request *row = data;
	struct summary *s = b->s;
	struct summary_class *class = class_get(s, row->class_id);
	uint64_t ns;
	int rc;

	s->spans_unknown += !known_span(row->arrival_ns, row->end_ns, &ns);
	s->doubtful += row->confidence < 50;
	widen(s, row->arrival_ns);
	widen(s, row->end_ns);
	count_arrival(b, row->arrival_ns);
	rc = remember_class(b, row->request_id, class);
	if (!rc)
		rc = remember_service(b, row);
	if (!rc)
		rc = record_sizes(b, row);
	if (!rc)
		rc = add_request(b, &s->requests, row);
	if (!rc)
		rc = add_request(b, &class->requests, row);
	if (!rc)
		rc = add_request(b, &service_get(s, row->service_id)->requests, row);
	return rc ? rc : add_client_times(b, row);
}

static void own_op(struct summary_requests *sum, const struct row_op *row)
{
	sum->ops++;
	sum->cpu_ns += row->cpu_ns;
}

static void add_op_to_owner(struct build *b, const struct row_op *row)
{
	uint16_t class = id_map_get(b->class_of, row->request_id);

	if (class == ID_MAP_NONE) {
		b->s->ops_unclassed++;
		return;
	}
	own_op(&b->s->requests, row);
	own_op(&b->s->classes[class].requests, row);
	own_op(&service_get(b->s, row->service_id)->requests, row);
}

static int on_op(struct build *b, const void *data)
{
	const struct row_op *row = data;
	struct summary_ops *ops = &b->s->ops[row->kind];

	ops->count++;
	ops->background += row->request_id == 0;
	ops->failed += (row->flags & OPF_FAILED) != 0;
	ops->bytes += row->bytes;
	ops->reply_bytes += row->reply_bytes;
	ops->cpu_ns += row->cpu_ns;
	if (row->request_id)
		add_op_to_owner(b, row);
	return hist_record(&ops->elapsed, row->elapsed_ns) ? out_of_memory(b) : 0;
}

static bool has_warmed_up_by(const struct build *b, const struct row_latency *row)
{
	return !b->warming || id_map_get(b->warming, row->request_id) == ID_MAP_NONE;
}

/* First pass over latency.csv: where the bands are. */
static int on_latency_total(struct build *b, const void *data)
{
	const struct row_latency *row = data;
	uint64_t total = row->total_ns > 0 ? (uint64_t)row->total_ns : 0;

	if (has_warmed_up_by(b, row) &&
	    hist_record(&service_get(b->s, row->service_id)->total, total))
		return out_of_memory(b);
	return 0;
}

/* A trace may hold any numbers, also such as overflow. */
static void add_ns(int64_t *sum, int64_t ns)
{
	if (__builtin_add_overflow(*sum, ns, sum))
		*sum = ns > 0 ? INT64_MAX : INT64_MIN;
}

static void add_to_band(struct summary_band *band, const struct row_latency *row)
{
	band->requests++;
	add_ns(&band->total_ns, row->total_ns);
	add_ns(&band->unattributed_ns, row->unattributed_ns);
	for (int i = 0; i < SUB_COUNT; i++)
		add_ns(&band->ns[i], row->ns[i]);
}

static void set_limits(struct build *b)
{
	for (size_t i = 0; i < b->s->services_count; i++) {
		const struct hist *total = &b->s->services[i].total;

		b->limits[i] = (struct band_limits){
			.median_from = hist_round(hist_value_at_percentile(total, 40)),
			.median_to = hist_round(hist_value_at_percentile(total, 60)),
			.tail_from = hist_round(hist_value_at_percentile(total, 99)),
		};
	}
}

/* Second pass: sums by band. */
static int on_latency(struct build *b, const void *data)
{
	const struct row_latency *row = data;
	struct summary_service *service = service_get(b->s, row->service_id);
	const struct band_limits *limits = &b->limits[service - b->s->services];
	uint64_t total = hist_round(row->total_ns > 0 ? (uint64_t)row->total_ns : 0);

	if (!has_warmed_up_by(b, row))
		return 0;
	add_to_band(&service->bands[BAND_ALL], row);
	if (total >= limits->median_from && total <= limits->median_to)
		add_to_band(&service->bands[BAND_MEDIAN], row);
	if (total >= limits->tail_from)
		add_to_band(&service->bands[BAND_TAIL], row);
	return 0;
}

/* As long as the mean of its bin, which is in the bin. */
static uint64_t bin_ns(const struct row_total *row)
{
	return row->total_ns > 0 ? (uint64_t)row->total_ns / row->requests : 0;
}

static int record_bin(struct build *b, struct hist *hist, const struct row_total *row)
{
	return hist_record_n(hist, bin_ns(row), row->requests) ? out_of_memory(b) : 0;
}

/* First pass over totals.csv: what all took. Where there is one it takes the place of the rows. */
static int on_total_bin(struct build *b, const void *data)
{
	const struct row_total *row = data;
	struct summary *s = b->s;
	struct summary_service *service = service_get(s, row->service_id);
	int rc = row->requests ? record_bin(b, &service->total, row) : 0;

	if (rc || !row->requests)
		return rc;
	if (row->service_id == TRACE_CLIENT_SERVICE)
		return record_bin(b, &s->client_span, row);
	s->summed += row->requests;
	rc = record_bin(b, &s->requests.span, row);
	if (!rc)
		rc = record_bin(b, &service->requests.span, row);
	return rc ? rc : record_bin(b, &class_get(s, row->class_id)->requests.span, row);
}

static void add_bin_to_band(struct summary_band *band, const struct row_total *row)
{
	band->requests += row->requests;
	add_ns(&band->total_ns, row->total_ns);
	add_ns(&band->unattributed_ns, row->unattributed_ns);
	for (int i = 0; i < SUB_COUNT; i++)
		add_ns(&band->ns[i], row->ns[i]);
}

/* Second pass: sums by band, of whole bins. */
static int on_total(struct build *b, const void *data)
{
	const struct row_total *row = data;
	struct summary_service *service = service_get(b->s, row->service_id);
	const struct band_limits *limits = &b->limits[service - b->s->services];
	uint64_t ns;

	if (!row->requests)
		return 0;
	ns = hist_round(bin_ns(row));
	add_bin_to_band(&service->bands[BAND_ALL], row);
	if (ns >= limits->median_from && ns <= limits->median_to)
		add_bin_to_band(&service->bands[BAND_MEDIAN], row);
	if (ns >= limits->tail_from)
		add_bin_to_band(&service->bands[BAND_TAIL], row);
	return 0;
}

static int read_totals(struct build *b)
{
	const uint64_t *count = b->s->ledger.count;

	b->s->outcomes[OUTCOME_OK] = count[LG_ANSWERED];
	b->s->outcomes[OUTCOME_TIMEOUT] = count[LG_TIMEOUTS];
	b->s->outcomes[OUTCOME_ERROR] = count[LG_ERRORS];
	set_limits(b);
	return read_table(b, TABLE_TOTALS, on_total);
}

static int read_latency(struct build *b)
{
	int rc;

	if (b->s->rows[TABLE_TOTALS])
		return read_totals(b);
	rc = read_table(b, TABLE_LATENCY, on_latency_total);
	if (rc || !b->s->rows[TABLE_LATENCY])
		return rc;
	set_limits(b);
	return read_table(b, TABLE_LATENCY, on_latency);
}

/* In this order: a row must find what it refers to. */
static const struct {
	enum trace_table table;
	row_fn fn;
} readers[] = {
	{ TABLE_SERVICES, on_service }, { TABLE_CLASSES, on_class },
	{ TABLE_TOTALS, on_total_bin }, { TABLE_CONNECTIONS, on_connection },
	{ TABLE_TARGETS, on_target },	{ TABLE_REQUESTS, on_request },
	{ TABLE_OPS, on_op },
};

static int read_topology(struct build *b)
{
	return b->service_of && b->s->with_parent ? read_table(b, TABLE_REQUESTS, on_child) : 0;
}

/* Behind services.csv: the client, and two at least. */
static int prepare_topology(struct build *b)
{
	if (b->s->services_count < 3)
		return 0;
	b->service_of = id_map_new();
	return b->service_of ? 0 : out_of_memory(b);
}

static int read_tables(struct build *b)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]) && !rc; i++) {
		rc = read_table(b, readers[i].table, readers[i].fn);
		if (!rc && readers[i].table == TABLE_SERVICES)
			rc = prepare_topology(b);
	}
	if (!rc)
		rc = read_topology(b);
	return rc ? rc : read_latency(b);
}

static void init_from_manifest(struct summary *s, struct trace *t)
{
	static const struct row_service client = { TRACE_CLIENT_SERVICE, .name = "(client)" };

	s->partial = trace_is_partial(t);
	s->edited = trace_edited_tables(t);
	s->ledger = trace_manifest(t)->ledger;
	s->first_ns = TRACE_NONE;
	s->last_ns = TRACE_NONE;
	add_service(s, &client);
}

static void set_duration(struct summary *s, const struct manifest *m)
{
	uint64_t between;

	if (m->duration_ns > 0)
		s->duration_ns = m->duration_ns;
	else if (known_span(s->first_ns, s->last_ns, &between))
		s->duration_ns = (int64_t)between;
}

int summary_build(struct trace *t, struct summary **ret_summary, struct err *err)
{
	struct build b = { .trace = t, .err = err };
	int rc;

	b.s = calloc(1, sizeof(*b.s));
	b.class_of = id_map_new();
	b.per_second = calloc(PEAK_SECONDS_MAX, sizeof(*b.per_second));
	if (trace_manifest(t)->warm_up_ns)
		b.warming = id_map_new();
	if (!b.s || !b.class_of || !b.per_second || (trace_manifest(t)->warm_up_ns && !b.warming)) {
		rc = out_of_memory(&b);
		goto out;
	}
	init_from_manifest(b.s, t);
	rc = read_tables(&b);
	if (rc)
		goto out;
	set_duration(b.s, trace_manifest(t));
	*ret_summary = b.s;
	b.s = NULL;
out:
	summary_free(b.s);
	id_map_free(b.class_of);
	id_map_free(b.warming);
	id_map_free(b.service_of);
	free(b.per_second);
	return rc;
}

static void release_requests(struct summary_requests *sum)
{
	hist_release(&sum->span);
}

void summary_free(struct summary *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->services_count; i++) {
		release_requests(&s->services[i].requests);
		hist_release(&s->services[i].total);
	}
	for (size_t i = 0; i < s->classes_count; i++)
		release_requests(&s->classes[i].requests);
	for (int i = 0; i < OP_KIND_COUNT; i++)
		hist_release(&s->ops[i].elapsed);
	release_requests(&s->requests);
	hist_release(&s->request_sizes);
	hist_release(&s->response_sizes);
	hist_release(&s->client_span);
	hist_release(&s->client_wait);
	hist_release(&s->client_late);
	free(s);
}

bool summary_is_doubtful(const struct summary *s, const struct manifest *m)
{
	return s->partial || s->edited || ledger_has_loss(&s->ledger) || m->verdict[0];
}

uint64_t summary_requests_count(const struct summary *s)
{
	return s->summed ? s->summed : s->requests.count;
}

double summary_rate(const struct summary *s, uint64_t count)
{
	return s->duration_ns > 0 ? (double)count * 1e9 / (double)s->duration_ns : 0;
}

double summary_in_flight(const struct summary *s)
{
	return s->duration_ns > 0 ? s->requests.span.sum / (double)s->duration_ns : 0;
}
