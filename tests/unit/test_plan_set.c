/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/plan/load.h"
#include "replay/plan/set.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/*
 * A trace of a front (service 1) that calls what is behind it (2), on threads 50 of the front and
 * 60 and 61 behind. Target 5 is known to be service 2; of target 6 nobody knows what it is.
 */
static struct trace_writer *writer;
static char directory[64], path[96];

static void put(enum trace_table table, const void *row)
{
	struct err err = { "" };

	if (!CHECK(trace_write(writer, table, row, &err) == 0))
		printf("# %s\n", err.text);
}

static void put_on(uint64_t connection, uint64_t id, uint64_t parent, int64_t arrival_ns,
		   uint64_t bytes)
{
	struct row_request row = {
		.request_id = id,
		.parent_id = parent,
		.service_id = parent ? 2 : 1,
		.connection_id = connection,
		.thread_id = parent ? 60 + id % 2 : 50,
		.think_ns = TRACE_NONE,
		.arrival_ns = arrival_ns,
		.read_ns = arrival_ns,
		.write_ns = arrival_ns + 10,
		.end_ns = arrival_ns + 20,
		.intended_ns = TRACE_NONE,
		.sent_ns = TRACE_NONE,
		.received_ns = TRACE_NONE,
		.request_bytes = bytes,
		.response_bytes = 100,
	};

	put(TABLE_REQUESTS, &row);
}

static void put_request(uint64_t id, uint64_t parent, int64_t arrival_ns, uint64_t bytes)
{
	put_on(parent ? 2 + id % 2 : 1, id, parent, arrival_ns, bytes);
}

static void put_call(uint64_t id, uint64_t request, int64_t start_ns, uint64_t elapsed_ns,
		     uint64_t bytes, uint64_t target, uint32_t flags)
{
	struct row_op row = {
		.op_id = id,
		.request_id = request,
		.kind = OP_FORWARD,
		.service_id = 1,
		.start_ns = start_ns,
		.elapsed_ns = elapsed_ns,
		.bytes = bytes,
		.offset = TRACE_NONE,
		.target_id = target,
		.flags = flags,
	};

	put(TABLE_OPS, &row);
}

static void begin_trace(void)
{
	struct err err = { "" };

	snprintf(directory, sizeof(directory), "/tmp/gait-test-set-XXXXXX");
	CHECK(mkdtemp(directory) != NULL);
	snprintf(path, sizeof(path), "%s/x.gait", directory);
	if (!CHECK(trace_writer_new(path, 0, &writer, &err) == 0))
		printf("# %s\n", err.text);
	put(TABLE_SERVICES, &(struct row_service){ .service_id = 1, .name = "front" });
	put(TABLE_SERVICES, &(struct row_service){ .service_id = 2, .name = "behind" });
	put(TABLE_TARGETS,
	    &(struct row_target){ .target_id = 5, .kind = TARGET_SERVICE, .service_id = 2 });
	put(TABLE_TARGETS, &(struct row_target){ .target_id = 6, .kind = TARGET_SERVICE });
}

/* scratch: as in plan_opts. A failure is left in *err and the set is empty. */
static struct plan_set end_trace_in(const struct plan_choice *choice, enum plan_batching batching,
				    const char *scratch, struct err *err)
{
	const struct plan_opts opts = { .batching = batching, .scratch = scratch };
	struct manifest m = { .schema_major = TRACE_SCHEMA_MAJOR, .source = "ebpf" };
	struct plan_set set = { .count = 0 };
	struct trace *t = NULL;
	char command[128];

	CHECK(trace_writer_finish(writer, &m, err) == 0);
	trace_writer_free(writer);
	CHECK(trace_open(path, 0, &t, err) == 0);
	if (t)
		plan_set_build(t, &opts, choice, &set, err);
	trace_free(t);
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	CHECK(system(command) == 0);
	return set;
}

static struct plan_set end_trace_as(const struct plan_choice *choice, enum plan_batching batching)
{
	struct err err = { "" };
	struct plan_set set = end_trace_in(choice, batching, NULL, &err);

	if (!CHECK(set.count > 0))
		printf("# %s\n", err.text);
	return set;
}

static struct plan_set end_trace(const struct plan_choice *choice)
{
	return end_trace_as(choice, PLAN_BATCHING_LIVE);
}

static const struct plan_choice all = { .all = true };

