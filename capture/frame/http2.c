/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2, RFC 9113, and as much of HPACK, RFC 7541, as a method or status takes. */
#include "capture/frame/frame.h"

enum { PREFACE, HEADER, BLOCK, PROMISE, FRAME_END };

#define PREFACE_TEXT "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES 24
#define HEADER_BYTES 9
#define FIRST_MAX 16384 /* of a frame by which the protocol is recognised: the least limit */

enum {
	DATA,
	HEADERS,
	PRIORITY,
	RST_STREAM,
	SETTINGS,
	PUSH_PROMISE,
	PING,
	GOAWAY,
	WINDOW_UPDATE,
	CONTINUATION,
	TYPES
};

enum { END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8, PRIORITISED = 0x20 };

/* What frames of a type must be. */
static const struct {
	bool on_stream, on_connection; /* whose stream id is not 0, is 0 */
	uint32_t multiple;	       /* its length is a multiple of this */
	uint32_t exactly;	       /* its length, unless 0 */
} rules[TYPES] = {
	[DATA] = { true, false, 1, 0 },		[HEADERS] = { true, false, 1, 0 },
	[PRIORITY] = { true, false, 1, 5 },	[RST_STREAM] = { true, false, 1, 4 },
	[SETTINGS] = { false, true, 6, 0 },	[PUSH_PROMISE] = { true, false, 1, 0 },
	[PING] = { false, true, 1, 8 },		[GOAWAY] = { false, true, 1, 0 },
	[WINDOW_UPDATE] = { true, true, 1, 4 }, [CONTINUATION] = { true, false, 1, 0 },
};

static const char *const methods[] = { "",	 "GET",	    "POST",  "PUT",	"HEAD",
				       "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE" };

/* What is known of an open stream; the method is in the bits above. */
enum { REQUEST_ENDED = 1, REPLY_BEGAN = 2, REPLY_ENDED = 4, PUSHED = 8, FAILED = 16 };
#define METHOD_SHIFT 5

/* HPACK. */

struct hpack {
	const uint8_t *bytes;
	size_t at, len;
};

struct field {
	uint32_t index; /* of the name in the static table, 0: spelt out; the value too if indexed */
	bool indexed, huffman;
	const uint8_t *value;
	size_t value_len;
};

/* RFC 7541 5.1; false where the bytes that are looked at end. */
static bool hpack_number(struct hpack *h, unsigned int bits, uint32_t *ret)
{
	uint32_t mask = (1U << bits) - 1, value;

	if (h->at >= h->len)
		return false;
	value = h->bytes[h->at++] & mask;
	for (unsigned int shift = 0; value >= mask && shift <= 14; shift += 7) {
		if (h->at >= h->len)
			return false;
		value += (uint32_t)(h->bytes[h->at] & 0x7f) << shift;
		if (!(h->bytes[h->at++] & 0x80))
			break;
		if (shift == 14)
			return false;
	}
	*ret = value;
	return true;
}

static bool hpack_string(struct hpack *h, const uint8_t **ret, size_t *ret_len, bool *ret_huffman)
{
	uint32_t len;

	*ret_huffman = h->at < h->len && (h->bytes[h->at] & 0x80);
	if (!hpack_number(h, 7, &len) || len > h->len - h->at)
		return false;
	*ret = h->bytes + h->at;
	*ret_len = len;
	h->at += len;
	return true;
}

/* RFC 7541 6: the next field, behind changes of the table's size. */
static bool hpack_next(struct hpack *h, struct field *ret)
{
	uint8_t first;
	uint32_t size;

	while (h->at < h->len && (h->bytes[h->at] & 0xe0) == 0x20) {
		if (!hpack_number(h, 5, &size))
			return false;
	}
	if (h->at >= h->len)
		return false;
	first = h->bytes[h->at];
	*ret = (struct field){ .indexed = first & 0x80 };
	if (!hpack_number(h, first & 0x80 ? 7 : first & 0x40 ? 6 : 4, &ret->index))
		return false;
	if (ret->indexed)
		return true;
	if (!ret->index && !hpack_string(h, &ret->value, &ret->value_len, &ret->huffman))
		return false;
	return hpack_string(h, &ret->value, &ret->value_len, &ret->huffman);
}

/*
 * RFC 7541 appendix B, of digits and capitals as far as their codes are in a row: 0-2 have five
 * bits, 3-9 and A six, B-W seven.
 */
