/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a preface, as a datagram and as a stream of control frames; what decodes must encode to the same. */
#include "replay/net/datagram.h"
#include "replay/net/wire.h"

#include <stdlib.h>
#include <string.h>

static struct plan_op ops[WIRE_OPS_MAX];

static void check_same(const struct buf *buf, const struct wire_frame *frame)
{
	if (buf->len != WIRE_HEAD_BYTES + frame->payload_bytes ||
	    memcmp(buf->data + WIRE_HEAD_BYTES, frame->payload, frame->payload_bytes))
		abort();
}

#define X(TYPE, name, record)                                                                   \
	static void try_##name(const struct wire_frame *frame, struct buf *out)                 \
	{                                                                                       \
		record message;                                                                 \
                                                                                                \
		if (!wire_get_##name(frame, &message, NULL) && !wire_put_##name(out, &message)) \
			check_same(out, frame);                                                 \
	}
WIRE_RECORD_LIST(X)
#undef X

static void try_plan(const struct wire_frame *frame, struct buf *out)
{
	struct plan_request request;

	if (!wire_get_plan(frame, &request, ops, WIRE_OPS_MAX, NULL) &&
	    !wire_put_plan(out, &request, ops))
		check_same(out, frame);
}

static void (*const tries[WIRE_TYPE_COUNT])(const struct wire_frame *frame, struct buf *out) = {
#define X(TYPE, name, record) [WIRE_##TYPE] = try_##name,
	WIRE_RECORD_LIST(X)
#undef X
		[WIRE_PLAN] = try_plan,
};

static void try_datagram(const uint8_t *data, size_t size)
{
	struct dgram d = { .bytes = (uint32_t)size }, again;
	struct wire_preface preface;
	struct wire_message message;

	memcpy(d.head, data, size < sizeof(d.head) ? size : sizeof(d.head));
	if (datagram_get_request(&d, &preface, &message)) {
		datagram_put_request(&again, &preface, &message);
		if (again.bytes != size || memcmp(again.head, d.head, DATAGRAM_REQUEST_BYTES))
			abort();
	}
	if (datagram_get_reply(&d, &message)) {
		datagram_put_reply(&again, &message);
		if (again.bytes != size || memcmp(again.head, d.head, WIRE_MESSAGE_BYTES))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_preface preface;
	struct wire_frame frame;
	struct err err;
	int n;

	wire_preface_decode(data, size, &preface, &err);
	try_datagram(data, size);
	while ((n = wire_frame_decode(data, size, &frame, &err)) > 0) {
		struct buf out;

		buf_init(&out, 2 * WIRE_PAYLOAD_MAX);
		if (tries[frame.type])
			tries[frame.type](&frame, &out);
		buf_release(&out);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
