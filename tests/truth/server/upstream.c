/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to another server of this kind, in the protocol that this one speaks. */
#include "server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <unistd.h>

struct upstream {
	int fd;
	uint32_t port; /* this end's */
	uint64_t calls;
	char *out, *in;
};

static struct upstream *shared;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of the shared one */

static struct sockaddr_in address_of(const char *endpoint)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	const char *colon = strrchr(endpoint, ':');
	char host[INET_ADDRSTRLEN] = "";

	if (!colon || (size_t)(colon - endpoint) >= sizeof(host))
		die(endpoint);
	memcpy(host, endpoint, colon - endpoint);
	to.sin_port = htons(atoi(colon + 1));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die(endpoint);
	return to;
}

static struct upstream *upstream_new(void)
{
	struct sockaddr_in to = address_of(opts.upstream), from;
	socklen_t size = sizeof(from);
	struct upstream *u = must_alloc(calloc(1, sizeof(*u)));

	u->fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	must(connect(u->fd, (struct sockaddr *)&to, sizeof(to)), opts.upstream);
	must(getsockname(u->fd, (struct sockaddr *)&from, &size), "getsockname");
	u->port = ntohs(from.sin_port);
	u->out = must_alloc(calloc(1, opts.call_bytes.hi + WIRE_HEAD_MAX));
	u->in = must_alloc(calloc(1, opts.call_reply_bytes + WIRE_HEAD_MAX));
	return u;
}

void upstream_init(void)
{
	if (opts.upstream && opts.upstream_by == UPSTREAM_SHARED)
		shared = upstream_new();
}

static struct upstream *upstream_take(void)
{
	struct worker *w = worker_self();

	if (shared) {
		pthread_mutex_lock(&mutex);
		return shared;
	}
	if (!w->upstream)
		w->upstream = upstream_new();
	return w->upstream;
}

static size_t receive_reply(struct upstream *u)
{
	size_t len = 0, room = opts.call_reply_bytes + WIRE_HEAD_MAX;

	while (!wire_message_bytes(opts.protocol, u->in, len, opts.call_reply_bytes)) {
		long n = must(recv(u->fd, u->in + len, room - len, 0), opts.upstream);

		if (!n)
			die("upstream closed");
		len += n;
	}
	return len;
}

static void call_once(struct request *r, struct upstream *u)
{
	size_t size = wire_request(opts.protocol, u->out,
				   range_pick(opts.call_bytes, &worker_self()->random));
	struct did_call *call = &r->row.calls[r->row.calls_count++];

	for (size_t sent = 0; sent < size;)
		sent += must(send(u->fd, u->out + sent, size - sent, MSG_NOSIGNAL), opts.upstream);
	*call = (struct did_call){ size, receive_reply(u), ++u->calls, u->port };
	did(r, DID_CALL, call->bytes_out, OFFSET_NONE);
	r->row.ops[r->row.ops_count - 1].reply_bytes = call->bytes_in;
}

void upstream_call(struct request *r)
{
	for (uint64_t i = 0; opts.upstream && i < opts.calls; i++) {
		struct upstream *u = upstream_take();

		call_once(r, u);
		if (u == shared)
			pthread_mutex_unlock(&mutex);
	}
}
