/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_HIST_H
#define GAIT_BASE_HIST_H

#include <stdint.h>

/*
 * A histogram of uint64_t values of any size in bounded memory, log-linear:
 * below 2^HIST_BITS each value has its own bucket; above, each power of two is
 * split into 2^(HIST_BITS-1) buckets, so that a bucket is at most 1/512 of its
 * values wide and its middle, which is what is reported, at most 1/1024
 * (0.098%) off.
 *
 * Memory grows by a block of 4 KiB for each power of two that occurs: 68 KiB
 * for latencies between 1 us and 100 ms, 224 KiB at the very most.
 * Merging adds buckets, so it loses nothing: parts merged in any order equal
 * the whole.
 */
#define HIST_BITS 10
#define HIST_BLOCK_BUCKETS (1 << (HIST_BITS - 1))
#define HIST_BLOCKS (64 - HIST_BITS + 2)

struct hist {
	uint64_t count;
	uint64_t min, max; /* exact */
	double sum;
	uint64_t *blocks[HIST_BLOCKS];
};

/* A zero-initialised struct is as good. */
void hist_init(struct hist *hist);
void hist_release(struct hist *hist);
/* Empty; keeps the memory. */
void hist_reset(struct hist *hist);

/* 0 or -ENOMEM. */
int hist_record(struct hist *hist, uint64_t value);
int hist_record_n(struct hist *hist, uint64_t value, uint64_t n);
int hist_merge(struct hist *into, const struct hist *from);

/*
 * The value below or at which `percentile` percent of the values lie: nearest
 * rank, so 0 is the minimum, 100 the maximum, and 50 of {1, 2} is 1. The
 * result is within 0.1% of that value and never outside min .. max. 0 when
 * empty.
 */
uint64_t hist_value_at_percentile(const struct hist *hist, double percentile);

/* The middle of a value's bucket: equal for values that the histogram cannot tell apart. */
uint64_t hist_round(uint64_t value);

uint64_t hist_count(const struct hist *hist);
uint64_t hist_min(const struct hist *hist); /* 0 when empty */
uint64_t hist_max(const struct hist *hist);
double hist_mean(const struct hist *hist);

#endif
