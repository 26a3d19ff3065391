/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 1024

static struct flow_slot *slots_new(size_t count)
{
	struct flow_slot *slots = malloc(count * sizeof(*slots));

	for (size_t i = 0; slots && i < count; i++)
		slots[i].index = FLOW_NONE;
	return slots;
}

int flow_table_init(struct flow_table *t, uint64_t seed)
{
	*t = (struct flow_table){ .slots = slots_new(SLOTS_FIRST),
				  .mask = SLOTS_FIRST - 1,
				  .free = FLOW_NONE,
				  .seed = seed };
	return t->slots ? 0 : -ENOMEM;
}

void flow_table_release(struct flow_table *t)
{
	for (size_t i = 0; i < t->blocks_count; i++)
		free(t->blocks[i]);
	free(t->blocks);
	free(t->slots);
	*t = (struct flow_table){ 0 };
}

/* The two halves of a product, folded: each bit of the words moves half of the result. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_end(const struct packet_end *end, uint64_t seed)
{
	uint64_t words[2];

	memcpy(words, end->address, sizeof(words));
	return mix(words[0] ^ seed ^ end->port, words[1] ^ 0x9e3779b97f4a7c15ULL);
}

/* A sum, so that both directions have the same. */
uint32_t flow_table_hash(const struct flow_table *t, const struct packet_end *a,
			 const struct packet_end *b)
{
	uint64_t hash = mix(hash_end(a, t->seed) + hash_end(b, t->seed), 0xd6e8feb86659fd93ULL);

	return (uint32_t)(hash ^ hash >> 32);
}

static bool is_end(const struct packet_end *a, const struct packet_end *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a->address, sizeof(x));
	memcpy(y, b->address, sizeof(y));
	return x[0] == y[0] && x[1] == y[1] && a->port == b->port;
}

struct flow *flow_table_find(const struct flow_table *t, uint32_t hash, enum packet_kind protocol,
			     const struct packet_end *from, const struct packet_end *to,
			     unsigned *ret_side)
{
	for (size_t i = hash & t->mask; t->slots[i].index != FLOW_NONE; i = (i + 1) & t->mask) {
		struct flow *flow;
		unsigned side;

		if (t->slots[i].hash != hash)
			continue;
		flow = flow_table_at(t, t->slots[i].index);
		side = !is_end(&flow->end[0], from);
		if (flow->protocol != protocol || !is_end(&flow->end[side], from) ||
		    !is_end(&flow->end[!side], to))
			continue;
		*ret_side = side;
		return flow;
	}
	return NULL;
}

static void put_slot(struct flow_table *t, uint32_t hash, uint32_t index)
{
	size_t i = hash & t->mask;

	while (t->slots[i].index != FLOW_NONE)
		i = (i + 1) & t->mask;
	t->slots[i] = (struct flow_slot){ hash, index };
}

static int grow_slots(struct flow_table *t)
{
	struct flow_slot *old = t->slots;
	size_t count = t->mask + 1;

	t->slots = slots_new(count * 2);
	if (!t->slots) {
		t->slots = old;
		return -ENOMEM;
	}
	t->mask = count * 2 - 1;
	for (size_t i = 0; i < count; i++)
		if (old[i].index != FLOW_NONE)
			put_slot(t, old[i].hash, old[i].index);
	free(old);
	return 0;
}

static void free_flow(struct flow_table *t, struct flow *flow)
{
	flow->protocol = FLOW_FREE;
	flow->newer = t->free;
	t->free = flow->index;
}

static int add_block(struct flow_table *t)
{
	size_t capacity = t->blocks_capacity ? t->blocks_capacity * 2 : 16;
	struct flow *block;

	if (t->blocks_count == t->blocks_capacity) {
		struct flow **grown = realloc(t->blocks, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		t->blocks = grown;
		t->blocks_capacity = capacity;
	}
	block = malloc(FLOWS_A_BLOCK * sizeof(*block));
	if (!block)
		return -ENOMEM;
	t->blocks[t->blocks_count++] = block;
	for (size_t i = FLOWS_A_BLOCK; i--;) {
		block[i].index = (uint32_t)((t->blocks_count - 1) * FLOWS_A_BLOCK + i);
		free_flow(t, &block[i]);
	}
	return 0;
}

struct flow *flow_table_add(struct flow_table *t, uint32_t hash, enum packet_kind protocol,
			    const struct packet_end *from, const struct packet_end *to)
{
	struct flow *flow;
	uint32_t index;

	if ((t->count + 1) * 10 > (t->mask + 1) * 7 && grow_slots(t))
		return NULL;
	if (t->free == FLOW_NONE && add_block(t))
		return NULL;
	index = t->free;
	flow = flow_table_at(t, index);
	t->free = flow->newer;
	*flow = (struct flow){
		.end = { *from, *to }, .protocol = protocol, .hash = hash, .index = index
	};
	put_slot(t, hash, index);
	t->count++;
	return flow;
}

/* Those behind it move up, as far as their own place lets them: no marks of what was. */
void flow_table_remove(struct flow_table *t, struct flow *flow)
{
	size_t hole = flow->hash & t->mask, i;

	while (t->slots[hole].index != flow->index)
		hole = (hole + 1) & t->mask;
	for (i = (hole + 1) & t->mask; t->slots[i].index != FLOW_NONE; i = (i + 1) & t->mask) {
		size_t home = t->slots[i].hash & t->mask;

		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole].index = FLOW_NONE;
	t->count--;
	free_flow(t, flow);
}

void flow_table_clear(struct flow_table *t)
{
	for (size_t i = 0; i <= t->mask; i++)
		t->slots[i].index = FLOW_NONE;
	for (size_t i = 0; i < t->blocks_count; i++)
		free(t->blocks[i]);
	t->blocks_count = t->count = 0;
	t->free = FLOW_NONE;
}
