/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk's connections, used as nobody should: each either ends or waits, is counted, and the node
 * serves its other clients all the while.
 */
#include "base/clock.h"
#include "check.h"
#include "replay/net/wire.h"
#include "replay/node/limits.h"
#include "replay/node/node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 20000 /* beyond which something hangs */
#define REPLY_BYTES 64
#define MANY 70000 /* more than a node keeps open, or unsent, of a connection */

struct fixture {
	struct node *node;
	pthread_t thread;
	char dir[64];
};

/* A client: its control connection, and what came with the end of its session. */
struct client {
	struct fixture *f;
	int control;
	struct buf in, out;
	size_t taken; /* of `in`, by the last frame */
	struct wire_hello hello;
	struct ledger ledger;
};

static void *node_main(void *arg)
{
	node_run(arg, NULL);
	return NULL;
}

static void start_node(struct fixture *f)
{
	struct node_opts opts = { .dir = f->dir, .storage_bytes = 1 << 20, .requests_ahead = 16 };

	strcpy(f->dir, "/tmp/gait-test-node-walk-XXXXXX");
	CHECK(mkdtemp(f->dir) != NULL);
	if (!CHECK_EQ(node_new(&opts, &f->node, NULL), 0))
		exit(1);
	pthread_create(&f->thread, NULL, node_main, f->node);
}

static void stop_node(struct fixture *f)
{
	node_stop(f->node);
	pthread_join(f->thread, NULL);
	node_free(f->node);
	CHECK_EQ(rmdir(f->dir), 0); /* it leaves nothing behind */
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(node_port(f->node)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!CHECK(!connect(fd, (struct sockaddr *)&at, sizeof(at))))
		exit(1);
	return fd;
}

static bool wait_for(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return CHECK_EQ(poll(&pfd, 1, WAIT_MS), 1);
}

static void flush(struct client *c)
{
	CHECK_EQ(send(c->control, c->out.data, c->out.len, MSG_NOSIGNAL), (long long)c->out.len);
	buf_reset(&c->out);
}

/* The next frame; its payload lives until the next call. 0: the node has closed. */
static enum wire_type next_frame(struct client *c, struct wire_frame *ret_frame)
{
	int n;

	buf_consume(&c->in, c->taken);
	c->taken = 0;
	while (!(n = wire_frame_decode((uint8_t *)c->in.data, c->in.len, ret_frame, NULL))) {
		ssize_t got;

		buf_reserve(&c->in, 65536);
		if (!wait_for(c->control, POLLIN))
			return 0;
		got = recv(c->control, c->in.data + c->in.len, 65536, 0);
		if (got <= 0)
			return 0;
		c->in.len += (size_t)got;
	}
	if (!CHECK(n > 0))
		return 0;
	c->taken = (size_t)n;
	return ret_frame->type;
}

static void meet(struct client *c, struct fixture *f, const char *text, size_t text_bytes)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	struct wire_walk walk = { .seed = 1, .text_bytes = (uint32_t)text_bytes };
	struct wire_frame frame;

	*c = (struct client){ .f = f, .control = dial(f) };
	buf_init(&c->in, 1 << 20);
	buf_init(&c->out, 1 << 20);
	wire_put_hello(&c->out, &hello);
	flush(c);
	if (CHECK_EQ(next_frame(c, &frame), WIRE_HELLO))
		CHECK_EQ(wire_get_hello(&frame, &c->hello, NULL), 0);
	wire_put_walk(&c->out, &walk);
	wire_put_text(&c->out, text, text_bytes);
	wire_put_empty(&c->out, WIRE_LAYOUT);
	flush(c);
}

/* A client whose requests do what `text` says. */
static void begin(struct client *c, struct fixture *f, const char *text)
{
	struct wire_start start = { 1, 0, 0 };
	struct wire_frame frame;

	meet(c, f, text, strlen(text));
	CHECK_EQ(next_frame(c, &frame), WIRE_READY);
	wire_put_start(&c->out, &start);
	flush(c);
}

static void leave(struct client *c)
{
	close(c->control);
	buf_release(&c->in);
	buf_release(&c->out);
}

static void end(struct client *c)
{
	struct wire_ledger entry;
	struct wire_frame frame = { 0 };

	wire_put_empty(&c->out, WIRE_STOP);
	flush(c);
	while (frame.type != WIRE_BYE && next_frame(c, &frame))
		if (frame.type == WIRE_LEDGER && !wire_get_ledger(&frame, &entry, NULL))
			wire_ledger_add(&c->ledger, &entry);
	CHECK_EQ(frame.type, WIRE_BYE);
	leave(c);
}

