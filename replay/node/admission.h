/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_ADMISSION_H
#define GAIT_REPLAY_NODE_ADMISSION_H

#include "replay/net/address.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Which data connections of a session there have been, so that a preface is good once: whoever
 * reads one on its way and sends it again is not let in. Of a stream a bit is kept of each id, in
 * pages that go when they are full, as ids are numbers one after another; of datagrams, which all
 * show their preface, the address that the first one came from. From any thread.
 */
struct admission {
	pthread_mutex_t lock;
	struct admission_page *pages; /* a hash table, by number; places, a power of two */
	size_t places, pages_count;
	struct admission_bond *bonds; /* by id */
	size_t bond_places, bonds_count;
	uint64_t salt; /* of addresses */
};

#define ADMISSION_PAGE_IDS 4096
#define ADMISSION_PAGES_MAX (1u << 18) /* with bits: 512 bytes each */
#define ADMISSION_BONDS_MAX (1u << 20)

void admission_init(struct admission *a);
void admission_release(struct admission *a);

/* A stream; false: there has been one of this id, or there is no room to know. */
bool admission_take(struct admission *a, uint64_t id);

/*
 * Datagrams from there; false: those of this id come from elsewhere, or there is no room to know.
 */
bool admission_bind(struct admission *a, uint64_t id, const struct endpoint *at);

#endif
