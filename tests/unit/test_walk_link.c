/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of a walk against a node that this test plays by hand, over a pair of sockets. */
#include "base/clock.h"
#include "check.h"
#include "replay/walk/link.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PERIOD_NS 1000
#define SESSIONS_MAX 4

struct fixture {
	struct walk_plan plan;
	struct walk_tally tally;
	struct walk_writer writer; /* keeps nothing */
	struct walk_link link;
	struct spec period, size;
	int node; /* the other end */
	char out[WALK_BUFFER_BYTES], in[WALK_BUFFER_BYTES];
};

/* Open, with every request due already. */
static struct fixture *open_link(uint64_t requests, uint64_t sessions, uint32_t bytes)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	f->period = spec_constant(PERIOD_NS, SPEC_NS);
	f->size = spec_constant(bytes, SPEC_BYTES);
	f->plan = (struct walk_plan){ .schedule = { .threads = 3,
						    .requests = requests,
						    .sessions = sessions,
						    .period = &f->period,
						    .size = &f->size },
				      .timeout_ns = NS_PER_SEC };
	f->link.plan = &f->plan;
	f->link.tally = &f->tally;
	f->link.writer = &f->writer;
	f->link.anchor_ns = clock_now_ns() - 1000 * NS_PER_SEC;
	CHECK_EQ(walk_link_init(&f->link, 1), 0);
	f->link.channel.fd = ends[0];
	f->link.due_ns = 0;
	f->link.stuck_ns = -1;
	f->link.state = WALK_LINK_OPEN;
	f->node = ends[1];
	return f;
}

static void close_link(struct fixture *f)
{
	walk_link_release(&f->link);
	close(f->node);
	hist_release(&f->tally.latency);
	hist_release(&f->tally.service);
	hist_release(&f->tally.late);
	free(f);
}

static uint64_t send_all(struct fixture *f)
{
	uint64_t begun, all = 0;

	do {
		CHECK(walk_link_send(&f->link, f->out, true, &begun) >= 0);
		all += begun;
	} while (begun);
	return all;
}

/* The node's reply to a request of its thread. */
static void reply_as(const struct fixture *f, uint64_t request, enum wire_status status)
{
	struct wire_message m = { .size = WIRE_MESSAGE_BYTES,
				  .status = (uint8_t)status,
				  .request = request * f->plan.schedule.threads + f->link.thread };
	uint8_t bytes[WIRE_MESSAGE_BYTES];

	wire_message_encode(&m, bytes);
	CHECK_EQ(send(f->node, bytes, sizeof(bytes), 0), sizeof(bytes));
}

static uint64_t retire(struct fixture *f, uint64_t *ret_failed)
{
	uint64_t answered;

	walk_link_retire(&f->link, &answered, ret_failed);
	return answered;
}

/* Headers of all that was sent, one behind the other. */
static void test_requests(void)
{
	struct fixture *f = open_link(5, 1, 10);
	struct wire_message m;
	uint8_t bytes[WIRE_MESSAGE_BYTES];

	CHECK_EQ(send_all(f), 5);
	for (uint64_t i = 0; i < 5; i++) {
		CHECK_EQ(recv(f->node, bytes, sizeof(bytes), 0), sizeof(bytes));
		CHECK(wire_message_decode(bytes, &m));
		CHECK_EQ(m.request, i * 3 + 1);
		CHECK_EQ(m.size, WIRE_MESSAGE_BYTES);
		CHECK_EQ(m.at, 0);
	}
	CHECK_EQ(recv(f->node, bytes, 1, 0), -1);
	CHECK_EQ(f->tally.raised, 5);
	close_link(f);
}

/* What becomes due while it sends waits: replies are looked at first, or they would seem late. */
static void test_due_meanwhile(void)
{
	enum { REQUESTS = 500 }; /* all fit into one message */
	struct fixture *f = open_link(REQUESTS, 1, 64);
	uint64_t begun;
	int ends[2];

	close(f->link.channel.fd);
	close(f->node);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	f->link.channel.fd = ends[0];
	f->node = ends[1];
	f->link.due_ns = clock_now_ns() - f->link.anchor_ns;
	CHECK(walk_link_send(&f->link, f->out, true, &begun) >= 0);
	CHECK(begun > 0 && begun <= REQUESTS);
	CHECK_EQ(recv(f->node, f->in, sizeof(f->in), 0), 64 * begun);
	CHECK_EQ(recv(f->node, f->in, sizeof(f->in), 0), -1);
	close_link(f);
}

