/* SPDX-License-Identifier: Apache-2.0 */
/* RESP, versions 2 and 3: redis.io/docs/latest/develop/reference/protocol-spec. */
#include "capture/frame/frame.h"

#include <ctype.h>

enum {
	COMMAND,    /* "*N" or an inline command */
	ARGUMENT,   /* "$N" of an argument */
	NAME,	    /* the first argument */
	SUBCOMMAND, /* the second one, of CLIENT */
	BULK_END,   /* behind an argument */
	REPLY,	    /* the first line of a reply */
	VALUE,	    /* the first line of a value within */
	PEEK,	    /* the length of what may be the kind of a message to subscribers */
	PEEK_NAME,
	VALUE_END, /* behind a bulk string */
};

#define BULK_MAX (1ULL << 40)
#define VALUES_MAX (1ULL << 40)

/*
 * Words that may begin an inline command. Only these are taken for a verb there: what else
 * somebody types is not known to be a command.
 */
static const char *const inline_words[] = {
	"PING",	   "ECHO",    "AUTH",	   "QUIT",	 "SELECT",	"GET",		"SET",
	"DEL",	   "EXISTS",  "EXPIRE",	   "TTL",	 "INCR",	"DECR",		"INCRBY",
	"DECRBY",  "APPEND",  "STRLEN",	   "MGET",	 "MSET",	"KEYS",		"SCAN",
	"TYPE",	   "HGET",    "HSET",	   "HDEL",	 "HGETALL",	"LPUSH",	"RPUSH",
	"LPOP",	   "RPOP",    "LRANGE",	   "LLEN",	 "SADD",	"SREM",		"SPOP",
	"SCARD",   "ZADD",    "ZRANGE",	   "SMEMBERS",	 "PUBLISH",	"INFO",		"COMMAND",
	"CONFIG",  "CLIENT",  "DBSIZE",	   "FLUSHALL",	 "FLUSHDB",	"MULTI",	"EXEC",
	"DISCARD", "WATCH",   "SAVE",	   "BGSAVE",	 "LASTSAVE",	"ROLE",		"TIME",
	"DEBUG",   "MONITOR", "SYNC",	   "PSYNC",	 "SLOWLOG",	"SHUTDOWN",	"REPLCONF",
	"OBJECT",  "EVAL",    "SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE",
};

/* A reply for each channel that they name. */
static const char *const subscribing[] = {
	"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE",
};

/* What comes without being asked to those who subscribed. */
static const char *const messages[] = { "message", "pmessage", "smessage" };

static bool is_one_of(const struct frame_token *t, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (frame_is(t, words[i]))
			return true;
	}
	return false;
}

/* The number behind a type byte; -1 for a null; false when there is none. */
static bool number(const struct frame_token *t, int64_t *ret)
{
	uint64_t value;

	*ret = -1;
	if (t->len != t->seen || t->len < 2)
		return false;
	if (t->len == 3 && !memcmp(t->bytes + 1, "-1", 2))
		return true;
	if (!frame_number(t->bytes + 1, t->len - 1, &value) || value > BULK_MAX)
		return false;
	*ret = (int64_t)value;
	return true;
}

static enum frame_look look_array(const uint8_t *bytes, size_t len)
{
	size_t at = 1;

	while (at < len && at < 10 && isdigit(bytes[at]))
		at++;
	for (size_t i = 0; i < 3; i++, at++) {
		if (at == 1 && len > 1)
			return LOOK_NO;
		if (at >= len)
			return LOOK_MORE;
		if (bytes[at] != "\r\n$"[i])
			return LOOK_NO;
	}
	return LOOK_YES;
}

static enum frame_look look_inline(const uint8_t *bytes, size_t len)
{
	struct frame_token word = { .bytes = bytes };

	while (word.len < len && isalpha(bytes[word.len]))
		word.len++;
	word.seen = word.len;
	if (word.len > 12)
		return LOOK_NO;
	if (word.len == len)
		return LOOK_MORE;
	if (!bytes[word.len] || !strchr(" \r\n", bytes[word.len]) ||
	    !is_one_of(&word, inline_words, FRAME_COUNT(inline_words)) ||
	    !frame_is_text(bytes, len))
		return LOOK_NO;
	/* the whole line is text, or as much of it as anybody looks at */
	return memchr(bytes, '\n', len) || len >= FRAMER_HELD ? LOOK_YES : LOOK_MORE;
}

static enum frame_look look(const uint8_t *bytes, size_t len)
{
	return bytes[0] == '*' ? look_array(bytes, len) : look_inline(bytes, len);
}

static void start(struct framer *f, const uint8_t *bytes, size_t len)
{
	frame_line(&f->stream[FRAMER_IN], COMMAND);
	frame_line(&f->stream[FRAMER_OUT], REPLY);
}

