/* SPDX-License-Identifier: Apache-2.0 */
#include "report/grid.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define GRID_TEXT_MAX (4UL << 20)
#define CELL_MAX 512

void grid_init(struct grid *grid, const char *alignment)
{
	*grid = (struct grid){ .columns = strlen(alignment) };
	assert(grid->columns && grid->columns <= GRID_COLUMNS_MAX);
	buf_init(&grid->cells, GRID_TEXT_MAX);
	for (size_t i = 0; i < grid->columns; i++)
		grid->left[i] = alignment[i] == 'l';
}

void grid_release(struct grid *grid)
{
	if (grid)
		buf_release(&grid->cells);
}

/* Columns on a terminal: bytes that do not continue a UTF-8 character. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static void make_harmless(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = '?';
	}
}

void grid_cell(struct grid *grid, const char *fmt, ...)
{
	size_t *widest = &grid->widths[grid->count % grid->columns];
	char text[CELL_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	make_harmless(text);
	if (buf_append(&grid->cells, text, strlen(text) + 1))
		return;
	if (text_width(text) > *widest)
		*widest = text_width(text);
	grid->count++;
}

static void put_harmless(struct buf *out, const char *fmt, va_list args)
{
	char text[CELL_MAX];

	vsnprintf(text, sizeof(text), fmt, args);
	make_harmless(text);
	buf_puts(out, text);
}

void grid_put_text(struct buf *out, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_harmless(out, fmt, args);
	va_end(args);
}

void grid_put_line(struct buf *out, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_harmless(out, fmt, args);
	va_end(args);
	buf_putc(out, '\n');
}

void grid_end_row(struct grid *grid)
{
	while (grid->count % grid->columns && !buf_failed(&grid->cells))
		grid_cell(grid, "%s", "");
}

static void put_spaces(struct buf *out, size_t count)
{
	buf_printf(out, "%*s", (int)count, "");
}

/* Spaces wait in *owed until a text follows: no line ends in blanks. */
static void put_cell(const struct grid *grid, size_t column, const char *text, size_t *owed,
		     struct buf *out)
{
	size_t padding = grid->widths[column] - text_width(text);

	if (!grid->left[column])
		*owed += padding;
	if (*text) {
		put_spaces(out, *owed);
		buf_puts(out, text);
		*owed = 0;
	}
	if (grid->left[column])
		*owed += padding;
	*owed += 2;
}

void grid_put(const struct grid *grid, size_t indent, struct buf *out)
{
	const char *text = buf_text(&grid->cells);
	size_t owed = indent;

	for (size_t i = 0; i < grid->count; i++) {
		put_cell(grid, i % grid->columns, text, &owed, out);
		text += strlen(text) + 1;
		if ((i + 1) % grid->columns == 0) {
			buf_putc(out, '\n');
			owed = indent;
		}
	}
}
