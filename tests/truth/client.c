/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load for server: --requests in all, dealt out to the connections in turn. Without --rate a
 * connection sends its next --pipeline requests, in one write, when all replies to the last ones
 * are there and --think has passed (closed loop); with it, request k is sent at start + k / rate,
 * reply or not (open loop).
 * With --leave it sends one request on each connection and goes without a reply: by "fin" it
 * closes, by "reset" it makes the kernel forget the connection.
 * Prints one CSV row of counts; exits 1 when a reply is missing or, with --check, wrong.
 */
#include "wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IN_FLIGHT_MAX 1024 /* of a connection: more of an open loop have no latency in the log */
#define LOST_NS 2000000000 /* a datagram that is not answered by then never will be */

enum family { FAMILY_TCP, FAMILY_TCP6, FAMILY_UNIX, FAMILY_UDP, FAMILY_UDP6 };
enum leave { LEAVE_NOT, LEAVE_FIN, LEAVE_RESET };

static const char *const family_names[] = { "tcp", "tcp6", "unix", "udp", "udp6", NULL };
static const char *const leave_names[] = { "not", "fin", "reset", NULL };

struct options {
	uint64_t port, connections, requests, reply_bytes, rate, pipeline, think_ns, check, seed;
	struct range request_bytes;
	uint32_t family, protocol, leave;
	const char *socket_path, *log;
};

struct connection {
	uint64_t share, sent, replies; /* requests: to be sent in all, sent so far, answered */
	int64_t due_ns;		       /* when the next ones are to be sent; 0: not yet known */
	int64_t sent_ns[IN_FLIGHT_MAX];
	char *in;
	size_t filled, room;
};

struct latency {
	uint64_t connection, request;
	int64_t sent_ns, took_ns;
};

static struct options opts = { .connections = 1,
			       .requests = 1,
			       .request_bytes = { 1, 1 },
			       .reply_bytes = 1,
			       .pipeline = 1,
			       .seed = 23 };
static struct connection *connections;
static struct pollfd *polled; /* of the same connections */
static char *buffer;
static struct latency *latencies;
static uint64_t replies, wrong, bytes_in, bytes_out;

static bool is_datagram(void)
{
	return opts.family == FAMILY_UDP || opts.family == FAMILY_UDP6;
}

static int connect_to(int family, const void *to, socklen_t size)
{
	int fd = must(socket(family, is_datagram() ? SOCK_DGRAM : SOCK_STREAM, 0), "socket");

	must(connect(fd, to, size), "connect");
	return fd;
}

static int connect_one(void)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_port = htons(opts.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons(opts.port),
				   .sin6_addr = in6addr_loopback };
	struct sockaddr_un local = { .sun_family = AF_UNIX };

	if (opts.family == FAMILY_UNIX) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%s", opts.socket_path);
		return connect_to(AF_UNIX, &local, sizeof(local));
	}
	if (opts.family == FAMILY_TCP6 || opts.family == FAMILY_UDP6)
		return connect_to(AF_INET6, &v6, sizeof(v6));
	return connect_to(AF_INET, &v4, sizeof(v4));
}

/* One after the other, so that the server accepts them in this order. */
static void connect_all(void)
{
	connections = must_alloc(calloc(opts.connections, sizeof(*connections)));
	polled = must_alloc(calloc(opts.connections, sizeof(*polled)));
	for (uint64_t i = 0; i < opts.connections; i++) {
		struct connection *c = &connections[i];

		c->share =
			opts.requests / opts.connections + (i < opts.requests % opts.connections);
		c->room = (opts.reply_bytes + WIRE_HEAD_MAX) * opts.pipeline;
		c->in = must_alloc(malloc(c->room));
		c->due_ns = 1;
		polled[i].fd = connect_one();
		polled[i].events = POLLIN;
	}
}

static void send_bytes(uint64_t i, size_t size)
{
	size_t sent = 0;

	while (sent < size)
		sent += must(send(polled[i].fd, buffer + sent, size - sent, MSG_NOSIGNAL), "send");
	bytes_out += size;
}

/* So many requests in one write; a datagram holds one. */
static void send_requests(uint64_t i, uint64_t count)
{
	static uint64_t random;
	struct connection *c = &connections[i];
	size_t size = 0;

	random = random ? random : opts.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (; count; count--) {
		size += wire_request(opts.protocol, buffer + size,
				     range_pick(opts.request_bytes, &random));
		c->sent_ns[c->sent++ % IN_FLIGHT_MAX] = clock_ns(CLOCK_MONOTONIC);
		if (is_datagram()) {
			send_bytes(i, size);
			size = 0;
		}
	}
	send_bytes(i, size);
}

static void note_reply(struct connection *c, const char *message, size_t size)
{
	int64_t sent = c->sent_ns[c->replies % IN_FLIGHT_MAX];

	c->replies++;
	wrong += opts.check && !wire_reply_is(opts.protocol, message, size, c->replies);
	if (latencies)
		latencies[replies] = (struct latency){ c - connections + 1, c->replies, sent,
						       clock_ns(CLOCK_MONOTONIC) - sent };
	replies++;
	if (!opts.rate && c->replies == c->sent && c->sent < c->share)
		c->due_ns = clock_ns(CLOCK_MONOTONIC) + opts.think_ns;
}

