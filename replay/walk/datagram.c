/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/datagram.h"

#include "base/clock.h"
#include "replay/net/datagram.h"
#include "replay/walk/walk.h"

#include <errno.h>

#define BEGUN_MAX 2048 /* before replies are looked at again */

static const char filler[DATAGRAM_MAX];

static int64_t now_of(const struct walk_link *l)
{
	return clock_now_ns() - l->anchor_ns;
}

/* Nobody is there, now: what went there is lost, as others are. */
static bool is_loss(int error)
{
	return error == -ECONNREFUSED || error == -EHOSTUNREACH || error == -ENETUNREACH;
}

/* Those of the batch: as walk_link_send(). */
static int send_batch(struct walk_link *l, struct datagrams *out)
{
	unsigned sent = 0;

	while (sent < out->count) {
		int n = datagrams_send(l->channel.fd, out, sent, filler);

		if (n == -EINTR || n == -ECONNREFUSED) /* of one before */
			continue;
		if (n == -EAGAIN || n == -ENOBUFS)
			return 0;
		if (n < 0 && !is_loss(n))
			return n;
		n = n < 0 ? 1 : n;
		l->stuck_ns = -1;
		sent += (unsigned)n;
		l->unsent_from += (unsigned)n;
	}
	return 1;
}

/* Requests that have begun and not left. Those that are over meanwhile need not. */
static int send_unsent(struct walk_link *l)
{
	struct datagrams out;
	int rc = 1;

	while (rc > 0 && l->unsent_from < l->unsent_to) {
		if (l->unsent_from < l->oldest)
			l->unsent_from = l->oldest;
		out.count = 0;
		for (uint64_t i = l->unsent_from; i < l->unsent_to && out.count < DATAGRAM_BATCH;
		     i++) {
			struct wire_message message = walk_link_message(l, i);

			out.at[out.count].peer.size = 0;
			datagram_put_request(&out.at[out.count++], &l->preface, &message);
		}
		if (out.count)
			rc = send_batch(l, &out);
	}
	return rc;
}

int walk_link_send_datagrams(struct walk_link *l, bool may_begin, uint64_t *ret_begun)
{
	int64_t now_ns = now_of(l);
	int rc = send_unsent(l);

	*ret_begun = 0;
	while (rc > 0 && may_begin && l->next < l->end && *ret_begun < BEGUN_MAX) {
		uint64_t first = l->next;

		while (l->next < l->end && l->due_ns <= now_ns &&
		       l->next - first < DATAGRAM_BATCH && walk_link_begin(l, now_ns))
			;
		if (l->next == first)
			return l->due_ns > now_ns;
		*ret_begun += l->next - first;
		l->unsent_from = first;
		l->unsent_to = l->next;
		rc = send_unsent(l);
	}
	return rc;
}

int walk_link_receive_datagrams(struct walk_link *l, char *scratch)
{
	struct datagrams in;
	int n = datagrams_receive(l->channel.fd, &in, DATAGRAM_BATCH, scratch);
	int64_t now_ns = now_of(l);

	if (n < 0)
		return n == -EAGAIN || n == -EINTR || is_loss(n) ? 0 : n;
	for (int i = 0; i < n; i++) {
		struct wire_message reply;

		if (datagram_get_reply(&in.at[i], &reply))
			walk_link_answered(l, &reply, now_ns);
	}
	return 1;
}

static int check_size(const struct spec *bytes, const char *what, struct err *err)
{
	if (spec_most(bytes) <= DATAGRAM_MAX)
		return 0;
	return err_set(
		err, EMSGSIZE,
		"%s may be larger than a datagram, which carries %d bytes: give it a smaller "
		"size, or a distribution a max=%d",
		what, DATAGRAM_MAX, DATAGRAM_MAX);
}

static bool goes_by_datagrams(const struct chain *c, const struct chain_forward *f)
{
	for (uint32_t i = 0; i < f->peers_count; i++)
		if (c->peers[f->peers[i]].transport == TRANSPORT_UDP)
			return true;
	return false;
}

/* The ops of one node, [from, end), whose replies are `datagrams` or not, and of those it calls. */
static int check_ops(const struct chain *c, size_t from, size_t end, bool datagrams,
		     struct err *err)
{
	int rc = 0;

	for (size_t i = from; i < end && !rc;) {
		const struct chain_op *op = &c->ops[i];

		if (op->kind == OP_REPLY && datagrams)
			rc = check_size(&op->amount, "a reply (-R)", err);
		if (op->kind == OP_FORWARD) {
			bool called = goes_by_datagrams(c, op->forward);

			if (called)
				rc = check_size(&op->amount, "what a forward sends (-F)", err);
			if (!rc)
				rc = check_ops(c, i + 1, op->end, called, err);
		}
		i = op->kind == OP_FORWARD ? op->end : i + 1;
	}
	return rc;
}

int walk_check_datagrams(const struct walk_opts *o, struct err *err)
{
	bool datagrams = o->to.transport == TRANSPORT_UDP;
	int rc = datagrams ? check_size(&o->request_bytes, "a request (--ps)", err) : 0;

	for (size_t i = 0; datagrams && i < o->classes_count && !rc; i++)
		if (o->classes[i].has_size)
			rc = check_size(&o->classes[i].request_bytes, "a request of a class", err);
	return rc ? rc : check_ops(&o->chain, 0, o->chain.count, datagrams, err);
}
