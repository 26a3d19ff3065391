/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long runs: what a sample and totals keep of rows, against the same rows one by one. What a node lets
 * go of, what a client names, and in which order both come must not change a sum.
 */
#include "check.h"
#include "replay/keep.h"
#include "replay/node/keeper.h"
#include "replay/node/limits.h"
#include "replay/slowest.h"
#include "replay/walk/sieve.h"
#include "trace/totals.h"

#include <errno.h>
#include <string.h>

#define ROWS 20000
#define SHARE (KEEP_ALL / 100)
#define SEED 7

/* --- totals -------------------------------------------------------------------------------- */

/* Bins lie side by side, each value is in one, and none is wider than 1/64 of its values. */
static void test_bins(void)
{
	static const int64_t values[] = { 0, 1, 63, 64, 65, 127, 128, 1000, 123456789, INT64_MAX };

	for (uint32_t bin = 0; bin + 1 < TOTALS_BINS; bin++) {
		uint64_t from = totals_bin_from_ns(bin), to = totals_bin_from_ns(bin + 1);

		CHECK_EQ(totals_bin((int64_t)from), bin);
		CHECK_EQ(totals_bin((int64_t)to - 1), bin);
		CHECK(to - from <= 1 || (to - from) * 64 <= from);
	}
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		uint32_t bin = totals_bin(values[i]);

		CHECK(bin < TOTALS_BINS);
		CHECK(totals_bin_from_ns(bin) <= (uint64_t)values[i]);
		CHECK((uint64_t)values[i] < totals_bin_from_ns(bin + 1));
	}
	CHECK_EQ(totals_bin(-5), 0);
}

/* Known values of all sizes; parts add up to the total. */
static struct wire_row row_of(uint64_t request)
{
	struct wire_row row = {
		.request_id = request, .root_id = request, .connection_id = 1, .end_ns = 1
	};

	for (int i = 0; i < SUB_COUNT; i++)
		row.total_ns += row.ns[i] = (int64_t)(request * (unsigned)i % 1013) << i % 9;
	row.unattributed_ns = (int64_t)request % 17;
	row.total_ns += row.unattributed_ns;
	return row;
}

/* All bins of all classes in one. */
static struct total sum_of(const struct totals *totals)
{
	struct total sum = { 0 };
	const struct total *t;

	for (uint32_t class = 0, bin = 0; (t = totals_next(totals, &class, &bin)); bin++) {
		struct row_total row = totals_row(t, bin);
		int64_t mean = t->total_ns / (int64_t)t->requests;

		CHECK((uint64_t)mean >= row.from_ns && (uint64_t)mean < row.to_ns);
		sum.requests += t->requests;
		sum.total_ns += t->total_ns;
		sum.unattributed_ns += t->unattributed_ns;
		for (int i = 0; i < SUB_COUNT; i++)
			sum.ns[i] += t->ns[i];
	}
	return sum;
}

/* --- the node's end ------------------------------------------------------------------------ */

struct fixture {
	struct walk_program program;
	struct spool rows, ops;
	struct spool_writer rows_writer, ops_writer;
	struct keeper *keeper;
};

static void set_up_chain(struct fixture *f, uint64_t share, const char *text, uint32_t classes)
{
	const struct wire_walk walk = { .seed = SEED,
					.text_bytes = (uint32_t)strlen(text),
					.rows = 1 };
	const struct wire_keep keep = { .share = share, .classes = classes };
	struct err err = { "" };

	memset(f, 0, sizeof(*f));
	if (!CHECK_EQ(walk_program_init(&f->program, &walk, text, 1000, &err), 0))
		printf("# %s\n", err.text);
	CHECK_EQ(spool_init(&f->rows, sizeof(struct wire_row), NULL), 0);
	CHECK_EQ(spool_init(&f->ops, sizeof(struct wire_oprow), NULL), 0);
	CHECK_EQ(keeper_new(&keep, &f->program, &f->rows, &f->ops, NULL, &f->keeper, NULL), 0);
	spool_writer_init(&f->rows_writer, &f->rows);
	spool_writer_init(&f->ops_writer, &f->ops);
}

