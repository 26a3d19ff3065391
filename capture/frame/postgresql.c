/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL's protocol 3: "Frontend/Backend Protocol" of its documentation. */
#include "capture/frame/frame.h"

enum { STARTUP, STARTUP_END, MESSAGE, MESSAGE_END, ENCRYPTION, REPLY, REPLY_END };

#define CANCEL_CODE 80877102
#define SSL_CODE 80877103
#define GSS_CODE 80877104
#define STARTUP_MAX 10000      /* as the server has it */
#define MESSAGE_MAX (1U << 30) /* likewise: PQ_LARGE_MESSAGE_LIMIT */
#define FIRST_MAX (1U << 20)   /* of a message by which the protocol is recognised */

static const char types_in[] = "QPBDECSHFXdcfp";
static const char types_out[] = "RKSZTDCEN123stnIAGHWdcVv";

static bool is_one_of(uint8_t type, const char *types)
{
	return type && strchr(types, type);
}

static bool is_startup(uint32_t len, uint32_t code)
{
	if (code == SSL_CODE || code == GSS_CODE)
		return len == 8;
	if (code == CANCEL_CODE)
		return len >= 16 && len <= 512;
	return code >> 16 == 3 && (code & 0xffff) <= 2 && len >= 9 && len <= STARTUP_MAX;
}

/* A name or a query: text up to a NUL or the last byte looked at. Moves *at behind the NUL. */
static bool is_string(const uint8_t *bytes, size_t len, size_t *at)
{
	for (; *at < len && bytes[*at]; ++*at) {
		if ((bytes[*at] < ' ' && !strchr("\t\r\n", bytes[*at])) || bytes[*at] == 0x7f)
			return false;
	}
	++*at;
	return true;
}

/* The first of a request on a connection that was open before the capture. */
static enum frame_look look_message(const uint8_t *bytes, size_t len)
{
	uint32_t size = len >= 5 ? frame_be32(bytes + 1) : 0;
	size_t at = 5, want;

	if (len > 1 && bytes[1])
		return LOOK_NO;
	if (len < 5)
		return LOOK_MORE;
	if (size < (bytes[0] == 'Q' ? 6 : 8) || size > FIRST_MAX)
		return LOOK_NO;
	want = size + 1 < 24 ? size + 1 : 24;
	if (len < want)
		return LOOK_MORE;
	len = want;
	if (!is_string(bytes, len, &at))
		return LOOK_NO;
	if (bytes[0] == 'Q') /* the NUL ends the message */
		return at > len || at == (size_t)size + 1 ? LOOK_YES : LOOK_NO;
	/* a portal's or statement's name, then a statement's name or a query */
	return is_string(bytes, len, &at) ? LOOK_YES : LOOK_NO;
}

static enum frame_look look(const uint8_t *bytes, size_t len)
{
	if (is_one_of(bytes[0], "QPB"))
		return look_message(bytes, len);
	if (bytes[0] || (len > 1 && bytes[1]))
		return LOOK_NO;
	if (len < 8)
		return LOOK_MORE;
	return is_startup(frame_be32(bytes), frame_be32(bytes + 4)) ? LOOK_YES : LOOK_NO;
}

static void start(struct framer *f, const uint8_t *bytes, size_t len)
{
	f->postgresql.starting = !bytes[0];
	if (f->postgresql.starting)
		frame_bytes(&f->stream[FRAMER_IN], 8, STARTUP);
	else
		frame_bytes(&f->stream[FRAMER_IN], 5, MESSAGE);
	frame_bytes(&f->stream[FRAMER_OUT], 5, REPLY);
}

static const char *startup_verb(uint32_t code)
{
	return code == CANCEL_CODE ? "cancel" :
	       code == SSL_CODE	   ? "ssl-request" :
	       code == GSS_CODE	   ? "gss-request" :
				     "startup";
}

/* The server answers a request for encryption by one byte without type and length. */
static bool startup(struct frame *x, const struct frame_token *t)
{
	uint32_t len = frame_be32(t->bytes), code = frame_be32(t->bytes + 4);

	if (!is_startup(len, code))
		return false;
	frame_request_begin(x, x->s->token_at, startup_verb(code));
	x->s->kind = code == CANCEL_CODE;
	x->f->postgresql.starting = code == SSL_CODE || code == GSS_CODE;
	if (x->f->postgresql.starting)
		frame_bytes(&x->f->stream[FRAMER_OUT], 1, ENCRYPTION);
	frame_skip(x->s, len - 8, STARTUP_END);
	return true;
}

static bool startup_end(struct frame *x, const struct frame_token *t)
{
	frame_request_end(x, x->s->kind ? FRAMER_NO_REPLY : 0);
	if (x->f->postgresql.starting)
		frame_bytes(x->s, 8, STARTUP);
	else
		frame_bytes(x->s, 5, MESSAGE);
	return true;
}

