/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/warm_up.h"

#define COUNT 5000

static double values[COUNT];

/* Noise between 0 and 1. */
static double noise(void)
{
	static uint64_t state = 7;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(state >> 11) / (double)(1ull << 53);
}

/* 1000 at first, 100 in the end, halfway after `half` values; with noise of 20. */
static void decay(double half)
{
	for (size_t i = 0; i < COUNT; i++)
		values[i] = 100 + 900 * exp2(-(double)i / half) + 20 * noise();
}

static void test_steady_from_the_start(void)
{
	for (size_t i = 0; i < COUNT; i++)
		values[i] = 100 + 20 * noise();
	CHECK(warm_up_mser5(values, COUNT) <= COUNT / 20);
}

/* What is left of the start when it is cut is less than the noise. */
static void test_decay_is_cut(void)
{
	for (double half = 20; half <= 160; half *= 2) {
		size_t cut;

		check_case("half after %g", half);
		decay(half);
		cut = warm_up_mser5(values, COUNT);
		CHECK_EQ(cut % WARM_UP_BATCH, 0);
		CHECK(cut > half && cut < 12 * half);
		CHECK(900 * exp2(-(double)cut / half) < 20);
	}
}

static void test_never_steady(void)
{
	for (size_t i = 0; i < COUNT; i++)
		values[i] = (double)i + 20 * noise();
	CHECK(warm_up_mser5(values, COUNT) == WARM_UP_UNSTEADY);
}

static void test_few(void)
{
	for (size_t count = 0; count < 60; count++)
		CHECK(warm_up_mser5(values, count) == WARM_UP_UNSTEADY ||
		      warm_up_mser5(values, count) <= count / 2);
}

static void test_latencies(void)
{
	decay(50);
	CHECK(warm_up_of(values, COUNT) > 50 && warm_up_of(values, COUNT) < 600);

	check_case("one slow request is none");
	values[700] += 1000000;
	CHECK(warm_up_of(values, COUNT) < 600);

	check_case("too few");
	CHECK_EQ(warm_up_of(values, WARM_UP_REQUESTS_MIN - 1), WARM_UP_UNSTEADY);
}

int main(void)
{
	RUN(test_steady_from_the_start);
	RUN(test_decay_is_cut);
	RUN(test_never_steady);
	RUN(test_few);
	RUN(test_latencies);
	return check_done();
}
