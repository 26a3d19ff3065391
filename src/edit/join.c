/* SPDX-License-Identifier: Apache-2.0 */
#include "edit/join.h"

#include <errno.h>
#include <stdlib.h>

/* A request in the caller's time, and the calls that it could be, from the front and the back. */
struct place {
	int64_t start_ns, end_ns;
	uint32_t first, last;
};

/* Between two pairs: calls and requests [from, to) without a mate. */
struct gap {
	size_t calls_from, calls_to;
	size_t requests_from, requests_to;
};

struct work {
	struct join *join;
	struct place *places;
	int64_t slack_ns;
};

typedef void (*gap_fn)(struct work *w, const struct gap *gap);

int64_t join_clock_of_request(const struct join_clock *clock, int64_t ns)
{
	if (!clock->line)
		return ns;
	return clock->caller_is_a ? clock_line_to_a(clock->line, ns) :
				    clock_line_to_b(clock->line, ns);
}

void join_close_calls(struct join_message *calls, size_t count)
{
	int64_t end_ns = INT64_MAX;

	for (size_t i = count; i > 0; i--) {
		if (!calls[i - 1].in_bytes)
			calls[i - 1].end_ns = end_ns;
		end_ns = calls[i - 1].end_ns;
	}
}

static bool ends_before(int64_t end_ns, int64_t ns, int64_t slack_ns)
{
	return end_ns < INT64_MAX - slack_ns && end_ns + slack_ns < ns;
}

static bool nests(const struct join_message *call, const struct place *place, int64_t slack_ns)
{
	return call->start_ns <= place->start_ns + slack_ns &&
	       !ends_before(call->end_ns, place->end_ns, slack_ns);
}

/* A caller that did not wait for the reply cannot say how long it was. */
static bool same_bytes(const struct join_message *call, uint64_t out_bytes, uint64_t in_bytes)
{
	return call->out_bytes == out_bytes && (!call->in_bytes || call->in_bytes == in_bytes);
}

static bool may_be(const struct work *w, size_t call, size_t request)
{
	const struct join_message *c = &w->join->calls[call], *r = &w->join->requests[request];

	return nests(c, &w->places[request], w->slack_ns) &&
	       same_bytes(c, r->out_bytes, r->in_bytes);
}

static void pair(struct work *w, size_t call, size_t request, bool doubtful)
{
	struct join_message *c = &w->join->calls[call], *r = &w->join->requests[request];

	r->mate = (uint32_t)call;
	r->doubtful = doubtful;
	if (c->mate == JOIN_NONE)
		c->mate = (uint32_t)request;
	c->doubtful = doubtful;
}

/* Each request in its order takes the first call that it can be. */
static void assign_first(struct work *w, const struct gap *gap)
{
	const struct join_message *calls = w->join->calls;
	size_t from = gap->calls_from;

	for (size_t r = gap->requests_from; r < gap->requests_to; r++) {
		struct place *p = &w->places[r];

		p->first = JOIN_NONE;
		while (from < gap->calls_to &&
		       ends_before(calls[from].end_ns, p->end_ns, w->slack_ns))
			from++;
		for (size_t c = from; c < gap->calls_to && p->first == JOIN_NONE; c++) {
			if (calls[c].start_ns > p->start_ns + w->slack_ns)
				break;
			if (may_be(w, c, r))
				p->first = (uint32_t)c;
		}
		if (p->first != JOIN_NONE)
			from = p->first + 1;
	}
}

/* The same from the back. */
static void assign_last(struct work *w, const struct gap *gap)
{
	const struct join_message *calls = w->join->calls;
	size_t to = gap->calls_to;

	for (size_t r = gap->requests_to; r > gap->requests_from; r--) {
		struct place *p = &w->places[r - 1];

		p->last = JOIN_NONE;
		while (to > gap->calls_from && calls[to - 1].start_ns > p->start_ns + w->slack_ns)
			to--;
		for (size_t c = to; c > gap->calls_from && p->last == JOIN_NONE; c--) {
			if (ends_before(calls[c - 1].end_ns, p->end_ns, w->slack_ns))
				break;
			if (may_be(w, c - 1, r - 1))
				p->last = (uint32_t)(c - 1);
		}
		if (p->last != JOIN_NONE)
			to = p->last;
	}
}

