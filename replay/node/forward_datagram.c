/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/forward_datagram.h"

#include "replay/net/datagram.h"
#include "replay/node/limits.h"
#include "replay/node/service.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

struct walk_conn *forward_dial_datagrams(struct worker *w, uint32_t peer)
{
	const struct endpoint *to = &w->service->peers.all[peer].endpoint;
	struct conn *c = walk_conn_new(w, 0);
	struct walk_conn *wc = (struct walk_conn *)c;

	if (!c)
		return NULL;
	wc->peer = peer + 1;
	wc->datagrams = true;
	wc->preface = walk_preface(w, peer);
	if (endpoint_connect(to, NULL, TRANSPORT_UDP, false, &c->channel.fd)) {
		walk_drop(w, wc);
		return NULL;
	}
	datagram_widen(c->channel.fd);
	c->source.fd = c->channel.fd;
	c->events = EPOLLIN;
	if (worker_watch(w, &c->source, 0, c->events)) {
		c->events = 0;
		walk_drop(w, wc);
		return NULL;
	}
	return wc;
}

/* A socket that is full for long has lost it; what an earlier one met is not this one's. */
static int send_one(int fd, struct datagrams *out, const void *filler)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	int n;

	do {
		n = datagrams_send(fd, out, 0, filler);
	} while (n == -EINTR || n == -ECONNREFUSED ||
		 (n == -EAGAIN && poll(&room, 1, NODE_DATAGRAM_MS) > 0));
	return n;
}

void forward_send_datagram(struct worker *w, struct walk_conn *wc,
			   const struct wire_message *message)
{
	struct meter *m = &w->exec.meter;
	struct datagrams out = { .count = 1 };

	out.at[0].peer.size = 0;
	datagram_put_request(&out.at[0], &wc->preface, message);
	meter_mark(m, ACTIVITY_SELF);
	if (send_one(wc->conn.channel.fd, &out, w->exec.setup->storage->filler) < 0)
		w->exec.ledger.count[LG_DATAGRAMS_UNSENT]++;
	meter_mark(m, ACTIVITY_NET);
}

/* With probes one at a time, as all messages are. */
void forward_receive_datagrams(struct worker *w, struct walk_conn *wc)
{
	struct receipt receipt = receipt_begin(w, NULL);
	struct wire_message reply;
	struct datagrams in;
	int n = datagrams_receive(wc->conn.channel.fd, &in, w->exec.meter.slot ? 1 : DATAGRAM_BATCH,
				  w->received);

	receipt_end(w, &receipt, n);
	for (int i = 0; i < n; i++)
		if (datagram_get_reply(&in.at[i], &reply))
			forward_reply(w, &reply);
}
