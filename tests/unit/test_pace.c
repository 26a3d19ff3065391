/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/clock.h"
#include "replay/pace.h"

static void test_next(void)
{
	static const struct {
		int64_t spin_ns, now_ns, due_ns;
		enum pace_move move;
		int64_t sleep_ns;
	} cases[] = {
		{ 50, 1000, 1000, PACE_DUE, 0 },
		{ 50, 1001, 1000, PACE_DUE, 0 },
		{ 50, 999, 1000, PACE_SPIN, 0 },
		{ 50, 950, 1000, PACE_SPIN, 0 },
		{ 50, 949, 1000, PACE_SLEEP, 1 },
		{ 50, 0, 1000, PACE_SLEEP, 950 },
		{ 50, 0, PACE_LONG_NS, PACE_SLEEP, PACE_LONG_NS - 50 },
		{ 50, 0, PACE_LONG_NS + 1, PACE_SLEEP, PACE_LONG_NS + 1 - PACE_EARLY_NS },
		{ 0, 999, 1000, PACE_SLEEP, 1 },
		{ 0, 1000, 1000, PACE_DUE, 0 },
		{ 50, 1000, PACE_NEVER, PACE_SLEEP, PACE_NEVER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pace pace = { cases[i].spin_ns };
		int64_t sleep_ns = -1;

		check_case("case %zu", i);
		CHECK_EQ(pace_next(&pace, cases[i].now_ns, cases[i].due_ns, &sleep_ns),
			 cases[i].move);
		CHECK_EQ(sleep_ns, cases[i].sleep_ns);
	}
}

/* 200 waits of 0.1 ms: late each time, but the last no later than the first. */
static void test_no_drift(void)
{
	const struct pace pace = { PACE_SPIN_NS };
	int64_t start = clock_now_ns() + NS_PER_MS, last = 0, early = 0;

	pace_sharpen_thread();
	for (int64_t i = 0; i < 200; i++) {
		int64_t due = start + i * 100000, now = pace_wait_until(&pace, due);

		early += now < due;
		last = now - due;
	}
	CHECK_EQ(early, 0);
	CHECK(last < 50 * NS_PER_MS); /* a busy machine; a chain of deltas would be worse */
}

/* A break a millisecond where there is no sleep, and none where there is, or is something to do. */
static void test_breaks(void)
{
	struct pace_breaks b = { .slept_ns = 5000000 };

	CHECK_EQ(pace_rest(&b, PACE_SPIN, 5999999, 0), 0);
	CHECK_EQ(pace_rest(&b, PACE_DUE, 6000000, 0), 0);
	CHECK_EQ(pace_rest(&b, PACE_SPIN, 6000001, 0), PACE_BREAK_NS);
	CHECK_EQ(pace_rest(&b, PACE_SPIN, 6500000, 0), 0);
	CHECK_EQ(pace_rest(&b, PACE_SLEEP, 6600000, 70000), 70000);
	CHECK_EQ(pace_rest(&b, PACE_SPIN, 7100000, 0), 0);
	CHECK_EQ(pace_rest(&b, PACE_SPIN, 7600000, 0), PACE_BREAK_NS);
}

int main(void)
{
	RUN(test_next);
	RUN(test_no_drift);
	RUN(test_breaks);
	return check_done();
}
