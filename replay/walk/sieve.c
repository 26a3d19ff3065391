/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/sieve.h"

#include "replay/keep.h"
#include "replay/slowest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct walk_sieve {
	struct walk_sieve_setup setup;
	struct slowest slowest;
	struct walk_row *rows; /* of those */
	struct names names;    /* that have not been told yet */
};

int walk_sieve_new(const struct walk_sieve_setup *setup, struct walk_sieve **ret_sieve,
		   struct err *err)
{
	struct walk_sieve *s = calloc(1, sizeof(*s));

	if (s)
		s->rows = calloc(setup->slowest + 1, sizeof(*s->rows));
	if (!s || !s->rows || slowest_init(&s->slowest, setup->slowest)) {
		walk_sieve_free(s);
		return err_errno(err, ENOMEM, "cannot keep a sample of the rows");
	}
	s->setup = *setup;
	*ret_sieve = s;
	return 0;
}

void walk_sieve_free(struct walk_sieve *s)
{
	if (!s)
		return;
	slowest_release(&s->slowest);
	free(s->rows);
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

static void compete(struct walk_sieve *s, const struct walk_row *row, int64_t now_ns)
{
	const struct slow slow = { number_of(s, row), latency_ns(row) };
	uint32_t at = slowest_offer(&s->slowest, &slow, now_ns);

	if (at != SLOWEST_NONE)
		s->rows[at] = *row;
}

/* Those of the sample are kept already, and known to all. */
void walk_sieve_end(struct walk_sieve *s)
{
	for (uint32_t i = 0; i < s->slowest.count; i++) {
		if (is_sampled(s, &s->rows[i]))
			continue;
		names_put(&s->names, s->slowest.at[i].number);
		s->setup.kept(s->setup.arg, &s->rows[i]);
	}
	slowest_end(&s->slowest);
}

void walk_sieve_take(struct walk_sieve *s, const struct walk_row *rows, size_t count,
		     int64_t now_ns)
{
	if (slowest_is_over(&s->slowest, now_ns))
		walk_sieve_end(s);
	for (size_t i = 0; i < count; i++) {
		s->setup.each(s->setup.arg, &rows[i]);
		if (is_sampled(s, &rows[i]))
			s->setup.kept(s->setup.arg, &rows[i]);
		compete(s, &rows[i], now_ns);
	}
}

bool walk_sieve_names(struct walk_sieve *s, struct wire_slow *ret_slow)
{
	memset(ret_slow, 0, sizeof(*ret_slow));
	ret_slow->count = names_take(&s->names, ret_slow->requests, WIRE_SLOW_MAX);
	return ret_slow->count;
}
