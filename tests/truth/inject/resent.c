/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches what leaves by a network device: a TCP segment that is seen again was lost. From the first
 * time to the last stands in --log: start_ns,end_ns on CLOCK_MONOTONIC. Ends at SIGTERM.
 */
#include "truth.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEEN_MAX 65536

static const char *device, *log_path;
static volatile sig_atomic_t ended;

static struct seen {
	uint32_t seq;
	uint16_t from, to;
	int64_t first_ns, last_ns;
} seen[SEEN_MAX];
static size_t seen_count;

static void on_signal(int number)
{
	ended = 1;
}

static int watch(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex(device) };
	int fd = must(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL)), "socket");

	must(bind(fd, (struct sockaddr *)&at, sizeof(at)), device);
	return fd;
}

static void note(uint16_t from, uint16_t to, uint32_t seq)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = seen_count; i-- > 0;) {
		if (seen[i].seq != seq || seen[i].from != from || seen[i].to != to)
			continue;
		seen[i].last_ns = now;
		return;
	}
	if (seen_count < SEEN_MAX)
		seen[seen_count++] = (struct seen){ seq, from, to, now, now };
}

static void look(const char *packet, size_t size)
{
	const struct iphdr *ip = (const struct iphdr *)packet;
	const struct tcphdr *tcp = (const struct tcphdr *)(packet + ip->ihl * 4);

	if (size < sizeof(*ip) + sizeof(*tcp) || ip->version != 4 || ip->protocol != IPPROTO_TCP)
		return;
	if (ntohs(ip->tot_len) > ip->ihl * 4 + tcp->doff * 4) /* it has bytes */
		note(tcp->source, tcp->dest, tcp->seq);
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "device", .text = &device },
		{ "log", .text = &log_path },
		{ 0 },
	};
	struct sigaction end = { .sa_handler = on_signal };
	static _Alignas(8) char packet[65536];
	FILE *log;
	int fd;

	take_options(table, argv, "usage: resent --device NAME --log FILE\n");
	if (!device || !log_path)
		die("--device and --log");
	sigaction(SIGTERM, &end, NULL);
	fd = watch();
	puts("ready");
	fflush(stdout);
	while (!ended) {
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		ssize_t n =
			recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &size);

		if (n > 0 && from.sll_pkttype == PACKET_OUTGOING)
			look(packet, (size_t)n);
	}
	log = fopen(log_path, "we");
	if (!log)
		die(log_path);
	fprintf(log, "start_ns,end_ns\n");
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].last_ns > seen[i].first_ns)
			fprintf(log, "%ld,%ld\n", seen[i].first_ns, seen[i].last_ns);
	if (fclose(log))
		die(log_path);
	return 0;
}