static char huffman_char(uint32_t code, unsigned int bits)
{
	if (bits == 5)
		return code <= 2 ? (char)('0' + code) : '\0';
	if (bits == 6)
		return code == 0x21		    ? 'A' :
		       code >= 0x19 && code <= 0x1f ? (char)('3' + code - 0x19) :
						      '\0';
	return code >= 0x5d && code <= 0x72 ? (char)('B' + code - 0x5d) : '\0';
}

/* Codes of five bits are below 10, of six below 46. */
static unsigned int huffman_bits(uint32_t seven)
{
	return seven >> 2 < 10 ? 5 : seven >> 1 < 46 ? 6 : 7;
}

/* Seven bits from `bit` on; ones, which are padding, behind the end. */
static uint32_t huffman_window(const struct field *f, size_t bit)
{
	uint32_t window = 0;

	for (size_t b = bit; b < bit + 7; b++) {
		uint32_t one = b < 8 * f->value_len ? f->value[b / 8] >> (7 - b % 8) & 1 : 1;

		window = window << 1 | one;
	}
	return window;
}

/* A value of digits and capitals; of another what comes before, or "". */
static void spell(const struct field *f, char ret[8])
{
	size_t bit = 0, bits = 8 * f->value_len;

	memset(ret, 0, 8);
	if (!f->huffman) {
		if (f->value_len < 8)
			memcpy(ret, f->value, f->value_len);
		return;
	}
	for (size_t n = 0; n < 7; n++) {
		uint32_t window = huffman_window(f, bit);
		unsigned int width = huffman_bits(window);

		if (bit + width > bits)
			return;
		ret[n] = huffman_char(window >> (7 - width), width);
		if (!ret[n])
			return;
		bit += width;
	}
}

/* The first field whose name has an index from first to last. */
static bool find_field(const uint8_t *bytes, size_t len, uint32_t first, uint32_t last,
		       struct field *ret)
{
	struct hpack h = { bytes, 0, len };

	while (hpack_next(&h, ret)) {
		if (ret->index >= first && ret->index <= last)
			return true;
	}
	return false;
}

/* An index into methods. */
static unsigned int method_of(const uint8_t *bytes, size_t len)
{
	struct field field;
	char name[8];

	if (!find_field(bytes, len, 2, 3, &field))
		return 0;
	if (field.indexed)
		return field.index - 1;
	spell(&field, name);
	for (unsigned int i = 1; i < FRAME_COUNT(methods); i++) {
		if (!strcmp(methods[i], name))
			return i;
	}
	return 0;
}

/* 0 when not to be seen: it lies in the dynamic table. */
static unsigned int status_of(const uint8_t *bytes, size_t len)
{
	static const unsigned int known[] = { 200, 204, 206, 304, 400, 404, 500 };
	struct field field;
	uint64_t status;
	char text[8];

	if (!find_field(bytes, len, 8, 14, &field))
		return 0;
	if (field.indexed)
		return known[field.index - 8];
	spell(&field, text);
	return frame_number((const uint8_t *)text, strlen(text), &status) && status < 1000 ?
		       (unsigned int)status :
		       0;
}

/* Recognition. */

/*
 * On a connection that was open: HEADERS of one frame, with the stream of a client, that begin with
 * a field which requests begin with.
 */
static enum frame_look look_headers(const uint8_t *b, size_t len)
{
	static const uint8_t fixed[] = { 0, 0, 0, HEADERS };
	size_t block = HEADER_BYTES;

	if (b[0] || (len > 3 && b[3] != fixed[3]) ||
	    (len > 4 &&
	     (!(b[4] & END_HEADERS) || b[4] & ~(END_HEADERS | END_STREAM | PRIORITISED))))
		return LOOK_NO;
	if (len > 5 && b[5])
		return LOOK_NO;
	if (len > 8 && (!(b[8] & 1) || frame_be24(b) < 3 || frame_be24(b) > FIRST_MAX))
		return LOOK_NO;
	if (len > 4 && b[4] & PRIORITISED)
		block += 5;
	if (len <= block)
		return LOOK_MORE;
	return (b[block] >= 0x82 && b[block] <= 0x87) || b[block] >= 0xbe || b[block] == 0x41 ||
			       b[block] == 0x42 ?
		       LOOK_YES :
		       LOOK_NO;
}

