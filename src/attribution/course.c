/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/course.h"

#include <string.h>

void course_begin(struct course *c, int64_t from_ns)
{
	c->count = 0;
	c->lost = 0;
	c->from_ns = c->until_ns = from_ns;
}

static void append(struct course *c, size_t most, int64_t until_ns, int row)
{
	struct stretch *last = c->count ? &c->at[c->count - 1] : NULL;

	if (until_ns <= c->until_ns)
		return;
	if (last && c->count == most) {
		c->lost++;
		last->row = COURSE_UNKNOWN;
		last->until_ns = until_ns;
	} else if (last && last->row == row) {
		last->until_ns = until_ns;
	} else {
		c->at[c->count++] = (struct stretch){ c->until_ns, until_ns, row };
	}
	c->until_ns = until_ns;
}

void course_add(struct course *c, int64_t until_ns, int row)
{
	append(c, COURSE_MAX, until_ns, row);
}

/* Of each row, what the course has more than it should: < 0, what it lacks. */
static void find_excess(const struct course *c, const int64_t rows[COURSE_ROWS],
			int64_t ret_excess[COURSE_ROWS])
{
	for (size_t i = 0; i < COURSE_ROWS; i++)
		ret_excess[i] = -rows[i];
	for (size_t i = 0; i < c->count; i++)
		if (c->at[i].row != COURSE_UNKNOWN)
			ret_excess[c->at[i].row] += c->at[i].until_ns - c->at[i].from_ns;
}

/* Time of which only the row is known, into the first rows that lack some. */
static void fill(struct course *into, int64_t excess[COURSE_ROWS], int64_t ns)
{
	for (int row = 0; row < COURSE_ROWS && ns > 0; row++) {
		int64_t part = -excess[row] < ns ? -excess[row] : ns;

		if (part <= 0)
			continue;
		append(into, COURSE_ROOM, into->until_ns + part, row);
		excess[row] += part;
		ns -= part;
	}
	append(into, COURSE_ROOM, into->until_ns + ns, COURSE_UNATTRIBUTED);
}

/* How much of each stretch gives way; of a row that has too much it is the last ones. */
static void find_moved(const struct course *c, int64_t excess[COURSE_ROWS],
		       int64_t ret_moved[COURSE_MAX])
{
	for (size_t i = c->count; i-- > 0;) {
		const struct stretch *s = &c->at[i];
		int64_t length_ns = s->until_ns - s->from_ns, over_ns;

		ret_moved[i] = length_ns;
		if (s->row == COURSE_UNKNOWN)
			continue;
		over_ns = excess[s->row] > 0 ? excess[s->row] : 0;
		ret_moved[i] = over_ns < length_ns ? over_ns : length_ns;
		excess[s->row] -= ret_moved[i];
	}
}

int64_t course_fit(const struct course *from, const int64_t rows[COURSE_ROWS],
		   struct course *ret_fitted)
{
	int64_t excess[COURSE_ROWS], moved[COURSE_MAX], placed_ns = 0;

	course_begin(ret_fitted, from->from_ns);
	ret_fitted->lost = from->lost;
	find_excess(from, rows, excess);
	find_moved(from, excess, moved);
	for (size_t i = 0; i < from->count; i++) {
		const struct stretch *s = &from->at[i];

		if (s->row != COURSE_UNKNOWN)
			append(ret_fitted, COURSE_ROOM, s->until_ns - moved[i], s->row);
		fill(ret_fitted, excess, moved[i]);
		placed_ns += moved[i];
	}
	return placed_ns;
}
