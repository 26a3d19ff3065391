/* SPDX-License-Identifier: Apache-2.0 */
/* memcached, text and binary: doc/protocol.txt and the BinaryProtocolRevamped wiki page. */
#include "capture/frame/frame.h"

#include <ctype.h>

enum { COMMAND, ARGUMENT, DATA_END, REPLY, REPLY_WORD, REPLY_DATA_END, REPLY_NEXT };

#define DATA_MAX (1ULL << 32)
#define LOOKED_AT 16 /* bytes of a first line that must be text */

/* Words are counted from the command, which is 0. */
static const struct command {
	const char *name;
	uint8_t data;	 /* the word that says how long the data block is; 0: there is none */
	uint8_t noreply; /* the first word that may be "noreply"; 0: none may */
	uint8_t meta;	 /* takes flags of one letter */
} commands[] = {
	{ "get", 0, 0, 0 },	  { "gets", 0, 0, 0 },	    { "gat", 0, 0, 0 },
	{ "gats", 0, 0, 0 },	  { "set", 4, 5, 0 },	    { "add", 4, 5, 0 },
	{ "replace", 4, 5, 0 },	  { "append", 4, 5, 0 },    { "prepend", 4, 5, 0 },
	{ "cas", 4, 6, 0 },	  { "delete", 0, 2, 0 },    { "incr", 0, 3, 0 },
	{ "decr", 0, 3, 0 },	  { "touch", 0, 3, 0 },	    { "mg", 0, 0, 1 },
	{ "ms", 2, 0, 1 },	  { "md", 0, 0, 1 },	    { "ma", 0, 0, 1 },
	{ "mn", 0, 0, 0 },	  { "me", 0, 0, 0 },	    { "version", 0, 0, 0 },
	{ "verbosity", 0, 1, 0 }, { "flush_all", 0, 1, 0 }, { "stats", 0, 0, 0 },
	{ "slabs", 0, 0, 0 },	  { "lru", 0, 0, 0 },	    { "lru_crawler", 0, 0, 0 },
	{ "shutdown", 0, 0, 0 },  { "quit", 0, 0, 0 },	    { "cache_memlimit", 0, 2, 0 },
};

enum { WAITS_FOR_MN = 1 };

/* framer_stream.mode of a request. */
enum { QUIET = 1 };

enum reply_shape {
	ONE_LINE,
	ONE_VALUE, /* data behind the line, then over */
	VALUES,	   /* data behind the line, then more lines */
	LINES,	   /* more lines */
};

static const struct reply {
	const char *name;
	enum reply_shape shape;
	uint8_t data; /* the word that says how long the data is */
	bool error;
} replies[] = {
	{ "VALUE", VALUES, 3, false },	       { "END", ONE_LINE, 0, false },
	{ "STORED", ONE_LINE, 0, false },      { "NOT_STORED", ONE_LINE, 0, false },
	{ "EXISTS", ONE_LINE, 0, false },      { "NOT_FOUND", ONE_LINE, 0, false },
	{ "DELETED", ONE_LINE, 0, false },     { "TOUCHED", ONE_LINE, 0, false },
	{ "OK", ONE_LINE, 0, false },	       { "VERSION", ONE_LINE, 0, false },
	{ "RESET", ONE_LINE, 0, false },       { "STAT", LINES, 0, false },
	{ "ITEM", LINES, 0, false },	       { "PREFIX", LINES, 0, false },
	{ "HD", ONE_LINE, 0, false },	       { "VA", ONE_VALUE, 1, false },
	{ "EN", ONE_LINE, 0, false },	       { "NF", ONE_LINE, 0, false },
	{ "NS", ONE_LINE, 0, false },	       { "EX", ONE_LINE, 0, false },
	{ "MN", ONE_LINE, 0, false },	       { "ME", ONE_LINE, 0, false },
	{ "BUSY", ONE_LINE, 0, true },	       { "BADCLASS", ONE_LINE, 0, true },
	{ "NOSPARE", ONE_LINE, 0, true },      { "NOTFULL", ONE_LINE, 0, true },
	{ "UNSAFE", ONE_LINE, 0, true },       { "SAME", ONE_LINE, 0, true },
	{ "ERROR", ONE_LINE, 0, true },	       { "CLIENT_ERROR", ONE_LINE, 0, true },
	{ "SERVER_ERROR", ONE_LINE, 0, true },
};

