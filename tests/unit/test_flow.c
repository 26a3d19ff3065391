/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation of known bytes, told by packets: every byte comes once, in order, and a reply
 * comes behind its request - whatever the capture did to the packets.
 */
#include "capture/packet/flow.h"

#include "check.h"

#define PACKETS_MAX 4096
#define STREAM_MAX (1 << 20)
#define MS 1000000LL
#define CLIENT_ISN 0xffffff00u /* its stream wraps soon */
#define SERVER_ISN 77u
#define ROUNDS 100
#define REQUEST 40
#define REPLY 2500 /* in two segments */
#define MSS 1448

/* Byte number `at` of a stream. */
static uint8_t byte_of(bool reply, uint32_t at)
{
	return (uint8_t)((at * 2654435761u >> 13) + reply);
}

struct capture {
	struct packet packets[PACKETS_MAX];
	size_t count;
	uint8_t streams[2][STREAM_MAX]; /* of the client, of the server */
	uint32_t sent[2], acked[2];
	uint16_t id;
	int64_t ns;
};

static struct capture *capture_new(void)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	for (uint32_t i = 0; i < STREAM_MAX; i++) {
		c->streams[0][i] = byte_of(false, i);
		c->streams[1][i] = byte_of(true, i);
	}
	c->ns = 1000 * MS;
	return c;
}

static void set_end(struct packet_end *end, uint8_t host, uint16_t port)
{
	memset(end, 0, sizeof(*end));
	end->address[10] = end->address[11] = 0xff;
	end->address[15] = host;
	end->port = port;
}

static struct packet *add(struct capture *c, bool reply, unsigned flags, uint32_t bytes)
{
	struct packet *p = &c->packets[c->count++];
	uint32_t isn = reply ? SERVER_ISN : CLIENT_ISN;

	*p = (struct packet){ .ns = c->ns, .flags = (uint8_t)flags, .window = 100 };
	set_end(&p->from, reply ? 2 : 1, reply ? 6379 : 40000);
	set_end(&p->to, reply ? 1 : 2, reply ? 40000 : 6379);
	p->seq = isn + !(flags & PACKET_SYN) + c->sent[reply];
	p->ack = (reply ? CLIENT_ISN : SERVER_ISN) + 1 + c->sent[!reply];
	if (!(flags & PACKET_ACK))
		p->ack = 0;
	p->mark = ++c->id;
	p->payload = c->streams[reply] + c->sent[reply];
	p->total = p->seen = bytes;
	c->sent[reply] += bytes;
	c->ns += MS / 100;
	return p;
}

static void add_handshake(struct capture *c)
{
	add(c, false, PACKET_SYN, 0);
	add(c, true, PACKET_SYN | PACKET_ACK, 0);
	add(c, false, PACKET_ACK, 0);
}

static void add_rounds(struct capture *c, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		add(c, false, PACKET_ACK, REQUEST);
		for (uint32_t left = REPLY; left; left -= left < MSS ? left : MSS)
			add(c, true, PACKET_ACK, left < MSS ? left : MSS);
		add(c, false, PACKET_ACK, 0);
	}
}

static void add_close(struct capture *c)
{
	add(c, false, PACKET_ACK | PACKET_FIN, 0);
	add(c, true, PACKET_ACK | PACKET_FIN, 0)->ack++;
	add(c, false, PACKET_ACK, 0)->ack++;
	c->packets[c->count - 1].seq++;
}

static struct capture *whole_capture(void)
{
	struct capture *c = capture_new();

	add_handshake(c);
	add_rounds(c, ROUNDS);
	add_close(c);
	return c;
}

/* What the sink was told. */
struct told {
	const struct capture *capture;
	struct flow last;
	uint32_t at[2], first[2]; /* offsets in the streams */
	uint64_t bytes[2], gaps;
	int opened, closed, ended[2];
	bool wrong, early; /* a byte that is not what was sent; a reply before its request */
};

static void on_opened(void *arg, struct flow *flow)
{
	struct told *t = arg;

	t->opened++;
	for (int reply = 0; reply < 2; reply++)
		t->at[reply] = flow->side[reply ? !flow->client : flow->client].next -
			       (reply ? SERVER_ISN : CLIENT_ISN) - 1;
	t->first[0] = t->at[0];
	t->first[1] = t->at[1];
}

