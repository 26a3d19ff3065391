/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BITS (HIST_BITS - 1)

struct place {
	unsigned block;
	unsigned bucket;
};

/*
 * Block 0 holds 0 .. 511 and block 1 holds 512 .. 1023, both one value a
 * bucket; block b > 1 holds 2^(b+8) .. 2^(b+9)-1 in steps of 2^(b-1).
 */
static struct place place_of(uint64_t value)
{
	unsigned top = value ? 63 - (unsigned)__builtin_clzll(value) : 0;
	unsigned shift;

	if (top < BLOCK_BITS)
		return (struct place){ 0, (unsigned)value };
	shift = top - BLOCK_BITS;
	return (struct place){ shift + 1, (unsigned)(value >> shift) - HIST_BLOCK_BUCKETS };
}

/* The middle of a bucket: what every value in it is reported as. */
static uint64_t value_of(unsigned block, unsigned bucket)
{
	unsigned shift = block ? block - 1 : 0;
	uint64_t low = ((uint64_t)bucket + (block ? HIST_BLOCK_BUCKETS : 0)) << shift;

	return low + ((1ULL << shift) >> 1);
}

void hist_init(struct hist *hist)
{
	*hist = (struct hist){ 0 };
}

void hist_release(struct hist *hist)
{
	if (!hist)
		return;
	for (unsigned b = 0; b < HIST_BLOCKS; b++)
		free(hist->blocks[b]);
	hist_init(hist);
}

void hist_reset(struct hist *hist)
{
	hist->count = hist->min = hist->max = 0;
	hist->sum = 0;
	for (unsigned b = 0; b < HIST_BLOCKS; b++) {
		if (hist->blocks[b])
			memset(hist->blocks[b], 0, HIST_BLOCK_BUCKETS * sizeof(uint64_t));
	}
}

static uint64_t *block_get(struct hist *hist, unsigned block)
{
	if (!hist->blocks[block])
		hist->blocks[block] = calloc(HIST_BLOCK_BUCKETS, sizeof(uint64_t));
	return hist->blocks[block];
}

static void widen(struct hist *hist, uint64_t min, uint64_t max)
{
	if (!hist->count || min < hist->min)
		hist->min = min;
	if (!hist->count || max > hist->max)
		hist->max = max;
}

int hist_record_n(struct hist *hist, uint64_t value, uint64_t n)
{
	struct place place = place_of(value);
	uint64_t *buckets;

	if (!n)
		return 0;
	buckets = block_get(hist, place.block);
	if (!buckets)
		return -ENOMEM;
	widen(hist, value, value);
	buckets[place.bucket] += n;
	hist->count += n;
	hist->sum += (double)value * (double)n;
	return 0;
}

int hist_record(struct hist *hist, uint64_t value)
{
	return hist_record_n(hist, value, 1);
}

/* All memory first, so that a failure leaves `into` as it was. */
static int reserve_blocks_of(struct hist *into, const struct hist *from)
{
	for (unsigned b = 0; b < HIST_BLOCKS; b++) {
		if (from->blocks[b] && !block_get(into, b))
			return -ENOMEM;
	}
	return 0;
}

int hist_merge(struct hist *into, const struct hist *from)
{
	int rc;

	if (!from->count)
		return 0;
	rc = reserve_blocks_of(into, from);
	if (rc)
		return rc;
	for (unsigned b = 0; b < HIST_BLOCKS; b++) {
		for (unsigned i = 0; from->blocks[b] && i < HIST_BLOCK_BUCKETS; i++)
			into->blocks[b][i] += from->blocks[b][i];
	}
	widen(into, from->min, from->max);
	into->count += from->count;
	into->sum += from->sum;
	return 0;
}

static uint64_t clamp(const struct hist *hist, uint64_t value)
{
	if (value < hist->min)
		return hist->min;
	return value > hist->max ? hist->max : value;
}

/* The value with `rank` values at or below it; 1 <= rank <= count. */
static uint64_t value_at_rank(const struct hist *hist, uint64_t rank)
{
	uint64_t seen = 0;

	for (unsigned b = 0; b < HIST_BLOCKS; b++) {
		for (unsigned i = 0; hist->blocks[b] && i < HIST_BLOCK_BUCKETS; i++) {
			seen += hist->blocks[b][i];
			if (seen >= rank)
				return clamp(hist, value_of(b, i));
		}
	}
	return hist->max;
}

uint64_t hist_value_at_percentile(const struct hist *hist, double percentile)
{
	double share;
	uint64_t rank;

	if (!hist->count)
		return 0;
	if (!(percentile > 0))
		return hist->min;
	if (percentile >= 100)
		return hist->max;
	/* 99.9% of 1000 is 999.0000000000001 in doubles, and must not become 1000 */
	share = percentile / 100 * (double)hist->count * (1 - 1e-12);
	rank = (uint64_t)share;
	rank += (double)rank < share;
	return rank < hist->count ? value_at_rank(hist, rank) : hist->max;
}

uint64_t hist_round(uint64_t value)
{
	struct place place = place_of(value);

	return value_of(place.block, place.bucket);
}

uint64_t hist_count(const struct hist *hist)
{
	return hist->count;
}

uint64_t hist_min(const struct hist *hist)
{
	return hist->min;
}

uint64_t hist_max(const struct hist *hist)
{
	return hist->max;
}

double hist_mean(const struct hist *hist)
{
	return hist->count ? hist->sum / (double)hist->count : 0;
}
