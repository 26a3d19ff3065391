/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spec_form.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_MAX 64  /* characters */
#define PLAIN_MAX 1e15 /* of numbers with a sign */

struct suffix {
	const char *name;
	double factor;
};

static const struct suffix time_suffixes[] = {
	{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { NULL, 0 },
};

static const struct suffix byte_suffixes[] = {
	{ "b", 1 },	    { "k", 1e3 },      { "kb", 1e3 },	   { "m", 1e6 },
	{ "mb", 1e6 },	    { "g", 1e9 },      { "gb", 1e9 },	   { "ki", 1 << 10 },
	{ "kib", 1 << 10 }, { "mi", 1 << 20 }, { "mib", 1 << 20 }, { "gi", 1 << 30 },
	{ "gib", 1 << 30 }, { NULL, 0 },
};

static const struct suffix count_suffixes[] = {
	{ "k", 1e3 },	   { "m", 1e6 },      { "g", 1e9 }, { "ki", 1 << 10 },
	{ "mi", 1 << 20 }, { "gi", 1 << 30 }, { NULL, 0 },
};

static const struct {
	const struct suffix *suffixes;
	double bare_factor;
	const char *base; /* the suffix whose factor is 1 */
} units[] = {
	[SPEC_NS] = { time_suffixes, 1e3, "ns" },
	[SPEC_BYTES] = { byte_suffixes, 1, "" },
	[SPEC_COUNT] = { count_suffixes, 1, "" },
};

double spec_default_factor(enum spec_unit unit)
{
	return units[unit].bare_factor;
}

const char *spec_base_suffix(enum spec_unit unit)
{
	return units[unit].base;
}

double spec_unit_factor(enum spec_unit unit, const char *name, size_t len)
{
	for (const struct suffix *s = units[unit].suffixes; s->name; s++) {
		if (strlen(s->name) == len && !strncasecmp(s->name, name, len))
			return s->factor;
	}
	return 0;
}

static size_t count_digits(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] >= '0' && text[n] <= '9')
		n++;
	return n;
}

/* [-]DIGITS[.DIGITS][e[+-]DIGITS] at the start of text, or .DIGITS; 0: there is none. */
static size_t number_length(const char *text, size_t len)
{
	size_t n = len && text[0] == '-', digits = count_digits(text + n, len - n), more, sign;

	n += digits;
	if (n < len && text[n] == '.') {
		more = count_digits(text + n + 1, len - n - 1);
		digits += more;
		n += more + 1;
	}
	if (!digits)
		return 0;
	if (n < len && (text[n] == 'e' || text[n] == 'E')) {
		sign = n + 1 < len && (text[n + 1] == '+' || text[n + 1] == '-');
		more = count_digits(text + n + 1 + sign, len - n - 1 - sign);
		n += more ? 1 + sign + more : 0;
	}
	return n;
}

/* strtod() knows more than we take (inf, hex), so it sees only what number_length() let through. */
int spec_number(const char *text, size_t len, enum spec_unit unit, double bare_factor,
		double *ret_value)
{
	size_t digits = number_length(text, len);
	char number[NUMBER_MAX + 1];
	double factor = bare_factor, value;

	if (!digits || digits > NUMBER_MAX)
		return -EINVAL;
	if (digits < len)
		factor = spec_unit_factor(unit, text + digits, len - digits);
	if (!factor)
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	value = strtod(number, NULL) * factor;
	if (!(value <= (double)SPEC_VALUE_MAX && value >= -PLAIN_MAX))
		return -ERANGE;
	*ret_value = value;
	return 0;
}
