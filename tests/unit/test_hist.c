/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/hist.h"

#define RELATIVE_ERROR 0.001

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 32;
}

static bool is_near(uint64_t got, uint64_t want)
{
	double off = (double)got - (double)want;

	return (off < 0 ? -off : off) <= RELATIVE_ERROR * (double)want;
}

static void test_empty(void)
{
	struct hist hist = { 0 };

	CHECK_EQ(hist_count(&hist), 0);
	CHECK_EQ(hist_min(&hist), 0);
	CHECK_EQ(hist_max(&hist), 0);
	CHECK_EQ(hist_value_at_percentile(&hist, 50), 0);
	CHECK_NEAR(hist_mean(&hist), 0, 0);
	hist_release(&hist);
	hist_release(NULL);
}

static void test_small_values_are_exact(void)
{
	struct hist hist;

	hist_init(&hist);
	for (uint64_t v = 0; v < 1 << HIST_BITS; v++)
		CHECK_EQ(hist_record(&hist, v), 0);
	for (uint64_t v = 1; v <= 1 << HIST_BITS; v++)
		CHECK_EQ(hist_value_at_percentile(&hist, 100.0 * (double)v / (1 << HIST_BITS)),
			 v - 1);
	hist_release(&hist);
}

/* Around every power of two, up to the largest value there is. */
static void test_relative_error(void)
{
	for (int bit = 0; bit < 64; bit++) {
		for (int delta = -1; delta <= 1; delta++) {
			uint64_t value = (1ULL << bit) + (uint64_t)delta;
			struct hist hist = { 0 };

			check_case("2^%d%+d", bit, delta);
			CHECK_EQ(hist_record(&hist, value), 0);
			CHECK(hist_value_at_percentile(&hist, 50) == value); /* min and max clamp */
			CHECK(is_near(hist_round(value), value));
			hist_release(&hist);
		}
	}
	CHECK(is_near(hist_round(UINT64_MAX), UINT64_MAX));
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against the sorted values, nearest rank. */
static void test_percentiles(void)
{
	static const double percentiles[] = { 0.01, 1, 10, 50, 90, 99, 99.9, 99.99, 100 };
	static uint64_t values[10000];
	const size_t count = ARRAY_SIZE(values);
	struct hist hist = { 0 };
	uint64_t state = 7;

	for (size_t i = 0; i < count; i++) {
		values[i] = 1000 + (next_random(&state) >> next_random(&state) % 24);
		CHECK_EQ(hist_record(&hist, values[i]), 0);
	}
	qsort(values, count, sizeof(values[0]), compare);
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++) {
		double rank = percentiles[i] / 100 * (double)count;
		size_t at = (size_t)(rank + 0.5) - 1; /* all of these ranks are whole */

		check_case("p%g", percentiles[i]);
		CHECK(is_near(hist_value_at_percentile(&hist, percentiles[i]), values[at]));
	}
	CHECK_EQ(hist_value_at_percentile(&hist, 0), values[0]);
	CHECK_EQ(hist_value_at_percentile(&hist, 100), values[count - 1]);
	hist_release(&hist);
}

static void test_nearest_rank(void)
{
	struct hist hist = { 0 };

	hist_record(&hist, 1);
	hist_record(&hist, 2);
	CHECK_EQ(hist_value_at_percentile(&hist, 50), 1);
	CHECK_EQ(hist_value_at_percentile(&hist, 50.1), 2);
	hist_reset(&hist);
	hist_record_n(&hist, 10, 999);
	hist_record_n(&hist, 20, 1);
	hist_record_n(&hist, 30, 0);
	CHECK_EQ(hist_count(&hist), 1000);
	CHECK_EQ(hist_value_at_percentile(&hist, 99.9), 10);
	CHECK_EQ(hist_value_at_percentile(&hist, 99.91), 20);
	CHECK_EQ(hist_max(&hist), 20);
	CHECK_NEAR(hist_mean(&hist), 10.01, 1e-9);
	hist_release(&hist);
}

/* Merging parts, in any order, is the same as recording all in one. */
static void test_merge_is_exact(void)
{
	struct hist whole = { 0 }, parts[3] = { 0 }, merged = { 0 };
	uint64_t state = 23;

	for (int i = 0; i < 30000; i++) {
		uint64_t value = next_random(&state) >> i % 30;

		hist_record(&whole, value);
		hist_record(&parts[i % 3], value);
	}
	for (int i = 2; i >= 0; i--)
		CHECK_EQ(hist_merge(&merged, &parts[i]), 0);
	CHECK_EQ(hist_count(&merged), hist_count(&whole));
	CHECK_EQ(hist_min(&merged), hist_min(&whole));
	CHECK_EQ(hist_max(&merged), hist_max(&whole));
	CHECK_NEAR(hist_mean(&merged), hist_mean(&whole), 1e-3);
	for (double p = 0; p <= 100; p += 0.1)
		CHECK(hist_value_at_percentile(&merged, p) == hist_value_at_percentile(&whole, p));
	for (int i = 0; i < 3; i++)
		hist_release(&parts[i]);
	hist_release(&whole);
	hist_release(&merged);
}

static void test_merge_with_empty(void)
{
	struct hist a = { 0 }, empty = { 0 };

	hist_record(&a, 1000);
	CHECK_EQ(hist_merge(&a, &empty), 0);
	CHECK_EQ(hist_min(&a), 1000);
	CHECK_EQ(hist_merge(&empty, &a), 0);
	CHECK_EQ(hist_min(&empty), 1000);
	CHECK_EQ(hist_count(&empty), 1);
	hist_release(&a);
	hist_release(&empty);
}

int main(void)
{
	RUN(test_empty);
	RUN(test_small_values_are_exact);
	RUN(test_relative_error);
	RUN(test_percentiles);
	RUN(test_nearest_rank);
	RUN(test_merge_is_exact);
	RUN(test_merge_with_empty);
	return check_done();
}
