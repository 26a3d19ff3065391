/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/units.h"

#include <errno.h>

typedef int (*parse_fn)(const char *text, uint64_t *ret_value, struct err *err);

static const struct {
	parse_fn parse;
	const char *text;
	uint64_t value;
} good[] = {
	{ unit_parse_duration, "0", 0 },
	{ unit_parse_duration, "5", 5000000000 },
	{ unit_parse_duration, "250ns", 250 },
	{ unit_parse_duration, "1us", 1000 },
	{ unit_parse_duration, "2ms", 2000000 },
	{ unit_parse_duration, "1.5ms", 1500000 },
	{ unit_parse_duration, "0.000001s", 1000 },
	{ unit_parse_duration, "5s", 5000000000 },
	{ unit_parse_duration, "3m", 180000000000 },
	{ unit_parse_duration, "3min", 180000000000 },
	{ unit_parse_duration, "1h", 3600000000000 },
	{ unit_parse_duration, "9223372036854775807ns", INT64_MAX },
	{ unit_parse_bytes, "512", 512 },
	{ unit_parse_bytes, "512B", 512 },
	{ unit_parse_bytes, "4k", 4096 },
	{ unit_parse_bytes, "4K", 4096 },
	{ unit_parse_bytes, "4KiB", 4096 },
	{ unit_parse_bytes, "0.5k", 512 },
	{ unit_parse_bytes, "1M", 1048576 },
	{ unit_parse_bytes, "2GiB", 2147483648 },
	{ unit_parse_bytes, "1T", 1099511627776 },
	{ unit_parse_bytes, "18446744073709551615", UINT64_MAX },
	{ unit_parse_rate, "500", 500 },
	{ unit_parse_rate, "500/s", 500 },
	{ unit_parse_rate, "10k", 10000 },
	{ unit_parse_rate, "10k/s", 10000 },
	{ unit_parse_rate, "1.5M/s", 1500000 },
	{ unit_parse_factor, "2", 2000 },
	{ unit_parse_factor, "0.125x", 125 },
	{ unit_parse_requests, "500requests", 500 },
	{ unit_parse_requests, "1.5k requests", 1500 },
};

static void test_parse(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct err err = { "" };
		uint64_t value = 1;

		check_case("%s", good[i].text);
		CHECK_EQ(good[i].parse(good[i].text, &value, &err), 0);
		CHECK(value == good[i].value);
	}
}

static const struct {
	parse_fn parse;
	const char *text;
	int code;
	const char *sentence;
} bad[] = {
	{ unit_parse_duration, "", EINVAL,
	  "'' is not a duration; write for example 2ms, 1.5s, 250us" },
	{ unit_parse_duration, "fast", EINVAL,
	  "'fast' is not a duration; write for example 2ms, 1.5s, 250us" },
	{ unit_parse_duration, "5 s", EINVAL,
	  "'5 s' is not a duration; write for example 2ms, 1.5s, 250us" },
	{ unit_parse_duration, "-5s", EINVAL,
	  "'-5s' is not a duration; write for example 2ms, 1.5s, 250us" },
	{ unit_parse_duration, "5.s", EINVAL,
	  "'5.s' is not a duration; write for example 2ms, 1.5s, 250us" },
	{ unit_parse_duration, ".5s", EINVAL,
	  "'.5s' is not a duration; write for example 2ms, 1.5s, 250us" },
	{ unit_parse_duration, "0.5ns", EINVAL, "'0.5ns' is finer than this unit goes" },
	{ unit_parse_duration, "1.0000000000000000000s", EINVAL,
	  "'1.0000000000000000000s' is finer than this unit goes" },
	{ unit_parse_duration, "9223372036854775808ns", ERANGE,
	  "'9223372036854775808ns' is too large" },
	{ unit_parse_duration, "99999999999h", ERANGE, "'99999999999h' is too large" },
	{ unit_parse_bytes, "4 apples", EINVAL,
	  "'4 apples' is not a size; write for example 4k, 512, 1MiB" },
	{ unit_parse_bytes, "18446744073709551616", ERANGE,
	  "'18446744073709551616' is too large" },
	{ unit_parse_bytes, "16777216T", ERANGE, "'16777216T' is too large" },
	{ unit_parse_factor, "0.0001", EINVAL, "'0.0001' is finer than this unit goes" },
	{ unit_parse_requests, "500", EINVAL,
	  "'500' is not a number of requests; write for example 500requests, '10k requests'" },
	{ unit_parse_rate, "10k/h", EINVAL,
	  "'10k/h' is not a rate; write for example 500, 10k/s, 1.5M" },
};

static void test_complaints(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { "" };
		uint64_t value = 23;

		check_case("%s", bad[i].text);
		CHECK_EQ(bad[i].parse(bad[i].text, &value, &err), -bad[i].code);
		CHECK_STR(err.text, bad[i].sentence);
		CHECK_EQ(value, 23); /* results only on success */
	}
}

