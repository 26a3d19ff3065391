/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_POOL_H
#define GAIT_CAPTURE_PACKET_POOL_H

#include <stddef.h>

/*
 * Records of one size, many and short-lived, without malloc's bytes around each. What is given back is used
 * again; memory returns to the system with all of the pool.
 */
struct pool {
	size_t size; /* of a record: at least a pointer, and a multiple of one */
	void *free;  /* records that are, each with the next in its first bytes */
	struct pool_block *blocks;
	size_t fresh; /* of the newest block, records that nobody had yet */
};

void pool_init(struct pool *pool, size_t size);
void pool_release(struct pool *pool);

/* All zero. NULL: out of memory. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *record); /* takes NULL */

#endif
