/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations for tests of capture/frame/framer.h, and what is found in them as text, a mark a word:
 *
 *	>0 Q1:GET >18 q1:GET <0 R1 <38 r1!
 *
 * says: in the bytes to the service a request begins at 0 and ends at 18, in those from it a reply
 * begins at 0 and ends, in error, at 38. Flags: '-' no reply, '+' not asked for, '!' error.
 */
#ifndef GAIT_TESTS_FRAMED_H
#define GAIT_TESTS_FRAMED_H

#include "capture/frame/framer.h"

#include "check.h"

#define IN(text)                                     \
	{                                            \
		FRAMER_IN, text, sizeof(text) - 1, 0 \
	}
#define OUT(text)                                     \
	{                                             \
		FRAMER_OUT, text, sizeof(text) - 1, 0 \
	}
/* `hidden` further bytes that moved and are not visible. */
#define IN_HIDING(text, hidden)                           \
	{                                                 \
		FRAMER_IN, text, sizeof(text) - 1, hidden \
	}
#define OUT_HIDING(text, hidden)                           \
	{                                                  \
		FRAMER_OUT, text, sizeof(text) - 1, hidden \
	}

struct step {
	enum framer_side side;
	const char *bytes;
	size_t len, hidden;
};

struct found {
	struct framer framer;
	enum framer_side side;
	uint64_t moved[2];
	enum framer_result result;
	size_t len;
	char text[1 << 14];
};

CHECK_FN void found_mark(void *arg, const struct framer_mark *m)
{
	struct found *f = arg;
	uint64_t at = f->moved[f->side] + m->at - m->back;

	CHECK(m->back <= f->moved[f->side] && (!m->back || !m->at));
	if (f->len + 80 > sizeof(f->text))
		return;
	f->len += (size_t)snprintf(
		f->text + f->len, sizeof(f->text) - f->len, "%s%c%llu %c%llu%s%s%s%s%s",
		f->len ? " " : "", f->side == FRAMER_IN ? '>' : '<', (unsigned long long)at,
		"QqRr"[m->kind], (unsigned long long)m -> id,
		m -> flags &FRAMER_NO_REPLY ? "-" : "", m->flags &FRAMER_PUSH ? "+" : "",
		m->flags &FRAMER_ERROR ? "!" : "", m->verb[0] ? ":" : "", m->verb);
}

/* Bytes from..to of a step, in an allocation of their own, for ASan. */
CHECK_FN void found_feed(struct found *f, const struct step *s, size_t from, size_t to, size_t seen)
{
	uint8_t *exact = malloc(seen + !seen);

	memcpy(exact, s->bytes + from, seen);
	f->side = s->side;
	if (f->result == FRAMER_OK)
		f->result = framer_feed(&f->framer, s->side, exact, seen, to - from, found_mark, f);
	f->moved[s->side] += to - from;
	free(exact);
}

/* The part of from..to that is visible. */
CHECK_FN size_t step_seen(const struct step *s, size_t from, size_t to)
{
	return from >= s->len ? 0 : (to < s->len ? to : s->len) - from;
}

CHECK_FN void found_feed_in_two(struct found *f, const struct step *s, size_t cut)
{
	size_t total = s->len + s->hidden;

	if (cut)
		found_feed(f, s, 0, cut, step_seen(s, 0, cut));
	if (cut < total)
		found_feed(f, s, cut, total, step_seen(s, cut, total));
}

CHECK_FN void found_feed_bytewise(struct found *f, const struct step *s)
{
	for (size_t i = 0; i < s->len; i++)
		found_feed(f, s, i, i + 1, 1);
	if (s->hidden)
		found_feed(f, s, s->len, s->len + s->hidden, 0);
}

CHECK_FN void found_end(struct found *f)
{
	f->side = FRAMER_OUT;
	if (f->result == FRAMER_OK)
		framer_end(&f->framer, FRAMER_OUT, found_mark, f);
}

#endif
