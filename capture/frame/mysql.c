/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MySQL and MariaDB: "Client/Server Protocol" of MySQL's source documentation and MariaDB's
 * knowledge base. Without compression and TLS.
 */
#include "capture/frame/frame.h"

enum { HEADER, COMMAND, HELLO, BODY_END, AUTH_END, REPLY_HEADER, REPLY_BODY, REPLY_BODY_END };

#define HEADER_BYTES 4
#define FULL 0xffffff	    /* a packet of this size goes on in the next */
#define FIRST_MAX (1 << 20) /* of a command by which the protocol is recognised */
#define LOOKED_AT 24	    /* bytes at the begin of a packet from the server */

/* Capabilities in the client's first packet. */
#define CLIENT_COMPRESS 0x20
#define CLIENT_SSL 0x800
#define CLIENT_DEPRECATE_EOF 0x1000000
#define HELLO_BYTES 32

#define MORE_RESULTS 0x0008
#define CURSOR_EXISTS 0x0040

enum shape {
	UNKNOWN,
	NOTHING, /* no reply */
	ONE,	 /* one packet */
	RESULTS, /* results until one says it is the last */
	PREPARED,
	ROWS_ONLY, /* until EOF */
	AUTH,	   /* until OK or ERR; the client may have its say in between */
	STREAM,	   /* what follows is for a replica */
};

#define HELLO_COMMAND 0xff /* the handshake, among the commands */

static const struct command {
	const char *verb;
	enum shape shape;
} commands[256] = {
	[0x01] = { "quit", NOTHING },
	[0x02] = { "init-db", ONE },
	[0x03] = { "query", RESULTS },
	[0x04] = { "field-list", ROWS_ONLY },
	[0x05] = { "create-db", ONE },
	[0x06] = { "drop-db", ONE },
	[0x07] = { "refresh", ONE },
	[0x08] = { "shutdown", ONE },
	[0x09] = { "statistics", ONE },
	[0x0a] = { "process-info", RESULTS },
	[0x0c] = { "process-kill", ONE },
	[0x0d] = { "debug", ONE },
	[0x0e] = { "ping", ONE },
	[0x11] = { "change-user", AUTH },
	[0x12] = { "binlog-dump", STREAM },
	[0x13] = { "table-dump", STREAM },
	[0x15] = { "register-slave", ONE },
	[0x16] = { "stmt-prepare", PREPARED },
	[0x17] = { "stmt-execute", RESULTS },
	[0x18] = { "stmt-send-long-data", NOTHING },
	[0x19] = { "stmt-close", NOTHING },
	[0x1a] = { "stmt-reset", ONE },
	[0x1b] = { "set-option", ONE },
	[0x1c] = { "stmt-fetch", ROWS_ONLY },
	[0x1e] = { "binlog-dump-gtid", STREAM },
	[0x1f] = { "reset-connection", ONE },
	[0xfa] = { "stmt-bulk-execute", RESULTS },
	[HELLO_COMMAND] = { "handshake", AUTH },
};

/* Where in a reply we are. */
enum { FIRST, COLUMNS, COLUMNS_END, ROWS, PARAMETERS, PARAMETERS_END, PREPARED_COLUMNS, LAST_EOF };

/* Whether an EOF packet stands behind column definitions: not known on a connection found open. */
enum { EOF_UNKNOWN, EOF_SENT, EOF_LEFT_OUT };

/* framer_stream.mode. */
enum { CONTINUED = 1, AWAITS_HELLO = 2, COMPRESSES = 4, ENDS = 8 };

/* The server speaks first: version 10, its version as text. */
static enum frame_look look_greeting(const uint8_t *bytes, size_t len)
{
	static const uint8_t fixed[] = { 0, 0, 10 };