static const struct plan_op *op_of(const struct plan_set *set, size_t request, size_t op)
{
	static const struct plan_op none = { .kind = OP_KIND_COUNT };
	const struct plan *front = &set->plans[0];

	if (!CHECK(request < front->requests_count && op < front->requests[request].ops_count))
		return &none;
	return &front->ops[front->requests[request].first_op + op];
}

/* What came later was sent first: the sizes tell. Links: thread 0 of the front is 0. */
static void test_calls_find_requests(void)
{
	const struct plan_op *first, *second, *third;
	struct plan_set set;

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_call(100, 10, 2000, 5000, 40, 5, 0);
	put_call(101, 10, 2500, 5000, 41, 5, 0);
	put_call(102, 10, 9000000, 5000, 42, 6, 0);
	put_request(11, 10, 2600, 41);
	put_request(12, 10, 2700, 40);
	put_request(13, 10, 9001000, 42);
	set = end_trace(&all);
	if (!CHECK_EQ(set.count, 2))
		return;
	first = op_of(&set, 0, 0);
	second = op_of(&set, 0, 1);
	third = op_of(&set, 0, 2);
	CHECK_EQ(first->offset, 12);
	CHECK_EQ(second->offset, 11);
	CHECK_EQ(third->offset, 13);
	CHECK_EQ(first->owners, 2); /* under way together */
	CHECK_EQ(third->owners, 1);
	CHECK_EQ(set.links, 3);
	CHECK(first->work != second->work && second->work == third->work); /* threads 60, 61, 61 */
	CHECK(first->work && second->work);
	CHECK_EQ(set.plans[1].requests_count, 3);
	for (size_t i = 0; i < set.plans[1].requests_count; i++)
		CHECK_EQ(set.plans[1].requests[i].parent_id, 10);
	CHECK_EQ(set.client.requests_count, 1);
	CHECK_EQ(set.client.connections_count, 1);
	CHECK_EQ(set.plans[0].ledger.count[LG_CALLS_STUBBED] +
			 set.plans[1].ledger.count[LG_CALLS_STUBBED],
		 0);
	plan_set_release(&set);
}

/* Three went out in one piece, by the second call; each is a call of its own now, with all of them. */
static void test_several_in_one_call(void)
{
	static const uint64_t bytes[] = { 40, 10, 20, 31 };
	const struct plan_op *op;
	struct plan_set set;

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_call(100, 10, 2000, 5000, 40, 5, 0);
	put_call(101, 10, 9000000, 5000, 10 + 20 + 31, 5, 0);
	put_request(11, 10, 2600, 40);
	put_request(12, 10, 9001000, 10);
	put_request(13, 10, 9001100, 20);
	put_request(14, 10, 9001200, 31);
	put_request(15, 10, 9001300, 32); /* of whom nobody knows how it came */
	set = end_trace(&all);
	for (uint64_t i = 0; i < 4; i++) {
		op = op_of(&set, 0, i);
		CHECK_EQ(op->kind, OP_FORWARD);
		CHECK_EQ(op->offset, 11 + i);
		CHECK_EQ(op->owners, i == 1 ? 3 : 1);
		CHECK_EQ(op->bytes, bytes[i]);
		CHECK_EQ(op->reply_bytes, i ? 100 : 0);
	}
	CHECK_EQ(op_of(&set, 0, 4)->kind, OP_REPLY);
	CHECK_EQ(set.plans[1].requests_count, 4);
	CHECK_EQ(set.plans[1].ledger.count[LG_CALLS_STUBBED], 1);
	plan_set_release(&set);
}

/* A call that two requests needed is made once, by the one that is its parent. */
static void test_a_shared_call(void)
{
	struct plan_set set;

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_request(20, 0, 1015, 30);
	put_call(100, 20, 1018, 5000, 40, 5, 0);
	put(TABLE_OP_REQUESTS, &(struct row_op_request){ .op_id = 100, .request_id = 10 });
	put_request(11, 20, 2600, 40);
	set = end_trace(&all);
	CHECK_EQ(op_of(&set, 0, 0)->kind, OP_REPLY);
	CHECK_EQ(op_of(&set, 1, 0)->offset, 11);
	CHECK_EQ(op_of(&set, 1, 0)->bytes, 40);
	CHECK_EQ(set.plans[0].ledger.count[LG_CALLS_STUBBED], 1);
	plan_set_release(&set);
}

