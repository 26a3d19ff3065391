/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_TABLE_H
#define GAIT_CAPTURE_PACKET_TABLE_H

#include "capture/packet/flow.h"

/*
 * Flows by their ends, in either direction: open addressing over numbers of flows, which lie in
 * blocks that never move. Inside of flow.h's room.
 */
#define FLOW_NONE UINT32_MAX

struct flow_slot {
	uint32_t hash, index; /* index FLOW_NONE: empty */
};

struct flow_table {
	struct flow_slot *slots;
	size_t mask, count;
	struct flow **blocks;
	size_t blocks_count, blocks_capacity;
	uint32_t free; /* the first of those that are, linked by `newer` */
	uint64_t seed;
};

int flow_table_init(struct flow_table *t, uint64_t seed);
void flow_table_release(struct flow_table *t);

/* Of these two ends, whichever is first. */
uint32_t flow_table_hash(const struct flow_table *t, const struct packet_end *a,
			 const struct packet_end *b);

/* *ret_side: which of its sides sends from `from`. NULL: there is none. */
struct flow *flow_table_find(const struct flow_table *t, uint32_t hash, enum packet_kind protocol,
			     const struct packet_end *from, const struct packet_end *to,
			     unsigned *ret_side);

/* All zero but for ends, protocol, hash and index; NULL: out of memory. */
struct flow *flow_table_add(struct flow_table *t, uint32_t hash, enum packet_kind protocol,
			    const struct packet_end *from, const struct packet_end *to);
void flow_table_remove(struct flow_table *t, struct flow *flow);
/* All flows at once, which is cheaper than one by one. */
void flow_table_clear(struct flow_table *t);

/* By number, below blocks_count * FLOWS_A_BLOCK; what is free has protocol FLOW_FREE. */
#define FLOWS_A_BLOCK 1024
#define FLOW_FREE 0xff

static inline struct flow *flow_table_at(const struct flow_table *t, uint32_t index)
{
	return &t->blocks[index / FLOWS_A_BLOCK][index % FLOWS_A_BLOCK];
}

#endif