	if (len >= 3 && (bytes[2] || bytes[1] > 3 || frame_le24(bytes) < 40))
		return LOOK_NO;
	for (size_t i = 3; i <= 4 && i < len; i++) {
		if (bytes[i] != fixed[i - 2])
			return LOOK_NO;
	}
	for (size_t i = 5; i < len; i++) {
		if (!bytes[i])
			return i > 8 ? LOOK_YES : LOOK_NO;
		if (bytes[i] < ' ' || bytes[i] > '~' ||
		    (i == 5 && (bytes[i] < '1' || bytes[i] > '9')))
			return LOOK_NO;
	}
	return len < FRAMER_HELD ? LOOK_MORE : LOOK_NO;
}

/* A statement, behind the count of query attributes where the client sends that (none: 0, 1). */
static enum frame_look look_statement(const uint8_t *text, size_t len, size_t seen)
{
	size_t at = len > 2 && seen > 1 && text[0] == 0 && text[1] == 1 ? 2 : 0;
	size_t want = len < at + 8 ? len : at + 8;

	if (len < 3)
		return LOOK_NO;
	if (seen < want)
		return seen > 2 && !frame_is_text(text + at, seen - at) ? LOOK_NO : LOOK_MORE;
	return frame_is_text(text + at, want - at) ? LOOK_YES : LOOK_NO;
}

/* Statement id, cursor type, and an iteration count that is always 1. */
static enum frame_look look_execute(const uint8_t *bytes, size_t len, size_t seen)
{
	static const uint8_t once[] = { 1, 0, 0, 0 };

	if (len < 9)
		return LOOK_NO;
	if (seen < 9)
		return LOOK_MORE;
	return bytes[4] < 16 && !memcmp(bytes + 5, once, 4) ? LOOK_YES : LOOK_NO;
}

/* A command on a connection that was open before the capture. */
static enum frame_look look(const uint8_t *bytes, size_t len)
{
	size_t size;

	if ((len > 2 && bytes[2] > 0xf) || (len > 3 && bytes[3]))
		return LOOK_NO;
	if (len < 5)
		return LOOK_MORE;
	size = frame_le24(bytes);
	if (!size || size > FIRST_MAX)
		return LOOK_NO;
	switch (bytes[4]) {
	case 0x01:
	case 0x0e:
		return size == 1 ? LOOK_YES : LOOK_NO;
	case 0x03:
	case 0x16:
		return look_statement(bytes + 5, size - 1, len - 5);
	case 0x17:
		return look_execute(bytes + 5, size - 1, len - 5);
	}
	return LOOK_NO;
}

static void start(struct framer *f, const uint8_t *bytes, size_t len)
{
	bool greeted = f->stream[FRAMER_OUT].got > 0;

	f->stream[FRAMER_IN].mode = greeted ? AWAITS_HELLO : 0;
	f->stream[FRAMER_OUT].mode = greeted ? AWAITS_HELLO : 0;
	frame_bytes(&f->stream[FRAMER_IN], HEADER_BYTES, HEADER);
	frame_bytes(&f->stream[FRAMER_OUT], HEADER_BYTES, REPLY_HEADER);
}

/* The commands that wait for replies. */

static bool push_command(struct framer *f, uint8_t command)
{
	if (f->mysql.count == FRAMER_COMMANDS)
		return false;
	f->mysql.commands[(f->mysql.first + f->mysql.count++) % FRAMER_COMMANDS] = command;
	return true;
}

static enum shape shape_of_waiting(const struct framer *f)
{
	return f->mysql.count ? commands[f->mysql.commands[f->mysql.first]].shape : UNKNOWN;
}

static void pop_command(struct framer *f)
{
	f->mysql.first = (f->mysql.first + 1) % FRAMER_COMMANDS;
	f->mysql.count--;
}

/* Requests. */

static bool header(struct frame *x, const struct frame_token *t)
{
	uint32_t len = frame_le24(t->bytes), sequence = t->bytes[3];
	struct framer_stream *s = x->s;

	s->frame = len;
	if (s->mode & CONTINUED) {
		frame_skip(s, len, BODY_END);
	} else if (s->mode & AWAITS_HELLO) {
		if (sequence != 1 || len < HELLO_BYTES)
			return false;
		frame_bytes(s, HELLO_BYTES, HELLO);
	} else if (sequence) {
		frame_skip(s, len, AUTH_END);
		return shape_of_waiting(x->f) == AUTH;
	} else {
		if (!len)
			return false;
		frame_request_begin(x, s->token_at, "");
		frame_bytes(s, 1, COMMAND);
	}
	return true;
}

