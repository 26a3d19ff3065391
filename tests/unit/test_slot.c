/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread reads in its slot of its last receive: when which of its bytes came. */
#include "check.h"
#include "probe/probe.h"

static void test_arrivals(void)
{
	/* 100 bytes in all: 40 with the first segment, then 10, then 50 */
	static const struct thread_slot slot = {
		.rx_arrival_ns = 1000,
		.rx_latest_ns = 3000,
		.rx_pieces_count = 2,
		.rx_pieces = { { .ns = 2000, .bytes = 60 }, { .ns = 3000, .bytes = 50 } },
	};
	static const struct {
		uint64_t bytes;
		int64_t ns;
	} known[] = {
		{ 100, 1000 }, { 61, 1000 }, { 60, 2000 },  { 51, 2000 },
		{ 50, 3000 },  { 1, 3000 },  { 500, 1000 }, /* of a receive before: it cannot have come later */
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		CHECK_EQ(probe_read_arrival(&slot, known[i].bytes), known[i].ns);
}

static void test_one_segment(void)
{
	static const struct thread_slot slot = { .rx_arrival_ns = 1000, .rx_latest_ns = 1000 },
					none;

	CHECK_EQ(probe_read_arrival(&slot, 1), 1000);
	CHECK_EQ(probe_read_arrival(&slot, 100), 1000);
	CHECK_EQ(probe_read_arrival(&none, 1), 0);
}

/* Which came before those that are kept is not known, but that they did. */
static void test_more_than_are_kept(void)
{
	static struct thread_slot slot = { .rx_arrival_ns = 1000,
					   .rx_pieces_count = RX_PIECES_MAX };

	for (uint32_t i = 0; i < RX_PIECES_MAX; i++)
		slot.rx_pieces[i] = (struct rx_piece){ .ns = 2000 + i, .bytes = RX_PIECES_MAX - i };
	CHECK_EQ(probe_read_arrival(&slot, RX_PIECES_MAX + 10), 2000);
	CHECK_EQ(probe_read_arrival(&slot, RX_PIECES_MAX), 2000);
	CHECK_EQ(probe_read_arrival(&slot, RX_PIECES_MAX - 1), 2001);
	CHECK_EQ(probe_read_arrival(&slot, 1), 2000 + RX_PIECES_MAX - 1);
}

int main(void)
{
	RUN(test_arrivals);
	RUN(test_one_segment);
	RUN(test_more_than_are_kept);
	return check_done();
}
