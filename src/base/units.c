/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

struct quantity {
	const char *what;	 /* "a duration" */
	const char *examples;	 /* what to write instead */
	const struct unit *units; /* ends with a NULL name */
};

static const struct unit duration_units[] = {
	{ "", 1000000000 },
	{ "ns", 1 },
	{ "us", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000 },
	{ "m", 60000000000 },
	{ "min", 60000000000 },
	{ "h", 3600000000000 },
	{ NULL, 0 },
};

static const struct unit byte_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "k", 1ULL << 10 },
	{ "K", 1ULL << 10 },
	{ "kB", 1ULL << 10 },
	{ "KB", 1ULL << 10 },
	{ "KiB", 1ULL << 10 },
	{ "m", 1ULL << 20 },
	{ "M", 1ULL << 20 },
	{ "MB", 1ULL << 20 },
	{ "MiB", 1ULL << 20 },
	{ "g", 1ULL << 30 },
	{ "G", 1ULL << 30 },
	{ "GB", 1ULL << 30 },
	{ "GiB", 1ULL << 30 },
	{ "T", 1ULL << 40 },
	{ "TB", 1ULL << 40 },
	{ "TiB", 1ULL << 40 },
	{ NULL, 0 },
};

static const struct unit rate_units[] = {
	{ "", 1 },
	{ "/s", 1 },
	{ "k", 1000 },
	{ "k/s", 1000 },
	{ "M", 1000000 },
	{ "M/s", 1000000 },
	{ NULL, 0 },
};

static const struct unit multiple_units[] = {
	{ "", 1000 },
	{ "x", 1000 },
	{ NULL, 0 },
};

static const struct unit request_units[] = {
	{ "requests", 1 },
	{ " requests", 1 },
	{ "k requests", 1000 },
	{ "M requests", 1000000 },
	{ NULL, 0 },
};

static const struct quantity duration = { "a duration", "2ms, 1.5s, 250us", duration_units };
static const struct quantity size = { "a size", "4k, 512, 1MiB", byte_units };
static const struct quantity rate = { "a rate", "500, 10k/s, 1.5M", rate_units };
static const struct quantity multiple = { "a factor", "2, 0.5, 1.25x", multiple_units };
static const struct quantity request_count = { "a number of requests",
					       "500requests, '10k requests'", request_units };

/* Digits at *at: moves *at behind them. False when the value does not fit. */
static bool take_digits(const char **at, uint64_t *value)
{
	const char *p = *at;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
			return false;
	}
	*at = p;
	return true;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++) {
		if (!strcmp(units->name, name))
			return units;
	}
	return NULL;
}

/* 10^digits must divide what it scales: "1.5ms" yes, "0.5ns" no. */
static bool scale_fraction(uint64_t fraction, size_t digits, uint64_t factor, uint64_t *ret_value)
{
	uint64_t divisor = 1;
	unsigned __int128 scaled = (unsigned __int128)fraction * factor;

	if (digits > 18)
		return false;
	while (digits--)
		divisor *= 10;
	*ret_value = (uint64_t)(scaled / divisor);
	return scaled % divisor == 0;
}

static int not_a(const struct quantity *quantity, const char *text, struct err *err)
{
	return err_set(err, EINVAL, "'%s' is not %s; write for example %s", text, quantity->what,
		       quantity->examples);
}

static int too_large(const char *text, struct err *err)
{
	return err_set(err, ERANGE, "'%s' is too large", text);
}

static int parse_quantity(const struct quantity *quantity, const char *text, uint64_t *ret_value,
			  struct err *err)
{
	uint64_t whole = 0, fraction = 0, part = 0, value;
	const char *at = text, *point;
	const struct unit *unit;
	size_t digits = 0;

	if (*at < '0' || *at > '9')
		return not_a(quantity, text, err);
	if (!take_digits(&at, &whole))
		return too_large(text, err);
	if (*at == '.') {
		point = ++at;
		if (!take_digits(&at, &fraction) || at == point)
			return not_a(quantity, text, err);
		digits = (size_t)(at - point);
	}
	unit = find_unit(quantity->units, at);
	if (!unit)
		return not_a(quantity, text, err);
	if (!scale_fraction(fraction, digits, unit->factor, &part))
		return err_set(err, EINVAL, "'%s' is finer than this unit goes", text);
	if (__builtin_mul_overflow(whole, unit->factor, &value) ||
	    __builtin_add_overflow(value, part, &value))
		return too_large(text, err);
	*ret_value = value;
	return 0;
}

int unit_parse_duration(const char *text, uint64_t *ret_ns, struct err *err)
{
	uint64_t ns;
	int rc = parse_quantity(&duration, text, &ns, err);

	if (rc)
		return rc;
	if (ns > INT64_MAX) /* times are int64_t everywhere else */
		return too_large(text, err);
	*ret_ns = ns;
	return 0;
}

int unit_parse_bytes(const char *text, uint64_t *ret_bytes, struct err *err)
{
	return parse_quantity(&size, text, ret_bytes, err);
}