/* A data connection that opens with this. */
static int show(const struct client *c, const struct wire_preface *preface)
{
	uint8_t bytes[WIRE_PREFACE_BYTES];
	int fd = dial(c->f);

	wire_preface_encode(preface, bytes);
	CHECK_EQ(send(fd, bytes, sizeof(bytes), 0), WIRE_PREFACE_BYTES);
	return fd;
}

static int open_data(const struct client *c)
{
	static uint64_t opened;
	struct wire_preface preface = { .flags = WIRE_PREFACE_WALK, .connection_id = ++opened };

	wire_preface_sign(&preface, c->hello.secret);
	return show(c, &preface);
}

static void encode(uint8_t *at, uint64_t request)
{
	wire_message_encode(
		&(struct wire_message){ .size = WIRE_MESSAGE_BYTES, .request = request }, at);
}

/* One request is answered. */
static void expect_served(int fd, uint64_t request)
{
	uint8_t bytes[REPLY_BYTES];
	struct wire_message reply;

	encode(bytes, request);
	CHECK_EQ(send(fd, bytes, WIRE_MESSAGE_BYTES, MSG_NOSIGNAL), WIRE_MESSAGE_BYTES);
	if (!wait_for(fd, POLLIN))
		return;
	CHECK_EQ(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	CHECK(wire_message_decode(bytes, &reply));
	CHECK_EQ(reply.request, request);
	CHECK_EQ(reply.size, REPLY_BYTES);
	CHECK_EQ(reply.status, WIRE_STATUS_OK);
}

static void expect_closed(int fd)
{
	char byte;

	if (wait_for(fd, POLLIN))
		CHECK(recv(fd, &byte, 1, 0) <= 0);
}

/* --- messages ------------------------------------------------------------------------------ */

/* What is in place of a request, and whether the connection ends of it. */
static const struct {
	const char *name;
	uint8_t bytes[48];
	size_t count;
	bool ends;
} messages[] = {
	{ "no size", { 0 }, 24, true },
	{ "smaller than a header", { 0, 0, 0, 23 }, 24, true },
	{ "larger than any", { 0x40, 0, 0, 1 }, 24, true },
	{ "the largest number", { 255, 255, 255, 255 }, 24, true },
	{ "an op that is not there", { 0, 0, 0, 24, 0, 3 }, 24, true },
	{ "the last op there can be", { 0, 0, 0, 24, 255, 255 }, 24, true },
	{ "an unknown status", { 0, 0, 0, 24, 0, 0, 9 }, 24, true },
	{ "an unknown flag", { 0, 0, 0, 24, 0, 0, 0, 1 }, 24, true },
	{ "another protocol", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 37, true },
	{ "nothing", { 0 }, 0, false },
	{ "12 zero bytes", { 0 }, 12, false },
	{ "half a header", { 0, 0, 0, 64, 0 }, 12, false },
	{ "a header, and half of the body", { 0, 0, 0, 96 }, 48, false },
	{ "the largest size there may be", { 0x40, 0, 0, 0 }, 48, false },
};

static void test_messages(void)
{
	uint64_t request = 0, bad = 0;
	struct fixture f;
	struct client c, other;
	int fd[ARRAY_SIZE(messages)], witness, of_other;

	start_node(&f);
	begin(&c, &f, "-C\n1us\n-R\n64\n");
	begin(&other, &f, "-R\n64\n");
	witness = open_data(&c);
	of_other = open_data(&other);
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		check_case("%s", messages[i].name);
		fd[i] = open_data(&c);
		CHECK_EQ(send(fd[i], messages[i].bytes, messages[i].count, MSG_NOSIGNAL),
			 (long long)messages[i].count);
		if (messages[i].ends)
			expect_closed(fd[i]);
		bad += messages[i].ends;
		expect_served(witness, request);
		expect_served(of_other, request++);
	}
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		char byte;

		check_case("%s, in the end", messages[i].name);
		if (!messages[i].ends) /* it has waited */
			CHECK_EQ(recv(fd[i], &byte, 1, MSG_DONTWAIT), -1);
		close(fd[i]);
	}
	expect_served(witness, request++);
	close(witness);
	close(of_other);
	end(&c);
	end(&other);
	CHECK_EQ(c.ledger.count[LG_MESSAGES_BAD], bad);
	CHECK_EQ(c.ledger.count[LG_REQUESTS], request);
	CHECK_EQ(other.ledger.count[LG_MESSAGES_BAD], 0);
	stop_node(&f);
}