/* A call that failed, one without a request, and a request that no call is left for. */
static void test_what_does_not_match_is_counted(void)
{
	struct plan_set set;

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_call(100, 10, 2000, 5000, 40, 5, OPF_FAILED);
	put_request(20, 0, 10000000, 30);
	put_call(101, 20, 10002000, 5000, 40, 5, 0);
	put_call(102, 20, 10009000, 5000, 7, 5, 0);
	put_request(21, 20, 10003000, 40);
	put_request(11, 10, 2100, 40);
	set = end_trace(&all);
	CHECK_EQ(set.count, 2);
	CHECK_EQ(op_of(&set, 1, 0)->offset, 21);
	CHECK_EQ(set.plans[1].requests_count, 1);
	CHECK_EQ(set.plans[0].ledger.count[LG_CALLS_STUBBED], 2);
	CHECK_EQ(set.plans[1].ledger.count[LG_CALLS_STUBBED], 1);
	plan_set_release(&set);
}

/* Messages that are shorter than their header: of the call and, being 100 bytes, not of its reply. */
static void test_short_messages_are_counted(void)
{
	struct plan_set set;

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_call(100, 10, 2000, 5000, 23, 5, 0);
	put_request(11, 10, 2100, 23);
	set = end_trace(&all);
	CHECK_EQ(set.plans[0].ledger.count[LG_CALLS_PADDED], 1);
	plan_set_release(&set);
}

/* Whose caller has no node comes from the client; and by itself the front calls nobody. */
static void test_one_service(void)
{
	static const char *const behind[] = { "2" };
	struct plan_set set;

	for (int which = 0; which < 2; which++) {
		struct plan_choice choice = { .names = behind, .names_count = (size_t)which };

		check_case(which ? "behind" : "front");
		begin_trace();
		put_request(10, 0, 1000, 30);
		put_call(100, 10, 2000, 5000, 40, 5, 0);
		put_request(11, 10, 2100, 40);
		set = end_trace(&choice);
		CHECK_EQ(set.count, 1);
		CHECK_EQ(set.client.requests_count, 1);
		CHECK_EQ(set.client.requests[0].request_id, 10 + which);
		CHECK_EQ(set.client.requests[0].parent_id, 0);
		CHECK_EQ(set.plans[0].ledger.count[LG_CALLS_STUBBED], !which);
		CHECK_EQ(set.plans[0].ledger.count[LG_UNSENT], which);
		plan_set_release(&set);
	}
}

/* A request of a service that is called, but not by anybody captured, is the client's. */
static void test_both_are_called_from_outside(void)
{
	struct plan_set set;
	struct row_request outside = { .request_id = 30,
				       .service_id = 2,
				       .connection_id = 2,
				       .thread_id = 60,
				       .arrival_ns = 500,
				       .read_ns = 500,
				       .write_ns = 510,
				       .end_ns = 520,
				       .request_bytes = 9,
				       .response_bytes = 9,
				       .intended_ns = TRACE_NONE,
				       .sent_ns = TRACE_NONE,
				       .received_ns = TRACE_NONE };

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_request(14, 0, 1500, 30);
	put_call(100, 10, 2000, 5000, 40, 5, 0);
	put_request(12, 10, 2100, 40); /* on connection 2 as well */
	put(TABLE_REQUESTS, &outside);
	set = end_trace(&all);
	CHECK_EQ(set.client.requests_count, 3);
	CHECK_EQ(set.client.connections_count, 2);
	CHECK_EQ(set.client.connections[0].service_id, 2);
	CHECK_EQ(set.client.connections[0].requests, 1);
	CHECK_EQ(set.client.requests[0].request_id, 30);
	CHECK_EQ(set.plans[1].requests_count, 2);
	plan_set_release(&set);
}

/* Each plan is in files of its own, and reads as before; of what is behind there are no ops. */
static void test_in_files(void)
{
	struct err err = { "" };
	struct plan_set set;

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_call(100, 10, 2000, 5000, 40, 5, 0);
	put_request(11, 10, 2100, 40);
	set = end_trace_in(&all, PLAN_BATCHING_LIVE, "/tmp", &err);
	plan_set_forget(&set);
	if (CHECK_EQ(set.count, 2)) {
		CHECK(set.client.requests != set.plans[0].requests);
		CHECK_EQ(set.plans[0].requests[0].request_id, 10);
		CHECK_EQ(set.plans[1].requests[0].request_id, 11);
		CHECK_EQ(set.client.requests[0].request_id, 10);
		CHECK_EQ(op_of(&set, 0, 0)->offset, 11);
	}
	plan_set_release(&set);

	check_case("one service, whose plan is the client's too");
	begin_trace();
	put_request(10, 0, 1000, 30);
	set = end_trace_in(&(struct plan_choice){ .all = false }, PLAN_BATCHING_LIVE, "/tmp", &err);
	plan_set_forget(&set);
	if (CHECK_EQ(set.count, 1)) {
		CHECK(set.client.requests == set.plans[0].requests);
		CHECK_EQ(set.client.requests[0].request_id, 10);
	}
	plan_set_release(&set);

	check_case("no folder");
	begin_trace();
	for (uint64_t id = 1; id <= 2000; id++)
		put_request(id, 0, 1000, 30);
	set = end_trace_in(&all, PLAN_BATCHING_LIVE, "/nowhere", &err);
	CHECK_EQ(set.count, 0);
	CHECK_STR(err.text, "cannot keep rows in '/nowhere': No such file or directory");
}

