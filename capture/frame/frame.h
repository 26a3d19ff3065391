/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the protocols of capture/frame/framer.h are made of. A protocol never sees a chunk: it asks for
 * the next piece of header (so many bytes, a line, a word), gets it when it is whole, marks what
 * it learned and asks for the next, or for bytes to be skipped. So each is written once, for any
 * way in which a stream may be cut.
 */
#ifndef GAIT_CAPTURE_FRAME_FRAME_H
#define GAIT_CAPTURE_FRAME_FRAME_H

#include "capture/frame/framer.h"

#include <string.h>

#define FRAME_COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum frame_take {
	TAKE_NOTHING, /* go on at once */
	TAKE_BYTES,
	TAKE_LINE, /* up to LF; neither CR nor LF is part of it */
	TAKE_WORD, /* up to a blank or LF */
};

struct frame_token {
	const uint8_t *bytes;
	size_t seen;  /* of the bytes, at most FRAMER_HELD */
	uint64_t len; /* all of it */
	uint8_t end;  /* of a word: the blank or LF behind it */
};

/* One call of framer_feed(). */
struct frame {
	struct framer *f;
	struct framer_stream *s; /* the direction that is fed */
	enum framer_side side;
	uint64_t chunk_at; /* where the chunk begins in the stream */
	framer_mark_fn fn;
	void *arg;
};

/* Takes the piece asked for, and asks for the next. False: this is not the protocol. */
typedef bool (*frame_step)(struct frame *x, const struct frame_token *t);

/*
 * Must not change its mind when more bytes come, and must have one within FRAMER_HELD bytes.
 */
enum frame_look { LOOK_NO, LOOK_MORE, LOOK_YES };

struct frame_protocol {
	const char *name;
	/* By the direction whose bytes come first; NULL: this direction does not open. */
	enum frame_look (*look[2])(const uint8_t *bytes, size_t len);
	/* Asks for the first piece of both directions. */
	void (*start)(struct framer *f, const uint8_t *bytes, size_t len);
	const frame_step *steps; /* by framer_stream.state */
	void (*closed)(struct frame *x);
};

extern const struct frame_protocol frame_http1, frame_http2, frame_resp, frame_postgresql,
	frame_mysql, frame_memcached, frame_memcached_binary, frame_dns;

/* What is asked for next, and the step that takes it. */
void frame_bytes(struct framer_stream *s, unsigned int count, int state); /* 1..FRAMER_HELD */
void frame_line(struct framer_stream *s, int state);
void frame_word(struct framer_stream *s, int state);
void frame_skip(struct framer_stream *s, uint64_t count, int state);

/* A request begins with this piece. Its END has the verb that framer.verb then holds. */
void frame_request_begin(struct frame *x, uint64_t at, const char *verb);
void frame_request_end(struct frame *x, uint32_t flags);

/*
 * The reply to the first request that waits, or, when none does, one that nobody asked for. Flags
 * add up until it ends.
 */
void frame_reply_begin(struct frame *x, uint64_t at, uint32_t flags);
void frame_reply_end(struct frame *x);
/* A whole reply that nobody asked for, possibly between the parts of another. */
void frame_push_begin(struct frame *x, uint64_t at);
void frame_push_end(struct frame *x, uint32_t flags);

/* A mark with everything said, for protocols whose messages are not in a row. */
void frame_mark(struct frame *x, enum framer_mark_kind kind, uint64_t id, uint64_t at,
		uint32_t flags, const char *verb);

/* The id of the first request that waits for a reply; 0 when none does. */
uint64_t frame_waiting(const struct framer *f);

/* Remembers `what` (not 0) of the request that began last; false when too many wait. */
bool frame_note(struct framer *f, uint32_t what);
/* What was noted of the first request that waits, to change; NULL when nothing. */
uint32_t *frame_noted(struct framer *f);

/* The token is `text`, in any case of letters. */
bool frame_is(const struct frame_token *t, const char *text);
bool frame_starts(const struct frame_token *t, const char *text);

/* Decimal digits and nothing else, at most 18; false otherwise. */
bool frame_number(const uint8_t *bytes, size_t len, uint64_t *ret);

/* Nothing but printable ASCII and blanks, up to a line's end. */
bool frame_is_text(const uint8_t *bytes, size_t len);

static inline uint32_t frame_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t frame_be24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | frame_be16(p + 1);
}

static inline uint32_t frame_be32(const uint8_t *p)
{
	return frame_be16(p) << 16 | frame_be16(p + 2);
}

static inline uint32_t frame_le24(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static inline uint32_t frame_min(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

#endif
