/* SPDX-License-Identifier: Apache-2.0 */
/* Known truth: who ended a wait, how much of its time counts, what was the wire. */
#include "attribution/call_split.h"
#include "check.h"
#include "trace/schema.h"

#define MOST 4

struct expected {
	int64_t taken, wire;
};

/* Times in us, so that stamps' 100 us of grace are 100. */
struct split_case {
	const char *name;
	int64_t call, left;
	size_t waits, callees;
	struct {
		int64_t start, end;
		uint64_t service;
	} wait[MOST];
	struct {
		int64_t arrival,
			end; /* TRACE_NONE: no common clock, and `total` is what is known */
		uint64_t service;
		int64_t total; /* -1: end - arrival; 0: no rows */
	} callee[MOST];
	struct expected expected[MOST];
};

#define NONE TRACE_NONE

static const struct split_case cases[] = {
	{ .name = "a sequence of two: both count, and each has its wire",
	  .call = 3000,
	  .waits = 2,
	  .callees = 2,
	  .wait = { { 0, 1000, 2 }, { 5000, 7000, 3 } },
	  .callee = { { 100, 900, 2, -1 }, { 5300, 6800, 3, -1 } },
	  .expected = { { 800, 200 }, { 1500, 500 } } },
	{ .name = "two at once in one wait: the later counts",
	  .call = 2000,
	  .waits = 1,
	  .callees = 2,
	  .wait = { { 0, 2000, 2 } },
	  .callee = { { 10, 1200, 2, -1 }, { 10, 1900, 3, -1 } },
	  .expected = { { 0, 0 }, { 1890, 110 } } },
	{ .name = "two at once in a wait each: the longer counts, nothing twice",
	  .call = 2000,
	  .waits = 2,
	  .callees = 2,
	  .wait = { { 0, 2000, 2 }, { 0, 1300, 3 } },
	  .callee = { { 100, 1900, 2, -1 }, { 100, 1200, 3, -1 } },
	  .expected = { { 1800, 200 }, { 0, 0 } } },
	{ .name = "waits that overlap: the first counts until the second begins",
	  .call = 3000,
	  .waits = 2,
	  .callees = 2,
	  .wait = { { 0, 2000, 2 }, { 1500, 3000, 3 } },
	  .callee = { { 100, 1900, 2, -1 }, { 1600, 2800, 3, -1 } },
	  .expected = { { 1400, 100 }, { 1200, 300 } } },
	{ .name = "a quorum of two of three: the second that ended, not the straggler",
	  .call = 1000,
	  .waits = 1,
	  .callees = 3,
	  .wait = { { 0, 1000, 2 } },
	  .callee = { { 50, 400, 2, -1 }, { 50, 950, 3, -1 }, { 50, 9000, 4, -1 } },
	  .expected = { { 0, 0 }, { 900, 100 }, { 0, 0 } } },
	{ .name = "a retry: the time up to the attempt that was answered stays a call",
	  .call = 6000,
	  .left = 5000,
	  .waits = 1,
	  .callees = 2,
	  .wait = { { 0, 6000, 2 } },
	  .callee = { { 100, 9000, 2, -1 }, { 5100, 5900, 2, -1 } },
	  .expected = { { 0, 0 }, { 800, 200 } } },
	{ .name = "a callee that is missing: its call stays a call, the other's does not",
	  .call = 3000,
	  .left = 1000,
	  .waits = 2,
	  .callees = 1,
	  .wait = { { 0, 1000, 2 }, { 5000, 7000, 3 } },
	  .callee = { { 5200, 6900, 3, -1 } },
	  .expected = { { 1700, 300 } } },
	{ .name = "a callee without rows stays a call",
	  .call = 1000,
	  .left = 1000,
	  .waits = 1,
	  .callees = 1,
	  .wait = { { 0, 1000, 2 } },
	  .callee = { { 100, 900, 2, 0 } },
	  .expected = { { 0, 0 } } },
	{ .name = "no wait at all",
	  .call = 1000,
	  .left = 1000,
	  .callees = 1,
	  .callee = { { 100, 900, 2, -1 } },
	  .expected = { { 0, 0 } } },
	{ .name = "the caller worked for half of its wait: the callee has no more than what it waited",
	  .call = 500,
	  .waits = 1,
	  .callees = 1,
	  .wait = { { 0, 1000, 2 } },
	  .callee = { { 100, 900, 2, -1 } },
	  .expected = { { 500, 0 } } },
	{ .name = "more waiting than calls have: the rest stays a call",
	  .call = 1500,
	  .left = 500,
	  .waits = 1,
	  .callees = 1,
	  .wait = { { 0, 1000, 2 } },
	  .callee = { { 100, 900, 2, -1 } },
	  .expected = { { 800, 200 } } },
	{ .name = "a stamp that is a little late is forgiven, one that is not is not",
	  .call = 2000,
	  .left = 1000,
	  .waits = 2,
	  .callees = 2,
	  .wait = { { 0, 1000, 2 }, { 5000, 6000, 3 } },
	  .callee = { { 100, 1050, 2, -1 }, { 5100, 6200, 3, -1 } },
	  .expected = { { 950, 50 }, { 0, 0 } } },
	{ .name = "no common clock, one call: lengths are enough",
	  .call = 1000,
	  .waits = 1,
	  .callees = 1,
	  .wait = { { 0, 1000, 2 } },
	  .callee = { { NONE, NONE, 2, 700 } },
	  .expected = { { 700, 300 } } },
	{ .name = "no common clock, two at once: the longest that fits",
	  .call = 1000,
	  .waits = 1,
	  .callees = 3,
	  .wait = { { 0, 1000, 2 } },
	  .callee = { { NONE, NONE, 2, 300 }, { NONE, NONE, 3, 700 }, { NONE, NONE, 4, 1700 } },
	  .expected = { { 0, 0 }, { 700, 300 }, { 0, 0 } } },
	{ .name = "no common clock, two services: each has its own call",
	  .call = 3000,
	  .waits = 2,
	  .callees = 2,
	  .wait = { { 0, 1000, 2 }, { 5000, 7000, 3 } },
	  .callee = { { NONE, NONE, 3, 1500 }, { NONE, NONE, 2, 800 } },
	  .expected = { { 1500, 500 }, { 800, 200 } } },
	{ .name = "no common clock, one service twice: which was which is not known",
	  .call = 3000,
	  .left = 3000,
	  .waits = 2,
	  .callees = 2,
	  .wait = { { 0, 1000, 2 }, { 5000, 7000, 2 } },
	  .callee = { { NONE, NONE, 2, 1500 }, { NONE, NONE, 2, 800 } },
	  .expected = { { 0, 0 }, { 0, 0 } } },
};

