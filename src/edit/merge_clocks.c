/* SPDX-License-Identifier: Apache-2.0 */
/* From calls between two hosts to how their clocks relate, and from pairs of hosts to host 0. */
#include "edit/merge_state.h"

#include <errno.h>
#include <stdlib.h>

#define SAMPLE_CALLS 512 /* enough for a first guess, over so short a time that drift is none */
#define SAMPLE_INTERVALS (1 << 20) /* of a first guess: 48 MiB */

#define AGAINST_MAX 0.2

/* The calls of two hosts, and the stretch of time that is looked at, on a's clock. */
struct look {
	struct merge *m;
	uint32_t a, b;
	int64_t guess_ns; /* a - b, by wall clocks */
	int64_t from_ns, to_ns;
};

typedef int (*call_fn)(struct look *look, const struct end *out, const struct join_message *call,
		       void *arg);

static bool is_between(const struct look *look, const struct end *out)
{
	uint32_t caller, called;

	if (!out->outgoing || out->mate == JOIN_NONE)
		return false;
	caller = look->m->inputs[out->input].host;
	called = look->m->inputs[look->m->ends[out->mate].input].host;
	return (caller == look->a && called == look->b) || (caller == look->b && called == look->a);
}

static bool caller_is_a(const struct look *look, const struct end *out)
{
	return look->m->inputs[out->input].host == look->a;
}

/* By the guess, of a call from b. */
static int64_t start_on_a(const struct look *look, const struct end *out, int64_t start_ns)
{
	return caller_is_a(look, out) ? start_ns : start_ns + look->guess_ns;
}

