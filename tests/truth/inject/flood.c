/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills the queue of a link whose token bucket is --burst deep and gets --rate bytes a second: each
 * time as many datagrams as keep it busy for --on. Until when somebody who sends --behind bytes has
 * to wait then is known, and stands in --log: start_ns,end_ns on CLOCK_MONOTONIC. Ends at SIGTERM.
 */
#include "truth.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAYLOAD 1000
#define HEADERS (14 + 20 + 8) /* of Ethernet, IPv4 and UDP: the bucket counts them */

static struct {
	const char *to, *log;
	uint64_t port, rate, burst, behind, seed;
	struct range on, off;
} opts = { .port = 9, .seed = 23 };

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	ended = 1;
}

static const char usage[] =
	"usage: flood --to ADDRESS --rate BYTES --burst BYTES --behind BYTES --on TIME --off TIME\n"
	"             --log FILE [--port N] [--seed N]\n";

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "to", .text = &opts.to },	  { "log", .text = &opts.log },
		{ "port", .number = &opts.port }, { "rate", .number = &opts.rate },
		{ "on", .range = &opts.on },	  { "behind", .number = &opts.behind },
		{ "off", .range = &opts.off },	  { "burst", .number = &opts.burst },
		{ "seed", .number = &opts.seed }, { 0 },
	};

	take_options(table, argv, usage);
	if (!opts.to || !opts.log || !opts.rate || !opts.on.lo || !opts.off.lo) {
		fputs(usage, stderr);
		exit(2);
	}
}

static int open_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(opts.port) };
	int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	int room = 4 << 20;

	if (inet_pton(AF_INET, opts.to, &to.sin_addr) != 1)
		die(opts.to);
	must(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), "room");
	must(connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	return fd;
}

/* What the bucket had is gone at once; the rest leaves at the rate. */
static int64_t busy_ns(uint64_t datagrams)
{
	uint64_t bytes = datagrams * (PAYLOAD + HEADERS) + opts.behind;

	return bytes > opts.burst ? (int64_t)((bytes - opts.burst) * 1000000000 / opts.rate) : 0;
}

int main(int argc, char **argv)
{
	struct sigaction end = { .sa_handler = on_signal };
	static char payload[PAYLOAD];
	uint64_t random;
	FILE *log;
	int fd;

	parse(argv);
	random = opts.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	sigaction(SIGTERM, &end, NULL);
	fd = open_socket();
	log = fopen(opts.log, "we");
	if (!log)
		die(opts.log);
	fprintf(log, "start_ns,end_ns\n");
	puts("ready");
	fflush(stdout);
	while (!ended) {
		uint64_t on = range_pick(opts.on, &random), off = range_pick(opts.off, &random);
		uint64_t datagrams = on * opts.rate / 1000000000 / (PAYLOAD + HEADERS) + 1;
		int64_t start = clock_ns(CLOCK_MONOTONIC), until = start + busy_ns(datagrams);
		struct timespec next;

		for (uint64_t i = 0; i < datagrams; i++)
			send(fd, payload, sizeof(payload), 0); /* nobody need listen there */
		fprintf(log, "%ld,%ld\n", start, until);
		until += off;
		next = (struct timespec){ until / 1000000000, until % 1000000000 };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	if (fclose(log))
		die(opts.log);
	return 0;
}
