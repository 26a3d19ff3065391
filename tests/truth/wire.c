/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#define SERIAL_DIGITS 8

const char *const protocol_names[] = { "fixed", "resp", "http", NULL };

struct heads {
	const char *request, *reply; /* with a place for the bytes of the body */
	const char *tail;	     /* after the body */
	const char *length;	     /* the number behind it is that of the body */
};

static const struct heads heads[] = {
	[PROTOCOL_FIXED] = { NULL, NULL, "", NULL },
	[PROTOCOL_RESP] = { "*2\r\n$4\r\nWORK\r\n$%zu\r\n", "$%zu\r\n", "\r\n", "$" },
	[PROTOCOL_HTTP] = { "POST /work HTTP/1.1\r\nHost: truth\r\nContent-Length: %zu\r\n\r\n",
			    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", "",
			    "Content-Length: " },
};

#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* formats of the table above */

static size_t head_write(const char *format, size_t body, char *out)
{
	return format ? snprintf(out, WIRE_HEAD_MAX, format, body) : 0;
}

/* As many digits of the serial as there is room for, the last one first. */
static void serial_write(char *out, size_t size, uint64_t serial)
{
	for (size_t i = 0; i < size && i < SERIAL_DIGITS; i++, serial /= 10)
		out[i] = '0' + serial % 10;
}

static size_t message_write(enum protocol protocol, const char *format, char *out, size_t size,
			    uint64_t serial)
{
	size_t tail = wire_tail_bytes(protocol);
	size_t around = head_write(format, size, out) + tail;
	size_t body = size > around ? size - around : 0;
	size_t head = head_write(format, body, out);

	serial_write(out + head, body, serial);
	memcpy(out + head + body, heads[protocol].tail, tail);
	return head + body + tail;
}

size_t wire_request(enum protocol protocol, char *out, size_t size)
{
	return message_write(protocol, heads[protocol].request, out, size, 0);
}

size_t wire_reply(enum protocol protocol, char *out, size_t size, uint64_t serial)
{
	return message_write(protocol, heads[protocol].reply, out, size, serial);
}

size_t wire_tail_bytes(enum protocol protocol)
{
	return strlen(heads[protocol].tail);
}

static const char *find(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what));
}

/* The end of the line that has the length, and the length: a RESP command is WORK and a bulk. */
static const char *body_length(enum protocol protocol, const char *text, size_t len,
			       size_t *ret_body)
{
	const char *work = *text == '*' ? find(text, len, "WORK\r\n") : text;
	const char *at, *end;

	if (!work)
		return NULL;
	at = find(work, text + len - work, heads[protocol].length);
	end = at ? find(at, text + len - at, "\r\n") : NULL;
	if (!end)
		return NULL;
	*ret_body = strtoull(at + strlen(heads[protocol].length), NULL, 10);
	return end + 2;
}

/* Bytes before the body; 0 while they are not all there. */
static size_t head_bytes(enum protocol protocol, const char *text, size_t len, size_t *ret_body)
{
	const char *end;

	if (!len)
		return 0;
	if (protocol == PROTOCOL_RESP)
		end = body_length(protocol, text, len, ret_body);
	else
		end = find(text, len, "\r\n\r\n");
	if (!end)
		return 0;
	if (protocol == PROTOCOL_RESP)
		return end - text;
	if (!body_length(protocol, text, end + 2 - text, ret_body))
		return 0;
	return end + 4 - text;
}

size_t wire_head_bytes(enum protocol protocol, const char *message, size_t size)
{
	size_t body;

	return protocol == PROTOCOL_FIXED ? 0 : head_bytes(protocol, message, size, &body);
}

size_t wire_message_bytes(enum protocol protocol, const char *text, size_t len, size_t fixed)
{
	size_t body, head;

	if (protocol == PROTOCOL_FIXED)
		return len >= fixed ? fixed : 0;
	head = head_bytes(protocol, text, len, &body);
	if (!head || len < head + body + wire_tail_bytes(protocol))
		return 0;
	return head + body + wire_tail_bytes(protocol);
}

bool wire_reply_is(enum protocol protocol, const char *message, size_t size, uint64_t serial)
{
	char want[SERIAL_DIGITS] = "";
	size_t around = wire_head_bytes(protocol, message, size) + wire_tail_bytes(protocol);
	size_t body = size > around ? size - around : 0;

	serial_write(want, body, serial);
	return !memcmp(message + around - wire_tail_bytes(protocol), want,
		       body < SERIAL_DIGITS ? body : SERIAL_DIGITS);
}