static enum frame_look look(const uint8_t *bytes, size_t len)
{
	if (bytes[0] != PREFACE_TEXT[0])
		return look_headers(bytes, len);
	if (memcmp(bytes, PREFACE_TEXT, len < PREFACE_BYTES ? len : PREFACE_BYTES))
		return LOOK_NO;
	return len < PREFACE_BYTES ? LOOK_MORE : LOOK_YES;
}

static void start(struct framer *f, const uint8_t *bytes, size_t len)
{
	if (bytes[0])
		frame_bytes(&f->stream[FRAMER_IN], PREFACE_BYTES, PREFACE);
	else
		frame_bytes(&f->stream[FRAMER_IN], HEADER_BYTES, HEADER);
	frame_bytes(&f->stream[FRAMER_OUT], HEADER_BYTES, HEADER);
}

/* Streams. */

static int find_stream(const struct framer *f, uint32_t id)
{
	for (int i = f->http2.open - 1; i >= 0; i--) {
		if (f->http2.ids[i] == id)
			return i;
	}
	return -1;
}

static bool open_stream(struct framer *f, uint32_t id, unsigned int what)
{
	if (f->http2.open == FRAMER_STREAMS)
		return false;
	f->http2.ids[f->http2.open] = id;
	f->http2.what[f->http2.open++] = (uint16_t)what;
	return true;
}

static void close_stream_if_done(struct framer *f, int i)
{
	if (~f->http2.what[i] & (REQUEST_ENDED | REPLY_ENDED))
		return;
	f->http2.open--;
	f->http2.ids[i] = f->http2.ids[f->http2.open];
	f->http2.what[i] = f->http2.what[f->http2.open];
}

static uint32_t reply_flags(uint16_t what)
{
	return (what & PUSHED ? FRAMER_PUSH : 0) | (what & FAILED ? FRAMER_ERROR : 0);
}

static const char *verb_of(const struct framer *f, int i)
{
	return methods[f->http2.what[i] >> METHOD_SHIFT];
}

static void end_request(struct frame *x, int i)
{
	uint16_t *what = &x->f->http2.what[i];

	if (*what & REQUEST_ENDED)
		return;
	*what |= REQUEST_ENDED;
	frame_mark(x, FRAMER_REQUEST_END, x->f->http2.ids[i], x->s->at, 0, verb_of(x->f, i));
}

static void begin_stream_reply(struct frame *x, int i, uint64_t at)
{
	uint16_t *what = &x->f->http2.what[i];

	if (*what & REPLY_BEGAN)
		return;
	*what |= REPLY_BEGAN;
	frame_mark(x, FRAMER_REPLY_BEGIN, x->f->http2.ids[i], at, reply_flags(*what), "");
}

static void end_stream_reply(struct frame *x, int i)
{
	uint16_t *what = &x->f->http2.what[i];

	if (*what & REPLY_ENDED || !(*what & REPLY_BEGAN))
		return;
	*what |= REPLY_ENDED;
	frame_mark(x, FRAMER_REPLY_END, x->f->http2.ids[i], x->s->at, reply_flags(*what), "");
}

/* END_STREAM of either side. */
static void end_side(struct frame *x, uint32_t id)
{
	int i = find_stream(x->f, id);

	if (i < 0)
		return;
	if (x->side == FRAMER_IN)
		end_request(x, i);
	else
		end_stream_reply(x, i);
	close_stream_if_done(x->f, i);
}

/* RST_STREAM of either side ends both: a reply that had not ended has failed. */
static void reset_stream(struct frame *x, uint32_t id)
{
	int i = find_stream(x->f, id);

	if (i < 0)
		return;
	end_request(x, i);
	if (!(x->f->http2.what[i] & REPLY_ENDED)) {
		x->f->http2.what[i] |= FAILED;
		begin_stream_reply(x, i, x->s->at);
		end_stream_reply(x, i);
	}
	close_stream_if_done(x->f, i);
}

/* Frames. framer_stream.kind is the type, .mode the flags, .stream the stream. */

static bool preface(struct frame *x, const struct frame_token *t)
{
	frame_bytes(x->s, HEADER_BYTES, HEADER);
	return !memcmp(t->bytes, PREFACE_TEXT, PREFACE_BYTES);
}

