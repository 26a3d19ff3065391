/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_IDMAP_H
#define GAIT_REPLAY_PLAN_IDMAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * From the ids of a trace (any but 0) to indices of an array: an open hash of fixed size. Only
 * its slots are sparse: 12 bytes an id, and 5 to 11 of slots.
 */
struct idmap {
	uint32_t *slots; /* 1.., of the arrays below; 0: free */
	uint64_t *ids;
	uint32_t *indices;
	size_t mask, room, count;
};

#define IDMAP_NONE UINT32_MAX

/* Room for `count` ids, and no more. 0 or -ENOMEM. */
int idmap_init(struct idmap *map, size_t count);
void idmap_release(struct idmap *map);

/* An id that is there keeps its first index; id 0 is ignored. */
void idmap_put(struct idmap *map, uint64_t id, uint32_t index);

/* IDMAP_NONE when it is not there. */
uint32_t idmap_get(const struct idmap *map, uint64_t id);

#endif
