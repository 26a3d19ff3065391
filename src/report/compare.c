/* SPDX-License-Identifier: Apache-2.0 */
#include "report/compare.h"

#include "base/units.h"
#include "report/grid.h"
#include "report/summary_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- which services ------------------------------------------------------------------------ */

/* The first whose name it is, or of these the one with the same number; index 0 is the client. */
static const struct summary_service *find_service(const struct summary *s,
						  const struct row_service *row)
{
	const struct summary_service *found = NULL;

	for (size_t i = 1; i < s->services_count; i++) {
		const struct summary_service *service = &s->services[i];

		if (!service->requests.count || strcmp(service->row.name, row->name))
			continue;
		if (!found || service->row.service_id == row->service_id)
			found = service;
	}
	return found;
}

/* Whatever its name. */
static const struct summary_service *first_service(const struct summary *s)
{
	for (size_t i = 1; i < s->services_count; i++)
		if (s->services[i].requests.count)
			return &s->services[i];
	return NULL;
}

size_t compare_services(const struct compare_side *original, const struct compare_side *replay,
			struct compare_pair ret_pairs[COMPARE_PAIRS_MAX])
{
	const struct summary *s = replay->summary;
	struct compare_pair first = { first_service(original->summary), first_service(s) };
	size_t count = 0;

	for (size_t i = 1; i < s->services_count; i++) {
		const struct summary_service *service = &s->services[i];
		const struct summary_service *was = find_service(original->summary, &service->row);

		if (service->requests.count && was)
			ret_pairs[count++] = (struct compare_pair){ was, service };
	}
	if (!count && first.original && first.replay)
		ret_pairs[count++] = first;
	return count;
}

static size_t count_services(const struct summary *s)
{
	size_t count = 0;

	for (size_t i = 1; i < s->services_count; i++)
		count += s->services[i].requests.count != 0;
	return count;
}

/* Then it is said of which service something is. */
static bool are_several(const struct compare_side *original, const struct compare_side *replay)
{
	return count_services(original->summary) > 1 || count_services(replay->summary) > 1;
}

/* --- fidelity ------------------------------------------------------------------------------ */

/* Of a whole side, or of the requests of one service. */
struct measured {
	const struct compare_side *side;
	const struct summary_requests *requests;
};

/* Whether or not they have rows: where a sample has, spans are of all (totals.csv). */
static uint64_t count_of(const struct summary *s, const struct summary_requests *requests)
{
	return s->summed ? hist_count(&requests->span) : requests->count;
}

static double per_request(const struct measured *m, int64_t sum)
{
	uint64_t count = count_of(m->side->summary, m->requests);

	return count && sum != TRACE_NONE ? (double)sum / (double)count : NAN;
}

/* What rows alone tell; of a sample it is not the run's. */
static double of_rows(const struct measured *m, double sum)
{
	return m->side->summary->summed ? NAN : sum;
}

/* Over the time in which requests came: a capture may begin and end with silence. */
static double rate(const struct measured *m)
{
	const struct summary *s = m->side->summary;
	double active_ns = s->first_ns == TRACE_NONE ? 0 : s->last_ns - s->first_ns;

	if (s->summed) /* nobody knows when the first and the last came */
		active_ns = s->duration_ns;
	return active_ns > 0 ? count_of(s, m->requests) / active_ns * 1e9 : NAN;
}

static double span_p50(const struct measured *m)
{
	return hist_value_at_percentile(&m->requests->span, 50);
}

static double span_p99(const struct measured *m)
{
	return hist_value_at_percentile(&m->requests->span, 99);
}

static double user_cpu(const struct measured *m)
{
	return per_request(m, m->side->manifest->service_user_ns);
}

static double kernel_cpu(const struct measured *m)
{
	return per_request(m, m->side->manifest->service_kernel_ns);
}

static double all_cpu(const struct measured *m)
{
	return user_cpu(m) + kernel_cpu(m);
}

static double bytes_in(const struct measured *m)
{
	return of_rows(m, m->requests->request_bytes);
}

static double bytes_out(const struct measured *m)
{
	return of_rows(m, m->requests->response_bytes);
}