static void test_limits(void)
{
	struct err err = { "" };
	uint64_t value = 23;

	CHECK_EQ(unit_parse_u64("1", 1, 64, &value, &err), 0);
	CHECK_EQ(value, 1);
	CHECK_EQ(unit_parse_u64("64", 1, 64, &value, &err), 0);
	CHECK_EQ(value, 64);
	CHECK_EQ(unit_parse_u64("0", 1, 64, &value, &err), -ERANGE);
	CHECK_EQ(unit_parse_u64("65", 1, 64, &value, &err), -ERANGE);
	CHECK_STR(err.text, "'65' is not within 1 .. 64");
	CHECK_EQ(unit_parse_u64("18446744073709551616", 0, UINT64_MAX, &value, &err), -ERANGE);
	CHECK_EQ(unit_parse_u64("6k", 0, 64, &value, &err), -EINVAL);
	CHECK_EQ(unit_parse_u64("", 0, 64, &value, &err), -EINVAL);
	CHECK_EQ(value, 64);
}

static const struct {
	const char *text;
	const char *host; /* NULL: refused */
	int port;
} endpoints[] = {
	{ "localhost:80", "localhost", 80 },
	{ "10.0.0.1:65535", "10.0.0.1", 65535 },
	{ "[::1]:80", "::1", 80 },
	{ "[fe80::1%eth0]:0", "fe80::1%eth0", 0 },
	{ ":8080", "", 8080 },
	{ "localhost", NULL, 0 },
	{ "localhost:", NULL, 0 },
	{ "localhost:65536", NULL, 0 },
	{ "localhost:http", NULL, 0 },
	{ "::1:80", NULL, 0 },
	{ "[::1]", NULL, 0 },
	{ "[::1:80", NULL, 0 },
	{ "[::1]80", NULL, 0 },
	{ "", NULL, 0 },
};

static void test_endpoints(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
		char host[UNIT_HOST_SIZE] = "untouched";
		uint16_t port = 23;
		int rc = unit_parse_endpoint(endpoints[i].text, host, &port, NULL);

		check_case("%s", endpoints[i].text);
		CHECK_EQ(rc, endpoints[i].host ? 0 : -EINVAL);
		CHECK_STR(host, endpoints[i].host ? endpoints[i].host : "untouched");
		CHECK_EQ(port, endpoints[i].host ? endpoints[i].port : 23);
	}
}

static void test_long_host_is_refused(void)
{
	char text[UNIT_HOST_SIZE + 10], host[UNIT_HOST_SIZE];
	uint16_t port;

	memset(text, 'h', UNIT_HOST_SIZE);
	strcpy(text + UNIT_HOST_SIZE, ":80");
	CHECK_EQ(unit_parse_endpoint(text, host, &port, NULL), -ERANGE);
	CHECK_EQ(unit_parse_endpoint(text + 1, host, &port, NULL), 0);
	CHECK_EQ(strlen(host), UNIT_HOST_SIZE - 1);
}

static void test_format(void)
{
	char text[UNIT_TEXT_SIZE];

	static const struct {
		int64_t ns;
		const char *text;
	} times[] = {
		{ 0, "0 ns" },
		{ 7, "7 ns" },
		{ 999, "999 ns" },
		{ 1000, "1 us" },
		{ 1234, "1.23 us" },
		{ 999499, "999 us" },
		{ 999600, "1.00 ms" },
		{ 1230000, "1.23 ms" },
		{ 12340000, "12.3 ms" },
		{ 2000000, "2 ms" },
		{ 60000000000, "60 s" },
		{ -1500, "-1.50 us" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		CHECK_STR(unit_format_ns(text, sizeof(text), times[i].ns), times[i].text);
	unit_format_ns(text, sizeof(text), INT64_MIN); /* fits */
	CHECK_STR(unit_format_bytes(text, sizeof(text), 512), "512 B");
	CHECK_STR(unit_format_bytes(text, sizeof(text), 4096), "4 KiB");
	CHECK_STR(unit_format_bytes(text, sizeof(text), 1536), "1.50 KiB");
	CHECK_STR(unit_format_bytes(text, sizeof(text), UINT64_MAX), "16777216 TiB");
	CHECK_STR(unit_format_rate(text, sizeof(text), 12345), "12.3 k/s");
	CHECK_STR(unit_format_rate(text, sizeof(text), 9.2), "9.20/s");
	CHECK_STR(unit_format_percent(text, sizeof(text), 1, 8), "12.5%");
	CHECK_STR(unit_format_percent(text, sizeof(text), 8, 8), "100%");
	CHECK_STR(unit_format_percent(text, sizeof(text), 1, 0), "-");
}

static void test_format_count(void)
{
	char text[UNIT_TEXT_SIZE], small[6];

	CHECK_STR(unit_format_count(text, sizeof(text), 0), "0");
	CHECK_STR(unit_format_count(text, sizeof(text), 999), "999");
	CHECK_STR(unit_format_count(text, sizeof(text), 1000), "1,000");
	CHECK_STR(unit_format_count(text, sizeof(text), 1234567), "1,234,567");
	CHECK_STR(unit_format_count(text, sizeof(text), UINT64_MAX), "18,446,744,073,709,551,615");
	unit_format_count(small, sizeof(small), UINT64_MAX); /* stays within */
	CHECK(strlen(small) < sizeof(small));
}

int main(void)
{
	RUN(test_parse);
	RUN(test_complaints);
	RUN(test_limits);
	RUN(test_endpoints);
	RUN(test_long_host_is_refused);
	RUN(test_format);
	RUN(test_format_count);
	return check_done();
}