/* 'S' or 'G': what follows is encrypted. 'N': the client goes on in the clear, or leaves. */
static bool encryption(struct frame *x, const struct frame_token *t)
{
	if (!is_one_of(t->bytes[0], "SGN"))
		return false;
	frame_reply_begin(x, x->s->token_at, 0);
	frame_reply_end(x);
	x->f->over = t->bytes[0] != 'N';
	frame_bytes(x->s, 5, REPLY);
	return true;
}

/* framer_stream.mode: what the end of a message means. */
enum { ENDS_REQUEST = 1, ASKS_NOTHING = 2 };

static const struct message {
	char type;
	const char *verb; /* of the request that it begins, unless one is under way */
	uint8_t mode;
} messages[] = {
	{ 'Q', "query", ENDS_REQUEST },
	{ 'F', "function", ENDS_REQUEST },
	{ 'X', "terminate", ENDS_REQUEST | ASKS_NOTHING },
	{ 'P', "extended", 0 },
	{ 'B', "extended", 0 },
	{ 'D', "extended", 0 },
	{ 'E', "extended", 0 },
	{ 'C', "extended", 0 },
	{ 'S', "extended", ENDS_REQUEST },
	/* Flush asks for what is there; 'd', 'c', 'f' and 'p' go on with a request. */
};

static const struct message *find_message(uint8_t type)
{
	for (size_t i = 0; i < FRAME_COUNT(messages); i++) {
		if (messages[i].type == type)
			return &messages[i];
	}
	return NULL;
}

/*
 * A Sync that was sent before the server said it would read a copy is not answered, so the client
 * sends a second one behind the copy.
 */
static bool is_swallowed(struct framer *f, uint8_t type)
{
	bool sync = type == 'S' && f->postgresql.swallow_sync;

	if (f->postgresql.copying && (type == 'c' || type == 'f')) {
		f->postgresql.swallow_sync = f->postgresql.extended;
		f->postgresql.copying = false;
	}
	if (sync)
		f->postgresql.swallow_sync = false;
	return sync;
}

static bool message(struct frame *x, const struct frame_token *t)
{
	uint8_t type = t->bytes[0];
	uint32_t len = frame_be32(t->bytes + 1);
	const struct message *m;

	if (!is_one_of(type, types_in) || len < 4 || len > MESSAGE_MAX)
		return false;
	m = is_swallowed(x->f, type) ? NULL : find_message(type);
	x->s->mode = m ? m->mode : 0;
	if (m && !x->f->request_open) {
		x->f->postgresql.extended = !strcmp(m->verb, "extended");
		frame_request_begin(x, x->s->token_at, m->verb);
	}
	frame_skip(x->s, len - 4, MESSAGE_END);
	return true;
}

static bool message_end(struct frame *x, const struct frame_token *t)
{
	frame_bytes(x->s, 5, MESSAGE);
	if (x->s->mode & ENDS_REQUEST)
		frame_request_end(x, x->s->mode & ASKS_NOTHING ? FRAMER_NO_REPLY : 0);
	return true;
}

/*
 * Notifications are nobody's, and so is all that comes while nobody waits: parameters, notices, the
 * last words of a server that is stopped.
 */
static bool reply(struct frame *x, const struct frame_token *t)
{
	struct framer *f = x->f;
	uint8_t type = t->bytes[0];
	uint32_t len = frame_be32(t->bytes + 1);

	if (!is_one_of(type, types_out) || len < 4 || len > MESSAGE_MAX || type == 'W')
		return false;
	if (!f->reply_open && type != 'A' && frame_waiting(f)) {
		frame_reply_begin(x, x->s->token_at, 0);
		f->postgresql.failed = false;
	}
	if (f->reply_open && type == 'E')
		f->reply_flags |= FRAMER_ERROR;
	if (f->reply_open && type == 'G')
		f->postgresql.copying = true;
	x->s->kind = type;
	frame_skip(x->s, len - 4, REPLY_END);
	return true;
}

static bool reply_end(struct frame *x, const struct frame_token *t)
{
	frame_bytes(x->s, 5, REPLY);
	x->f->postgresql.failed = x->s->kind == 'E';
	if (x->s->kind != 'Z' || !x->f->reply_open)
		return true;
	frame_reply_end(x);
	x->f->postgresql.copying = false;
	return true;
}

static const frame_step steps[] = {
	[STARTUP] = startup,	     [STARTUP_END] = startup_end, [MESSAGE] = message,
	[MESSAGE_END] = message_end, [ENCRYPTION] = encryption,	  [REPLY] = reply,
	[REPLY_END] = reply_end,
};

/* A fatal error is a reply that only the close ends. */
static void closed(struct frame *x)
{
	if (x->side == FRAMER_OUT && x->f->reply_open && x->f->postgresql.failed)
		frame_reply_end(x);
}

const struct frame_protocol frame_postgresql = {
	.name = "postgresql",
	.look = { look, NULL },
	.start = start,
	.steps = steps,
	.closed = closed,
};
