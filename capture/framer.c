/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/framer.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* A number up to CR LF at bytes[*at]; moves *at behind it. -1 when there is none. */
static long resp_number(const uint8_t *bytes, size_t len, size_t *at)
{
	long value = 0;
	size_t i = *at;

	while (i < len && isdigit(bytes[i]) && value < 1000000)
		value = value * 10 + (bytes[i++] - '0');
	if (i == *at || i + 1 >= len || bytes[i] != '\r' || bytes[i + 1] != '\n')
		return -1;
	*at = i + 2;
	return value;
}

static bool copy_verb(const uint8_t *bytes, size_t len, char *ret_verb)
{
	if (!len || len >= FRAMER_VERB_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalpha(bytes[i]) && bytes[i] != '_' && bytes[i] != '-')
			return false;
		ret_verb[i] = toupper(bytes[i]);
	}
	ret_verb[len] = 0;
	return true;
}

/* Redis: an array of bulk strings, the first is the command. */
static bool look_resp(const uint8_t *bytes, size_t len, char *ret_verb)
{
	size_t at = 1;
	long verb_len;

	if (bytes[0] != '*' || resp_number(bytes, len, &at) < 1)
		return false;
	if (at >= len || bytes[at++] != '$')
		return false;
	verb_len = resp_number(bytes, len, &at);
	return verb_len > 0 && at + verb_len <= len && copy_verb(bytes + at, verb_len, ret_verb);
}

/* HTTP/1: a method, a blank, and a target that begins with '/' or '*' or a scheme. */
static bool look_http(const uint8_t *bytes, size_t len, char *ret_verb)
{
	static const char *const methods[] = { "GET",	"HEAD",	   "POST",  "PUT",    "DELETE",
					       "PATCH", "OPTIONS", "TRACE", "CONNECT" };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		size_t n = strlen(methods[i]);

		if (len > n + 1 && !memcmp(bytes, methods[i], n) && bytes[n] == ' ' &&
		    (bytes[n + 1] == '/' || bytes[n + 1] == '*' || bytes[n + 1] == 'h'))
			return copy_verb(bytes, n, ret_verb);
	}
	return false;
}

static const struct {
	const char *protocol;
	bool (*look)(const uint8_t *bytes, size_t len, char *ret_verb);
} framers[] = {
	{ "resp", look_resp },
	{ "http/1", look_http },
};

void framer_look(const uint8_t *bytes, size_t len, struct framing *ret_framing)
{
	ret_framing->protocol = "";
	ret_framing->verb[0] = 0;
	for (size_t i = 0; len && i < sizeof(framers) / sizeof(framers[0]); i++) {
		if (framers[i].look(bytes, len, ret_framing->verb)) {
			ret_framing->protocol = framers[i].protocol;
			return;
		}
	}
	ret_framing->verb[0] = 0;
}
