/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/peers.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 16384 /* a power of two */

int peers_init(struct peers *peers)
{
	*peers = (struct peers){ .buckets = calloc(BUCKETS, sizeof(struct peer *)) };
	return peers->buckets ? 0 : -ENOMEM;
}

void peers_release(struct peers *peers, void (*drop)(struct peer *p))
{
	for (size_t i = 0; peers->buckets && drop && i < BUCKETS; i++) {
		for (struct peer *same, *p = peers->buckets[i]; p; p = same) {
			same = p->same;
			drop(p);
		}
	}
	free(peers->buckets);
	*peers = (struct peers){ 0 };
}

/* Unless they want to, peers differ in their ports. */
static size_t bucket_of(const struct endpoint *at, uint64_t connection_id)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&at->at;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&at->at;
	uint64_t h = connection_id * 0x9e3779b97f4a7c15u;

	if (at->at.ss_family == AF_INET6)
		h ^= v6->sin6_port | (uint64_t)v6->sin6_addr.s6_addr32[3] << 16;
	else
		h ^= v4->sin_port | (uint64_t)v4->sin_addr.s_addr << 16;
	h *= 0xff51afd7ed558ccdu;
	return (h >> 40) & (BUCKETS - 1);
}

static bool is_peer(const struct peer *p, const void *port, const struct endpoint *at,
		    uint64_t connection_id)
{
	return p->port == port && p->connection_id == connection_id && p->at.size == at->size &&
	       !memcmp(&p->at.at, &at->at, at->size);
}

struct peer *peers_find(const struct peers *peers, const void *port, const struct endpoint *at,
			uint64_t connection_id)
{
	struct peer *p = peers->buckets[bucket_of(at, connection_id)];

	while (p && !is_peer(p, port, at, connection_id))
		p = p->same;
	return p;
}

static void unlink_age(struct peers *peers, struct peer *p)
{
	*(p->older ? &p->older->newer : &peers->oldest) = p->newer;
	*(p->newer ? &p->newer->older : &peers->newest) = p->older;
}

static void link_newest(struct peers *peers, struct peer *p)
{
	p->older = peers->newest;
	p->newer = NULL;
	*(peers->newest ? &peers->newest->newer : &peers->oldest) = p;
	peers->newest = p;
}

void peers_add(struct peers *peers, struct peer *p, int64_t heard_ns)
{
	struct peer **bucket = &peers->buckets[bucket_of(&p->at, p->connection_id)];

	p->same = *bucket;
	*bucket = p;
	p->heard_ns = heard_ns;
	if (!p->ages)
		return;
	link_newest(peers, p);
	peers->aging++;
}

void peers_remove(struct peers *peers, struct peer *p)
{
	struct peer **at = &peers->buckets[bucket_of(&p->at, p->connection_id)];

	while (*at != p)
		at = &(*at)->same;
	*at = p->same;
	if (!p->ages)
		return;
	unlink_age(peers, p);
	peers->aging--;
}

void peers_heard(struct peers *peers, struct peer *p, int64_t heard_ns)
{
	p->heard_ns = heard_ns;
	if (!p->ages)
		return;
	unlink_age(peers, p);
	link_newest(peers, p);
}

struct peer *peers_overdue(const struct peers *peers, size_t most, int64_t idle_ns, int64_t now_ns)
{
	struct peer *p = peers->oldest;

	return p && (peers->aging > most || p->heard_ns < now_ns - idle_ns) ? p : NULL;
}
