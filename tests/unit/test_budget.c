/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of --max-overhead: how it is said, and when it is passed. */
#include "capture/budget.h"

#include "check.h"

#include <errno.h>

static void test_parse(void)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ppm, ns;
	} cases[] = {
		{ "5%", 0, 50000, 0 },	    { "100%", 0, 1000000, 0 }, { "2us", 0, 0, 2000 },
		{ "800ns", 0, 0, 800 },	    { "0%", -EINVAL, 0, 0 },   { "", -EINVAL, 0, 0 },
		{ "5%%", -EINVAL, 0, 0 },   { "%", -EINVAL, 0, 0 },    { "-1%", -EINVAL, 0, 0 },
		{ "0us", -EINVAL, 0, 0 },   { "much", -EINVAL, 0, 0 }, { "5 %", -EINVAL, 0, 0 },
		{ "1001%", -EINVAL, 0, 0 }, { "5", -EINVAL, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct budget_limit limit;
		struct err err;

		check_case("%s", cases[i].text);
		CHECK_EQ(budget_parse(cases[i].text, &limit, &err), cases[i].rc);
		CHECK_EQ(limit.ppm, cases[i].ppm);
		CHECK_EQ(limit.ns_per_request, cases[i].ns);
	}
}

static void test_exceeded(void)
{
	const struct budget_limit share = { .ppm = 50000 }, price = { .ns_per_request = 2000 };

	CHECK(!budget_exceeded(&share, 5000000, 100000000, 0));
	CHECK(budget_exceeded(&share, 5000001, 100000000, 0));
	CHECK(!budget_exceeded(&share, 900000, 900000, 0)); /* next to no work */
	CHECK(!budget_exceeded(&price, 200000, 50000000, 100));
	CHECK(budget_exceeded(&price, 201000, 50000000, 100));
	CHECK(!budget_exceeded(&price, 201000, 50000000, 3));
}

int main(void)
{
	RUN(test_parse);
	RUN(test_exceeded);
	return check_done();
}
