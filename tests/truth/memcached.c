/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load for memcached's text protocol. Each connection sets its key, then goes through
 * --rounds of
 *   set KEY      a value of --value bytes
 *   get KEY      which is there
 *   get NONE     which is not
 *   get of --keys keys at once
 *   delete NONE
 * and waits for each reply before it goes on; with --noreply every round begins with a set that
 * nobody answers. Prints one CSV row: what was asked, and the bytes both ways.
 */
#include "truth.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX 65536

struct options {
	uint64_t port, connections, rounds, value_bytes, keys, noreply;
};

static struct options opts = { .connections = 1, .rounds = 1, .value_bytes = 1, .keys = 1 };
static char *value, *text;
static uint64_t messages, sets, gets, hits, bytes_out, bytes_in;

static int connect_one(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(opts.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket"), on = 1;

	must(connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	/* a message behind one without reply must not wait for the server's delayed ACK */
	must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "nodelay");
	return fd;
}

static void send_text(int fd, uint64_t len)
{
	uint64_t sent = 0;

	while (sent < len)
		sent += must(send(fd, text + sent, len - sent, MSG_NOSIGNAL), "send");
	bytes_out += len;
	messages++;
}

static bool ends_with(uint64_t len, const char *end)
{
	return len >= strlen(end) && !memcmp(text + len - strlen(end), end, strlen(end));
}

/* Values have no line end in them, so a reply ends where it says `end`. */
static void receive_to(int fd, const char *end)
{
	uint64_t len = 0;

	while (!ends_with(len, end)) {
		long n = must(recv(fd, text + len, TEXT_MAX - len, 0), "recv");

		if (!n)
			die("the server has hung up");
		len += n;
	}
	bytes_in += len;
}

static void set(int fd, const char *key, const char *noreply)
{
	uint64_t len = snprintf(text, TEXT_MAX, "set %s 0 0 %lu%s\r\n%s\r\n", key, opts.value_bytes,
				noreply, value);

	send_text(fd, len);
	sets++;
	if (!*noreply)
		receive_to(fd, "STORED\r\n");
}

static void get(int fd, const char *key, uint64_t times, bool there)
{
	uint64_t len = snprintf(text, TEXT_MAX, "get");

	for (uint64_t i = 0; i < times; i++)
		len += snprintf(text + len, TEXT_MAX - len, " %s", key);
	len += snprintf(text + len, TEXT_MAX - len, "\r\n");
	send_text(fd, len);
	gets += times;
	hits += there ? times : 0;
	receive_to(fd, "END\r\n");
}

static void delete (int fd, const char *key)
{
	send_text(fd, snprintf(text, TEXT_MAX, "delete %s\r\n", key));
	receive_to(fd, "NOT_FOUND\r\n");
}

/* One step of each connection at a time, so that all of them are in use all the time. */
static void run(const int *fds)
{
	char key[32];

	for (uint64_t round = 0; round < opts.rounds; round++) {
		for (uint64_t i = 0; i < opts.connections; i++) {
			snprintf(key, sizeof(key), "key-%lu", i);
			if (opts.noreply)
				set(fds[i], key, " noreply");
			set(fds[i], key, "");
			get(fds[i], key, 1, true);
			get(fds[i], "none", 1, false);
			get(fds[i], key, opts.keys, true);
			delete (fds[i], "none");
		}
	}
}

static const char usage[] =
	"usage: memcached --port PORT [--connections N] [--rounds N] [--value BYTES] [--keys N]\n"
	"                 [--noreply 1]\n";

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "port", .number = &opts.port },
		{ "connections", .number = &opts.connections },
		{ "rounds", .number = &opts.rounds },
		{ "value", .number = &opts.value_bytes },
		{ "keys", .number = &opts.keys },
		{ "noreply", .number = &opts.noreply },
		{ 0 },
	};

	take_options(table, argv, usage);
	if (opts.keys * (opts.value_bytes + 64) > TEXT_MAX)
		die("replies of this size");
}

int main(int argc, char **argv)
{
	int *fds;

	parse(argv);
	value = must_alloc(calloc(1, opts.value_bytes + 1));
	memset(value, 'v', opts.value_bytes);
	text = must_alloc(calloc(1, TEXT_MAX));
	fds = must_alloc(calloc(opts.connections, sizeof(*fds)));
	for (uint64_t i = 0; i < opts.connections; i++)
		fds[i] = connect_one();
	run(fds);
	printf("messages,sets,gets,hits,bytes_out,bytes_in\n%lu,%lu,%lu,%lu,%lu,%lu\n", messages,
	       sets, gets, hits, bytes_out, bytes_in);
	return 0;
}
