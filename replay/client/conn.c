/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/core.h"

#include "base/clock.h"
#include "replay/net/datagram.h"

#include <errno.h>
#include <string.h>

#define BUFFER_BYTES 65536
#define VISIT_BYTES (1 << 20) /* moved at a time, so that others get their turn */

static const char filler[BUFFER_BYTES];

/* The kernel side writes the slot under our hands. */
static uint64_t look(const uint64_t *value)
{
	return *(const volatile uint64_t *)value;
}

void client_conn_watch(struct client *c, uint32_t index, uint32_t events)
{
	struct client_conn *conn = &c->conns[index];
	struct epoll_event event = { .events = events, .data.u32 = index };

	if (events == conn->events)
		return;
	epoll_ctl(c->epoll_fd, conn->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->channel.fd,
		  &event);
	conn->events = events;
}

void client_conn_close(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];

	c->connecting -= conn->state == CLIENT_CONN_CONNECTING;
	conn->state = CLIENT_CONN_CLOSED;
	channel_close(&conn->channel);
}

void client_conn_fail(struct client *c, uint32_t index, enum outcome outcome)
{
	struct client_conn *conn = &c->conns[index];
	uint32_t r = conn->receive_next;

	if (conn->state == CLIENT_CONN_CLOSED)
		return;
	client_conn_close(c, index);
	for (; r != PLAN_CHAIN_END; r = c->chains.next[r]) {
		client_note_failed(c, r, outcome);
		if (c->chains.next[r] == PLAN_CHAIN_END)
			client_note_over(c, r);
	}
	conn->send_next = conn->receive_next = PLAN_CHAIN_END;
}

void client_conn_fail_with(struct client *c, uint32_t index, int error)
{
	if (!c->failed)
		c->failed = error;
	client_conn_fail(c, index, error == ECONNREFUSED ? OUTCOME_REFUSED : OUTCOME_ERROR);
}

/* Where there are probes, they tell nothing of datagrams. */
static bool wants_stamps(const struct client *c, uint32_t index)
{
	return c->setup.slots ? client_route_of(c, index)->transport == TRANSPORT_UDP :
				c->setup.stamps;
}

static void opened(struct client *c, uint32_t index)
{
	c->connecting--;
	c->conns[index].state = CLIENT_CONN_OPEN;
	if (wants_stamps(c, index))
		channel_stamp(&c->conns[index].channel, &c->stamps, true);
	client_conn_watch(c, index, channel_read_events(&c->conns[index].channel));
	client_conn_send(c, index);
}

/* Of the socket there is a connection; with TLS it is open when hands are shaken. */
static void shake_hands(struct client *c, uint32_t index)
{
	struct channel *channel = &c->conns[index].channel;
	int rc = channel_handshake(channel);

	if (!rc)
		opened(c, index);
	else if (rc == -EAGAIN)
		client_conn_watch(c, index, channel_read_events(channel));
	else
		client_conn_fail_with(c, index, -rc);
}

const struct client_route *client_route_of(const struct client *c, uint32_t index)
{
	const struct client_route *route = c->setup.routes;

	while (route->service_id != c->setup.plan->connections[index].service_id)
		route++;
	return route;
}

struct wire_preface client_preface_of(const struct client *c, uint32_t index)
{
	bool datagrams = client_route_of(c, index)->transport == TRANSPORT_UDP;
	struct wire_preface preface = {
		.flags = datagrams ? WIRE_PREFACE_DATAGRAM : 0,
		.connection_id = c->setup.plan->connections[index].connection_id,
	};

	memcpy(preface.token, c->conns[index].token, sizeof(preface.token));
	return preface;
}

static void sign(struct client *c, uint32_t index)
{
	struct wire_preface preface = client_preface_of(c, index);

	wire_preface_sign(&preface, client_route_of(c, index)->secret);
	memcpy(c->conns[index].token, preface.token, sizeof(preface.token));
}

