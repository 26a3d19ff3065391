/* SPDX-License-Identifier: Apache-2.0 */
/* Senders of known habit: one waits for replies, one goes by the clock. */
#include "capture/assemble/dependence.h"

#include "check.h"

/* Service times around `service_ns`; the sender's habit decides when it sends again. */
static struct dependence judge(bool waits, int64_t service_ns, double service_spread,
			       int64_t habit_ns, double habit_spread, size_t count, unsigned seed)
{
	unsigned short state[3] = { seed, seed * 7, 1 };
	struct turn turns[DEPENDENCE_TURNS_MAX];

	for (size_t i = 0; i < count; i++) {
		int64_t service = service_ns * (1 + service_spread * (erand48(state) - 0.5));
		int64_t habit = habit_ns * (1 + habit_spread * (erand48(state) - 0.5));

		turns[i] = (struct turn){ service, waits ? service + habit : habit };
	}
	return dependence_judge(turns, count);
}

static void test_known_habits(void)
{
	static const struct {
		const char *name;
		bool waits;
		int64_t service_ns;
		double service_spread;
		int64_t habit_ns;
		double habit_spread;
	} cases[] = {
		{ "benchmark, closed loop", true, 400000, 1, 50000, 0.5 },
		{ "benchmark, steady service", true, 30000, 0.1, 20000, 0.5 },
		{ "people, long think time", true, 500000, 1, 3000000, 0.2 },
		{ "10k/s by the clock", false, 10000, 1, 100000, 0.02 },
		{ "1k/s by the clock, slow service", false, 300000, 1, 1000000, 0.02 },
		{ "Poisson-like, fast service", false, 20000, 1, 5000000, 1.9 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned seed = 1; seed < 50; seed++) {
			struct dependence d =
				judge(cases[i].waits, cases[i].service_ns, cases[i].service_spread,
				      cases[i].habit_ns, cases[i].habit_spread, 100, seed);

			check_case("%s, seed %u, confidence %u", cases[i].name, seed, d.confidence);
			CHECK_EQ(d.dependent, cases[i].waits);
			CHECK(d.confidence <= 100);
		}
	}
}

static void test_few_turns_say_little(void)
{
	struct dependence none = dependence_judge(NULL, 0);

	CHECK(!none.dependent && !none.confidence);
	CHECK(judge(true, 1000, 1, 1000, 1, 4, 1).confidence < 50);
}

int main(void)
{
	RUN(test_known_habits);
	RUN(test_few_turns_say_little);
	return check_done();
}
