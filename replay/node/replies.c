/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/replies.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REPLIES_MIN 64
#define REPLIES_KEPT 4096 /* those of one receive are fewer */

static struct walk_reply *reply_at(const struct replies *r, size_t i)
{
	return &r->ring[(r->first + i) & (r->capacity - 1)];
}

void replies_release(struct replies *r)
{
	free(r->ring);
	*r = (struct replies){ 0 };
}

static bool grow(struct replies *r)
{
	size_t capacity = r->capacity ? 2 * r->capacity : REPLIES_MIN;
	struct walk_reply *ring = malloc(capacity * sizeof(*ring));

	if (!ring)
		return false;
	for (size_t i = 0; i < r->count; i++)
		ring[i] = *reply_at(r, i);
	free(r->ring);
	r->ring = ring;
	r->capacity = capacity;
	r->first = 0;
	return true;
}

/* After a burst; a ring of the usual size is kept. */
static void shrink(struct replies *r)
{
	if (!r->count && r->capacity > REPLIES_KEPT)
		replies_release(r);
}

int replies_add(struct replies *r, const struct walk_reply *reply)
{
	if (r->count == r->capacity && !grow(r))
		return -ENOMEM;
	*reply_at(r, r->count++) = *reply;
	return 0;
}

void replies_drop(struct replies *r)
{
	r->count = 0;
	r->sent_of_first = 0;
}

/* As many as there is room for; what is behind the headers is left as it is. */
size_t replies_compose(const struct replies *r, char *out, size_t room)
{
	uint64_t from = r->sent_of_first;
	size_t at = 0;

	for (size_t i = 0; i < r->count && at < room; i++) {
		const struct walk_reply *reply = reply_at(r, i);
		uint64_t left = (reply->file ? WIRE_MESSAGE_BYTES : reply->message.size) - from;

		if (from < WIRE_MESSAGE_BYTES) {
			uint8_t head[WIRE_MESSAGE_BYTES];
			size_t part = WIRE_MESSAGE_BYTES - (size_t)from;

			wire_message_encode(&reply->message, head);
			memcpy(out + at, head + from, part < room - at ? part : room - at);
		}
		at += left < room - at ? (size_t)left : room - at;
		from = 0;
		if (reply->file)
			break;
	}
	return at;
}

struct walk_reply *replies_in_file(const struct replies *r, uint64_t *ret_behind)
{
	struct walk_reply *first = r->count ? reply_at(r, 0) : NULL;

	if (!first || !first->file || r->sent_of_first < WIRE_MESSAGE_BYTES)
		return NULL;
	*ret_behind = r->sent_of_first - WIRE_MESSAGE_BYTES;
	return first;
}

void replies_sent(struct replies *r, uint64_t bytes)
{
	while (bytes) {
		uint64_t left = reply_at(r, 0)->message.size - r->sent_of_first;

		if (bytes < left) {
			r->sent_of_first += bytes;
			return;
		}
		bytes -= left;
		r->sent_of_first = 0;
		r->first++;
		r->count--;
	}
	shrink(r);
}