/* False when the server has closed the connection. */
static bool receive(uint64_t i)
{
	struct connection *c = &connections[i];
	long n = must(recv(polled[i].fd, c->in + c->filled, c->room - c->filled, 0), "recv");
	size_t used = 0, size;

	bytes_in += n;
	c->filled += n;
	while ((size = wire_message_bytes(opts.protocol, c->in + used, c->filled - used,
					  opts.reply_bytes))) {
		note_reply(c, c->in + used, size);
		used += size;
	}
	c->filled -= used;
	memmove(c->in, c->in + used, c->filled);
	return n > 0;
}

/* Sends what is due of an open loop; returns when the next one is, 0: nothing to come. */
static int64_t send_by_clock(int64_t start)
{
	static uint64_t next;

	while (next < opts.requests) {
		int64_t due = start + next * 1000000000 / opts.rate;

		if (due > clock_ns(CLOCK_MONOTONIC))
			return due;
		send_requests(next++ % opts.connections, 1);
	}
	return 0;
}

/* The same of a closed loop. */
static int64_t send_by_reply(void)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC), first = 0;

	for (uint64_t i = 0; i < opts.connections; i++) {
		struct connection *c = &connections[i];
		uint64_t left = c->share - c->sent;

		if (!c->due_ns || !left)
			continue;
		if (c->due_ns <= now) {
			c->due_ns = 0;
			send_requests(i, left < opts.pipeline ? left : opts.pipeline);
		} else if (!first || c->due_ns < first) {
			first = c->due_ns;
		}
	}
	return first;
}

/* False when nothing more can be hoped for. */
static bool await(int64_t until)
{
	int64_t left = (until ? until - clock_ns(CLOCK_MONOTONIC) : LOST_NS);
	struct timespec timeout = { 0 };
	bool limited = until || is_datagram();

	if (left > 0)
		timeout = (struct timespec){ left / 1000000000, left % 1000000000 };
	return must(ppoll(polled, opts.connections, limited ? &timeout : NULL, NULL), "poll") ||
	       until;
}

static void run(void)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC);

	while (replies < opts.requests) {
		if (!await(opts.rate ? send_by_clock(start) : send_by_reply()))
			return;
		for (uint64_t i = 0; i < opts.connections; i++)
			if (polled[i].revents && !receive(i))
				return;
	}
}

static void leave(void)
{
	struct linger reset = { 1, 0 };

	for (uint64_t i = 0; i < opts.connections; i++) {
		send_requests(i, 1);
		if (opts.leave == LEAVE_RESET)
			must(setsockopt(polled[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)),
			     "linger");
		close(polled[i].fd);
	}
}

static void write_log(void)
{
	FILE *f = latencies ? fopen(opts.log, "we") : NULL;

	if (!latencies)
		return;
	if (!f)
		die(opts.log);
	fprintf(f, "connection,request,sent_ns,took_ns\n");
	for (uint64_t i = 0; i < replies; i++)
		fprintf(f, "%lu,%lu,%ld,%ld\n", latencies[i].connection, latencies[i].request,
			latencies[i].sent_ns, latencies[i].took_ns);
	if (fclose(f))
		die(opts.log);
}

static const char usage[] =
	"usage: client --port PORT [OPTION VALUE]...\n"
	"  --family tcp|tcp6|unix|udp|udp6  --socket PATH of unix\n"
	"  --protocol fixed|resp|http --request RANGE --reply BYTES (framed: at most)\n"
	"  --connections N --requests N --pipeline K --think TIME\n"
	"  --rate N                         a second, by the clock\n"
	"  --check 1                        look at what replies hold (of sendfile: nothing)\n"
	"  --leave fin|reset                go without a reply\n"
	"  --log FILE --seed N\n";

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "port", .number = &opts.port },
		{ "family", .choice = &opts.family, .names = family_names },
		{ "socket", .text = &opts.socket_path },
		{ "protocol", .choice = &opts.protocol, .names = protocol_names },
		{ "connections", .number = &opts.connections },
		{ "requests", .number = &opts.requests },
		{ "pipeline", .number = &opts.pipeline },
		{ "think", .number = &opts.think_ns },
		{ "rate", .number = &opts.rate },
		{ "request", .range = &opts.request_bytes },
		{ "reply", .number = &opts.reply_bytes },
		{ "check", .number = &opts.check },
		{ "leave", .choice = &opts.leave, .names = leave_names },
		{ "log", .text = &opts.log },
		{ "seed", .number = &opts.seed },
		{ 0 },
	};

	take_options(table, argv, usage);
}

int main(int argc, char **argv)
{
	parse(argv);
	buffer = must_alloc(calloc(opts.pipeline, opts.request_bytes.hi + WIRE_HEAD_MAX));
	if (opts.log)
		latencies = must_alloc(calloc(opts.requests, sizeof(*latencies)));
	connect_all();
	if (opts.leave)
		leave();
	else
		run();
	write_log();
	printf("requests,replies,wrong,bytes_out,bytes_in\n%lu,%lu,%lu,%lu,%lu\n", opts.requests,
	       replies, wrong, bytes_out, bytes_in);
	return opts.leave || (replies == opts.requests && !wrong) ? 0 : 1;
}