/* A plain reply's `at` is checked too, though no op is drawn for it. */
static void test_plain_chain(void)
{
	static const uint8_t at[] = { 0, 0, 0, 24, 0, 1, [23] = 0 };
	struct fixture f;
	struct client c;
	int fd;

	start_node(&f);
	begin(&c, &f, "-R\n64\n");
	fd = open_data(&c);
	expect_served(fd, 7);
	CHECK_EQ(send(fd, at, sizeof(at), MSG_NOSIGNAL), sizeof(at));
	expect_closed(fd);
	close(fd);
	end(&c);
	CHECK_EQ(c.ledger.count[LG_MESSAGES_BAD], 1);
	CHECK_EQ(c.ledger.count[LG_REQUESTS], 1);
	stop_node(&f);
}

/* A preface that was read on its way lets nobody in: not again, not afterwards, not as another's. */
static void test_preface_once(void)
{
	struct wire_preface preface = { .flags = WIRE_PREFACE_WALK, .connection_id = 1000 };
	struct fixture f;
	struct client c, other;
	int fd, again;

	start_node(&f);
	begin(&c, &f, "-R\n64\n");
	begin(&other, &f, "-R\n64\n");
	wire_preface_sign(&preface, c.hello.secret);
	fd = show(&c, &preface);
	expect_served(fd, 1);
	again = show(&c, &preface);
	expect_closed(again);
	close(again);
	expect_served(fd, 2);
	close(fd);
	again = show(&c, &preface);
	expect_closed(again);
	close(again);
	preface.connection_id++; /* with the token of the one before */
	again = show(&c, &preface);
	expect_closed(again);
	close(again);
	wire_preface_sign(&preface, c.hello.secret);
	fd = show(&c, &preface);
	expect_served(fd, 3);
	close(fd);
	end(&c);
	end(&other);
	CHECK_EQ(c.ledger.count[LG_REQUESTS], 3);
	stop_node(&f);
}

/* A request may come byte by byte, and its body too. */
static void test_byte_by_byte(void)
{
	uint8_t bytes[2][40] = { { 0, 0, 0, 40, [15] = 1 }, { 0, 0, 0, 40, [15] = 2 } };
	struct wire_message reply;
	struct fixture f;
	struct client c;
	int fd;

	start_node(&f);
	begin(&c, &f, "-R\n64\n");
	fd = open_data(&c);
	for (size_t i = 0; i < sizeof(bytes); i++)
		CHECK_EQ(send(fd, (uint8_t *)bytes + i, 1, 0), 1);
	for (uint64_t i = 1; i <= 2; i++) {
		uint8_t in[REPLY_BYTES];

		wait_for(fd, POLLIN);
		CHECK_EQ(recv(fd, in, sizeof(in), MSG_WAITALL), sizeof(in));
		CHECK(wire_message_decode(in, &reply));
		CHECK_EQ(reply.request, i);
	}
	close(fd);
	end(&c);
	stop_node(&f);
}

/* --- many of them -------------------------------------------------------------------------- */

static char *requests(size_t *ret_bytes)
{
	char *bytes = malloc(MANY * WIRE_MESSAGE_BYTES);

	for (uint64_t i = 0; i < MANY; i++)
		encode((uint8_t *)bytes + i * WIRE_MESSAGE_BYTES, i);
	*ret_bytes = MANY * WIRE_MESSAGE_BYTES;
	return bytes;
}

/* As much as the socket takes now. */
static size_t push(int fd, const char *bytes, size_t count)
{
	size_t done = 0;
	ssize_t n;

	while (done < count &&
	       (n = send(fd, bytes + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		done += (size_t)n;
	return done;
}

/* Sends requests by the ten thousands and reads no reply, until nothing more is taken; others are
 * served. Then all of them are answered after all. */
static void glut(const char *text, size_t reply_bytes)
{
	static char scratch[1 << 16];
	size_t count, sent = 0, left = MANY * reply_bytes, more;
	char *bytes = requests(&count);
	struct fixture f;
	struct client c, other;
	int fd, of_other;

	start_node(&f);
	begin(&c, &f, text);
	begin(&other, &f, "-R\n64\n");
	fd = open_data(&c);
	of_other = open_data(&other);
	for (uint64_t request = 0; request < 100; request++) {
		sent += push(fd, bytes + sent, count - sent);
		expect_served(of_other, request);
	}
	while (left) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN | (sent < count ? POLLOUT : 0) };
		ssize_t n;

		if (!CHECK_EQ(poll(&pfd, 1, WAIT_MS), 1))
			break;
		more = push(fd, bytes + sent, count - sent);
		sent += more;
		n = recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT);
		if (!CHECK(n > 0 || (n < 0 && errno == EAGAIN)))
			break;
		left -= n > 0 ? (size_t)n : 0;
	}
	CHECK_EQ(left, 0);
	CHECK_EQ(sent, count);
	expect_served(of_other, 1000);
	close(fd);
	close(of_other);
	end(&c);
	CHECK_EQ(c.ledger.count[LG_REQUESTS], MANY);
	end(&other);
	stop_node(&f);
	free(bytes);
}

