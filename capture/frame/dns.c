/* SPDX-License-Identifier: Apache-2.0 */
/* DNS: RFC 1035 4.1.1, over TCP with the length in front of 4.2.2. */
#include "capture/frame/frame.h"

enum { MESSAGE, MESSAGE_END };

#define HEADER 12
#define TCP_HEADER (2 + HEADER)
#define SHORTEST (HEADER + 5) /* a question for the root */
#define FIRST_MAX 1024	      /* of a query by which the protocol is recognised */

#define BIT_REPLY 0x8000
#define BIT_ZERO 0x0040 /* must be zero; its neighbours are DNSSEC's */
#define NXDOMAIN 3

static const char *const opcodes[16] = {
	[0] = "query", [1] = "iquery", [2] = "status", [4] = "notify", [5] = "update",
};

static uint32_t opcode_of(const uint8_t *header)
{
	return frame_be16(header + 2) >> 11 & 15;
}

/* One question, no answer, little besides; an update has its own counts (RFC 2136). */
static bool is_query(const uint8_t *h)
{
	uint32_t bits = frame_be16(h + 2);
	bool update = opcode_of(h) == 5;

	return !(bits & (BIT_REPLY | BIT_ZERO)) && opcodes[opcode_of(h)] && !(bits & 15) &&
	       frame_be16(h + 4) == 1 && (update || frame_be16(h + 6) <= 1) &&
	       (update || frame_be16(h + 8) <= 1) && frame_be16(h + 10) <= 2;
}

static bool is_reply(const uint8_t *h)
{
	return (frame_be16(h + 2) & BIT_REPLY) && opcodes[opcode_of(h)] && frame_be16(h + 4) <= 1;
}

/* That there is no such name is an answer. */
static uint32_t flags_of(const uint8_t *h)
{
	uint32_t code = h[3] & 15;

	return code && code != NXDOMAIN ? FRAMER_ERROR : 0;
}

static uint64_t id_of(const uint8_t *h)
{
	return 1 + (uint64_t)frame_be16(h);
}

static enum frame_look look(const uint8_t *bytes, size_t len)
{
	if (len >= 2 && (frame_be16(bytes) < SHORTEST || frame_be16(bytes) > FIRST_MAX))
		return LOOK_NO;
	if (len < TCP_HEADER + 1)
		return LOOK_MORE;
	return is_query(bytes + 2) && bytes[TCP_HEADER] < 64 ? LOOK_YES : LOOK_NO;
}

static void start(struct framer *f, const uint8_t *bytes, size_t len)
{
	frame_bytes(&f->stream[FRAMER_IN], TCP_HEADER, MESSAGE);
	frame_bytes(&f->stream[FRAMER_OUT], TCP_HEADER, MESSAGE);
}

/* The header of the message under way stays: its id and flags are wanted at the end. */
static bool message(struct frame *x, const struct frame_token *t)
{
	const uint8_t *h = t->bytes + 2;
	uint32_t len = frame_be16(t->bytes);

	if (len < HEADER || !(x->side == FRAMER_IN ? is_query(h) : is_reply(h)))
		return false;
	x->s->stream = (uint32_t)id_of(h);
	x->s->kind = (uint8_t)opcode_of(h);
	x->s->mode = (uint8_t)flags_of(h);
	if (x->side == FRAMER_IN)
		frame_mark(x, FRAMER_REQUEST_BEGIN, x->s->stream, x->s->token_at, 0,
			   opcodes[x->s->kind]);
	else
		frame_mark(x, FRAMER_REPLY_BEGIN, x->s->stream, x->s->token_at, x->s->mode, "");
	frame_skip(x->s, len - HEADER, MESSAGE_END);
	return true;
}

static bool message_end(struct frame *x, const struct frame_token *t)
{
	frame_bytes(x->s, TCP_HEADER, MESSAGE);
	if (x->side == FRAMER_IN)
		frame_mark(x, FRAMER_REQUEST_END, x->s->stream, x->s->at, 0, opcodes[x->s->kind]);
	else
		frame_mark(x, FRAMER_REPLY_END, x->s->stream, x->s->at, x->s->mode, "");
	return true;
}

static const frame_step steps[] = { [MESSAGE] = message, [MESSAGE_END] = message_end };

const struct frame_protocol frame_dns = {
	.name = "dns",
	.look = { look, NULL },
	.start = start,
	.steps = steps,
};

enum framer_result framer_datagram(struct framer *f, enum framer_side side, const uint8_t *bytes,
				   size_t seen, size_t total, framer_mark_fn fn, void *arg)
{
	struct frame x = { f, &f->stream[side], side, 0, fn, arg };

	if (total < SHORTEST - (side == FRAMER_OUT ? 5 : 0))
		return FRAMER_LOST;
	if (seen < HEADER)
		return FRAMER_SHORT;
	if (!(side == FRAMER_IN ? is_query(bytes) : is_reply(bytes)))
		return FRAMER_LOST;
	f->protocol = &frame_dns;
	if (side == FRAMER_IN) {
		const char *verb = opcodes[opcode_of(bytes)];

		frame_mark(&x, FRAMER_REQUEST_BEGIN, id_of(bytes), 0, 0, verb);
		frame_mark(&x, FRAMER_REQUEST_END, id_of(bytes), total, 0, verb);
	} else {
		frame_mark(&x, FRAMER_REPLY_BEGIN, id_of(bytes), 0, flags_of(bytes), "");
		frame_mark(&x, FRAMER_REPLY_END, id_of(bytes), total, flags_of(bytes), "");
	}
	return FRAMER_OK;
}