static void test_cases(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct split_case *c = &cases[i];
		struct call_wait waits[MOST] = { 0 };
		struct callee callees[MOST] = { 0 };
		int64_t sum;

		check_case("%s", c->name);
		for (size_t k = 0; k < c->waits; k++)
			waits[k] = (struct call_wait){ .start_ns = c->wait[k].start * 1000,
						       .end_ns = c->wait[k].end * 1000,
						       .service = c->wait[k].service };
		for (size_t k = 0; k < c->callees; k++) {
			int64_t at = c->callee[k].arrival, end = c->callee[k].end;
			int64_t total = c->callee[k].total;

			callees[k] = (struct callee){
				.arrival_ns = at == NONE ? NONE : at * 1000,
				.end_ns = end == NONE ? NONE : end * 1000,
				.total_ns = 1000 * (total < 0 ? end - at : total),
				.service = c->callee[k].service,
			};
		}
		sum = call_split(c->call * 1000, waits, c->waits, callees, c->callees);
		CHECK_EQ(sum, c->left * 1000);
		for (size_t k = 0; k < c->callees; k++) {
			CHECK_EQ(callees[k].taken_ns, c->expected[k].taken * 1000);
			CHECK_EQ(callees[k].wire_ns, c->expected[k].wire * 1000);
			sum += callees[k].taken_ns + callees[k].wire_ns;
		}
		CHECK_EQ(sum, c->call * 1000);
	}
}

static uint64_t state = 1;

static int64_t draw(int64_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (int64_t)((state >> 33) % (uint64_t)below);
}

/* Whatever comes in: the parts add up, none is negative, and nobody has more than its span. */
static void test_any(void)
{
	for (int round = 0; round < 20000; round++) {
		struct call_wait waits[6];
		struct callee callees[6];
		size_t waits_count = (size_t)draw(7), callees_count = (size_t)draw(7);
		int64_t call = draw(3000000), sum;

		for (size_t i = 0; i < waits_count; i++) {
			waits[i] = (struct call_wait){ .start_ns = draw(2000000),
						       .service = (uint64_t)draw(4) };
			waits[i].end_ns = waits[i].start_ns + draw(1000000);
		}
		for (size_t i = 0; i < callees_count; i++) {
			callees[i] = (struct callee){ .arrival_ns = draw(2000000),
						      .bound_ns = draw(2) * draw(100000),
						      .service = (uint64_t)draw(4) };
			callees[i].total_ns = draw(4) ? draw(1000000) : 0;
			callees[i].end_ns = callees[i].arrival_ns + callees[i].total_ns;
			if (!draw(4))
				callees[i].arrival_ns = callees[i].end_ns = TRACE_NONE;
		}
		check_case("round %d", round);
		sum = call_split(call, waits, waits_count, callees, callees_count);
		CHECK(sum >= 0);
		for (size_t i = 0; i < callees_count; i++) {
			CHECK(callees[i].taken_ns >= 0 && callees[i].wire_ns >= 0);
			CHECK(callees[i].taken_ns <= callees[i].total_ns);
			sum += callees[i].taken_ns + callees[i].wire_ns;
		}
		if (!CHECK_EQ(sum, call))
			return;
	}
}

int main(void)
{
	RUN(test_cases);
	RUN(test_any);
	return check_done();
}
