/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_EDIT_ROWS_H
#define GAIT_EDIT_ROWS_H

#include "base/clock_offset.h"
#include "trace/schema.h"

/* Which columns hold ids, and of what, and which hold times: all that moving a row needs to know. */
enum id_space {
	IDS_SERVICE,
	IDS_CONNECTION,
	IDS_CLASS,
	IDS_REQUEST,
	IDS_OP,
	IDS_TARGET,
	IDS_COUNT
};

/* Raises each largest[] to the ids of that kind in the row, its own and those it refers to. */
void rows_note_ids(enum trace_table table, const void *row, uint64_t largest[IDS_COUNT]);

/* A trace's times to those of another: its clock's reading at its start, that clock, the new 0. */
struct rows_clock {
	int64_t start_ns;
	const struct clock_line *line; /* NULL: it is the clock of the new trace */
	int64_t origin_ns;	       /* of the new trace, on its own clock */
};

int64_t rows_time(const struct rows_clock *clock, int64_t ns);

/* Adds first[] to ids (0 stays: it refers to nothing), and moves times (TRACE_NONE stays). */
void rows_move(enum trace_table table, void *row, const uint64_t first[IDS_COUNT],
	       const struct rows_clock *clock);

/* Times and the sums of a few of them fit into 64 bits: 36 years. */
#define ROWS_TIME_MAX (1LL << 60)
bool rows_times_are_sane(enum trace_table table, const void *row);

#endif
