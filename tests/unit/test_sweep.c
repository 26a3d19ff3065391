/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/sweep.h"

#include <errno.h>

#define MS 1000000ll

/*
 * A service that takes 1 ms, one request after the other, arrivals by chance (M/M/1): at rate x of 1000/s the
 * mean latency is 1 ms / (1 - x), and its p99 ln(100) times that. The trace has 500/s.
 */
static struct sweep_point mm1(uint32_t speed_milli)
{
	double load = speed_milli / 2000.0, mean = 1e6 / (1 - load);

	return (struct sweep_point){
		.speed_milli = speed_milli,
		.requests = 10000,
		.answered = 10000,
		.intended_rate = 1000 * load,
		.answered_rate = 1000 * load,
		.mean_ns = mean,
		.p50_ns = (int64_t)(mean * log(2)),
		.p99_ns = (int64_t)(mean * log(100)),
		.held_ns = (int64_t)(mean * log(100)),
	};
}

static size_t run_sweep(const struct sweep *sweep, struct sweep_point *points)
{
	size_t count = 0;
	uint32_t speed;

	while ((speed = sweep_next(sweep, points, count)) && CHECK(count < SWEEP_POINTS_MAX))
		points[count++] = mm1(speed);
	return count;
}

static void test_parse(void)
{
	static const struct {
		const char *text;
		uint32_t from, to, steps;
	} good[] = { { "0.5..2", 500, 2000, 7 },
		     { "1..1.5:2", 1000, 1500, 2 },
		     { "0.001..1000:100", 1, 1000000, 100 } };
	static const char *const bad[] = { "",	   "2",	      "2..1",	"1..1",
					   "0..1", "1..1001", "1..2:1", "1..2:101",
					   "a..b", "1..2:x",  "1...2",	"1:2..3" };
	struct err err = { "" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct sweep sweep = { 0 };

		check_case("%s", good[i].text);
		CHECK_EQ(sweep_parse(good[i].text, &sweep, &err), 0);
		CHECK_EQ(sweep.from_milli, good[i].from);
		CHECK_EQ(sweep.to_milli, good[i].to);
		CHECK_EQ(sweep.steps, good[i].steps);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sweep sweep = { 0 };

		check_case("'%s'", bad[i]);
		CHECK(sweep_parse(bad[i], &sweep, &err) < 0);
	}
}

static void test_parse_hold(void)
{
	static const char *const bad[] = { "",	     "5ms",	 "p99",	    "p99=",
					   "p0=1ms", "p100=1ms", "q99=1ms", "p=1ms" };
	struct sweep sweep = { 0 };
	struct err err = { "" };

	CHECK_EQ(sweep_parse_hold("p99.9=5ms", &sweep, &err), 0);
	CHECK_NEAR(sweep.hold_percentile, 99.9, 1e-9);
	CHECK_EQ(sweep.hold_ns, 5 * MS);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		check_case("'%s'", bad[i]);
		CHECK(sweep_parse_hold(bad[i], &sweep, &err) < 0);
	}
}

/* Power of M/M/1 is x (1 - x): largest at half the capacity. */
static void test_knee(void)
{
	static const struct sweep sweep = { 200, 1800, 9, 0, 0 };
	static const struct sweep low = { 100, 700, 7, 0, 0 };
	struct sweep_point points[SWEEP_POINTS_MAX];
	size_t count = run_sweep(&sweep, points), knee;

	CHECK_EQ(count, 9);
	CHECK_EQ(points[0].speed_milli, 200);
	CHECK_EQ(points[8].speed_milli, 1800);
	knee = sweep_knee(points, count);
	if (CHECK(knee != SWEEP_NONE))
		CHECK_EQ(points[knee].speed_milli, 1000);

	check_case("it is not used when the client was the limit");
	points[knee].invalid = true;
	knee = sweep_knee(points, count);
	CHECK(knee != SWEEP_NONE && points[knee].speed_milli != 1000);

	check_case("it is beyond what was tried");
	count = run_sweep(&low, points);
	CHECK(sweep_knee(points, count) == SWEEP_NONE);
	CHECK(sweep_knee(points, 2) == SWEEP_NONE);
}

/* p99 of 20 ms: 1 ms ln(100) / (1 - x) = 20 ms, so x = 0.770 and the speed 1.539. */
static void test_hold(void)
{
	static const struct sweep sweep = { 500, 1900, 5, 99, 20 * MS };
	struct sweep_point points[SWEEP_POINTS_MAX];
	size_t count = run_sweep(&sweep, points), best;
	bool bounded;

	CHECK(count > 5 && count <= 5 + SWEEP_HALVINGS_MAX);
	best = sweep_holds(&sweep, points, count, &bounded);
	if (CHECK(best != SWEEP_NONE))
		CHECK_NEAR(points[best].speed_milli, 1539, 31);
	CHECK(bounded);

	check_case("one that could not be used above it is not tried again, and bounds nothing");
	for (count = 0; count < 5; count++) {
		points[count] = mm1(sweep_next(&sweep, points, count));
		points[count].invalid = points[count].speed_milli > 1200;
	}
	CHECK_EQ(sweep_next(&sweep, points, count), 0);
	best = sweep_holds(&sweep, points, count, &bounded);
	CHECK(best != SWEEP_NONE && points[best].speed_milli == 1200);
	CHECK(!bounded);

	check_case("a slower one that does not hold ends it");
	points[1].held_ns = SWEEP_NEVER;
	best = sweep_holds(&sweep, points, 5, &bounded);
	CHECK_EQ(best, 0);

	check_case("too few requests to know");
	CHECK_EQ(sweep_requests_needed(99), 368);
	CHECK_EQ(sweep_requests_needed(99.9), 3688);
	points[0].requests = 367;
	CHECK(sweep_holds(&sweep, points, 1, &bounded) == SWEEP_NONE);
}

int main(void)
{
	RUN(test_parse);
	RUN(test_parse_hold);
	RUN(test_knee);
	RUN(test_hold);
	return check_done();
}
