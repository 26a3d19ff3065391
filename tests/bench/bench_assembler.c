/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the assembler costs: the events of a service that reads all connections that have a
 * request, then answers them, as Redis does; rows go nowhere.
 *
 * CSV on stdout: what, ns a request, million events a second, requests.
 */
#include "base/clock.h"
#include "capture/assemble/assembler.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS 50
#define ROUNDS 20000
#define TRIES 5
#define REQUEST "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n"
#define REPLY "$32\r\n0123456789abcdef0123456789abcdef\r\n"

struct bench {
	struct assembler *assembler;
	bool bytes; /* of messages are in the events */
	uint64_t now, ns[TS_COUNT];
	size_t requests, events;
	union {
		struct event_call call;
		struct event_receive receive;
		struct event_send send;
		uint8_t room[sizeof(struct event_receive) + 128];
	};
};

static int count_request(void *arg, enum trace_table table, const void *row)
{
	size_t *requests = arg;

	(void)row;
	*requests += table == TABLE_REQUESTS;
	return 0;
}

static void tell(struct bench *b, size_t size)
{
	b->events++;
	assembler_event(b->assembler, b->room, size);
}

static void call(struct bench *b, enum event_kind kind, uint8_t op, uint64_t socket, int64_t ret)
{
	enum thread_state state = op == SYSCALL_POLL ? TS_WAIT_POLL : TS_KERNEL_NET;

	b->now += 500;
	b->ns[TS_USER] += 500;
	b->call.enter_ns = b->now;
	memcpy(b->call.enter, b->ns, sizeof(b->ns));
	b->now += 1000;
	b->ns[state] += 1000;
	memcpy(b->call.exit, b->ns, sizeof(b->ns));
	b->call.head = (struct event_head){ (uint16_t)kind, 1, 1, b->now };
	b->call.socket_id = socket;
	b->call.op = op;
	b->call.object = socket ? OBJECT_SOCKET : OBJECT_OTHER;
	b->call.ret = ret;
	b->call.offset = -1;
}

static void receive(struct bench *b, uint64_t socket)
{
	call(b, EVENT_RECEIVE, SYSCALL_READ, socket, sizeof(REQUEST) - 1);
	b->receive.arrival_ns = b->now - 1200;
	b->receive.counted = 0;
	b->receive.seen = b->bytes ? sizeof(REQUEST) - 1 : 0;
	memcpy(b->receive.bytes, REQUEST, b->receive.seen);
	tell(b, sizeof(b->receive) + b->receive.seen);
}

static void reply(struct bench *b, uint64_t socket)
{
	call(b, b->bytes ? EVENT_SEND : EVENT_CALL, SYSCALL_WRITE, socket, sizeof(REPLY) - 1);
	if (!b->bytes) {
		tell(b, sizeof(b->call));
		return;
	}
	b->send.seen = sizeof(REPLY) - 1;
	memcpy(b->send.bytes, REPLY, sizeof(REPLY) - 1);
	tell(b, sizeof(b->send) + b->send.seen);
}

static void open_all(struct bench *b)
{
	struct event_thread thread = { .head = { EVENT_THREAD, 1, 1, b->now },
				       .tid = 7,
				       .tgid = 7 };

	assembler_event(b->assembler, &thread, sizeof(thread));
	for (uint64_t s = 1; s <= CONNECTIONS; s++) {
		struct event_socket e = { .head = { EVENT_SOCKET, 0, 0, b->now },
					  .socket_id = s,
					  .family = AF_INET,
					  .local_port = 6379 };

		assembler_event(b->assembler, &e, sizeof(e));
	}
}

/* ns a request. */
static double run(struct bench *b, bool bytes)
{
	struct assembler_opts opts = { .work_per_ms = 1000000,
				       .sink = { count_request, &b->requests } };
	struct assembler_totals totals;
	int64_t start;
	double ns;

	memset(b, 0, sizeof(*b));
	b->bytes = bytes;
	b->now = 1000;
	b->assembler = assembler_new(&opts);
	open_all(b);
	start = clock_now_ns();
	for (size_t i = 0; i < ROUNDS; i++) {
		call(b, EVENT_CALL, SYSCALL_POLL, 0, CONNECTIONS);
		tell(b, sizeof(b->call));
		for (uint64_t s = 1; s <= CONNECTIONS; s++)
			receive(b, s);
		for (uint64_t s = 1; s <= CONNECTIONS; s++)
			reply(b, s);
	}
	ns = clock_now_ns() - start;
	assembler_finish(b->assembler, (int64_t)b->now, &totals);
	assembler_free(b->assembler);
	return ns / b->requests;
}

int main(void)
{
	static const char *const names[] = { "turns", "framed" };
	static struct bench b;

	printf("what,ns_per_request,million_events_per_second,requests\n");
	for (int bytes = 0; bytes < 2; bytes++) {
		double best = 0;

		for (int i = 0; i < TRIES; i++) {
			double ns = run(&b, bytes);

			best = !best || ns < best ? ns : best;
		}
		printf("%s,%.0f,%.2f,%zu\n", names[bytes], best, 1e3 * b.events / b.requests / best,
		       b.requests);
	}
	return 0;
}
