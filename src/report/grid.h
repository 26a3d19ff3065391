/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_GRID_H
#define GAIT_REPORT_GRID_H

#include "base/buf.h"

#include <stdbool.h>

/*
 * Text in aligned columns, for people: collect cells, then put them. Columns
 * are as wide as their widest cell. What comes from a trace may hold anything:
 * control characters are replaced by '?' so that they reach no terminal.
 */
#define GRID_COLUMNS_MAX 16

struct grid {
	struct buf cells; /* texts, each with its '\0' */
	size_t columns, count;
	size_t widths[GRID_COLUMNS_MAX];
	bool left[GRID_COLUMNS_MAX];
};

/* One letter a column: 'l' left, 'r' right. */
void grid_init(struct grid *grid, const char *alignment);
void grid_release(struct grid *grid);

/* The next cell; rows fill from left to right. */
void grid_cell(struct grid *grid, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Empty cells up to the end of the row. */
void grid_end_row(struct grid *grid);

/* What is in no column, made as harmless as the cells; and a whole line of it. */
void grid_put_text(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void grid_put_line(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Each line begins with `indent` spaces; columns are two spaces apart. */
void grid_put(const struct grid *grid, size_t indent, struct buf *out);

#endif
