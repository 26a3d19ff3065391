/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_ATTRIBUTION_COURSE_H
#define GAIT_ATTRIBUTION_COURSE_H

#include "trace/subsystem.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The course of one request: what it went through, one stretch after the other, each in a row of
 * the breakdown (timeline.csv). attribution/timeline.h is something else: the counters of a thread,
 * from which the sums of a request come without any order.
 *
 * Sums are the law. Where the order is not known, or a sum was corrected by what only the end could
 * tell, course_fit() puts into a course what its rows say.
 */
#define COURSE_MAX 512	 /* stretches that are noted of a request */
#define COURSE_ROOM 1024 /* and with those that fitting makes of them */
#define COURSE_UNATTRIBUTED SUB_COUNT
#define COURSE_ROWS (SUB_COUNT + 1)
#define COURSE_UNKNOWN (-1)

struct stretch {
	int64_t from_ns, until_ns;
	int row; /* enum subsystem, COURSE_UNATTRIBUTED; COURSE_UNKNOWN: nobody knows */
};

struct course {
	struct stretch at[COURSE_ROOM];
	size_t count;
	int64_t from_ns, until_ns; /* of all */
	uint64_t lost; /* stretches there was no room for: from there on all is unknown */
};

/* From then on nothing is known yet. */
void course_begin(struct course *c, int64_t from_ns);

/* What comes next, up to then; what is not later than the last one is nothing. */
void course_add(struct course *c, int64_t until_ns, int row);

/*
 * Makes the stretches of each row as long as rows[] says (unattributed behind the subsystems), which
 * sum up to the course: of a row that has too much the last ones give way, what is unknown is
 * filled in the order of the rows. Returns how many ns were placed so, by their row alone.
 */
int64_t course_fit(const struct course *from, const int64_t rows[COURSE_ROWS],
		   struct course *ret_fitted);

#endif