static const struct reply number_reply = { "", ONE_LINE, 0, false };
static const struct reply dump_reply = { "key=", LINES, 0, false }; /* lru_crawler metadump */

static bool is_word(const struct frame_token *t, const char *word)
{
	return t->len && t->bytes[0] == (uint8_t)word[0] && t->len == strlen(word) &&
	       !memcmp(t->bytes, word, t->len);
}

static const struct command *find_command(const struct frame_token *t)
{
	for (size_t i = 0; i < FRAME_COUNT(commands); i++) {
		if (is_word(t, commands[i].name))
			return &commands[i];
	}
	return NULL;
}

static enum frame_look look(const uint8_t *bytes, size_t len)
{
	struct frame_token word = { .bytes = bytes };

	while (word.len < len && (islower(bytes[word.len]) || bytes[word.len] == '_'))
		word.len++;
	word.seen = word.len;
	if (word.len > 14)
		return LOOK_NO;
	if (word.len == len)
		return LOOK_MORE;
	if (!word.len || !find_command(&word) || (bytes[word.len] != ' ' && bytes[word.len] != '\r') ||
	    !frame_is_text(bytes, len < LOOKED_AT ? len : LOOKED_AT))
		return LOOK_NO;
	return len >= LOOKED_AT || memchr(bytes, '\n', len) ? LOOK_YES : LOOK_MORE;
}

static void start(struct framer *f, const uint8_t *bytes, size_t len)
{
	frame_word(&f->stream[FRAMER_IN], COMMAND);
	frame_word(&f->stream[FRAMER_OUT], REPLY);
}

static void end_command(struct frame *x, const struct command *c)
{
	bool quit = !strcmp(c->name, "quit");

	frame_request_end(x, quit || (x->s->mode & QUIET) ? FRAMER_NO_REPLY : 0);
	frame_word(x->s, COMMAND);
}

static bool end_line(struct frame *x, const struct command *c)
{
	if (!c->data) {
		end_command(x, c);
		return true;
	}
	frame_skip(x->s, x->s->left + 2, DATA_END);
	return x->s->index >= c->data;
}

static bool command(struct frame *x, const struct frame_token *t)
{
	const struct command *c = find_command(t);

	if (!c)
		return false;
	frame_request_begin(x, x->s->token_at, c->name);
	x->s->kind = (uint8_t)(c - commands);
	x->s->mode = 0;
	x->s->index = 0;
	if (!strcmp(c->name, "mn") && !frame_note(x->f, WAITS_FOR_MN))
		return false;
	frame_word(x->s, ARGUMENT);
	return t->end == '\n' ? end_line(x, c) : true;
}

/* A quiet meta command is answered only if something is the matter, or found. */
static bool is_quiet(const struct command *c, unsigned int index, const struct frame_token *t)
{
	if (c->meta)
		return index > 1 && is_word(t, "q");
	return c->noreply && index >= c->noreply && is_word(t, "noreply");
}

static bool argument(struct frame *x, const struct frame_token *t)
{
	const struct command *c = &commands[x->s->kind];

	if (t->len && x->s->index < UINT16_MAX)
		x->s->index++;
	if (t->len && c->data && x->s->index == c->data &&
	    (!frame_number(t->bytes, t->seen, &x->s->left) || x->s->left > DATA_MAX))
		return false;
	if (is_quiet(c, x->s->index, t))
		x->s->mode |= QUIET;
	frame_word(x->s, ARGUMENT);
	return t->end == '\n' ? end_line(x, c) : true;
}

static bool data_end(struct frame *x, const struct frame_token *t)
{
	end_command(x, &commands[x->s->kind]);
	return true;
}

/* Replies. */

static const struct reply *find_reply(const struct frame_token *t)
{
	uint64_t number;

	for (size_t i = 0; i < FRAME_COUNT(replies); i++) {
		if (is_word(t, replies[i].name))
			return &replies[i];
	}
	if (t->seen >= 4 && !memcmp(t->bytes, "key=", 4))
		return &dump_reply;
	/* incr answers with up to 20 digits */
	return t->len && t->len <= 20 &&
			       frame_number(t->bytes, t->len < 18 ? t->len : 18, &number) ?
		       &number_reply :
		       NULL;
}

/* A reply that comes although the first that waits is a no-op belongs to a quiet command. */
static bool is_of_quiet(struct framer *f, const struct frame_token *t)
{
	const uint32_t *note = frame_noted(f);

	return note && *note == WAITS_FOR_MN && !is_word(t, "MN") && !frame_starts(t, "ERROR");
}

