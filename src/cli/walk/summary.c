/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/walk/summary.h"

#include "base/clock.h"
#include "base/units.h"

#include <inttypes.h>

/* --- for people ------------------------------------------------------------------------------ */

static void put_hist(struct buf *out, const char *name, const struct hist *h)
{
	static const double percentiles[] = { 50, 99, 99.9 };
	char text[UNIT_TEXT_SIZE];

	if (!hist_count(h))
		return;
	buf_puts(out, name);
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
		uint64_t ns = hist_value_at_percentile(h, percentiles[i]);

		unit_format_ns(text, sizeof(text), (int64_t)ns);
		buf_printf(out, "  p%g %s", percentiles[i], text);
	}
	unit_format_ns(text, sizeof(text), (int64_t)hist_max(h));
	buf_printf(out, "  max %s\n", text);
}

static void put_rate(struct buf *out, const struct walk_result *r)
{
	char text[UNIT_TEXT_SIZE];

	unit_format_ns(text, sizeof(text), r->duration_ns);
	buf_printf(out, "took %s", text);
	if (r->duration_ns > 0)
		buf_printf(out, "  answered a second %.0f",
			   (double)r->outcomes[WALK_OK] * NS_PER_SEC / (double)r->duration_ns);
	buf_putc(out, '\n');
}

/* What nodes did not do as they were asked. */
static void put_ledger(struct buf *out, const struct ledger *ledger)
{
	for (enum ledger_entry i = 0; i < LG_COUNT; i++) {
		const struct ledger_info *info = &ledger_infos[i];

		if (ledger->count[i] && info->severity != LEDGER_SEEN)
			buf_printf(out, "node: %" PRIu64 " %s\n", ledger->count[i], info->text);
	}
}

/* How far apart the starts of agents on other hosts may have been. */
static void put_clocks(const struct walk_opts *opts, const struct walk_result *r, struct buf *out)
{
	char address[ADDRESS_TEXT_SIZE], bound[UNIT_TEXT_SIZE];

	for (uint32_t i = 0; i < r->clocks_count; i++) {
		unit_format_ns(bound, sizeof(bound), r->clocks[i].bound_ns);
		buf_printf(out, "agent %s: its clock is known within %s\n",
			   address_format(&opts->agents_at[i], address), bound);
	}
	if (r->node_clock.bound_ns) {
		unit_format_ns(bound, sizeof(bound), r->node_clock.bound_ns);
		buf_printf(out, "the node's clock is known within %s, by its replies\n", bound);
	}
}

void walk_summary_put(const struct walk_opts *opts, const struct walk_result *r, struct buf *out)
{
	buf_printf(out,
		   "sent %" PRIu64 "  answered %" PRIu64 "  errors %" PRIu64 "  timeouts %" PRIu64
		   "  unsent %" PRIu64 "\n",
		   r->sent, r->outcomes[WALK_OK], r->outcomes[WALK_ERROR],
		   r->outcomes[WALK_TIMEOUT], r->outcomes[WALK_UNSENT]);
	put_rate(out, r);
	if (r->raised)
		buf_printf(out, "%" PRIu64 " requests were made larger, to hold a header\n",
			   r->raised);
	if (r->replies_late)
		buf_printf(out, "%" PRIu64 " replies came when their request was over\n",
			   r->replies_late);
	put_clocks(opts, r, out);
	put_ledger(out, &r->ledger);
	put_hist(out, "latency", &r->latency);
	put_hist(out, "late   ", &r->late);
	if (opts->conn_times)
		put_hist(out, "connect", &r->connect);
}

void walk_summary_put_threads(const struct walk_opts *opts, const struct walk_result *r,
			      struct buf *out)
{
	for (uint32_t i = 0; i < opts->threads; i++)
		buf_printf(out,
			   "Sent pkts - success: %" PRIu64 ", error: %" PRIu64 ", thr_id: %u\n",
			   r->threads[i].answered, r->threads[i].failed, i);
}

/* --- for scripts ----------------------------------------------------------------------------- */

static struct json *hist_json(const struct hist *h)
{
	static const struct {
		const char *name;
		double percentile;
	} rows[] = { { "p50_ns", 50 }, { "p90_ns", 90 }, { "p99_ns", 99 }, { "p999_ns", 99.9 } };
	struct json *json = json_new_object();

	json_put_u64(json, "count", hist_count(h));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		json_put_u64(json, rows[i].name, hist_value_at_percentile(h, rows[i].percentile));
	json_put_u64(json, "max_ns", hist_max(h));
	return json;
}

static struct json *ledger_json(const struct ledger *ledger)
{
	struct json *json = json_new_object();

	for (enum ledger_entry i = 0; i < LG_COUNT; i++) {
		if (ledger->count[i])
			json_put_u64(json, ledger_infos[i].name, ledger->count[i]);
	}
	return json;
}

static struct json *clock_json(const struct clock_offset *offset)
{
	struct json *clock = json_new_object();

	json_put_int(clock, "clock_offset_ns", offset->offset_ns);
	json_put_int(clock, "clock_bound_ns", offset->bound_ns);
	return clock;
}

static struct json *clocks_json(const struct walk_result *r)
{
	struct json *json = json_new_array();

	for (uint32_t i = 0; i < r->clocks_count; i++)
		json_add(json, clock_json(&r->clocks[i]));
	return json;
}

struct json *walk_summary_json(const struct walk_result *r)
{
	static const char *const outcomes[WALK_OUTCOMES] = {
		[WALK_OK] = "answered",
		[WALK_ERROR] = "errors",
		[WALK_TIMEOUT] = "timeouts",
		[WALK_UNSENT] = "unsent",
	};
	struct json *json = json_new_object();

	json_put_u64(json, "sent", r->sent);
	for (size_t i = 0; i < WALK_OUTCOMES; i++)
		json_put_u64(json, outcomes[i], r->outcomes[i]);
	json_put_u64(json, "bytes_out", r->bytes_out);
	json_put_u64(json, "bytes_in", r->bytes_in);
	json_put_u64(json, "raised", r->raised);
	json_put_u64(json, "replies_late", r->replies_late);
	json_put_u64(json, "rows_waited", r->rows_waited);
	json_put_int(json, "duration_ns", r->duration_ns);
	json_put(json, "latency", hist_json(&r->latency));
	json_put(json, "service", hist_json(&r->service));
	json_put(json, "late", hist_json(&r->late));
	json_put(json, "connect", hist_json(&r->connect));
	json_put(json, "agents", clocks_json(r));
	if (r->node_clock.bound_ns)
		json_put(json, "node_clock", clock_json(&r->node_clock));
	json_put(json, "node_ledger", ledger_json(&r->ledger));
	json_put_bool(json, "invalid", r->invalid);
	json_put_text(json, "failure", r->failure);
	return json;
}
