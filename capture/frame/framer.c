/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts chunks into the pieces that a protocol asks for, finds out which protocol, gives marks. */
#include "capture/frame/framer.h"

#include "capture/frame/frame.h"

#include <assert.h>
#include <ctype.h>

/*
 * In the order in which they are asked; the first that does not say no has it. memcached before
 * RESP: the lower case commands that both know are more often the former's.
 */
static const struct frame_protocol *const protocols[] = {
	&frame_http1, &frame_http2,	 &frame_memcached,
	&frame_resp,  &frame_postgresql, &frame_memcached_binary,
	&frame_mysql, &frame_dns,
};

void framer_init(struct framer *f)
{
	*f = (struct framer){ 0 };
}

const char *framer_protocol(const struct framer *f)
{
	return f->protocol ? f->protocol->name : "";
}

/* What protocols ask for. */

static void ask(struct framer_stream *s, enum frame_take take, unsigned int want, int state)
{
	s->take = (uint8_t)take;
	s->want = (uint8_t)want;
	s->state = (uint8_t)state;
	s->got = 0;
}

void frame_bytes(struct framer_stream *s, unsigned int count, int state)
{
	assert(count && count <= FRAMER_HELD);
	ask(s, TAKE_BYTES, count, state);
}

void frame_line(struct framer_stream *s, int state)
{
	ask(s, TAKE_LINE, 0, state);
}

void frame_word(struct framer_stream *s, int state)
{
	ask(s, TAKE_WORD, 0, state);
}

void frame_skip(struct framer_stream *s, uint64_t count, int state)
{
	s->skip = count;
	ask(s, TAKE_NOTHING, 0, state);
}

/* What they say. */

void frame_mark(struct frame *x, enum framer_mark_kind kind, uint64_t id, uint64_t at,
		uint32_t flags, const char *verb)
{
	struct framer_mark mark = { .kind = kind, .flags = flags, .id = id };
	size_t len = strlen(verb);

	if (at >= x->chunk_at)
		mark.at = at - x->chunk_at;
	else
		mark.back = (uint32_t)(x->chunk_at - at);
	memcpy(mark.verb, verb, len < FRAMER_VERB_MAX ? len : FRAMER_VERB_MAX - 1);
	x->fn(x->arg, &mark);
}

static void set_verb(struct framer *f, const char *verb)
{
	size_t len = strlen(verb);

	assert(len < FRAMER_VERB_MAX);
	memcpy(f->verb, verb, len + 1);
}

void frame_request_begin(struct frame *x, uint64_t at, const char *verb)
{
	set_verb(x->f, verb);
	x->f->request_open = true;
	frame_mark(x, FRAMER_REQUEST_BEGIN, ++x->f->requests, at, 0, verb);
}

void frame_request_end(struct frame *x, uint32_t flags)
{
	frame_mark(x, FRAMER_REQUEST_END, x->f->requests, x->s->at, flags, x->f->verb);
	x->f->request_open = false;
	if (flags & FRAMER_NO_REPLY)
		x->f->requests--;
}

uint64_t frame_waiting(const struct framer *f)
{
	return f->answered < f->requests ? f->answered + 1 : 0;
}

void frame_reply_begin(struct frame *x, uint64_t at, uint32_t flags)
{
	struct framer *f = x->f;

	f->reply_id = frame_waiting(f);
	f->reply_flags = flags | (f->reply_id ? 0 : FRAMER_PUSH);
	f->reply_open = true;
	frame_mark(x, FRAMER_REPLY_BEGIN, f->reply_id, at, f->reply_flags, "");
}

void frame_reply_end(struct frame *x)
{
	struct framer *f = x->f;

	frame_mark(x, FRAMER_REPLY_END, f->reply_id, x->s->at, f->reply_flags, "");
	f->reply_open = false;
	if (f->reply_id)
		f->answered = f->reply_id;
}

void frame_push_begin(struct frame *x, uint64_t at)
{
	frame_mark(x, FRAMER_REPLY_BEGIN, 0, at, FRAMER_PUSH, "");
}

void frame_push_end(struct frame *x, uint32_t flags)
{
	frame_mark(x, FRAMER_REPLY_END, 0, x->s->at, FRAMER_PUSH | flags, "");
}

bool frame_note(struct framer *f, uint32_t what)
{
	struct framer_note *note;

	frame_noted(f); /* forgets those whose replies have ended */
	if (f->count == FRAMER_NOTES)
		return false;
	note = &f->notes[(f->first + f->count) % FRAMER_NOTES];
	note->id = f->requests;
	note->what = what;
	f->count++;
	return true;
}

uint32_t *frame_noted(struct framer *f)
{
	while (f->count && f->notes[f->first].id <= f->answered) {
		f->first = (f->first + 1) % FRAMER_NOTES;
		f->count--;
	}
	return f->count && f->notes[f->first].id == f->answered + 1 ? &f->notes[f->first].what :
								      NULL;
}

