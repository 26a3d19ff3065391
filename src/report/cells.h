/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_CELLS_H
#define GAIT_REPORT_CELLS_H

#include "report/grid.h"

#include <stdint.h>

/* The next cell of a grid, in the units that people read. */
void cell_ns(struct grid *grid, int64_t ns); /* no time at all reads better as a dash */
void cell_bytes(struct grid *grid, uint64_t bytes);
void cell_count(struct grid *grid, uint64_t count);
void cell_rate(struct grid *grid, double per_second);
void cell_share(struct grid *grid, double part, double whole);

void cells(struct grid *grid, const char *const *texts, size_t count);
#define CELLS(grid, ...)                                  \
	cells(grid, (const char *const[]){ __VA_ARGS__ }, \
	      sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* A heading and the table under it; releases the grid. */
void grid_put_section(struct grid *grid, const char *title, struct buf *out);

#endif
