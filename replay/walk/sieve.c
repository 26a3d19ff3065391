/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/sieve.h"

#include "replay/keep.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Names that have not been told yet; further ones never are, and their rows are gone. */
#define NAMES_MAX (8 * WALK_SLOWEST_MAX)

struct walk_sieve {
	struct walk_sieve_setup setup;
	struct walk_row *slow;	    /* the slowest so far of this window */
	uint32_t slow_count, least; /* index of the fastest of them */
	int64_t since_ns;	    /* when the window began; 0: there is none */
	pthread_mutex_t lock;	    /* of the names */
	uint64_t names[NAMES_MAX];
	size_t names_count;
};

int walk_sieve_new(const struct walk_sieve_setup *setup, struct walk_sieve **ret_sieve,
		   struct err *err)
{
	struct walk_sieve *s = calloc(1, sizeof(*s));

	if (s)
		s->slow = calloc(setup->slowest + 1, sizeof(*s->slow));
	if (!s || !s->slow) {
		free(s);
		return err_errno(err, ENOMEM, "cannot keep a sample of the rows");
	}
	s->setup = *setup;
	pthread_mutex_init(&s->lock, NULL);
	*ret_sieve = s;
	return 0;
}

void walk_sieve_free(struct walk_sieve *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s->slow);
	free(s);
}

static uint64_t number_of(const struct walk_sieve *s, const struct walk_row *row)
{
	return walk_number(&s->setup.schedule, row->thread, row->request);
}

static bool is_sampled(const struct walk_sieve *s, const struct walk_row *row)
{
	return keep_is_sampled(s->setup.share, s->setup.schedule.seed, number_of(s, row));
}

/* Nothing is slower than what never came. */
static int64_t latency_ns(const struct walk_row *row)
{
	return row->received_ns < 0 ? INT64_MAX : row->received_ns - row->due_ns;
}

static void find_least(struct walk_sieve *s)
{
	s->least = 0;
	for (uint32_t i = 1; i < s->slow_count; i++)
		if (latency_ns(&s->slow[i]) < latency_ns(&s->slow[s->least]))
			s->least = i;
}

static void compete(struct walk_sieve *s, const struct walk_row *row)
{
	if (s->slow_count < s->setup.slowest)
		s->slow[s->slow_count++] = *row;
	else if (s->slow_count && latency_ns(row) > latency_ns(&s->slow[s->least]))
		s->slow[s->least] = *row;
	else
		return;
	find_least(s);
}

static void name(struct walk_sieve *s, uint64_t number)
{
	pthread_mutex_lock(&s->lock);
	if (s->names_count < NAMES_MAX)
		s->names[s->names_count++] = number;
	pthread_mutex_unlock(&s->lock);
}

/* Those of the sample are kept already, and known to all. */
void walk_sieve_end(struct walk_sieve *s)
{
	for (uint32_t i = 0; i < s->slow_count; i++) {
		if (is_sampled(s, &s->slow[i]))
			continue;
		name(s, number_of(s, &s->slow[i]));
		s->setup.kept(s->setup.arg, &s->slow[i]);
	}
	s->slow_count = 0;
	s->since_ns = 0;
}

void walk_sieve_take(struct walk_sieve *s, const struct walk_row *rows, size_t count,
		     int64_t now_ns)
{
	if (s->since_ns && now_ns - s->since_ns >= WALK_SIEVE_NS)
		walk_sieve_end(s);
	if (!s->since_ns)
		s->since_ns = now_ns;
	for (size_t i = 0; i < count; i++) {
		s->setup.each(s->setup.arg, &rows[i]);
		if (is_sampled(s, &rows[i]))
			s->setup.kept(s->setup.arg, &rows[i]);
		compete(s, &rows[i]);
	}
}

bool walk_sieve_names(struct walk_sieve *s, struct wire_slow *ret_slow)
{
	memset(ret_slow, 0, sizeof(*ret_slow));
	pthread_mutex_lock(&s->lock);
	while (s->names_count && ret_slow->count < WIRE_SLOW_MAX)
		ret_slow->requests[ret_slow->count++] = s->names[--s->names_count];
	pthread_mutex_unlock(&s->lock);
	return ret_slow->count;
}
