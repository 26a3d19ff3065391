/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/admission.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PLACES_FIRST 64

/* Ids number * ADMISSION_PAGE_IDS on. A place of the table is empty while `used` is 0. */
struct admission_page {
	uint64_t number;
	uint32_t used;	/* ids of it that have been */
	uint64_t *bits; /* NULL: all of them have */
};

struct admission_bond {
	uint64_t id;
	uint64_t address; /* a hash of it; 0: an empty place */
};

/* Fibonacci hashing (Knuth, 6.4): neighbours far apart. */
static size_t place_of(uint64_t number, size_t places)
{
	return (size_t)(number * 0x9e3779b97f4a7c15ull >> 20) & (places - 1);
}

void admission_init(struct admission *a)
{
	*a = (struct admission){ 0 };
	pthread_mutex_init(&a->lock, NULL);
	if (getrandom(&a->salt, sizeof(a->salt), 0) != sizeof(a->salt))
		abort(); /* 8 bytes are always there */
}

void admission_release(struct admission *a)
{
	for (size_t i = 0; i < a->places; i++)
		free(a->pages[i].bits);
	free(a->pages);
	free(a->bonds);
	pthread_mutex_destroy(&a->lock);
}

/* --- streams ------------------------------------------------------------------------------- */

static struct admission_page *find_page(struct admission_page *pages, size_t places,
					uint64_t number)
{
	size_t i = place_of(number, places);

	while (pages[i].used && pages[i].number != number)
		i = (i + 1) & (places - 1);
	return &pages[i];
}

static bool grow_pages(struct admission *a)
{
	size_t places = a->places ? 2 * a->places : PLACES_FIRST;
	struct admission_page *pages;

	if (a->pages_count < a->places / 2)
		return true;
	pages = calloc(places, sizeof(*pages));
	if (!pages)
		return false;
	for (size_t i = 0; i < a->places; i++)
		if (a->pages[i].used)
			*find_page(pages, places, a->pages[i].number) = a->pages[i];
	free(a->pages);
	a->pages = pages;
	a->places = places;
	return true;
}

static bool new_page(struct admission *a, struct admission_page *page, uint64_t number)
{
	uint64_t *bits = a->pages_count < ADMISSION_PAGES_MAX ?
				 calloc(ADMISSION_PAGE_IDS / 64, sizeof(*bits)) :
				 NULL;

	if (!bits)
		return false;
	*page = (struct admission_page){ .number = number, .bits = bits };
	a->pages_count++;
	return true;
}

static bool take(struct admission *a, uint64_t id)
{
	uint64_t number = id / ADMISSION_PAGE_IDS, at = id % ADMISSION_PAGE_IDS;
	struct admission_page *page;

	if (!grow_pages(a))
		return false;
	page = find_page(a->pages, a->places, number);
	if (page->used ? !page->bits : !new_page(a, page, number))
		return false;
	if (page->bits[at / 64] >> at % 64 & 1)
		return false;
	page->bits[at / 64] |= 1ull << at % 64;
	if (++page->used == ADMISSION_PAGE_IDS) {
		free(page->bits);
		page->bits = NULL;
	}
	return true;
}

bool admission_take(struct admission *a, uint64_t id)
{
	bool taken;

	pthread_mutex_lock(&a->lock);
	taken = take(a, id);
	pthread_mutex_unlock(&a->lock);
	return taken;
}

/* --- datagrams ----------------------------------------------------------------------------- */

/* Of what tells one peer from another: padding and the like differ for nothing. */
static uint64_t hash_address(const struct admission *a, const struct endpoint *e)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&e->at;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&e->at;
	uint64_t words[3] = { e->at.ss_family, 0, 0 }, hash = a->salt;

	if (e->at.ss_family == AF_INET6) {
		words[0] |= (uint64_t)v6->sin6_port << 16 | (uint64_t)v6->sin6_scope_id << 32;
		memcpy(&words[1], &v6->sin6_addr, 16);
	} else {
		words[0] |= (uint64_t)v4->sin_port << 16;
		words[1] = v4->sin_addr.s_addr;
	}
	for (size_t i = 0; i < 3; i++) {
		hash = (hash ^ words[i]) * 0xff51afd7ed558ccdull;
		hash ^= hash >> 32;
	}
	return hash ? hash : 1;
}

static struct admission_bond *find_bond(struct admission_bond *bonds, size_t places, uint64_t id)
{
	size_t i = place_of(id, places);

	while (bonds[i].address && bonds[i].id != id)
		i = (i + 1) & (places - 1);
	return &bonds[i];
}

static bool grow_bonds(struct admission *a)
{
	size_t places = a->bond_places ? 2 * a->bond_places : PLACES_FIRST;
	struct admission_bond *bonds;

	if (a->bonds_count < a->bond_places / 2)
		return true;
	bonds = calloc(places, sizeof(*bonds));
	if (!bonds)
		return false;
	for (size_t i = 0; i < a->bond_places; i++)
		if (a->bonds[i].address)
			*find_bond(bonds, places, a->bonds[i].id) = a->bonds[i];
	free(a->bonds);
	a->bonds = bonds;
	a->bond_places = places;
	return true;
}

static bool bind_to(struct admission *a, uint64_t id, uint64_t address)
{
	struct admission_bond *bond;

	if (!grow_bonds(a))
		return false;
	bond = find_bond(a->bonds, a->bond_places, id);
	if (bond->address)
		return bond->address == address;
	if (a->bonds_count == ADMISSION_BONDS_MAX)
		return false;
	*bond = (struct admission_bond){ id, address };
	a->bonds_count++;
	return true;
}

bool admission_bind(struct admission *a, uint64_t id, const struct endpoint *at)
{
	bool bound;

	pthread_mutex_lock(&a->lock);
	bound = bind_to(a, id, hash_address(a, at));
	pthread_mutex_unlock(&a->lock);
	return bound;
}
