/* SPDX-License-Identifier: Apache-2.0 */
/* Segments in the order of cause and effect: what waits, what is handed on, what never came. */
#include "capture/packet/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A copy of a segment that came before its turn. */
struct flow_held {
	struct flow_held *next;
	struct segment seg;
	unsigned side;
	uint8_t bytes[];
};

static bool is_reply(const struct flow *flow, unsigned side)
{
	return side != flow->client;
}

static void hand_on(struct flows *f, struct flow *flow, unsigned side,
		    const struct flow_chunk *chunk)
{
	struct flow_side *s = &flow->side[side];

	flow_open(f, flow);
	flow->spoke_last = (uint8_t)side;
	s->next += (uint32_t)chunk->total;
	s->bytes += chunk->total;
	f->opts.sink.bytes(f->opts.sink.arg, flow, is_reply(flow, side), chunk);
}

/* Bytes up to `to` moved, and will not be seen. */
static void tell_gap(struct flows *f, struct flow *flow, unsigned side, uint32_t to, int64_t ns)
{
	struct flow_side *s = &flow->side[side];
	struct flow_chunk chunk = { .ns = ns, .total = to - s->next, .gap = true };

	f->counts.gaps++;
	f->counts.gap_bytes += chunk.total;
	s->timed_ns = 0;
	hand_on(f, flow, side, &chunk);
}

/* A segment none of whose bytes are new. */
static void note_old(struct flows *f, struct flow_side *s, const struct segment *seg)
{
	/* a keep-alive is the byte before, or none at all, which is no segment of ours */
	if (seg->total == 1 && seg->seq + 1 == s->next) {
		f->counts.keep_alives++;
		return;
	}
	s->retransmitted++;
	s->timed_ns = 0; /* which of the two will be acknowledged, nobody knows */
	f->counts.retransmissions++;
}

/* Its turn has come: all before it has been handed on. */
static void deliver(struct flows *f, struct flow *flow, unsigned side, const struct segment *seg)
{
	struct flow_side *s = &flow->side[side];
	uint32_t old = s->next - seg->seq;
	struct flow_chunk chunk = { .ns = seg->ns };

	if (old >= seg->total) {
		note_old(f, s, seg);
		return;
	}
	if (old) {
		s->retransmitted++;
		s->timed_ns = 0;
		f->counts.retransmissions++;
	}
	chunk.total = seg->total - old;
	chunk.seen = seg->seen > old ? seg->seen - old : 0;
	chunk.bytes = chunk.seen ? seg->bytes + old : NULL;
	hand_on(f, flow, side, &chunk);
	order_ended(f, flow, side, seg->ns);
}

/* How much of the other direction its sender had seen that we have not. A FIN counts for one. */
static int32_t ack_ahead(const struct flow *flow, unsigned side, const struct segment *seg)
{
	const struct flow_side *other = &flow->side[!side];
	int32_t ahead;

	if (!seg->has_ack || !other->known)
		return 0;
	ahead = seq_ahead(seg->ack, other->next);
	return ahead > 1 && ahead <= FLOW_WINDOW ? ahead : 0;
}

static bool is_ready(const struct flow *flow, unsigned side, const struct segment *seg)
{
	const struct flow_side *s = &flow->side[side];

	return s->known && seq_ahead(seg->seq, s->next) <= 0 && !ack_ahead(flow, side, seg);
}

static struct flow_held *unlink_held(struct flows *f, struct flow *flow, struct flow_held **at)
{
	struct flow_held *h = *at;

	*at = h->next;
	if (flow->held_last == h) /* `next` is the first member of the one before */
		flow->held_last = at == &flow->held ? NULL : (struct flow_held *)at;
	flow->held_count--;
	f->held_bytes -= h->seg.seen;
	return h;
}

/* Hands on whatever has its turn by now. */
static void drain(struct flows *f, struct flow *flow)
{
	struct flow_held **at = &flow->held;

	while (*at) {
		struct flow_held *h = *at;

		if (!is_ready(flow, h->side, &h->seg)) {
			at = &h->next;
			continue;
		}
		unlink_held(f, flow, at);
		deliver(f, flow, h->side, &h->seg);
		free(h);
		at = &flow->held; /* those before it may have waited for it */
	}
}

