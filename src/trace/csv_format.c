/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/csv.h"

#include <assert.h>
#include <string.h>

#define NUMBER_MAX 21 /* -9223372036854775808 and a separator */

static const char digit_pairs[] = "00010203040506070809"
				  "10111213141516171819"
				  "20212223242526272829"
				  "30313233343536373839"
				  "40414243444546474849"
				  "50515253545556575859"
				  "60616263646566676869"
				  "70717273747576777879"
				  "80818283848586878889"
				  "90919293949596979899";

static unsigned count_digits(uint64_t value)
{
	static const uint64_t powers[] = {
		0ULL,
		10ULL,
		100ULL,
		1000ULL,
		10000ULL,
		100000ULL,
		1000000ULL,
		10000000ULL,
		100000000ULL,
		1000000000ULL,
		10000000000ULL,
		100000000000ULL,
		1000000000000ULL,
		10000000000000ULL,
		100000000000000ULL,
		1000000000000000ULL,
		10000000000000000ULL,
		100000000000000000ULL,
		1000000000000000000ULL,
		10000000000000000000ULL,
	};
	unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
	unsigned guess = bits * 1233 >> 12; /* bits * log10(2), rounded down */

	return guess + (value >= powers[guess]);
}

static char *put_u64(char *out, uint64_t value)
{
	unsigned digits = value ? count_digits(value) : 1;
	char *at = out + digits;

	while (value >= 100) {
		at -= 2;
		memcpy(at, digit_pairs + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10)
		memcpy(at - 2, digit_pairs + value * 2, 2);
	else
		at[-1] = (char)('0' + value);
	return out + digits;
}

static char *put_i64(char *out, int64_t value)
{
	if (value >= 0)
		return put_u64(out, (uint64_t)value);
	*out++ = '-';
	return put_u64(out, -(uint64_t)value);
}

static char *put_name(char *out, const char *name)
{
	size_t len = strlen(name);

	memcpy(out, name, len);
	return out + len;
}

/* The set bits by name: "direct+dsync". */
static char *put_flags(char *out, const struct column *column, uint32_t flags)
{
	assert(flags >> column->names_count == 0);
	for (unsigned i = 0; flags; i++, flags >>= 1) {
		if (!(flags & 1))
			continue;
		out = put_name(out, column->names[i]);
		if (flags > 1)
			*out++ = '+';
	}
	return out;
}

static char *put_quoted(char *out, const char *text, size_t len)
{
	*out++ = '"';
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			*out++ = '"';
		*out++ = text[i];
	}
	*out++ = '"';
	return out;
}

static char *put_text(char *out, const char *text, size_t size)
{
	size_t len = strnlen(text, size - 1);

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == ',' || c == '"' || c == '\n' || c == '\r')
			return put_quoted(out, text, len);
	}
	memcpy(out, text, len);
	return out + len;
}

static uint32_t load_u32(const char *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static uint64_t load_u64(const char *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static char *put_field(char *out, const struct column *column, const char *from)
{
	uint64_t value;

	switch (column->type) {
	case COLUMN_ID:
		value = load_u64(from);
		return value ? put_u64(out, value) : out;
	case COLUMN_U64:
		return put_u64(out, load_u64(from));
	case COLUMN_I64:
		value = load_u64(from);
		return (int64_t)value == TRACE_NONE ? out : put_i64(out, (int64_t)value);
	case COLUMN_SUM:
		return put_i64(out, (int64_t)load_u64(from));
	case COLUMN_ENUM:
		assert(load_u32(from) < column->names_count);
		return put_name(out, column->names[load_u32(from)]);
	case COLUMN_FLAGS:
		return put_flags(out, column, load_u32(from));
	case COLUMN_BOOL:
		return put_u64(out, load_u32(from) != 0);
	case COLUMN_TEXT:
		return put_text(out, from, column->size);
	}
	assert(!"column type without a format");
	return out;
}

static size_t names_max(const struct column *column)
{
	size_t sum = 0;

	for (unsigned i = 0; i < column->names_count; i++)
		sum += strlen(column->names[i]) + 1;
	return sum;
}

/* The larger of a column's name and its widest value, with a separator. */
static size_t field_max(const struct column *column)
{
	size_t name = strlen(column->name) + 1;
	size_t value = NUMBER_MAX;

	if (column->type == COLUMN_TEXT)
		value = 2 * (size_t)column->size + 3;
	else if (column->names)
		value = names_max(column) + 1;
	return name > value ? name : value;
}

size_t csv_format_max(const struct table *table)
{
	size_t sum = 0;

	for (size_t i = 0; i < table->columns_count; i++)
		sum += field_max(&table->columns[i]);
	return sum;
}

size_t csv_format_header(const struct table *table, bool run, char *out)
{
	char *at = out;

	for (size_t i = 0; i < table->columns_count; i++) {
		if (table->columns[i].run_only && !run)
			continue;
		at = put_name(at, table->columns[i].name);
		*at++ = ',';
	}
	at[-1] = '\n';
	return (size_t)(at - out);
}

size_t csv_format_row(const struct table *table, bool run, const void *row, char *out)
{
	const struct column *column = table->columns;
	const struct column *end = column + table->columns_count;
	char *at = out;

	for (; column < end; column++) {
		if (column->run_only && !run)
			continue;
		at = put_field(at, column, (const char *)row + column->offset);
		*at++ = ',';
	}
	at[-1] = '\n';
	return (size_t)(at - out);
}
