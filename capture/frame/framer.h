/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_FRAME_FRAMER_H
#define GAIT_CAPTURE_FRAME_FRAMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Finds messages in the bytes of a connection: where each request and each reply begins and ends,
 * which reply is whose, and the verb (a command or method, never an argument). Bytes are looked at
 * in memory; only the start of the header under way is kept, and only until it is whole.
 *
 * Pure: no allocation, no I/O, no clock. Chunks may be cut anywhere: the marks are the same at the
 * same offsets of the stream however it was cut. docs/CAPTURE.md ("Framing") has the rules of each
 * protocol and what is not framed.
 */
#define FRAMER_VERB_MAX 24
#define FRAMER_HELD 64		  /* bytes of a header's start that are kept and looked at */
#define FRAMER_LINE_MAX (1 << 20) /* a longer line is not of these protocols: FRAMER_LOST */
#define FRAMER_NOTES 16		  /* unusual requests (HEAD, SUBSCRIBE ...) that may wait at once */
#define FRAMER_STREAMS 112	  /* HTTP/2 streams that may be open at once */
#define FRAMER_COMMANDS 64	  /* MySQL commands that may wait at once */

/* Towards the service, from the service. */
enum framer_side { FRAMER_IN, FRAMER_OUT };

enum framer_mark_kind {
	FRAMER_REQUEST_BEGIN,
	FRAMER_REQUEST_END,
	FRAMER_REPLY_BEGIN,
	FRAMER_REPLY_END,
};

/* Of a mark; an END has all that apply, a BEGIN those that are known by then. */
enum framer_mark_flag {
	FRAMER_NO_REPLY = 1, /* the request gets none: it is over here */
	FRAMER_PUSH = 2,     /* a reply that nobody asked for */
	FRAMER_ERROR = 4,    /* the reply says that the request failed */
};

struct framer_mark {
	enum framer_mark_kind kind;
	uint32_t flags;
	/*
	 * The same for a request and its reply: a sequence number, a stream's id, a DNS id plus
	 * one; 0 for a reply that belongs to no request. A request without reply gives its number
	 * back: the next one has it again. HTTP/2 and DNS may reuse or interleave ids, the others
	 * count by one and reply in order.
	 */
	uint64_t id;
	/*
	 * Bytes into this chunk, 0..total: of the message's first byte (BEGIN), behind its last
	 * (END). A message whose header was split begins `back` bytes before this chunk, and at is
	 * 0: its mark comes with the byte that tells what it is. Its offset in the stream is where
	 * the chunk began + at - back.
	 */
	uint64_t at;
	uint32_t back;
	/*
	 * Of requests; "" when not known. END has it, BEGIN only in protocols whose first bytes
	 * tell (RESP and MySQL do not).
	 */
	char verb[FRAMER_VERB_MAX];
};

typedef void (*framer_mark_fn)(void *arg, const struct framer_mark *mark);

enum framer_result {
	FRAMER_OK,
	FRAMER_SHORT, /* a header lies in bytes that moved but are not visible */
	FRAMER_LOST, /* not a protocol that is known, not what it should be, or another from here */
};

/* One direction of a connection. */
struct framer_stream {
	uint64_t at;	   /* bytes that have gone by */
	uint64_t token_at; /* where the piece of header under way began */
	uint64_t skip;	   /* bytes of a body still to pass over, visible or not */
	uint64_t left;	   /* the protocol's: body bytes, values, definitions still to come */
	uint32_t got;	   /* bytes of the piece so far; the first of them in held */
	uint32_t stream;   /* HTTP/2: of the frame under way */
	uint32_t frame;	   /* payload of the frame under way, behind what was looked at */
	uint16_t index;	   /* words or arguments of this message so far */
	uint8_t state, take, want;
	uint8_t kind; /* the protocol's: of the message or frame under way */
	uint8_t mode; /* the protocol's: bits of the message or frame under way */
	uint8_t held[FRAMER_HELD];
};

/* What has to be remembered of a request that waits until its reply comes. */
struct framer_note {
	uint64_t id;
	uint32_t what;
};

struct frame_protocol;

/* All of a connection's state, to embed; fixed in size, at most 1 KiB. */
struct framer {
	const struct frame_protocol *protocol;
	struct framer_stream stream[2];
	uint64_t requests; /* that began and get a reply */
	uint64_t answered; /* replies that ended */
	uint64_t reply_id;
	uint32_t reply_flags;
	bool reply_open, request_open;
	bool over; /* what follows is another protocol, or none */
	char verb[FRAMER_VERB_MAX];
	union {
		struct {
			struct framer_note notes[FRAMER_NOTES];
			uint8_t first, count;
			bool subscribed;
		};
		struct {
			uint32_t last;
			uint32_t ids[FRAMER_STREAMS];
			uint16_t what[FRAMER_STREAMS];
			uint8_t open;
		} http2;
		struct {
			uint8_t commands[FRAMER_COMMANDS];
			uint8_t first, count;
			uint8_t phase,
				eof;   /* of the reply; whether column definitions end in EOF */
			bool prepared; /* the last reply may still have an EOF to come */
			uint32_t columns;
		} mysql;
		struct {
			bool extended; /* the request under way or waiting is P .. S */
			bool copying, swallow_sync, failed;
			bool starting; /* the next message in has no type */
			bool encrypting;
		} postgresql;
	};
};

_Static_assert(sizeof(struct framer) <= 1024, "a framer is at most 1 KiB");

/* Nothing recognised yet, ids from 1 again; a zero-initialised struct is as good. */
void framer_init(struct framer *f);

/*
 * "" until recognised, then for good: http/1, http/2, resp, postgresql, mysql, memcached,
 * memcached-binary, dns.
 */
const char *framer_protocol(const struct framer *f);

/*
 * The next `total` bytes of one direction, of which the first `seen` (<= total) are visible; calls
 * fn for each mark, in order. Bodies need not be visible. Unless the result is FRAMER_OK the framer
 * is of no use until framer_init(), which may find its way again where a request begins; marks
 * given before stay true. The connection's chunks must come in the order in which they moved.
 */
enum framer_result framer_feed(struct framer *f, enum framer_side side, const uint8_t *bytes,
			       size_t seen, size_t total, framer_mark_fn fn, void *arg);

/*
 * The direction was closed: ends what only the close ends (an HTTP/1 reply without length, the
 * reply that is PostgreSQL's last error). A message that was cut gets no END.
 */
void framer_end(struct framer *f, enum framer_side side, framer_mark_fn fn, void *arg);

/*
 * One datagram (DNS). Each stands for itself: after FRAMER_LOST or FRAMER_SHORT the next may be
 * fed. Not for a framer that framer_feed() has seen.
 */
enum framer_result framer_datagram(struct framer *f, enum framer_side side, const uint8_t *bytes,
				   size_t seen, size_t total, framer_mark_fn fn, void *arg);

/* What the first bytes of a request say about it, without a connection. */
struct framing {
	const char *protocol; /* static; "" when not recognised */
	char verb[FRAMER_VERB_MAX];
};

/* RESP and HTTP/1 only; the verb must lie in the bytes. */
void framer_look(const uint8_t *bytes, size_t len, struct framing *ret_framing);

#endif
