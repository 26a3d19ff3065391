/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any chunks on a connection: marks lie in them, in order, an END has its BEGIN, and each chunk
 * cut in two gives the same ones. A chunk of the input is a byte (bit 0: from the service, the
 * others: times 64 bytes that are not visible behind it), a length of two bytes, and bytes.
 */
#include "capture/frame/framer.h"

#include <stdlib.h>
#include <string.h>

#define OPEN_MAX 4096
#define CHUNK_HEAD 3

struct watch {
	struct framer framer;
	enum framer_side side;
	enum framer_result result;
	uint64_t moved[2], last, total;
	uint64_t marks, visible, digest;
	uint64_t open[2][OPEN_MAX]; /* requests, replies */
	size_t opened[2];
};

static void must(bool held)
{
	if (!held)
		abort();
}

static void note_open(struct watch *w, const struct framer_mark *m)
{
	bool reply = m->kind == FRAMER_REPLY_BEGIN || m->kind == FRAMER_REPLY_END;
	bool end = m->kind == FRAMER_REQUEST_END || m->kind == FRAMER_REPLY_END;
	uint64_t *ids = w->open[reply];
	size_t *n = &w->opened[reply];

	if (!end) {
		must(*n < OPEN_MAX);
		ids[(*n)++] = m->id;
		return;
	}
	for (size_t i = *n; i-- > 0;) {
		if (ids[i] == m->id) {
			ids[i] = ids[--*n];
			return;
		}
	}
	abort();
}

static void see(void *arg, const struct framer_mark *m)
{
	struct watch *w = arg;
	uint64_t at = w->moved[w->side] + m->at - m->back;
	const uint64_t said[] = { w->side, m->kind, m->flags, m->id, at };

	must(m->at <= w->total && (!m->back || !m->at) && m->back <= w->moved[w->side]);
	must(at >= w->last);
	must(memchr(m->verb, '\0', sizeof(m->verb)));
	w->last = at;
	w->marks++;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		w->digest = (w->digest ^ said[i]) * 0x100000001b3ULL + 1;
	for (const char *c = m->verb; *c; c++)
		w->digest = (w->digest ^ (uint8_t)*c) * 0x100000001b3ULL;
	note_open(w, m);
}

/* In an allocation of its own, for ASan. */
static void feed(struct watch *w, const uint8_t *bytes, size_t seen, size_t total)
{
	uint8_t *exact = malloc(seen + !seen);

	if (seen)
		memcpy(exact, bytes, seen);
	w->last = 0;
	w->total = total;
	w->visible += seen;
	if (w->result == FRAMER_OK)
		w->result = framer_feed(&w->framer, w->side, exact, seen, total, see, w);
	w->moved[w->side] += total;
	must(w->marks <= 2 * w->visible + 16);
	free(exact);
}

static void feed_cut(struct watch *w, const uint8_t *bytes, size_t seen, size_t total, size_t cut)
{
	size_t seen_before = cut < seen ? cut : seen;

	feed(w, bytes, seen_before, cut);
	feed(w, bytes + seen_before, seen - seen_before, total - cut);
}

static void datagram(const uint8_t *bytes, size_t seen, size_t total, enum framer_side side)
{
	struct watch *w = calloc(1, sizeof(*w));

	w->side = side;
	w->total = total;
	framer_datagram(&w->framer, side, bytes, seen, total, see, w);
	must(w->opened[0] == 0 && w->opened[1] == 0);
	free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct watch *whole = calloc(1, sizeof(*whole)), *cut = calloc(1, sizeof(*cut));

	while (size >= CHUNK_HEAD) {
		size_t len = (size_t)data[1] << 8 | data[2], hidden = (size_t)(data[0] >> 1) * 64;
		size_t seen = len < size - CHUNK_HEAD ? len : size - CHUNK_HEAD;
		const uint8_t *bytes = data + CHUNK_HEAD;

		whole->side = cut->side = (enum framer_side)(data[0] & 1);
		feed(whole, bytes, seen, seen + hidden);
		feed_cut(cut, bytes, seen, seen + hidden, (len * 7 + size) % (seen + hidden + 1));
		datagram(bytes, seen, seen + hidden, whole->side);
		data += CHUNK_HEAD + seen;
		size -= CHUNK_HEAD + seen;
	}
	whole->side = cut->side = FRAMER_OUT;
	whole->last = cut->last = whole->total = cut->total = 0;
	framer_end(&whole->framer, FRAMER_OUT, see, whole);
	framer_end(&cut->framer, FRAMER_OUT, see, cut);
	must(whole->digest == cut->digest);
	must(whole->result == cut->result);
	must(!strcmp(framer_protocol(&whole->framer), framer_protocol(&cut->framer)));
	free(whole);
	free(cut);
	return 0;
}
