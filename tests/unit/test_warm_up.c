/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/breakdown.h"
#include "replay/warm_up.h"

#define COUNT 5000

static double values[COUNT];
static struct client_fact facts[COUNT];
static uint32_t sent[COUNT];

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

/* 1 ms apart, each answered after its value in us. */
static void make_facts(void)
{
	for (uint32_t i = 0; i < COUNT; i++) {
		facts[i] = (struct client_fact){ .intended_ns = 1000000 * (int64_t)(i + 1),
						 .outcome = OUTCOME_OK,
						 .settled = true };
		facts[i].sent_ns = facts[i].intended_ns + 1000;
		facts[i].received_ns = facts[i].intended_ns + (int64_t)(values[i] * 1000);
		sent[i] = i;
	}
}

static void test_facts(void)
{
	struct breakdown_summary summary;
	int64_t from_ns = 0;
	size_t left;

	decay(50);
	make_facts();
	CHECK_EQ(warm_up_find(facts, sent, COUNT, &from_ns), 0);
	CHECK(from_ns > 50 * 1000000 && from_ns < 600 * 1000000);
	left = COUNT + 1 - (size_t)(from_ns / 1000000);
	CHECK_EQ(breakdown_summarise(facts, COUNT, from_ns, &summary), 0);
	CHECK_EQ(hist_count(&summary.latency), left);
	CHECK(hist_max(&summary.latency) < 150000);
	CHECK_EQ(summary.first_intended_ns, from_ns);
	breakdown_summary_release(&summary);

	check_case("one slow request is none");
	facts[700].received_ns += 1000000000;
	CHECK_EQ(warm_up_find(facts, sent, COUNT, &from_ns), 0);
	CHECK(from_ns < 600 * 1000000);

	check_case("too few");
	CHECK_EQ(warm_up_find(facts, sent, WARM_UP_REQUESTS_MIN - 1, &from_ns), 1);
	CHECK_EQ(from_ns, 0);
}

int main(void)
{
	RUN(test_steady_from_the_start);
	RUN(test_decay_is_cut);
	RUN(test_never_steady);
	RUN(test_few);
	RUN(test_facts);
	return check_done();
}