static void keep_verb(struct framer *f, const struct frame_token *t)
{
	for (size_t i = 0; i < t->len; i++) {
		if (!isalpha(t->bytes[i]) && !strchr("_-.", t->bytes[i]))
			return;
	}
	for (size_t i = 0; i < t->len; i++)
		f->verb[i] = (char)toupper(t->bytes[i]);
	f->verb[t->len] = '\0';
}

/* The command's name is known: what does it do to the replies? */
static bool note_command(struct framer *f, const struct frame_token *name, uint64_t arguments)
{
	if (frame_is(name, "SYNC") || frame_is(name, "PSYNC"))
		return false; /* what follows is a stream for a replica */
	if (!is_one_of(name, subscribing, FRAME_COUNT(subscribing)))
		return true;
	f->subscribed = true;
	return frame_note(f, arguments ? frame_min(arguments, UINT32_MAX) : 1);
}

static bool end_command(struct frame *x)
{
	frame_request_end(x, 0);
	frame_line(x->s, COMMAND);
	return true;
}

static bool inline_command(struct frame *x, const struct frame_token *t)
{
	struct frame_token word = { .bytes = t->bytes };
	uint64_t arguments = 0;

	while (word.len < t->seen && t->bytes[word.len] != ' ')
		word.len++;
	word.seen = word.len;
	for (size_t i = word.len; i < t->seen; i++)
		arguments += t->bytes[i] == ' ' && i + 1 < t->seen && t->bytes[i + 1] != ' ';
	if (!frame_is_text(t->bytes, t->seen))
		return false;
	frame_request_begin(x, x->s->token_at, "");
	if (is_one_of(&word, inline_words, FRAME_COUNT(inline_words)))
		keep_verb(x->f, &word);
	return note_command(x->f, &word, arguments) && end_command(x);
}

/* Redis passes over empty lines and empty arrays without a reply. */
static bool command(struct frame *x, const struct frame_token *t)
{
	int64_t count = 0;

	frame_line(x->s, COMMAND);
	if (!t->len)
		return true;
	if (t->bytes[0] != '*')
		return inline_command(x, t);
	if (!number(t, &count))
		return false;
	if (count < 1)
		return true;
	frame_request_begin(x, x->s->token_at, "");
	x->s->left = (uint64_t)count;
	x->s->index = 0;
	frame_line(x->s, ARGUMENT);
	return true;
}

static bool argument(struct frame *x, const struct frame_token *t)
{
	bool first = x->s->index == 0;
	int64_t len;

	if (!t->len || t->bytes[0] != '$' || !number(t, &len) || len < 0)
		return false;
	if (first && len > 0 && len < FRAMER_VERB_MAX)
		frame_bytes(x->s, (unsigned int)len, NAME);
	else if (x->s->index == 1 && len == 5 && !strcmp(x->f->verb, "CLIENT"))
		frame_bytes(x->s, 5, SUBCOMMAND);
	else
		frame_skip(x->s, (uint64_t)len + 2, BULK_END);
	x->s->index = first ? 1 : 2;
	return true;
}

static bool name(struct frame *x, const struct frame_token *t)
{
	keep_verb(x->f, t);
	frame_skip(x->s, 2, BULK_END);
	return note_command(x->f, t, x->s->left - 1);
}

/* CLIENT REPLY switches replies off. */
static bool subcommand(struct frame *x, const struct frame_token *t)
{
	frame_skip(x->s, 2, BULK_END);
	return !frame_is(t, "reply");
}

static bool bulk_end(struct frame *x, const struct frame_token *t)
{
	if (!--x->s->left)
		return end_command(x);
	frame_line(x->s, ARGUMENT);
	return true;
}

/*
 * Replies. Framing needs no stack for what is nested: framer_stream.left counts the values still
 * to come, and an aggregate adds its own. framer_stream.mode is PUSHED in what nobody asked for.
 */
enum { PUSHED = 1 };

static void begin_reply(struct frame *x, bool pushed)
{
	struct framer *f = x->f;

	x->s->mode = pushed ? PUSHED : 0;
	if (pushed)
		frame_push_begin(x, x->s->token_at);
	else if (!f->reply_open)
		frame_reply_begin(x, x->s->token_at, 0);
}

/* SUBSCRIBE to several channels has as many replies: together they are its reply. */
static void end_reply(struct frame *x)
{
	uint32_t *note = frame_noted(x->f);

	frame_line(x->s, REPLY);
	if (x->s->mode & PUSHED)
		frame_push_end(x, 0);
	else if (!note || !x->f->reply_id || !--*note)
		frame_reply_end(x);
}

