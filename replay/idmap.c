/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/idmap.h"

#include <errno.h>
#include <stdlib.h>

/* At most half full, so that a search is short. */
int idmap_init(struct idmap *map, size_t count)
{
	size_t size = 16;

	while (size < count * 2)
		size *= 2;
	map->mask = size - 1;
	map->ids = calloc(size, sizeof(*map->ids));
	map->indices = malloc(size * sizeof(*map->indices));
	if (map->ids && map->indices)
		return 0;
	idmap_release(map);
	return -ENOMEM;
}

void idmap_release(struct idmap *map)
{
	free(map->ids);
	free(map->indices);
	*map = (struct idmap){ 0 };
}

/* Where the id is, or where it would go. Ids count up: multiplying spreads them (Fibonacci). */
static size_t slot_of(const struct idmap *map, uint64_t id)
{
	size_t slot = (size_t)(id * 0x9e3779b97f4a7c15u >> 20) & map->mask;

	while (map->ids[slot] && map->ids[slot] != id)
		slot = (slot + 1) & map->mask;
	return slot;
}

void idmap_put(struct idmap *map, uint64_t id, uint32_t index)
{
	size_t slot;

	if (!id)
		return;
	slot = slot_of(map, id);
	if (map->ids[slot])
		return;
	map->ids[slot] = id;
	map->indices[slot] = index;
}

uint32_t idmap_get(const struct idmap *map, uint64_t id)
{
	size_t slot;

	if (!id || !map->ids)
		return IDMAP_NONE;
	slot = slot_of(map, id);
	return map->ids[slot] ? map->indices[slot] : IDMAP_NONE;
}
