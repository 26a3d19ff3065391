/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For which request a thread calls another service. The one it read last, if it goes on with it at
 * once. A proxy may read several before it passes on the first: then the bytes show it, as
 * the head of a message (an HTTP request's first line) is passed on as it came; else the
 * oldest of them is the next.
 */
#include "capture/assemble/assembly.h"

#include <string.h>

enum confidence {
	BY_HEAD = 90,
	OLDEST_OF_PASS = 50,
	OPENED_FOR_OLDEST = 50, /* several had been read before it connected */
};

#define HEAD_LEAST 4	    /* bytes that are the same by chance otherwise */
#define CANDIDATES_MAX 1024 /* that are looked at for one call */

/* The same up to the end of the first line, or as far as both are known. */
static bool same_head(const struct request *r, const uint8_t *bytes, size_t n)
{
	size_t least = r->head_bytes < n ? r->head_bytes : n;
	const uint8_t *end = memchr(r->head, '\n', r->head_bytes);
	size_t line = end ? (size_t)(end - r->head) + 1 : least;

	if (line > least)
		line = least;
	return line >= HEAD_LEAST && !memcmp(r->head, bytes, line);
}

static bool may_call(const struct request *r, const struct athread *t)
{
	return r->thread == t && !r->called && !r->elsewhere && !request_is_answered(r);
}

/* Of those that no call was for the oldest; NULL when none has this head. */
static struct request *by_head(const struct athread *t, const struct event_call *e)
{
	const struct event_send *send = (const struct event_send *)e;
	struct request *r = t->service->waiting_first;

	if (e->head.kind != EVENT_SEND)
		return NULL;
	for (size_t i = 0; r && i < CANDIDATES_MAX; i++, r = r->newer)
		if (may_call(r, t) && same_head(r, send->bytes, send->seen))
			return r;
	return NULL;
}

/* Of the pass, those without a call: how many, and the oldest. */
static size_t without_call(const struct athread *t, bool connects, struct request **ret_oldest)
{
	struct request *oldest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < t->pass_count; i++) {
		struct request *r = t->pass[i];

		if (!may_call(r, t) || (connects && r->connects))
			continue;
		n++;
		if (!oldest || r->row.request_id < oldest->row.request_id)
			oldest = r;
	}
	*ret_oldest = oldest;
	return n;
}

/* What it is for: `opener` is what its connection was opened for, if it is the first on it. */
static struct request *call_owner(struct athread *t, const struct event_call *e,
				  struct request *opener, unsigned *ret_confidence)
{
	struct request *current = owner_current(t), *oldest;
	struct request *r = by_head(t, e);
	size_t n = without_call(t, false, &oldest);

	*ret_confidence = 100;
	if (r) {
		*ret_confidence = r == current && n == 1 ? 100 : BY_HEAD;
		return r;
	}
	if (opener || !current || current->called || n < 2)
		return opener;
	*ret_confidence = OLDEST_OF_PASS;
	return oldest;
}

bool call_is_after_reply(const struct athread *t)
{
	struct request *oldest;

	return t->owner == OWNER_AFTER && !without_call(t, false, &oldest);
}

struct request *call_connects(struct athread *t, bool *ret_guessed)
{
	struct request *current = owner_current(t), *oldest;

	*ret_guessed = current && !current->called && without_call(t, true, &oldest) > 1;
	if (*ret_guessed)
		current = oldest;
	if (current)
		current->connects = true;
	return current;
}

/* Whose call it is; the thread works for it since its last boundary. */
static struct request *begin_call(struct assembler *a, struct athread *t,
				  const struct connection *c, const struct event_call *e,
				  struct request *opener)
{
	struct request *current = owner_current(t), *r;
	unsigned confidence;

	r = call_owner(t, e, opener, &confidence);
	if (!r)
		return current;
	request_doubt(r, r == opener && c->guessed ? OPENED_FOR_OLDEST : confidence);
	if (r == current || r == opener)
		return r;
	owner_leave(t, t->last_ns);
	owner_set_request(a, t, r);
	return r;
}

void call_send(struct assembler *a, struct athread *t, struct connection *c,
	       const struct event_call *e, const struct segment *seg)
{
	struct request *before = owner_current(t), *r = before, *opener = request_get(c->owner);
	bool begins = connection_call_begins(c);

	c->others = t->owner == OWNER_OTHERS;
	if (c->call.op.kind == OP_FORWARD)
		opener = NULL;
	if (begins && !c->others && t->serves)
		r = begin_call(a, t, c, e, opener);
	else if (opener)
		r = opener; /* it connected for that one; since then it may have read others */
	if (!r && !c->others && !c->call.unit && !c->call.op.reply_bytes)
		r = request_get(c->owner); /* more of the same message */
	owner_give_before(a, t, seg, r, false);
	owner_give_call(a, t, seg, r);
	if (c->others) {
		connection_call_end(a, c);
		c->owner.id = 0;
		return;
	}
	if (r) {
		batch_forget(a, r);
		request_flush_compute(a, r);
		r->called = true;
		waiting_remove(r);
	}
	if (!r && !t->serves)
		handoff_working(a, t, seg);
	connection_call_send(a, t, c, r, e);
	if (before && before != r && !before->called)
		owner_set_request(a, t, before); /* its turn is still to come */
}

void call_receive(struct assembler *a, struct athread *t, struct connection *c,
		  const struct event_receive *e, const struct segment *seg)
{
	struct request *r = c->call.unit ? NULL : request_get(c->owner);

	owner_give_before(a, t, seg, r, false);
	owner_give_call(a, t, seg, r);
	connection_call_receive(a, c, &e->call);
	if (c->others) {
		owner_set_others(a, t);
	} else if (r) {
		account_move(&r->account, SUB_NET_SOCKET, SUB_CALL, seg->call[TS_WAIT_NET]);
		owner_set_request(a, t, r);
	} else if (t->serves) {
		owner_set_none(a, t);
	} else {
		unit_called(t, seg->call[TS_WAIT_NET]);
	}
}
