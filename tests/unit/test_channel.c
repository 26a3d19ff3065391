/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a connection in one thread: what one sends the other gets, encrypted or not. */
#include "check.h"
#include "replay/net/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define BYTES_MAX (1 << 20)

struct pair {
	struct tls_context *node_tls, *client_tls;
	struct channel node, client;
};

static char sent[BYTES_MAX], got[BYTES_MAX];

static void connect_pair(struct pair *p)
{
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	p->node = (struct channel){ .fd = ends[0] };
	p->client = (struct channel){ .fd = ends[1] };
	if (!p->node_tls)
		return;
	CHECK_EQ(channel_begin_tls(&p->node, p->node_tls), 0);
	CHECK_EQ(channel_begin_tls(&p->client, p->client_tls), 0);
}

static void begin(struct pair *p, bool tls, bool reads_ahead)
{
	const struct tls_setup node = { .node = true, .reads_ahead = reads_ahead }, client = { 0 };
	struct err err = { "" };

	memset(p, 0, sizeof(*p));
	check_case("%s%s", tls ? "tls" : "plain", reads_ahead ? ", reads ahead" : "");
	if (tls) {
		CHECK_EQ(tls_context_new(&node, &p->node_tls, &err), 0);
		CHECK_EQ(tls_context_new(&client, &p->client_tls, &err), 0);
		CHECK_STR(err.text, "");
	}
	connect_pair(p);
}

static void end(struct pair *p)
{
	channel_close(&p->node);
	channel_close(&p->client);
	CHECK_EQ(p->node.fd, -1);
	tls_context_free(p->node_tls);
	tls_context_free(p->client_tls);
}

static void shake_hands(struct pair *p)
{
	int node = -EAGAIN, client = -EAGAIN;

	for (int i = 0; i < 20 && (node || client); i++) {
		client = channel_handshake(&p->client);
		node = channel_handshake(&p->node);
	}
	CHECK_EQ(client, 0);
	CHECK_EQ(node, 0);
}

/* `size` bytes from one end to the other, whose receives are of up to `part`. */
static void move(struct channel *from, struct channel *to, size_t size, size_t part)
{
	size_t out = 0, in = 0;
	int stuck = 0;

	memset(got, 0, size);
	while (in < size && stuck < 3) {
		size_t want = size - in < part ? size - in : part;
		ssize_t n = out < size ? channel_send(from, sent + out, size - out) : 0;

		CHECK(n >= 0 || n == -EAGAIN);
		out += n > 0 ? (size_t)n : 0;
		n = channel_recv(to, got + in, want);
		CHECK(n > 0 || n == -EAGAIN);
		in += n > 0 ? (size_t)n : 0;
		stuck = n > 0 ? 0 : stuck + 1;
	}
	CHECK_EQ(out, size);
	CHECK_EQ(in, size);
	CHECK_MEM(got, sent, size);
}

static const struct {
	bool tls, reads_ahead;
} kinds[] = { { false, false }, { true, false }, { true, true } };

#define KINDS (GAIT_TLS ? ARRAY_SIZE(kinds) : 1)

static void test_bytes_of_all_sizes(void)
{
	static const size_t sizes[] = { 1, 64, 16383, 16384, 16385, 100000, BYTES_MAX };
	struct pair p;

	for (size_t k = 0; k < KINDS; k++) {
		begin(&p, kinds[k].tls, kinds[k].reads_ahead);
		shake_hands(&p);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			move(&p.client, &p.node, sizes[i], 65536);
			move(&p.node, &p.client, sizes[i], 65536);
			move(&p.node, &p.client, sizes[i], 1000);
		}
		CHECK_EQ(channel_recv(&p.node, got, 1), -EAGAIN);
		CHECK_EQ(channel_read_events(&p.node), EPOLLIN);
		end(&p);
	}
}