static double io_operations(const struct measured *m)
{
	const struct summary_ops *ops = m->side->summary->ops;

	return of_rows(m, ops[OP_LOAD].count + ops[OP_STORE].count + ops[OP_SYNC].count);
}

static double io_bytes(const struct measured *m)
{
	const struct summary_ops *ops = m->side->summary->ops;

	return of_rows(m, ops[OP_LOAD].bytes + ops[OP_STORE].bytes);
}

static const struct {
	const char *name;
	int unit;
	bool of_service; /* is known of one, too */
	bool adds_up;	 /* says something of several services together */
	double (*value)(const struct measured *m);
} figures[] = {
	{ "rate", FIDELITY_RATE, true, true, rate },
	{ "span p50", FIDELITY_NS, true, false, span_p50 },
	{ "span p99", FIDELITY_NS, true, false, span_p99 },
	{ "CPU/request", FIDELITY_NS, false, true, all_cpu },
	{ "user", FIDELITY_NS, false, true, user_cpu },
	{ "kernel", FIDELITY_NS, false, true, kernel_cpu },
	{ "bytes in", FIDELITY_BYTES, true, true, bytes_in },
	{ "bytes out", FIDELITY_BYTES, true, true, bytes_out },
	{ "I/O operations", FIDELITY_COUNT, false, true, io_operations },
	{ "I/O bytes", FIDELITY_BYTES, false, true, io_bytes },
};

_Static_assert(sizeof(figures) / sizeof(figures[0]) == FIDELITY_ROWS, "one row a figure");

size_t compare_fidelity(const struct compare_side *original, const struct compare_side *replay,
			const struct compare_pair *of, struct fidelity_row ret_rows[FIDELITY_ROWS])
{
	const struct measured a = { original,
				    of ? &of->original->requests : &original->summary->requests };
	const struct measured b = { replay,
				    of ? &of->replay->requests : &replay->summary->requests };
	bool several = !of && are_several(original, replay);
	size_t count = 0;

	for (size_t i = 0; i < FIDELITY_ROWS; i++) {
		if ((of && !figures[i].of_service) || (several && !figures[i].adds_up))
			continue;
		ret_rows[count++] = (struct fidelity_row){
			.name = figures[i].name,
			.unit = figures[i].unit,
			.original = figures[i].value(&a),
			.replay = figures[i].value(&b),
		};
	}
	return count;
}

double fidelity_percent(const struct fidelity_row *row)
{
	if (row->original == row->replay)
		return 0;
	return row->original > 0 ? (row->replay / row->original - 1) * 100 : NAN;
}

static const char *format_figure(const struct fidelity_row *row, double value, char *text,
				 size_t size)
{
	if (isnan(value))
		return "unknown";
	switch (row->unit) {
	case FIDELITY_RATE:
		return unit_format_rate(text, size, value);
	case FIDELITY_NS:
		return unit_format_ns(text, size, (int64_t)value);
	case FIDELITY_BYTES:
		return unit_format_bytes(text, size, (uint64_t)value);
	default:
		return unit_format_count(text, size, (uint64_t)value);
	}
}

static void put_fidelity(const struct fidelity_row *rows, size_t count, struct buf *out)
{
	char a[UNIT_TEXT_SIZE], b[UNIT_TEXT_SIZE];

	for (size_t i = 0; i < count; i++) {
		double percent = fidelity_percent(&rows[i]);

		buf_printf(out, "%s %s %s -> %s", i ? "," : "", rows[i].name,
			   format_figure(&rows[i], rows[i].original, a, sizeof(a)),
			   format_figure(&rows[i], rows[i].replay, b, sizeof(b)));
		if (percent == 0)
			buf_puts(out, " (equal)");
		else if (!isnan(percent))
			buf_printf(out, " (%+.1f%%)", percent);
	}
	buf_putc(out, '\n');
}

void compare_put_fidelity(const struct compare_side *original, const struct compare_side *replay,
			  struct buf *out)
{
	struct compare_pair pairs[COMPARE_PAIRS_MAX];
	size_t services = compare_services(original, replay, pairs);
	struct fidelity_row rows[FIDELITY_ROWS];
	char name[SUMMARY_NAME_SIZE];
	size_t count = compare_fidelity(original, replay, NULL, rows);
	bool several = are_several(original, replay);

