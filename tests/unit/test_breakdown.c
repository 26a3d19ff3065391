/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/breakdown.h"

/* Due at 1000: sent 10 late, 20 in the call, 30 on the wire, 400 there, 50 back, 60 until read. */
static const struct client_fact fact = {
	.intended_ns = 1000,
	.sent_ns = 1010,
	.tx_ns = 1030,
	.sent_end_ns = 1035,
	.arrival_ns = 1510,
	.received_ns = 1570,
	.outcome = OUTCOME_OK,
	.settled = true,
};
static const struct wire_row row = {
	.request_id = 1, .arrival_ns = 1060, .end_ns = 1460, .total_ns = 400
};

static int64_t sum_of(const struct row_latency *l)
{
	int64_t sum = l->unattributed_ns;

	for (int i = 0; i < SUB_COUNT; i++)
		sum += l->ns[i];
	return sum;
}

static void test_one_clock(void)
{
	struct row_latency l;

	breakdown_client(&fact, &row, true, &l);
	CHECK_EQ(l.total_ns, 570);
	CHECK_EQ(l.ns[SUB_CLIENT_LATE], 10);
	CHECK_EQ(l.ns[SUB_CLIENT_SEND], 20);
	CHECK_EQ(l.ns[SUB_NET_WIRE], 30 + 50);
	CHECK_EQ(l.ns[SUB_CALL], 400);
	CHECK_EQ(l.ns[SUB_CLIENT_RECEIVE], 60);
	CHECK_EQ(l.unattributed_ns, 0);
}

