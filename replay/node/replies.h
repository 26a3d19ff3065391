/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_REPLIES_H
#define GAIT_REPLAY_NODE_REPLIES_H

#include "replay/net/wire.h"

#include <stddef.h>
#include <stdint.h>

struct target;

/*
 * Messages on their way out of a connection, in their order: replies, or calls of others. Each is a
 * header, which is made up as it leaves, and bytes behind it without meaning, unless they come out
 * of a file.
 */
struct walk_reply {
	struct wire_message message;
	const struct target *file; /* NULL: none */
	int64_t offset;		   /* in it: what follows the header */
};

struct replies {
	struct walk_reply *ring;
	size_t first, count, capacity;
	uint64_t sent_of_first;
};

void replies_release(struct replies *r);

/* 0 or -ENOMEM. */
int replies_add(struct replies *r, const struct walk_reply *reply);

/* Those that have not left are not to. */
void replies_drop(struct replies *r);

/* What is to leave next, `room` bytes at most, up to what comes out of a file: how many there are. */
size_t replies_compose(const struct replies *r, char *out, size_t room);

/* What is to leave next comes out of a file: of this message, which goes on so far behind its header. */
struct walk_reply *replies_in_file(const struct replies *r, uint64_t *ret_behind);

/* So much of it has left. */
void replies_sent(struct replies *r, uint64_t bytes);

#endif
