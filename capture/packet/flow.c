/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: when they begin and end, who asks, how long the way is. */
#include "capture/packet/flow.h"

#include "capture/packet/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WELL_KNOWN 1024 /* ports below are servers' */
#define EVICT_LOOKS 16	/* the oldest of so many goes */

struct flows *flows_new(const struct flows_opts *opts)
{
	struct flows *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->opts = *opts;
	f->lingering = f->idle = (struct flow_queue){ FLOW_NONE, FLOW_NONE };
	f->now_ns = INT64_MIN;
	if (flow_table_init(&f->table, opts->seed)) {
		free(f);
		return NULL;
	}
	return f;
}

static struct flow *any_flow(struct flows *f, size_t number)
{
	struct flow *flow = flow_table_at(&f->table, (uint32_t)number);

	return flow->protocol == FLOW_FREE ? NULL : flow;
}

static size_t flows_room(const struct flows *f)
{
	return f->table.blocks_count * FLOWS_A_BLOCK;
}

void flows_free(struct flows *f)
{
	struct flow *flow;

	if (!f)
		return;
	for (size_t i = 0; i < flows_room(f); i++)
		if ((flow = any_flow(f, i)))
			order_drop(flow);
	flow_table_release(&f->table);
	free(f->watched);
	free(f);
}

const struct flows_counts *flows_counts(const struct flows *f)
{
	return &f->counts;
}

size_t flows_open(const struct flows *f)
{
	return f->table.count;
}

static struct flow *at_index(struct flows *f, uint32_t index)
{
	return index == FLOW_NONE ? NULL : flow_table_at(&f->table, index);
}

static struct flow_queue *queue_of(struct flows *f, const struct flow *flow)
{
	return flow->protocol == PACKET_UDP ? &f->idle : &f->lingering;
}

static void queue_remove(struct flows *f, struct flow *flow)
{
	struct flow_queue *q = queue_of(f, flow);
	struct flow *older, *newer;

	if (!flow->queued)
		return;
	older = at_index(f, flow->older);
	newer = at_index(f, flow->newer);
	*(older ? &older->newer : &q->oldest) = flow->newer;
	*(newer ? &newer->older : &q->newest) = flow->older;
	flow->queued = false;
}

static void queue_add(struct flows *f, struct flow *flow)
{
	struct flow_queue *q = queue_of(f, flow);
	struct flow *newest;

	queue_remove(f, flow);
	newest = at_index(f, q->newest);
	flow->older = q->newest;
	flow->newer = FLOW_NONE;
	*(newest ? &newest->newer : &q->oldest) = flow->index;
	q->newest = flow->index;
	flow->queued = true;
	flow->queued_ns = f->now_ns;
}

static void flow_end(struct flows *f, struct flow *flow)
{
	order_flush(f, flow);
	queue_remove(f, flow);
	if (flow->opened)
		f->opts.sink.closed(f->opts.sink.arg, flow);
}

static void flow_close(struct flows *f, struct flow *flow)
{
	flow_end(f, flow);
	flow_table_remove(&f->table, flow);
}

static void close_due(struct flows *f, struct flow_queue *q, int64_t after_ns)
{
	struct flow *oldest;

	while ((oldest = at_index(f, q->oldest)) && f->now_ns - oldest->queued_ns > after_ns)
		flow_close(f, oldest);
}

void flows_finish(struct flows *f)
{
	struct flow *flow;

	for (size_t i = 0; i < flows_room(f); i++)
		if ((flow = any_flow(f, i)))
			flow_end(f, flow);
	flow_table_clear(&f->table);
}

/* Of those that the hand meets next, the one that was silent longest. */
static void evict(struct flows *f)
{
	struct flow *flow, *oldest = NULL;
	size_t room = flows_room(f);

	for (size_t looks = 0, i = 0; looks < EVICT_LOOKS && i < room; i++) {
		f->hand = (f->hand + 1) % room;
		flow = any_flow(f, f->hand);
		if (!flow)
			continue;
		looks++;
		if (!oldest || flow->last_ns < oldest->last_ns)
			oldest = flow;
	}
	if (!oldest)
		return;
	f->counts.evicted++;
	flow_close(f, oldest);
}

