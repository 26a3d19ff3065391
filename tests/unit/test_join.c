/* SPDX-License-Identifier: Apache-2.0 */
/* Which call became which request, and what calls say about two clocks: small cases, by hand. */
#include "check.h"

#include "base/clock_offset.h"
#include "edit/join.h"

#define MAX 8
#define US 1000LL

/* start and end in us, bytes out and in, who made it; start 0 ends a list */
struct message {
	int start, end, out, in, id;
};

struct join_case {
	const char *name;
	struct message calls[MAX], requests[MAX];
	int slack_us;
	int mates[MAX]; /* call of each request, -1: none */
	bool doubtful;
};

static const struct join_case join_cases[] = {
	{ "one after the other",
	  { { 100, 200, 1, 1, 1 }, { 300, 400, 1, 1, 2 } },
	  { { 120, 180, 1, 1, 0 }, { 320, 380, 1, 1, 0 } },
	  0,
	  { 0, 1 },
	  false },
	{ "the first is lost",
	  { { 1000, 2000, 1, 1, 1 }, { 3000, 4000, 1, 1, 2 } },
	  { { 3200, 3800, 1, 1, 0 } },
	  0,
	  { 1 },
	  false },
	{ "all sent at once",
	  { { 100, 400, 1, 1, 1 }, { 101, 410, 1, 1, 2 }, { 102, 420, 1, 1, 3 } },
	  { { 150, 200, 1, 1, 0 }, { 160, 250, 1, 1, 0 }, { 170, 300, 1, 1, 0 } },
	  0,
	  { 0, 1, 2 },
	  false },
	{ "sent at once, one of them lost: nobody can tell whose",
	  { { 100, 400, 1, 1, 1 }, { 101, 410, 1, 1, 2 } },
	  { { 150, 200, 1, 1, 0 } },
	  0,
	  { -1 },
	  false },
	{ "the same, but it is one request that called",
	  { { 100, 400, 1, 1, 7 }, { 101, 410, 1, 1, 7 } },
	  { { 150, 200, 1, 1, 0 } },
	  0,
	  { 0 },
	  false },
	{ "the same, told apart by bytes",
	  { { 100, 400, 1, 1, 1 }, { 101, 410, 2, 1, 2 } },
	  { { 150, 200, 2, 1, 0 } },
	  0,
	  { 1 },
	  false },
	{ "three requests sent in one piece",
	  { { 100, 400, 6, 9, 1 } },
	  { { 150, 200, 1, 2, 0 }, { 160, 250, 2, 3, 0 }, { 170, 300, 3, 4, 0 } },
	  0,
	  { 0, 0, 0 },
	  false },
	{ "three requests that do not add up",
	  { { 100, 400, 7, 9, 1 } },
	  { { 150, 200, 1, 2, 0 }, { 160, 250, 2, 3, 0 }, { 170, 300, 3, 4, 0 } },
	  0,
	  { -1, -1, -1 },
	  false },
	{ "other bytes, but no other call",
	  { { 100, 200, 5, 5, 1 } },
	  { { 120, 180, 5, 6, 0 } },
	  0,
	  { 0 },
	  true },
	{ "the reply was not waited for",
	  { { 100, 100, 5, 0, 1 } },
	  { { 120, 9000, 5, 77, 0 } },
	  0,
	  { 0 },
	  false },
	{ "the request ends 60 us after its call: a late stamp",
	  { { 1000, 2000, 1, 1, 1 } },
	  { { 1100, 2060, 1, 1, 0 } },
	  0,
	  { 0 },
	  false },
	{ "a ms after: not its call",
	  { { 1000, 2000, 1, 1, 1 } },
	  { { 1100, 3100, 1, 1, 0 } },
	  0,
	  { -1 },
	  false },
	{ "earlier than its call, within the slack",
	  { { 1000, 2000, 1, 1, 1 } },
	  { { 700, 1500, 1, 1, 0 } },
	  300,
	  { 0 },
	  false },
};

static size_t fill(const struct message *from, struct join_message *to)
{
	size_t count = 0;

	for (; count < MAX && from[count].start; count++)
		to[count] = (struct join_message){
			.start_ns = from[count].start * US,
			.end_ns = from[count].end * US,
			.out_bytes = (uint64_t)from[count].out,
			.in_bytes = (uint64_t)from[count].in,
			.request_id = (uint64_t)from[count].id,
		};
	return count;
}

