/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/timers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 64

void timers_release(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){ 0 };
}

int timers_reserve(struct timers *timers, size_t more)
{
	size_t capacity = timers->capacity ? timers->capacity : CAPACITY_MIN;
	struct timer **heap;

	while (capacity < timers->reserved + more)
		capacity *= 2;
	if (capacity > timers->capacity) {
		heap = reallocarray(timers->heap, capacity, sizeof(*heap));
		if (!heap)
			return -ENOMEM;
		timers->heap = heap;
		timers->capacity = capacity;
	}
	timers->reserved += more;
	return 0;
}

void timers_unreserve(struct timers *timers, size_t less)
{
	assert(less <= timers->reserved);
	timers->reserved -= less;
}

void timer_init(struct timer *timer)
{
	*timer = (struct timer){ .due_ns = TIMER_NEVER };
}

static void place(struct timers *timers, struct timer *timer, size_t at)
{
	timers->heap[at] = timer;
	timer->index = at;
}

/* Towards the root while it is earlier than what is above. */
static void rise(struct timers *timers, struct timer *timer)
{
	size_t at = timer->index;

	for (; at && timers->heap[(at - 1) / 2]->due_ns > timer->due_ns; at = (at - 1) / 2)
		place(timers, timers->heap[(at - 1) / 2], at);
	place(timers, timer, at);
}

static size_t earlier_child(const struct timers *timers, size_t at)
{
	size_t child = 2 * at + 1;

	if (child + 1 < timers->count &&
	    timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
		child++;
	return child;
}

static void sink(struct timers *timers, struct timer *timer)
{
	size_t at = timer->index, child;

	while ((child = earlier_child(timers, at)) < timers->count &&
	       timers->heap[child]->due_ns < timer->due_ns) {
		place(timers, timers->heap[child], at);
		at = child;
	}
	place(timers, timer, at);
}

static void take_out(struct timers *timers, struct timer *timer)
{
	struct timer *last = timers->heap[--timers->count];

	timer->due_ns = TIMER_NEVER;
	if (last == timer)
		return;
	place(timers, last, timer->index);
	rise(timers, last);
	sink(timers, last);
}

void timers_set(struct timers *timers, struct timer *timer, int64_t due_ns)
{
	if (timer->due_ns == due_ns)
		return;
	if (due_ns == TIMER_NEVER) {
		take_out(timers, timer);
		return;
	}
	if (timer->due_ns == TIMER_NEVER) {
		assert(timers->count < timers->reserved);
		place(timers, timer, timers->count++);
	}
	timer->due_ns = due_ns;
	rise(timers, timer);
	sink(timers, timer);
}

int64_t timers_due_ns(const struct timers *timers)
{
	return timers->count ? timers->heap[0]->due_ns : TIMER_NEVER;
}

struct timer *timers_take(struct timers *timers, int64_t now_ns)
{
	struct timer *first = timers->count ? timers->heap[0] : NULL;

	if (!first || first->due_ns > now_ns)
		return NULL;
	take_out(timers, first);
	return first;
}
