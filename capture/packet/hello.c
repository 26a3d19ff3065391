/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/hello.h"

#include <string.h>

#define CLIENT_HELLO 1
#define SERVER_HELLO 2
#define EXTENSION_ALPN 16
#define EXTENSION_VERSIONS 43
#define RANDOM_BYTES 32
#define SUITE_AND_COMPRESSION 3 /* of a service, which chose one of each */

/* The fields of a hello, in order. Each begins with a number of so many bytes. */
enum step {
	STEP_TYPE,
	STEP_LENGTH,
	STEP_VERSION, /* and behind it the random */
	STEP_SESSION,
	STEP_SUITES,
	STEP_COMPRESSION,
	STEP_EXTENSIONS,
	STEP_EXTENSION,
	STEP_EXTENSION_LENGTH,
	STEP_EXTENSION_BODY, /* no number: byte by byte */
};

static const uint8_t number_bytes[] = {
	[STEP_TYPE] = 1,	   [STEP_LENGTH] = 3,	 [STEP_VERSION] = 2,
	[STEP_SESSION] = 1,	   [STEP_SUITES] = 2,	 [STEP_COMPRESSION] = 1,
	[STEP_EXTENSIONS] = 2,	   [STEP_EXTENSION] = 2, [STEP_EXTENSION_LENGTH] = 2,
	[STEP_EXTENSION_BODY] = 0,
};

static struct tls_said *said_by(struct tls_hello *h)
{
	return h->reply ? &h->server : &h->client;
}

static void go_to(struct tls_hello *h, enum step step)
{
	h->step = (uint8_t)step;
	h->need = number_bytes[step];
	h->number = 0;
}

/* Others are drafts, and numbers that say nothing, sent so that services learn to pass them over (RFC 8701). */
static void note_version(struct tls_hello *h, uint32_t version)
{
	struct tls_said *said = said_by(h);

	if (version >> 8 == 3 && version <= 0x0304 && version > said->version)
		said->version = (uint16_t)version;
}

/* supported_versions: of a client a list behind its length, of a service the one it chose. */
static void version_byte(struct tls_hello *h, uint8_t byte)
{
	unsigned at = h->reply ? h->at + 1 : h->at;

	if (!at)
		return;
	h->number = h->number << 8 | byte;
	if (at % 2)
		return;
	note_version(h, h->number & 0xffff);
}

static void begin_name(struct tls_hello *h, uint8_t length)
{
	struct tls_said *said = said_by(h);
	size_t has = strlen(said->alpn);

	h->name_left = length;
	h->name_begins = (uint16_t)has;
	h->name_bad = !length || has + !!has + length >= sizeof(said->alpn);
	if (has && !h->name_bad)
		said->alpn[has] = '+';
}

/* A list of names behind its length, each behind its own. */
static void alpn_byte(struct tls_hello *h, uint8_t byte)
{
	char *alpn = said_by(h)->alpn;
	size_t has = strlen(alpn);

	if (h->at < 2)
		return;
	if (!h->name_left) {
		begin_name(h, byte);
		return;
	}
	h->name_bad |= byte <= ' ' || byte > '~' || byte == '+' || byte == ',' || byte == '"';
	if (!h->name_bad)
		alpn[has] = (char)byte;
	h->name_left--;
	if (!h->name_left && h->name_bad)
		memset(alpn + h->name_begins, 0, TLS_ALPN_SIZE - h->name_begins);
}

static void body_byte(struct tls_hello *h, uint8_t byte)
{
	if (h->extension == EXTENSION_ALPN)
		alpn_byte(h, byte);
	else
		version_byte(h, byte);
	h->at++;
	h->extension_left--;
}

static void next_extension(struct tls_hello *h)
{
	if (h->left < 4)
		h->over = true;
	else
		go_to(h, STEP_EXTENSION);
}

