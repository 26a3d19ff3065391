/* SPDX-License-Identifier: Apache-2.0 */
/* Known truth: the golden trace's 23 requests of 7 KiB with 3 ms of CPU. */
#include "golden.h"

#include "report/grid.h"
#include "report/id_map.h"
#include "report/summary.h"
#include "report/summary_json.h"
#include "report/summary_text.h"

#include <errno.h>
#include <unistd.h>

static struct trace *golden;
static struct summary *summary;

static void open_golden(void)
{
	struct err err;

	if (trace_open(GOLDEN_PATH, TRACE_OPEN_VERIFY, &golden, &err) ||
	    summary_build(golden, &summary, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
}

static void test_load(void)
{
	CHECK_EQ(summary->requests.count, GOLDEN_REQUESTS);
	CHECK_EQ(summary->requests.response_bytes, GOLDEN_REQUESTS * GOLDEN_BYTES);
	CHECK_EQ(summary->requests.cpu_ns, (uint64_t)GOLDEN_REQUESTS * GOLDEN_CPU_NS);
	CHECK_EQ(summary->requests.ops, 54);
	CHECK_EQ(summary->rows[TABLE_OPS], 55); /* and the background one */
	CHECK_EQ(summary->peak_per_second, 10);
	CHECK_EQ(summary->spans_unknown, 1);
	CHECK_EQ(summary->doubtful, 1);
	CHECK_EQ(summary->first_ns, 1000000);
	CHECK_NEAR(summary_rate(summary, summary->requests.count), 9.2, 1e-9);
	CHECK_EQ(hist_min(&summary->requests.span), 4000000);
	CHECK_EQ(hist_max(&summary->requests.span), golden_span_ns(21));
	CHECK(!summary_is_doubtful(summary, trace_manifest(golden)));
}

static void test_classes(void)
{
	if (!CHECK_EQ(summary->classes_count, 2))
		return;
	CHECK_EQ(summary->classes[0].requests.count, 19);
	CHECK_EQ(summary->classes[1].requests.count, 4);
	CHECK_EQ(summary->classes[1].requests.ops, 16);
	CHECK_EQ(summary->classes[1].requests.cpu_ns, 4 * GOLDEN_CPU_NS);
}

static void test_services(void)
{
	if (!CHECK_EQ(summary->services_count, 3)) /* and the client */
		return;
	CHECK_EQ(summary->services[1].requests.count, GOLDEN_REQUESTS);
	CHECK_EQ(summary->services[1].connections, 2);
	CHECK_EQ(summary->services[1].dependent, 1);
	CHECK_EQ(summary->services[2].outgoing, 1);
}

static void test_operations(void)
{
	CHECK_EQ(summary->ops[OP_COMPUTE].count, GOLDEN_REQUESTS);
	CHECK_EQ(summary->ops[OP_STORE].count, 5);
	CHECK_EQ(summary->ops[OP_STORE].background, 1);
	CHECK_EQ(summary->ops[OP_STORE].bytes, 4 * GOLDEN_BYTES + 65536);
	CHECK_EQ(summary->targets[TARGET_FILE].bytes, 1048576);
}

/* Bands hold the requests they should, and each one's rows add up to its total. */
static void test_bands(void)
{
	const struct summary_service *shop = &summary->services[1];

	CHECK_EQ(shop->bands[BAND_ALL].requests, 22);
	CHECK_EQ(shop->bands[BAND_MEDIAN].requests, 6); /* ranks 9 to 14 of 22 */
	CHECK_EQ(shop->bands[BAND_TAIL].requests, 1);
	CHECK_EQ(shop->bands[BAND_TAIL].total_ns, golden_span_ns(21));
	CHECK_EQ(shop->bands[BAND_ALL].ns[SUB_CPU_USER], 22LL * GOLDEN_CPU_NS);
	for (int b = 0; b < BAND_COUNT; b++) {
		int64_t sum = shop->bands[b].unattributed_ns;

		for (int i = 0; i < SUB_COUNT; i++)
			sum += shop->bands[b].ns[i];
		CHECK_EQ(sum, shop->bands[b].total_ns);
	}
}

static void test_text(void)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	summary_put_text(summary, trace_manifest(golden), &text);
	CHECK_EQ(buf_failed(&text), 0);
	CHECK(!strncmp(buf_text(&text), "ledger (nothing lost)\n", 22));
	CHECK(strstr(buf_text(&text), "\nbreakdown of shop\n") != NULL);
	CHECK(strstr(buf_text(&text), "  unattributed ") != NULL);
	CHECK(!strstr(buf_text(&text), " \n")); /* no blanks at the end of a line */
	CHECK(strstr(buf_text(&text), "put, old?style") != NULL); /* its newline made harmless */
	buf_release(&text);
}

static void test_json(void)
{
	struct json *json = summary_to_json(summary, trace_manifest(golden));
	const struct json *requests = json_get(json, "requests");
	int64_t value = 0;

	CHECK_EQ(json_get_int(requests, "count", 0, &value), 0);
	CHECK_EQ(value, GOLDEN_REQUESTS);
	CHECK_EQ(json_get_int(json_get(requests, "server_span_ns"), "max", 0, &value), 0);
	CHECK_EQ(value, golden_span_ns(21));
	CHECK_EQ(json_length(json_get(json, "classes")), 2);
	CHECK_EQ(json_length(json_get(json_at(json_get(json, "breakdown"), 0), "bands")), 3);
	json_free(json);
}

static void test_losses_come_first(void)
{
	static const char want[] = "LOSSES: the numbers below are not to be trusted\n"
				   "INVALID because of ?[31mcolours\n"
				   "ledger\n"
				   "  LOST      1,234  events lost to a full ring buffer\n";
	struct manifest m = *trace_manifest(golden);
	struct buf text;

	summary->ledger.count[LG_EVENTS_LOST] = 1234;
	strcpy(m.verdict, "INVALID because of \x1b[31mcolours");
	buf_init(&text, 1 << 20);
	summary_put_text(summary, &m, &text);
	CHECK(!strncmp(buf_text(&text), want, strlen(want)));
	CHECK(summary_is_doubtful(summary, &m));
	buf_release(&text);
}

static void test_id_map(void)
{
	static const uint64_t ids[] = { 0, 1, 65535, 65536, 1ULL << 40, UINT64_MAX };
	struct id_map *map = id_map_new();

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		CHECK_EQ(id_map_get(map, ids[i]), ID_MAP_NONE);
		CHECK_EQ(id_map_set(map, ids[i], (uint16_t)(7 + i)), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		CHECK_EQ(id_map_get(map, ids[i]), 7 + i);
	CHECK_EQ(id_map_get(map, 2), ID_MAP_NONE);
	id_map_free(map);
	id_map_free(NULL);
}

static void test_grid(void)
{
	struct grid grid;
	struct buf out;

	grid_init(&grid, "lrl");
	grid_cell(&grid, "name");
	grid_cell(&grid, "n");
	grid_cell(&grid, "text");
	grid_cell(&grid, "\xc3\xa4");
	grid_cell(&grid, "%d", 1234);
	grid_end_row(&grid);
	buf_init(&out, 1000);
	grid_put(&grid, 1, &out);
	CHECK_STR(buf_text(&out), " name     n  text\n \xc3\xa4     1234\n");
	buf_release(&out);
	grid_release(&grid);
}

/* More classes and services than are told apart, ids that are absent, numbers that overflow. */
static void put_many(struct trace_writer *w, struct err *err)
{
	for (uint64_t i = 0; i < 3 * SUMMARY_CLASSES_MAX; i++) {
		struct row_request request = golden_request(i % 22);
		struct row_latency latency = { i + 1, i % 200, INT64_MAX, INT64_MAX, { 0 } };

		request.request_id = i + 1;
		request.class_id = i; /* 0 too */
		request.service_id = i % 200;
		trace_write(w, TABLE_REQUESTS, &request, err);
		trace_write(w, TABLE_LATENCY, &latency, err);
	}
}

static void check_many(const char *path)
{
	struct summary *s = NULL;
	struct trace *t = NULL;
	struct err err;
	uint64_t sum = 0;

	CHECK_EQ(trace_open(path, 0, &t, &err), 0);
	if (!CHECK_EQ(summary_build(t, &s, &err), 0))
		return;
	CHECK_EQ(s->classes_count, SUMMARY_CLASSES_MAX + 1);
	CHECK_STR(s->classes[SUMMARY_CLASSES_MAX].row.name, "(others)");
	for (size_t i = 0; i < s->classes_count; i++)
		sum += s->classes[i].requests.count;
	CHECK_EQ(sum, 3 * SUMMARY_CLASSES_MAX);
	CHECK_EQ(s->services_count, SUMMARY_SERVICES_MAX + 2);
	CHECK_EQ(s->services[SUMMARY_SERVICES_MAX + 1].bands[BAND_ALL].total_ns, INT64_MAX);
	CHECK(summary_is_doubtful(s, trace_manifest(t))); /* cut short */
	summary_free(s);
	trace_free(t);
}

static void test_limits(void)
{
	char path[] = "/tmp/gait-test-summary.XXXXXX", command[100];
	struct trace_writer *w;
	struct err err;

	if (!CHECK(mkdtemp(path) != NULL))
		return;
	CHECK_EQ(trace_writer_new(path, 0, &w, &err), 0);
	put_many(w, &err);
	trace_writer_free(w);
	check_many(path);
	snprintf(command, sizeof(command), "rm -r %s", path);
	CHECK_EQ(system(command), 0);
}

int main(void)
{
	open_golden();
	RUN(test_load);
	RUN(test_classes);
	RUN(test_services);
	RUN(test_operations);
	RUN(test_bands);
	RUN(test_text);
	RUN(test_json);
	RUN(test_losses_come_first);
	RUN(test_id_map);
	RUN(test_grid);
	RUN(test_limits);
	summary_free(summary);
	trace_free(golden);
	return check_done();
}
