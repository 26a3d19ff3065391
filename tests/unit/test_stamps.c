/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's stamps of what comes and goes, for who may load no probes. */
#include "base/clock.h"
#include "check.h"
#include "replay/net/channel.h"
#include "replay/net/datagram.h"

#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

/* Readings one after the other: the stamp and the offset as it is then, now, and what is told. */
static void test_clock(void)
{
	static const struct {
		const char *what;
		int64_t realtime_ns, offset_ns, now_ns, told_ns;
	} cases[] = {
		{ "the first", 5000100, 5000000, 200, 100 },
		{ "the offset is read anew, a little off", 5000300, 5000010, 400, 290 },
		{ "not after now", 5000500, 5000000, 490, 490 },
		{ "the clock was set", 9000900, 9000000, 1000, 0 },
		{ "what came before may still be read", 9000900, 9000000, 999999999, 0 },
		{ "a second later it may not", 1009000900, 9000000, 1000001000, 1000000900 },
		{ "set back", 1005000000, 5000000, 1000002000, 0 },
	};
	struct stamp_clock clock = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("%s", cases[i].what);
		CHECK_EQ(stamp_clock_tell(&clock, cases[i].realtime_ns, cases[i].offset_ns,
					  cases[i].now_ns),
			 cases[i].told_ns);
	}
}

/* Two connected sockets of the loopback; what comes to the second is stamped. */
static void connect_ends(int type, int ends[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, type, 0);

	CHECK_EQ(bind(listener, (struct sockaddr *)&at, size), 0);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	stamps_ask(listener);
	if (type == SOCK_STREAM)
		CHECK_EQ(listen(listener, 1), 0);
	ends[0] = socket(AF_INET, type, 0);
	CHECK_EQ(connect(ends[0], (struct sockaddr *)&at, size), 0);
	ends[1] = type == SOCK_STREAM ? accept(listener, NULL, NULL) : listener;
	if (type == SOCK_STREAM)
		close(listener);
}

static bool is_readable(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	return poll(&ready, 1, 5000) == 1 && ready.revents & POLLIN;
}

/*
 * Of each message both ends have all their stamps, in order, and no error is left. The first ones
 * may have none: the kernel begins to take them a little after it was first asked to.
 */
static void check_stream(bool tls)
{
	const struct tls_setup node = { .node = true }, client = { 0 };
	struct tls_context *contexts[2] = { NULL, NULL };
	struct thread_slot slots[2] = { { 0 }, { 0 } };
	struct stamps to[2] = { { .slot = &slots[0] }, { .slot = &slots[1] } };
	struct channel ch[2] = { CHANNEL_NONE, CHANNEL_NONE };
	int64_t give_up = clock_now_ns() + 5 * NS_PER_SEC;
	int ends[2], stamped = 0;
	char bytes[300] = { 0 };

	connect_ends(SOCK_STREAM, ends);
	for (int i = 0; i < 2; i++)
		ch[i].fd = ends[i];
	if (tls) {
		CHECK_EQ(tls_context_new(&client, &contexts[0], NULL), 0);
		CHECK_EQ(tls_context_new(&node, &contexts[1], NULL), 0);
		for (int i = 0; i < 2; i++)
			CHECK_EQ(channel_begin_tls(&ch[i], contexts[i]), 0);
		while (channel_handshake(&ch[0]) | channel_handshake(&ch[1]) &&
		       clock_now_ns() < give_up)
			;
	}
	channel_stamp(&ch[0], &to[0], true);
	channel_stamp(&ch[1], &to[1], false);
	while (stamped < 10 && clock_now_ns() < give_up) {
		uint64_t in = slots[1].rx_sequence, out = slots[0].tx_sequence;
		int64_t begin = clock_now_ns();

		if (!CHECK_EQ(channel_send(&ch[0], bytes, sizeof(bytes)), sizeof(bytes)) ||
		    !CHECK(is_readable(ch[1].fd)) ||
		    !CHECK_EQ(channel_recv(&ch[1], bytes, sizeof(bytes)), sizeof(bytes)))
			break;
		if (slots[1].rx_sequence == in || slots[0].tx_sequence == out)
			continue;
		stamped++;
		CHECK((int64_t)slots[0].tx_ns >= begin - 2000);
		CHECK(ch[0].stamps->left_ns >= (int64_t)slots[0].tx_ns - 2000);
		CHECK((int64_t)slots[1].rx_latest_ns >= (int64_t)slots[0].tx_ns - 2000);
		CHECK((int64_t)slots[1].rx_latest_ns <= clock_now_ns());
		CHECK_EQ(slots[1].tx_sequence, 0);
	}
	CHECK_EQ(stamped, 10);
	CHECK_EQ(poll(&(struct pollfd){ .fd = ch[0].fd }, 1, 0), 0);
	for (int i = 0; i < 2; i++) {
		channel_close(&ch[i]);
		tls_context_free(contexts[i]);
	}
}

static void test_stream(void)
{
	check_stream(false);
}

static void test_tls(void)
{
	const struct tls_setup node = { .node = true };
	struct tls_context *context;

	if (tls_context_new(&node, &context, NULL))
		return; /* built without TLS */
	tls_context_free(context);
	check_stream(true);
}

static void test_datagrams(void)
{
	static char scratch[DATAGRAM_SCRATCH_BYTES];
	struct thread_slot slot = { 0 };
	struct stamps to = { .slot = &slot };
	int64_t give_up = clock_now_ns() + 5 * NS_PER_SEC;
	struct datagrams in;
	int ends[2];

	connect_ends(SOCK_DGRAM, ends);
	while (!slot.rx_sequence && clock_now_ns() < give_up) {
		int64_t begin = clock_now_ns();

		CHECK_EQ(send(ends[0], scratch, 100, 0), 100);
		if (!CHECK(is_readable(ends[1])) ||
		    !CHECK_EQ(datagrams_receive(ends[1], &in, 1, scratch), 1))
			break;
		stamps_received(&to, in.at[0].stamp_ns);
		if (slot.rx_sequence)
			CHECK((int64_t)slot.rx_latest_ns >= begin - 2000);
	}
	CHECK_EQ(slot.rx_sequence, 1);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	RUN(test_clock);
	RUN(test_stream);
	RUN(test_tls);
	RUN(test_datagrams);
	return check_done();
}