/* One place for each end, taken by the last that hashes to it: enough to guess by. */
static uint32_t *listening_place(struct flows *f, const struct packet_end *end, uint32_t *ret_hash)
{
	*ret_hash = flow_table_hash(&f->table, end, end);
	return &f->listening[*ret_hash & (LISTENING_MAX - 1)];
}

static void note_listening(struct flows *f, const struct packet_end *end)
{
	uint32_t hash, *place = listening_place(f, end, &hash);

	*place = hash;
}

static bool is_listening(struct flows *f, const struct packet_end *end)
{
	uint32_t hash, *place = listening_place(f, end, &hash);

	return *place == hash;
}

/* Which side asks, where nothing in the packets says so. */
static unsigned guess_client(struct flows *f, const struct flow *flow)
{
	const struct packet_end *end = flow->end;
	bool second = is_listening(f, &end[1]), first = is_listening(f, &end[0]);

	if (first != second)
		return first; /* side 1 asks end 0 */
	if (flow->protocol == PACKET_UDP && end[0].port >= WELL_KNOWN)
		return 0; /* who sends the first datagram */
	return end[0].port < end[1].port;
}

void flow_open(struct flows *f, struct flow *flow)
{
	if (flow->opened)
		return;
	if (flow->client_guessed)
		flow->client = (uint8_t)guess_client(f, flow);
	flow->opened = true;
	f->counts.mid_stream += flow->protocol == PACKET_TCP && !flow->side[0].began &&
				!flow->side[1].began;
	f->opts.sink.opened(f->opts.sink.arg, flow);
}

/* Nothing worth a connection: the last acknowledgment of one that is gone, a scan's RST. */
static bool is_stray(enum packet_kind kind, const struct packet *p)
{
	return kind == PACKET_TCP && (p->flags & PACKET_RST || !(p->flags & PACKET_SYN)) &&
	       (!p->total || p->flags & PACKET_RST);
}

/* The first packet of a flow. NULL: it is for nobody, or memory ran out. */
static struct flow *flow_begin(struct flows *f, enum packet_kind kind, const struct packet *p,
			       uint32_t hash)
{
	const struct packet_end ends[2] = { p->from, p->to };
	enum flow_server server = FLOW_SERVER_ASK;
	struct flow *flow;

	if (f->opts.server_of)
		server = f->opts.server_of(f->opts.server_arg, ends);
	if (server == FLOW_SERVER_NONE || is_stray(kind, p)) {
		*(server == FLOW_SERVER_NONE ? &f->counts.ignored : &f->counts.strays) += 1;
		return NULL;
	}
	if (f->table.count >= f->opts.max)
		evict(f);
	flow = flow_table_add(&f->table, hash, kind, &p->from, &p->to);
	if (!flow) {
		f->failed = -ENOMEM;
		return NULL;
	}
	f->counts.flows++;
	flow->client_guessed = server == FLOW_SERVER_ASK;
	flow->client = server == FLOW_SERVER_FIRST; /* end 0 sends from side 0 */
	flow->last_ns = p->ns;
	return flow;
}

/* Who opens it asks, unless the user said who serves. */
static void note_opener(struct flows *f, struct flow *flow, unsigned side)
{
	if (!flow->client_guessed || flow->opened)
		return;
	flow->client = (uint8_t)side;
	flow->client_guessed = false;
	note_listening(f, &flow->end[!side]);
}

static void side_begins(struct flow_side *s, uint32_t begin)
{
	s->began = true;
	if (s->known)
		return;
	s->begin = s->next = begin;
	s->known = true;
}

/* A SYN that no stream of this flow can have begun with. */
static bool is_of_another(const struct flow *flow, unsigned side, const struct packet *p)
{
	const struct flow_side *s = &flow->side[side];

	return s->known && s->begin != p->seq + 1;
}

/* A SYN, or a FIN, that was sent before; with bytes, these tell. */
static void note_again(struct flows *f, struct flow_side *s)
{
	s->retransmitted++;
	f->counts.retransmissions++;
}