static bool command(struct frame *x, const struct frame_token *t)
{
	const struct command *c = &commands[t->bytes[0]];

	if (c->shape == UNKNOWN || c->shape == STREAM || t->bytes[0] == HELLO_COMMAND)
		return false;
	memcpy(x->f->verb, c->verb, strlen(c->verb) + 1);
	x->s->kind = t->bytes[0];
	frame_skip(x->s, x->s->frame - 1, BODY_END);
	return c->shape == NOTHING || push_command(x->f, t->bytes[0]);
}

/* What the client can do decides how the server's replies look. */
static bool hello(struct frame *x, const struct frame_token *t)
{
	uint32_t can = frame_le24(t->bytes) | (uint32_t)t->bytes[3] << 24;

	if ((can & CLIENT_SSL) && x->s->frame == HELLO_BYTES)
		return false;
	frame_request_begin(x, x->s->token_at - HEADER_BYTES, commands[HELLO_COMMAND].verb);
	x->s->kind = HELLO_COMMAND;
	x->s->mode = can & CLIENT_COMPRESS ? COMPRESSES : 0;
	x->f->stream[FRAMER_OUT].mode &= ~AWAITS_HELLO;
	x->f->mysql.eof = can & CLIENT_DEPRECATE_EOF ? EOF_LEFT_OUT : EOF_SENT;
	frame_skip(x->s, x->s->frame - HELLO_BYTES, BODY_END);
	return push_command(x->f, HELLO_COMMAND);
}

static bool body_end(struct frame *x, const struct frame_token *t)
{
	frame_bytes(x->s, HEADER_BYTES, HEADER);
	if (x->s->frame == FULL) {
		x->s->mode |= CONTINUED;
		return true;
	}
	x->s->mode &= ~CONTINUED;
	frame_request_end(x, commands[x->s->kind].shape == NOTHING ? FRAMER_NO_REPLY : 0);
	return true;
}

static bool auth_end(struct frame *x, const struct frame_token *t)
{
	frame_bytes(x->s, HEADER_BYTES, HEADER);
	return true;
}

/* Replies. */

enum verdict { BROKEN, GOES_ON, LAST };

struct packet {
	const uint8_t *bytes;
	size_t seen;  /* of the bytes, at most LOOKED_AT */
	uint32_t len; /* all of it */
};

static uint32_t le16(const struct packet *p, size_t at)
{
	return at + 2 <= p->seen ? p->bytes[at] | (uint32_t)p->bytes[at + 1] << 8 : 0;
}

/* How many bytes a number of variable length has. */
static size_t number_bytes(uint8_t first)
{
	return first < 0xfb ? 1 : first == 0xfc ? 3 : first == 0xfd ? 4 : first == 0xfe ? 9 : 1;
}

static uint8_t first_of(const struct packet *p)
{
	return p->seen ? p->bytes[0] : 0;
}

static bool is_error(const struct packet *p)
{
	return first_of(p) == 0xff && p->len >= 3;
}

/* An ERR packet that only reports progress is MariaDB's. */
static bool is_progress(const struct packet *p)
{
	return is_error(p) && le16(p, 1) == 0xffff;
}

static bool is_eof(const struct packet *p)
{
	return first_of(p) == 0xfe && p->len == 5;
}

/* Of an OK packet, which may be dressed up as EOF: behind two numbers of variable length. */
static uint32_t status_of(const struct packet *p)
{
	size_t at = 1;

	if (is_eof(p))
		return le16(p, 3);
	for (int i = 0; i < 2 && at < p->seen; i++)
		at += number_bytes(p->bytes[at]);
	return le16(p, at);
}

static enum verdict end_result(struct framer *f, uint32_t status)
{
	f->mysql.phase = FIRST;
	return status & MORE_RESULTS ? GOES_ON : LAST;
}