static void set_up(struct fixture *f, uint64_t share)
{
	set_up_chain(f, share, "-R\n300\n", 0);
	CHECK(keeper_is_ready(f->keeper));
}

static void add(struct fixture *f, uint64_t request)
{
	struct wire_row row = row_of(request);
	struct wire_oprow op = {
		.call_id = request + 1, .op_id = 1, .request_id = request, .root_id = request
	};

	spool_add(&f->rows_writer, &row);
	spool_add(&f->ops_writer, &op);
}

static void add_all(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		add(f, i);
		if (i % 1000 == 0) { /* as a node does, now and then */
			spool_drain(&f->rows);
			spool_drain(&f->ops);
		}
	}
}

static void tear_down(struct fixture *f)
{
	keeper_free(f->keeper);
	spool_release(&f->rows);
	spool_release(&f->ops);
	walk_program_release(&f->program);
}

/* How often the rows of a request are in the spool. */
static unsigned times_kept(struct fixture *f, uint64_t request)
{
	struct wire_row row;
	struct wire_oprow op;
	unsigned rows = 0, ops = 0;

	for (uint64_t at = 0; spool_read(&f->rows, at, &row, sizeof(row)) > 0; at += sizeof(row))
		if (row.request_id == request) {
			struct wire_row want = row_of(request);

			CHECK_MEM(&row, &want, sizeof(row));
			rows++;
		}
	for (uint64_t at = 0; spool_read(&f->ops, at, &op, sizeof(op)) > 0; at += sizeof(op))
		ops += op.request_id == request;
	CHECK_EQ(rows, ops);
	return rows;
}

static void name(struct fixture *f, uint64_t request)
{
	keeper_name(f->keeper, &(struct wire_slow){ .count = 1, .requests = { request } });
}

/* Not in the sample, at or behind `from`. */
static uint64_t outsider(uint64_t from)
{
	while (keep_is_sampled(SHARE, SEED, from))
		from++;
	return from;
}

static void test_totals_of_a_sample_are_of_all(void)
{
	struct totals every = { 0 };
	struct total got, want;
	struct fixture f;
	unsigned sampled = 0;

	set_up(&f, SHARE);
	add_all(&f, 0, ROWS);
	spool_writer_end(&f.rows_writer);
	spool_writer_end(&f.ops_writer);
	for (uint64_t i = ROWS; i-- > 0;) { /* in another order */
		struct wire_row row = row_of(i);
		struct row_latency latency = { .total_ns = row.total_ns,
					       .unattributed_ns = row.unattributed_ns };

		memcpy(latency.ns, row.ns, sizeof(latency.ns));
		CHECK_EQ(totals_add_row(&every, 0, &latency), 0);
		sampled += keep_is_sampled(SHARE, SEED, i);
	}
	got = sum_of(&f.keeper->totals);
	want = sum_of(&every);
	CHECK_EQ(want.requests, ROWS);
	CHECK_MEM(&got, &want, sizeof(got));
	for (uint32_t block = 0; block < TOTALS_BLOCKS; block++) {
		const struct total *a = f.keeper->totals.classes[0].blocks[block];
		const struct total *b = every.classes[0].blocks[block];

		if (CHECK_EQ(!a, !b) && a)
			CHECK_MEM(a, b, TOTALS_BLOCK_BINS * sizeof(*a));
	}
	/* six standard deviations of a binomial */
	CHECK_NEAR(sampled, ROWS / 100, 85);
	CHECK_EQ(f.rows.bytes, sampled * sizeof(struct wire_row));
	CHECK_EQ(f.ops.bytes, sampled * sizeof(struct wire_oprow));
	totals_release(&every);
	tear_down(&f);
}

