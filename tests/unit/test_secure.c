/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends in one thread, over a socket pair: a node's and a client's. */
#include "check.h"
#include "replay/net/key.h"
#include "replay/net/secure.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS_MAX 20 /* of a handshake */
#define MESSAGE_BYTES (3 << 20)

static char dir[] = "/tmp/gait-test-secure-XXXXXX";
static char right[64], wrong[64];

struct fixture {
	int fds[2]; /* of the node, of the client */
	struct secure *node, *client;
	struct secure_end *node_end, *client_end;
	struct err node_err, client_err;
};

static void open_ends(struct fixture *f, const char *node_key, const char *client_key)
{
	const struct secure_opts node = { .key = node_key }, client = { .key = client_key };

	memset(f, 0, sizeof(*f));
	if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->fds), 0) ||
	    !CHECK_EQ(secure_new(&node, SECURE_NODE, &f->node, NULL), 0) ||
	    !CHECK_EQ(secure_new(&client, SECURE_CLIENT, &f->client, NULL), 0) ||
	    !CHECK_EQ(secure_end_new(f->node, f->fds[0], NULL, &f->node_end, NULL), 0) ||
	    !CHECK_EQ(secure_end_new(f->client, f->fds[1], "host", &f->client_end, NULL), 0))
		exit(1);
}

