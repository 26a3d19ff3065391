/* SPDX-License-Identifier: Apache-2.0 */
/* Framers for connections in packets: one while something is under way, and what it finds. */
#include "capture/packet/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct framer *take_framer(struct requests *r)
{
	struct framer *framer = r->framers_count ? r->free_framers[--r->framers_count] :
						   malloc(sizeof(*framer));

	if (framer)
		framer_init(framer);
	else
		r->failed = -ENOMEM;
	return framer;
}

void framing_give(struct requests *r, struct conversation *c)
{
	size_t capacity = r->framers_capacity ? r->framers_capacity * 2 : 64;
	struct framer **grown;

	if (!c->framer)
		return;
	if (r->framers_count == r->framers_capacity) {
		grown = realloc(r->free_framers, capacity * sizeof(*grown));
		if (!grown) {
			free(c->framer);
			c->framer = NULL;
			return;
		}
		r->free_framers = grown;
		r->framers_capacity = capacity;
	}
	r->free_framers[r->framers_count++] = c->framer;
	c->framer = NULL;
}

/* Protocols whose next request can only be told by what was before it. */
static bool remembers(const struct conversation *c)
{
	static const char *const names[] = { "http/2", "mysql", "postgresql" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(c->protocol, names[i]))
			return true;
	return false;
}

void framing_rest(struct requests *r, struct conversation *c)
{
	if (c->framed && c->framer && remembers(c))
		return;
	framing_give(r, c);
	c->framed = true;
}

void framing_keep_mark(void *arg, const struct framer_mark *mark)
{
	struct requests *r = arg;

	if (r->marks_count == r->marks_capacity) {
		size_t capacity = r->marks_capacity ? r->marks_capacity * 2 : 64;
		struct framer_mark *grown = realloc(r->marks, capacity * sizeof(*grown));

		if (!grown) {
			r->failed = -ENOMEM;
			return;
		}
		r->marks = grown;
		r->marks_capacity = capacity;
	}
	r->marks[r->marks_count++] = *mark;
}

/* Of a protocol that is not known, a datagram in is a request. */
static void mark_datagram(struct requests *r, const struct conversation *c, size_t total)
{
	struct framer_mark mark = { .kind = FRAMER_REQUEST_BEGIN, .id = 1ull << 32 | c->requests };

	r->marks_count = 0;
	framing_keep_mark(r, &mark);
	mark.kind = FRAMER_REQUEST_END;
	mark.at = total;
	framing_keep_mark(r, &mark);
}

static void frame_datagram(struct requests *r, struct conversation *c, bool reply,
			   const struct flow_chunk *chunk)
{
	enum framer_side side = reply ? FRAMER_OUT : FRAMER_IN;

	framer_init(c->framer);
	if (framer_datagram(c->framer, side, chunk->bytes, chunk->seen, chunk->total,
			    framing_keep_mark, r) != FRAMER_OK &&
	    !reply)
		mark_datagram(r, c, chunk->total);
}

void framing_find_marks(struct requests *r, struct conversation *c, bool datagrams, bool reply,
			const struct flow_chunk *chunk)
{
	static const uint8_t nothing[1];
	const uint8_t *bytes = chunk->seen ? chunk->bytes : nothing;

	r->marks_count = 0;
	if (!c->framed)
		return;
	if (!c->framer)
		c->framer = take_framer(r);
	if (!c->framer)
		return;
	if (datagrams)
		frame_datagram(r, c, reply, chunk);
	else if (framer_feed(c->framer, reply ? FRAMER_OUT : FRAMER_IN, bytes, chunk->seen,
			     chunk->total, framing_keep_mark, r) != FRAMER_OK)
		c->framed = false;
	if (!c->protocol[0])
		c->protocol = framer_protocol(c->framer);
	if (datagrams)
		framing_give(r, c);
}