/* The least sequence number of a side's that waits; false: none does. */
static bool lowest_held(const struct flow *flow, unsigned side, uint32_t *ret_seq)
{
	bool found = false;

	for (const struct flow_held *h = flow->held; h; h = h->next) {
		if (h->side != side || (found && seq_ahead(h->seg.seq, *ret_seq) >= 0))
			continue;
		*ret_seq = h->seg.seq;
		found = true;
	}
	return found;
}

/* A stream whose begin was not seen begins with the first byte that was. */
static void guess_begin(struct flow *flow, unsigned side)
{
	struct flow_side *s = &flow->side[side];
	bool from_start = flow->side[0].began || flow->side[1].began;
	uint32_t lowest = 0;
	bool held = lowest_held(flow, side, &lowest);

	if (s->known)
		return;
	/* of a connection seen from its start, the first acknowledgment tells where it began */
	if (s->acked && (!held || (from_start && seq_ahead(s->low_ack, lowest) <= 0)))
		s->begin = s->low_ack;
	else if (held)
		s->begin = lowest;
	else
		return;
	s->next = s->begin;
	s->known = true;
}

static void anchor(struct flow *flow)
{
	guess_begin(flow, 0);
	guess_begin(flow, 1);
	flow->anchored = true;
}

/* A gap up to `to`, or up to what waits behind it; false: there is none. */
static bool skip_to(struct flows *f, struct flow *flow, unsigned side, uint32_t to, int64_t ns)
{
	struct flow_side *s = &flow->side[side];
	uint32_t lowest = 0;

	if (lowest_held(flow, side, &lowest) && seq_ahead(lowest, to) < 0)
		to = lowest;
	if (!s->known || seq_ahead(to, s->next) <= 0)
		return false;
	tell_gap(f, flow, side, to, ns);
	return true;
}

/* The oldest has waited for long enough: what it waits for did not come, and will not. */
static void give_up_waiting(struct flows *f, struct flow *flow)
{
	struct flow_held *h = flow->held;
	unsigned side = h->side;
	struct flow_side *s = &flow->side[side];

	if (!flow->anchored) {
		anchor(flow);
		drain(f, flow);
		return;
	}
	if (!s->known) {
		s->begin = s->next = h->seg.seq;
		s->known = true;
	}
	/* where both directions have one, the next turn is that of who did not speak last */
	for (int i = 0; i < 2; i++) {
		bool own = (side != flow->spoke_last) == !i;

		if (own ? skip_to(f, flow, side, h->seg.seq, h->seg.ns) :
			  ack_ahead(flow, side, &h->seg) &&
				    skip_to(f, flow, !side, h->seg.ack, h->seg.ns)) {
			drain(f, flow);
			return;
		}
	}
	/* it and another wait for each other, which no two ends can bring about */
	unlink_held(f, flow, &flow->held);
	if (seq_ahead(h->seg.seq, s->next) <= 0)
		deliver(f, flow, side, &h->seg);
	free(h);
	drain(f, flow);
}

void order_look(struct flows *f, struct flow *flow)
{
	while (flow->held && f->now_ns - flow->held->seg.ns > FLOW_REORDER_NS)
		give_up_waiting(f, flow);
}