/* Rows leave in the order of sending; what answers nothing is passed over. */
static void test_any_order(void)
{
	static const uint64_t order[] = { 3, 1, 1, 99, 0, 2, 0 };
	static const uint64_t retired[] = { 0, 0, 0, 0, 2, 2, 0 };
	struct fixture *f = open_link(5, 1, 64);
	uint64_t failed;

	send_all(f);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		check_case("reply %zu", i);
		reply_as(f, order[i], WIRE_STATUS_OK);
		CHECK_EQ(walk_link_receive(&f->link, f->in), 1);
		CHECK_EQ(retire(f, &failed), retired[i]);
		CHECK_EQ(failed, 0);
	}
	CHECK(!walk_link_is_through(&f->link));
	reply_as(f, 4, WIRE_STATUS_ERROR);
	CHECK_EQ(walk_link_receive(&f->link, f->in), 1);
	CHECK_EQ(retire(f, &failed), 0);
	CHECK_EQ(failed, 1);
	CHECK(walk_link_is_through(&f->link));
	CHECK_EQ(f->tally.outcomes[WALK_OK], 4);
	CHECK_EQ(f->tally.outcomes[WALK_ERROR], 1);
	CHECK_EQ(hist_count(&f->tally.latency), 4);
	CHECK_EQ(hist_count(&f->tally.late), 5);
	close_link(f);
}

static void test_byte_by_byte(void)
{
	uint8_t bytes[100] = { 0 };
	struct fixture *f = open_link(1, 1, 64);
	uint64_t failed;

	send_all(f);
	wire_message_encode(&(struct wire_message){ .size = sizeof(bytes), .request = 1 }, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		CHECK_EQ(retire(f, &failed), 0);
		CHECK_EQ(send(f->node, &bytes[i], 1, 0), 1);
		CHECK_EQ(walk_link_receive(&f->link, f->in), 1);
	}
	CHECK_EQ(retire(f, &failed), 1);
	CHECK_EQ(f->tally.bytes_in, sizeof(bytes));
	close_link(f);
}

/* A node that does not keep to the protocol, or has gone. */
static void test_broken(void)
{
	static const uint8_t bad[][WIRE_MESSAGE_BYTES] = {
		{ 0 },
		{ 0, 0, 0, WIRE_MESSAGE_BYTES - 1 },
		{ 255, 255, 255, 255 },
		{ 0, 0, 0, WIRE_MESSAGE_BYTES, 0, 0, WIRE_STATUS_COUNT },
		{ 0, 0, 0, WIRE_MESSAGE_BYTES, 0, 0, 0, 1 },
	};

	for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
		struct fixture *f = open_link(10, 1, 64);
		uint64_t failed;

		check_case("case %zu", i);
		send_all(f);
		if (i == ARRAY_SIZE(bad))
			shutdown(f->node, SHUT_RDWR);
		else
			CHECK_EQ(send(f->node, bad[i], sizeof(bad[i]), 0), sizeof(bad[i]));
		CHECK_EQ(walk_link_receive(&f->link, f->in),
			 i == ARRAY_SIZE(bad) ? -ECONNRESET : -EPROTO);
		walk_link_fail(&f->link, WALK_ERROR);
		CHECK_EQ(retire(f, &failed), 0);
		CHECK_EQ(failed, 10);
		CHECK(walk_link_is_through(&f->link));
		CHECK_EQ(f->tally.outcomes[WALK_ERROR], 10);
		close_link(f);
	}
}

/* A reply that comes too late is none. */
static void test_timeouts(void)
{
	struct fixture *f = open_link(4, 1, 64);
	uint64_t failed;

	send_all(f);
	reply_as(f, 1, WIRE_STATUS_OK);
	CHECK_EQ(walk_link_receive(&f->link, f->in), 1);
	walk_link_expire(&f->link, NS_PER_SEC + 2 * PERIOD_NS); /* the fourth has a period left */
	CHECK_EQ(retire(f, &failed), 1);
	CHECK_EQ(failed, 2);
	reply_as(f, 0, WIRE_STATUS_OK);
	reply_as(f, 3, WIRE_STATUS_OK);
	CHECK_EQ(walk_link_receive(&f->link, f->in), 1);
	CHECK_EQ(retire(f, &failed), 1);
	CHECK_EQ(failed, 0);
	CHECK_EQ(f->tally.outcomes[WALK_TIMEOUT], 2);
	CHECK_EQ(f->tally.outcomes[WALK_OK], 2);
	close_link(f);
}

