/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_ID_MAP_H
#define GAIT_REPORT_ID_MAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * A small number for each id of a table: two bytes a row, in pages, as ids are
 * handed out one after the other. At most ID_MAP_PAGES pages (268 million ids,
 * 512 MiB); ids on further pages are not kept.
 */
#define ID_MAP_PAGE_BITS 16
#define ID_MAP_PAGES 4096
#define ID_MAP_SLOTS (2 * ID_MAP_PAGES) /* half empty, so that searches are short */
#define ID_MAP_NONE UINT16_MAX

struct id_page;

struct id_map {
	size_t pages;
	struct id_page *slots[ID_MAP_SLOTS];
};

/* NULL when memory ran out. */
struct id_map *id_map_new(void);
/* 0, -ENOMEM, or -ENOSPC when the map is full. value < ID_MAP_NONE. */
int id_map_set(struct id_map *map, uint64_t id, uint16_t value);
/* ID_MAP_NONE: not in the map. */
uint16_t id_map_get(const struct id_map *map, uint64_t id);
/* Takes NULL. */
void id_map_free(struct id_map *map);

#endif