/* Index of the first message that begins at ns or later. */
static size_t first_at(const struct join_message *messages, size_t count, int64_t ns)
{
	size_t from = 0, to = count;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (messages[middle].start_ns < ns)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* ns - by, without overflow: the stretch may be all time. */
static int64_t earlier(int64_t ns, int64_t by_ns)
{
	int64_t result;

	if (__builtin_sub_overflow(ns, by_ns, &result))
		return by_ns > 0 ? INT64_MIN : INT64_MAX;
	return result;
}

/* Calls of one connection within the stretch: they are in order, so they are neighbours. */
static void calls_within(const struct look *look, const struct end *out, size_t *ret_from,
			 size_t *ret_to)
{
	const struct join_message *calls = look->m->messages + out->first;
	int64_t to_a_ns = caller_is_a(look, out) ? 0 : look->guess_ns;

	*ret_from = first_at(calls, out->count, earlier(look->from_ns, to_a_ns));
	*ret_to = look->to_ns == INT64_MAX ?
			  out->count :
			  first_at(calls, out->count, earlier(look->to_ns, to_a_ns));
}

static int each_call(struct look *look, call_fn fn, void *arg)
{
	const struct merge *m = look->m;

	for (const struct end *out = m->ends; out < m->ends + m->ends_count; out++) {
		size_t from, to;

		if (!is_between(look, out))
			continue;
		calls_within(look, out, &from, &to);
		for (size_t i = from; i < to; i++) {
			int rc = fn(look, out, &m->messages[out->first + i], arg);

			if (rc)
				return rc;
		}
	}
	return 0;
}

struct extent {
	int64_t from_ns, to_ns;
	uint64_t count;
};

static int on_extent(struct look *look, const struct end *out, const struct join_message *call,
		     void *arg)
{
	struct extent *extent = arg;
	int64_t ns = start_on_a(look, out, call->start_ns);

	if (!extent->count++)
		extent->from_ns = extent->to_ns = ns;
	extent->from_ns = ns < extent->from_ns ? ns : extent->from_ns;
	extent->to_ns = ns > extent->to_ns ? ns : extent->to_ns;
	return 0;
}

static struct extent extent_of(struct look *look)
{
	struct extent extent = { 0, 0, 0 };

	each_call(look, on_extent, &extent);
	return extent;
}

/* The offset a - b that the two messages allow if the one became the other. */
static struct clock_interval allowed(bool from_a, const struct join_message *call,
				     const struct join_message *request)
{
	const bool whole = call->in_bytes && request->in_bytes;

	if (from_a)
		return (struct clock_interval){
			call->start_ns - request->start_ns,
			whole ? call->end_ns - request->end_ns : INT64_MAX,
		};
	return (struct clock_interval){
		whole ? request->end_ns - call->end_ns : INT64_MIN,
		request->start_ns - call->start_ns,
	};
}

struct sample {
	struct clock_interval *intervals;
	size_t count;
	int64_t slack_ns;
};

/* All requests that the call could have become if the wall clocks are off by up to the slack. */
static int on_sample(struct look *look, const struct end *out, const struct join_message *call,
		     void *arg)
{
	const struct end *in = &look->m->ends[out->mate];
	const struct join_message *requests = look->m->messages + in->first;
	const bool from_a = caller_is_a(look, out);
	const int64_t to_caller_ns = from_a ? look->guess_ns : -look->guess_ns;
	struct sample *sample = arg;

	size_t first =
		first_at(requests, in->count, call->start_ns - to_caller_ns - sample->slack_ns);

	for (size_t i = first; i < in->count && sample->count < SAMPLE_INTERVALS; i++) {
		int64_t late_ns = requests[i].start_ns + to_caller_ns - call->start_ns;
		struct clock_interval interval = allowed(from_a, call, &requests[i]);

		if (late_ns > sample->slack_ns)
			break;
		if (requests[i].out_bytes != call->out_bytes ||
		    requests[i].in_bytes != call->in_bytes || interval.low_ns > interval.high_ns ||
		    interval.low_ns == INT64_MIN || interval.high_ns == INT64_MAX)
			continue;
		sample->intervals[sample->count++] = interval;
	}
	return 0;
}

/* A stretch around the middle of the calls with about SAMPLE_CALLS in it. */
static void choose_sample(struct look *look, const struct extent *all)
{
	int64_t middle_ns = all->from_ns + (all->to_ns - all->from_ns) / 2;
	int64_t half_ns = (all->to_ns - all->from_ns) / 2 + 1;

	while (half_ns > 1) {
		look->from_ns = middle_ns - half_ns / 2;
		look->to_ns = middle_ns + half_ns / 2;
		if (extent_of(look).count < SAMPLE_CALLS)
			break;
		half_ns /= 2;
	}
	look->from_ns = middle_ns - half_ns;
	look->to_ns = middle_ns + half_ns;
}

static int guess_offset(struct look *look, struct clock_line *ret_line)
{
	struct sample sample = { .slack_ns = look->m->opts->clock_slack_ns };
	struct clock_interval agreed = { 0, 0 };
	int votes;

	if (!look->m->hosts[look->a].has_wall || !look->m->hosts[look->b].has_wall)
		sample.slack_ns = ROWS_TIME_MAX;
	sample.intervals = calloc(SAMPLE_INTERVALS, sizeof(*sample.intervals));
	if (!sample.intervals)
		return merge_no_memory(look->m);
	each_call(look, on_sample, &sample);
	votes = clock_agreement(sample.intervals, sample.count, look->guess_ns, &agreed);
	free(sample.intervals);
	if (votes < 0)
		return merge_no_memory(look->m);
	*ret_line = (struct clock_line){
		.at_ns = look->from_ns + (look->to_ns - look->from_ns) / 2,
		.offset_ns = agreed.low_ns + (agreed.high_ns - agreed.low_ns) / 2,
		.bound_ns = (agreed.high_ns - agreed.low_ns) / 2 + 1,
	};
	return votes;
}

/* The requests that j's calls may have become. */
static void requests_within(const struct look *look, const struct end *in, struct join *j)
{
	struct join_message *requests = look->m->messages + in->first;
	int64_t offset_ns = j->clock.line->offset_ns * (j->clock.caller_is_a ? 1 : -1);
	/* the line may lean by this much between its middle and the ends of the stretch */
	int64_t slack_ns =
		j->slack_ns + (int64_t)(CLOCK_DRIFT_MAX * (double)(look->to_ns - look->from_ns));
	int64_t last_ns = j->calls[j->calls_count - 1].end_ns;
	size_t from =
		first_at(requests, in->count, earlier(j->calls[0].start_ns, offset_ns + slack_ns));
	size_t to = last_ns == INT64_MAX ? in->count :
					   first_at(requests, in->count,
						    earlier(last_ns, offset_ns - slack_ns) + 1);

	j->requests = requests + from;
	j->requests_count = to - from;
}

/* What the certain pairs of one connection within the stretch say. */
static int add_bounds(struct look *look, const struct end *out, const struct clock_line *line,
		      int64_t slack_ns, struct clock_bounds *bounds)
{
	const struct end *in = &look->m->ends[out->mate];
	const bool from_a = caller_is_a(look, out);
	struct join j = { .clock = { line, from_a }, .slack_ns = slack_ns };
	size_t from, to;

	calls_within(look, out, &from, &to);
	j.calls = look->m->messages + out->first + from;
	j.calls_count = to - from;
	if (from == to)
		return 0;
	requests_within(look, in, &j);
	if (join_certain(&j))
		return merge_no_memory(look->m);
	for (size_t i = 0; i < j.requests_count; i++) {
		const struct join_message *request = &j.requests[i], *call;

		if (request->mate == JOIN_NONE)
			continue;
		call = &j.calls[request->mate];
		clock_bounds_add(bounds, from_a ? call->start_ns : request->start_ns,
				 allowed(from_a, call, request));
	}
	return 0;
}

/* What all certain pairs of the stretch say, that are at most slack_ns away from the pair's line. */
static int fit_stretch(struct look *look, int64_t slack_ns, const struct clock_line *line,
		       struct host_pair *ret)
{
	struct clock_bounds bounds;
	int rc = 0;

	clock_bounds_init(&bounds, look->from_ns, look->to_ns);
	for (const struct end *out = look->m->ends;
	     out < look->m->ends + look->m->ends_count && !rc; out++) {
		if (is_between(look, out))
			rc = add_bounds(look, out, line, slack_ns, &bounds);
	}
	ret->line = *line;
	ret->fit = clock_bounds_fit(&bounds, &ret->line);
	ret->calls = bounds.count;
	ret->against = 0;
	return rc;
}

/*
 * A better line; the old one stays when there are too few calls. Where requests were lost, a few
 * calls are taken for their neighbours, and contradict the others: they are left out by staying
 * closer to the line, which true pairs may lose, but never be wrong by. It is the clocks that
 * contradict when that leaves out more than AGAINST_MAX of the calls.
 */
static int refine(struct look *look, int64_t slack_ns, struct host_pair *pair)
{
	struct host_pair all, some;
	int rc = fit_stretch(look, slack_ns, &pair->line, &all);

	some = all;
	while (!rc && some.fit == CLOCK_INCONSISTENT && slack_ns > 0) {
		slack_ns /= 2;
		rc = fit_stretch(look, slack_ns, &pair->line, &some);
	}
	if (rc || all.fit == CLOCK_UNBOUNDED)
		return rc;
	some.against = all.calls - some.calls;
	*pair = some.fit != CLOCK_UNBOUNDED &&
				some.against <= (uint64_t)(AGAINST_MAX * (double)all.calls) ?
			some :
			all;
	return 0;
}

/*
 * A first guess from a short stretch, where clocks cannot drift; then stretches twice as long, each
 * with the line of the one before. That line is off by at most four times its bound over twice its
 * length, so calls that are further apart than this are not taken for each other.
 */
static int find_line(struct look *look, struct host_pair *pair)
{
	struct extent all;
	int64_t slack_ns;
	int rc;

	look->from_ns = INT64_MIN;
	look->to_ns = INT64_MAX;
	all = extent_of(look);
	if (!all.count)
		return 0;
	choose_sample(look, &all);
	rc = guess_offset(look, &pair->line);
	if (rc <= 0)
		return rc;
	slack_ns = pair->line.bound_ns +
		   (int64_t)(CLOCK_DRIFT_MAX * (double)(look->to_ns - look->from_ns));
	for (;;) {
		rc = refine(look, slack_ns, pair);
		if (rc || (look->from_ns <= all.from_ns && look->to_ns >= all.to_ns))
			break;
		look->from_ns -= (look->to_ns - look->from_ns) / 2;
		look->to_ns += (look->to_ns - look->from_ns) / 3;
		slack_ns = 4 * pair->line.bound_ns;
	}
	/* what is looked at is one more time over all of it, with its own line */
	return rc ? rc : refine(look, 2 * pair->line.bound_ns, pair);
}

struct join_clock merge_clock_of(const struct merge *m, uint32_t caller, uint32_t called,
				 int64_t *ret_slack_ns)
{
	uint32_t from = m->inputs[caller].host, to = m->inputs[called].host;
	const struct host_pair *pair = &m->pairs[from < to ? from : to][from < to ? to : from];

	*ret_slack_ns = 0;
	if (from == to)
		return (struct join_clock){ NULL, true };
	*ret_slack_ns = pair->line.bound_ns;
	return (struct join_clock){ &pair->line, from < to };
}

/* Before anything is known: the wall clocks, and the slack that the user gives them. */
static void guess_pair(struct merge *m, uint32_t a, uint32_t b)
{
	bool walls = m->hosts[a].has_wall && m->hosts[b].has_wall;

	m->pairs[a][b] = (struct host_pair){
		.fit = CLOCK_UNBOUNDED,
		.line = { .offset_ns = m->hosts[b].guess_ns - m->hosts[a].guess_ns,
			  .bound_ns = walls ? m->opts->clock_slack_ns : ROWS_TIME_MAX },
	};
}

static int find_pair(struct merge *m, uint32_t a, uint32_t b)
{
	struct look look = { .m = m, .a = a, .b = b };

	look.guess_ns = m->pairs[a][b].line.offset_ns;
	return find_line(&look, &m->pairs[a][b]);
}

static struct clock_line reversed(const struct clock_line *line)
{
	return (struct clock_line){
		.at_ns = line->at_ns - line->offset_ns,
		.offset_ns = -line->offset_ns,
		.drift = -line->drift,
		.bound_ns = line->bound_ns,
	};
}

/* x to y by way of their lines: offsets add up, and so do bounds. */
static struct clock_line chained(const struct clock_line *to_first, const struct clock_line *step)
{
	return (struct clock_line){
		.at_ns = clock_line_to_a(to_first, step->at_ns),
		.offset_ns =
			step->offset_ns + (clock_line_to_a(to_first, step->at_ns) - step->at_ns),
		.drift = to_first->drift + step->drift,
		.bound_ns = to_first->bound_ns + step->bound_ns,
	};
}

/* The line with A: placed host p, B: h; false: they have no calls between them. */
static bool line_between(const struct merge *m, uint32_t p, uint32_t h, struct clock_line *ret)
{
	const struct host_pair *pair = &m->pairs[p < h ? p : h][p < h ? h : p];

	if (pair->fit == CLOCK_UNBOUNDED)
		return false;
	*ret = p < h ? pair->line : reversed(&pair->line);
	return true;
}

static void describe(struct merge *m, uint32_t p, uint32_t h, const struct clock_line *line)
{
	const struct host_pair *pair = &m->pairs[p < h ? p : h][p < h ? h : p];
	const struct host *host = &m->hosts[h], *via = &m->hosts[p];

	m->hosts[h].how = (struct merge_clock){
		.host_id = h + 1,
		.via = p + 1,
		.how = MERGE_CLOCK_CALLS,
		.fit = pair->fit,
		.line = *line,
		.wall_ahead_ns = host->has_wall && via->has_wall ?
					 host->wall_ns - via->wall_ns - line->offset_ns :
					 TRACE_NONE,
		.calls = pair->calls,
		.against = pair->against,
	};
}

/* The host that is best known next: the shortest way to host 0 by bounds, as Dijkstra walks. */
static bool place_next(struct merge *m)
{
	uint32_t best = 0, best_via = 0;
	struct clock_line best_line = { .bound_ns = INT64_MAX }, best_step = { 0 };

	for (uint32_t h = 1; h < m->hosts_count; h++) {
		for (uint32_t p = 0; p < m->hosts_count && !m->hosts[h].placed; p++) {
			struct clock_line step, line;

			if (!m->hosts[p].placed || p == h || !line_between(m, p, h, &step))
				continue;
			line = chained(&m->hosts[p].to_first, &step);
			if (line.bound_ns >= best_line.bound_ns)
				continue;
			best = h;
			best_via = p;
			best_line = line;
			best_step = step;
		}
	}
	if (!best)
		return false;
	m->hosts[best].placed = true;
	m->hosts[best].to_first = best_line;
	describe(m, best_via, best, &best_step);
	return true;
}

/* No calls lead to it: by its wall clock, and nobody knows how well. */
static void place_by_wall(struct merge *m, uint32_t h)
{
	struct host *host = &m->hosts[h];

	host->to_first = (struct clock_line){ .offset_ns = host->guess_ns, .bound_ns = TRACE_NONE };
	host->how = (struct merge_clock){
		.host_id = h + 1,
		.via = 1,
		.how = host->has_wall && m->hosts[0].has_wall ? MERGE_CLOCK_WALL :
								MERGE_CLOCK_NOTHING,
		.line = host->to_first,
		.wall_ahead_ns = TRACE_NONE,
	};
}

static void place_hosts(struct merge *m)
{
	m->hosts[0].placed = true;
	while (place_next(m)) {
	}
	for (uint32_t h = 1; h < m->hosts_count; h++) {
		if (!m->hosts[h].placed)
			place_by_wall(m, h);
	}
}

/* Pairs of hosts that have no line yet. */
static int find_pairs(struct merge *m)
{
	int rc = 0;

	for (uint32_t a = 0; a < m->hosts_count; a++) {
		for (uint32_t b = a + 1; b < m->hosts_count && !rc; b++) {
			if (m->pairs[a][b].fit == CLOCK_UNBOUNDED)
				rc = find_pair(m, a, b);
		}
	}
	return rc;
}

/*
 * From connections that cannot be mistaken. Where there are none, as every port was used again
 * within the slack of the wall clocks, from the likeliest ones: the agreement of most calls does
 * not mind that some connections are not what they seem, and with its line they are all mated anew.
 */
int merge_find_clocks(struct merge *m)
{
	int rc;

	for (uint32_t a = 0; a < m->hosts_count; a++)
		for (uint32_t b = a + 1; b < m->hosts_count; b++)
			guess_pair(m, a, b);
	merge_mate_ends(m, true);
	rc = find_pairs(m);
	if (rc)
		return rc;
	merge_mate_ends(m, false);
	rc = find_pairs(m);
	if (rc)
		return rc;
	merge_part_ends(m);
	merge_mate_ends(m, true);
	merge_mate_ends(m, false);
	place_hosts(m);
	return 0;
}