enum { UNASKED = 1, MORE = 2, FAILED = 4, DATA = 8 }; /* framer_stream.mode of a reply */

static void begin_reply(struct frame *x, const struct frame_token *t)
{
	x->s->mode = 0;
	if (is_of_quiet(x->f, t)) {
		x->s->mode = UNASKED;
		frame_push_begin(x, x->s->token_at);
	} else {
		frame_reply_begin(x, x->s->token_at, 0);
	}
}

static void end_reply(struct frame *x)
{
	frame_word(x->s, REPLY);
	if (x->s->mode & UNASKED) {
		frame_push_end(x, x->s->mode & FAILED ? FRAMER_ERROR : 0);
		return;
	}
	if (x->s->mode & FAILED)
		x->f->reply_flags |= FRAMER_ERROR;
	frame_reply_end(x);
}

static bool end_reply_line(struct frame *x)
{
	if (x->s->mode & DATA)
		frame_skip(x->s, x->s->left + 2, REPLY_DATA_END);
	else if (x->s->mode & MORE)
		frame_word(x->s, REPLY_NEXT);
	else
		end_reply(x);
	return true;
}

/* The first word of a line of a reply. */
static bool reply_next(struct frame *x, const struct frame_token *t)
{
	const struct reply *r = find_reply(t);

	if (!r)
		return false;
	x->s->mode &= UNASKED;
	x->s->mode |= r->shape == VALUES || r->shape == LINES ? MORE : 0;
	x->s->mode |= r->error ? FAILED : 0;
	x->s->kind = r->data;
	x->s->index = 0;
	frame_word(x->s, REPLY_WORD);
	return t->end != '\n' || (!r->data && end_reply_line(x));
}

static bool reply(struct frame *x, const struct frame_token *t)
{
	if (!find_reply(t))
		return false;
	begin_reply(x, t);
	return reply_next(x, t);
}

static bool reply_word(struct frame *x, const struct frame_token *t)
{
	struct framer_stream *s = x->s;

	if (t->len && s->index < UINT16_MAX)
		s->index++;
	if (t->len && s->kind && s->index == s->kind) {
		if (!frame_number(t->bytes, t->seen, &s->left) || s->left > DATA_MAX)
			return false;
		s->mode |= DATA;
	}
	frame_word(s, REPLY_WORD);
	return t->end != '\n' || ((!s->kind || s->mode & DATA) && end_reply_line(x));
}

static bool reply_data_end(struct frame *x, const struct frame_token *t)
{
	x->s->mode &= ~DATA;
	return end_reply_line(x);
}

static const frame_step steps[] = {
	[COMMAND] = command,
	[ARGUMENT] = argument,
	[DATA_END] = data_end,
	[REPLY] = reply,
	[REPLY_WORD] = reply_word,
	[REPLY_NEXT] = reply_next,
	[REPLY_DATA_END] = reply_data_end,
};

const struct frame_protocol frame_memcached = {
	.name = "memcached",
	.look = { look, NULL },
	.start = start,
	.steps = steps,
};

/* The binary protocol: a header of 24 bytes, then extras, key and value. */

enum { HEADER, BODY_END };

#define BINARY_HEADER 24
#define OPCODE_STAT 0x10

static const struct opcode {
	const char *name;
	uint8_t extras; /* bytes of a request's */
	bool quiet;	/* no reply unless something is the matter, or found */
} opcodes[] = {
	[0x00] = { "get", 0, false },	    [0x01] = { "set", 8, false },
	[0x02] = { "add", 8, false },	    [0x03] = { "replace", 8, false },
	[0x04] = { "delete", 0, false },    [0x05] = { "incr", 20, false },
	[0x06] = { "decr", 20, false },	    [0x07] = { "quit", 0, false },
	[0x08] = { "flush", 4, false },	    [0x09] = { "getq", 0, true },
	[0x0a] = { "noop", 0, false },	    [0x0b] = { "version", 0, false },
	[0x0c] = { "getk", 0, false },	    [0x0d] = { "getkq", 0, true },
	[0x0e] = { "append", 0, false },    [0x0f] = { "prepend", 0, false },
	[0x10] = { "stat", 0, false },	    [0x11] = { "setq", 8, true },
	[0x12] = { "addq", 8, true },	    [0x13] = { "replaceq", 8, true },
	[0x14] = { "deleteq", 0, true },    [0x15] = { "incrq", 20, true },
	[0x16] = { "decrq", 20, true },	    [0x17] = { "quitq", 0, true },
	[0x18] = { "flushq", 4, true },	    [0x19] = { "appendq", 0, true },
	[0x1a] = { "prependq", 0, true },   [0x1b] = { "verbosity", 4, false },
	[0x1c] = { "touch", 4, false },	    [0x1d] = { "gat", 4, false },
	[0x1e] = { "gatq", 4, true },	    [0x20] = { "sasl-list", 0, false },
	[0x21] = { "sasl-auth", 0, false }, [0x22] = { "sasl-step", 0, false },
	[0x23] = { "gatk", 4, false },	    [0x24] = { "gatkq", 4, true },
};