static bool is_readable(const struct channel *ch)
{
	struct pollfd pfd = { .fd = ch->fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* The reader need not ask TLS twice: what no event tells of, channel_has_more() does. */
static void test_nothing_is_left_behind_unseen(void)
{
	struct pair p;

	for (size_t k = 0; k < KINDS; k++) {
		size_t in = 0;

		begin(&p, kinds[k].tls, kinds[k].reads_ahead);
		shake_hands(&p);
		for (int i = 0; i < 100; i++)
			CHECK_EQ(channel_send(&p.client, sent, 10), 10);
		for (int i = 0; i < 1000 && in < 1000; i++) {
			ssize_t n;

			if (!CHECK(is_readable(&p.node) || channel_has_more(&p.node)))
				break;
			n = channel_recv(&p.node, got, 7);
			in += n > 0 ? (size_t)n : 0;
		}
		CHECK_EQ(in, 1000);
		CHECK(!is_readable(&p.node) && !channel_has_more(&p.node));
		end(&p);
	}
}

/* The first receive and send shake hands by themselves. */
static void test_handshake_by_itself(void)
{
	struct pair p;

	begin(&p, true, true);
	CHECK_EQ(channel_recv(&p.node, got, 1), -EAGAIN);
	CHECK_EQ(channel_send(&p.client, sent, 5), -EAGAIN);
	CHECK_EQ(channel_write_events(&p.client), EPOLLIN); /* it waits for the other's hello */
	move(&p.client, &p.node, 5, 5);
	end(&p);
}

static void test_end_of_stream(void)
{
	struct pair p;

	for (size_t k = 0; k < KINDS; k++) {
		begin(&p, kinds[k].tls, kinds[k].reads_ahead);
		shake_hands(&p);
		CHECK_EQ(channel_send(&p.client, sent, 5), 5);
		channel_close(&p.client);
		CHECK_EQ(channel_recv(&p.node, got, 64), 5);
		CHECK_EQ(channel_recv(&p.node, got, 64), 0);
		CHECK_EQ(channel_send(&p.node, sent, 5), -EPIPE); /* and no signal */
		end(&p);
	}
}

/* Cut off without a goodbye is an end too. */
static void test_cut_off(void)
{
	struct pair p;

	begin(&p, true, false);
	shake_hands(&p);
	shutdown(p.client.fd, SHUT_RDWR);
	CHECK_EQ(channel_recv(&p.node, got, 64), 0);
	end(&p);
}

static void test_garbage_is_no_handshake(void)
{
	static const char http[] = "GET / HTTP/1.1\r\n\r\n";
	struct pair p;

	begin(&p, true, true);
	CHECK_EQ(send(p.client.fd, http, sizeof(http) - 1, 0), (long long)sizeof(http) - 1);
	CHECK_EQ(channel_recv(&p.node, got, 64), -EPROTO);
	CHECK_EQ(channel_send(&p.node, sent, 64), -EPROTO);
	end(&p);
}

/* A record that was changed on its way is refused, and so is all after it. */
static void test_tampering(void)
{
	char record[200];
	struct pair p;
	ssize_t n;

	begin(&p, true, true);
	shake_hands(&p);
	CHECK_EQ(channel_send(&p.client, sent, 64), 64);
	n = recv(p.node.fd, record, sizeof(record), 0);
	CHECK(n > 64);
	CHECK(memcmp(record + 5, sent, 64) != 0); /* it is encrypted */
	record[n - 1] ^= 1;
	CHECK_EQ(send(p.client.fd, record, (size_t)n, 0), n);
	CHECK_EQ(channel_recv(&p.node, got, 64), -EPROTO);
	end(&p);
}

/* A full socket: what was refused goes out whole and once, when there is room. */
static void test_full_socket(void)
{
	struct pair p;

	for (size_t k = 0; k < KINDS; k++) {
		size_t out = 0, in = 0;
		ssize_t n;

		begin(&p, kinds[k].tls, kinds[k].reads_ahead);
		shake_hands(&p);
		while ((n = channel_send(&p.node, sent + out, BYTES_MAX - out)) > 0)
			out += (size_t)n;
		CHECK_EQ(n, -EAGAIN);
		CHECK_EQ(channel_write_events(&p.node), EPOLLOUT);
		CHECK(out < BYTES_MAX);
		while (in < BYTES_MAX && (n = channel_recv(&p.client, got + in, BYTES_MAX - in))) {
			in += n > 0 ? (size_t)n : 0;
			n = out < BYTES_MAX ? channel_send(&p.node, sent + out, BYTES_MAX - out) :
					      0;
			out += n > 0 ? (size_t)n : 0;
		}
		CHECK_EQ(in, BYTES_MAX);
		CHECK_MEM(got, sent, BYTES_MAX);
		end(&p);
	}
}

static void test_sendfile(void)
{
	int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	struct pair p;

	CHECK_EQ(write(file, sent, 40000), 40000);
	for (size_t k = 0; k < KINDS; k++) {
		size_t in = 0;
		ssize_t n;

		begin(&p, kinds[k].tls, kinds[k].reads_ahead);
		shake_hands(&p);
		CHECK_EQ(channel_sendfile(&p.node, file, 1000, 35000), 35000);
		while (in < 35000 && (n = channel_recv(&p.client, got + in, 35000 - in)) > 0)
			in += (size_t)n;
		CHECK_EQ(in, 35000);
		CHECK_MEM(got, sent + 1000, 35000);
		CHECK_EQ(channel_sendfile(&p.node, file, 39000, 5000), 1000); /* there is no more */
		CHECK_EQ(channel_sendfile(&p.node, file, 40000, 5000), 0);
		end(&p);
	}
	close(file);
}

static void test_files_that_are_no_certificate(void)
{
	const struct tls_setup missing = { .node = true, .cert = "/nowhere/cert.pem" };
	const struct tls_setup rubbish = { .node = true, .cert = "/proc/self/maps" };
	struct tls_context *context = NULL;
	struct err err;

	CHECK_EQ(tls_context_new(&missing, &context, &err), -EINVAL);
	CHECK(strstr(err.text, "cannot use the certificate '/nowhere/cert.pem': "));
	CHECK_EQ(tls_context_new(&rubbish, &context, &err), -EINVAL);
	CHECK(strstr(err.text, "cannot use the certificate '/proc/self/maps': "));
	CHECK(!context);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 2654435761u >> 13);
	RUN(test_bytes_of_all_sizes);
	RUN(test_nothing_is_left_behind_unseen);
	RUN(test_end_of_stream);
	RUN(test_full_socket);
	RUN(test_sendfile);
	if (GAIT_TLS) {
		RUN(test_handshake_by_itself);
		RUN(test_cut_off);
		RUN(test_garbage_is_no_handshake);
		RUN(test_tampering);
		RUN(test_files_that_are_no_certificate);
	}
	return check_done();
}