void client_conn_open(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	const struct client_route *route = client_route_of(c, index);
	struct channel channel = CHANNEL_NONE;
	int rc, tls_rc = 0;

	c->connecting++;
	conn->state = CLIENT_CONN_CONNECTING;
	conn->preface_left = WIRE_PREFACE_BYTES;
	sign(c, index);
	rc = endpoint_connect(&route->data, NULL, route->transport, true, &channel.fd);
	if (route->transport == TRANSPORT_UDP)
		datagram_widen(channel.fd);
	if (route->tls && channel.fd >= 0)
		tls_rc = channel_begin_tls(&channel, route->tls);
	conn->channel = channel;
	if (tls_rc)
		client_conn_fail_with(c, index, -tls_rc);
	else if (!rc)
		shake_hands(c, index);
	else if (rc == -EINPROGRESS)
		client_conn_watch(c, index, EPOLLOUT);
	else
		client_conn_fail_with(c, index, -rc);
}

static void connect_event(struct client *c, uint32_t index)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(c->conns[index].channel.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error)
		client_conn_fail_with(c, index, error);
	else
		shake_hands(c, index);
}

/* > 0 bytes that went out; 0: the socket is full; < 0: broken, and failed. */
static ssize_t send_bytes(struct client *c, uint32_t index, const void *data, size_t size)
{
	ssize_t n = channel_send(&c->conns[index].channel, data, size);

	if (n >= 0)
		return n;
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	client_conn_fail_with(c, index, (int)-n);
	return -1;
}

/* True when all of the preface has gone. */
static bool send_preface(struct client *c, uint32_t index)
{
	struct wire_preface preface = client_preface_of(c, index);
	uint8_t bytes[WIRE_PREFACE_BYTES];
	struct client_conn *conn = &c->conns[index];
	ssize_t n;

	if (!conn->preface_left)
		return true;
	wire_preface_encode(&preface, bytes);
	n = send_bytes(c, index, bytes + sizeof(bytes) - conn->preface_left, conn->preface_left);
	if (n > 0)
		conn->preface_left -= (uint32_t)n;
	return n >= 0 && !conn->preface_left;
}

/* The next part of the request at send_next; its first one is stamped. As send_bytes(). */
static ssize_t send_part(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	struct client_fact *fact = client_fact_of(c, conn->send_next);
	uint64_t before = c->slot ? look(&c->slot->tx_sequence) : 0;
	size_t size = conn->send_left < sizeof(filler) ? conn->send_left : sizeof(filler);
	ssize_t n = send_bytes(c, index, filler, size);

	if (n <= 0)
		return n;
	conn->send_left -= (size_t)n;
	if (!fact->sent_end_ns) {
		fact->sent_end_ns = clock_now_ns();
		if (c->slot && look(&c->slot->tx_sequence) != before)
			fact->tx_ns = (int64_t)look(&c->slot->tx_ns);
	}
	return n;
}

/* The request at receive_next has begun to be sent, so that bytes may come for it. */
static bool is_expecting(const struct client *c, const struct client_conn *conn)
{
	const struct client_fact *fact;

	if (conn->receive_next == PLAN_CHAIN_END)
		return false;
	fact = client_fact_of(c, conn->receive_next);
	return fact && fact->sent_end_ns;
}

static void expect_next(struct client *c, struct client_conn *conn)
{
	conn->receive_next = c->chains.next[conn->receive_next];
	if (conn->receive_next != PLAN_CHAIN_END)
		conn->receive_left = c->requests[conn->receive_next].response_bytes;
}

/* Replies that are complete; those of no bytes are as soon as the request has gone. */
static void settle_complete(struct client *c, uint32_t index, int64_t now_ns)
{
	struct client_conn *conn = &c->conns[index];

	while (is_expecting(c, conn) && !conn->receive_left &&
	       !(conn->receive_next == conn->send_next && conn->send_left)) {
		uint32_t r = conn->receive_next;

		expect_next(c, conn);
		client_note_answered(c, r, now_ns);
	}
	if (conn->receive_next == PLAN_CHAIN_END)
		client_conn_close(c, index);
}

void client_conn_send_next(struct client *c, struct client_conn *conn)
{
	conn->send_next = c->chains.next[conn->send_next];
	if (conn->send_next != PLAN_CHAIN_END)
		conn->send_left = c->requests[conn->send_next].request_bytes;
}