static void on_bytes(void *arg, struct flow *flow, bool reply, const struct flow_chunk *chunk)
{
	struct told *t = arg;
	/* on the heap and exact, so that ASan sees reads beyond */
	uint8_t *seen = malloc(chunk->seen + !chunk->seen);

	if (chunk->seen)
		memcpy(seen, chunk->bytes, chunk->seen);
	for (size_t i = 0; i < chunk->seen; i++)
		t->wrong |= seen[i] != byte_of(reply, t->at[reply] + (uint32_t)i);
	free(seen);
	t->wrong |= chunk->gap && chunk->seen;
	t->at[reply] += (uint32_t)chunk->total;
	t->bytes[reply] += chunk->total;
	t->gaps += chunk->gap;
	/* a reply's last byte is behind its request's */
	t->early |= reply && t->at[1] / REPLY > t->at[0] / REQUEST;
}

static void on_ended(void *arg, struct flow *flow, bool reply, int64_t ns)
{
	struct told *t = arg;

	t->ended[reply]++;
}

static void on_closed(void *arg, struct flow *flow)
{
	struct told *t = arg;

	t->closed++;
	t->last = *flow;
}

static struct flows_counts run_with(const struct capture *c, struct told *t,
				    enum flow_server (*server_of)(void *arg,
								  const struct packet_end ends[2]))
{
	const struct flows_opts opts = {
		.seed = 42,
		.max = 1000,
		.sink = { on_opened, on_bytes, on_ended, on_closed, t },
		.server_of = server_of,
	};
	struct flows *f = flows_new(&opts);
	struct flows_counts counts;

	*t = (struct told){ .capture = c };
	for (size_t i = 0; i < c->count; i++)
		CHECK_EQ(flows_packet(f, PACKET_TCP, &c->packets[i]), 0);
	flows_finish(f);
	counts = *flows_counts(f);
	CHECK_EQ(flows_open(f), 0);
	flows_free(f);
	return counts;
}

static struct flows_counts run(const struct capture *c, struct told *t)
{
	return run_with(c, t, NULL);
}

static void check_whole(const struct told *t)
{
	CHECK_EQ(t->opened, 1);
	CHECK_EQ(t->closed, 1);
	CHECK_EQ(t->bytes[0], ROUNDS * REQUEST);
	CHECK_EQ(t->bytes[1], ROUNDS * REPLY);
	CHECK(!t->wrong && !t->early);
	CHECK_EQ(t->ended[0], 1);
	CHECK_EQ(t->ended[1], 1);
}

static void test_whole(void)
{
	struct capture *c = whole_capture();
	struct told t;
	struct flows_counts counts = run(c, &t);

	check_whole(&t);
	CHECK_EQ(counts.flows, 1);
	CHECK_EQ(counts.gaps + counts.reordered + counts.retransmissions + counts.duplicates, 0);
	CHECK_EQ(t.last.open_ns, 1000 * MS);
	CHECK_EQ(t.last.handshake_ns, MS / 50);
	CHECK_EQ(t.last.client, 0);
	CHECK(!t.last.client_guessed);
	CHECK_EQ(t.last.side[0].min_rtt_ns, MS / 100);
	CHECK(t.last.close_ns);
	free(c);
}

static void test_duplicates(void)
{
	struct capture *c = whole_capture(), *twice = capture_new();
	struct told t;
	struct flows_counts counts;

	for (size_t i = 0; i < 2 * c->count; i++)
		twice->packets[twice->count++] = c->packets[i / 2];
	counts = run(twice, &t);
	check_whole(&t);
	CHECK_EQ(counts.duplicates, c->count);
	CHECK_EQ(counts.gaps + counts.retransmissions, 0);
	free(c);
	free(twice);
}

/* Packets change places within 10 ms; their stamps are those of their new places. */
static void shuffle(struct capture *c, unsigned seed)
{
	unsigned short state[3] = { seed, 1, 2 };

	for (size_t from = 0, to; from < c->count; from = to) {
		for (to = from; to < c->count && c->packets[to].ns - c->packets[from].ns < 10 * MS;)
			to++;
		for (size_t i = to - 1; i > from; i--) {
			size_t j = from + nrand48(state) % (i - from + 1);
			struct packet kept = c->packets[i];
			int64_t ns = kept.ns;

			c->packets[i] = c->packets[j];
			kept.ns = c->packets[j].ns;
			c->packets[i].ns = ns;
			c->packets[j] = kept;
		}
	}
}

static void test_shuffled(void)
{
	for (unsigned seed = 0; seed < 50; seed++) {
		struct capture *c = whole_capture();
		struct told t;
		struct flows_counts counts;

		/* so slow that no more packets than may wait are in 10 ms */
		for (size_t i = 0; i < c->count; i++)
			c->packets[i].ns += (int64_t)i * MS / 5;
		shuffle(c, seed);
		counts = run(c, &t);
		check_case("seed %u", seed);
		check_whole(&t);
		CHECK_EQ(counts.gaps, 0);
		CHECK(counts.reordered > 0);
		free(c);
	}
}