static void begin_stream(struct flows *f, struct flow *flow, unsigned side, const struct packet *p)
{
	bool answer = p->flags & PACKET_ACK;

	if (!p->total && (answer ? flow->handshake_ns || flow->shaken : flow->open_ns != 0))
		note_again(f, &flow->side[side]);
	note_opener(f, flow, answer ? !side : side);
	side_begins(&flow->side[side], p->seq + 1);
	if (answer) {
		side_begins(&flow->side[!side], p->ack);
		if (!flow->handshake_ns && !flow->shaken)
			flow->handshake_ns = p->ns;
		flow_open(f, flow);
	} else if (!flow->open_ns) {
		flow->open_ns = p->ns;
	}
	if (!flow->anchored && flow->side[0].known && flow->side[1].known)
		order_anchored(f, flow);
}

static void note_round_trip(struct flow_side *s, int64_t ns)
{
	if (ns <= 0)
		return;
	s->min_rtt_ns = s->min_rtt_ns && s->min_rtt_ns < ns ? s->min_rtt_ns : ns;
	s->srtt_ns += s->srtt_ns ? (ns - s->srtt_ns) / 8 : ns; /* RFC 6298 */
}

/* The handshake times both ways: to the service by its answer, to the client by its ACK. */
static void time_handshake(struct flow *flow, unsigned side, const struct packet *p)
{
	int64_t answered_ns = flow->handshake_ns;

	if (flow->shaken || !answered_ns || !flow->open_ns || side != flow->client ||
	    p->flags & (PACKET_SYN | PACKET_RST) || p->ns < answered_ns ||
	    answered_ns < flow->open_ns)
		return;
	flow->shaken = true;
	flow->handshake_ns = p->ns - flow->open_ns;
	if (flow->side[0].retransmitted || flow->side[1].retransmitted)
		return;
	note_round_trip(&flow->side[flow->client], answered_ns - flow->open_ns);
	note_round_trip(&flow->side[!flow->client], p->ns - answered_ns);
}

/* Of what side `side` sent, the other end has all before `ack`. */
static void note_ack(struct flow *flow, unsigned side, uint32_t ack, int64_t ns)
{
	struct flow_side *s = &flow->side[side];
	int32_t ahead = seq_ahead(ack, s->acked ? s->high_ack : s->next);

	if ((s->acked || s->known) && (ahead > FLOW_WINDOW || ahead < -FLOW_WINDOW))
		return;
	if (!s->acked || seq_ahead(ack, s->low_ack) < 0)
		s->low_ack = ack;
	if (!s->acked || seq_ahead(ack, s->high_ack) > 0)
		s->high_ack = ack;
	s->acked = true;
	if (!s->timed_ns || seq_ahead(ack, s->timed) < 0)
		return;
	note_round_trip(s, ns - s->timed_ns);
	s->timed_ns = 0;
}

/* The same packet again: a capture of two interfaces, or a mirrored port, has them. */
static bool is_copy(struct flow_side *s, const struct packet *p)
{
	uint32_t length = p->total << 8 | p->flags;

	if (s->packets && s->seq == p->seq && s->ack == p->ack && s->mark == p->mark &&
	    s->length == length)
		return true;
	s->seq = p->seq;
	s->ack = p->ack;
	s->mark = p->mark;
	s->length = length;
	return false;
}

static bool is_astray(const struct flow_side *s, const struct packet *p)
{
	int32_t ahead = seq_ahead(p->seq, s->next);

	return s->known && (ahead > FLOW_WINDOW || ahead < -FLOW_WINDOW);
}

static void flow_ends(struct flows *f, struct flow *flow, const struct packet *p)
{
	flow->reset |= (p->flags & PACKET_RST) != 0;
	if (!flow->reset && !(flow->side[0].finished && flow->side[1].finished))
		return;
	if (!flow->close_ns)
		flow->close_ns = p->ns;
	if (!flow->queued)
		queue_add(f, flow);
}

static void note_fin(struct flows *f, struct flow *flow, unsigned side, const struct packet *p)
{
	struct flow_side *s = &flow->side[side];

	if (!s->finished) {
		s->finished = true;
		s->fin = p->seq + p->total;
	} else if (!p->total && p->seq == s->fin && !(p->flags & PACKET_SYN)) {
		note_again(f, s);
	}
	order_ended(f, flow, side, p->ns);
}