int unit_parse_rate(const char *text, uint64_t *ret_per_second, struct err *err)
{
	return parse_quantity(&rate, text, ret_per_second, err);
}

int unit_parse_factor(const char *text, uint64_t *ret_milli, struct err *err)
{
	return parse_quantity(&multiple, text, ret_milli, err);
}

int unit_parse_requests(const char *text, uint64_t *ret_requests, struct err *err)
{
	return parse_quantity(&request_count, text, ret_requests, err);
}

int unit_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value,
		   struct err *err)
{
	const char *at = text;
	uint64_t value = 0;
	bool fits = take_digits(&at, &value);

	if (fits && (at == text || *at))
		return err_set(err, EINVAL, "'%s' is not a whole number", text);
	if (!fits || value < min || value > max)
		return err_set(err, ERANGE, "'%s' is not within %" PRIu64 " .. %" PRIu64, text, min,
			       max);
	*ret_value = value;
	return 0;
}

/* Where the host ends and the port begins; NULL when there is no port. */
static const char *split_endpoint(const char *text, const char **ret_host, size_t *ret_len)
{
	const char *colon = strrchr(text, ':');

	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (!close || close[1] != ':')
			return NULL;
		*ret_host = text + 1;
		*ret_len = (size_t)(close - text) - 1;
		return close + 2;
	}
	/* two colons and no brackets: an IPv6 address whose port is anyone's guess */
	if (!colon || strchr(text, ':') != colon)
		return NULL;
	*ret_host = text;
	*ret_len = (size_t)(colon - text);
	return colon + 1;
}

int unit_parse_endpoint(const char *text, char ret_host[UNIT_HOST_SIZE], uint16_t *ret_port,
			struct err *err)
{
	const char *host, *port_text;
	uint64_t port;
	size_t len;

	port_text = split_endpoint(text, &host, &len);
	if (!port_text)
		return err_set(err, EINVAL,
			       "'%s' is not HOST:PORT; write for example 10.0.0.1:80 or [::1]:80",
			       text);
	if (len >= UNIT_HOST_SIZE)
		return err_set(err, ERANGE, "the host name in '%s' is too long", text);
	if (unit_parse_u64(port_text, 0, UINT16_MAX, &port, NULL))
		return err_set(err, EINVAL, "the port in '%s' is not within 0 .. 65535", text);
	memcpy(ret_host, host, len);
	ret_host[len] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

struct scale {
	double factor;
	const char *name;
};

static const struct scale time_scales[] = {
	{ 1e9, " s" }, { 1e6, " ms" }, { 1e3, " us" }, { 1, " ns" }, { 0, NULL },
};

static const struct scale byte_scales[] = {
	{ 1ULL << 40, " TiB" }, { 1 << 30, " GiB" }, { 1 << 20, " MiB" },
	{ 1 << 10, " KiB" },	{ 1, " B" },	     { 0, NULL },
};

static const struct scale rate_scales[] = {
	{ 1e6, " M/s" }, { 1e3, " k/s" }, { 1, "/s" }, { 0, NULL },
};

/* Three significant digits, and no ".00" behind what is whole anyway. */
static char *format_scaled(char *text, size_t text_size, double value, const struct scale *scales)
{
	double scaled;
	int decimals;

	/* 999.6 us is 1.00 ms, not 1000 us: hence the half digit */
	while (scales[1].name && fabs(value) < scales->factor * 0.9995)
		scales++;
	scaled = value / scales->factor;
	decimals = fabs(scaled) < 9.995 ? 2 : fabs(scaled) < 99.95 ? 1 : 0;
	if (decimals && scaled == (double)(int)scaled)
		decimals = 0;
	snprintf(text, text_size, "%.*f%s", decimals, scaled, scales->name);
	return text;
}

char *unit_format_ns(char *text, size_t text_size, int64_t ns)
{
	return format_scaled(text, text_size, (double)ns, time_scales);
}

char *unit_format_bytes(char *text, size_t text_size, uint64_t bytes)
{
	return format_scaled(text, text_size, (double)bytes, byte_scales);
}

char *unit_format_rate(char *text, size_t text_size, double per_second)
{
	return format_scaled(text, text_size, per_second, rate_scales);
}

char *unit_format_count(char *text, size_t text_size, uint64_t count)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	size_t used = 0;

	for (int i = 0; i < len && used + 2 < text_size; i++) {
		if (i && (len - i) % 3 == 0)
			text[used++] = ',';
		text[used++] = digits[i];
	}
	text[used] = '\0';
	return text;
}

char *unit_format_percent(char *text, size_t text_size, double part, double whole)
{
	double percent = whole > 0 ? 100 * part / whole : 0;

	if (whole <= 0)
		snprintf(text, text_size, "-");
	else
		snprintf(text, text_size, "%.*f%%", fabs(percent) < 99.95 ? 1 : 0, percent);
	return text;
}
