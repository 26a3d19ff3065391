/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/plan/chains.h"
#include "replay/plan/plan.h"
#include "replay/plan/share.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The trace below is what a capture of a small key-value store with an
 * append-only file could look like: class 1 reads, class 2 writes 41 bytes.
 */
enum { GET = 1, SET = 2 };

#define SET_BYTES 41
#define THREADS 2

static struct trace_writer *writer;
static char directory[64], path[96];
static uint64_t next_op;

static void put(enum trace_table table, const void *row)
{
	struct err err = { "" };

	if (!CHECK(trace_write(writer, table, row, &err) == 0))
		printf("# %s\n", err.text);
}

static void begin_trace(void)
{
	struct err err = { "" };

	snprintf(directory, sizeof(directory), "/tmp/gait-test-plan-XXXXXX");
	CHECK(mkdtemp(directory) != NULL);
	snprintf(path, sizeof(path), "%s/x.gait", directory);
	if (!CHECK(trace_writer_new(path, 0, &writer, &err) == 0))
		printf("# %s\n", err.text);
	next_op = 100;
	put(TABLE_SERVICES,
	    &(struct row_service){ .service_id = 7, .name = "store", .threads = THREADS });
	put(TABLE_CLASSES, &(struct row_class){ .class_id = GET, .service_id = 7 });
	put(TABLE_CLASSES,
	    &(struct row_class){ .class_id = SET, .service_id = 7, .demand_ppm = 500000 });
	put(TABLE_TARGETS,
	    &(struct row_target){ .target_id = 3, .kind = TARGET_FILE, .file_bytes = 4096 });
}

static void put_connection(uint64_t id, uint64_t dependent, int64_t min_rtt_ns)
{
	struct row_connection row = {
		.connection_id = id,
		.service_id = 7,
		.open_ns = TRACE_NONE,
		.close_ns = TRACE_NONE,
		.srtt_ns = 40000000, /* has the think time in it */
		.min_rtt_ns = min_rtt_ns,
		.dependent = dependent,
	};

	put(TABLE_CONNECTIONS, &row);
}

static void put_request(struct row_request r)
{
	r.service_id = 7;
	r.thread_id = r.thread_id ? r.thread_id : 50;
	r.read_ns = r.read_ns ? r.read_ns : r.arrival_ns + 10;
	r.write_ns = r.write_ns ? r.write_ns : r.read_ns;
	r.end_ns = r.arrival_ns + 500;
	r.intended_ns = r.sent_ns = r.received_ns = TRACE_NONE;
	put(TABLE_REQUESTS, &r);
}

static uint64_t put_op(struct row_op op)
{
	op.op_id = ++next_op;
	op.service_id = 7;
	op.offset = op.offset ? op.offset : TRACE_NONE;
	put(TABLE_OPS, &op);
	return op.op_id;
}

static struct plan end_trace(struct plan_opts opts)
{
	struct manifest m = { .schema_major = TRACE_SCHEMA_MAJOR, .source = "ebpf" };
	struct plan plan = { 0 };
	struct trace *t = NULL;
	struct err err = { "" };
	char command[128];

	CHECK(trace_writer_finish(writer, &m, &err) == 0);
	trace_writer_free(writer);
	CHECK(trace_open(path, 0, &t, &err) == 0);
	if (!CHECK(t && plan_build(t, &opts, &plan, &err) == 0))
		printf("# %s\n", err.text);
	trace_free(t);
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	CHECK(system(command) == 0);
	return plan;
}

static const struct plan_op *op_of(const struct plan *plan, size_t request, size_t op)
{
	static const struct plan_op none = { .kind = OP_KIND_COUNT };

	if (!CHECK(request < plan->requests_count && op < plan->requests[request].ops_count))
		return &none;
	return &plan->ops[plan->requests[request].first_op + op];
}

/* Batches of GETs and SETs of every mix: the model finds 0 and 41 bytes. */
static void test_share_finds_causes(void)
{
	struct share_model m;
	uint32_t owners[64];

	share_model_init(&m, 3);
	for (size_t gets = 0; gets < 20; gets++) {
		for (size_t sets = 1; sets < 8; sets++) {
			for (size_t i = 0; i < gets + sets; i++)
				owners[i] = i < gets ? GET : SET;
			share_model_add(&m, owners, gets + sets, sets * SET_BYTES);
		}
	}
	share_model_solve(&m);
	CHECK_NEAR(m.bytes[SET], SET_BYTES, 0.01);
	CHECK(share_model_is_cause(&m, SET));
	CHECK(!share_model_is_cause(&m, GET));
	CHECK(!share_model_is_cause(&m, 0));
}

