/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.0 and 1.1: message framing of RFC 9112. */
#include "capture/frame/frame.h"

#include <ctype.h>

enum { REQUEST_LINE, STATUS_LINE, FIELD, CHUNK_LINE, CHUNK_END, TRAILER, BODY_END, UNTIL_CLOSE };

/* framer_stream.mode: what the fields of this message said. */
enum {
	HAS_LENGTH = 1,
	CHUNKED = 2,
	TRANSFER = 4, /* a transfer coding of some kind: no length counts (RFC 9112 6.3) */
	INTERIM = 8,  /* a 1xx: not the reply */
	NO_BODY = 16,
	LAST = 32, /* behind this reply the connection is something else */
};

/* What is noted of a request, for its reply. */
enum { NOTE_HEAD = 1, NOTE_CONNECT };

/* IANA's registry, as far as one meets them; the first nine are RFC 9110's and PATCH. */
static const struct {
	const char *name;
	uint32_t note;
} methods[] = {
	{ "GET", 0 },
	{ "POST", 0 },
	{ "HEAD", NOTE_HEAD },
	{ "PUT", 0 },
	{ "DELETE", 0 },
	{ "PATCH", 0 },
	{ "OPTIONS", 0 },
	{ "TRACE", 0 },
	{ "PROPFIND", 0 },
	{ "MKCOL", 0 },
	{ "COPY", 0 },
	{ "MOVE", 0 },
	{ "PROPPATCH", 0 },
	{ "LOCK", 0 },
	{ "UNLOCK", 0 },
	{ "REPORT", 0 },
	{ "PURGE", 0 },
	{ "SEARCH", 0 },
	{ "MKCALENDAR", 0 },
	{ "ACL", 0 },
	{ "LINK", 0 },
	{ "UNLINK", 0 },
	{ "QUERY", 0 },
	{ "BAN", 0 },
	{ "SUBSCRIBE", 0 },
	{ "NOTIFY", 0 },
	{ "UNSUBSCRIBE", 0 },
	{ "M-SEARCH", 0 },
	{ "CONNECT", NOTE_CONNECT },
};

static bool is_target(const char *method, uint8_t first)
{
	if (!strcmp(method, "CONNECT"))
		return isalnum(first) || first == '[';
	return first == '/' || first == '*' || first == 'h';
}

/*
 * A line that ends without a version is somebody else's: an inline command of Redis, say. One byte
 * after the other, so that the first that tells is the same however many there are.
 */
static enum frame_look look_version(const uint8_t *bytes, size_t len)
{
	static const char version[] = " HTTP/1";
	size_t n = sizeof(version) - 1;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n' || !frame_is_text(bytes + i, 1))
			return LOOK_NO;
		if (i + 1 >= n && !memcmp(bytes + i + 1 - n, version, n))
			return LOOK_YES;
	}
	return len < FRAMER_HELD ? LOOK_MORE : LOOK_YES; /* a long target */
}

static enum frame_look look(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < FRAME_COUNT(methods); i++) {
		size_t n;

		if (len && bytes[0] != (uint8_t)methods[i].name[0])
			continue;
		n = strlen(methods[i].name);
		if (memcmp(bytes, methods[i].name, len < n ? len : n))
			continue;
		if (len <= n)
			return LOOK_MORE;
		if (bytes[n] != ' ')
			continue;
		if (len == n + 1)
			return LOOK_MORE;
		return is_target(methods[i].name, bytes[n + 1]) ? look_version(bytes, len) :
								  LOOK_NO;
	}
	return LOOK_NO;
}

static void start(struct framer *f, const uint8_t *bytes, size_t len)
{
	frame_line(&f->stream[FRAMER_IN], REQUEST_LINE);
	frame_line(&f->stream[FRAMER_OUT], STATUS_LINE);
}

static void begin_fields(struct framer_stream *s, unsigned int mode)
{
	s->mode = (uint8_t)mode;
	s->left = 0;
	frame_line(s, FIELD);
}

/* A method is a word of capitals; the length of it, 0 when there is none. */
static size_t method_length(const struct frame_token *t)
{
	size_t n = 0;

	while (n < t->seen && (isupper(t->bytes[n]) || t->bytes[n] == '-'))
		n++;
	return n < t->seen && t->bytes[n] == ' ' ? n : 0;
}

static bool request_line(struct frame *x, const struct frame_token *t)
{
	size_t n = method_length(t);
	const char *verb = "";
	uint32_t note = 0;

	if (!t->len) { /* empty lines before a request are allowed (RFC 9112 2.2) */
		frame_line(x->s, REQUEST_LINE);
		return true;
	}
	if (!n)
		return false;
	for (size_t i = 0; i < FRAME_COUNT(methods); i++) {
		if (strlen(methods[i].name) == n && !memcmp(t->bytes, methods[i].name, n)) {
			verb = methods[i].name;
			note = methods[i].note;
			break;
		}
	}
	frame_request_begin(x, x->s->token_at, verb);
	begin_fields(x->s, 0);
	return !note || frame_note(x->f, note);
}

/* The bits of framer_stream.mode that a status says, for the request that waits. */
static unsigned int mode_of_status(struct framer *f, unsigned int status)
{
	const uint32_t *note = frame_noted(f);

	if (status == 101 || (status / 100 == 2 && note && *note == NOTE_CONNECT))
		return NO_BODY | LAST;
	if (status < 200)
		return INTERIM;
	if (status == 204 || status == 304 || (note && *note == NOTE_HEAD))
		return NO_BODY;
	return 0;
}