/* How many columns, or OK. MariaDB says behind the number if it leaves the definitions out. */
static enum verdict take_first_of_result(struct frame *x, const struct packet *p)
{
	struct framer *f = x->f;
	uint8_t first = first_of(p);
	size_t n = number_bytes(first);

	if (first == 0x00 || is_eof(p))
		return end_result(f, status_of(p));
	if (first == 0xfb || first == 0xfe || p->seen < n || p->len > n + 1)
		return BROKEN; /* a file that the client is to send, or nonsense */
	x->s->left = first < 0xfb ? first : le16(p, 1);
	f->mysql.phase = p->len == n + 1 && !p->bytes[n] ? COLUMNS_END : COLUMNS;
	return first == 0xfd ? BROKEN : GOES_ON; /* more columns than a table can have */
}

static enum verdict take_row(struct frame *x, const struct packet *p)
{
	bool last = first_of(p) == 0xfe;

	if (x->f->mysql.eof == EOF_LEFT_OUT)
		last &= p->len < FULL;
	else
		last &= p->len < 9; /* else it is a number that begins a row */
	return last ? end_result(x->f, status_of(p)) : GOES_ON;
}

static enum verdict take_column(struct frame *x, const struct packet *p)
{
	if (x->s->left && !--x->s->left)
		x->f->mysql.phase = COLUMNS_END;
	return GOES_ON;
}

static enum verdict take_columns_end(struct frame *x, const struct packet *p)
{
	struct framer *f = x->f;

	f->mysql.phase = ROWS;
	f->mysql.eof = is_eof(p) ? EOF_SENT : EOF_LEFT_OUT;
	if (!is_eof(p))
		return take_row(x, p);
	return status_of(p) & CURSOR_EXISTS ? end_result(f, status_of(p)) : GOES_ON;
}

/* COM_STMT_PREPARE: definitions of parameters, then of columns, each with its EOF or without. */

static enum verdict end_prepared(struct framer *f)
{
	f->mysql.phase = f->mysql.eof == EOF_SENT ? LAST_EOF : FIRST;
	f->mysql.prepared = f->mysql.eof == EOF_UNKNOWN;
	return f->mysql.eof == EOF_SENT ? GOES_ON : LAST;
}

static enum verdict begin_prepared_columns(struct frame *x, bool last_was_eof)
{
	x->s->left = x->f->mysql.columns;
	x->f->mysql.phase = PREPARED_COLUMNS;
	if (x->s->left)
		return GOES_ON;
	if (!last_was_eof)
		return end_prepared(x->f);
	x->f->mysql.phase = FIRST;
	return LAST;
}

static enum verdict take_prepared_column(struct frame *x, const struct packet *p)
{
	return --x->s->left ? GOES_ON : end_prepared(x->f);
}

static enum verdict take_parameters_end(struct frame *x, const struct packet *p)
{
	x->f->mysql.eof = is_eof(p) ? EOF_SENT : EOF_LEFT_OUT;
	begin_prepared_columns(x, true);
	return is_eof(p) ? GOES_ON : take_prepared_column(x, p);
}

static enum verdict take_parameter(struct frame *x, const struct packet *p)
{
	struct framer *f = x->f;

	if (--x->s->left)
		return GOES_ON;
	if (f->mysql.eof == EOF_LEFT_OUT)
		return begin_prepared_columns(x, false);
	if (!f->mysql.columns)
		return end_prepared(f);
	f->mysql.phase = PARAMETERS_END;
	return GOES_ON;
}

static enum verdict take_first_of_prepared(struct frame *x, const struct packet *p)
{
	if (first_of(p) || p->len < 12)
		return BROKEN;
	x->f->mysql.columns = le16(p, 5);
	x->s->left = le16(p, 7);
	x->f->mysql.phase = PARAMETERS;
	if (x->s->left)
		return GOES_ON;
	return begin_prepared_columns(x, true);
}

static enum verdict take_last_eof(struct frame *x, const struct packet *p)
{
	x->f->mysql.phase = FIRST;
	return is_eof(p) ? LAST : BROKEN;
}

