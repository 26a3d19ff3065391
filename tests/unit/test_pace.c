/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/clock.h"
#include "replay/pace.h"

#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

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
	struct pace_standing standing;

	pace_sharpen_thread(&standing);
	for (int64_t i = 0; i < 200; i++) {
		int64_t due = start + i * 100000, now = pace_wait_until(&pace, due);

		early += now < due;
		last = now - due;
	}
	CHECK_EQ(early, 0);
	CHECK(last < 50 * NS_PER_MS); /* a busy machine; a chain of deltas would be worse */
}

/* Who takes nearly all of a CPU lets others have it, and not to and fro at the edge. */
static void test_standing(void)
{
	CHECK(pace_goes_first(true, 799, 1000));
	CHECK(!pace_goes_first(true, 800, 1000));
	CHECK(!pace_goes_first(false, 500, 1000));
	CHECK(pace_goes_first(false, 499, 1000));
}

static int policy_after(struct pace_standing *s, bool spins)
{
	int64_t until = clock_now_ns() + 3 * PACE_LOOK_NS, now;

	while ((now = clock_now_ns()) < until) {
		if (!spins)
			poll(NULL, 0, 1);
		pace_look(s, now);
	}
	return sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
}

static void test_steps_aside(void)
{
	struct pace_standing standing;

	pace_sharpen_thread(&standing);
	if (sched_getscheduler(0) != (SCHED_FIFO | SCHED_RESET_ON_FORK))
		return; /* without the privilege */
	for (int tries = 0; policy_after(&standing, true) != SCHED_OTHER && tries < 100;)
		tries++; /* others had the CPU */
	CHECK_EQ(sched_getscheduler(0) & ~SCHED_RESET_ON_FORK, SCHED_OTHER);
	CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)gettid()), -20);
	CHECK_EQ(policy_after(&standing, false), SCHED_FIFO);
}

int main(void)
{
	RUN(test_next);
	RUN(test_no_drift);
	RUN(test_standing);
	RUN(test_steps_aside);
	return check_done();
}
