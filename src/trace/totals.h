/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_TOTALS_H
#define GAIT_TRACE_TOTALS_H

#include "trace/schema.h"

/*
 * Rows of latency.csv added up: by class, and within it by what total_ns is, so that the breakdown
 * of the slow ones stays apart from that of the others. Up to 63 ns each value has a bin of its
 * own, above each power of two has 64: a bin is at most 1/64 of its values wide. All sums are
 * exact, whatever order rows come in; memory is 25 KiB for each power of two that occurs in a
 * class, at most 1.5 MiB a class.
 */
#define TOTALS_BITS 6
#define TOTALS_BLOCK_BINS (1 << TOTALS_BITS)
#define TOTALS_BLOCKS (63 - TOTALS_BITS + 1) /* of int64_t */
#define TOTALS_BINS (TOTALS_BLOCKS * TOTALS_BLOCK_BINS)

struct total {
	uint64_t requests;
	int64_t total_ns, unattributed_ns;
	int64_t ns[SUB_COUNT];
};

/* A zero-initialised struct is empty. */
struct totals {
	uint32_t classes_count;
	struct totals_class {
		struct total *blocks[TOTALS_BLOCKS];
	} * classes;
};

void totals_release(struct totals *totals);

/* Which bin a time belongs to (a negative one to the first), and where that begins. */
uint32_t totals_bin(int64_t total_ns);
uint64_t totals_bin_from_ns(uint32_t bin); /* of TOTALS_BINS: the end of the last one */

/* 0 or -ENOMEM. `class` is an index. */
int totals_add(struct totals *totals, uint32_t class, uint32_t bin, const struct total *part);

/* A request's row. */
int totals_add_row(struct totals *totals, uint32_t class, const struct row_latency *row);

/*
 * The bins that are not empty, by class, the fastest first: NULL when there is none at or behind
 * *class and *bin, which are moved to the one that is returned.
 */
const struct total *totals_next(const struct totals *totals, uint32_t *class, uint32_t *bin);

/* As a row of totals.csv; ids are the caller's. */
struct row_total totals_row(const struct total *total, uint32_t bin);

#endif