	buf_puts(out, several ? "fidelity of all services:" : "fidelity:");
	put_fidelity(rows, count, out);
	for (size_t i = 0; i < services && several; i++) {
		count = compare_fidelity(original, replay, &pairs[i], rows);
		grid_put_text(out, "fidelity of %s:",
			      summary_service_name(replay->summary, pairs[i].replay, name));
		put_fidelity(rows, count, out);
	}
}

/* --- subsystems ---------------------------------------------------------------------------- */

static double mean(const struct summary_band *band, int64_t ns)
{
	return band->requests ? (double)ns / band->requests : 0;
}

static void put_row(struct grid *grid, const char *name, const struct summary_band *const bands[],
		    const int64_t ns[])
{
	char text[UNIT_TEXT_SIZE];

	grid_cell(grid, "%s", name);
	for (size_t i = 0; i < 2; i++) {
		double value = mean(bands[i], ns[i]);

		grid_cell(grid, "%s", unit_format_ns(text, sizeof(text), (int64_t)value));
		grid_cell(grid, "%s",
			  unit_format_percent(text, sizeof(text), ns[i], bands[i]->total_ns));
	}
	grid_end_row(grid);
}

static void put_rows(const struct summary_band *const bands[], struct grid *grid)
{
	for (int i = 0; i < SUB_COUNT; i++) {
		const int64_t ns[] = { bands[0]->ns[i], bands[1]->ns[i] };

		if (mean(bands[0], ns[0]) >= 1 || mean(bands[1], ns[1]) >= 1)
			put_row(grid, subsystems[i].name, bands, ns);
	}
	put_row(grid, "unattributed", bands,
		(const int64_t[]){ bands[0]->unattributed_ns, bands[1]->unattributed_ns });
	put_row(grid, "total", bands, (const int64_t[]){ bands[0]->total_ns, bands[1]->total_ns });
}

/* `of`: which service, where there are several. */
static void put_bands(const struct compare_side *original, const struct compare_side *replay,
		      const struct compare_pair *pair, const char *of, struct buf *out)
{
	struct grid grid;

	for (int band = 0; band < BAND_COUNT; band++) {
		const struct summary_band *const bands[] = { &pair->original->bands[band],
							     &pair->replay->bands[band] };

		if (!bands[0]->requests || !bands[1]->requests)
			continue;
		buf_putc(out, '\n');
		grid_put_line(out, "server span%s%s by subsystem, mean of %s requests",
			      of ? " of " : "", of ? of : "",
			      band == BAND_ALL ? "all" : summary_band_names[band]);
		grid_init(&grid, "lrrrr");
		grid_cell(&grid, "%s", "");
		grid_cell(&grid, "%s", original->title);
		grid_cell(&grid, "share");
		grid_cell(&grid, "%s", replay->title);
		grid_cell(&grid, "share");
		put_rows(bands, &grid);
		grid_put(&grid, 2, out);
		grid_release(&grid);
	}
}

static bool is_paired(const struct summary_service *service, const struct compare_pair *pairs,
		      size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pairs[i].original == service || pairs[i].replay == service)
			return true;
	return false;
}

/* What had requests, but is not on the other side. */
static void put_single(const struct compare_side *side, const struct compare_pair *pairs,
		       size_t count, struct buf *out)
{
	const struct summary *s = side->summary;
	char name[SUMMARY_NAME_SIZE];

	for (size_t i = 1; i < s->services_count; i++)
		if (s->services[i].requests.count && !is_paired(&s->services[i], pairs, count))
			grid_put_line(out, "not compared: %s, which is in the %s alone",
				      summary_service_name(s, &s->services[i], name), side->title);
}

static bool has_rows(const struct manifest *m)
{
	return m->attribution[0] && strcmp(m->attribution, "none") != 0;
}

bool compare_rows_alike(const struct compare_side *original, const struct compare_side *replay)
{
	const struct manifest *a = original->manifest, *b = replay->manifest;

	return !has_rows(a) || !has_rows(b) || !strcmp(a->attribution, b->attribution);
}