/* In the ring, in a chunk that nobody has handed over yet, and not done at all yet: kept, once each. */
static void test_named(void)
{
	uint64_t old = outsider(10), young = outsider(ROWS - 2), later = outsider(ROWS + 10);
	struct fixture f;

	set_up(&f, SHARE);
	add_all(&f, 0, ROWS);
	name(&f, old);
	name(&f, old);
	name(&f, young);
	name(&f, later);
	add_all(&f, ROWS, ROWS + 20);
	spool_writer_end(&f.rows_writer);
	spool_writer_end(&f.ops_writer);
	CHECK_EQ(times_kept(&f, old), 1);
	CHECK_EQ(times_kept(&f, young), 1);
	CHECK_EQ(times_kept(&f, later), 1);
	CHECK_EQ(times_kept(&f, outsider(old + 1)), 0);
	tear_down(&f);
}

/* The ring holds no more than it may: what came before that is gone, and still counted. */
static void test_ring_is_bounded(void)
{
	const uint64_t most = NODE_RING_BYTES / sizeof(struct wire_row);
	uint64_t gone = outsider(0), kept = outsider(2 * most - 10);
	struct fixture f;

	set_up(&f, 0);
	add_all(&f, 0, 2 * most);
	spool_writer_end(&f.rows_writer);
	spool_writer_end(&f.ops_writer);
	CHECK_EQ(f.keeper->rows.count, most);
	name(&f, gone);
	name(&f, kept);
	CHECK_EQ(f.rows.bytes, sizeof(struct wire_row));
	CHECK_EQ(sum_of(&f.keeper->totals).requests, 2 * most);
	tear_down(&f);
}

/* A node counts a request to the class that the client has it in. */
static void test_classes(void)
{
	static const struct walk_class classes[] = {
		{ .name = "a", .at = 0, .end = 3 },
		{ .name = "b", .at = 3, .end = 5 },
	};
	uint64_t want[2] = { 0 }, got[2] = { 0 };
	struct walk_schedule schedule;
	struct fixture f;
	const struct total *t;

	set_up_chain(&f, 0, "-s\n2,prob=0.25\n-C\n10us\n-R\n64\n-C\n20us\n-R\n128\n", 2);
	schedule = (struct walk_schedule){
		.seed = SEED, .chain = &f.program.chain, .classes = classes, .classes_count = 2
	};
	/* the first class has to begin with what can pass over it; there are two */
	CHECK_EQ(keeper_add_class(f.keeper, &(struct wire_class){ .at = 1 }, NULL), -EPROTO);
	for (size_t i = 0; i < 2; i++) {
		CHECK(!keeper_is_ready(f.keeper));
		CHECK_EQ(keeper_add_class(f.keeper, &(struct wire_class){ .at = classes[i].at },
					  NULL),
			 0);
	}
	CHECK(keeper_is_ready(f.keeper));
	CHECK_EQ(keeper_add_class(f.keeper, &(struct wire_class){ .at = 4 }, NULL), -EPROTO);
	add_all(&f, 0, ROWS);
	spool_writer_end(&f.rows_writer);
	spool_writer_end(&f.ops_writer);
	for (uint64_t i = 0; i < ROWS; i++)
		want[walk_class_of(&schedule, i)]++;
	for (uint32_t class = 0, bin = 0; (t = totals_next(&f.keeper->totals, &class, &bin)); bin++)
		got[class] += t->requests;
	CHECK(want[0] > want[1] && want[1]);
	CHECK_EQ(got[0], want[0]);
	CHECK_EQ(got[1], want[1]);
	tear_down(&f);
}

/* --- the client's end ---------------------------------------------------------------------- */

struct seen {
	uint64_t each, kept;
	bool was_kept[ROWS];
};

static void see_each(void *arg, const struct walk_row *row)
{
	((struct seen *)arg)->each++;
}

static void see_kept(void *arg, const struct walk_row *row)
{
	struct seen *seen = arg;

	CHECK(!seen->was_kept[row->request]);
	seen->was_kept[row->request] = true;
	seen->kept++;
}

static int64_t took_ns(uint64_t request)
{
	return (int64_t)(request * 7919 % ROWS);
}

