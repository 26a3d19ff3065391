/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of gait proxy: what is on the wire, what comes next, addresses. */
#include "check.h"

#include "replay/proxy/address.h"
#include "replay/proxy/delay_line.h"
#include "replay/timers.h"

/* The next item as "bytes", "-" (nothing), "." (the end) or "!" (a reset). */
static const char *next_at(const struct delay_line *line, int64_t now_ns, char text[64])
{
	const void *data;
	size_t len;

	switch (delay_line_next(line, now_ns, &data, &len)) {
	case DELAY_LINE_BYTES:
		snprintf(text, 64, "%.*s", (int)len, (const char *)data);
		return text;
	case DELAY_LINE_END:
		return ".";
	case DELAY_LINE_RESET:
		return "!";
	default:
		return "-";
	}
}

static void test_line_gives_each_item_when_it_is_due(void)
{
	struct delay_line line;
	char text[64];

	delay_line_init(&line, 4096);
	CHECK_EQ(delay_line_due_ns(&line), DELAY_LINE_NEVER);
	CHECK_EQ(delay_line_put(&line, "first", 5, 100), 0);
	CHECK_EQ(delay_line_put(&line, "second", 6, 200), 0);
	delay_line_put_end(&line, 300);
	delay_line_put_reset(&line, 400);

	CHECK_STR(next_at(&line, 99, text), "-");
	CHECK_STR(next_at(&line, 100, text), "first");
	delay_line_take(&line, 2);
	CHECK_STR(next_at(&line, 100, text), "rst");
	delay_line_take(&line, 3);
	CHECK_EQ(delay_line_due_ns(&line), 200);
	CHECK_STR(next_at(&line, 199, text), "-");
	CHECK_STR(next_at(&line, 500, text), "second"); /* bytes go before the end, however late */
	delay_line_take(&line, 6);
	CHECK_STR(next_at(&line, 299, text), "-");
	CHECK_STR(next_at(&line, 300, text), ".");
	delay_line_take_end(&line);
	CHECK_STR(next_at(&line, 399, text), "-");
	CHECK_STR(next_at(&line, 400, text), "!");
	delay_line_release(&line);
	CHECK_STR(next_at(&line, 400, text), "-");
	CHECK_EQ(delay_line_room(&line), 0);
	delay_line_release(&line);
}

static void test_line_lets_nothing_overtake(void)
{
	struct delay_line line;
	char text[64];

	delay_line_init(&line, 4096);
	CHECK_EQ(delay_line_put(&line, "a", 1, 200), 0);
	CHECK_EQ(delay_line_put(&line, "b", 1, 100), 0);
	delay_line_put_end(&line, 50);
	delay_line_take(&line, 1);
	CHECK_EQ(delay_line_due_ns(&line), 200);
	CHECK_STR(next_at(&line, 200, text), "b");
	delay_line_take(&line, 1);
	CHECK_EQ(delay_line_due_ns(&line), 200);
	delay_line_release(&line);
}

/* Takes a piece out; its bytes. */
static size_t len_taken(struct delay_line *line)
{
	const void *data;
	size_t len;

	CHECK_EQ(delay_line_next(line, 0, &data, &len), DELAY_LINE_BYTES);
	delay_line_take(line, len);
	return len;
}

/* However small the pieces are, what keeping them costs is charged too. */
static void test_line_is_full_at_its_limit_and_open_at_half(void)
{
	static const size_t pieces[] = { 1, 7, 100, 4096 };
	static const char zeros[4096];

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct delay_line line;
		size_t put = 0, taken = 0, room, count = 0;

		check_case("pieces of %zu bytes", pieces[i]);
		delay_line_init(&line, 65536);
		while ((room = delay_line_room(&line))) {
			size_t len = room < pieces[i] ? room : pieces[i];

			if (!CHECK_EQ(delay_line_put(&line, zeros, len, 0), 0))
				break;
			put += len;
			count++;
		}
		CHECK(put + 40 * count <= 65536);      /* the header of a piece alone */
		CHECK(put + 64 * count + 64 >= 65536); /* and it was well used */
		for (; taken < put && !delay_line_room(&line); taken += len_taken(&line))
			;
		CHECK(delay_line_room(&line) >= 65536 / 2 - 64);
		CHECK(taken < put);
		delay_line_release(&line);
	}
}

