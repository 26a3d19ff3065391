/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/datagram.h"

#include "base/clock.h"
#include "replay/client/core.h"
#include "replay/net/datagram.h"

#include <errno.h>
#include <string.h>

static const char filler[DATAGRAM_MAX];

/* A request says which it is, here and in the order of its connection; a reply says it again. */
static void describe(const struct client *c, uint32_t index, struct dgram *d)
{
	const struct client_conn *conn = &c->conns[index];
	uint64_t bytes = c->requests[conn->send_next].request_bytes;
	const struct wire_message message = {
		.size = (uint32_t)(bytes > DATAGRAM_REQUEST_BYTES ? bytes : DATAGRAM_REQUEST_BYTES),
		.request = conn->send_next,
		.attempt = conn->sent,
	};
	const struct wire_preface preface = client_preface_of(c, index);

	d->peer.size = 0;
	datagram_put_request(d, &preface, &message);
}

/* Nobody is there, now: what went there is lost, as others are. */
static bool is_loss(int error)
{
	return error == -ECONNREFUSED || error == -EHOSTUNREACH || error == -ENETUNREACH;
}

/* As datagrams_send() of one; what one before has met with is not this one's. */
static int send_one(const struct client_conn *conn, struct datagrams *out)
{
	int n;

	do
		n = datagrams_send(conn->channel.fd, out, 0, filler);
	while (n == -EINTR || n == -ECONNREFUSED);
	return is_loss(n) ? 1 : n;
}

static void note_reply(struct client *c, uint32_t index, uint32_t r, int64_t now_ns)
{
	struct client_conn *conn = &c->conns[index];

	c->replies_late += !client_note_answered(c, r, now_ns);
	if (++conn->answered == c->setup.plan->connections[index].requests)
		client_conn_close(c, index);
}

/* The request at send_next. False: not now. */
static bool send_request(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	uint32_t r = conn->send_next;
	const struct client_request *request = &c->requests[r];
	struct client_fact *fact = client_fact_of(c, r);
	uint64_t before = c->own.tx_sequence;
	struct datagrams out = { .count = 1 };
	int n;

	describe(c, index, &out.at[0]);
	n = send_one(conn, &out);
	if (n == -EAGAIN || n == -ENOBUFS)
		return false;
	if (n < 0) {
		client_conn_fail_with(c, index, -n);
		return false;
	}
	fact->sent_end_ns = clock_now_ns();
	if (conn->channel.stamps)
		socket_stamps_sent(conn->channel.stamps, conn->channel.fd, 1);
	if (c->own.tx_sequence != before)
		fact->tx_ns = (int64_t)c->own.tx_ns;
	c->messages_raised += out.at[0].bytes > request->request_bytes;
	conn->sent++;
	client_conn_send_next(c, conn);
	if (!request->response_bytes)
		note_reply(c, index, r, fact->sent_end_ns);
	return true;
}

void client_conn_send_datagrams(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	bool full = false;

	while (!full && conn->state == CLIENT_CONN_OPEN && client_conn_is_released(c, conn))
		full = !send_request(c, index);
	if (conn->state == CLIENT_CONN_OPEN)
		client_conn_watch(c, index, EPOLLIN | (full ? EPOLLOUT : 0));
}

/* A part of a reply, or all of it. */
static void take_reply(struct client *c, uint32_t index, const struct wire_message *reply,
		       int64_t now_ns, int64_t arrival_ns)
{
	uint32_t r = (uint32_t)reply->request;
	struct client_fact *fact;

	if (reply->request >= c->setup.plan->requests_count || c->chains.connection[r] != index)
		return; /* not of ours */
	fact = client_fact_of(c, r);
	if (!fact || !fact->sent_end_ns)
		return; /* it was not sent, or it came twice */
	fact->replied_bytes += reply->cookie;
	if (fact->replied_bytes < c->requests[r].response_bytes)
		return;
	if (!fact->settled)
		fact->arrival_ns = arrival_ns;
	note_reply(c, index, r, now_ns);
}

/* With probes one at a time: its stamps are its own. */
void client_conn_receive_datagrams(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	struct datagrams in;
	int n = datagrams_receive(conn->channel.fd, &in, c->slot ? 1 : DATAGRAM_BATCH, c->buffer);
	int64_t now_ns = clock_now_ns(), arrival_ns = 0;

	if (n < 0 && n != -EAGAIN && n != -EINTR && !is_loss(n))
		client_conn_fail_with(c, index, -n);
	if (n > 0 && conn->channel.stamps)
		arrival_ns = stamps_tell(&c->stamps, in.at[0].stamp_ns);
	for (int i = 0; i < n && conn->state == CLIENT_CONN_OPEN; i++) {
		struct wire_message reply;

		if (datagram_get_reply(&in.at[i], &reply))
			take_reply(c, index, &reply, now_ns, arrival_ns);
	}
}

static int too_large(const struct plan_request *request, uint64_t bytes, const char *what,
		     struct err *err)
{
	return err_set(err, EMSGSIZE,
		       "request %llu has a %s of %llu bytes, and a datagram carries %d: replay it "
		       "over tcp",
		       (unsigned long long)request->request_id, what, (unsigned long long)bytes,
		       DATAGRAM_MAX);
}

int client_check_datagrams(const struct plan *plan, struct err *err)
{
	for (size_t i = 0; i < plan->requests_count; i++) {
		const struct plan_request *request = &plan->requests[i];
		uint64_t left = request->response_bytes;

		if (request->request_bytes > DATAGRAM_MAX)
			return too_large(request, request->request_bytes, "message", err);
		for (uint32_t k = 0; k < request->ops_count; k++) {
			const struct plan_op *op = &plan->ops[request->first_op + k];

			if (op->kind != OP_REPLY)
				continue;
			if (op->bytes > DATAGRAM_MAX)
				return too_large(request, op->bytes, "reply", err);
			left -= op->bytes < left ? op->bytes : left;
		}
		if (left > DATAGRAM_MAX) /* what no op says leaves at the end */
			return too_large(request, left, "reply", err);
	}
	return 0;
}