/* --- more load, and less ------------------------------------------------------------------ */

/*
 * Two connections, a thread each, at the front, which is to have a thread for each; the request of
 * the first makes two calls, that of the second one, 100 ms later. Behind it there is a sync that
 * the three calls share and one that no request owns.
 */
static void put_shop(void)
{
	struct row_op sync = { .op_id = 200,
			       .request_id = 11,
			       .kind = OP_SYNC,
			       .service_id = 2,
			       .start_ns = 2610,
			       .offset = TRACE_NONE,
			       .target_id = 7 };

	put(TABLE_TARGETS,
	    &(struct row_target){ .target_id = 7, .kind = TARGET_FILE, .file_bytes = 1 });
	put_on(1, 10, 0, 1000, 30);
	put_call(100, 10, 2000, 5000, 40, 5, 0);
	put_call(101, 10, 2500, 5000, 41, 5, 0);
	put_request(12, 10, 2700, 40);
	put_request(11, 10, 2600, 41);
	put_on(4, 20, 0, 100001000, 30);
	put_call(102, 20, 100002000, 5000, 42, 5, 0);
	put_request(21, 20, 100003000, 42);
	put(TABLE_OPS, &sync);
	for (uint64_t owner = 12; owner <= 21; owner += 9)
		put(TABLE_OP_REQUESTS,
		    &(struct row_op_request){ .op_id = 200, .request_id = owner });
	sync.request_id = 0;
	sync.op_id = 201;
	sync.start_ns = 50000000;
	put(TABLE_OPS, &sync);
}

static const struct plan_request *find_request(const struct plan *plan, uint64_t id)
{
	const struct plan_request *found = NULL;

	for (size_t i = 0; i < plan->requests_count; i++) {
		if (plan->requests[i].request_id != id)
			continue;
		CHECK(!found);
		found = &plan->requests[i];
	}
	return found;
}

static const struct plan_connection *find_connection(const struct plan *plan, uint64_t id)
{
	for (size_t i = 0; i < plan->connections_count; i++)
		if (plan->connections[i].connection_id == id)
			return &plan->connections[i];
	return NULL;
}

/* What is sent is in its plan; each call finds its request and thread, and every one is called. */
static void check_sound(const struct plan_set *set)
{
	const struct plan *front = &set->plans[0], *behind = &set->plans[1];
	size_t calls = 0;

	CHECK_EQ(set->client.requests_count, front->requests_count);
	CHECK_EQ(set->client.connections_count, front->connections_count);
	CHECK_EQ(set->links, front->threads + behind->threads);
	for (size_t i = 0; i < front->requests_count; i++) {
		const struct plan_request *r = &front->requests[i];
		const struct plan_connection *on = find_connection(front, r->connection_id);
		const struct plan_request *sent = find_request(&set->client, r->request_id);

		CHECK(on && on->thread < front->threads);
		CHECK(sent && sent->due_ns == r->due_ns && !r->parent_id);
		for (uint32_t o = r->first_op; o < r->first_op + r->ops_count; o++) {
			const struct plan_op *op = &front->ops[o];
			const struct plan_request *called;

			if (op->kind != OP_FORWARD)
				continue;
			called = find_request(behind, (uint64_t)op->offset);
			if (!CHECK(called != NULL))
				continue;
			on = find_connection(behind, called->connection_id);
			CHECK_EQ(called->parent_id, r->request_id);
			CHECK_EQ(called->request_bytes, op->bytes);
			CHECK(called->due_ns - r->due_ns == 1600 ||
			      called->due_ns - r->due_ns == 1700 ||
			      called->due_ns - r->due_ns == 2000);
			CHECK(on && op->work == front->threads + on->thread);
			calls++;
		}
	}
	CHECK_EQ(calls, behind->requests_count);
	CHECK_EQ(plan_set_count_calls(set), calls);
}

