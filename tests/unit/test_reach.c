/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/node/reach.h"

#include <errno.h>

static struct endpoint at(const char *text)
{
	static const struct address_defaults none = { NULL, 0 };
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX] = { 0 };
	struct address address;

	CHECK_EQ(address_parse(text, &none, &address, NULL), 0);
	CHECK(address_resolve(&address, false, endpoints, NULL) > 0);
	return endpoints[0];
}

static void test_permits(void)
{
	static const struct {
		const char *allowed, *to, *client;
		bool permitted;
	} cases[] = {
		{ "", "127.0.0.1:1", NULL, true },
		{ "", "127.9.9.9:1", "10.0.0.1", true },
		{ "", "[::1]:1", NULL, true },
		{ "", "[::ffff:127.0.0.1]:1", NULL, true },
		{ "", "10.0.0.2:1", NULL, false },
		{ "", "10.0.0.2:1", "10.0.0.1", false },
		{ "", "10.0.0.1:1", "10.0.0.1:5", true },
		{ "", "10.0.0.1:1", "[::ffff:10.0.0.1]:5", true },
		{ "", "[fd00::1]:1", "[fd00::1]", true },
		{ "", "[fd00::1]:1", "[fd00::2]", false },
		{ "any", "10.0.0.2:1", NULL, true },
		{ "10.0.0.2", "10.0.0.2:1", NULL, true },
		{ "10.0.0.2", "10.0.0.3:1", NULL, false },
		{ "10.0.0.2:7400", "10.0.0.2:7400", NULL, true },
		{ "10.0.0.2:7400", "10.0.0.2:7401", NULL, false },
		{ "10.0.0.0/9", "10.127.255.255:1", NULL, true },
		{ "10.0.0.0/9", "10.128.0.0:1", NULL, false },
		{ "10.0.0.0/8:7400", "10.1.2.3:7400", NULL, true },
		{ "10.0.0.0/8:7400", "10.1.2.3:7", NULL, false },
		{ "0.0.0.0/0", "10.1.2.3:7", NULL, true },
		{ "0.0.0.0/0", "[fd00::1]:7", NULL, false }, /* of its family */
		{ "[fd00::]/16", "[fd00:1::1]:7", NULL, true },
		{ "[fd00::]/16:7", "[fd01::1]:7", NULL, false },
		{ "10.0.0.2", "[::ffff:10.0.0.2]:1", NULL, true },
		{ "10.0.0.2,10.0.0.3", "10.0.0.3:1", NULL, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct endpoint to = at(cases[i].to), client;
		struct reach r = { .count = 0 };

		check_case("'%s', to %s", cases[i].allowed, cases[i].to);
		if (*cases[i].allowed)
			CHECK_EQ(reach_allow(&r, cases[i].allowed, NULL), 0);
		if (cases[i].client)
			client = at(cases[i].client);
		CHECK_EQ(reach_permits(&r, &to, cases[i].client ? &client : NULL),
			 cases[i].permitted);
	}
}

static void test_wrong_words(void)
{
	static const char *const words[] = { "",
					     "10.0.0.1/33",
					     "10.0.0.1/",
					     "10.0.0.1/-1",
					     "10.0.0.1/8x",
					     "[fd00::]/129",
					     ":7400",
					     "unix:/x",
					     "udp://10.0.0.1",
					     ",",
					     "any,",
					     ",any" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct reach r = { .count = 0 };
		struct err err = { "" };

		check_case("'%s'", words[i]);
		CHECK_EQ(reach_allow(&r, words[i], &err), -EINVAL);
		CHECK(strstr(err.text, "--forward-to"));
		CHECK_EQ(r.count, 0);
	}
}

static void test_limit(void)
{
	struct reach r = { .count = 0 };

	for (int i = 0; i < REACH_RULES_MAX; i++)
		CHECK_EQ(reach_allow(&r, "10.0.0.1", NULL), 0);
	CHECK_EQ(reach_allow(&r, "10.0.0.1", NULL), -E2BIG);
}

int main(void)
{
	RUN(test_permits);
	RUN(test_wrong_words);
	RUN(test_limit);
	return check_done();
}