/* Two windows of half the rows each: the five slowest of either are kept, and named if not sampled. */
static void test_slowest_of_each_window(void)
{
	static struct seen seen;
	const struct walk_sieve_setup setup = {
		.schedule = { .threads = 1, .requests = ROWS, .sessions = 1, .seed = SEED },
		.share = SHARE,
		.slowest = 5,
		.each = see_each,
		.kept = see_kept,
		.arg = &seen,
	};
	uint64_t sampled = 0, outside = 0;
	struct walk_sieve *sieve;
	struct wire_slow slow;

	CHECK_EQ(walk_sieve_new(&setup, &sieve, NULL), 0);
	for (uint64_t i = 0; i < ROWS; i++) {
		struct walk_row row = { .request = i, .received_ns = took_ns(i) };

		sampled += keep_is_sampled(SHARE, SEED, i);
		walk_sieve_take(sieve, &row, 1, 1 + (i >= ROWS / 2) * SLOWEST_NS);
	}
	walk_sieve_end(sieve);
	CHECK_EQ(seen.each, ROWS);
	for (uint64_t i = 0; i < ROWS; i++) {
		unsigned slower = 0;

		for (uint64_t k = i < ROWS / 2 ? 0 : ROWS / 2; k < (i < ROWS / 2 ? ROWS / 2 : ROWS);
		     k++)
			slower += took_ns(k) > took_ns(i);
		if (slower < 5) {
			CHECK(seen.was_kept[i]);
			outside += !keep_is_sampled(SHARE, SEED, i);
		} else {
			CHECK_EQ(seen.was_kept[i], keep_is_sampled(SHARE, SEED, i));
		}
	}
	CHECK_EQ(seen.kept, sampled + outside);
	CHECK(walk_sieve_names(sieve, &slow));
	CHECK_EQ(slow.count, outside);
	for (uint32_t i = 0; i < slow.count; i++)
		CHECK(seen.was_kept[slow.requests[i]]);
	CHECK(!walk_sieve_names(sieve, &slow));
	walk_sieve_free(sieve);
}

/*
 * Of a replay: what comes of a request is kept with it, on every node alike; rows say their class;
 * an op that nobody asked for is in the sample or not by its own number.
 */
static void test_rows_of_a_replay(void)
{
	const struct wire_keep keep = { .share = SHARE, .classes = 3 };
	struct fixture f = { .keeper = NULL };
	struct wire_row row = row_of(1);
	uint64_t root = 1, counted[3] = { 0 };
	unsigned background = 0, sampled = 0;
	const struct total *t;
	struct wire_oprow op;

	CHECK_EQ(spool_init(&f.rows, sizeof(struct wire_row), NULL), 0);
	CHECK_EQ(spool_init(&f.ops, sizeof(struct wire_oprow), NULL), 0);
	CHECK_EQ(keeper_new(&keep, NULL, &f.rows, &f.ops, NULL, &f.keeper, NULL), 0);
	CHECK(keeper_is_ready(f.keeper));
	CHECK_EQ(keeper_add_class(f.keeper, &(struct wire_class){ .at = 1 }, NULL), -EPROTO);
	while (keep_is_sampled(SHARE, KEEP_SEED, root))
		root++;
	spool_writer_init(&f.rows_writer, &f.rows);
	spool_writer_init(&f.ops_writer, &f.ops);
	for (uint64_t i = 1; i <= ROWS; i++) {
		op = (struct wire_oprow){ .call_id = i };
		row.request_id = i;
		row.root_id = i % 10 ? i : root; /* each tenth comes of one request */
		row.class = i % 3;
		spool_add(&f.rows_writer, &row);
		spool_add(&f.ops_writer, &op);
		sampled += keep_is_sampled(SHARE, KEEP_SEED, i);
	}
	spool_writer_end(&f.rows_writer);
	spool_writer_end(&f.ops_writer);
	name(&f, root);
	for (uint64_t at = 0; spool_read(&f.rows, at, &row, sizeof(row)) > 0; at += sizeof(row)) {
		CHECK(row.root_id == root || keep_is_sampled(SHARE, KEEP_SEED, row.root_id));
		counted[0] += row.root_id == root;
	}
	CHECK_EQ(counted[0], ROWS / 10 + (root % 10 != 0));
	for (uint64_t at = 0; spool_read(&f.ops, at, &op, sizeof(op)) > 0; at += sizeof(op))
		background++;
	CHECK_EQ(background, sampled);
	counted[0] = 0;
	for (uint32_t class = 0, bin = 0; (t = totals_next(&f.keeper->totals, &class, &bin)); bin++)
		counted[class] += t->requests;
	CHECK_EQ(counted[0], ROWS / 3);
	CHECK_EQ(counted[1], (ROWS + 2) / 3);
	CHECK_EQ(counted[2], (ROWS + 1) / 3);
	keeper_free(f.keeper);
	spool_release(&f.rows);
	spool_release(&f.ops);
}

