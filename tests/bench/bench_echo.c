/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel's loopback gives at most: a client thread and a server thread on one TCP
 * connection, messages of 64 bytes that nobody looks into, moved by the batch. And how soon one of
 * them is back when they are sent one at a time, at a fixed rate.
 *	bench_echo batched SECONDS	messages_per_s
 *	bench_echo paced RATE SECONDS CLIENT_CPU SERVER_CPU	p50_ns,p99_ns
 */
#include "base/clock.h"
#include "base/hist.h"
#include "replay/pace.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_BYTES 64
#define BATCH_BYTES 65536
#define AHEAD_BYTES (4 * BATCH_BYTES) /* under way, so that neither end waits for the other */

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static bool send_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		bytes -= (size_t)n;
	}
	return true;
}

static void *serve(void *arg)
{
	static char data[BATCH_BYTES];
	int fd = *(int *)arg;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		if (!send_all(fd, data, (size_t)n))
			break;
	close(fd);
	return NULL;
}

static void connect_pair(int *ret_client, int *ret_server)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(!bind(listener, (struct sockaddr *)&at, sizeof(at)) && !listen(listener, 1), "listen");
	must(!getsockname(listener, (struct sockaddr *)&at, &size), "getsockname");
	*ret_client = socket(AF_INET, SOCK_STREAM, 0);
	must(!connect(*ret_client, (struct sockaddr *)&at, sizeof(at)), "connect");
	*ret_server = accept(listener, NULL, NULL);
	must(*ret_server >= 0, "accept");
	setsockopt(*ret_client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(*ret_server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	close(listener);
}

static void pin(pthread_t thread, int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	must(!pthread_setaffinity_np(thread, sizeof(cpus), &cpus), "pthread_setaffinity_np");
}

/* Sends as long as there is room and little is under way, else takes what has come back. */
static void batched(int fd, double seconds)
{
	static char data[BATCH_BYTES];
	int64_t start = clock_now_ns(), end = start + (int64_t)(seconds * NS_PER_SEC), now;
	uint64_t sent = 0, received = 0;
	ssize_t n;

	while ((now = clock_now_ns()) < end) {
		if (sent - received < AHEAD_BYTES) {
			n = send(fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);
			sent += n > 0 ? (uint64_t)n : 0;
		}
		n = recv(fd, data, sizeof(data), sent - received < AHEAD_BYTES ? MSG_DONTWAIT : 0);
		received += n > 0 ? (uint64_t)n : 0;
	}
	printf("%.0f\n", (double)received / MESSAGE_BYTES * NS_PER_SEC / (double)(now - start));
}

static void paced(int fd, int64_t rate, double seconds)
{
	const struct pace pace = { PACE_SPIN_NS };
	int64_t start = clock_now_ns() + NS_PER_MS;
	char data[MESSAGE_BYTES] = { 0 };
	struct hist took = { 0 };

	pace_sharpen_thread();
	for (int64_t i = 0; i < (int64_t)((double)rate * seconds); i++) {
		int64_t due = start + i * NS_PER_SEC / rate;

		pace_wait_until(&pace, due);
		must(send_all(fd, data, sizeof(data)), "send");
		must(recv(fd, data, sizeof(data), MSG_WAITALL) == sizeof(data), "recv");
		hist_record(&took, (uint64_t)(clock_now_ns() - due));
	}
	printf("%llu,%llu\n", (unsigned long long)hist_value_at_percentile(&took, 50),
	       (unsigned long long)hist_value_at_percentile(&took, 99));
	hist_release(&took);
}

int main(int argc, char **argv)
{
	pthread_t server;
	int client, fd;

	connect_pair(&client, &fd);
	must(!pthread_create(&server, NULL, serve, &fd), "pthread_create");
	if (argc == 3 && !strcmp(argv[1], "batched")) {
		batched(client, atof(argv[2]));
	} else if (argc == 6 && !strcmp(argv[1], "paced")) {
		pin(pthread_self(), atoi(argv[4]));
		pin(server, atoi(argv[5]));
		paced(client, atoll(argv[2]), atof(argv[3]));
	} else {
		fputs("bench_echo batched SECONDS | paced RATE SECONDS CLIENT_CPU SERVER_CPU\n",
		      stderr);
		return 2;
	}
	shutdown(client, SHUT_RDWR);
	pthread_join(server, NULL);
	close(client);
	return 0;
}