static void test_timers_come_in_order(void)
{
	struct timers timers = { 0 };
	struct timer set[200], *timer;
	uint64_t seed = 1;
	int64_t last = -1;
	size_t left = 0, taken = 0;

	CHECK_EQ(timers_due_ns(&timers), TIMER_NEVER);
	CHECK_EQ(timers_reserve(&timers, ARRAY_SIZE(set)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(set); i++)
		timer_init(&set[i]);
	for (size_t round = 0; round < 5000; round++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		timers_set(&timers, &set[(seed >> 33) % ARRAY_SIZE(set)],
			   (seed >> 20) % 4 ? (int64_t)((seed >> 40) % 1000) : TIMER_NEVER);
	}
	for (size_t i = 0; i < ARRAY_SIZE(set); i++)
		left += set[i].due_ns != TIMER_NEVER;
	CHECK(left > 100);
	CHECK(!timers_take(&timers, -1));
	while ((timer = timers_take(&timers, 999))) {
		CHECK_EQ(timer->due_ns, TIMER_NEVER); /* it is not set any more */
		CHECK(timer >= set && timer < set + ARRAY_SIZE(set));
		CHECK(timers_due_ns(&timers) >= last);
		if (timers_due_ns(&timers) != TIMER_NEVER)
			last = timers_due_ns(&timers);
		taken++;
	}
	CHECK_EQ(taken, left);
	timers_unreserve(&timers, ARRAY_SIZE(set));
	timers_release(&timers);
}

static void test_addresses(void)
{
	static const struct {
		const char *text;
		int32_t port; /* the default; -1: none */
		bool is_unix;
		const char *host;
		uint16_t want_port;
	} cases[] = {
		{ "10.0.0.7:80", -1, false, "10.0.0.7", 80 },
		{ "tcp://10.0.0.7:80", -1, false, "10.0.0.7", 80 },
		{ "[::1]:80", -1, false, "::1", 80 },
		{ "tcp://[::1]:80", -1, false, "::1", 80 },
		{ ":80", -1, false, "here", 80 },
		{ "unix:///run/x.sock", -1, true, "/run/x.sock", 0 },
		{ "unix://x:1", 7891, true, "x:1", 0 },
		{ "host", 7891, false, "host", 7891 },
		{ "host:80", 7891, false, "host", 80 },
		{ "[::1]", 7891, false, "::1", 7891 },
		{ "", 7891, false, "here", 7891 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct proxy_address_defaults defaults = { "here", cases[i].port };
		struct proxy_address address;

		check_case("'%s'", cases[i].text);
		if (!CHECK_EQ(proxy_address_parse(cases[i].text, &defaults, &address, NULL), 0))
			continue;
		CHECK_EQ(address.is_unix, cases[i].is_unix);
		CHECK_STR(address.host, cases[i].host);
		CHECK_EQ(address.port, cases[i].want_port);
	}
}

static void test_wrong_addresses(void)
{
	static const char *const wrong[] = {
		"host",
		"::1",
		"[::1]",
		"host:65536",
		"host:x",
		"unix://",
		"udp://:1",
		"",
		"tcp://",
		"host:",
		"unix:///0123456789012345678901234567890123456789012345"
		"678901234567890123456789012345678901234567890123456789"
		"01234567"
	};
	const struct proxy_address_defaults defaults = { "here", -1 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct proxy_address address;
		struct err err = { "" };

		check_case("'%s'", wrong[i]);
		CHECK(proxy_address_parse(wrong[i], &defaults, &address, &err) < 0);
		CHECK(err.text[0]);
	}
}

static void test_resolved(void)
{
	static const struct {
		const char *text, *shown;
		bool local;
	} cases[] = {
		{ "127.0.0.1:80", "127.0.0.1:80", true },  { "127.9.9.9:80", "127.9.9.9:80", true },
		{ "128.0.0.1:80", "128.0.0.1:80", false }, { "0.0.0.0:80", "0.0.0.0:80", false },
		{ "[::1]:80", "[::1]:80", true },	   { "[::]:80", "[::]:80", false },
		{ "unix:///a/b", "unix:///a/b", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct proxy_address_defaults defaults = { "here", -1 };
		char text[PROXY_ADDRESS_TEXT_SIZE];
		struct proxy_address address;
		struct proxy_sockaddrs addrs;

		check_case("'%s'", cases[i].text);
		CHECK_EQ(proxy_address_parse(cases[i].text, &defaults, &address, NULL), 0);
		CHECK_EQ(proxy_address_resolve(&address, &addrs, NULL), 0);
		if (!CHECK_EQ(addrs.count, 1))
			continue;
		CHECK_STR(proxy_sockaddr_format(&addrs.items[0], text, sizeof(text)),
			  cases[i].shown);
		CHECK_EQ(proxy_sockaddr_is_local(&addrs.items[0]), cases[i].local);
	}
}

int main(void)
{
	RUN(test_line_gives_each_item_when_it_is_due);
	RUN(test_line_lets_nothing_overtake);
	RUN(test_line_is_full_at_its_limit_and_open_at_half);
	RUN(test_timers_come_in_order);
	RUN(test_addresses);
	RUN(test_wrong_addresses);
	RUN(test_resolved);
	return check_done();
}
