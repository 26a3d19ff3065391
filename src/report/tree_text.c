/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "report/grid.h"
#include "report/summary_text.h"
#include "report/tree.h"

#include <inttypes.h>
#include <stdio.h>

static const char *name_of(const struct summary *s, uint64_t service_id,
			   char name[SUMMARY_NAME_SIZE])
{
	for (size_t i = 0; i < s->services_count; i++)
		if (s->services[i].row.service_id == service_id)
			return summary_service_name(s, &s->services[i], name);
	snprintf(name, SUMMARY_NAME_SIZE, "service %" PRIu64, service_id);
	return name;
}

static int64_t mean_ns(int64_t ns, uint64_t requests)
{
	return requests ? ns / (int64_t)requests : 0;
}

/* As a mean over the root's requests, and as a share of their time. */
static void cell_band(struct grid *grid, const struct tree *tree, const struct tree_place *place,
		      int band, int64_t ns)
{
	const struct tree_place *root = &tree->places[place->root];
	int64_t mean = mean_ns(ns, root->bands[band].requests);
	char text[UNIT_TEXT_SIZE];

	if (!mean) {
		grid_cell(grid, "-");
		grid_cell(grid, "-");
		return;
	}
	grid_cell(grid, "%s", unit_format_ns(text, sizeof(text), mean));
	grid_cell(grid, "%s",
		  unit_format_percent(text, sizeof(text), (double)ns, (double)root->root_ns[band]));
}

/* Not a nanosecond a request in any band. */
static bool is_silent(const struct tree *tree, const struct tree_place *place, int subsystem)
{
	const struct summary_band *of = tree->places[place->root].bands;

	for (int band = 0; band < BAND_COUNT; band++)
		if (mean_ns(place->bands[band].ns[subsystem], of[band].requests))
			return false;
	return true;
}

static void put_place(const struct tree *tree, const struct tree_place *place,
		      const struct summary *s, struct grid *grid)
{
	int indent = 2 * (int)place->depth;
	char name[SUMMARY_NAME_SIZE];

	grid_cell(grid, "%*s%s", indent, "", name_of(s, place->service_id, name));
	for (int band = 0; band < BAND_COUNT; band++)
		cell_band(grid, tree, place, band, place->bands[band].total_ns);
	grid_cell(grid,
		  place->depth ? "its own time on the path, and the wire to it" : "its own time");
	for (int i = 0; i < SUB_COUNT; i++) {
		if (is_silent(tree, place, i))
			continue;
		grid_cell(grid, "%*s  %s", indent, "", subsystems[i].name);
		for (int band = 0; band < BAND_COUNT; band++)
			cell_band(grid, tree, place, band, place->bands[band].ns[i]);
		grid_cell(grid, "%s", subsystems[i].text);
	}
	grid_cell(grid, "%*s  unattributed", indent, "");
	for (int band = 0; band < BAND_COUNT; band++)
		cell_band(grid, tree, place, band, place->bands[band].unattributed_ns);
	grid_end_row(grid);
}

/* Callers before whom they call. */
static void put_below(const struct tree *tree, uint32_t place, const struct summary *s,
		      struct grid *grid)
{
	put_place(tree, &tree->places[place], s, grid);
	for (uint32_t i = place + 1; i < tree->places_count; i++)
		if (tree->places[i].above == place)
			put_below(tree, i, s, grid);
}

static void put_root(const struct tree *tree, uint32_t place, const struct summary *s,
		     struct buf *out)
{
	const struct tree_place *root = &tree->places[place];
	char name[SUMMARY_NAME_SIZE], text[UNIT_TEXT_SIZE];
	struct grid grid;

	grid_init(&grid, "lrrrrrrl");
	grid_cell(&grid, "mean per request of %s", name_of(s, root->service_id, name));
	for (int band = 0; band < BAND_COUNT; band++) {
		grid_cell(&grid, "%s", summary_band_names[band]);
		grid_cell(&grid, "share");
	}
	grid_end_row(&grid);
	put_below(tree, place, s, &grid);
	grid_cell(&grid, "total");
	for (int band = 0; band < BAND_COUNT; band++)
		cell_band(&grid, tree, root, band, root->root_ns[band]);
	grid_end_row(&grid);
	grid_cell(&grid, "requests");
	for (int band = 0; band < BAND_COUNT; band++) {
		grid_cell(&grid, "%s",
			  unit_format_count(text, sizeof(text), root->bands[band].requests));
		grid_cell(&grid, "%s", "");
	}
	grid_end_row(&grid);
	grid_put_line(out, "tree of %s: what it called in place of its calls",
		      name_of(s, root->service_id, name));
	grid_put(&grid, 2, out);
	grid_release(&grid);
}

static void put_clocks(const struct tree_clocks *clocks, const struct manifest *m, struct buf *out)
{
	char offset[UNIT_TEXT_SIZE], bound[UNIT_TEXT_SIZE];
	uint64_t a = clocks->a < m->hosts_count ? m->hosts[clocks->a].host_id : 0;
	uint64_t b = clocks->b < m->hosts_count ? m->hosts[clocks->b].host_id : 0;

	buf_printf(out, "  clocks of hosts %" PRIu64 " and %" PRIu64 ": ", a, b);
	if (!clocks->good)
		buf_printf(out, "no bound by %" PRIu64 " calls, so round trips alone are used\n",
			   clocks->bounds.count);
	else
		buf_printf(out, "%s apart, off by %s at most, by %" PRIu64 " calls\n",
			   unit_format_ns(offset, sizeof(offset), clocks->line.offset_ns),
			   unit_format_ns(bound, sizeof(bound), clocks->line.bound_ns),
			   clocks->bounds.count);
}

static void put_counts(const struct tree *tree, struct buf *out)
{
	char waits[UNIT_TEXT_SIZE], replaced[UNIT_TEXT_SIZE], beside[UNIT_TEXT_SIZE];

	buf_printf(out, "  %s of %s calls are replaced; %s requests beside the path do not count\n",
		   unit_format_count(replaced, sizeof(replaced), tree->calls.waits_replaced),
		   unit_format_count(waits, sizeof(waits), tree->calls.waits),
		   unit_format_count(beside, sizeof(beside), tree->calls.beside));
}

void tree_put_text(const struct tree *tree, const struct summary *s, const struct manifest *m,
		   struct buf *out)
{
	if (tree->too_large)
		buf_puts(out, "\nno tree: too many requests and calls to hold in memory\n");
	for (uint32_t i = 0; i < tree->places_count; i++) {
		if (tree->places[i].above != CALL_TREE_NONE)
			continue;
		buf_putc(out, '\n');
		put_root(tree, i, s, out);
	}
	if (!tree->places_count)
		return;
	put_counts(tree, out);
	for (size_t i = 0; i < tree->calls.clocks_count; i++)
		put_clocks(&tree->calls.clocks[i], m, out);
}