static bool status_line(struct frame *x, const struct frame_token *t)
{
	unsigned int mode;
	uint64_t status;

	if (t->seen < 12 || memcmp(t->bytes, "HTTP/1.", 7) || !isdigit(t->bytes[7]) ||
	    t->bytes[8] != ' ' || !frame_number(t->bytes + 9, 3, &status) || status < 100)
		return false;
	mode = mode_of_status(x->f, (unsigned int)status);
	if (!(mode & INTERIM))
		frame_reply_begin(x, x->s->token_at, status >= 400 ? FRAMER_ERROR : 0);
	begin_fields(x->s, mode);
	return true;
}

static void trim_blanks(const uint8_t **bytes, size_t *len)
{
	while (*len && (**bytes == ' ' || **bytes == '\t')) {
		++*bytes;
		--*len;
	}
	while (*len && ((*bytes)[*len - 1] == ' ' || (*bytes)[*len - 1] == '\t'))
		--*len;
}

static bool content_length(struct framer_stream *s, const uint8_t *value, size_t len)
{
	uint64_t length;

	if (!frame_number(value, len, &length) || ((s->mode & HAS_LENGTH) && s->left != length))
		return false;
	s->left = length;
	s->mode |= HAS_LENGTH;
	return true;
}

/* Chunked counts when it is the last coding. */
static bool transfer_encoding(struct framer_stream *s, const uint8_t *value, size_t len)
{
	struct frame_token last = { .bytes = value, .seen = len, .len = len };

	if (len > 7 && (value[len - 8] == ' ' || value[len - 8] == ',' || value[len - 8] == '\t'))
		last = (struct frame_token){ .bytes = value + len - 7, .seen = 7, .len = 7 };
	s->mode |= TRANSFER;
	s->mode &= ~CHUNKED;
	if (frame_is(&last, "chunked"))
		s->mode |= CHUNKED;
	return true;
}

static const struct {
	const char *name;
	bool (*take)(struct framer_stream *s, const uint8_t *value, size_t len);
} fields[] = {
	{ "content-length:", content_length },
	{ "transfer-encoding:", transfer_encoding },
};

static void end_message(struct frame *x)
{
	if (x->side == FRAMER_IN) {
		frame_request_end(x, 0);
		frame_line(x->s, REQUEST_LINE);
	} else {
		frame_reply_end(x);
		frame_line(x->s, STATUS_LINE);
	}
}

/* RFC 9112 6.3. */
static bool end_fields(struct frame *x)
{
	struct framer_stream *s = x->s;

	if (s->mode & INTERIM) {
		frame_line(s, STATUS_LINE);
	} else if (s->mode & NO_BODY) {
		x->f->over = s->mode & LAST;
		end_message(x);
	} else if (s->mode & CHUNKED) {
		frame_line(s, CHUNK_LINE);
	} else if (s->mode & TRANSFER && x->side == FRAMER_IN) {
		return false;
	} else if (s->mode & HAS_LENGTH && !(s->mode & TRANSFER)) {
		frame_skip(s, s->left, BODY_END);
	} else if (x->side == FRAMER_IN) {
		end_message(x);
	} else {
		frame_skip(s, UINT64_MAX, UNTIL_CLOSE);
	}
	return true;
}

static bool field(struct frame *x, const struct frame_token *t)
{
	if (!t->len)
		return end_fields(x);
	frame_line(x->s, FIELD);
	for (size_t i = 0; i < FRAME_COUNT(fields); i++) {
		size_t n = strlen(fields[i].name);
		const uint8_t *value = t->bytes + n;
		size_t len = t->seen - n;

		if (!frame_starts(t, fields[i].name))
			continue;
		trim_blanks(&value, &len);
		return t->len == t->seen && fields[i].take(x->s, value, len);
	}
	return true;
}

/* RFC 9112 7.1: a size in hex, extensions behind a semicolon or blank. */
static bool chunk_line(struct frame *x, const struct frame_token *t)
{
	uint64_t size = 0;
	size_t i = 0;

	for (; i < t->seen && isxdigit(t->bytes[i]); i++) {
		if (i == 15)
			return false;
		size = size << 4 |
		       (isdigit(t->bytes[i]) ? t->bytes[i] - '0' : (t->bytes[i] | 0x20) - 'a' + 10);
	}
	if (!i || (i < t->seen && !strchr("; \t", t->bytes[i])))
		return false;
	if (size)
		frame_skip(x->s, size, CHUNK_END);
	else
		frame_line(x->s, TRAILER);
	return true;
}

/* The empty line behind a chunk is asked for as one, so that a wrong size is noticed. */
static bool chunk_end(struct frame *x, const struct frame_token *t)
{
	if (x->s->take == TAKE_NOTHING) {
		frame_line(x->s, CHUNK_END);
		return true;
	}
	frame_line(x->s, CHUNK_LINE);
	return !t->len;
}

static bool trailer(struct frame *x, const struct frame_token *t)
{
	if (t->len)
		frame_line(x->s, TRAILER);
	else
		end_message(x);
	return true;
}

static bool body_end(struct frame *x, const struct frame_token *t)
{
	end_message(x);
	return true;
}

static bool until_close(struct frame *x, const struct frame_token *t)
{
	return false; /* 2^64 bytes went by */
}

static const frame_step steps[] = {
	[REQUEST_LINE] = request_line, [STATUS_LINE] = status_line, [FIELD] = field,
	[CHUNK_LINE] = chunk_line,     [CHUNK_END] = chunk_end,	    [TRAILER] = trailer,
	[BODY_END] = body_end,	       [UNTIL_CLOSE] = until_close,
};

static void closed(struct frame *x)
{
	if (x->side == FRAMER_OUT && x->f->reply_open && x->s->state == UNTIL_CLOSE)
		frame_reply_end(x);
}

const struct frame_protocol frame_http1 = {
	.name = "http/1",
	.look = { look, NULL },
	.start = start,
	.steps = steps,
	.closed = closed,
};
