/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void totals_release(struct totals *t)
{
	for (uint32_t i = 0; i < t->classes_count; i++)
		for (uint32_t block = 0; block < TOTALS_BLOCKS; block++)
			free(t->classes[i].blocks[block]);
	free(t->classes);
	*t = (struct totals){ 0 };
}

/* Block 0 holds all below 2^TOTALS_BITS, block b what has b bits more than that. */
uint32_t totals_bin(int64_t total_ns)
{
	uint64_t ns = total_ns > 0 ? (uint64_t)total_ns : 0;
	uint32_t block;

	if (ns < TOTALS_BLOCK_BINS)
		return (uint32_t)ns;
	block = 63 - (uint32_t)__builtin_clzll(ns) - TOTALS_BITS + 1;
	return block * TOTALS_BLOCK_BINS + (uint32_t)(ns >> (block - 1)) - TOTALS_BLOCK_BINS;
}

uint64_t totals_bin_from_ns(uint32_t bin)
{
	uint32_t block = bin / TOTALS_BLOCK_BINS, in = bin % TOTALS_BLOCK_BINS;

	return block ? (uint64_t)(TOTALS_BLOCK_BINS + in) << (block - 1) : in;
}

static int grow(struct totals *t, uint32_t class)
{
	struct totals_class *classes;

	if (class < t->classes_count)
		return 0;
	classes = reallocarray(t->classes, class + 1, sizeof(*classes));
	if (!classes)
		return -ENOMEM;
	memset(classes + t->classes_count, 0, (class + 1 - t->classes_count) * sizeof(*classes));
	t->classes = classes;
	t->classes_count = class + 1;
	return 0;
}

int totals_add(struct totals *t, uint32_t class, uint32_t bin, const struct total *part)
{
	int rc = grow(t, class);
	struct total **block, *into;

	if (rc)
		return rc;
	block = &t->classes[class].blocks[bin / TOTALS_BLOCK_BINS];
	if (!*block)
		*block = calloc(TOTALS_BLOCK_BINS, sizeof(**block));
	if (!*block)
		return -ENOMEM;
	into = *block + bin % TOTALS_BLOCK_BINS;
	into->requests += part->requests;
	into->total_ns += part->total_ns;
	into->unattributed_ns += part->unattributed_ns;
	for (int i = 0; i < SUB_COUNT; i++)
		into->ns[i] += part->ns[i];
	return 0;
}

int totals_add_row(struct totals *t, uint32_t class, const struct row_latency *row)
{
	struct total part = {
		.requests = 1,
		.total_ns = row->total_ns,
		.unattributed_ns = row->unattributed_ns,
	};

	memcpy(part.ns, row->ns, sizeof(part.ns));
	return totals_add(t, class, totals_bin(row->total_ns), &part);
}

const struct total *totals_next(const struct totals *t, uint32_t *class, uint32_t *bin)
{
	for (; *class < t->classes_count; ++*class, *bin = 0) {
		for (; *bin < TOTALS_BINS; ++*bin) {
			const struct total *block =
				t->classes[*class].blocks[*bin / TOTALS_BLOCK_BINS];

			if (block && block[*bin % TOTALS_BLOCK_BINS].requests)
				return &block[*bin % TOTALS_BLOCK_BINS];
		}
	}
	return NULL;
}

struct row_total totals_row(const struct total *total, uint32_t bin)
{
	struct row_total row = {
		.from_ns = totals_bin_from_ns(bin),
		.to_ns = totals_bin_from_ns(bin + 1),
		.requests = total->requests,
		.total_ns = total->total_ns,
		.unattributed_ns = total->unattributed_ns,
	};

	memcpy(row.ns, total->ns, sizeof(row.ns));
	return row;
}
