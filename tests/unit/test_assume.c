/* SPDX-License-Identifier: Apache-2.0 */
/* Compute that is assumed, on traces of a few requests whose server times are known. */
#include "check.h"

#include "edit/assume.h"

#include <errno.h>
#include <unistd.h>

#define US 1000LL
#define WORK_PER_MS 500000

static char scratch[200];

/* When a request came and its reply began, and what it called meanwhile; a to_ns of 0 ends it. */
struct told {
	int64_t arrival_ns, request_end_ns, write_ns;
	struct {
		int64_t from_ns, to_ns;
	} calls[3];
	struct {
		int64_t from_ns, to_ns;
	} stretches[4]; /* without a call under way */
};

static const struct told requests[] = {
	/* its transfer is nobody's work */
	{ 20 * US, 100 * US, 400 * US, { { 0 } }, { { 100 * US, 400 * US } } },
	{ 500 * US, 500 * US, TRACE_NONE, { { 0 } }, { { 0 } } },
	{ 600 * US, 600 * US, 590 * US, { { 0 } }, { { 0 } } },
	/* two at once, then one that outlasts the reply's begin */
	{ 1000 * US,
	  TRACE_NONE,
	  2000 * US,
	  { { 1700 * US, 2100 * US }, { 1100 * US, 1300 * US }, { 1200 * US, 1500 * US } },
	  { { 1000 * US, 1100 * US }, { 1500 * US, 1700 * US } } },
	/* one call all the time */
	{ 3000 * US, TRACE_NONE, 3100 * US, { { 2990 * US, 3200 * US } }, { { 0 } } },
	/* the reply begins before the request is whole */
	{ 3200 * US, 3500 * US, 3300 * US, { { 0 } }, { { 3200 * US, 3300 * US } } },
};

static const char *in_scratch(const char *name)
{
	static char paths[4][240];
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
	return path;
}