static void test_join(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(join_cases); i++) {
		const struct join_case *c = &join_cases[i];
		struct join_message calls[MAX], requests[MAX];
		struct join j = { .calls = calls,
				  .requests = requests,
				  .slack_ns = c->slack_us * US };

		check_case("%s", c->name);
		j.calls_count = fill(c->calls, calls);
		j.requests_count = fill(c->requests, requests);
		join_close_calls(calls, j.calls_count);
		CHECK_EQ(join_all(&j), 0);
		for (size_t r = 0; r < j.requests_count; r++) {
			CHECK_EQ(requests[r].mate == JOIN_NONE ? -1 : (int)requests[r].mate,
				 c->mates[r]);
			CHECK_EQ(requests[r].doubtful, c->doubtful);
		}
	}
}

/* The same in another clock: nothing changes but the requests' times. */
static void test_join_clocks(void)
{
	const struct clock_line line = { .at_ns = 0, .offset_ns = -5000000, .bound_ns = 10 };
	struct join_message calls[MAX], requests[MAX];
	struct join j = { .calls = calls, .requests = requests, .clock = { &line, true } };

	j.calls_count = fill(join_cases[0].calls, calls);
	j.requests_count = fill(join_cases[0].requests, requests);
	for (size_t r = 0; r < j.requests_count; r++) {
		requests[r].start_ns += 5000000;
		requests[r].end_ns += 5000000;
	}
	CHECK_EQ(join_certain(&j), 0);
	CHECK_EQ(requests[0].mate, 0);
	CHECK_EQ(requests[1].mate, 1);
	j.clock.caller_is_a = false; /* the wrong way round */
	CHECK_EQ(join_certain(&j), 0);
	CHECK(requests[0].mate == JOIN_NONE);
}

static void test_agreement(void)
{
	static const struct clock_interval intervals[] = {
		{ 10, 20 }, { 15, 30 }, { 12, 18 }, { 100, 110 }, { 105, 107 }, { 9, 5 },
	};
	static const struct clock_interval tied[] = { { 0, 1 }, { 100, 101 }, { 50, 51 } };
	struct clock_interval found;

	CHECK_EQ(clock_agreement(intervals, ARRAY_SIZE(intervals), 0, &found), 3);
	CHECK_EQ(found.low_ns, 15);
	CHECK_EQ(found.high_ns, 18);
	CHECK_EQ(clock_agreement(tied, ARRAY_SIZE(tied), 60, &found), 1);
	CHECK_EQ(found.low_ns, 50);
	CHECK_EQ(clock_agreement(NULL, 0, 0, &found), 0);
}

static void add(struct clock_bounds *bounds, int64_t at_ns, int64_t low_ns, int64_t high_ns)
{
	clock_bounds_add(bounds, at_ns, (struct clock_interval){ low_ns, high_ns });
}

static void test_fit(void)
{
	struct clock_bounds bounds;
	struct clock_line line;

	clock_bounds_init(&bounds, 0, 1000000000);
	CHECK_EQ(clock_bounds_fit(&bounds, &line), CLOCK_UNBOUNDED);
	add(&bounds, 1000, 400, INT64_MAX);
	CHECK_EQ(clock_bounds_fit(&bounds, &line), CLOCK_UNBOUNDED);
	add(&bounds, 900000000, 300, 500);
	CHECK_EQ(clock_bounds_fit(&bounds, &line), CLOCK_CONSTANT);
	CHECK_EQ(line.offset_ns, 450);
	CHECK_NEAR((double)line.bound_ns, 50, 1);

	/* 100 us in 900 ms: 111 ppm */
	clock_bounds_init(&bounds, 0, 1000000000);
	add(&bounds, 0, -1000, 1000);
	add(&bounds, 450000000, 49000, 51000);
	add(&bounds, 900000000, 99000, 101000);
	CHECK_EQ(clock_bounds_fit(&bounds, &line), CLOCK_DRIFTS);
	CHECK_NEAR(line.drift, 111.1e-6, 2e-6);
	CHECK_NEAR((double)line.bound_ns, 1000, 10);
	CHECK_NEAR((double)(clock_line_to_a(&line, 450000000) - 450000000), 50000, 1100);
	CHECK_NEAR((double)clock_line_to_b(&line, clock_line_to_a(&line, 123456789)), 123456789, 2);

	/* a step in the middle: no line has it */
	clock_bounds_init(&bounds, 0, 1000000000);
	add(&bounds, 0, -1000, 1000);
	add(&bounds, 400000000, -1000, 1000);
	add(&bounds, 500000000, 9000000, 9001000);
	add(&bounds, 900000000, 9000000, 9001000);
	CHECK_EQ(clock_bounds_fit(&bounds, &line), CLOCK_INCONSISTENT);
	CHECK(line.bound_ns > 1000000);
}

int main(void)
{
	RUN(test_join);
	RUN(test_join_clocks);
	RUN(test_agreement);
	RUN(test_fit);
	return check_done();
}