/* A timeline that has begun to go goes all: what a name finds is whole, and in its order. */
static void test_stretches_are_whole(void)
{
	const struct wire_keep keep = { .share = 0, .classes = 1 };
	struct fixture f = { .keeper = NULL };
	struct wire_stretch stretch;
	struct spool stretches;
	struct spool_writer writer;
	uint64_t most = NODE_RING_BYTES / sizeof(stretch), last = 0;
	size_t got = 0;

	CHECK_EQ(spool_init(&f.rows, sizeof(struct wire_row), NULL), 0);
	CHECK_EQ(spool_init(&f.ops, sizeof(struct wire_oprow), NULL), 0);
	CHECK_EQ(spool_init(&stretches, sizeof(stretch), NULL), 0);
	CHECK_EQ(keeper_new(&keep, NULL, &f.rows, &f.ops, &stretches, &f.keeper, NULL), 0);
	spool_writer_init(&writer, &stretches);
	for (uint64_t i = 0; i < most + 3; i++) { /* seven of each request: three of the first go */
		stretch = (struct wire_stretch){ .root_id = 1 + i / 7,
						 .request_id = 1 + i / 7,
						 .from_ns = (int64_t)i };
		spool_add(&writer, &stretch);
		if (i % 1000 == 0)
			spool_drain(&stretches);
	}
	spool_writer_end(&writer);
	name(&f, 1);
	name(&f, 2);
	name(&f, 1 + (most + 2) / 7);
	for (uint64_t at = 0; spool_read(&stretches, at, &stretch, sizeof(stretch)) > 0;
	     at += sizeof(stretch)) {
		CHECK(stretch.request_id != 1);
		CHECK((uint64_t)stretch.from_ns > last);
		last = (uint64_t)stretch.from_ns;
		got += stretch.request_id == 2;
	}
	CHECK_EQ(got, 7);
	CHECK_EQ(last, most + 2);
	keeper_free(f.keeper);
	spool_release(&f.rows);
	spool_release(&f.ops);
	spool_release(&stretches);
}

/* They come in their order, and what there is no room for is not told. */
static void test_names(void)
{
	static struct names names;
	uint64_t got[100], next = 0;
	uint32_t count;

	for (uint64_t i = 0; i < 2 * NAMES_MAX; i++)
		names_put(&names, i);
	while ((count = names_take(&names, got, ARRAY_SIZE(got))))
		for (uint32_t i = 0; i < count; i++)
			CHECK_EQ(got[i], next++);
	CHECK_EQ(next, NAMES_MAX);
	names_put(&names, 5);
	CHECK_EQ(names_take(&names, got, 1), 1);
	CHECK_EQ(got[0], 5);
}

int main(void)
{
	RUN(test_bins);
	RUN(test_totals_of_a_sample_are_of_all);
	RUN(test_named);
	RUN(test_ring_is_bounded);
	RUN(test_classes);
	RUN(test_slowest_of_each_window);
	RUN(test_rows_of_a_replay);
	RUN(test_stretches_are_whole);
	RUN(test_names);
	return check_done();
}