static const struct opcode *opcode_of(const uint8_t *header)
{
	uint8_t i = header[1];

	return i < FRAME_COUNT(opcodes) && opcodes[i].name ? &opcodes[i] : NULL;
}

/* Key and extras fit into the body; the data type is always 0. */
static bool is_header(const uint8_t *h, uint8_t magic)
{
	return h[0] == magic && opcode_of(h) && h[5] == 0 && frame_be16(h + 2) <= 250 &&
	       frame_be16(h + 2) + h[4] <= frame_be32(h + 8);
}

static enum frame_look look_binary(const uint8_t *bytes, size_t len)
{
	if (bytes[0] != 0x80)
		return LOOK_NO;
	if (len < BINARY_HEADER)
		return LOOK_MORE;
	/* flush may come without extras */
	return is_header(bytes, 0x80) && (bytes[4] == opcode_of(bytes)->extras || !bytes[4]) &&
			       bytes[8] == 0 ?
		       LOOK_YES :
		       LOOK_NO;
}

static void start_binary(struct framer *f, const uint8_t *bytes, size_t len)
{
	frame_bytes(&f->stream[FRAMER_IN], BINARY_HEADER, HEADER);
	frame_bytes(&f->stream[FRAMER_OUT], BINARY_HEADER, HEADER);
}

static bool request_header(struct frame *x, const uint8_t *h)
{
	if (!is_header(h, 0x80))
		return false;
	x->s->kind = h[1];
	frame_request_begin(x, x->s->token_at, opcode_of(h)->name);
	frame_skip(x->s, frame_be32(h + 8), BODY_END);
	return true;
}

/* Not found, exists, not stored: answers. */
static bool is_error(uint32_t status)
{
	return status != 0 && status != 1 && status != 2 && status != 5;
}

/*
 * A reply says of which command it is, so those of quiet ones are told apart. STAT is answered by
 * many, the last has an empty key.
 */
static bool reply_header(struct frame *x, const uint8_t *h)
{
	uint32_t error = is_error(frame_be16(h + 6)) ? FRAMER_ERROR : 0;

	if (!is_header(h, 0x81))
		return false;
	x->s->mode = error ? FAILED : 0;
	if (opcode_of(h)->quiet) {
		x->s->mode |= UNASKED;
		frame_push_begin(x, x->s->token_at);
	} else if (!x->f->reply_open) {
		frame_reply_begin(x, x->s->token_at, error);
	}
	if (h[1] == OPCODE_STAT && frame_be16(h + 2) && !error)
		x->s->mode |= MORE;
	frame_skip(x->s, frame_be32(h + 8), BODY_END);
	return true;
}

static bool header(struct frame *x, const struct frame_token *t)
{
	return x->side == FRAMER_IN ? request_header(x, t->bytes) : reply_header(x, t->bytes);
}

static bool body_end(struct frame *x, const struct frame_token *t)
{
	uint8_t mode = x->s->mode;

	frame_bytes(x->s, BINARY_HEADER, HEADER);
	if (x->side == FRAMER_IN)
		frame_request_end(x, opcodes[x->s->kind].quiet ? FRAMER_NO_REPLY : 0);
	else if (mode & UNASKED)
		frame_push_end(x, mode & FAILED ? FRAMER_ERROR : 0);
	else if (!(mode & MORE))
		frame_reply_end(x);
	return true;
}

static const frame_step binary_steps[] = { [HEADER] = header, [BODY_END] = body_end };

const struct frame_protocol frame_memcached_binary = {
	.name = "memcached-binary",
	.look = { look_binary, NULL },
	.start = start_binary,
	.steps = binary_steps,
};