/* Every 7th is missing, from the first, the second ... : what was acknowledged is a gap. */
static void test_dropped(void)
{
	for (size_t phase = 0; phase < 7; phase++) {
		struct capture *c = whole_capture();
		struct told t;
		struct flows_counts counts;
		size_t kept = 0, lost = 0;

		for (size_t i = 0; i < c->count; i++) {
			if (i % 7 == phase)
				lost += c->packets[i].total > 0;
			else
				c->packets[kept++] = c->packets[i];
		}
		c->count = kept;
		counts = run(c, &t);
		check_case("phase %zu", phase);
		CHECK_EQ(t.opened, 1);
		CHECK_EQ(t.closed, 1);
		CHECK_EQ(t.bytes[0] + t.first[0], ROUNDS * REQUEST);
		CHECK_EQ(t.bytes[1] + t.first[1], ROUNDS * REPLY);
		CHECK(!t.wrong && !t.early);
		CHECK(counts.gaps <= lost && counts.gaps >= lost / 2);
		CHECK_EQ(counts.retransmissions, 0);
		free(c);
	}
}

/* Bytes come again: as they were, with others, one too early. */
static void test_overlaps(void)
{
	struct capture *c = capture_new();
	struct packet *p;
	struct told t;
	struct flows_counts counts;

	add_handshake(c);
	add(c, false, PACKET_ACK, 40);
	c->sent[0] = 0;
	add(c, false, PACKET_ACK, 40); /* the same */
	c->sent[0] = 20;
	add(c, false, PACKET_ACK, 60); /* half old */
	c->sent[0] = 100;
	add(c, false, PACKET_ACK, 20); /* before its turn */
	c->sent[0] = 70;
	add(c, false, PACKET_ACK, 40);
	c->sent[0] = 119;
	p = add(c, false, PACKET_ACK, 1); /* a keep-alive with a byte of anything */
	p->payload = (const uint8_t *)"?";
	add(c, true, PACKET_ACK | PACKET_RST, 0);
	counts = run(c, &t);
	CHECK_EQ(t.bytes[0], 120);
	CHECK(!t.wrong);
	CHECK_EQ(counts.retransmissions, 4);
	CHECK_EQ(counts.keep_alives, 1);
	CHECK_EQ(counts.reordered, 1);
	CHECK_EQ(t.last.side[0].retransmitted, 4);
	CHECK(t.last.reset);
	free(c);
}

/* The connection is older than the capture. */
static void test_mid_stream(void)
{
	for (size_t from = 3; from < 20; from++) {
		struct capture *c = whole_capture();
		struct told t;
		struct flows_counts counts;

		c->count -= from;
		memmove(c->packets, c->packets + from, c->count * sizeof(c->packets[0]));
		counts = run(c, &t);
		check_case("from packet %zu", from);
		CHECK_EQ(t.opened, 1);
		CHECK_EQ(t.bytes[0] + t.first[0], ROUNDS * REQUEST);
		CHECK_EQ(t.bytes[1] + t.first[1], ROUNDS * REPLY);
		CHECK(!t.wrong && !t.early);
		CHECK_EQ(counts.mid_stream, 1);
		CHECK_EQ(counts.gaps, 0);
		CHECK_EQ(t.last.open_ns, 0);
		/* the lower port serves */
		CHECK_EQ(t.last.end[!t.last.client].port, 6379);
		free(c);
	}
}

/* What waits does so for 50 ms, though its own connection has no further packet. */
static void test_waits_end(void)
{
	struct capture *c = whole_capture();
	struct told t = { .capture = c };
	const struct flows_opts opts = { .max = 1000,
					 .sink = { on_opened, on_bytes, on_ended, on_closed, &t } };
	struct flows *f = flows_new(&opts);
	struct packet other = { .flags = PACKET_SYN };

	set_end(&other.from, 3, 40001);
	set_end(&other.to, 2, 6379);
	for (size_t i = 3; i < 6; i++) { /* a request and its reply: nobody knows what was before */
		CHECK_EQ(flows_packet(f, PACKET_TCP, &c->packets[i]), 0);
		other.ns = c->packets[i].ns;
	}
	CHECK_EQ(t.bytes[0], 0);
	other.ns += FLOW_REORDER_NS / 2;
	CHECK_EQ(flows_packet(f, PACKET_TCP, &other), 0);
	CHECK_EQ(t.bytes[0], 0);
	other.ns += FLOW_REORDER_NS;
	CHECK_EQ(flows_packet(f, PACKET_TCP, &other), 0);
	CHECK_EQ(t.bytes[0], REQUEST);
	CHECK_EQ(t.bytes[1], REPLY);
	flows_finish(f);
	flows_free(f);
	free(c);
}

