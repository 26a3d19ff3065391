/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_A_BLOCK 256

struct pool_block {
	struct pool_block *next;
	_Alignas(8) unsigned char records[];
};

void pool_init(struct pool *pool, size_t size)
{
	assert(size >= sizeof(void *) && size % sizeof(void *) == 0);
	*pool = (struct pool){ .size = size };
}

void pool_release(struct pool *pool)
{
	while (pool->blocks) {
		struct pool_block *next = pool->blocks->next;

		free(pool->blocks);
		pool->blocks = next;
	}
	pool_init(pool, pool->size ? pool->size : sizeof(void *));
}

static void *take_fresh(struct pool *pool)
{
	struct pool_block *block = pool->blocks;

	if (!pool->fresh) {
		block = malloc(sizeof(*block) + RECORDS_A_BLOCK * pool->size);
		if (!block)
			return NULL;
		block->next = pool->blocks;
		pool->blocks = block;
		pool->fresh = RECORDS_A_BLOCK;
	}
	return block->records + --pool->fresh * pool->size;
}

void *pool_take(struct pool *pool)
{
	void *record = pool->free;

	if (record)
		memcpy(&pool->free, record, sizeof(pool->free));
	else
		record = take_fresh(pool);
	return record ? memset(record, 0, pool->size) : NULL;
}

void pool_give(struct pool *pool, void *record)
{
	if (!record)
		return;
	memcpy(record, &pool->free, sizeof(pool->free));
	pool->free = record;
}