/* What they read. */

bool frame_starts(const struct frame_token *t, const char *text)
{
	size_t len = strlen(text);

	if (t->seen < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (tolower(t->bytes[i]) != tolower((unsigned char)text[i]))
			return false;
	}
	return true;
}

bool frame_is(const struct frame_token *t, const char *text)
{
	return t->len == strlen(text) && frame_starts(t, text);
}

bool frame_number(const uint8_t *bytes, size_t len, uint64_t *ret)
{
	uint64_t value = 0;

	if (!len || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit(bytes[i]))
			return false;
		value = value * 10 + (bytes[i] - '0');
	}
	*ret = value;
	return true;
}

bool frame_is_text(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && bytes[i] != '\n'; i++) {
		if ((bytes[i] < ' ' && bytes[i] != '\t' && bytes[i] != '\r') || bytes[i] > '~')
			return false;
	}
	return true;
}

/* Bytes that are visible, and those that only moved. */
struct cursor {
	const uint8_t *bytes;
	size_t at, seen, total;
};

static void advance(struct framer_stream *s, struct cursor *c, size_t count)
{
	s->at += count;
	c->at += count;
}

static void pass_over(struct framer_stream *s, struct cursor *c)
{
	size_t count = s->skip < c->total - c->at ? (size_t)s->skip : c->total - c->at;

	s->skip -= count;
	advance(s, c, count);
}

/* How many of `len` bytes belong to the piece asked for; *ret_whole: it ends with them. */
static size_t reach(const struct framer_stream *s, const uint8_t *bytes, size_t len,
		    bool *ret_whole)
{
	const uint8_t *end = NULL;

	if (s->take == TAKE_BYTES) {
		size_t missing = s->want - s->got;

		*ret_whole = len >= missing;
		return *ret_whole ? missing : len;
	}
	if (s->take == TAKE_LINE) {
		end = memchr(bytes, '\n', len);
	} else {
		for (size_t i = 0; i < len && !end; i++) {
			if (bytes[i] == ' ' || bytes[i] == '\n')
				end = &bytes[i];
		}
	}
	*ret_whole = end;
	return end ? (size_t)(end - bytes) + 1 : len;
}

static void hold(struct framer_stream *s, const uint8_t *bytes, size_t count)
{
	size_t room = s->got < FRAMER_HELD ? FRAMER_HELD - s->got : 0;

	memcpy(s->held + FRAMER_HELD - room, bytes, count < room ? count : room);
	s->got += (uint32_t)count;
}

/* Of a line or word, without its end. */
static void trim(struct frame_token *t, uint8_t end)
{
	t->end = end;
	t->len--;
	if (end == '\n' && t->len && t->len <= FRAMER_HELD && t->bytes[t->len - 1] == '\r')
		t->len--;
}

/* The piece asked for, when the chunk has the rest of it. */
static bool take(struct framer_stream *s, struct cursor *c, struct frame_token *ret)
{
	const uint8_t *bytes = c->bytes + c->at;
	bool whole, split = s->got > 0;
	size_t count;

	if (!split)
		s->token_at = s->at;
	*ret = (struct frame_token){ .bytes = bytes };
	if (s->take == TAKE_NOTHING)
		return true;
	if (c->at >= c->seen)
		return false;
	count = reach(s, bytes, c->seen - c->at, &whole);
	if (!whole || split)
		hold(s, bytes, count);
	advance(s, c, count);
	if (!whole)
		return false;
	ret->bytes = split ? s->held : bytes;
	ret->len = split ? s->got : count;
	if (s->take != TAKE_BYTES)
		trim(ret, bytes[count - 1]);
	ret->seen = frame_min(ret->len, FRAMER_HELD);
	return true;
}

static enum framer_result run(struct frame *x, struct cursor *c)
{
	struct framer_stream *s = x->s;
	struct frame_token token;

	while (!x->f->over) {
		if (s->skip) {
			pass_over(s, c);
			if (s->skip)
				return FRAMER_OK;
		}
		if (!take(s, c, &token)) {
			if (s->got > FRAMER_LINE_MAX)
				return FRAMER_LOST;
			return c->at < c->total ? FRAMER_SHORT : FRAMER_OK;
		}
		if (token.len > FRAMER_LINE_MAX || !x->f->protocol->steps[s->state](x, &token))
			return FRAMER_LOST;
	}
	return c->at < c->total ? FRAMER_LOST : FRAMER_OK;
}

static enum frame_look recognise(struct framer *f, enum framer_side side, const uint8_t *bytes,
				 size_t len)
{
	for (size_t i = 0; i < FRAME_COUNT(protocols); i++) {
		enum frame_look look = LOOK_NO;

		if (protocols[i]->look[side])
			look = protocols[i]->look[side](bytes, len);
		if (look == LOOK_YES)
			f->protocol = protocols[i];
		if (look != LOOK_NO)
			return look;
	}
	return LOOK_NO;
}