static void put_caution(const struct compare_side *original, const struct compare_side *replay,
			struct buf *out)
{
	if (compare_rows_alike(original, replay))
		return;
	grid_put_line(out,
		      "caution: the rows of the %s were made by %s, those of the %s by %s: compare "
		      "totals; what one tells apart is in other rows of the other, or "
		      "unattributed (docs/REPLAY.md)",
		      original->title, original->manifest->attribution, replay->title,
		      replay->manifest->attribution);
}

void compare_put_breakdown(const struct compare_side *original, const struct compare_side *replay,
			   struct buf *out)
{
	struct compare_pair pairs[COMPARE_PAIRS_MAX];
	size_t count = compare_services(original, replay, pairs);
	char name[SUMMARY_NAME_SIZE];

	put_single(original, pairs, count, out);
	put_single(replay, pairs, count, out);
	put_caution(original, replay, out);

	for (size_t i = 0; i < count; i++) {
		summary_service_name(replay->summary, pairs[i].replay, name);
		put_bands(original, replay, &pairs[i], are_several(original, replay) ? name : NULL,
			  out);
	}
}

/* `service` may be NULL. */
static struct json *service_to_json(const struct summary_service *service, uint64_t requests)
{
	struct json *json = json_new_object(), *rows = service ? json_new_object() : NULL;

	json_put_u64(json, "requests", requests);
	if (!rows)
		return json;
	for (int i = 0; i < SUB_COUNT; i++)
		json_put_double(rows, subsystems[i].column,
				mean(&service->bands[BAND_ALL], service->bands[BAND_ALL].ns[i]));
	json_put_double(rows, "unattributed_ns",
			mean(&service->bands[BAND_ALL], service->bands[BAND_ALL].unattributed_ns));
	json_put_double(rows, "total_ns",
			mean(&service->bands[BAND_ALL], service->bands[BAND_ALL].total_ns));
	json_put(json, "mean_ns", rows);
	return json;
}

static struct json *fidelity_to_json(const struct compare_side *original,
				     const struct compare_side *replay,
				     const struct compare_pair *of)
{
	struct fidelity_row rows[FIDELITY_ROWS];
	size_t count = compare_fidelity(original, replay, of, rows);
	struct json *fidelity = json_new_object();

	for (size_t i = 0; i < count; i++) {
		struct json *row = json_new_object();

		json_put_double(row, original->title, rows[i].original);
		json_put_double(row, replay->title, rows[i].replay);
		json_put_double(row, "percent", fidelity_percent(&rows[i]));
		json_put(fidelity, rows[i].name, row);
	}
	return fidelity;
}

static struct json *pair_to_json(const struct compare_side *original,
				 const struct compare_side *replay, const struct compare_pair *pair)
{
	const struct summary_service *a = pair->original, *b = pair->replay;
	uint64_t a_count = count_of(original->summary, &a->requests);
	uint64_t b_count = count_of(replay->summary, &b->requests);
	struct json *json = json_new_object();

	json_put_u64(json, "service_id", b->row.service_id);
	json_put_text(json, "name", b->row.name);
	json_put(json, original->title, service_to_json(a, a_count));
	json_put(json, replay->title, service_to_json(b, b_count));
	json_put(json, "fidelity", fidelity_to_json(original, replay, pair));
	return json;
}

struct json *compare_to_json(const struct compare_side *original, const struct compare_side *replay)
{
	const struct summary *a = original->summary, *b = replay->summary;
	struct compare_pair pairs[COMPARE_PAIRS_MAX];
	size_t count = compare_services(original, replay, pairs);
	struct json *json = json_new_object(), *services = json_new_array();

	for (size_t i = 0; i < count; i++)
		json_add(services, pair_to_json(original, replay, &pairs[i]));
	json_put(json, original->title,
		 service_to_json(count ? pairs->original : NULL, summary_requests_count(a)));
	json_put(json, replay->title,
		 service_to_json(count ? pairs->replay : NULL, summary_requests_count(b)));
	json_put(json, "fidelity", fidelity_to_json(original, replay, NULL));
	json_put(json, "services", services);
	json_put_bool(json, "rows_alike", compare_rows_alike(original, replay));
	return json;
}