static bool is_frame(const struct framer_stream *s)
{
	if (s->kind >= TYPES)
		return true; /* extensions are to be ignored (RFC 9113 5.5) */
	if (s->stream ? !rules[s->kind].on_stream : !rules[s->kind].on_connection)
		return false;
	return s->frame % rules[s->kind].multiple == 0 &&
	       (!rules[s->kind].exactly || s->frame == rules[s->kind].exactly);
}

static bool header(struct frame *x, const struct frame_token *t)
{
	struct framer_stream *s = x->s;

	s->frame = frame_be24(t->bytes);
	s->kind = t->bytes[3];
	s->mode = t->bytes[4];
	s->stream = frame_be32(t->bytes + 5) & 0x7fffffff;
	if (!is_frame(s))
		return false;
	if (s->kind == HEADERS && s->frame)
		frame_bytes(s, frame_min(s->frame, FRAMER_HELD), BLOCK);
	else if (s->kind == PUSH_PROMISE && s->frame)
		frame_bytes(s, frame_min(s->frame, 5), PROMISE);
	else
		frame_skip(s, s->frame, FRAME_END);
	return true;
}

static bool request_headers(struct frame *x, const uint8_t *block, size_t len)
{
	struct framer_stream *s = x->s;
	struct framer *f = x->f;
	unsigned int method;

	if (s->stream % 2 == 0)
		return false;
	if (s->stream <= f->http2.last)
		return true; /* trailers */
	f->http2.last = s->stream;
	method = method_of(block, len);
	frame_mark(x, FRAMER_REQUEST_BEGIN, s->stream, s->token_at - HEADER_BYTES, 0,
		   methods[method]);
	return open_stream(f, s->stream, method << METHOD_SHIFT);
}

static bool reply_headers(struct frame *x, const uint8_t *block, size_t len)
{
	int i = find_stream(x->f, x->s->stream);
	unsigned int status;

	if (i < 0 || x->f->http2.what[i] & REPLY_BEGAN)
		return true; /* opened before we came, or trailers */
	status = status_of(block, len);
	if (status >= 100 && status < 200)
		return true;
	if (status >= 400)
		x->f->http2.what[i] |= FAILED;
	begin_stream_reply(x, i, x->s->token_at - HEADER_BYTES);
	return true;
}

/* The begin of a field block, behind padding length and priority. */
static bool block(struct frame *x, const struct frame_token *t)
{
	struct framer_stream *s = x->s;
	size_t at = (s->mode & PADDED ? 1U : 0) + (s->mode & PRIORITISED ? 5U : 0);

	if (at > t->seen)
		return false;
	frame_skip(s, s->frame - t->seen, FRAME_END);
	return x->side == FRAMER_IN ? request_headers(x, t->bytes + at, t->seen - at) :
				      reply_headers(x, t->bytes + at, t->seen - at);
}

static bool promise(struct frame *x, const struct frame_token *t)
{
	size_t at = x->s->mode & PADDED ? 1 : 0;

	frame_skip(x->s, x->s->frame - t->seen, FRAME_END);
	if (x->side == FRAMER_IN || t->seen < at + 4)
		return false;
	return open_stream(x->f, frame_be32(t->bytes + at) & 0x7fffffff, PUSHED | REQUEST_ENDED);
}

/*
 * END_STREAM on HEADERS that go on in CONTINUATION counts behind the last of these;
 * framer_stream.left keeps the stream until then.
 */
static bool frame_end(struct frame *x, const struct frame_token *t)
{
	struct framer_stream *s = x->s;
	bool ends = s->mode & END_STREAM && (s->kind == DATA || s->kind == HEADERS);

	frame_bytes(s, HEADER_BYTES, HEADER);
	if (s->kind == RST_STREAM)
		reset_stream(x, s->stream);
	else if (ends && s->kind == HEADERS && !(s->mode & END_HEADERS))
		s->left = s->stream;
	else if (ends)
		end_side(x, s->stream);
	else if (s->kind == CONTINUATION && s->mode & END_HEADERS && s->left == s->stream) {
		s->left = 0;
		end_side(x, s->stream);
	}
	return true;
}

static const frame_step steps[] = {
	[PREFACE] = preface, [HEADER] = header,	      [BLOCK] = block,
	[PROMISE] = promise, [FRAME_END] = frame_end,
};

const struct frame_protocol frame_http2 = {
	.name = "http/2",
	.look = { look, NULL },
	.start = start,
	.steps = steps,
};
