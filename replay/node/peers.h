/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_PEERS_H
#define GAIT_REPLAY_NODE_PEERS_H

#include "replay/net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Who sends a thread datagrams: found by port, address and connection, and known by how long they
 * have been silent. Pure; times are the caller's, and so is the memory of a peer.
 */
struct peer {
	const void *port; /* where it sends them to */
	struct endpoint at;
	uint64_t connection_id;
	int64_t heard_ns;
	bool ages;		    /* it is forgotten when it is silent */
	struct peer *same;	    /* in the same bucket */
	struct peer *older, *newer; /* of those that age, by when they were heard last */
};

struct peers {
	struct peer **buckets; /* NULL: none yet */
	struct peer *oldest, *newest;
	size_t aging;
};

/* 0 or -ENOMEM. */
int peers_init(struct peers *peers);

/* Every peer goes by `drop` (NULL: is only left). Takes what was never initialised. */
void peers_release(struct peers *peers, void (*drop)(struct peer *p));

/* NULL: it is not known. */
struct peer *peers_find(const struct peers *peers, const void *port, const struct endpoint *at,
			uint64_t connection_id);

/* Port, address, connection and `ages` are filled in; it has been heard at heard_ns. */
void peers_add(struct peers *peers, struct peer *p, int64_t heard_ns);
void peers_remove(struct peers *peers, struct peer *p);
void peers_heard(struct peers *peers, struct peer *p, int64_t heard_ns);

/*
 * Who is to be forgotten next: the one that was silent longest, if there are more than `most` or
 * it was for more than idle_ns. NULL: nobody.
 */
struct peer *peers_overdue(const struct peers *peers, size_t most, int64_t idle_ns, int64_t now_ns);

#endif
