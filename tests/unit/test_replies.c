/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/node/replies.h"

#include <stdlib.h>
#include <string.h>

/* Stands for a file; it is never looked at. */
static int file;

static void add(struct replies *r, uint64_t request, uint32_t size, bool in_file)
{
	const struct walk_reply reply = {
		.message = { .size = size, .request = request, .cookie = (uint32_t)request },
		.file = in_file ? (const void *)&file : NULL,
		.offset = 1000,
	};

	CHECK_EQ(replies_add(r, &reply), 0);
}

/* Takes up to `step` bytes at a time; those of files count as `F`. Returns how many there were. */
static size_t drain(struct replies *r, char *out, size_t step)
{
	size_t total = 0;

	while (r->count) {
		uint64_t behind = 0;
		const struct walk_reply *in_file = replies_in_file(r, &behind);
		size_t n;

		if (in_file) {
			n = in_file->message.size - WIRE_MESSAGE_BYTES - behind;
			n = n < step ? n : step;
			memset(out + total, 'F', n);
		} else {
			memset(out + total, '.', step);
			n = replies_compose(r, out + total, step);
		}
		if (!CHECK(n > 0))
			break;
		replies_sent(r, n);
		total += n;
	}
	return total;
}

/* Headers and what is behind them, whatever the socket takes at a time. */
static void test_order(void)
{
	static const struct {
		uint64_t request;
		uint32_t size;
		bool in_file;
	} cases[] = { { 1, 24, false }, { 2, 100, false }, { 3, 60, true }, { 4, 24, true },
		      { 5, 25, true },	{ 6, 31, false },  { 7, 24, false } };
	size_t count = sizeof(cases) / sizeof(cases[0]);
	static char out[1024];

	for (size_t step = 1; step < 300; step++) {
		struct replies r = { 0 };
		size_t at = 0, total = 0;

		check_case("%zu bytes at a time", step);
		for (size_t i = 0; i < count; i++) {
			add(&r, cases[i].request, cases[i].size, cases[i].in_file);
			total += cases[i].size;
		}
		CHECK_EQ(drain(&r, out, step), total);
		for (size_t i = 0; i < count; i++) {
			struct wire_message m;

			CHECK(wire_message_decode((const uint8_t *)out + at, &m));
			CHECK_EQ(m.request, cases[i].request);
			CHECK_EQ(m.size, cases[i].size);
			for (uint32_t b = WIRE_MESSAGE_BYTES; b < m.size; b++)
				CHECK_EQ(out[at + b] == 'F', cases[i].in_file);
			at += m.size;
		}
		replies_release(&r);
	}
}

/* More than the ring holds, when it has gone round; and after a burst it is small again. */
static void test_burst(void)
{
	static char out[1 << 20];
	struct replies r = { 0 };

	for (uint64_t i = 0; i < 60; i++)
		add(&r, i, 24, false);
	replies_sent(&r, 50 * 24);
	for (uint64_t i = 60; i < 10000; i++)
		add(&r, i, 24, false);
	CHECK(r.capacity >= 9950);
	CHECK_EQ(drain(&r, out, 65536), 9950 * 24);
	for (uint64_t i = 0; i < 9950; i++) {
		struct wire_message m;

		CHECK(wire_message_decode((const uint8_t *)out + i * 24, &m));
		CHECK_EQ(m.request, 50 + i);
	}
	CHECK_EQ(r.capacity, 0);
	add(&r, 1, 24, false);
	replies_drop(&r);
	CHECK_EQ(replies_compose(&r, out, sizeof(out)), 0);
	replies_release(&r);
}

int main(void)
{
	RUN(test_order);
	RUN(test_burst);
	return check_done();
}