static enum verdict take_first(struct frame *x, const struct packet *p)
{
	switch (shape_of_waiting(x->f)) {
	case ONE:
		return LAST;
	case RESULTS:
		return take_first_of_result(x, p);
	case PREPARED:
		return take_first_of_prepared(x, p);
	case ROWS_ONLY:
		return take_row(x, p);
	case AUTH:
		return first_of(p) ? GOES_ON : LAST;
	default:
		return BROKEN;
	}
}

static enum verdict (*const phases[])(struct frame *x, const struct packet *p) = {
	[FIRST] = take_first,
	[COLUMNS] = take_column,
	[COLUMNS_END] = take_columns_end,
	[ROWS] = take_row,
	[PARAMETERS] = take_parameter,
	[PARAMETERS_END] = take_parameters_end,
	[PREPARED_COLUMNS] = take_prepared_column,
	[LAST_EOF] = take_last_eof,
};

static enum verdict take_packet(struct frame *x, const struct packet *p)
{
	if (is_progress(p))
		return GOES_ON;
	if (is_error(p)) {
		x->f->reply_flags |= FRAMER_ERROR;
		x->f->mysql.phase = FIRST;
		return LAST;
	}
	return phases[x->f->mysql.phase](x, p);
}

/* The EOF behind a prepared statement whose reply was thought to be over. */
static bool is_late_eof(struct framer *f, const struct packet *p)
{
	bool late = f->mysql.prepared && is_eof(p);

	f->mysql.prepared = false;
	if (late)
		f->mysql.eof = EOF_SENT;
	return late;
}

static bool reply_packet(struct frame *x, const struct packet *p, uint64_t at)
{
	struct framer_stream *s = x->s;
	enum verdict verdict;

	s->mode &= ~ENDS;
	frame_skip(s, p->len - p->seen, REPLY_BODY_END);
	if (s->mode & AWAITS_HELLO || is_late_eof(x->f, p))
		return true;	  /* the greeting is nobody's */
	if (!x->f->mysql.count) { /* an error out of turn, when the server hangs up */
		if (!is_error(p))
			return false;
		frame_reply_begin(x, at, FRAMER_ERROR);
		s->mode |= ENDS;
		return true;
	}
	if (!x->f->reply_open)
		frame_reply_begin(x, at, 0);
	verdict = take_packet(x, p);
	s->mode |= verdict == LAST ? ENDS : 0;
	return verdict != BROKEN;
}

static bool reply_header(struct frame *x, const struct frame_token *t)
{
	uint32_t len = frame_le24(t->bytes);
	struct packet empty = { 0 };

	x->s->frame = len;
	if (x->s->mode & CONTINUED)
		frame_skip(x->s, len, REPLY_BODY_END);
	else if (!len)
		return reply_packet(x, &empty, x->s->token_at);
	else
		frame_bytes(x->s, frame_min(len, LOOKED_AT), REPLY_BODY);
	return true;
}

static bool reply_body(struct frame *x, const struct frame_token *t)
{
	struct packet p = { t->bytes, t->seen, x->s->frame };

	return reply_packet(x, &p, x->s->token_at - HEADER_BYTES);
}

static bool reply_body_end(struct frame *x, const struct frame_token *t)
{
	struct framer *f = x->f;

	frame_bytes(x->s, HEADER_BYTES, REPLY_HEADER);
	x->s->mode &= ~CONTINUED;
	if (x->s->frame == FULL)
		x->s->mode |= CONTINUED;
	else if (x->s->mode & ENDS) {
		frame_reply_end(x);
		f->over = f->stream[FRAMER_IN].mode & COMPRESSES;
		if (f->mysql.count)
			pop_command(f);
	}
	return true;
}

static const frame_step steps[] = {
	[HEADER] = header,	   [COMMAND] = command,
	[HELLO] = hello,	   [BODY_END] = body_end,
	[AUTH_END] = auth_end,	   [REPLY_HEADER] = reply_header,
	[REPLY_BODY] = reply_body, [REPLY_BODY_END] = reply_body_end,
};

const struct frame_protocol frame_mysql = {
	.name = "mysql",
	.look = { look, look_greeting },
	.start = start,
	.steps = steps,
};