static void close_ends(struct fixture *f)
{
	secure_end_free(f->node_end);
	secure_end_free(f->client_end);
	secure_free(f->node);
	secure_free(f->client);
	for (int i = 0; i < 2; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
}

/* Until both have come to an end. */
static void shake(struct fixture *f, int *ret_node, int *ret_client)
{
	*ret_node = *ret_client = 0;
	for (int i = 0; i < ROUNDS_MAX && (!*ret_node || !*ret_client); i++) {
		if (!*ret_client)
			*ret_client = secure_end_shake(f->client_end, &f->client_err);
		if (!*ret_node)
			*ret_node = secure_end_shake(f->node_end, &f->node_err);
	}
}

static void test_a_key_opens_both_ways(void)
{
	char *sent = malloc(MESSAGE_BYTES), *received = malloc(MESSAGE_BYTES);
	struct fixture f;
	size_t out = 0, in = 0;
	int node, client;

	for (size_t i = 0; i < MESSAGE_BYTES; i++)
		sent[i] = (char)(i * 31 + i / 4096);
	open_ends(&f, right, right);
	shake(&f, &node, &client);
	CHECK_EQ(node, 1);
	CHECK_EQ(client, 1);
	CHECK_EQ(secure_end_recv(f.node_end, received, 1, NULL), -EAGAIN);
	for (int rounds = 0; in < MESSAGE_BYTES && rounds < 100000; rounds++) {
		ssize_t n = out == MESSAGE_BYTES ? -EAGAIN :
						   secure_end_send(f.client_end, sent + out,
								   MESSAGE_BYTES - out, NULL);

		if (n > 0)
			out += (size_t)n;
		else if (!CHECK_EQ(n, -EAGAIN))
			break;
		n = secure_end_recv(f.node_end, received + in, MESSAGE_BYTES - in, NULL);
		if (n > 0)
			in += (size_t)n;
		else if (!CHECK_EQ(n, -EAGAIN))
			break;
	}
	CHECK_EQ(in, MESSAGE_BYTES);
	CHECK_MEM(sent, received, MESSAGE_BYTES);
	secure_end_finish(f.client_end);
	CHECK_EQ(secure_end_recv(f.node_end, received, 1, NULL), 0);
	close_ends(&f);
	free(sent);
	free(received);
}

static void test_another_key_does_not(void)
{
	struct fixture f;
	int node, client;
	char byte;

	open_ends(&f, right, wrong);
	shake(&f, &node, &client);
	CHECK_EQ(node, -EACCES);
	CHECK_STR(f.node_err.text, "the client has another key");
	CHECK_EQ(client, -EACCES);
	CHECK_STR(f.client_err.text, "the node has another key");
	/* said again by whatever is tried next */
	CHECK_EQ(secure_end_recv(f.client_end, &byte, 1, &f.client_err), -EACCES);
	CHECK_EQ(secure_end_send(f.client_end, "x", 1, &f.client_err), -EACCES);
	CHECK_STR(f.client_err.text, "the node has another key");
	close_ends(&f);
}

/* What a client says first, into `hello`. */
static size_t first_flight(uint8_t *hello, size_t size)
{
	struct fixture f;
	ssize_t n;

	open_ends(&f, right, right);
	CHECK_EQ(secure_end_shake(f.client_end, NULL), 0);
	n = recv(f.fds[0], hello, size, MSG_DONTWAIT);
	CHECK(n > 100);
	close_ends(&f);
	return n > 0 ? (size_t)n : 0;
}

/* The node's answer to these bytes and an end; its first byte, 0 when there is none. */
static uint8_t answer_to(const uint8_t *data, size_t size, int *ret_shaken)
{
	uint8_t answer[4096] = { 0 };
	struct fixture f;

	open_ends(&f, right, right);
	CHECK_EQ(send(f.fds[1], data, size, 0), (long long)size);
	shutdown(f.fds[1], SHUT_WR);
	*ret_shaken = secure_end_shake(f.node_end, &f.node_err);
	recv(f.fds[1], answer, sizeof(answer), MSG_DONTWAIT);
	close_ends(&f);
	return answer[0];
}

/* 0x16: the handshake goes on; 0x15: an alert. */
static void test_a_first_flight_is_taken_whole_or_not_at_all(void)
{
	uint8_t hello[4096];
	size_t size = first_flight(hello, sizeof(hello));
	int shaken;

	CHECK_EQ(answer_to(hello, size, &shaken), 0x16);
	CHECK(shaken < 0); /* it ended there */
	for (size_t cut = 0; cut < size; cut++) {
		check_case("cut at %zu", cut);
		CHECK(answer_to(hello, cut, &shaken) != 0x16);
		CHECK(shaken < 0);
	}
	/* a record's version is looked at by nobody */
	for (size_t at = 0; at < size; at++) {
		uint8_t turned[sizeof(hello)];

		memcpy(turned, hello, size);
		turned[at] ^= 0x15;
		check_case("byte %zu turned", at);
		if (at != 1 && at != 2)
			CHECK(answer_to(turned, size, &shaken) != 0x16);
		CHECK(shaken < 0);
	}
}

static void test_a_peer_who_sends_for_ever_holds_nobody(void)
{
	/* change_cipher_spec, which a handshake has to pass over (RFC 8446, 5) */
	static const uint8_t record[] = { 0x14, 3, 3, 0, 1, 1 };
	static uint8_t flood[sizeof(record) * 50000];
	uint8_t hello[4096];
	size_t size = first_flight(hello, sizeof(hello));
	struct fixture f;
	int shaken = 0;

	for (size_t i = 0; i < sizeof(flood); i++)
		flood[i] = record[i % sizeof(record)];
	open_ends(&f, right, right);
	send(f.fds[1], hello, size, 0);
	for (int i = 0; i < 100 && !shaken; i++) {
		send(f.fds[1], flood, sizeof(flood), MSG_NOSIGNAL);
		shaken = secure_end_shake(f.node_end, &f.node_err);
	}
	CHECK(shaken <= 0);
	close_ends(&f);
}

static void test_no_certificate_stands_for_a_key(void)
{
	static const struct {
		struct secure_opts opts;
		int result;
	} cases[] = {
		{ { .key = "a" }, 0 },
		{ { .cert = "a", .cert_key = "b", .ca = "c" }, 0 },
		{ { .key = "a", .ca = "c" }, -EINVAL },
		{ { .cert = "a", .cert_key = "b" }, -EINVAL },
		{ { .ca = "c" }, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("%zu", i);
		CHECK_EQ(secure_check(&cases[i].opts, NULL), cases[i].result);
		CHECK(secure_wanted(&cases[i].opts));
	}
	check_case("none");
	CHECK(!secure_wanted(&(struct secure_opts){ 0 }));
}

int main(void)
{
#if !GAIT_TLS
	SKIP("built without TLS");
#endif
	if (!CHECK(mkdtemp(dir) != NULL))
		return check_done();
	snprintf(right, sizeof(right), "%s/right", dir);
	snprintf(wrong, sizeof(wrong), "%s/wrong", dir);
	CHECK_EQ(key_create(right, NULL), 0);
	CHECK_EQ(key_create(wrong, NULL), 0);
	RUN(test_a_key_opens_both_ways);
	RUN(test_another_key_does_not);
	RUN(test_a_first_flight_is_taken_whole_or_not_at_all);
	RUN(test_a_peer_who_sends_for_ever_holds_nobody);
	RUN(test_no_certificate_stands_for_a_key);
	unlink(right);
	unlink(wrong);
	rmdir(dir);
	return check_done();
}
