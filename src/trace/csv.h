/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_CSV_H
#define GAIT_TRACE_CSV_H

#include "base/err.h"
#include "trace/schema.h"

#include <sys/types.h>

/*
 * Rows to RFC 4180 text and back: memory in, memory out. Inside src/trace;
 * others use trace.h.
 */

/* Longest header or row of a file, unknown columns included. */
#define CSV_ROW_MAX (64 << 10)
#define CSV_COLUMNS_MAX 256

/* The most bytes that csv_format_header() or csv_format_row() write for this table. */
size_t csv_format_max(const struct table *table);

/* Return the bytes written. `run`: with the columns that only runs have. */
size_t csv_format_header(const struct table *table, bool run, char *out);
size_t csv_format_row(const struct table *table, bool run, const void *row, char *out);

/* Where a column of the file goes. */
struct csv_slot {
	const struct column *column; /* NULL: unknown, skipped */
	uint16_t offset;	     /* in the row */
	uint8_t kind;		     /* enum slot_kind in csv_parse.c */
	char end;		     /* what must follow: ',' or '\n' */
};

#define CSV_ROW_SIZE_MAX (sizeof(union row_any))

struct csv_parser {
	const struct table *table;
	const char *file; /* for messages */
	uint64_t line;	  /* of the row to come; the header is line 1 */
	uint32_t slots_count;
	struct csv_slot slots[CSV_COLUMNS_MAX];
	_Alignas(8) char empty_row[CSV_ROW_SIZE_MAX]; /* what absent columns hold */
};

/* `file` is borrowed. */
void csv_parser_init(struct csv_parser *parser, const struct table *table, const char *file);

/*
 * Both return > 0: bytes used; 0: the text ends before the line does, give
 * more; < 0: malformed, with file, line and column in err. The header comes
 * first and decides which column is which.
 *
 * Fields may be quoted, lines may end in "\r\n", a byte order mark may come
 * first: what spreadsheets write is read. Texts too long are cut.
 */
ssize_t csv_parse_header(struct csv_parser *parser, const char *text, size_t len, struct err *err);
ssize_t csv_parse_row(struct csv_parser *parser, const char *text, size_t len, void *row,
		      struct err *err);

#endif
