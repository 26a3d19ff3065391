/* SPDX-License-Identifier: Apache-2.0 */
#include "report/compare.h"

#include "base/units.h"
#include "report/grid.h"

#include <math.h>
#include <stdio.h>

/* The service whose requests are compared: the first that has any (index 0 is the client). */
static const struct summary_service *service_of(const struct summary *s)
{
	for (size_t i = 1; i < s->services_count; i++)
		if (s->services[i].requests.count)
			return &s->services[i];
	return NULL;
}

static double per_request(const struct summary *s, double sum)
{
	return s->requests.count ? sum / s->requests.count : NAN;
}

/* Over the time in which requests came: a capture may begin and end with silence. */
static double rate(const struct compare_side *side)
{
	const struct summary *s = side->summary;
	double active_ns = s->first_ns == TRACE_NONE ? 0 : s->last_ns - s->first_ns;

	return active_ns > 0 ? s->requests.count / active_ns * 1e9 : NAN;
}

static double span_p50(const struct compare_side *side)
{
	return hist_value_at_percentile(&side->summary->requests.span, 50);
}

static double span_p99(const struct compare_side *side)
{
	return hist_value_at_percentile(&side->summary->requests.span, 99);
}

static double user_cpu(const struct compare_side *side)
{
	if (side->manifest->service_user_ns == TRACE_NONE)
		return NAN;
	return per_request(side->summary, side->manifest->service_user_ns);
}

static double kernel_cpu(const struct compare_side *side)
{
	if (side->manifest->service_kernel_ns == TRACE_NONE)
		return NAN;
	return per_request(side->summary, side->manifest->service_kernel_ns);
}

static double all_cpu(const struct compare_side *side)
{
	return user_cpu(side) + kernel_cpu(side);
}

static double bytes_in(const struct compare_side *side)
{
	return side->summary->requests.request_bytes;
}

static double bytes_out(const struct compare_side *side)
{
	return side->summary->requests.response_bytes;
}

static double io_operations(const struct compare_side *side)
{
	const struct summary_ops *ops = side->summary->ops;

	return ops[OP_LOAD].count + ops[OP_STORE].count + ops[OP_SYNC].count;
}

static double io_bytes(const struct compare_side *side)
{
	return side->summary->ops[OP_LOAD].bytes + side->summary->ops[OP_STORE].bytes;
}

static const struct {
	const char *name;
	int unit;
	double (*value)(const struct compare_side *side);
} figures[] = {
	{ "rate", FIDELITY_RATE, rate },
	{ "span p50", FIDELITY_NS, span_p50 },
	{ "span p99", FIDELITY_NS, span_p99 },
	{ "CPU/request", FIDELITY_NS, all_cpu },
	{ "user", FIDELITY_NS, user_cpu },
	{ "kernel", FIDELITY_NS, kernel_cpu },
	{ "bytes in", FIDELITY_BYTES, bytes_in },
	{ "bytes out", FIDELITY_BYTES, bytes_out },
	{ "I/O operations", FIDELITY_COUNT, io_operations },
	{ "I/O bytes", FIDELITY_BYTES, io_bytes },
};

_Static_assert(sizeof(figures) / sizeof(figures[0]) == FIDELITY_ROWS, "one row a figure");

size_t compare_fidelity(const struct compare_side *original, const struct compare_side *replay,
			struct fidelity_row ret_rows[FIDELITY_ROWS])
{
	for (size_t i = 0; i < FIDELITY_ROWS; i++) {
		ret_rows[i].name = figures[i].name;
		ret_rows[i].unit = figures[i].unit;
		ret_rows[i].original = figures[i].value(original);
		ret_rows[i].replay = figures[i].value(replay);
	}
	return FIDELITY_ROWS;
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

void compare_put_fidelity(const struct compare_side *original, const struct compare_side *replay,
			  struct buf *out)
{
	struct fidelity_row rows[FIDELITY_ROWS];
	size_t count = compare_fidelity(original, replay, rows);
	char a[UNIT_TEXT_SIZE], b[UNIT_TEXT_SIZE];

	buf_puts(out, "fidelity:");
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

void compare_put_breakdown(const struct compare_side *original, const struct compare_side *replay,
			   struct buf *out)
{
	const struct summary_service *services[] = { service_of(original->summary),
						     service_of(replay->summary) };
	struct grid grid;

	if (!services[0] || !services[1])
		return;
	for (int band = 0; band < BAND_COUNT; band++) {
		const struct summary_band *const bands[] = { &services[0]->bands[band],
							     &services[1]->bands[band] };

		if (!bands[0]->requests || !bands[1]->requests)
			continue;
		buf_printf(out, "\nserver span by subsystem, mean of %s requests\n",
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

static struct json *side_to_json(const struct compare_side *side)
{
	const struct summary_service *service = service_of(side->summary);
	struct json *json = json_new_object(), *rows = json_new_object();

	if (!json || !rows || !service)
		return json;
	for (int i = 0; i < SUB_COUNT; i++)
		json_put_double(rows, subsystems[i].column,
				mean(&service->bands[BAND_ALL], service->bands[BAND_ALL].ns[i]));
	json_put_double(rows, "unattributed_ns",
			mean(&service->bands[BAND_ALL], service->bands[BAND_ALL].unattributed_ns));
	json_put_double(rows, "total_ns",
			mean(&service->bands[BAND_ALL], service->bands[BAND_ALL].total_ns));
	json_put_u64(json, "requests", side->summary->requests.count);
	json_put(json, "mean_ns", rows);
	return json;
}

struct json *compare_to_json(const struct compare_side *original, const struct compare_side *replay)
{
	struct fidelity_row rows[FIDELITY_ROWS];
	size_t count = compare_fidelity(original, replay, rows);
	struct json *json = json_new_object(), *fidelity = json_new_object();

	for (size_t i = 0; i < count; i++) {
		struct json *row = json_new_object();

		json_put_double(row, original->title, rows[i].original);
		json_put_double(row, replay->title, rows[i].replay);
		json_put_double(row, "percent", fidelity_percent(&rows[i]));
		json_put(fidelity, rows[i].name, row);
	}
	json_put(json, original->title, side_to_json(original));
	json_put(json, replay->title, side_to_json(replay));
	json_put(json, "fidelity", fidelity);
	return json;
}
