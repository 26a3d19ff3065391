/* SPDX-License-Identifier: Apache-2.0 */
#include "report/id_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_IDS (1 << ID_MAP_PAGE_BITS)

struct id_page {
	uint64_t number; /* id >> ID_MAP_PAGE_BITS */
	uint16_t values[PAGE_IDS];
};

struct id_map *id_map_new(void)
{
	return calloc(1, sizeof(struct id_map));
}

/* The slot that holds page `number`, or the free one where it would go. */
static size_t find_slot(const struct id_map *map, uint64_t number)
{
	size_t slot = number * 0x9e3779b97f4a7c15 >> 32 & (ID_MAP_SLOTS - 1);

	while (map->slots[slot] && map->slots[slot]->number != number)
		slot = (slot + 1) & (ID_MAP_SLOTS - 1);
	return slot;
}

static struct id_page *page_new(uint64_t number)
{
	struct id_page *page = malloc(sizeof(*page));

	if (!page)
		return NULL;
	page->number = number;
	memset(page->values, 0xff, sizeof(page->values)); /* all ID_MAP_NONE */
	return page;
}

int id_map_set(struct id_map *map, uint64_t id, uint16_t value)
{
	size_t slot = find_slot(map, id >> ID_MAP_PAGE_BITS);

	if (!map->slots[slot]) {
		if (map->pages == ID_MAP_PAGES)
			return -ENOSPC;
		map->slots[slot] = page_new(id >> ID_MAP_PAGE_BITS);
		if (!map->slots[slot])
			return -ENOMEM;
		map->pages++;
	}
	map->slots[slot]->values[id & (PAGE_IDS - 1)] = value;
	return 0;
}

uint16_t id_map_get(const struct id_map *map, uint64_t id)
{
	const struct id_page *page = map->slots[find_slot(map, id >> ID_MAP_PAGE_BITS)];

	return page ? page->values[id & (PAGE_IDS - 1)] : ID_MAP_NONE;
}

void id_map_free(struct id_map *map)
{
	if (!map)
		return;
	for (size_t i = 0; i < ID_MAP_SLOTS; i++)
		free(map->slots[i]);
	free(map);
}