/* Sizes that vary: the GETs' share is chance, and is seen to be. */
static void test_share_sees_chance(void)
{
	uint64_t random = 12345, bytes;
	struct share_model m;
	uint32_t owners[64];
	size_t gets, sets;

	share_model_init(&m, 3);
	for (int i = 0; i < 300; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		gets = random >> 33 & 15;
		sets = 1 + (random >> 40 & 7);
		bytes = 0;
		for (size_t o = 0; o < gets + sets; o++) {
			owners[o] = o < gets ? GET : SET;
			random = random * 6364136223846793005u + 1442695040888963407u;
			bytes += o < gets ? 0 : 20 + (random >> 33) % 1000;
		}
		share_model_add(&m, owners, gets + sets, bytes);
	}
	share_model_solve(&m);
	CHECK_NEAR(m.bytes[SET], 520, 40);
	CHECK(!share_model_is_cause(&m, GET));
}

/* Always one of each: nothing tells them apart, so both count, half each. */
static void test_share_leaves_doubt_equal(void)
{
	static const uint32_t owners[] = { 0, 1 };
	uint64_t shares[2];
	struct share_model m;

	share_model_init(&m, 2);
	for (int i = 0; i < 50; i++)
		share_model_add(&m, owners, 2, 100);
	share_model_solve(&m);
	CHECK(share_model_is_cause(&m, 0) && share_model_is_cause(&m, 1));
	share_split(&m, owners, 2, 101, shares);
	CHECK_EQ(shares[0] + shares[1], 101);
	CHECK_NEAR((double)shares[0], 50.5, 1);
}

/* The same, but class 1 is also seen alone, with nothing stored. */
static void test_share_believes_idle_requests(void)
{
	static const uint32_t owners[] = { 0, 1 };
	struct share_model m;

	share_model_init(&m, 2);
	for (int i = 0; i < 50; i++)
		share_model_add(&m, owners, 2, 100);
	share_model_add_idle(&m, 1, 5000);
	share_model_solve(&m);
	CHECK(share_model_is_cause(&m, 0));
	CHECK(!share_model_is_cause(&m, 1));
}

static void test_share_splits_exactly(void)
{
	static const uint32_t owners[] = { 1, 2, 1, 2, 2, 1, 2 };
	static const uint64_t amounts[] = { 0, 1, 6, 7, 41, 1000003, 1ull << 40 };
	struct share_model m;
	uint64_t shares[7], sum;

	share_model_init(&m, 3);
	share_model_add(&m, (uint32_t[]){ 1 }, 1, 10);
	share_model_add(&m, (uint32_t[]){ 2 }, 1, 30);
	share_model_solve(&m);
	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
		check_case("%llu bytes", (unsigned long long)amounts[i]);
		share_split(&m, owners, 7, amounts[i], shares);
		sum = 0;
		for (size_t o = 0; o < 7; o++)
			sum += shares[o];
		CHECK_EQ(sum, amounts[i]);
	}
	CHECK_NEAR((double)shares[1], 3.0 * (double)shares[0], 4);

	check_case("no cause");
	share_model_init(&m, 3);
	share_model_solve(&m);
	share_split(&m, owners, 7, 10, shares);
	CHECK_EQ(shares[0], 2);
	CHECK_EQ(shares[6], 1);
}

/* A pass that serves a GET and two SETs, answered after one store and one sync. */
static void put_pass(uint64_t first_request, int64_t at_ns, const uint64_t *classes, size_t count)
{
	uint64_t sets = 0, store, sync;

	for (size_t i = 0; i < count; i++) {
		put_request((struct row_request){ .request_id = first_request + i,
						  .class_id = classes[i],
						  .connection_id = 1 + i,
						  .arrival_ns = at_ns,
						  .request_bytes = 30,
						  .response_bytes = 5 });
		put_op((struct row_op){ .request_id = first_request + i,
					.kind = OP_COMPUTE,
					.start_ns = at_ns + 20 + (int64_t)i,
					.work = 1000 });
		sets += classes[i] == SET;
	}
	if (sets) {
		store = put_op((struct row_op){ .request_id = first_request,
						.kind = OP_STORE,
						.start_ns = at_ns + 100,
						.target_id = 3,
						.bytes = sets * SET_BYTES,
						.offset = 4096,
						.flags = OPF_APPEND });
		sync = put_op((struct row_op){ .request_id = first_request,
					       .kind = OP_SYNC,
					       .start_ns = at_ns + 200,
					       .target_id = 3,
					       .flags = OPF_DSYNC });
		for (size_t i = 1; i < count; i++) {
			put(TABLE_OP_REQUESTS,
			    &(struct row_op_request){ store, first_request + i });
			put(TABLE_OP_REQUESTS, &(struct row_op_request){ sync, first_request + i });
		}
	}
	for (size_t i = 0; i < count; i++)
		put_op((struct row_op){ .request_id = first_request + i,
					.kind = OP_REPLY,
					.start_ns = at_ns + 300 + (int64_t)i,
					.bytes = 5 });
}