/* Certain is what both ways agree on: the call, or at least who made it. */
static void pair_certain(struct work *w, const struct gap *gap)
{
	const struct join_message *calls = w->join->calls;

	assign_first(w, gap);
	assign_last(w, gap);
	for (size_t r = gap->requests_from; r < gap->requests_to; r++) {
		const struct place *p = &w->places[r];

		if (p->first == JOIN_NONE || p->last == JOIN_NONE)
			continue;
		if (p->first == p->last ||
		    (calls[p->first].request_id &&
		     calls[p->first].request_id == calls[p->last].request_id))
			pair(w, p->first, r, false);
	}
}

/* No other call of the gap can have caused it: the calls beside this one are too far away. */
static bool is_only_call(const struct work *w, const struct gap *gap, size_t call, size_t request)
{
	const struct join_message *calls = w->join->calls;
	const struct place *p = &w->places[request];

	if (call > gap->calls_from && nests(&calls[call - 1], p, w->slack_ns))
		return false;
	return call + 1 >= gap->calls_to || !nests(&calls[call + 1], p, w->slack_ns);
}

/* The requests [from, to) all lie in this call and in no other. */
static void pair_group(struct work *w, size_t call, size_t from, size_t to)
{
	uint64_t out = 0, in = 0;
	bool same;

	for (size_t r = from; r < to; r++) {
		out += w->join->requests[r].out_bytes;
		in += w->join->requests[r].in_bytes;
	}
	same = same_bytes(&w->join->calls[call], out, in);
	if (!same && to - from != 1)
		return;
	for (size_t r = from; r < to; r++)
		pair(w, call, r, !same);
}

static void pair_by_time(struct work *w, const struct gap *gap)
{
	const struct join_message *calls = w->join->calls;
	size_t r = gap->requests_from;

	for (size_t c = gap->calls_from; c < gap->calls_to; c++) {
		size_t from;

		while (r < gap->requests_to &&
		       w->places[r].start_ns + w->slack_ns < calls[c].start_ns)
			r++;
		from = r;
		while (r < gap->requests_to && nests(&calls[c], &w->places[r], w->slack_ns) &&
		       is_only_call(w, gap, c, r))
			r++;
		if (r > from)
			pair_group(w, c, from, r);
	}
}

/* Calls fn for what lies between the pairs there are. */
static void each_gap(struct work *w, gap_fn fn)
{
	const struct join *j = w->join;
	struct gap gap = { 0, 0, 0, 0 };

	for (size_t r = 0; r <= j->requests_count; r++) {
		bool end = r == j->requests_count;
		size_t mate = end ? JOIN_NONE : j->requests[r].mate;

		if (!end && mate == JOIN_NONE)
			continue;
		gap.calls_to = end ? j->calls_count : mate;
		gap.requests_to = r;
		if (gap.calls_to > gap.calls_from && gap.requests_to > gap.requests_from)
			fn(w, &gap);
		gap.calls_from = mate + 1;
		gap.requests_from = r + 1;
	}
}

static int begin(struct work *w, struct join *j)
{
	w->join = j;
	w->slack_ns = j->slack_ns;
	w->places = calloc(j->requests_count + 1, sizeof(*w->places));
	if (!w->places)
		return -ENOMEM;
	for (size_t i = 0; i < j->requests_count; i++) {
		w->places[i].start_ns = join_clock_of_request(&j->clock, j->requests[i].start_ns);
		w->places[i].end_ns = join_clock_of_request(&j->clock, j->requests[i].end_ns);
		j->requests[i].mate = JOIN_NONE;
	}
	for (size_t i = 0; i < j->calls_count; i++)
		j->calls[i].mate = JOIN_NONE;
	return 0;
}

int join_certain(struct join *j)
{
	struct work w;

	if (begin(&w, j))
		return -ENOMEM;
	each_gap(&w, pair_certain);
	free(w.places);
	return 0;
}

int join_all(struct join *j)
{
	struct work w;

	if (begin(&w, j))
		return -ENOMEM;
	each_gap(&w, pair_certain);
	w.slack_ns += JOIN_STAMP_NS;
	each_gap(&w, pair_certain);
	each_gap(&w, pair_by_time);
	free(w.places);
	return 0;
}