static struct plan_set shop(enum plan_batching batching, const struct plan_load *load)
{
	struct err err = { "" };
	struct plan_set set;
	char text[PLAN_LOAD_TEXT];

	begin_trace();
	put_shop();
	set = end_trace_as(&all, batching);
	if (!CHECK_EQ(set.count, 2))
		exit(1);
	CHECK_EQ(set.plans[0].threads, 1);
	snprintf(set.plans[0].service.io_model, sizeof(set.plans[0].service.io_model),
		 "per-connection");
	if (!CHECK_EQ(plan_load_apply(&set, load, batching, text, &err), 0))
		printf("# %s\n", err.text);
	check_sound(&set);
	printf("# %s\n", text);
	return set;
}

/* Of each copy all calls are its own: with ids, connections and threads. */
static void test_copies_call_too(void)
{
	struct plan_set set = shop(PLAN_BATCHING_LIVE, &(struct plan_load){ .speed_milli = 3000 });
	const struct plan_request *copy = find_request(&set.plans[1], 2012);

	CHECK_EQ(set.client.requests_count, 6);
	CHECK_EQ(set.plans[1].requests_count, 9);
	CHECK_EQ(set.plans[0].threads, 3);
	CHECK_EQ(set.plans[1].threads, 2); /* is no service with a thread for each connection */
	for (uint64_t i = 0; i < 3; i++)
		CHECK_EQ(find_connection(&set.plans[0], 1000 * i + 1)->thread, i);
	if (!CHECK(copy != NULL))
		return;
	CHECK_EQ(copy->parent_id, 2010);
	CHECK_EQ(copy->connection_id, 2002);
	CHECK_EQ(find_connection(&set.plans[1], 2002)->origin_id, 2);
	CHECK_EQ(set.plans[1].background_count, 1);
	plan_set_release(&set);
}

/* One of the two senders is left, and calls are made for that one only. */
static void test_who_is_left_out_calls_nobody(void)
{
	struct plan_set set = shop(PLAN_BATCHING_LIVE, &(struct plan_load){ .speed_milli = 500 });
	bool first = find_request(&set.client, 10) != NULL;

	CHECK_EQ(set.client.requests_count, 1);
	CHECK_EQ(set.plans[1].requests_count, first ? 2 : 1);
	CHECK_EQ(set.plans[0].ledger.count[LG_CALLS_STUBBED] +
			 set.plans[1].ledger.count[LG_CALLS_STUBBED],
		 0);
	plan_set_release(&set);
}

/* What goes by time goes by that of what is sent: passes, their background ops, the end. */
static void test_passes_and_the_end(void)
{
	const struct plan_load loop = { .loops = 4 }, both = { .speed_milli = 2000, .loops = 3 },
			       cut = { .loops = 2, .requests = 3 }, early = { .before_ns = 2650 };
	struct plan_set set = shop(PLAN_BATCHING_LIVE, &loop);
	int64_t period_ns = set.client.duration_ns / 4;

	CHECK_EQ(set.plans[1].requests_count, 12);
	CHECK_EQ(set.plans[1].background_count, 4);
	CHECK_EQ(set.plans[1].background[3].due_ns, 50000000 + 3 * period_ns);
	CHECK_EQ(find_request(&set.plans[1], 3011)->due_ns, 2600 + 3 * period_ns);
	CHECK_EQ(set.plans[1].duration_ns, 4 * period_ns);
	plan_set_release(&set);

	check_case("copies in each pass");
	set = shop(PLAN_BATCHING_LIVE, &both);
	CHECK_EQ(set.client.requests_count, 12);
	CHECK_EQ(set.plans[1].requests_count, 18);
	CHECK_EQ(set.plans[1].background_count, 3);
	CHECK_EQ(set.plans[0].threads, 2);
	plan_set_release(&set);

	check_case("the first three");
	set = shop(PLAN_BATCHING_LIVE, &cut);
	CHECK_EQ(set.client.requests_count, 3);
	CHECK_EQ(set.plans[1].requests_count, 5);
	CHECK_EQ(set.plans[1].background_count, 2);
	plan_set_release(&set);

	check_case("before the last call of a request came");
	set = shop(PLAN_BATCHING_LIVE, &early);
	CHECK_EQ(set.client.requests_count, 1);
	CHECK_EQ(set.plans[1].requests_count, 2);
	CHECK_EQ(set.plans[1].background_count, 0);
	plan_set_release(&set);
}

