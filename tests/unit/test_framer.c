/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/framer.h"

#include "check.h"

static const struct {
	const char *bytes, *protocol, *verb;
} cases[] = {
	{ "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "resp", "GET" },
	{ "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n", "resp", "SET" },
	{ "*1\r\n$4\r\nPING\r\n", "resp", "PING" },
	{ "*1\r\n$4\r\nPI", "", "" },		      /* cut in the verb */
	{ "*1\r\n$999999\r\nX", "", "" },	      /* longer than what is there */
	{ "*-1\r\n$3\r\nGET\r\n", "", "" },
	{ "*2\r\n$3\r\nG\x01T\r\n", "", "" },	      /* no word: stays out of the trace */
	{ "GET / HTTP/1.1\r\nHost: x\r\n", "http/1", "GET" },
	{ "POST /secret/path HTTP/1.1\r\n", "http/1", "POST" },
	{ "GETTING / ", "", "" },
	{ "GET", "", "" },
	{ "\x16\x03\x01", "", "" },
	{ "", "", "" },
};

static void test_verbs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].bytes);
		uint8_t *exact = malloc(len + !len); /* the end of its own allocation, for ASan */
		struct framing f;

		check_case("%s", cases[i].bytes);
		memcpy(exact, cases[i].bytes, len);
		framer_look(exact, len, &f);
		CHECK_STR(f.protocol, cases[i].protocol);
		CHECK_STR(f.verb, cases[i].verb);
		free(exact);
	}
}

/* Every prefix is read without a byte beyond it, and says the same verb or none. */
static void test_every_prefix(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t len = 0; len < strlen(cases[i].bytes); len++) {
			uint8_t *exact = malloc(len + !len);
			struct framing f;

			check_case("%zu bytes of %s", len, cases[i].bytes);
			memcpy(exact, cases[i].bytes, len);
			framer_look(exact, len, &f);
			CHECK(!f.verb[0] || !strcmp(f.verb, cases[i].verb));
			free(exact);
		}
	}
}

int main(void)
{
	RUN(test_verbs);
	RUN(test_every_prefix);
	return check_done();
}