/* One direction alone: what the other sent is known by its length. */
static void test_one_direction(void)
{
	struct capture *c = whole_capture();
	struct told t;
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++)
		if (c->packets[i].from.port == 40000)
			c->packets[kept++] = c->packets[i];
	c->count = kept;
	run(c, &t);
	CHECK_EQ(t.bytes[0], ROUNDS * REQUEST);
	CHECK_EQ(t.bytes[1], ROUNDS * REPLY);
	CHECK(!t.wrong && !t.early);
	CHECK_EQ(t.gaps, ROUNDS);
	free(c);
}

/* The same ports, again and again: each handshake is a connection of its own. */
static void test_port_reuse(void)
{
	struct capture *c = capture_new();
	struct told t;
	struct flows_counts counts;

	for (uint32_t i = 0; i < 10; i++) {
		size_t from = c->count;

		c->sent[0] = c->sent[1] = 0;
		add_handshake(c);
		add_rounds(c, 2);
		if (i % 2)
			add_close(c);
		for (size_t k = from; k < c->count; k++) {
			bool reply = c->packets[k].from.port == 6379;

			/* their numbers are others, and wrap */
			c->packets[k].seq += (reply ? 7u : 11u) * i << 26;
			if (c->packets[k].flags & PACKET_ACK)
				c->packets[k].ack += (reply ? 11u : 7u) * i << 26;
		}
	}
	counts = run(c, &t);
	CHECK_EQ(t.opened, 10);
	CHECK_EQ(t.closed, 10);
	CHECK_EQ(t.bytes[0], 10 * 2 * REQUEST);
	CHECK_EQ(t.bytes[1], 10 * 2 * REPLY);
	CHECK_EQ(counts.gaps, 0);
	free(c);
}

/* What comes behind the end of a connection begins none. */
static void test_strays(void)
{
	struct capture *c = whole_capture();
	struct told t;
	struct flows_counts counts;

	c->ns += 2 * FLOW_LINGER_NS;
	add(c, false, PACKET_ACK, 0);
	add(c, false, PACKET_ACK | PACKET_FIN, 0);
	add(c, true, PACKET_RST, 0);
	counts = run(c, &t);
	check_whole(&t);
	CHECK_EQ(counts.flows, 1);
	CHECK_EQ(counts.strays, 3);
	free(c);
}

static enum flow_server serves_6379(void *arg, const struct packet_end ends[2])
{
	if (ends[0].port == 6379)
		return FLOW_SERVER_FIRST;
	return ends[1].port == 6379 ? FLOW_SERVER_SECOND : FLOW_SERVER_NONE;
}

static enum flow_server serves_80(void *arg, const struct packet_end ends[2])
{
	return FLOW_SERVER_NONE;
}

static void test_who_serves(void)
{
	struct capture *c = whole_capture();
	struct told t;
	struct flows_counts counts;

	run_with(c, &t, serves_6379);
	check_whole(&t);
	counts = run_with(c, &t, serves_80);
	CHECK_EQ(t.opened, 0);
	CHECK_EQ(counts.ignored, c->count);
	free(c);
}

/* More at once than there may be: the oldest go, and are told. */
static void test_limit(void)
{
	struct told t = { 0 };
	const struct flows_opts opts = {
		.seed = 1,
		.max = 100,
		.sink = { on_opened, on_bytes, on_ended, on_closed, &t },
	};
	struct flows *f = flows_new(&opts);
	struct capture *c = capture_new();

	add_handshake(c);
	for (uint16_t i = 0; i < 5000; i++)
		for (size_t k = 0; k < c->count; k++) {
			struct packet p = c->packets[k];

			*(p.from.port == 6379 ? &p.to.port : &p.from.port) = 1000 + i;
			p.ns += i * MS;
			CHECK_EQ(flows_packet(f, PACKET_TCP, &p), 0);
		}
	CHECK_EQ(flows_open(f), 100);
	CHECK_EQ(flows_counts(f)->evicted, 4900);
	CHECK_EQ(t.closed, 4900);
	flows_finish(f);
	CHECK_EQ(t.closed, 5000);
	flows_free(f);
	free(c);
}

int main(void)
{
	RUN(test_whole);
	RUN(test_duplicates);
	RUN(test_shuffled);
	RUN(test_dropped);
	RUN(test_overlaps);
	RUN(test_mid_stream);
	RUN(test_waits_end);
	RUN(test_one_direction);
	RUN(test_port_reuse);
	RUN(test_strays);
	RUN(test_who_serves);
	RUN(test_limit);
	return check_done();
}