static uint32_t owners_of_sync(const struct plan *plan, uint64_t request, uint64_t *ret_group)
{
	const struct plan_request *r = find_request(plan, request);

	for (uint32_t o = 0; r && o < r->ops_count; o++) {
		*ret_group = plan->ops[r->first_op + o].op_id;
		if (plan->ops[r->first_op + o].kind == OP_SYNC)
			return plan->ops[r->first_op + o].owners;
	}
	return 0;
}

/* Groups are of those that are called; calls that are made together are none. */
static void test_recorded_groups(void)
{
	const struct plan_load cut = { .requests = 1 }, loop = { .loops = 2 };
	struct plan_set set = shop(PLAN_BATCHING_RECORDED, &loop);
	uint64_t group;

	CHECK_EQ(owners_of_sync(&set.plans[1], 12, &group), 3);
	CHECK_EQ(group, 200);
	CHECK_EQ(owners_of_sync(&set.plans[1], 1021, &group), 3);
	CHECK_EQ(group, 1200);
	CHECK_EQ(op_of(&set, 0, 0)->owners, 2);
	CHECK_EQ(op_of(&set, 0, 1)->owners, 1);
	plan_set_release(&set);

	set = shop(PLAN_BATCHING_RECORDED, &cut);
	CHECK_EQ(owners_of_sync(&set.plans[1], 11, &group), 2);
	CHECK_EQ(op_of(&set, 0, 0)->owners, 2);
	plan_set_release(&set);

	check_case("one of the owners is called for by one that is not");
	begin_trace();
	put_shop();
	put_on(1, 30, 0, 200000000, 30);
	put_request(31, 30, 200003000, 42);
	put_call(103, 31, 200004000, 5000, 43, 5, 0);
	put_request(32, 31, 200005000, 43);
	put(TABLE_OP_REQUESTS, &(struct row_op_request){ .op_id = 200, .request_id = 32 });
	set = end_trace_as(&all, PLAN_BATCHING_RECORDED);
	CHECK_EQ(set.plans[1].requests_count, 3);
	CHECK_EQ(owners_of_sync(&set.plans[1], 21, &group), 3);
	plan_set_release(&set);
}

static void test_too_much(void)
{
	const struct plan_load threads = { .speed_milli = 200000 }, rows = { .loops = 1000000 };
	char text[PLAN_LOAD_TEXT];
	struct plan_set set;
	struct err err;

	for (int i = 0; i < 2; i++) {
		begin_trace();
		put_shop();
		set = end_trace(&all);
		snprintf(set.plans[1].service.io_model, sizeof(set.plans[1].service.io_model),
			 "per-connection");
		CHECK_EQ(plan_load_apply(&set, i ? &rows : &threads, PLAN_BATCHING_LIVE, text,
					 &err),
			 -E2BIG);
		printf("# %s\n", err.text);
		plan_set_release(&set);
	}
}

/* A trace whose ids are not unique: more calls for a request than there are requests. */
static void test_one_id_for_many(void)
{
	char text[PLAN_LOAD_TEXT];
	struct plan_set set;
	struct err err;

	begin_trace();
	put_request(10, 0, 1000, 30);
	put_request(20, 0, 900000, 30);
	for (uint64_t i = 0; i < 100; i++) {
		put_call(100 + i, 10, 2000 + (int64_t)i, 100, 40, 5, 0);
		put_request(11, 10, 2000 + (int64_t)i, 40);
	}
	set = end_trace(&all);
	if (!CHECK_EQ(set.count, 2))
		return;
	CHECK_EQ(set.plans[1].requests_count, 1);
	CHECK_EQ(plan_load_apply(&set, &(struct plan_load){ .loops = 2 }, PLAN_BATCHING_LIVE, text,
				 &err),
		 0);
	CHECK_EQ(set.plans[1].requests_count, 2);
	plan_set_release(&set);
}

int main(void)
{
	RUN(test_calls_find_requests);
	RUN(test_several_in_one_call);
	RUN(test_a_shared_call);
	RUN(test_what_does_not_match_is_counted);
	RUN(test_short_messages_are_counted);
	RUN(test_one_service);
	RUN(test_both_are_called_from_outside);
	RUN(test_in_files);
	RUN(test_copies_call_too);
	RUN(test_who_is_left_out_calls_nobody);
	RUN(test_passes_and_the_end);
	RUN(test_recorded_groups);
	RUN(test_too_much);
	RUN(test_one_id_for_many);
	return check_done();
}
