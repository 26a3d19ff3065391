/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/calls_model.h"

#include <math.h>
#include <stdlib.h>

#define OCTAVE_BINS 4
#define BINS (41 * OCTAVE_BINS) /* 1 ns to 36 minutes */
#define COUNTS 9		/* 0 to 7, and more */
#define SLOTS (2 * CALLS_MODEL_MAX)
#define CLASSES 4096   /* beyond it two are one */
#define OWN_WEIGHT 1.0 /* of what is thought before anything was seen: one observation */

struct gap_row {
	uint64_t key;
	double total;
	float weight[BINS];
};

/* Of a class and one that it calls. */
struct count_row {
	uint64_t key;
	double called;	       /* weight of the requests that made such calls */
	double weight[COUNTS]; /* of those with so many; [0] is the rest of the class */
	double alike[TRAIT_COUNT][2], seen[TRAIT_COUNT][2]; /* [0] of any, [1] of the true one */
};

struct calls_model {
	struct gap_row *gaps[SLOTS];
	struct count_row *counts[SLOTS];
	size_t gaps_count, counts_count;
	double requests[CLASSES]; /* their weight */
};

struct calls_model *calls_model_new(void)
{
	return calloc(1, sizeof(struct calls_model));
}

void calls_model_free(struct calls_model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		free(m->gaps[i]);
		free(m->counts[i]);
	}
	free(m);
}

/* 0 is no key. */
static uint64_t key_of(unsigned class, unsigned from, unsigned to)
{
	return 1ull << 48 | (uint64_t)(class & 0xffff) << 32 | (uint64_t)(from & 0xffff) << 16 |
	       (to & 0xffff);
}

static size_t slot_of(uint64_t key)
{
	return (size_t)(key * 0x9e3779b97f4a7c15ull >> 40) % SLOTS;
}

static struct gap_row **find_gap(const struct calls_model *m, uint64_t key)
{
	size_t i = slot_of(key);

	while (m->gaps[i] && m->gaps[i]->key != key)
		i = (i + 1) % SLOTS;
	return (struct gap_row **)&m->gaps[i];
}

static struct count_row **find_count(const struct calls_model *m, uint64_t key)
{
	size_t i = slot_of(key);

	while (m->counts[i] && m->counts[i]->key != key)
		i = (i + 1) % SLOTS;
	return (struct count_row **)&m->counts[i];
}

/* --- gaps ----------------------------------------------------------------------------------------- */

static unsigned bin_of(int64_t ns)
{
	double bin = ns < 1 ? 0 : log2((double)ns) * OCTAVE_BINS;

	return bin < BINS - 1 ? (unsigned)bin : BINS - 1;
}

/* A density, for the same call may be at other distances from others. */
double calls_model_gap(const struct calls_model *m, unsigned class, unsigned from, unsigned to,
		       int64_t ns)
{
	const struct gap_row *row = *find_gap(m, key_of(class, from, to));
	unsigned bin = bin_of(ns);
	double part = OWN_WEIGHT / BINS, width = exp2((double)bin / OCTAVE_BINS);

	if (row)
		part = (part + (double)row->weight[bin]) / (OWN_WEIGHT + row->total);
	return log(part / width);
}

/* The bins beside it have a part: a gap is never twice the same. */
void calls_model_learn_gap(struct calls_model *m, unsigned class, unsigned from, unsigned to,
			   int64_t ns, double weight)
{
	uint64_t key = key_of(class, from, to);
	struct gap_row **at = find_gap(m, key);
	unsigned bin = bin_of(ns);

	if (!*at && m->gaps_count < CALLS_MODEL_MAX) {
		*at = calloc(1, sizeof(**at));
		m->gaps_count += *at != NULL;
		if (*at)
			(*at)->key = key;
	}
	if (!*at)
		return;
	(*at)->total += weight;
	(*at)->weight[bin] += (float)(weight / 2);
	(*at)->weight[bin ? bin - 1 : 0] += (float)(weight / 4);
	(*at)->weight[bin + 1 < BINS ? bin + 1 : bin] += (float)(weight / 4);
}

/* --- calls ---------------------------------------------------------------------------------------- */

/* Before anything was seen each further call is half as likely. */
static double part_of(const struct count_row *row, double requests, unsigned n)
{
	double seen = n ? 0 : requests;

	if (row)
		seen = n ? row->weight[n] : requests - row->called;
	return (OWN_WEIGHT * exp2(-(double)(n + 1)) + seen) / (OWN_WEIGHT + requests);
}

double calls_model_requests(const struct calls_model *m, unsigned class)
{
	return m->requests[class % CLASSES];
}

double calls_model_count(const struct calls_model *m, unsigned class, unsigned to, unsigned n)
{
	const struct count_row *row = *find_count(m, key_of(class, 0, to));
	double requests = m->requests[class % CLASSES];

	n = n < COUNTS ? n : COUNTS - 1;
	return log(part_of(row, requests, n) / part_of(row, requests, 0));
}

double calls_model_more(const struct calls_model *m, unsigned class, unsigned to, unsigned n)
{
	const struct count_row *row = *find_count(m, key_of(class, 0, to));
	double requests = m->requests[class % CLASSES], more = 0;

	n = n < COUNTS - 1 ? n : COUNTS - 2;
	for (unsigned i = n + 1; i < COUNTS; i++)
		more += part_of(row, requests, i);
	return log(more / part_of(row, requests, n));
}

static struct count_row *have_count(struct calls_model *m, unsigned class, unsigned to)
{
	uint64_t key = key_of(class, 0, to);
	struct count_row **at = find_count(m, key);

	if (!*at && m->counts_count < CALLS_MODEL_MAX) {
		*at = calloc(1, sizeof(**at));
		m->counts_count += *at != NULL;
		if (*at)
			(*at)->key = key;
	}
	return *at;
}

void calls_model_learn_counts(struct calls_model *m, unsigned class, const unsigned *to,
			      const unsigned *n, size_t count, double weight)
{
	m->requests[class % CLASSES] += weight;
	for (size_t i = 0; i < count; i++) {
		struct count_row *row = have_count(m, class, to[i]);

		if (!row || !n[i])
			continue;
		row->called += weight;
		row->weight[n[i] < COUNTS ? n[i] : COUNTS - 1] += weight;
	}
}

/* --- looks ---------------------------------------------------------------------------------------- */

static double part_alike(const struct count_row *row, enum calls_trait trait, bool true_one,
			 bool alike)
{
	double part = (OWN_WEIGHT / 2 + row->alike[trait][true_one]) /
		      (OWN_WEIGHT + row->seen[trait][true_one]);

	return alike ? part : 1 - part;
}

double calls_model_alike(const struct calls_model *m, unsigned class, unsigned to,
			 enum calls_trait trait, bool alike)
{
	const struct count_row *row = *find_count(m, key_of(class, 0, to));

	return row ? log(part_alike(row, trait, true, alike) /
			 part_alike(row, trait, false, alike)) :
		     0;
}

void calls_model_learn_alike(struct calls_model *m, unsigned class, unsigned to,
			     enum calls_trait trait, bool alike, bool true_one)
{
	struct count_row *row = have_count(m, class, to);

	if (!row)
		return;
	row->seen[trait][true_one]++;
	row->alike[trait][true_one] += alike;
}
