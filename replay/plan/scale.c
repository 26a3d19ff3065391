/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/scale.h"

#include "base/units.h"
#include "replay/net/wire.h"
#include "replay/plan/compose.h"
#include "replay/plan/senders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scaler {
	struct plan *plan;
	struct plan_chains chains;
	struct plan_senders senders;
	uint32_t *by_size; /* senders, the smallest first */
	uint32_t speed_milli;
	uint32_t copies; /* of the trace, the recorded one and a thinned one too */
	uint64_t seed;
	struct plan_part *parts;
	size_t parts_count, parts_max;
	struct plan_scaled *scaled;
};

/* SplitMix64 (Steele, Lea, Flood 2014) of a counter: the n-th draw of a seed. */
static uint64_t draw(uint64_t seed, uint64_t n)
{
	uint64_t z = seed + (n + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

enum draws { DRAW_THIN, DRAW_SHIFTS, DRAW_SENDERS = 1 << 20 };

struct sized {
	uint64_t requests, chance;
	uint32_t sender;
};

/* Equal sizes by chance, or the early ones would have their turn first. */
static int compare_sizes(const void *a, const void *b)
{
	const struct sized *x = a, *y = b;

	if (x->requests != y->requests)
		return x->requests < y->requests ? -1 : 1;
	return (x->chance > y->chance) - (x->chance < y->chance);
}

static int sort_senders(struct scaler *s)
{
	size_t count = s->senders.count;
	struct sized *sized = calloc(count + 1, sizeof(*sized));

	s->by_size = calloc(count + 1, sizeof(*s->by_size));
	if (!sized || !s->by_size) {
		free(sized);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		sized[i] = (struct sized){ s->senders.at[i].requests,
					   draw(s->seed, DRAW_SENDERS + i), i };
	qsort(sized, count, sizeof(*sized), compare_sizes);
	for (size_t i = 0; i < count; i++)
		s->by_size[i] = sized[i].sender;
	free(sized);
	return 0;
}

static void mark_all(const struct scaler *s, bool *left)
{
	for (size_t i = 0; i < s->senders.count; i++)
		left[i] = true;
}

/* Every (1000 / fraction)-th, from a beginning by chance. */
static void mark_fraction(const struct scaler *s, uint32_t fraction, bool *left)
{
	uint64_t at = draw(s->seed, DRAW_THIN) % PLAN_SPEED_ONE;

	memset(left, 0, s->senders.count * sizeof(*left));
	for (size_t i = 0; i < s->senders.count; i++, at += fraction)
		left[s->by_size[i]] = (at + fraction) / PLAN_SPEED_ONE > at / PLAN_SPEED_ONE;
}

/* Copies are spread evenly over the range, each by chance within its part of it. */
static int64_t shift_of(const struct scaler *s, uint32_t copy)
{
	int64_t range = s->plan->duration_ns / 10, part;

	if (!copy)
		return 0;
	range = range < PLAN_SHIFT_MAX_NS ? range : PLAN_SHIFT_MAX_NS;
	part = range / (s->copies - 1);
	return part ? part * (copy - 1) +
			       (int64_t)(draw(s->seed, DRAW_SHIFTS + copy) % (uint64_t)part) :
		      0;
}

static void put_part(struct scaler *s, struct plan_part part)
{
	s->parts[s->parts_count++] = part;
}

/* A connection of a copy, in one piece or, around the end, in two. */
static void put_connection(struct scaler *s, uint32_t connection, uint32_t copy, bool waits)
{
	int64_t shift = shift_of(s, copy), duration = s->plan->duration_ns;
	struct plan_part part = {
		.connection = connection,
		.instance = copy,
		.copy = copy,
		.before_ns = INT64_MAX,
		.shift_ns = shift,
	};

	if (waits || !shift) {
		put_part(s, part);
		return;
	}
	part.before_ns = duration - shift;
	put_part(s, part);
	part.from_ns = duration - shift;
	part.before_ns = INT64_MAX;
	part.shift_ns = shift - duration;
	part.instance = s->copies + copy;
	put_part(s, part);
}

static void put_copy(struct scaler *s, uint32_t copy, const bool *left)
{
	int64_t shift = shift_of(s, copy);

	for (uint32_t c = 0; c < s->plan->connections_count; c++) {
		uint32_t sender = s->senders.of[c];

		if (left[sender])
			put_connection(s, c, copy, s->senders.at[sender].waits);
	}
	for (size_t i = 0; i < s->senders.count; i++) {
		s->scaled->senders += left[i];
		s->scaled->waiting += left[i] && s->senders.at[i].waits;
	}
	s->scaled->shift_ns = shift > s->scaled->shift_ns ? shift : s->scaled->shift_ns;
}

static int put_copies(struct scaler *s)
{
	uint32_t whole = s->speed_milli / PLAN_SPEED_ONE;
	uint32_t fraction = s->speed_milli % PLAN_SPEED_ONE;
	bool *left = calloc(s->senders.count + 1, sizeof(*left));

	if (!left)
		return -ENOMEM;
	mark_all(s, left);
	for (uint32_t copy = 0; copy < whole; copy++)
		put_copy(s, copy, left);
	mark_fraction(s, fraction, left);
	if (fraction)
		put_copy(s, whole, left);
	if (!s->parts_count) {
		left[s->by_size[s->senders.count / 2]] = true;
		put_copy(s, 0, left);
	}
	free(left);
	return 0;
}

static int allocate(struct scaler *s, struct err *err)
{
	uint64_t connections = (uint64_t)s->copies * s->plan->connections_count;

	if (connections > 2 * WIRE_CONNECTIONS_MAX) /* the thinned copy has fewer */
		return err_set(err, E2BIG, "that makes %llu connections; a node takes at most %u",
			       (unsigned long long)connections, WIRE_CONNECTIONS_MAX);
	s->parts_max = 2 * connections;
	s->parts = calloc(s->parts_max + 1, sizeof(*s->parts));
	if (s->parts && !plan_chains_init(&s->chains, s->plan) &&
	    !plan_senders_init(&s->senders, s->plan, &s->chains) && !sort_senders(s))
		return 0;
	return err_errno(err, ENOMEM, "cannot hold %zu requests", s->plan->requests_count);
}

/* That a copy brings. */
static uint32_t more_threads(const struct plan *plan)
{
	return strcmp(plan->service.io_model, "per-connection") ? 0 : plan->threads;
}

static uint64_t threads_after(const struct plan *plan, uint32_t copies)
{
	return plan->threads + (uint64_t)more_threads(plan) * (copies - 1);
}

static int refuse_threads(const struct plan *plan, uint32_t copies, struct err *err)
{
	if (threads_after(plan, copies) <= WIRE_THREADS_MAX)
		return 0;
	return err_set(
		err, E2BIG,
		"each connection has its thread, so that makes %llu threads; a node plays at "
		"most %u",
		(unsigned long long)threads_after(plan, copies), WIRE_THREADS_MAX);
}

/* Threads that serve no request are numbered behind those that do: there are more of these now. */
int plan_scale_threads(struct plan *plan, uint32_t copies, struct err *err)
{
	uint32_t more = more_threads(plan), threads = (uint32_t)threads_after(plan, copies);
	int ret = refuse_threads(plan, copies, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < plan->connections_count; i++)
		plan->connections[i].thread += plan->connections[i].copy * more;
	for (size_t i = 0; i < plan->background_count; i++) {
		if (plan->background[i].thread >= plan->threads)
			plan->background[i].thread += threads - plan->threads;
	}
	plan->threads = threads;
	return 0;
}

static void count_before(struct scaler *s)
{
	*s->scaled = (struct plan_scaled){
		.speed_milli = s->speed_milli,
		.copies = s->copies,
		.senders_before = s->senders.count,
		.requests_before = s->plan->requests_count,
	};
	for (size_t i = 0; i < s->senders.count; i++)
		s->scaled->waiting_before += s->senders.at[i].waits;
}

static void count_after(struct scaler *s)
{
	struct plan *plan = s->plan;
	int64_t last = plan->requests_count ? plan->requests[plan->requests_count - 1].due_ns : 0;

	s->scaled->requests = plan->requests_count;
	plan->duration_ns = last > plan->duration_ns ? last : plan->duration_ns;
}

static int scale(struct scaler *s, enum plan_batching batching, struct err *err)
{
	int ret = allocate(s, err);

	if (ret)
		return ret;
	count_before(s);
	if (put_copies(s))
		return err_errno(err, ENOMEM, "cannot hold the connections");
	ret = plan_compose(s->plan, &s->chains, s->parts, s->parts_count, batching, err);
	if (ret)
		return ret;
	count_after(s);
	return plan_scale_threads(s->plan, s->copies, err);
}

int plan_scale(struct plan *plan, uint32_t speed_milli, uint64_t seed, enum plan_batching batching,
	       struct plan_scaled *ret_scaled, struct err *err)
{
	struct plan_scaled scaled;
	struct scaler s = {
		.plan = plan,
		.speed_milli = speed_milli,
		.copies = (speed_milli + PLAN_SPEED_ONE - 1) / PLAN_SPEED_ONE,
		.seed = seed,
		.scaled = &scaled,
	};
	int ret;

	ret = refuse_threads(plan, s.copies, err);
	if (!ret)
		ret = scale(&s, batching, err);
	plan_senders_release(&s.senders);
	plan_chains_release(&s.chains);
	free(s.by_size);
	free(s.parts);
	if (!ret)
		*ret_scaled = scaled;
	return ret;
}

char *plan_scaled_text(const struct plan_scaled *scaled, char *text, size_t size)
{
	char shift[UNIT_TEXT_SIZE], copies[96] = "";

	if (scaled->shift_ns)
		snprintf(copies, sizeof(copies), ", copies shifted by up to %s",
			 unit_format_ns(shift, sizeof(shift), scaled->shift_ns));
	snprintf(text, size,
		 "speed %g: %llu senders instead of %llu (%llu instead of %llu wait for replies), "
		 "%.3f times the requests%s",
		 scaled->speed_milli / 1000.0, (unsigned long long)scaled->senders,
		 (unsigned long long)scaled->senders_before, (unsigned long long)scaled->waiting,
		 (unsigned long long)scaled->waiting_before,
		 (double)scaled->requests / (double)scaled->requests_before, copies);
	return text;
}