static void end_value(struct frame *x)
{
	if (x->s->left)
		frame_line(x->s, VALUE);
	else
		end_reply(x);
}

/* How many values an aggregate of `count` has; an attribute comes before a value, not for one. */
static uint64_t values_of(uint8_t type, uint64_t count)
{
	return type == '%' ? 2 * count : type == '|' ? 2 * count + 1 : count;
}

static bool is_one_line(uint8_t type)
{
	return type && strchr("+-:_,#(", type);
}

static bool is_bulk(uint8_t type)
{
	return type && strchr("$!=", type);
}

static bool is_aggregate(uint8_t type)
{
	return type && strchr("*~>%|", type);
}

/* The first line of a value, which framer_stream.left no longer counts. */
static bool value_line(struct frame *x, const struct frame_token *t)
{
	uint8_t type = t->len ? t->bytes[0] : 0;
	int64_t n;

	if (is_one_line(type)) {
		end_value(x);
		return true;
	}
	if ((!is_bulk(type) && !is_aggregate(type)) || !number(t, &n))
		return false;
	if (n >= 0 && is_bulk(type)) {
		frame_skip(x->s, (uint64_t)n + 2, VALUE_END);
		return true;
	}
	if (n >= 0)
		x->s->left += values_of(type, (uint64_t)n);
	end_value(x);
	return x->s->left < VALUES_MAX;
}

/* What may be a message for a subscriber is known by its first element. */
static bool may_be_message(const struct framer *f, const struct frame_token *t, int64_t *ret_count)
{
	return (t->bytes[0] == '>' || (t->bytes[0] == '*' && f->subscribed)) &&
	       number(t, ret_count) && *ret_count > 1;
}

/* An error, or that it is queued in a transaction, is all that SUBSCRIBE gets. */
static void refuse_subscription(struct framer *f)
{
	uint32_t *note = frame_noted(f);

	if (note)
		*note = 1;
}

static bool reply(struct frame *x, const struct frame_token *t)
{
	int64_t count;

	if (!t->len)
		return false;
	x->s->left = 0;
	if (may_be_message(x->f, t, &count)) {
		x->s->kind = t->bytes[0];
		x->s->left = (uint64_t)count;
		x->s->frame = (uint32_t)(x->s->at - x->s->token_at);
		frame_line(x->s, PEEK);
		return true;
	}
	begin_reply(x, t->bytes[0] == '>');
	if (x->s->mode & PUSHED)
		return value_line(x, t);
	if (t->bytes[0] == '-' || t->bytes[0] == '!')
		x->f->reply_flags |= FRAMER_ERROR;
	if (t->bytes[0] != '*')
		refuse_subscription(x->f);
	return value_line(x, t);
}

static bool value(struct frame *x, const struct frame_token *t)
{
	x->s->left--;
	return value_line(x, t);
}

/* framer_stream.frame has the bytes of this message so far: BEGIN is where it began. */
static bool peek(struct frame *x, const struct frame_token *t)
{
	int64_t n = 0;

	x->s->token_at -= x->s->frame;
	if (!t->len)
		return false;
	if (t->bytes[0] == '$' && number(t, &n) && n > 0 && n < FRAMER_VERB_MAX) {
		x->s->frame = (uint32_t)(x->s->at - x->s->token_at);
		frame_bytes(x->s, (unsigned int)n, PEEK_NAME);
		return true;
	}
	begin_reply(x, x->s->kind == '>');
	return value(x, t);
}

/*
 * In RESP2 a subscriber's messages are arrays like any reply, in RESP3 the replies to SUBSCRIBE
 * are pushes like any message.
 */
static bool peek_name(struct frame *x, const struct frame_token *t)
{
	bool confirms = is_one_of(t, subscribing, FRAME_COUNT(subscribing)) && frame_noted(x->f);

	x->s->token_at -= x->s->frame;
	if (x->s->kind == '>')
		begin_reply(x, !confirms);
	else
		begin_reply(x, is_one_of(t, messages, FRAME_COUNT(messages)));
	x->s->left--;
	frame_skip(x->s, 2, VALUE_END);
	return true;
}

static bool value_end(struct frame *x, const struct frame_token *t)
{
	end_value(x);
	return true;
}

static const frame_step steps[] = {
	[COMMAND] = command,	   [ARGUMENT] = argument, [NAME] = name,
	[SUBCOMMAND] = subcommand, [BULK_END] = bulk_end, [REPLY] = reply,
	[VALUE] = value,	   [PEEK] = peek,	  [PEEK_NAME] = peek_name,
	[VALUE_END] = value_end,
};

const struct frame_protocol frame_resp = {
	.name = "resp",
	.look = { look, NULL },
	.start = start,
	.steps = steps,
};