/* Its send returned at 1460; the last byte came at `arrival`: it ends there, its rows sum to that. */
static void test_end_on_arrival(void)
{
	static const struct {
		int64_t arrival_ns, tx_ns, end_ns, kernel_net_ns, user_ns;
	} cases[] = {
		{ 1510, 0, 1460, 60, 340 }, { 1430, 0, 1430, 30, 340 },
		{ 1380, 0, 1380, 0, 320 },  { 1430, 1425, 1460, 60, 340 },
		{ 0, 0, 1460, 60, 340 },    { 1090, 0, 1460, 60, 340 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client_fact f = fact;
		struct wire_row r = row;

		check_case("case %zu", i);
		f.arrival_ns = cases[i].arrival_ns;
		r.write_ns = 1100;
		r.tx_ns = cases[i].tx_ns;
		r.ns[SUB_CPU_KERNEL_NET] = 60;
		r.ns[SUB_CPU_USER] = 340;
		breakdown_end_on_arrival(&f, &r);
		CHECK_EQ(r.end_ns, cases[i].end_ns);
		CHECK_EQ(r.ns[SUB_CPU_KERNEL_NET], cases[i].kernel_net_ns);
		CHECK_EQ(r.ns[SUB_CPU_USER], cases[i].user_ns);
		CHECK_EQ(r.total_ns, r.ns[SUB_CPU_KERNEL_NET] + r.ns[SUB_CPU_USER]);
	}
}

/* Sent again at 1036, out of its queue at 1042; a later request's stamps say nothing of this one. */
static void test_before_the_wire(void)
{
	static const struct {
		int64_t again_ns, left_ns, retransmit, qdisc, wire;
	} cases[] = {
		{ 0, 0, 0, 0, 30 },	  { 0, 1042, 0, 12, 18 }, { 1036, 1042, 6, 6, 18 },
		{ 1036, 1032, 6, 0, 24 }, { 900, 950, 0, 0, 30 }, { 0, 1200, 0, 0, 30 },
		{ 1100, 1110, 0, 0, 30 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client_fact f = fact;
		struct row_latency l;

		check_case("case %zu", i);
		f.again_ns = cases[i].again_ns;
		f.left_ns = cases[i].left_ns;
		breakdown_client(&f, &row, true, &l);
		CHECK_EQ(l.ns[SUB_NET_RETRANSMIT], cases[i].retransmit);
		CHECK_EQ(l.ns[SUB_NET_QDISC], cases[i].qdisc);
		CHECK_EQ(l.ns[SUB_NET_WIRE], cases[i].wire + 50);
		CHECK_EQ(sum_of(&l), 570);
	}
}

/* Only durations compare: the wire is what the node's leaves of the round trip. */
static void test_two_clocks(void)
{
	struct wire_row elsewhere = row;
	struct client_fact f = fact;
	struct row_latency l;

	elsewhere.arrival_ns += 1000000;
	elsewhere.end_ns += 1000000;
	f.left_ns = 1042; /* whether that was before it arrived there no clock tells */
	breakdown_client(&f, &elsewhere, false, &l);
	CHECK_EQ(l.ns[SUB_NET_WIRE], 30 + 50);
	CHECK_EQ(l.ns[SUB_NET_QDISC], 0);
	CHECK_EQ(l.ns[SUB_CALL], 400);
	CHECK_EQ(l.ns[SUB_CLIENT_SEND], 20);
	CHECK_EQ(l.ns[SUB_CLIENT_RECEIVE], 60);
	CHECK_EQ(sum_of(&l), l.total_ns);
	f.arrival_ns = 0;
	breakdown_client(&f, &elsewhere, false, &l);
	CHECK_EQ(l.ns[SUB_NET_WIRE], 0);
	CHECK_EQ(l.ns[SUB_CLIENT_SEND], 20);
	CHECK_EQ(l.unattributed_ns, 140);
}

/* It stayed in the socket when the call returned, or was at the node before that. */
static void test_no_transmit_stamp(void)
{
	static const struct {
		int64_t sent_end_ns, send, wire;
	} cases[] = { { 1035, 25, 25 + 50 }, { 1059, 49, 1 + 50 }, { 1100, 50, 50 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client_fact f = fact;
		struct row_latency l;

		check_case("case %zu", i);
		f.tx_ns = 0;
		f.sent_end_ns = cases[i].sent_end_ns;
		breakdown_client(&f, &row, true, &l);
		CHECK_EQ(l.ns[SUB_CLIENT_SEND], cases[i].send);
		CHECK_EQ(l.ns[SUB_NET_WIRE], cases[i].wire);
		CHECK_EQ(l.ns[SUB_CALL], 400);
		CHECK_EQ(l.ns[SUB_CLIENT_RECEIVE], 60);
		CHECK_EQ(l.unattributed_ns, 0);
	}
}

/* It was read with others, and came between the first byte of these and their last one. */
static void test_came_with_others(void)
{
	static const struct {
		int64_t came_ns, wire, wire_of_trip; /* without one clock */
	} cases[] = { { 1490, 60, 60 }, { 1470, 40, 40 }, { 1100, 30, 0 }, { 1510, 80, 80 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client_fact f = fact;
		struct row_latency l;

		check_case("case %zu", i);
		f.came_ns = cases[i].came_ns;
		for (int one_clock = 0; one_clock < 2; one_clock++) {
			int64_t wire = one_clock ? cases[i].wire : cases[i].wire_of_trip;

			breakdown_client(&f, &row, one_clock, &l);
			CHECK_EQ(l.ns[SUB_NET_WIRE], wire);
			CHECK_EQ(l.unattributed_ns, 80 - wire);
			CHECK_EQ(l.ns[SUB_CLIENT_RECEIVE], 60);
			CHECK_EQ(sum_of(&l), 570);
		}
	}
}

/* Whatever the stamps say, the parts are not negative and add up to the total. */
static void test_odd_stamps(void)
{
	static const struct {
		const char *name;
		int64_t tx_ns, arrival_ns, node_arrival_ns, node_end_ns, node_total_ns;
	} cases[] = {
		{ "sent before it was sent", 900, 1510, 1060, 1460, 400 },
		{ "arrived before it was sent", 1030, 1510, 1020, 1460, 440 },
		{ "ended after the reply came", 1030, 1510, 1060, 1540, 480 },
		{ "ended after all", 1030, 1510, 1060, 2000, 940 },
		{ "came back after it was read", 1030, 1600, 1060, 1460, 400 },
		{ "no stamp of the client", 0, 0, 1060, 1460, 400 },
		{ "no arrival at the node", 1030, 1510, 0, 1460, 350 },
		{ "longer than all", 0, 0, 0, 0, 5000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client_fact f = fact;
		struct wire_row r = row;
		struct row_latency l;

		check_case("%s", cases[i].name);
		f.tx_ns = cases[i].tx_ns;
		f.arrival_ns = cases[i].arrival_ns;
		r.arrival_ns = cases[i].node_arrival_ns;
		r.end_ns = cases[i].node_end_ns;
		r.total_ns = cases[i].node_total_ns;
		for (int one_clock = 0; one_clock < 2; one_clock++) {
			breakdown_client(&f, &r, one_clock, &l);
			CHECK_EQ(sum_of(&l), 570);
			CHECK(l.unattributed_ns >= 0);
			for (int s = 0; s < SUB_COUNT; s++)
				CHECK(l.ns[s] >= 0);
		}
	}
}

static void test_no_row_of_the_node(void)
{
	struct row_latency l;

	breakdown_client(&fact, NULL, true, &l);
	CHECK_EQ(l.ns[SUB_CALL], 0);
	CHECK_EQ(sum_of(&l), 570);
}

static void summarise(const struct client_fact *facts, size_t count, struct breakdown_summary *s)
{
	*s = (struct breakdown_summary){ 0 };
	for (size_t i = 0; i < count; i++)
		CHECK_EQ(breakdown_add(s, &facts[i]), 0);
	breakdown_band_begin(s);
	for (size_t i = 0; i < count; i++)
		breakdown_band_add(s, &facts[i]);
}

/* 2000 requests of 1000 ns; of the slowest 20 each is late by a part of its 10000 ns. */
static void test_late_share(void)
{
	static const struct {
		int64_t late_ns;
		double share;
	} cases[] = { { 0, 0 }, { 500, 0.05 }, { 1000, 0.1 }, { 9000, 0.9 } };
	static struct client_fact facts[2000];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct breakdown_summary s;

		check_case("%lld ns late", (long long)cases[i].late_ns);
		for (size_t n = 0; n < ARRAY_SIZE(facts); n++) {
			bool slow = n % 100 == 0;

			facts[n].intended_ns = 1 + (int64_t)n;
			facts[n].sent_ns = facts[n].intended_ns + (slow ? cases[i].late_ns : 0);
			facts[n].received_ns = facts[n].intended_ns + (slow ? 10000 : 1000);
		}
		summarise(facts, ARRAY_SIZE(facts), &s);
		CHECK_NEAR(s.late_share, cases[i].share, 1e-9);
		CHECK_EQ(hist_count(&s.late), ARRAY_SIZE(facts));
		CHECK_EQ(s.last_intended_ns - s.first_intended_ns, 1999);
		breakdown_summary_release(&s);
	}
}

/* One late request of eleven is not the band of ten; of three it is a third. */
static void test_band_of_few(void)
{
	struct client_fact facts[11];
	struct breakdown_summary s;

	for (size_t n = 0; n < ARRAY_SIZE(facts); n++)
		facts[n] = (struct client_fact){ .intended_ns = 1,
						 .sent_ns = n ? 1 : 1001,
						 .received_ns = 2001 };
	summarise(facts, 3, &s);
	CHECK_NEAR(s.late_share, 1000.0 / 6000, 1e-9);
	breakdown_summary_release(&s);
	summarise(facts, 0, &s);
	CHECK_NEAR(s.late_share, 0, 0);
	breakdown_summary_release(&s);
}

int main(void)
{
	RUN(test_one_clock);
	RUN(test_end_on_arrival);
	RUN(test_before_the_wire);
	RUN(test_two_clocks);
	RUN(test_no_transmit_stamp);
	RUN(test_came_with_others);
	RUN(test_odd_stamps);
	RUN(test_no_row_of_the_node);
	RUN(test_late_share);
	RUN(test_band_of_few);
	return check_done();
}