static void begin_extension(struct tls_hello *h)
{
	if (h->number + 4 > h->left) {
		h->over = true;
		return;
	}
	h->left -= h->number + 4;
	h->extension_left = h->number;
	h->at = 0;
	h->name_left = 0;
	if (h->extension == EXTENSION_ALPN || h->extension == EXTENSION_VERSIONS) {
		go_to(h, STEP_EXTENSION_BODY);
		return;
	}
	h->skip = h->number;
	h->extension_left = 0;
	next_extension(h);
}

static void skip_to(struct tls_hello *h, uint32_t bytes, enum step step)
{
	h->skip = bytes;
	go_to(h, step);
}

/* The number that begins a field is whole. */
static void take_number(struct tls_hello *h)
{
	switch ((enum step)h->step) {
	case STEP_TYPE:
		h->over = h->number != (h->reply ? SERVER_HELLO : CLIENT_HELLO);
		go_to(h, STEP_LENGTH);
		break;
	case STEP_LENGTH:
		go_to(h, STEP_VERSION);
		break;
	case STEP_VERSION: /* TLS 1.3 says 1.2 here, and the truth in an extension */
		note_version(h, h->number);
		skip_to(h, RANDOM_BYTES, STEP_SESSION);
		break;
	case STEP_SESSION:
		if (h->reply)
			skip_to(h, h->number + SUITE_AND_COMPRESSION, STEP_EXTENSIONS);
		else
			skip_to(h, h->number, STEP_SUITES);
		break;
	case STEP_SUITES:
		skip_to(h, h->number, STEP_COMPRESSION);
		break;
	case STEP_COMPRESSION:
		skip_to(h, h->number, STEP_EXTENSIONS);
		break;
	case STEP_EXTENSIONS:
		h->left = h->number;
		next_extension(h);
		break;
	case STEP_EXTENSION:
		h->extension = (uint16_t)h->number;
		go_to(h, STEP_EXTENSION_LENGTH);
		break;
	case STEP_EXTENSION_LENGTH:
		begin_extension(h);
		break;
	case STEP_EXTENSION_BODY:
		break;
	}
}

/* Cut off: a name of which only a part came is none. */
void tls_hello_end(struct tls_hello *h)
{
	char *alpn = said_by(h)->alpn;

	if (h->step == STEP_EXTENSION_BODY && h->name_left)
		memset(alpn + h->name_begins, 0, TLS_ALPN_SIZE - h->name_begins);
	h->name_left = 0;
	h->over = true;
}

static void feed_byte(struct tls_hello *h, uint8_t byte)
{
	if (h->step == STEP_EXTENSION_BODY && h->extension_left) {
		body_byte(h, byte);
	} else {
		h->number = h->number << 8 | byte;
		h->need--;
		if (!h->need)
			take_number(h);
	}
	if (h->step != STEP_EXTENSION_BODY || h->extension_left)
		return;
	if (h->name_left)
		tls_hello_end(h);
	else
		next_extension(h);
}

static void begin_hello(struct tls_hello *h, bool reply)
{
	h->reply = reply;
	h->over = false;
	h->skip = 0;
	go_to(h, STEP_TYPE);
}

void tls_hello_feed(struct tls_hello *h, bool reply, const uint8_t *bytes, size_t seen,
		    size_t total)
{
	if (reply && !h->reply) {
		tls_hello_end(h);
		begin_hello(h, true);
	} else if (!h->reply && !h->step && !h->need) {
		begin_hello(h, false);
	}
	if (reply != h->reply)
		return;
	for (size_t at = 0; at < seen && !h->over; at++) {
		size_t n = h->skip < seen - at ? h->skip : seen - at;

		h->skip -= (uint32_t)n;
		at += n;
		if (at < seen)
			feed_byte(h, bytes[at]);
	}
	if (seen < total && !h->over)
		tls_hello_end(h);
}

bool tls_hello_is_over(const struct tls_hello *h)
{
	return h->reply && h->over;
}

const char *tls_version_name(uint16_t version)
{
	static const char *const names[] = { "", "1.0", "1.1", "1.2", "1.3" };
	unsigned low = version & 0xff;

	return low < sizeof(names) / sizeof(names[0]) ? names[low] : "";
}
