/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

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

static void put_request(uint64_t id, uint64_t parent, int64_t arrival_ns, uint64_t bytes)
{
	struct row_request row = {
		.request_id = id,
		.parent_id = parent,
		.service_id = parent ? 2 : 1,
		.connection_id = parent ? 2 + id % 2 : 1,
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

static struct plan_set end_trace(const struct plan_choice *choice)
{
	struct manifest m = { .schema_major = TRACE_SCHEMA_MAJOR, .source = "ebpf" };
	struct plan_set set = { .count = 0 };
	struct trace *t = NULL;
	struct err err = { "" };
	char command[128];

	CHECK(trace_writer_finish(writer, &m, &err) == 0);
	trace_writer_free(writer);
	CHECK(trace_open(path, 0, &t, &err) == 0);
	if (!CHECK(t && plan_set_build(t, &(struct plan_opts){ .batching = PLAN_BATCHING_LIVE },
				       choice, &set, &err) == 0))
		printf("# %s\n", err.text);
	trace_free(t);
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	CHECK(system(command) == 0);
	return set;
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
	set = end_trace(&all);
	CHECK_EQ(plan_set_spill(&set, "/tmp", &err), 0);
	plan_set_forget(&set);
	CHECK(set.plans[0].spilled && set.plans[1].spilled && set.client.spilled);
	CHECK(set.client.requests != set.plans[0].requests);
	CHECK_EQ(set.plans[0].requests[0].request_id, 10);
	CHECK_EQ(set.plans[1].requests[0].request_id, 11);
	CHECK_EQ(set.client.requests[0].request_id, 10);
	CHECK_EQ(op_of(&set, 0, 0)->offset, 11);
	plan_set_release(&set);

	check_case("one service, whose plan is the client's too");
	begin_trace();
	put_request(10, 0, 1000, 30);
	set = end_trace(&(struct plan_choice){ .all = false });
	CHECK_EQ(plan_set_spill(&set, "/tmp", &err), 0);
	CHECK(set.plans[0].spilled && set.client.requests == set.plans[0].requests);
	CHECK_EQ(set.client.requests[0].request_id, 10);
	plan_set_release(&set);

	check_case("no folder");
	begin_trace();
	put_request(10, 0, 1000, 30);
	set = end_trace(&all);
	CHECK_EQ(plan_set_spill(&set, "/nowhere", &err), -ENOENT);
	CHECK_EQ(set.client.requests[0].request_id, 10);
	plan_set_release(&set);
}

int main(void)
{
	RUN(test_calls_find_requests);
	RUN(test_what_does_not_match_is_counted);
	RUN(test_short_messages_are_counted);
	RUN(test_one_service);
	RUN(test_both_are_called_from_outside);
	RUN(test_in_files);
	return check_done();
}