static void put_passes(void)
{
	static const uint64_t mixed[] = { GET, SET, SET }, one[] = { GET, SET }, get[] = { GET };

	begin_trace();
	for (uint64_t i = 0; i < 10; i++) {
		put_pass(1 + 10 * i, 3000 * (int64_t)i, mixed, 3);
		put_pass(5 + 10 * i, 3000 * (int64_t)i + 1000, one, 2);
		put_pass(8 + 10 * i, 3000 * (int64_t)i + 2000, get, 1);
	}
	for (uint64_t c = 1; c <= 3; c++)
		put_connection(c, 0, TRACE_NONE);
}

static uint64_t sum_bytes(const struct plan *plan, uint32_t kind)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < plan->ops_count; i++)
		sum += plan->ops[i].kind == kind ? plan->ops[i].bytes : 0;
	return sum;
}

static void test_live_shares(void)
{
	struct plan plan;

	put_passes();
	plan = end_trace((struct plan_opts){ .batching = PLAN_BATCHING_LIVE });
	CHECK_EQ(plan.requests_count, 60);
	CHECK_EQ(sum_bytes(&plan, OP_STORE), 30 * SET_BYTES);

	check_case("a GET of a mixed pass: compute, wait for the store, wait for the sync, reply");
	CHECK_EQ(plan.requests[0].ops_count, 4);
	CHECK_EQ(op_of(&plan, 0, 0)->kind, OP_COMPUTE);
	CHECK_EQ(op_of(&plan, 0, 0)->work, 1000);
	CHECK_EQ(op_of(&plan, 0, 1)->mode, PLAN_WAIT);
	CHECK_EQ(op_of(&plan, 0, 1)->bytes, 0);
	CHECK_EQ(op_of(&plan, 0, 2)->kind, OP_SYNC);
	CHECK_EQ(op_of(&plan, 0, 2)->mode, PLAN_WAIT);
	CHECK_EQ(op_of(&plan, 0, 3)->kind, OP_REPLY);

	check_case("a SET of it: half the CPU by its class's demand, its 41 bytes");
	CHECK_EQ(op_of(&plan, 1, 0)->work, 500);
	CHECK_EQ(op_of(&plan, 1, 1)->mode, PLAN_SHARED);
	CHECK_EQ(op_of(&plan, 1, 1)->bytes, SET_BYTES);
	CHECK_EQ(op_of(&plan, 1, 1)->owners, 3);
	CHECK_EQ(op_of(&plan, 1, 2)->mode, PLAN_SHARED);
	CHECK_EQ(op_of(&plan, 2, 1)->bytes, SET_BYTES);
	CHECK_EQ(op_of(&plan, 2, 1)->offset, 4096 + SET_BYTES);

	check_case("a GET alone stores nothing and waits for nothing");
	CHECK_EQ(plan.requests[5].ops_count, 2);
	plan_release(&plan);
}

static void test_recorded_keeps_ops_whole(void)
{
	struct plan plan;

	put_passes();
	plan = end_trace((struct plan_opts){ .batching = PLAN_BATCHING_RECORDED });
	for (size_t r = 0; r < 3; r++) {
		check_case("request %zu", r);
		CHECK_EQ(op_of(&plan, r, 1)->op_id, op_of(&plan, 0, 1)->op_id);
		CHECK_EQ(op_of(&plan, r, 1)->owners, 3);
		CHECK_EQ(op_of(&plan, r, 1)->mode, PLAN_SHARED);
		CHECK_EQ(op_of(&plan, r, 1)->bytes, 2 * SET_BYTES);
		CHECK_EQ(op_of(&plan, r, 1)->offset, 4096);
	}
	plan_release(&plan);
}

/*
 * A store for requests 1, 2 and 3, when 1 had been answered already: 2 and 3 do it.
 * One for 1 and 2, long after both: each its part after its reply, or 1 all of it.
 */
