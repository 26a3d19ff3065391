/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/source.h"

#include <errno.h>
#include <stdlib.h>

/*
 * When does the service's loop answer? One that reads all that is there and answers
 * at the end of the pass (Redis) reads the next request before it writes this one's
 * reply; one that answers each at once (nginx) leaves the next unread until then,
 * though it had come. Neighbours on a thread tell, the majority decides.
 */
struct neighbours {
	uint64_t deferred, at_once;
};

struct reading_of {
	uint32_t thread;
	const struct row_request *row;
};

static int compare_readings(const void *a, const void *b)
{
	const struct reading_of *x = a, *y = b;

	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	return (x->row->read_ns > y->row->read_ns) - (x->row->read_ns < y->row->read_ns);
}

static void compare_neighbours(const struct reading_of *this, const struct reading_of *next,
			       struct neighbours *ret)
{
	int64_t write_ns = this->row->write_ns;

	if (this->thread != next->thread || write_ns == TRACE_NONE ||
	    next->row->read_ns == TRACE_NONE)
		return;
	ret->deferred += next->row->read_ns < write_ns;
	ret->at_once += next->row->read_ns >= write_ns &&
			next->row->arrival_ns < this->row->read_ns;
}

int plan_find_structure(struct planner *p, struct err *err)
{
	size_t count = p->plan->requests_count;
	struct reading_of *readings = malloc((count + 1) * sizeof(*readings));
	struct neighbours neighbours = { 0 };

	if (!readings)
		return err_errno(err, ENOMEM, "cannot hold %zu requests", count);
	for (size_t i = 0; i < count; i++)
		readings[i] =
			(struct reading_of){ idmap_get(&p->threads, p->origins[i].row->thread_id),
					     p->origins[i].row };
	qsort(readings, count, sizeof(*readings), compare_readings);
	for (size_t i = 0; i + 1 < count; i++)
		compare_neighbours(&readings[i], &readings[i + 1], &neighbours);
	p->defers_replies = neighbours.deferred > neighbours.at_once;
	free(readings);
	return 0;
}
