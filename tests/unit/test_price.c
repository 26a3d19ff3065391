/* SPDX-License-Identifier: Apache-2.0 */
/* The price of the probes out of paired rounds. */
#include "capture/price.h"

#include "check.h"

#include <errno.h>

/* 2 sends a request; 5 us of CPU a send without probes, `price` ns more with them. */
static struct price_round round_of(uint64_t price)
{
	return (struct price_round){
		.on = { .cpu_ns = (5000 + price) * 1000,
			.sends = 1000,
			.requests = 500,
			.bystander_ps = 140000 },
		.off = { .cpu_ns = 5000 * 2000, .sends = 2000, .bystander_ps = 90000 },
	};
}

static void test_median_and_interval(void)
{
	static const uint64_t prices[] = { 400, 600, 500, 300, 700, 450, 550, 9000, 0, 500 };
	struct price_round rounds[ARRAY_SIZE(prices)];
	struct manifest_price price;

	for (size_t i = 0; i < ARRAY_SIZE(prices); i++)
		rounds[i] = round_of(prices[i]);
	if (!CHECK_EQ(price_judge(rounds, ARRAY_SIZE(prices), &price), 0))
		return;
	CHECK_EQ(price.rounds, 10);
	CHECK_EQ(price.ns_per_request, 2 * 500);
	/* of 10 the second and the ninth: 97.9% */
	CHECK_EQ(price.low_ns, 2 * 300);
	CHECK_EQ(price.high_ns, 2 * 700);
	CHECK_NEAR(price.throughput_ppm, 500e6 / 5500, 100);
	CHECK_EQ(price.bystander_on_ps, 140000);
	CHECK_EQ(price.bystander_off_ps, 90000);
}

/* Ranks of the sign test's 95% interval, from a table of the binomial distribution. */
static void test_ranks(void)
{
	static const struct {
		size_t rounds, rank;
	} cases[] = { { 6, 1 }, { 8, 1 }, { 9, 2 }, { 12, 3 }, { 20, 6 }, { 30, 10 } };
	struct price_round rounds[30];
	struct manifest_price price;

	for (size_t i = 0; i < ARRAY_SIZE(rounds); i++)
		rounds[i] = round_of((i + 1) * 10);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("%zu rounds", cases[i].rounds);
		CHECK_EQ(price_judge(rounds, cases[i].rounds, &price), 0);
		CHECK_EQ(price.low_ns, 20 * cases[i].rank);
		CHECK_EQ(price.high_ns, 20 * (cases[i].rounds + 1 - cases[i].rank));
	}
}

static void test_too_little(void)
{
	struct price_round rounds[8];
	struct manifest_price price = { .rounds = 77 };

	for (size_t i = 0; i < ARRAY_SIZE(rounds); i++)
		rounds[i] = round_of(100);
	rounds[2].off.sends = 3; /* no load */
	rounds[5].on.requests = 0;
	CHECK_EQ(price_judge(rounds, 7, &price), -ENODATA);
	CHECK_EQ(price.rounds, 77);
	CHECK_EQ(price_judge(rounds, 8, &price), 0);
	CHECK_EQ(price.rounds, 6);
}

int main(void)
{
	RUN(test_median_and_interval);
	RUN(test_ranks);
	RUN(test_too_little);
	return check_done();
}
