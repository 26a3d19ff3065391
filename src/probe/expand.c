/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/expand.h"

#include "probe/probe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A call that began or ended while its programs were not attached. */
static bool half_seen(const struct event_head *head, size_t size)
{
	const struct event_call *e = (const struct event_call *)head;
	const struct event_brief *b = (const struct event_brief *)head;
	const struct event_tls *t = (const struct event_tls *)head;

	switch (head->kind) {
	case EVENT_CALL:
	case EVENT_RECEIVE:
	case EVENT_SEND:
	case EVENT_DATAGRAM:
		return size < sizeof(*e) || head->ns >= SLOT_FROZEN_NS ||
		       e->enter_ns >= SLOT_FROZEN_NS;
	case EVENT_BRIEF_CALL:
	case EVENT_BRIEF_RECEIVE:
		return size < sizeof(*b) || head->ns >= SLOT_FROZEN_NS ||
		       b->enter_ns >= SLOT_FROZEN_NS;
	case EVENT_TLS:
		return size < sizeof(*t) || head->ns >= SLOT_FROZEN_NS ||
		       t->enter_ns >= SLOT_FROZEN_NS;
	case EVENT_DATAGRAM_MORE:
		return head->ns >= SLOT_FROZEN_NS;
	default:
		return false;
	}
}

/* Of a slot's thread, as its last event left them. */
struct known {
	uint32_t generation;
	bool whole; /* they are known at all */
	uint64_t last_ns;
	uint64_t ns[TS_COUNT];
};

struct expander {
	union {
		struct event_receive event; /* begins with the call */
		uint8_t room[sizeof(struct event_receive) + EVENT_BYTES_LARGE];
	};
	struct known known[PROBE_THREADS_MAX];
};

struct expander *expander_new(void)
{
	return calloc(1, sizeof(struct expander));
}

void expander_free(struct expander *x)
{
	free(x);
}

static void remember(struct expander *x, const struct event_head *head, const uint64_t *exit)
{
	struct known *k = &x->known[head->slot];

	k->generation = head->generation;
	k->whole = true;
	k->last_ns = head->ns;
	memcpy(k->ns, exit, sizeof(k->ns));
}

static const void *expand_call(struct expander *x, const struct event_brief *b)
{
	struct event_call *e = &x->event.call;
	struct known *k = &x->known[b->head.slot];

	if (!k->whole || k->generation != b->head.generation || b->state >= TS_COUNT)
		return NULL;
	*e = (struct event_call){
		.head = b->head,
		.enter_ns = b->enter_ns,
		.socket_id = b->socket_id,
		.offset = -1,
		.ret = b->ret,
		.tx_ns = b->tx_ns,
		.syscall_nr = b->syscall_nr,
		.op = b->op,
		.object = b->object,
	};
	e->head.kind = EVENT_CALL;
	k->ns[TS_USER] += b->enter_ns - k->last_ns;
	memcpy(e->enter, k->ns, sizeof(e->enter));
	k->ns[b->state] += b->head.ns - b->enter_ns;
	memcpy(e->exit, k->ns, sizeof(e->exit));
	k->last_ns = b->head.ns;
	return e;
}

static const void *expand_receive(struct expander *x, const struct event_brief_receive *b,
				  size_t size, size_t *ret_size)
{
	struct event_receive *e = &x->event;

	if (size < sizeof(*b) || b->seen > size - sizeof(*b) || b->seen > EVENT_BYTES_LARGE ||
	    !expand_call(x, &b->call))
		return NULL;
	*ret_size = sizeof(*e) + b->seen;
	e->call.head.kind = EVENT_RECEIVE;
	e->arrival_ns = b->arrival_ns;
	e->latest_ns = b->latest_ns;
	e->counted = b->counted;
	for (size_t i = 0; i < TS_COUNT; i++)
		e->arrival[i] = b->counted ? COUNTER_THEN(e->call.exit[i], b->arrival_low[i]) : 0;
	e->seen = b->seen;
	e->unread = b->unread;
	e->srtt_us = b->srtt_us;
	e->min_rtt_us = b->min_rtt_us;
	memcpy(e->bytes, b->bytes, b->seen);
	return e;
}

/* No counter moves in such a capture; when the call began is not known either. */
static void expand_bytes(struct event_call *e, const struct event_bytes *b, enum event_kind kind)
{
	*e = (struct event_call){
		.head = b->head,
		.enter_ns = b->head.ns,
		.socket_id = b->socket_id,
		.offset = -1,
		.ret = b->bytes,
		.object = OBJECT_SOCKET,
	};
	e->head.kind = kind;
}

static const void *expand_bytes_in(struct expander *x, const struct event_bytes *b,
				   size_t *ret_size)
{
	struct event_receive *e = &x->event;

	memset(e, 0, sizeof(*e));
	expand_bytes(&e->call, b, EVENT_RECEIVE);
	e->call.op = SYSCALL_RECV;
	e->arrival_ns = b->stamp_ns;
	e->latest_ns = b->stamp_ns;
	e->seen = b->head_bytes > EVENT_BYTES_HEAD ? 0 : b->head_bytes;
	e->unread = b->unread;
	memcpy(e->bytes, b->first, sizeof(b->first));
	*ret_size = sizeof(*e) + e->seen;
	return e;
}

/* The bytes were given to the kernel before they went out: the least that can be said. */
static const void *expand_bytes_out(struct expander *x, const struct event_bytes *b)
{
	struct event_call *e = &x->event.call;

	expand_bytes(e, b, EVENT_CALL);
	e->op = SYSCALL_SEND;
	e->tx_ns = b->stamp_ns;
	if (b->stamp_ns)
		e->enter_ns = b->stamp_ns - 1;
	return e;
}

const void *expander_take(struct expander *x, const void *event, size_t size, size_t *ret_size)
{
	const struct event_head *head = event;

	*ret_size = size;
	if (size < sizeof(*head) || head->slot >= PROBE_THREADS_MAX)
		return event;
	if (half_seen(head, size))
		return NULL;
	switch (head->kind) {
	case EVENT_CALL:
	case EVENT_RECEIVE:
	case EVENT_SEND:
	case EVENT_DATAGRAM:
		remember(x, head, ((const struct event_call *)event)->exit);
		return event;
	case EVENT_TLS:
		remember(x, head, ((const struct event_tls *)event)->exit);
		return event;
	case EVENT_BRIEF_CALL:
		*ret_size = sizeof(struct event_call);
		return size < sizeof(struct event_brief) ? NULL : expand_call(x, event);
	case EVENT_BRIEF_RECEIVE:
		return expand_receive(x, event, size, ret_size);
	case EVENT_BYTES_IN:
		return size < sizeof(struct event_bytes) ? NULL :
							   expand_bytes_in(x, event, ret_size);
	case EVENT_BYTES_OUT:
		*ret_size = sizeof(struct event_call);
		return size < sizeof(struct event_bytes) ? NULL : expand_bytes_out(x, event);
	default:
		return event;
	}
}
