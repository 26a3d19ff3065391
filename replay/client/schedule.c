/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/schedule.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* The next one by the clock at `from` or after it. */
static size_t by_the_clock(const struct schedule *s, size_t from)
{
	while (from < s->count && s->times[from].waits)
		from++;
	return from;
}

int schedule_init(struct schedule *s, const struct plan *plan, const struct plan_chains *chains)
{
	*s = (struct schedule){ .chains = chains,
				.count = plan->requests_count,
				.heap_most = plan->connections_count };
	s->heap = calloc(s->heap_most + 1, sizeof(*s->heap));
	s->times = malloc((s->count + 1) * sizeof(*s->times));
	if (!s->heap || !s->times)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++) {
		const struct plan_request *r = &plan->requests[i];
		bool waits = r->after_request != 0;

		s->times[i] = (struct schedule_time){ waits ? r->think_ns : r->due_ns, waits };
	}
	s->next = by_the_clock(s, 0);
	return 0;
}

/* As if it waited for a reply that never comes. */
void schedule_leave_out(struct schedule *s, uint32_t request)
{
	s->times[request].waits = 1;
	s->next = by_the_clock(s, s->next);
}

void schedule_release(struct schedule *s)
{
	free(s->heap);
	free(s->times);
	*s = (struct schedule){ 0 };
}

bool schedule_peek(const struct schedule *s, struct schedule_entry *ret_entry)
{
	bool clock = s->next < s->count;
	int64_t clock_due = clock ? s->times[s->next].ns : INT64_MAX;

	if (s->heap_count && s->heap[0].due_ns < clock_due) {
		*ret_entry = s->heap[0];
		return true;
	}
	*ret_entry = (struct schedule_entry){ clock_due, (uint32_t)s->next };
	return clock;
}

static void heap_up(struct schedule *s, size_t at, struct schedule_entry entry)
{
	for (; at && s->heap[(at - 1) / 2].due_ns > entry.due_ns; at = (at - 1) / 2)
		s->heap[at] = s->heap[(at - 1) / 2];
	s->heap[at] = entry;
}

static void heap_down(struct schedule *s, size_t at, struct schedule_entry entry)
{
	size_t child;

	for (; (child = 2 * at + 1) < s->heap_count; at = child) {
		if (child + 1 < s->heap_count && s->heap[child + 1].due_ns < s->heap[child].due_ns)
			child++;
		if (s->heap[child].due_ns >= entry.due_ns)
			break;
		s->heap[at] = s->heap[child];
	}
	s->heap[at] = entry;
}

void schedule_take(struct schedule *s)
{
	struct schedule_entry entry;

	if (!schedule_peek(s, &entry))
		return;
	if (entry.request == s->next) {
		s->next = by_the_clock(s, s->next + 1);
		return;
	}
	s->heap_count--;
	if (s->heap_count)
		heap_down(s, 0, s->heap[s->heap_count]);
}

void schedule_answered(struct schedule *s, uint32_t request, int64_t at_ns)
{
	uint32_t waiting = s->chains->successor[request];

	if (waiting == PLAN_CHAIN_END)
		return;
	assert(s->heap_count < s->heap_most);
	heap_up(s, s->heap_count++,
		(struct schedule_entry){ at_ns + s->times[waiting].ns, waiting });
}
