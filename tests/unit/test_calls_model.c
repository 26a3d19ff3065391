/* SPDX-License-Identifier: Apache-2.0 */
/* What requests of a class did makes the same more likely, and all else less; nothing is impossible. */
#include "capture/packet/calls_model.h"

#include "check.h"

#define US 1000LL

enum { FRONT = 1, CACHE, STORE };

static void test_gaps(void)
{
	struct calls_model *m = calls_model_new();
	double before;

	/* of nothing known the nearest is the most likely */
	CHECK(calls_model_gap(m, FRONT, CALLS_ARRIVAL, CACHE, 10 * US) >
	      calls_model_gap(m, FRONT, CALLS_ARRIVAL, CACHE, 100 * US));
	before = calls_model_gap(m, FRONT, CALLS_ARRIVAL, STORE, 100 * US);
	for (int i = 0; i < 100; i++)
		calls_model_learn_gap(m, FRONT, CALLS_ARRIVAL, CACHE, (100 + i % 10) * US, 1);
	CHECK(calls_model_gap(m, FRONT, CALLS_ARRIVAL, CACHE, 105 * US) >
	      calls_model_gap(m, FRONT, CALLS_ARRIVAL, CACHE, 10 * US));
	CHECK(calls_model_gap(m, FRONT, CALLS_ARRIVAL, CACHE, 105 * US) >
	      calls_model_gap(m, FRONT, CALLS_ARRIVAL, CACHE, 1000 * US));
	CHECK_EQ(calls_model_gap(m, FRONT, CALLS_ARRIVAL, STORE, 100 * US) == before, 1);
	for (int64_t ns = -1; ns < INT64_MAX / 4; ns = ns * 3 + 7)
		CHECK(isfinite(calls_model_gap(m, FRONT, CALLS_ARRIVAL, CACHE, ns)));
	calls_model_free(m);
}

/* Two calls of the cache each, and one of ten asks the store. */
static void test_counts(void)
{
	static const unsigned to[] = { CACHE, STORE }, n[] = { 2, 1 };
	struct calls_model *m = calls_model_new();

	for (int i = 0; i < 100; i++)
		calls_model_learn_counts(m, FRONT, to, n, i % 10 ? 1 : 2, 1);
	CHECK_NEAR(calls_model_requests(m, FRONT), 100, 1e-9);
	CHECK(calls_model_count(m, FRONT, CACHE, 2) > 0);
	CHECK(calls_model_count(m, FRONT, CACHE, 2) > calls_model_count(m, FRONT, CACHE, 1));
	CHECK(calls_model_count(m, FRONT, CACHE, 2) > calls_model_count(m, FRONT, CACHE, 20));
	CHECK_NEAR(calls_model_count(m, FRONT, STORE, 1), log(10.25 / 90.5), 0.01);
	CHECK(calls_model_more(m, FRONT, CACHE, 1) > 0);
	CHECK(calls_model_more(m, FRONT, CACHE, 2) < 0);
	CHECK(isfinite(calls_model_more(m, FRONT, CACHE, 1000)));
	calls_model_free(m);
}

/* A proxy's calls have the head of their request; what all have alike tells nothing. */
static void test_traits(void)
{
	struct calls_model *m = calls_model_new();

	CHECK_NEAR(calls_model_alike(m, FRONT, CACHE, TRAIT_HEAD, true), 0, 1e-9);
	for (int i = 0; i < 100; i++) {
		calls_model_learn_alike(m, FRONT, CACHE, TRAIT_HEAD, true, true);
		calls_model_learn_alike(m, FRONT, CACHE, TRAIT_HEAD, i % 10 == 0, false);
		calls_model_learn_alike(m, FRONT, CACHE, TRAIT_CONNECTION, true, true);
		calls_model_learn_alike(m, FRONT, CACHE, TRAIT_CONNECTION, true, false);
	}
	CHECK(calls_model_alike(m, FRONT, CACHE, TRAIT_HEAD, true) > 2);
	CHECK(calls_model_alike(m, FRONT, CACHE, TRAIT_HEAD, false) < -2);
	CHECK_NEAR(calls_model_alike(m, FRONT, CACHE, TRAIT_CONNECTION, true), 0, 1e-9);
	calls_model_free(m);
}

/* More rows than there is room for: what is beyond it is as if nothing was known. */
static void test_limit(void)
{
	struct calls_model *m = calls_model_new();

	for (unsigned i = 1; i < 2 * CALLS_MODEL_MAX; i++)
		calls_model_learn_gap(m, 1 + i % 1000, i / 1000, STORE, 100 * US, 10);
	CHECK(calls_model_gap(m, 2, 0, STORE, 100 * US) >
	      calls_model_gap(m, 2, 0, CACHE, 100 * US));
	CHECK_EQ(calls_model_gap(m, 500, 8, STORE, 100 * US) ==
			 calls_model_gap(m, 500, 8, CACHE, 100 * US),
		 1);
	calls_model_free(m);
}

int main(void)
{
	RUN(test_gaps);
	RUN(test_counts);
	RUN(test_traits);
	RUN(test_limit);
	return check_done();
}