static void test_replies_not_read(void)
{
	glut("-R\n4096\n", 4096);
}

static void test_many_open(void)
{
	glut("--sleep\n50ms\n-R\n24\n", 24);
}

/* It goes with requests under way and replies unread, by a reset. */
static void test_vanishing_client(void)
{
	struct linger reset = { .l_onoff = 1 };
	size_t count;
	char *bytes = requests(&count);
	struct fixture f;
	struct client c, other;
	int fd, of_other;

	start_node(&f);
	begin(&other, &f, "-R\n64\n");
	of_other = open_data(&other);
	begin(&c, &f, "--sleep\n1ms\n-R\n4096\n");
	for (int i = 0; i < 20; i++) {
		fd = open_data(&c);
		push(fd, bytes, count / 100);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		expect_served(of_other, (uint64_t)i);
	}
	fd = open_data(&c);
	push(fd, bytes, count / 100);
	leave(&c); /* the session ends under its connections */
	expect_served(of_other, 1000);
	close(fd);
	close(of_other);
	end(&other);
	stop_node(&f);
	free(bytes);
}

/* A request that computes for most of a minute ends with its session, and so does one that sleeps. */
static void test_long_ops(void)
{
	/* the first request's, the second's */
	static const char *const texts[] = { "-C\nvalues:1us:50s\n-R\n64\n",
					     "--sleep\nvalues:1us:50s\n-R\n64\n" };
	int64_t start_ns = clock_now_ns();
	struct fixture f;
	struct client c, other;
	int fd, of_other;

	start_node(&f);
	begin(&other, &f, "-R\n64\n");
	of_other = open_data(&other);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		uint8_t bytes[2][WIRE_MESSAGE_BYTES];

		check_case("%s", texts[i]);
		begin(&c, &f, texts[i]);
		fd = open_data(&c);
		encode(bytes[0], 0);
		encode(bytes[1], 1);
		CHECK_EQ(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
		CHECK(wait_for(fd,
			       POLLIN)); /* they came together: the second runs by now, or soon */
		expect_served(of_other, 2 * i);
		close(fd);
		end(&c);
		CHECK_EQ(c.ledger.count[LG_REQUESTS] + c.ledger.count[LG_OPEN_AT_END], 2);
		expect_served(of_other, 2 * i + 1);
	}
	close(of_other);
	end(&other);
	stop_node(&f);
	CHECK(clock_now_ns() - start_ns < 40 * NS_PER_SEC);
}

/* --- chains -------------------------------------------------------------------------------- */

/* What a node must not do: its client hears why, others are served. */
static void test_chains(void)
{
#define TEXT(t)                  \
	{                        \
		t, sizeof(t) - 1 \
	}
	static const struct {
		const char *text;
		size_t bytes;
	} texts[] = {
		TEXT("-C\n4294s\n-R\n64\n"),
		TEXT("--sleep\n4294s\n-R\n64\n"),
		TEXT("-R\n4294967295\n"),
		TEXT("-R\n-1\n"),
		TEXT("-C\n1us\n-F\n"),
		TEXT("-R\n64\n-C\n1us\n"),
		TEXT("-S\n4096,dev=200\n-R\n"),
		TEXT("-L\n4096,dev=4294967295\n-R\n"),
		TEXT("-R\n64,sendfile,dev=200\n"),
		TEXT("\0\0\0\0\0\0\0\0\0\0\0\0"),
		TEXT("GET / HTTP/1.1\r\n\r\n"),
	};
#undef TEXT
	struct fixture f;
	struct client c, other;
	int of_other;

	start_node(&f);
	begin(&other, &f, "-R\n64\n");
	of_other = open_data(&other);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct wire_frame frame;

		check_case("%s", texts[i].text);
		meet(&c, &f, texts[i].text, texts[i].bytes);
		CHECK_EQ(next_frame(&c, &frame), WIRE_ERROR);
		leave(&c);
		expect_served(of_other, i);
	}
	close(of_other);
	end(&other);
	stop_node(&f);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	RUN(test_messages);
	RUN(test_plain_chain);
	RUN(test_preface_once);
	RUN(test_byte_by_byte);
	RUN(test_replies_not_read);
	RUN(test_many_open);
	RUN(test_vanishing_client);
	RUN(test_long_ops);
	RUN(test_chains);
	return check_done();
}