static void tcp_packet(struct flows *f, struct flow *flow, unsigned side, const struct packet *p)
{
	struct flow_side *s = &flow->side[side];
	struct segment seg = {
		.ns = p->ns,
		.bytes = p->payload,
		.seq = p->seq + !!(p->flags & PACKET_SYN),
		.ack = p->ack,
		.total = p->total,
		.seen = p->seen,
		.has_ack = p->flags & PACKET_ACK,
	};

	if (is_copy(s, p)) {
		f->counts.duplicates++;
		return;
	}
	s->packets++;
	s->zero_windows += !p->window && !(p->flags & (PACKET_SYN | PACKET_RST));
	flow->last_ns = p->ns;
	if (p->flags & PACKET_SYN)
		begin_stream(f, flow, side, p);
	if (seg.has_ack) {
		note_ack(flow, !side, p->ack, p->ns);
		time_handshake(flow, side, p);
	}
	if (p->total && !(p->flags & PACKET_RST))
		order_segment(f, flow, side, &seg);
	if (p->flags & PACKET_FIN)
		note_fin(f, flow, side, p);
	if (p->flags & (PACKET_FIN | PACKET_RST))
		flow_ends(f, flow, p);
	if (flow->held)
		order_look(f, flow);
}

static bool is_ipv4(const struct packet_end *end)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(end->address, mapped, sizeof(mapped));
}

/*
 * By its IP identification (packet_decode() puts it there). What must not be fragmented may have none
 * (RFC 6864; on Linux IP_PMTUDISC_DO, unless the socket is connected): such a one again, behind one of
 * the other end, is the same answer to the next request. IPv6 numbers no packets at all: there the
 * same again may always be meant so.
 */
static bool is_numbered(const struct packet *p)
{
	return p->mark >> 16;
}

/* A datagram comes when it comes. */
static void udp_packet(struct flows *f, struct flow *flow, unsigned side, const struct packet *p)
{
	struct flow_side *s = &flow->side[side];
	const struct flow_chunk chunk = {
		.ns = p->ns, .bytes = p->payload, .seen = p->seen, .total = p->total
	};

	if (is_ipv4(&p->from) && is_copy(s, p) && (is_numbered(p) || flow->spoke_last == side)) {
		f->counts.duplicates++;
		return;
	}
	flow->spoke_last = (uint8_t)side;
	s->packets++;
	s->bytes += p->total;
	flow->last_ns = p->ns;
	queue_add(f, flow);
	if (!p->total)
		return;
	flow_open(f, flow);
	f->opts.sink.bytes(f->opts.sink.arg, flow, side != flow->client, &chunk);
}

/* The ports are used again, before it was told that the flow of that name had ended. */
static bool is_reused(struct flows *f, const struct flow *flow, unsigned side,
		      const struct packet *p)
{
	if (flow->protocol != PACKET_TCP)
		return false;
	if (p->flags & PACKET_SYN)
		return is_of_another(flow, side, p);
	if (!p->total || !is_astray(&flow->side[side], p))
		return false;
	f->counts.astray += !flow->close_ns;
	return true;
}

int flows_packet(struct flows *f, enum packet_kind kind, const struct packet *p)
{
	uint32_t hash = flow_table_hash(&f->table, &p->from, &p->to);
	struct flow *flow;
	unsigned side = 0;

	if (p->ns > f->now_ns)
		f->now_ns = p->ns;
	order_look_all(f);
	close_due(f, &f->lingering, FLOW_LINGER_NS);
	close_due(f, &f->idle, FLOW_IDLE_NS);
	flow = flow_table_find(&f->table, hash, kind, &p->from, &p->to, &side);
	if (flow && is_reused(f, flow, side, p)) {
		if (!(p->flags & PACKET_SYN) && !flow->close_ns)
			return f->failed; /* nobody knows whose it is */
		flow_close(f, flow);
		flow = NULL;
	}
	if (!flow) {
		flow = flow_begin(f, kind, p, hash);
		side = 0;
	}
	if (!flow)
		return f->failed;
	if (kind == PACKET_TCP)
		tcp_packet(f, flow, side, p);
	else
		udp_packet(f, flow, side, p);
	return f->failed;
}
