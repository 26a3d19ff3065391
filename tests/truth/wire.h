/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TESTS_TRUTH_WIRE_H
#define GAIT_TESTS_TRUTH_WIRE_H

/*
 * Messages as server and client send them: a head that says how long they are, a serial number,
 * then whatever was in the buffer (filling it would be CPU time that nobody asked for). Their size
 * is the whole message's, so one shorter than its head is a bit longer than asked.
 */
#include "truth.h"

enum protocol {
	PROTOCOL_FIXED, /* every message has the agreed size */
	PROTOCOL_RESP,	/* *2 $4 WORK $N filler; $N filler */
	PROTOCOL_HTTP,	/* POST with Content-Length; 200 with Content-Length */
};

extern const char *const protocol_names[];

#define WIRE_HEAD_MAX 128

/* Writes a message of about `size` bytes to `out` (size + WIRE_HEAD_MAX); returns its bytes. */
size_t wire_request(enum protocol protocol, char *out, size_t size);
/* The same for a reply, with its serial number. */
size_t wire_reply(enum protocol protocol, char *out, size_t size, uint64_t serial);
/* Bytes before the body of a whole message, and after it. */
size_t wire_head_bytes(enum protocol protocol, const char *message, size_t size);
size_t wire_tail_bytes(enum protocol protocol);

/* Bytes of the first message in text: 0 while it is not whole. `fixed` is the agreed size. */
size_t wire_message_bytes(enum protocol protocol, const char *text, size_t len, size_t fixed);

/* Whether the reply holds what wire_reply() of that serial wrote. */
bool wire_reply_is(enum protocol protocol, const char *message, size_t size, uint64_t serial);

#endif