static void put_late_owners(void)
{
	uint64_t op;

	begin_trace();
	for (uint64_t i = 1; i <= 3; i++) {
		put_connection(i, 0, TRACE_NONE);
		put_request((struct row_request){ .request_id = i,
						  .connection_id = i,
						  .arrival_ns = i == 1 ? 0 : 1000,
						  .request_bytes = 1,
						  .response_bytes = 1 });
	}
	op = put_op((struct row_op){
		.request_id = 2, .kind = OP_STORE, .start_ns = 1200, .target_id = 3, .bytes = 100 });
	put(TABLE_OP_REQUESTS, &(struct row_op_request){ op, 1 });
	put(TABLE_OP_REQUESTS, &(struct row_op_request){ op, 3 });
	op = put_op((struct row_op){ .request_id = 1,
				     .kind = OP_STORE,
				     .start_ns = 9000,
				     .target_id = 3,
				     .bytes = 60,
				     .after_reply = 1 });
	put(TABLE_OP_REQUESTS, &(struct row_op_request){ op, 2 });
}

static void test_late_owners(void)
{
	static const struct {
		enum plan_batching batching;
		size_t ops[3]; /* of each request, with its reply */
		uint64_t waited_bytes, later_bytes;
	} cases[] = {
		{ PLAN_BATCHING_LIVE, { 2, 3, 2 }, 50, 30 },
		{ PLAN_BATCHING_RECORDED, { 2, 2, 2 }, 100, 60 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plan plan;

		check_case("batching %d", cases[i].batching);
		put_late_owners();
		plan = end_trace((struct plan_opts){ .batching = cases[i].batching });
		for (size_t r = 0; r < 3; r++)
			CHECK_EQ(plan.requests[r].ops_count, cases[i].ops[r]);
		CHECK_EQ(op_of(&plan, 0, 1)->mode, PLAN_AFTER_REPLY);
		CHECK_EQ(op_of(&plan, 0, 1)->bytes, cases[i].later_bytes);
		for (size_t r = 1; r < 3; r++) {
			CHECK_EQ(op_of(&plan, r, 0)->mode, PLAN_SHARED);
			CHECK_EQ(op_of(&plan, r, 0)->owners, 2);
			CHECK_EQ(op_of(&plan, r, 0)->bytes, cases[i].waited_bytes);
		}
		plan_release(&plan);
	}
}

/* The reply ops add up to the response, whatever was recorded. */
static void test_replies_add_up(void)
{
	static const struct {
		uint64_t response_bytes, replies[3], want[3];
		size_t recorded, planned;
	} cases[] = {
		{ 100, { 100 }, { 100 }, 1, 1 },       { 100, { 60, 40 }, { 60, 40 }, 2, 2 },
		{ 100, { 60, 30 }, { 60, 40 }, 2, 2 }, { 100, { 60, 60, 5 }, { 60, 40, 0 }, 3, 3 },
		{ 100, { 0 }, { 100 }, 0, 1 },	       { 0, { 0 }, { 0 }, 0, 0 },
	};
	struct plan plan;

	begin_trace();
	put_connection(1, 0, TRACE_NONE);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_request((struct row_request){ .request_id = 1 + i,
						  .connection_id = 1,
						  .arrival_ns = 1000 * (int64_t)i,
						  .request_bytes = 1,
						  .response_bytes = cases[i].response_bytes });
		for (size_t o = 0; o < cases[i].recorded; o++)
			put_op((struct row_op){ .request_id = 1 + i,
						.kind = OP_REPLY,
						.start_ns = 1000 * (int64_t)i + 100 + (int64_t)o,
						.bytes = cases[i].replies[o] });
	}
	plan = end_trace((struct plan_opts){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("case %zu", i);
		CHECK_EQ(plan.requests[i].ops_count, cases[i].planned);
		for (size_t o = 0; o < plan.requests[i].ops_count; o++)
			CHECK_EQ(op_of(&plan, i, o)->bytes, cases[i].want[o]);
	}
	plan_release(&plan);
}

/* A reply that was missing goes before what was done after the reply. */
static void test_reply_before_what_follows_it(void)
{
	struct plan plan;

	begin_trace();
	put_connection(1, 0, TRACE_NONE);
	put_request((struct row_request){
		.request_id = 1, .connection_id = 1, .request_bytes = 1, .response_bytes = 9 });
	put_op((struct row_op){ .request_id = 1, .kind = OP_COMPUTE, .start_ns = 50, .work = 1 });
	put_op((struct row_op){ .request_id = 1,
				.kind = OP_STORE,
				.start_ns = 900,
				.bytes = 4,
				.target_id = 3,
				.after_reply = 1 });
	plan = end_trace((struct plan_opts){ 0 });
	CHECK_EQ(op_of(&plan, 0, 1)->kind, OP_REPLY);
	CHECK_EQ(op_of(&plan, 0, 2)->kind, OP_STORE);
	CHECK_EQ(op_of(&plan, 0, 2)->mode, PLAN_AFTER_REPLY);
	plan_release(&plan);
}

static void put_conversation(void)
{
	begin_trace();
	put_connection(1, 1, 4000);
	put_connection(2, 1, 300000); /* more than was thought */
	put_connection(3, 0, 2000);
	for (uint64_t i = 0; i < 9; i++)
		put_request((struct row_request){ .request_id = 10 - i, /* ids need no order */
						  .connection_id = 1 + i % 3,
						  .thread_id = i % 3 == 1 ? 52 : 51,
						  .arrival_ns = 1000000 * (int64_t)i,
						  .after_request = i >= 3 ? 10 - i + 3 : 0,
						  .think_ns = i >= 3 ? 250000 : 0,
						  .request_bytes = 1,
						  .response_bytes = 1 });
}

static void test_arrivals(void)
{
	/* think time of connection 1, 2, 3; -1: by the clock */
	static const struct {
		enum plan_arrivals arrivals;
		int64_t think_ns[3];
	} cases[] = {
		{ PLAN_ARRIVALS_AUTO, { 246000, 0, -1 } },
		{ PLAN_ARRIVALS_CLOCK, { -1, -1, -1 } },
		{ PLAN_ARRIVALS_DEPENDENT, { 246000, 0, 248000 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plan plan;

		check_case("arrivals %d", cases[i].arrivals);
		put_conversation();
		plan = end_trace((struct plan_opts){ .arrivals = cases[i].arrivals });
		CHECK_EQ(plan.requests_count, 9);
		CHECK_EQ(plan.threads, 2);
		for (size_t r = 0; r < plan.requests_count; r++) {
			int64_t think = r >= 3 ? cases[i].think_ns[r % 3] : -1;

			CHECK_EQ(plan.requests[r].due_ns, 1000000 * (int64_t)r);
			CHECK_EQ(plan.requests[r].request_id, 10 - r);
			CHECK_EQ(plan.requests[r].after_request, think >= 0 ? 10 - r + 3 : 0);
			CHECK_EQ(plan.requests[r].think_ns, think >= 0 ? think : 0);
		}
		CHECK_EQ(plan.connections[0].thread, 0);
		CHECK_EQ(plan.connections[1].thread, 1);
		CHECK_EQ(plan.connections[2].requests, 3);
		CHECK_EQ(plan.connections[2].last_due_ns, 8000000);
		plan_release(&plan);
	}
}

static void test_chains(void)
{
	struct plan_chains chains = { 0 };
	struct plan plan;

	put_conversation();
	plan = end_trace((struct plan_opts){ 0 });
	CHECK_EQ(plan_chains_init(&chains, &plan), 0);
	CHECK_EQ(chains.first[1], 1);
	CHECK_EQ(chains.next[1], 4);
	CHECK_EQ(chains.next[7], PLAN_CHAIN_END);
	CHECK_EQ(chains.successor[1], 4);
	CHECK_EQ(chains.successor[2], PLAN_CHAIN_END); /* its connection goes by the clock */
	CHECK_EQ(chains.connection[5], 2);
	plan_chains_release(&chains);
	plan_release(&plan);
}

/* What cannot be played is counted; what no request owns is background. */
static void test_leftovers(void)
{
	struct plan plan;

	begin_trace();
	put_connection(1, 0, TRACE_NONE);
	put_request((struct row_request){
		.request_id = 1, .connection_id = 1, .request_bytes = 1, .response_bytes = 1 });
	put_request((struct row_request){ .request_id = 2, .connection_id = 1 });
	put_op((struct row_op){ .request_id = 1, .kind = OP_FORWARD, .start_ns = 50 });
	put_op((struct row_op){
		.request_id = 1, .kind = OP_STORE, .flags = OPF_FAILED, .start_ns = 51 });
	put_op((struct row_op){ .request_id = 1, .kind = OP_LOAD, .target_id = 99 });
	put_op((struct row_op){ .kind = OP_SYNC, .start_ns = 700, .target_id = 3, .thread_id = 9 });
	put_op((struct row_op){ .kind = OP_STORE,
				.start_ns = 600,
				.target_id = 3,
				.bytes = 8192,
				.thread_id = 50,
				.offset = 4096 });
	plan = end_trace((struct plan_opts){ 0 });
	CHECK_EQ(plan.requests_count, 1);
	CHECK_EQ(plan.ledger.count[LG_UNSENT], 1);
	CHECK_EQ(plan.ledger.count[LG_CALLS_STUBBED], 1);
	CHECK_EQ(plan.ledger.count[LG_OPS_SKIPPED], 2);
	CHECK_EQ(plan.background_count, 2);
	CHECK_EQ(plan.background[0].op.kind, OP_STORE);
	CHECK_EQ(plan.background[0].op.bytes, 8192);
	CHECK_EQ(plan.background[0].thread, 0);
	CHECK_EQ(plan.background[1].thread, 1);
	plan_release(&plan);
}

/* Three requests that were there together; `deferred`: all were read before any was answered. */
static void put_trio(bool deferred)
{
	for (int i = 0; i < 3; i++) {
		put_connection(10 + i, 0, TRACE_NONE);
		put_request((struct row_request){
			.request_id = 1 + i,
			.class_id = GET,
			.connection_id = 10 + i,
			.arrival_ns = 1000 + i,
			.read_ns = deferred ? 2000 + 10 * i : 2000 + 100 * i,
			.write_ns = deferred ? 3000 + 10 * i : 2050 + 100 * i,
			.request_bytes = 36,
			.response_bytes = 9,
		});
	}
}

/* A loop that answers at the end of its pass does so in the replay; one that answers at once too. */
static void test_when_replies_go(void)
{
	for (int deferred = 0; deferred < 2; deferred++) {
		struct plan plan;

		check_case("deferred %d", deferred);
		begin_trace();
		put_trio(deferred);
		plan = end_trace((struct plan_opts){ .batching = PLAN_BATCHING_LIVE });
		CHECK_EQ(op_of(&plan, 0, 0)->mode, deferred ? PLAN_WAIT : PLAN_INLINE);
		CHECK_EQ(op_of(&plan, 0, deferred)->kind, OP_REPLY);
		CHECK_EQ(plan.requests[0].ops_count, 1 + deferred);
		plan_release(&plan);
	}
}

/*
 * Connections of 5 requests each, two at a time: each comes 50 us after one has ended
 * (`pooled`), or by its own time, while others are under way or not.
 */
static struct plan plan_sessions(bool pooled)
{
	uint64_t id = 1;

	begin_trace();
	for (int c = 0; c < 20; c++) {
		int64_t begin = pooled ? 1000000 + (c / 2) * 10050000 + (c % 2) * 3000000 :
					 1000000 + c * 7000000 + (c * c % 5) * 9000000;

		put_connection(100 + c, 1, 1000);
		for (int r = 0; r < 5; r++, id++)
			put_request((struct row_request){
				.request_id = id,
				.connection_id = 100 + c,
				.arrival_ns = begin + r * 2499875,
				.after_request = r ? id - 1 : 0,
				.think_ns = r ? 2000000 : 0,
				.request_bytes = 1,
				.response_bytes = 1,
			});
	}
	return end_trace((struct plan_opts){ 0 });
}

static void test_reconnecting_loop(void)
{
	for (int pooled = 0; pooled < 2; pooled++) {
		struct plan plan = plan_sessions(pooled);
		size_t waiting = 0;

		check_case("pooled %d", pooled);
		for (size_t r = 0; r < plan.requests_count; r++)
			waiting += plan.requests[r].after_request != 0;
		/* of 20 first requests, all but the first two wait for another connection's end */
		CHECK_EQ(waiting, 20 * 4 + (pooled ? 18 : 0));
		plan_release(&plan);
	}
}

int main(void)
{
	RUN(test_share_finds_causes);
	RUN(test_share_sees_chance);
	RUN(test_share_leaves_doubt_equal);
	RUN(test_share_believes_idle_requests);
	RUN(test_share_splits_exactly);
	RUN(test_live_shares);
	RUN(test_recorded_keeps_ops_whole);
	RUN(test_late_owners);
	RUN(test_replies_add_up);
	RUN(test_reply_before_what_follows_it);
	RUN(test_arrivals);
	RUN(test_chains);
	RUN(test_when_replies_go);
	RUN(test_reconnecting_loop);
	RUN(test_leftovers);
	return check_done();
}
