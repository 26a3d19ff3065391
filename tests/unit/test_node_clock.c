/* SPDX-License-Identifier: Apache-2.0 */
/* A node's clock and the client's, from requests between them: known ways, clocks that are apart. */
#include "check.h"

#include "replay/node_clock.h"

#define REQUESTS 200
#define APART_NS 5000000000 /* what the node's clock is ahead of the client's */
#define GUESS_OFF_NS 300000 /* and what is wrong in what is known of it at first */
#define ANCHOR_NS 1000000000

/* Of the i-th: 10 us to the device, there in 30 us, 400 us there, back in 50, read 60 later. */
static void make(int i, int64_t step_ns, struct client_fact *row, struct wire_row *node)
{
	int64_t due_ns = 1000000 + i * 1000000, longer_ns = i % 7 * 10000;
	int64_t arrival_ns = due_ns + 10000 + 30000 + longer_ns, end_ns = arrival_ns + 400000;
	int64_t ahead_ns = ANCHOR_NS + APART_NS + (i >= REQUESTS / 2 ? step_ns : 0);

	*row = (struct client_fact){ .intended_ns = due_ns, .sent_ns = due_ns };
	row->tx_ns = due_ns + 10000;
	row->arrival_ns = end_ns + 50000 + longer_ns;
	row->received_ns = row->arrival_ns + 60000;
	*node = (struct wire_row){ .request_id = (uint64_t)i,
				   .arrival_ns = arrival_ns + ahead_ns,
				   .end_ns = end_ns + ahead_ns,
				   .tx_ns = end_ns + ahead_ns,
				   .total_ns = 400000 };
}

static struct node_clock bind(int64_t step_ns)
{
	struct node_clock clock = { .anchor_ns = ANCHOR_NS + APART_NS + GUESS_OFF_NS };
	struct clock_bounds bounds;

	clock_bounds_init(&bounds, 0, REQUESTS * 1000000ll);
	for (int i = 0; i < REQUESTS; i++) {
		struct client_fact row;
		struct wire_row node;

		make(i, step_ns, &row, &node);
		node_clock_add(&clock, &bounds, &row, &node);
	}
	node_clock_bind(&clock, &bounds);
	return clock;
}

/* The way there, with the call, and the way back bound it: the middle of 40 and 50 us is 5 off. */
static void test_bound(void)
{
	struct node_clock clock = bind(0);
	struct row_latency latency;
	struct client_fact row;
	struct wire_row node;

	CHECK(clock.is_bound);
	CHECK_NEAR(clock.line.offset_ns, GUESS_OFF_NS + 5000, 1);
	CHECK_NEAR(clock.line.bound_ns, 45000, 2);
	make(0, 0, &row, &node);
	CHECK_NEAR(node_clock_time(&clock, node.arrival_ns), row.tx_ns + 35000, 2);
	CHECK_EQ(node_clock_time(&clock, 0), TRACE_NONE);
	row.left_ns = row.tx_ns + 15000;
	node_clock_split(&clock, &row, &node, &latency);
	CHECK_EQ(latency.ns[SUB_CLIENT_SEND], 10000);
	CHECK_EQ(latency.ns[SUB_NET_QDISC], 15000);
	CHECK_NEAR(latency.ns[SUB_NET_WIRE], 15000 + 50000, 2);
	CHECK_NEAR(latency.ns[SUB_CALL], 400000, 1);
	CHECK_EQ(latency.ns[SUB_CLIENT_RECEIVE], 60000);
	CHECK_EQ(latency.unattributed_ns, 0);
}

/* Somebody set the clock by 1 ms: round trips alone, in which the queue is not told. */
static void test_contradiction(void)
{
	struct node_clock clock = bind(1000000);
	struct row_latency latency;
	struct client_fact row;
	struct wire_row node;

	CHECK(!clock.is_bound);
	make(REQUESTS - 1, 1000000, &row, &node);
	row.left_ns = row.tx_ns + 15000;
	node_clock_split(&clock, &row, &node, &latency);
	CHECK_EQ(latency.ns[SUB_NET_QDISC], 0);
	CHECK_EQ(latency.ns[SUB_NET_WIRE], 80000 + 2 * ((REQUESTS - 1) % 7) * 10000);
	CHECK_EQ(latency.ns[SUB_CALL], 400000);
	CHECK_EQ(latency.unattributed_ns, 0);
}

/* One that says nothing, and a client without a probe. */
static void test_unknown(void)
{
	struct node_clock clock = { .is_clients = true, .anchor_ns = ANCHOR_NS + APART_NS };
	struct row_latency latency;
	struct client_fact row;
	struct wire_row node;

	make(0, 0, &row, &node);
	node_clock_split(&clock, &row, NULL, &latency);
	CHECK_EQ(latency.ns[SUB_CLIENT_SEND], 10000);
	CHECK_EQ(latency.ns[SUB_CLIENT_RECEIVE], 60000);
	CHECK_EQ(latency.unattributed_ns, 480000);
	row.tx_ns = row.arrival_ns = 0;
	node_clock_split(&clock, &row, &node, &latency);
	CHECK_EQ(latency.ns[SUB_CALL], 400000);
	CHECK_EQ(latency.ns[SUB_NET_WIRE], 0);
	CHECK_EQ(latency.unattributed_ns, 150000);
}

int main(void)
{
	RUN(test_bound);
	RUN(test_contradiction);
	RUN(test_unknown);
	return check_done();
}
