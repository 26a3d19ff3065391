/* SPDX-License-Identifier: Apache-2.0 */
/* A datagram's bytes, what is none, and several of them over a pair of sockets. */
#include "check.h"
#include "replay/net/datagram.h"

#include <errno.h>
#include <unistd.h>

static char filler[DATAGRAM_MAX], scratch[DATAGRAM_SCRATCH_BYTES];

static const struct wire_preface preface = { WIRE_PREFACE_WALK, { 1, 2, 3 }, 0x1234 };

static struct dgram request_of(uint32_t size)
{
	const struct wire_message message = { .size = size, .request = 7, .cookie = 9 };
	struct dgram d = { .peer.size = 0 };

	datagram_put_request(&d, &preface, &message);
	return d;
}

static void test_golden_bytes(void)
{
	static const uint8_t head[] = {
		'G', 'A', 'I', 'T', 0, 2, 0,	3, /* magic, version, flags */
		1,   2,	  3,   0,   0, 0, 0,	0,    0, 0, 0, 0, 0, 0, 0, 0, /* token */
		0,   0,	  0,   0,   0, 0, 0x12, 0x34,			      /* connection_id */
		0,   0,	  1,   0,   0, 0, 0,	0, /* size, at, status, flags */
		0,   0,	  0,   0,   0, 0, 0,	7, /* request */
		0,   0,	  0,   0,   0, 0, 0,	9, /* attempt, cookie */
	};
	struct dgram d = request_of(256);

	CHECK_EQ(d.head_bytes, sizeof(head));
	CHECK_EQ(d.bytes, 256);
	CHECK_MEM(d.head, head, sizeof(head));
	datagram_put_reply(&d, &(struct wire_message){ .size = 256, .request = 7, .cookie = 9 });
	CHECK_EQ(d.head_bytes, WIRE_MESSAGE_BYTES);
	CHECK_MEM(d.head, head + WIRE_PREFACE_BYTES, WIRE_MESSAGE_BYTES);
}

/* One byte that is changed, or a length that is another than it says. */
static void test_what_is_none(void)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} wrong[] = { { 0, 'g' }, { 5, 1 }, { 7, 1 }, { 7, 7 }, { 34, 2 }, { 38, 9 }, { 39, 1 } };
	struct wire_preface back;
	struct wire_message message;
	struct dgram d = request_of(256);

	CHECK(datagram_get_request(&d, &back, &message));
	CHECK_EQ(back.connection_id, 0x1234);
	CHECK_EQ(message.request, 7);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		d = request_of(256);
		d.head[wrong[i].at] = wrong[i].byte;
		CHECK(!datagram_get_request(&d, &back, &message));
	}
	for (uint32_t bytes = 0; bytes < 400; bytes++) {
		d = request_of(256);
		d.bytes = bytes;
		CHECK_EQ(datagram_get_request(&d, &back, &message), bytes == 256);
		datagram_put_reply(&d, &(struct wire_message){ .size = 256 });
		d.bytes = bytes;
		CHECK_EQ(datagram_get_reply(&d, &message), bytes == 256);
	}
}

static void test_several_by_one_call(void)
{
	static struct datagrams out, in;
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
	CHECK_EQ(datagrams_receive(ends[1], &in, DATAGRAM_BATCH, scratch), -EAGAIN);
	for (uint32_t i = 0; i < 5; i++)
		out.at[out.count++] = request_of(DATAGRAM_REQUEST_BYTES + i * 1000);
	CHECK_EQ(datagrams_send(ends[0], &out, 1, filler), 4);
	CHECK_EQ(datagrams_receive(ends[1], &in, 3, scratch), 3);
	CHECK_EQ(datagrams_receive(ends[1], &in, DATAGRAM_BATCH, scratch), 1);
	CHECK_EQ(in.at[0].bytes, DATAGRAM_REQUEST_BYTES + 4000);
	CHECK_MEM(in.at[0].head, out.at[4].head, DATAGRAM_REQUEST_BYTES);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	RUN(test_golden_bytes);
	RUN(test_what_is_none);
	RUN(test_several_by_one_call);
	return check_done();
}
