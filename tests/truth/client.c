/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load for server.c: --requests in all, dealt out to the connections in turn.
 * Without --rate a connection sends its next request when the reply is there (closed
 * loop); with it, request k is sent at start + k / rate, reply or not (open loop).
 * With --leave it sends one request on each connection and goes without a reply: by
 * "fin" it closes, by "reset" it makes the kernel forget the connection.
 * Prints one CSV row of counts; exits 1 when a reply is missing.
 */
#include "truth.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

struct options {
	uint64_t port, connections, requests, request_bytes, reply_bytes, rate;
	const char *leave;
};

struct connection {
	uint64_t share, sent;	       /* requests: to be sent in all, sent so far */
	uint64_t reply_bytes, replies; /* bytes of the reply that is coming in; whole ones */
};

static struct options opts = {
	.connections = 1, .requests = 1, .request_bytes = 1, .reply_bytes = 1
};
static struct connection *connections;
static struct pollfd *polled; /* of the same connections */
static char *buffer;
static uint64_t replies, bytes_in, bytes_out;

static int connect_one(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(opts.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");

	must(connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	return fd;
}

/* One after the other, so that the server accepts them in this order. */
static void connect_all(void)
{
	connections = must_alloc(calloc(opts.connections, sizeof(*connections)));
	polled = must_alloc(calloc(opts.connections, sizeof(*polled)));
	for (uint64_t i = 0; i < opts.connections; i++) {
		connections[i].share =
			opts.requests / opts.connections + (i < opts.requests % opts.connections);
		polled[i].fd = connect_one();
		polled[i].events = POLLIN;
	}
}

static void send_request(uint64_t i)
{
	uint64_t sent = 0;

	while (sent < opts.request_bytes)
		sent += must(send(polled[i].fd, buffer, opts.request_bytes - sent, MSG_NOSIGNAL),
			     "send");
	connections[i].sent++;
	bytes_out += sent;
}

/* False when the server has closed the connection. */
static bool receive(uint64_t i)
{
	struct connection *c = &connections[i];
	long n = must(recv(polled[i].fd, buffer, opts.reply_bytes - c->reply_bytes, 0), "recv");

	bytes_in += n;
	c->reply_bytes += n;
	if (c->reply_bytes < opts.reply_bytes)
		return n > 0;
	c->reply_bytes = 0;
	c->replies++;
	replies++;
	if (!opts.rate && c->sent < c->share)
		send_request(i);
	return true;
}

/* Sends what is due of an open loop; returns when the next one is, 0: nothing to come. */
static int64_t send_due(int64_t start)
{
	static uint64_t next;

	while (opts.rate && next < opts.requests) {
		int64_t due = start + next * 1000000000 / opts.rate;

		if (due > clock_ns(CLOCK_MONOTONIC))
			return due;
		send_request(next++ % opts.connections);
	}
	return 0;
}

static void await(int64_t until)
{
	int64_t left = until - clock_ns(CLOCK_MONOTONIC);
	struct timespec timeout = { 0 };

	if (until && left > 0)
		timeout = (struct timespec){ left / 1000000000, left % 1000000000 };
	must(ppoll(polled, opts.connections, until ? &timeout : NULL, NULL), "poll");
}

static void run(void)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC);

	for (uint64_t i = 0; i < opts.connections && !opts.rate; i++)
		if (connections[i].share)
			send_request(i);
	while (replies < opts.requests) {
		await(send_due(start));
		for (uint64_t i = 0; i < opts.connections; i++)
			if (polled[i].revents && !receive(i))
				return;
	}
}

static void leave(void)
{
	struct linger reset = { 1, 0 };

	for (uint64_t i = 0; i < opts.connections; i++) {
		send_request(i);
		if (!strcmp(opts.leave, "reset"))
			must(setsockopt(polled[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)),
			     "linger");
		close(polled[i].fd);
	}
}

static const char usage[] =
	"usage: client --port PORT [--connections N] [--requests N] [--rate N/s]\n"
	"              [--request BYTES] [--reply BYTES] [--leave fin|reset]\n";

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "port", .number = &opts.port },
		{ "connections", .number = &opts.connections },
		{ "requests", .number = &opts.requests },
		{ "rate", .number = &opts.rate },
		{ "request", .number = &opts.request_bytes },
		{ "reply", .number = &opts.reply_bytes },
		{ "leave", .text = &opts.leave },
		{ 0 },
	};

	take_options(table, argv, usage);
}

int main(int argc, char **argv)
{
	uint64_t size;

	parse(argv);
	size = opts.request_bytes > opts.reply_bytes ? opts.request_bytes : opts.reply_bytes;
	buffer = must_alloc(calloc(1, size));
	connect_all();
	if (opts.leave)
		leave();
	else
		run();
	printf("requests,replies,bytes_out,bytes_in\n%lu,%lu,%lu,%lu\n", opts.requests, replies,
	       bytes_out, bytes_in);
	return opts.leave || replies == opts.requests ? 0 : 1;
}
