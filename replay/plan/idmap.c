/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/idmap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* At most three quarters full, so that a search is short. */
int idmap_init(struct idmap *map, size_t count)
{
	size_t size = 16;

	while (size / 4 * 3 < count)
		size *= 2;
	*map = (struct idmap){ .mask = size - 1, .room = count };
	map->slots = calloc(size, sizeof(*map->slots));
	map->ids = malloc((count + 1) * sizeof(*map->ids));
	map->indices = malloc((count + 1) * sizeof(*map->indices));
	if (map->slots && map->ids && map->indices)
		return 0;
	idmap_release(map);
	return -ENOMEM;
}

void idmap_release(struct idmap *map)
{
	free(map->slots);
	free(map->ids);
	free(map->indices);
	*map = (struct idmap){ 0 };
}

/* Where the id is, or where it would go. Ids count up: multiplying spreads them (Fibonacci). */
static uint32_t *slot_of(const struct idmap *map, uint64_t id)
{
	size_t slot = (size_t)(id * 0x9e3779b97f4a7c15u >> 20) & map->mask;

	while (map->slots[slot] && map->ids[map->slots[slot] - 1] != id)
		slot = (slot + 1) & map->mask;
	return &map->slots[slot];
}

void idmap_put(struct idmap *map, uint64_t id, uint32_t index)
{
	uint32_t *slot;

	if (!id)
		return;
	slot = slot_of(map, id);
	if (*slot)
		return;
	assert(map->count < map->room);
	map->ids[map->count] = id;
	map->indices[map->count] = index;
	*slot = (uint32_t)++map->count;
}

uint32_t idmap_get(const struct idmap *map, uint64_t id)
{
	uint32_t slot;

	if (!id || !map->ids)
		return IDMAP_NONE;
	slot = *slot_of(map, id);
	return slot ? map->indices[slot - 1] : IDMAP_NONE;
}
