/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/call_split.h"

#include "trace/schema.h"

#include <stdbool.h>
#include <stdlib.h>

int64_t call_scale(int64_t ns, int64_t part, int64_t whole)
{
	return (int64_t)((__int128)ns * part / whole);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool has_clock(const struct callee *c)
{
	return c->arrival_ns != TRACE_NONE && c->end_ns != TRACE_NONE;
}

/* The last end first; of equal ones the longest. */
static int by_end(const void *a, const void *b)
{
	const struct call_wait *x = a, *y = b;

	if (x->end_ns != y->end_ns)
		return x->end_ns > y->end_ns ? -1 : 1;
	return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

/* Returns how long the path is through all waits together. */
static int64_t cut_path(struct call_wait *waits, size_t count)
{
	int64_t at = INT64_MAX, sum = 0;

	for (size_t i = 0; i < count; i++) {
		struct call_wait *w = &waits[i];

		w->callee = CALL_NONE;
		w->part_ns = most(least(w->end_ns, at) - w->start_ns, 0);
		at = least(at, w->start_ns);
		sum += w->part_ns;
	}
	return sum;
}

/* How well a request fits a wait: the more the better, -1 not at all. */
static int fit(const struct callee *c, const struct call_wait *w, size_t waits_count)
{
	int same = w->service && w->service == c->service;
	int64_t slack = c->bound_ns;

	if (!has_clock(c))
		return same || waits_count == 1 ? same : -1;
	if (c->arrival_ns < w->start_ns - slack || c->arrival_ns > w->end_ns + slack)
		return -1;
	return same + 2 * (c->arrival_ns >= w->start_ns && c->arrival_ns <= w->end_ns);
}

/*
 * Waits that fit alike take turns, the earliest first: callees come by arrival. Without a common
 * clock that would be a guess.
 */
static size_t choose_wait(const struct callee *c, const struct call_wait *waits, size_t count,
			  const uint16_t *taken)
{
	size_t best = CALL_NONE, alike = 0;
	int best_fit = -1;

	for (size_t i = count; i-- > 0;) { /* they are sorted by their end, backwards */
		int here = fit(c, &waits[i], count);

		alike = here > best_fit ? 1 : alike + (here == best_fit);
		if (here > best_fit || (here >= 0 && here == best_fit && taken[i] < taken[best])) {
			best_fit = here;
			best = i;
		}
	}
	return has_clock(c) || alike == 1 ? best : CALL_NONE;
}

static void give_callees(const struct call_wait *waits, size_t waits_count, struct callee *callees,
			 size_t count)
{
	uint16_t taken[CALL_WAITS_MAX] = { 0 };

	for (size_t i = 0; i < count; i++) {
		callees[i].wait = choose_wait(&callees[i], waits, waits_count, taken);
		callees[i].taken_ns = callees[i].wire_ns = 0;
		if (callees[i].wait != CALL_NONE)
			taken[callees[i].wait]++;
	}
}

/* Whether a ended the wait rather than b. */
static bool ends_rather(const struct callee *a, const struct callee *b, int64_t end_ns)
{
	if (a->end_ns <= end_ns || b->end_ns <= end_ns)
		return a->end_ns <= end_ns && (b->end_ns > end_ns || a->end_ns > b->end_ns);
	return a->end_ns < b->end_ns;
}

/* It may have ended the wait: it did not end after it, by its end or at least by its length. */
static bool may_end(const struct callee *c, const struct call_wait *w, bool clocks)
{
	if (clocks)
		return c->end_ns <= w->end_ns + c->bound_ns + CALL_STAMP_NS;
	return c->total_ns <= w->end_ns - w->start_ns;
}

/* Callees of the wait have stamps by the caller's clock, all of them. */
static bool all_have_clocks(size_t wait, const struct callee *callees, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (callees[i].wait == wait && !has_clock(&callees[i]))
			return false;
	return true;
}

static size_t find_ender(const struct call_wait *w, size_t wait, bool clocks,
			 const struct callee *callees, size_t count)
{
	size_t best = CALL_NONE;

	for (size_t i = 0; i < count; i++) {
		const struct callee *c = &callees[i];

		if (c->wait != wait || !may_end(c, w, clocks))
			continue;
		if (best == CALL_NONE || (clocks ? ends_rather(c, &callees[best], w->end_ns) :
						   c->total_ns > callees[best].total_ns))
			best = i;
	}
	return best;
}

static int64_t first_arrival(size_t wait, const struct callee *callees, size_t count)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (callees[i].wait == wait)
			first = least(first, callees[i].arrival_ns);
	return first;
}

/* Gives its callee what it can of the part; returns what stays a call. */
static int64_t take_part(struct call_wait *w, size_t wait, int64_t call_ns, struct callee *callees,
			 size_t count)
{
	bool clocks = all_have_clocks(wait, callees, count);
	int64_t until_ns = w->start_ns + w->part_ns, late_ns = 0;
	struct callee *c;

	w->callee = w->part_ns > 0 ? find_ender(w, wait, clocks, callees, count) : CALL_NONE;
	if (w->callee == CALL_NONE || callees[w->callee].total_ns <= 0)
		return call_ns;
	c = &callees[w->callee];
	c->taken_ns = least(c->total_ns, w->part_ns);
	if (clocks && until_ns < w->end_ns) /* something else ended what comes behind */
		c->taken_ns = least(c->taken_ns, most(until_ns - c->arrival_ns, 0));
	if (clocks)
		late_ns = most(least(c->arrival_ns, until_ns) -
				       most(first_arrival(wait, callees, count), w->start_ns),
			       0);
	c->taken_ns = least(c->taken_ns, call_ns);
	c->wire_ns = most(call_ns - c->taken_ns - late_ns, 0);
	return call_ns - c->taken_ns - c->wire_ns;
}

int64_t call_split(int64_t call_ns, struct call_wait *waits, size_t waits_count,
		   struct callee *callees, size_t callees_count)
{
	int64_t path_ns, shared_ns, left_ns;

	if (waits_count > CALL_WAITS_MAX || callees_count > CALL_CALLEES_MAX)
		waits_count = 0;
	qsort(waits, waits_count, sizeof(waits[0]), by_end);
	path_ns = cut_path(waits, waits_count);
	give_callees(waits, waits_count, callees, callees_count);
	if (path_ns <= 0 || call_ns <= 0)
		return call_ns;
	shared_ns = least(call_ns, path_ns);
	left_ns = call_ns;
	for (size_t i = 0; i < waits_count; i++) {
		int64_t here_ns = call_scale(waits[i].part_ns, shared_ns, path_ns);

		left_ns -= here_ns;
		left_ns += take_part(&waits[i], i, here_ns, callees, callees_count);
	}
	return left_ns;
}
