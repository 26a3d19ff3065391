/* SPDX-License-Identifier: Apache-2.0 */
#include "report/cells.h"

#include "base/units.h"

void cell_ns(struct grid *grid, int64_t ns)
{
	char text[UNIT_TEXT_SIZE];

	grid_cell(grid, "%s", ns ? unit_format_ns(text, sizeof(text), ns) : "-");
}

void cell_bytes(struct grid *grid, uint64_t bytes)
{
	char text[UNIT_TEXT_SIZE];

	grid_cell(grid, "%s", unit_format_bytes(text, sizeof(text), bytes));
}

void cell_count(struct grid *grid, uint64_t count)
{
	char text[UNIT_TEXT_SIZE];

	grid_cell(grid, "%s", unit_format_count(text, sizeof(text), count));
}

void cell_rate(struct grid *grid, double per_second)
{
	char text[UNIT_TEXT_SIZE];

	grid_cell(grid, "%s", unit_format_rate(text, sizeof(text), per_second));
}

void cell_share(struct grid *grid, double part, double whole)
{
	char text[UNIT_TEXT_SIZE];

	unit_format_percent(text, sizeof(text), part, whole);
	grid_cell(grid, "%s", part != 0 ? text : "-");
}

void cells(struct grid *grid, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		grid_cell(grid, "%s", texts[i]);
}

void grid_put_section(struct grid *grid, const char *title, struct buf *out)
{
	buf_printf(out, "\n%s\n", title);
	grid_put(grid, 2, out);
	grid_release(grid);
}
