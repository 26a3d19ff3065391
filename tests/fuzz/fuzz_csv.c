/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table from outside. The first byte chooses the table, the rest is its text. What is read must
 * be written and read again the same, and reading must not depend on what follows the text.
 */
#include "trace/csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PADDING 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
	if (!held)
		abort();
}

/* A row, written and read again, is the same row. */
static void round_trip(const struct table *table, const void *row)
{
	_Alignas(8) char again[CSV_ROW_SIZE_MAX];
	char *text = malloc(2 * csv_format_max(table));
	struct csv_parser parser;
	struct err err;
	size_t header = csv_format_header(table, true, text);
	size_t len = csv_format_row(table, true, row, text + header);

	csv_parser_init(&parser, table, "again.csv");
	require(csv_parse_header(&parser, text, header, &err) == (ssize_t)header);
	require(csv_parse_row(&parser, text + header, len, again, &err) == (ssize_t)len);
	require(!memcmp(row, again, table->row_size));
	free(text);
}

/* All rows of a text; returns the bytes that whole lines took, and the last answer. */
static size_t parse(const struct table *table, const char *text, size_t len, bool write,
		    ssize_t *ret_last)
{
	_Alignas(8) char row[CSV_ROW_SIZE_MAX];
	struct csv_parser parser;
	struct err err;
	size_t used = 0;
	ssize_t n;

	csv_parser_init(&parser, table, "fuzz.csv");
	n = csv_parse_header(&parser, text, len, &err);
	while (n > 0) {
		used += (size_t)n;
		n = csv_parse_row(&parser, text + used, len - used, row, &err);
		if (n > 0 && write)
			round_trip(table, row);
	}
	*ret_last = n;
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct table *table;
	ssize_t last, padded_last;
	size_t used;
	char *exact, *padded;

	if (!size || size > CSV_ROW_MAX)
		return 0;
	table = &tables[data[0] % TABLE_COUNT];
	size--;
	exact = malloc(size + 1);
	padded = malloc(size + PADDING);
	memcpy(exact, data + 1, size);
	exact = realloc(exact, size ? size : 1);
	memcpy(padded, data + 1, size);
	memset(padded + size, 'x', PADDING);
	used = parse(table, exact, size, true, &last);
	/* with more behind it, at least the same lines are there */
	require(parse(table, padded, size + PADDING, false, &padded_last) >= used);
	require(last >= 0 || padded_last < 0);
	free(exact);
	free(padded);
	return 0;
}