static void put_request(struct trace_writer *w, uint64_t id, const struct told *told)
{
	struct row_request row = { .request_id = id,
				   .service_id = 1,
				   .connection_id = 1,
				   .think_ns = TRACE_NONE,
				   .arrival_ns = told->arrival_ns,
				   .request_end_ns = told->request_end_ns,
				   .read_ns = TRACE_NONE,
				   .write_ns = told->write_ns,
				   .end_ns = told->write_ns };
	struct err err = { "" };

	CHECK_EQ(trace_write(w, TABLE_REQUESTS, &row, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(told->calls) && told->calls[i].to_ns; i++) {
		struct row_op op = { .op_id = id * 10 + i,
				     .request_id = id,
				     .kind = OP_FORWARD,
				     .service_id = 1,
				     .start_ns = told->calls[i].from_ns,
				     .elapsed_ns = (uint64_t)(told->calls[i].to_ns -
							      told->calls[i].from_ns),
				     .offset = TRACE_NONE };

		CHECK_EQ(trace_write(w, TABLE_OPS, &op, &err), 0);
	}
}

static void put_trace(const char *path, const char *detail)
{
	const struct row_service service = { .service_id = 1, .host_id = 1, .name = "shop" };
	struct trace_writer *w;
	struct manifest m;
	struct err err = { "" };

	manifest_init(&m);
	snprintf(m.source, sizeof(m.source), "pcap");
	snprintf(m.detail, sizeof(m.detail), "%s", detail);
	m.work_per_ms = WORK_PER_MS;
	m.ledger.count[LG_PACKETS] = 77;
	if (!CHECK_EQ(trace_writer_new(path, TRACE_WRITER_REPLACE, &w, &err), 0))
		return;
	CHECK_EQ(trace_write(w, TABLE_SERVICES, &service, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		put_request(w, i + 1, &requests[i]);
	CHECK_EQ(trace_writer_finish(w, &m, &err), 0);
	trace_writer_free(w);
}

/* 0, or what assume_compute() said; the result is in *ret. */
static int run(const char *from, const char *to, const char *text, uint64_t seed,
	       struct assume_result *ret)
{
	struct assume_opts opts = {
		.input = from, .output = to, .replace = true, .text = text, .seed = seed
	};
	struct err err = { "" };
	int rc;

	if (!CHECK_EQ(assume_model_parse(&opts.model, text, &err), 0))
		return -EINVAL;
	rc = assume_compute(&opts, ret, &err);
	CHECK(!rc || err.text[0]);
	assume_model_release(&opts.model);
	return rc;
}

/* The compute ops of a trace, in order. */
static size_t read_compute(const char *path, struct row_op ret_ops[16])
{
	struct row_op *all = NULL;
	struct trace *t;
	struct err err = { "" };
	size_t count = 0, n = 0;

	if (!CHECK_EQ(trace_open(path, TRACE_OPEN_VERIFY, &t, &err), 0))
		return 0;
	CHECK_EQ(trace_edited_tables(t), 0);
	CHECK_EQ(trace_read_all(t, TABLE_OPS, (void **)&all, &count, &err), 0);
	for (size_t i = 0; i < count && n < 16; i++) {
		for (size_t j = 0; j < i; j++)
			CHECK(all[j].op_id != all[i].op_id);
		if (all[i].kind == OP_COMPUTE)
			ret_ops[n++] = all[i];
	}
	free(all);
	trace_free(t);
	return n;
}

static void check_stretches(const struct row_op *ops, size_t count, double fraction)
{
	size_t n = 0;

	for (size_t r = 0; r < ARRAY_SIZE(requests); r++) {
		const struct told *told = &requests[r];

		check_case("request %zu, fraction %.1f", r + 1, fraction);
		for (size_t i = 0; told->stretches[i].to_ns && n < count; i++, n++) {
			int64_t ns = told->stretches[i].to_ns - told->stretches[i].from_ns;

			CHECK_EQ(ops[n].request_id, r + 1);
			CHECK_EQ(ops[n].start_ns, told->stretches[i].from_ns);
			CHECK_EQ(ops[n].elapsed_ns, ns);
			CHECK_NEAR((double)ops[n].cpu_ns, (double)ns * fraction, 1);
			CHECK_NEAR((double)ops[n].work, (double)ops[n].cpu_ns * WORK_PER_MS / 1e6,
				   1);
		}
	}
	CHECK_EQ(n, count);
}

static void test_server_time(void)
{
	static const struct {
		const char *text, *assumed;
		double fraction;
	} cases[] = {
		{ "server-time", "compute: server-time", 1 },
		{ "0.3", "compute: 0.3 of the server time", 0.3 },
		{ "1", "compute: 1", 1 },
	};
	struct assume_result result;
	struct row_op ops[16];

	put_trace(in_scratch("x"), "requests");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("%s", cases[i].text);
		if (!CHECK_EQ(run(in_scratch("x"), in_scratch("y"), cases[i].text, 1, &result), 0))
			continue;
		CHECK_STR(result.manifest.assumed, cases[i].assumed);
		CHECK_EQ(result.manifest.work_per_ms, WORK_PER_MS);
		CHECK_EQ(result.manifest.ledger.count[LG_PACKETS], 77);
		CHECK_EQ(result.requests, ARRAY_SIZE(requests));
		CHECK_EQ(result.without, 2);
		CHECK_NEAR((double)result.compute_ns, 700e3 * cases[i].fraction, 2);
		CHECK_EQ(result.manifest.tables[TABLE_OPS].rows, 4 + 4);
		check_stretches(ops, read_compute(in_scratch("y"), ops), cases[i].fraction);
	}
}

static void test_drawn(void)
{
	struct assume_result result;
	struct row_op first[16], again[16], other[16];
	size_t count;

	put_trace(in_scratch("x"), "requests");
	CHECK_EQ(run(in_scratch("x"), in_scratch("y"), "exp:100us", 7, &result), 0);
	CHECK_STR(result.manifest.assumed, "compute: exp:100us, seed 7");
	count = read_compute(in_scratch("y"), first);
	if (!CHECK_EQ(count, ARRAY_SIZE(requests))) /* a reply that is missing says nothing here */
		return;
	CHECK_EQ(run(in_scratch("x"), in_scratch("y"), "exp:100us", 7, &result), 0);
	CHECK_EQ(read_compute(in_scratch("y"), again), count);
	CHECK_MEM(first, again, count * sizeof(*first));
	CHECK_EQ(run(in_scratch("x"), in_scratch("y"), "exp:100us", 8, &result), 0);
	CHECK_EQ(read_compute(in_scratch("y"), other), count);
	CHECK(first[0].cpu_ns != other[0].cpu_ns);
	CHECK(first[0].cpu_ns != first[1].cpu_ns);
	CHECK_EQ(run(in_scratch("x"), in_scratch("y"), "20us", 8, &result), 0);
	CHECK_STR(result.manifest.assumed, "compute: 20us");
	CHECK_EQ(result.compute_ns, ARRAY_SIZE(requests) * 20 * US);
}

static void test_wrong_models(void)
{
	static const char *const wrong[] = { "",    "0",    "1.5",   "-0.3", "nan",
					     "inf", "0.3x", "gauss", "exp:", "server_time" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct assume_model model;
		struct err err = { "" };

		check_case("%s", wrong[i]);
		CHECK(assume_model_parse(&model, wrong[i], &err) < 0);
		CHECK(err.text[0]);
	}
}

static void test_refused(void)
{
	struct assume_result result;

	put_trace(in_scratch("x"), "requests");
	CHECK_EQ(run(in_scratch("x"), in_scratch("x"), "0.3", 1, &result), -EINVAL);
	CHECK_EQ(run(in_scratch("x"), in_scratch("y"), "0.3", 1, &result), 0);
	CHECK_EQ(run(in_scratch("y"), in_scratch("z"), "0.3", 1, &result), -EINVAL);
	rename(in_scratch("x/manifest.json"), in_scratch("manifest.json"));
	CHECK_EQ(run(in_scratch("x"), in_scratch("z"), "0.3", 1, &result), -EINVAL); /* cut short */
	rename(in_scratch("manifest.json"), in_scratch("x/manifest.json"));
	put_trace(in_scratch("x"), "full");
	CHECK_EQ(run(in_scratch("x"), in_scratch("z"), "0.3", 1, &result), -EINVAL);
	CHECK(access(in_scratch("z"), F_OK));
}

int main(void)
{
	char remove[260];

	snprintf(scratch, sizeof(scratch), "/tmp/test_assume.XXXXXX");
	if (!mkdtemp(scratch))
		return 1;
	RUN(test_server_time);
	RUN(test_drawn);
	RUN(test_wrong_models);
	RUN(test_refused);
	snprintf(remove, sizeof(remove), "rm -rf '%s'", scratch);
	if (system(remove))
		return 1;
	return check_done();
}