/* The ring grows while it is turned; nothing is lost. */
static void test_many_under_way(void)
{
	enum { REQUESTS = 5000 };
	struct fixture *f = open_link(REQUESTS, 1, WIRE_MESSAGE_BYTES);
	uint64_t failed, answered = 0;
	ssize_t n;

	for (uint64_t sent = 0, replied = 0; answered < REQUESTS;) {
		sent += send_all(f);
		while ((n = recv(f->node, f->in, sizeof(f->in), 0)) > 0)
			;
		for (int i = 0; i < 7 && replied < sent; i++)
			reply_as(f, replied++, WIRE_STATUS_OK);
		if (!CHECK_EQ(walk_link_receive(&f->link, f->in), 1))
			break;
		answered += retire(f, &failed);
		CHECK_EQ(failed, 0);
	}
	CHECK(walk_link_is_through(&f->link));
	CHECK_EQ(f->tally.outcomes[WALK_OK], REQUESTS);
	CHECK_EQ(f->tally.rings, f->link.ring_size);
	close_link(f);
}

/* Whoever takes nothing for the length of the timeout has gone; whoever takes little has not. */
static void test_stuck(void)
{
	struct fixture *f = open_link(10, 1, 1 << 22);
	ssize_t n;

	CHECK_EQ(send_all(f), 1);
	CHECK(walk_link_is_full(&f->link));
	CHECK(!walk_link_is_stuck(&f->link, 100));
	CHECK(!walk_link_is_stuck(&f->link, 100 + NS_PER_SEC));
	CHECK(walk_link_is_stuck(&f->link, 101 + NS_PER_SEC));
	n = recv(f->node, f->in, sizeof(f->in), 0);
	while (n > 0)
		n = recv(f->node, f->in, sizeof(f->in), 0);
	send_all(f);
	CHECK(!walk_link_is_stuck(&f->link, 101 + NS_PER_SEC));
	CHECK(walk_link_is_stuck(&f->link, 102 + 2 * NS_PER_SEC));
	close_link(f);
}

/* A body that is longer than a buffer arrives whole, and the next request behind it. */
static void test_long_requests(void)
{
	enum { BYTES = 200000 };
	struct fixture *f = open_link(3, 1, BYTES);
	size_t received = 0;
	uint64_t begun = 0, n;

	while (received < 3 * BYTES) {
		ssize_t got;

		CHECK(walk_link_send(&f->link, f->out, true, &n) >= 0);
		begun += n;
		got = recv(f->node, f->in, sizeof(f->in), 0);
		if (!CHECK(got > 0))
			break;
		received += (size_t)got;
	}
	CHECK_EQ(received, 3 * BYTES);
	CHECK_EQ(begun, 3);
	CHECK(!walk_link_is_full(&f->link));
	close_link(f);
}

/* All requests are sent in one of the sessions, whatever the division leaves over. */
static void test_sessions(void)
{
	static const struct {
		uint64_t requests, sessions, each[SESSIONS_MAX];
	} cases[] = {
		{ 8, 2, { 4, 4 } },
		{ 7, 3, { 3, 2, 2 } },
		{ 2, 4, { 1, 1, 0, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = open_link(cases[i].requests, cases[i].sessions, 64);

		for (uint64_t s = 0; s < cases[i].sessions; s++) {
			check_case("case %zu session %lu", i, s);
			CHECK_EQ(f->link.end - f->link.next, cases[i].each[s]);
			CHECK_EQ(walk_link_next_session(&f->link), s + 1 < cases[i].sessions);
		}
		CHECK_EQ(f->link.next + cases[i].each[cases[i].sessions - 1], cases[i].requests);
		close_link(f);
	}
}

/* Stopping counts what no session sends any more, and what is under way is waited for. */
static void test_stop(void)
{
	struct fixture *f = open_link(10, 5, 64);
	uint64_t failed;

	CHECK_EQ(send_all(f), 2);
	walk_link_stop(&f->link);
	CHECK_EQ(f->tally.outcomes[WALK_UNSENT], 8);
	CHECK(!walk_link_is_through(&f->link));
	reply_as(f, 0, WIRE_STATUS_OK);
	reply_as(f, 1, WIRE_STATUS_OK);
	CHECK_EQ(walk_link_receive(&f->link, f->in), 1);
	CHECK_EQ(retire(f, &failed), 2);
	CHECK(walk_link_is_through(&f->link));
	CHECK(!walk_link_next_session(&f->link));
	CHECK_EQ(f->tally.outcomes[WALK_UNSENT], 8);
	close_link(f);
}

int main(void)
{
	RUN(test_requests);
	RUN(test_due_meanwhile);
	RUN(test_any_order);
	RUN(test_byte_by_byte);
	RUN(test_broken);
	RUN(test_timeouts);
	RUN(test_many_under_way);
	RUN(test_stuck);
	RUN(test_long_requests);
	RUN(test_sessions);
	RUN(test_stop);
	return check_done();
}