bool client_conn_is_released(struct client *c, const struct client_conn *conn)
{
	struct client_fact *fact;

	if (conn->send_next == PLAN_CHAIN_END)
		return false;
	fact = client_fact_of(c, conn->send_next);
	if (fact && !fact->sent_ns)
		client_note_sent(c, fact, clock_now_ns());
	return fact != NULL;
}

void client_conn_send(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	bool full = false;
	ssize_t n, visit = 0;

	if (client_route_of(c, index)->transport == TRANSPORT_UDP) {
		client_conn_send_datagrams(c, index);
		return;
	}
	if (conn->state == CLIENT_CONN_OPEN)
		full = !send_preface(c, index);
	while (client_conn_is_released(c, conn) && conn->state == CLIENT_CONN_OPEN && !full) {
		n = visit < VISIT_BYTES ? send_part(c, index) : 0;
		if (n < 0)
			return;
		visit += n;
		full = n == 0;
		if (!conn->send_left)
			client_conn_send_next(c, conn);
	}
	if (conn->state != CLIENT_CONN_OPEN)
		return;
	client_conn_watch(c, index,
			  channel_read_events(&conn->channel) |
				  (full ? channel_write_events(&conn->channel) : 0));
	if (is_expecting(c, conn) && !conn->receive_left)
		settle_complete(c, index, clock_now_ns());
}

/* 0: nothing (more) there. < 0: closed or broken, and failed. */
static ssize_t receive_bytes(struct client *c, uint32_t index, size_t size)
{
	ssize_t n = channel_recv(&c->conns[index].channel, c->buffer, size);

	if (n > 0)
		return n;
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	client_conn_fail_with(c, index, n ? (int)-n : ECONNRESET);
	return -1;
}

/*
 * Reads no further than the end of the reply, so that the kernel's stamp of the
 * last segment read is that of this reply. True when there may be more to read.
 */
static bool receive_part(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	struct client_fact *fact = client_fact_of(c, conn->receive_next);
	size_t size = conn->receive_left < BUFFER_BYTES ? conn->receive_left : BUFFER_BYTES;
	uint64_t before = c->slot ? look(&c->slot->rx_sequence) : 0;
	ssize_t n = receive_bytes(c, index, size);
	int64_t now;

	if (n <= 0)
		return false;
	conn->receive_left -= (size_t)n;
	if (conn->receive_left)
		return (size_t)n == size;
	now = clock_now_ns();
	if (c->slot && look(&c->slot->rx_sequence) != before) {
		fact->arrival_ns = (int64_t)look(&c->slot->rx_latest_ns);
		fact->left_ns = (int64_t)look(&c->slot->rx_left_ns);
		fact->again_ns = (int64_t)look(&c->slot->rx_again_ns);
	}
	settle_complete(c, index, now);
	return conn->state == CLIENT_CONN_OPEN;
}

static void receive_event(struct client *c, uint32_t index)
{
	struct client_conn *conn = &c->conns[index];
	int parts = VISIT_BYTES / BUFFER_BYTES;

	if (client_route_of(c, index)->transport == TRANSPORT_UDP) {
		client_conn_receive_datagrams(c, index);
		return;
	}
	if (!is_expecting(c, conn)) {
		if (receive_bytes(c, index, 1) > 0)
			client_conn_fail_with(c, index, EPROTO); /* more than the plan says */
		return;
	}
	/* of what TLS holds already no event would tell */
	while ((parts-- > 0 || channel_has_more(&conn->channel)) && is_expecting(c, conn) &&
	       receive_part(c, index))
		;
}

void client_conn_event(struct client *c, uint32_t index, uint32_t events)
{
	struct client_conn *conn = &c->conns[index];

	if (conn->state == CLIENT_CONN_CONNECTING) {
		connect_event(c, index);
		return;
	}
	if (events & EPOLLERR)
		channel_take_late_stamps(&conn->channel);
	if (conn->state == CLIENT_CONN_OPEN && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		receive_event(c, index);
	if (conn->state == CLIENT_CONN_OPEN && (events & EPOLLOUT))
		client_conn_send(c, index);
}
