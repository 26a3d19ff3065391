/* SPDX-License-Identifier: Apache-2.0 */
/* Where messages begin and end in a chunk of bytes, as the connection's framer says. */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Grows an array that is a member of *a; false when memory ran out. */
#define ROOM_FOR_ONE(a, array, count, capacity) \
	((a)->count < (a)->capacity ||          \
	 grow((a), (void **)&(a)->array, &(a)->capacity, sizeof(*(a)->array)))

static bool grow(struct assembler *a, void **array, size_t *capacity, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : 64;
	void *grown = realloc(*array, more * size);

	if (!grown) {
		a->failed = -ENOMEM;
		return false;
	}
	*array = grown;
	*capacity = more;
	return true;
}

static void keep_mark(void *arg, const struct framer_mark *mark)
{
	struct assembler *a = arg;

	if (ROOM_FOR_ONE(a, marks, marks_count, marks_capacity))
		a->marks[a->marks_count++] = *mark;
}

void touch(struct assembler *a, struct request *r)
{
	if (r->touched_by == a->ledger.count[LG_EVENTS])
		return;
	r->touched_by = a->ledger.count[LG_EVENTS];
	if (ROOM_FOR_ONE(a, touched, touched_count, touched_capacity))
		a->touched[a->touched_count++] = r;
}

#define LOOK_REQUESTS 1000 /* so many without two at once: the bytes are not worth their cost */

/*
 * Bytes are needed where requests overlap on a connection. A service starts with them; they
 * are given up when it does not, and asked for again when it does after all.
 */
void marks_judge_bytes(struct assembler *a, const struct connection *c, struct service *s,
		       bool overlaps)
{
	unsigned unwanted;

	s->overlaps |= overlaps;
	unwanted = s->overlaps || s->requests < LOOK_REQUESTS ? 0 : UNWANTED_IN | UNWANTED_OUT;
	if (unwanted == s->unwanted || !a->opts.set_unwanted || !c->local_port || c->datagrams)
		return;
	s->unwanted = unwanted;
	a->opts.set_unwanted(a->opts.unwanted_arg, c->local_port, unwanted);
}

/* Of a protocol that is not known, a datagram in is a request. */
static void mark_datagram(struct assembler *a, struct connection *c, size_t total)
{
	struct framer_mark mark = { .kind = FRAMER_REQUEST_BEGIN,
				    .id = 1ull << 32 | ++c->unframed };

	keep_mark(a, &mark);
	mark.kind = FRAMER_REQUEST_END;
	mark.at = total;
	keep_mark(a, &mark);
}

/* Each stands for itself; what one of them is says nothing of the next. */
static void frame_datagram(struct assembler *a, struct connection *c, enum framer_side side,
			   const uint8_t *bytes, size_t seen, size_t total)
{
	if (framer_datagram(&c->framer, side, bytes, seen, total, keep_mark, a) != FRAMER_OK &&
	    side == FRAMER_IN)
		mark_datagram(a, c, total);
}

static void note_protocol(struct connection *c)
{
	if (!c->row.protocol[0])
		snprintf(c->row.protocol, sizeof(c->row.protocol), "%s",
			 framer_protocol(&c->framer));
}

void marks_find(struct assembler *a, struct connection *c, enum framer_side side,
		const uint8_t *bytes, size_t seen, size_t total)
{
	enum framer_result result;

	a->marks_count = 0;
	if (!c->framed)
		return;
	if (c->datagrams) {
		frame_datagram(a, c, side, bytes, seen, total);
	} else {
		result = framer_feed(&c->framer, side, bytes, seen, total, keep_mark, a);
		if (result != FRAMER_OK)
			c->framed = false;
	}
	note_protocol(c);
}
