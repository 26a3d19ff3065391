/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proxy/delay_line.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_OVERHEAD 64 /* the header below and that of malloc() */

struct delay_piece {
	struct delay_piece *next;
	int64_t due_ns;
	size_t taken, len;
	char data[];
};

_Static_assert(sizeof(struct delay_piece) <= PIECE_OVERHEAD, "what a piece costs");

void delay_line_init(struct delay_line *line, uint64_t limit)
{
	*line = (struct delay_line){ .limit = limit,
				     .latest_ns = INT64_MIN,
				     .end_ns = DELAY_LINE_NEVER,
				     .reset_ns = DELAY_LINE_NEVER };
}

static void drop_first(struct delay_line *line)
{
	struct delay_piece *piece = line->first;

	line->charge -= piece->len + PIECE_OVERHEAD;
	line->first = piece->next;
	if (!line->first)
		line->last = NULL;
	free(piece);
}

void delay_line_release(struct delay_line *line)
{
	while (line->first)
		drop_first(line);
	delay_line_init(line, 0);
	line->full = true;
}

size_t delay_line_room(const struct delay_line *line)
{
	uint64_t used = line->charge + PIECE_OVERHEAD;

	return line->full || used >= line->limit ? 0 : line->limit - used;
}

/* Nothing overtakes what is in it. */
static int64_t in_order(struct delay_line *line, int64_t due_ns)
{
	if (line->latest_ns < due_ns)
		line->latest_ns = due_ns;
	return line->latest_ns;
}

int delay_line_put(struct delay_line *line, const void *data, size_t len, int64_t due_ns)
{
	struct delay_piece *piece = malloc(sizeof(*piece) + len);

	assert(len && len <= delay_line_room(line));
	if (!piece)
		return -ENOMEM;
	*piece = (struct delay_piece){ .due_ns = in_order(line, due_ns), .len = len };
	memcpy(piece->data, data, len);
	if (line->last)
		line->last->next = piece;
	else
		line->first = piece;
	line->last = piece;
	line->charge += len + PIECE_OVERHEAD;
	line->full = line->charge + PIECE_OVERHEAD >= line->limit;
	return 0;
}

void delay_line_put_end(struct delay_line *line, int64_t due_ns)
{
	line->end_ns = in_order(line, due_ns);
}

void delay_line_put_reset(struct delay_line *line, int64_t due_ns)
{
	line->reset_ns = in_order(line, due_ns);
}

int64_t delay_line_due_ns(const struct delay_line *line)
{
	if (line->first)
		return line->first->due_ns;
	return line->end_ns != DELAY_LINE_NEVER ? line->end_ns : line->reset_ns;
}

enum delay_line_item delay_line_next(const struct delay_line *line, int64_t now_ns,
				     const void **ret_data, size_t *ret_len)
{
	const struct delay_piece *piece = line->first;

	if (delay_line_due_ns(line) > now_ns)
		return DELAY_LINE_NOTHING;
	if (!piece)
		return line->end_ns != DELAY_LINE_NEVER ? DELAY_LINE_END : DELAY_LINE_RESET;
	*ret_data = piece->data + piece->taken;
	*ret_len = piece->len - piece->taken;
	return DELAY_LINE_BYTES;
}

void delay_line_take(struct delay_line *line, size_t len)
{
	struct delay_piece *piece = line->first;

	assert(piece && len <= piece->len - piece->taken);
	piece->taken += len;
	if (piece->taken < piece->len)
		return;
	drop_first(line);
	if (line->charge <= line->limit / 2)
		line->full = false;
}

void delay_line_take_end(struct delay_line *line)
{
	line->end_ns = DELAY_LINE_NEVER;
}