static int grow_watched(struct flows *f)
{
	size_t room = f->watched_room ? f->watched_room * 2 : 64;
	struct flow_watch *grown = malloc(room * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	for (size_t i = 0; i < f->watched_count; i++)
		grown[i] = f->watched[(f->watched_first + i) % f->watched_room];
	free(f->watched);
	f->watched = grown;
	f->watched_first = 0;
	f->watched_room = room;
	return 0;
}

static void watch(struct flows *f, struct flow *flow)
{
	if (flow->watched)
		return;
	if (f->watched_count == f->watched_room && grow_watched(f)) {
		f->failed = -ENOMEM;
		return;
	}
	f->watched[(f->watched_first + f->watched_count++) % f->watched_room] =
		(struct flow_watch){ flow->held->seg.ns, flow->index };
	flow->watched = true;
}

void order_look_all(struct flows *f)
{
	while (f->watched_count && f->now_ns - f->watched[f->watched_first].ns > FLOW_REORDER_NS) {
		uint32_t index = f->watched[f->watched_first].index;
		struct flow *flow = flow_table_at(&f->table, index);

		f->watched_first = (f->watched_first + 1) % f->watched_room;
		f->watched_count--;
		if (flow->protocol == FLOW_FREE)
			continue;
		flow->watched = false;
		order_look(f, flow);
		if (flow->held)
			watch(f, flow);
	}
}

static void hold(struct flows *f, struct flow *flow, unsigned side, const struct segment *seg)
{
	struct flow_held *h = malloc(sizeof(*h) + seg->seen);

	if (!h) {
		f->failed = -ENOMEM;
		return;
	}
	*h = (struct flow_held){ .seg = *seg, .side = side };
	if (seg->seen)
		memcpy(h->bytes, seg->bytes, seg->seen);
	h->seg.bytes = h->bytes;
	*(flow->held ? &flow->held_last->next : &flow->held) = h;
	flow->held_last = h;
	flow->held_count++;
	f->held_bytes += seg->seen;
	watch(f, flow);
	f->counts.reordered += flow->anchored;
	while (flow->held &&
	       (flow->held_count > FLOW_HELD_MAX || f->held_bytes > FLOW_HELD_BYTES_MAX))
		give_up_waiting(f, flow);
}

void order_anchored(struct flows *f, struct flow *flow)
{
	flow->anchored = true;
	drain(f, flow);
}

void order_segment(struct flows *f, struct flow *flow, unsigned side, const struct segment *seg)
{
	struct flow_side *s = &flow->side[side];

	if (!flow->anchored || !is_ready(flow, side, seg)) {
		hold(f, flow, side, seg);
		return;
	}
	/* the round trip is timed only where nothing was late */
	if (!s->timed_ns && seg->seq == s->next && !flow->held) {
		s->timed = seg->seq + seg->total;
		s->timed_ns = seg->ns;
	}
	deliver(f, flow, side, seg);
	if (flow->held)
		drain(f, flow);
}

void order_ended(struct flows *f, struct flow *flow, unsigned side, int64_t ns)
{
	struct flow_side *s = &flow->side[side];

	if (!s->finished || s->ended || !s->known || seq_ahead(s->fin, s->next) > 0)
		return;
	s->ended = true;
	if (flow->opened)
		f->opts.sink.ended(f->opts.sink.arg, flow, is_reply(flow, side), ns);
}

/* What the other end has acknowledged was there, though it was never seen. */
static void tell_last_gap(struct flows *f, struct flow *flow, unsigned side)
{
	struct flow_side *s = &flow->side[side];
	int32_t ahead;

	if (!s->known || !s->acked)
		return;
	ahead = seq_ahead(s->high_ack, s->next);
	if (s->finished && seq_ahead(s->high_ack, s->fin) > 0)
		ahead = seq_ahead(s->fin, s->next);
	else if (!s->finished && (ahead == 1 || flow->side[!side].finished))
		ahead--; /* one is its FIN, which was not seen either */
	if (ahead > 0 && ahead <= FLOW_WINDOW)
		tell_gap(f, flow, side, s->next + (uint32_t)ahead, flow->last_ns);
	order_ended(f, flow, side, flow->last_ns);
}

void order_drop(struct flow *flow)
{
	while (flow->held) {
		struct flow_held *next = flow->held->next;

		free(flow->held);
		flow->held = next;
	}
}

void order_flush(struct flows *f, struct flow *flow)
{
	unsigned next;

	while (flow->held)
		give_up_waiting(f, flow);
	if (flow->protocol != PACKET_TCP)
		return;
	next = !flow->spoke_last;
	tell_last_gap(f, flow, next);
	tell_last_gap(f, flow, !next);
}
