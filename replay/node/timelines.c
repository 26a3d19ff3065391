/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/timelines.h"

#include <stdlib.h>
#include <string.h>

struct timelines *timelines_new(struct spool *spool, struct ledger *ledger)
{
	struct timelines *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ledger = ledger;
	spool_writer_init(&t->to, spool);
	return t;
}

void timelines_tell(struct timelines *t, const struct meter *meter, const struct account *account,
		    const struct route *route, const struct wire_row *row)
{
	int64_t from_ns = row->arrival_ns ? row->arrival_ns : row->read_ns;
	int64_t rows[COURSE_ROWS];

	if (!meter->slot)
		return;
	memcpy(rows, row->ns, sizeof(row->ns));
	rows[COURSE_UNATTRIBUTED] = row->unattributed_ns;
	steps_course(&t->steps, route, account, from_ns, row->end_ns, &t->course);
	t->ledger->count[LG_TIMELINE_PLACED_NS] +=
		(uint64_t)course_fit(&t->course, rows, &t->fitted);
	t->ledger->count[LG_TIMELINE_LOST] += t->course.lost;
	for (size_t i = 0; i < t->fitted.count; i++) {
		struct wire_stretch stretch = {
			.root_id = row->root_id,
			.request_id = row->request_id,
			.from_ns = t->fitted.at[i].from_ns,
			.until_ns = t->fitted.at[i].until_ns,
			.row = (uint32_t)t->fitted.at[i].row,
			.thread = row->thread,
			.call = row->call,
		};

		spool_add(&t->to, &stretch);
	}
}

void timelines_end(struct timelines *t)
{
	t->ledger->count[LG_TIMELINE_LOST] += t->steps.lost;
	t->steps.lost = 0;
	spool_writer_end(&t->to);
}