/* The bytes so far are kept until they tell, then go where they would have gone. */
static enum framer_result begin(struct frame *x, struct cursor *c)
{
	struct framer_stream *s = x->s;
	size_t room = FRAMER_HELD - s->got, count = c->seen < room ? c->seen : room;
	uint8_t bytes[FRAMER_HELD];
	struct cursor held = { .bytes = bytes };
	enum frame_look look;

	if (x->f->stream[!x->side].got)
		return FRAMER_LOST;
	hold(s, c->bytes, count);
	look = recognise(x->f, x->side, s->held, s->got);
	if (look == LOOK_NO || (look == LOOK_MORE && s->got == FRAMER_HELD))
		return FRAMER_LOST;
	if (look == LOOK_MORE)
		return c->seen < c->total ? FRAMER_SHORT : FRAMER_OK;
	memcpy(bytes, s->held, s->got);
	held.seen = held.total = s->got;
	x->chunk_at = held.seen - count;
	c->at = count;
	x->f->protocol->start(x->f, bytes, held.seen);
	return run(x, &held) == FRAMER_LOST ? FRAMER_LOST : run(x, c);
}

enum framer_result framer_feed(struct framer *f, enum framer_side side, const uint8_t *bytes,
			       size_t seen, size_t total, framer_mark_fn fn, void *arg)
{
	struct frame x = { f, &f->stream[side], side, f->stream[side].at, fn, arg };
	struct cursor c = { bytes, 0, seen, total };
	enum framer_result result;

	assert(seen <= total);
	if (!total)
		return FRAMER_OK;
	if (f->over)
		return FRAMER_LOST;
	result = f->protocol ? run(&x, &c) : begin(&x, &c);
	f->over |= result != FRAMER_OK;
	return result;
}

void framer_end(struct framer *f, enum framer_side side, framer_mark_fn fn, void *arg)
{
	struct frame x = { f, &f->stream[side], side, f->stream[side].at, fn, arg };

	if (f->protocol && f->protocol->closed && !f->over)
		f->protocol->closed(&x);
}

/* A number up to CR LF at bytes[*at]; moves *at behind it. -1 when there is none. */
static long resp_number(const uint8_t *bytes, size_t len, size_t *at)
{
	long value = 0;
	size_t i = *at;

	while (i < len && isdigit(bytes[i]) && value < 1000000)
		value = value * 10 + (bytes[i++] - '0');
	if (i == *at || i + 1 >= len || bytes[i] != '\r' || bytes[i + 1] != '\n')
		return -1;
	*at = i + 2;
	return value;
}

static bool copy_verb(const uint8_t *bytes, size_t len, char *ret_verb)
{
	if (!len || len >= FRAMER_VERB_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalpha(bytes[i]) && bytes[i] != '_' && bytes[i] != '-')
			return false;
		ret_verb[i] = toupper(bytes[i]);
	}
	ret_verb[len] = 0;
	return true;
}

/* Redis: an array of bulk strings, the first is the command. */
static bool look_resp(const uint8_t *bytes, size_t len, char *ret_verb)
{
	size_t at = 1;
	long verb_len;

	if (bytes[0] != '*' || resp_number(bytes, len, &at) < 1)
		return false;
	if (at >= len || bytes[at++] != '$')
		return false;
	verb_len = resp_number(bytes, len, &at);
	return verb_len > 0 && at + verb_len <= len && copy_verb(bytes + at, verb_len, ret_verb);
}

/* HTTP/1: a method, a blank, and a target that begins with '/' or '*' or a scheme. */
static bool look_http(const uint8_t *bytes, size_t len, char *ret_verb)
{
	static const char *const methods[] = { "GET",	"HEAD",	   "POST",  "PUT",    "DELETE",
					       "PATCH", "OPTIONS", "TRACE", "CONNECT" };

	for (size_t i = 0; i < FRAME_COUNT(methods); i++) {
		size_t n = strlen(methods[i]);

		if (len > n + 1 && !memcmp(bytes, methods[i], n) && bytes[n] == ' ' &&
		    (bytes[n + 1] == '/' || bytes[n + 1] == '*' || bytes[n + 1] == 'h'))
			return copy_verb(bytes, n, ret_verb);
	}
	return false;
}

static const struct {
	const char *protocol;
	bool (*look)(const uint8_t *bytes, size_t len, char *ret_verb);
} framings[] = {
	{ "resp", look_resp },
	{ "http/1", look_http },
};

void framer_look(const uint8_t *bytes, size_t len, struct framing *ret_framing)
{
	ret_framing->protocol = "";
	ret_framing->verb[0] = 0;
	for (size_t i = 0; len && i < FRAME_COUNT(framings); i++) {
		if (framings[i].look(bytes, len, ret_framing->verb)) {
			ret_framing->protocol = framings[i].protocol;
			return;
		}
	}
	ret_framing->verb[0] = 0;
}
