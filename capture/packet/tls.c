/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/tls.h"

#include <string.h>

#define HEADER 5
#define RECORD_MAX ((1 << 14) + 2048)
#define HIDDEN_ALERT 19 /* level, description, kind, and the tag of every cipher of TLS 1.3 */

enum record_kind {
	RECORD_CHANGE_CIPHER = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_APPLICATION = 23,
	RECORD_HEARTBEAT = 24,
};

static bool begins_with(const uint8_t *bytes, size_t seen, enum record_kind kind)
{
	return seen > 2 && bytes[0] == kind && bytes[1] == 3 && bytes[2] <= 4;
}

bool tls_begins(const uint8_t *bytes, size_t seen)
{
	return begins_with(bytes, seen, RECORD_HANDSHAKE) || tls_is_under_way(bytes, seen);
}

bool tls_is_under_way(const uint8_t *bytes, size_t seen)
{
	return begins_with(bytes, seen, RECORD_APPLICATION);
}

/* Whether a record that calls itself application data is. */
static bool is_the_applications(struct tls *t, bool reply, uint32_t length)
{
	if (reply) {
		t->hides |= !t->asked;
		return t->asked; /* before that: its part of the handshake, tickets */
	}
	if (t->hides && length == HIDDEN_ALERT)
		return false;
	if (t->hides && !t->finished) {
		t->finished = true;
		return false;
	}
	t->asked = true;
	return true;
}

/* The header of a record is whole. */
static void begin_record(struct tls *t, struct tls_stream *s, bool reply)
{
	uint16_t length = (uint16_t)(s->head[3] << 8 | s->head[4]);

	s->got = 0;
	if (s->head[0] < RECORD_CHANGE_CIPHER || s->head[0] > RECORD_HEARTBEAT || s->head[1] != 3 ||
	    length > RECORD_MAX) {
		t->lost = true;
		return;
	}
	s->left = length;
	s->counts = s->head[0] == RECORD_APPLICATION && is_the_applications(t, reply, length);
	if (!s->counts)
		return;
	s->records++;
	s->bytes += length;
	s->largest = s->largest > length ? s->largest : length;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t tls_application_bytes(struct tls *t, bool reply, const uint8_t *bytes, size_t seen,
			     size_t total)
{
	struct tls_stream *s = reply ? &t->out : &t->in;
	size_t at = 0, counted = 0, n;

	while (at < total && !t->lost) {
		if (s->left) {
			n = least(s->left, total - at);
			s->left -= (uint16_t)n;
			if (t->hello && s->head[0] == RECORD_HANDSHAKE)
				tls_hello_feed(t->hello, reply, at < seen ? bytes + at : NULL,
					       at < seen ? least(n, seen - at) : 0, n);
			counted += s->counts ? n : 0;
			at += n;
			continue;
		}
		if (at >= seen) { /* a header that was not captured */
			t->lost = true;
			break;
		}
		n = least(HEADER - s->got, seen - at);
		memcpy(s->head + s->got, bytes + at, n);
		s->got = (s->got + n) & 7;
		at += n;
		if (s->got < HEADER)
			continue;
		begin_record(t, s, reply);
		counted += s->counts ? HEADER : 0;
	}
	return t->lost ? total : counted;
}
