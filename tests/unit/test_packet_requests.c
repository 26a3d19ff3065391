/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations in packets: as many requests as were asked, of as many bytes, whatever is lost. */
#include "capture/packet/requests.h"

#include "check.h"
#include "framed.h"

#include "trace/schema.h"

/* The same that framers are tested with: what they find there, requests are made of. */
struct conversation {
	const char *name, *protocol, *marks;
	bool lost, closed;
	struct step steps[16];
};
#include "conversations.h"

#define START_NS 1000000000LL
#define ROWS_MAX 4096
#define HIDDEN_MAX (1 << 20)
#define US 1000LL

/* The wire between a client and a service, and what is made of what goes over it. */
struct link {
	struct requests *requests;
	struct flows *flows;
	struct row_request rows[ROWS_MAX];
	struct row_connection connections[16];
	struct row_class classes[64];
	size_t rows_count, connections_count, classes_count;
	uint32_t sent[2]; /* by the client, by the service */
	int64_t ns;
	uint16_t id, window;
	size_t snap;		/* of a payload so many bytes are captured */
	unsigned lose, counted; /* every so manieth packet with payload is not captured; 0: none */
	uint8_t kind;
	bool unnumbered; /* packets have no IP identification, and one checksum */
};

static int write_row(void *arg, enum trace_table table, const void *row)
{
	struct link *l = arg;

	if (table == TABLE_REQUESTS && l->rows_count < ROWS_MAX)
		l->rows[l->rows_count++] = *(const struct row_request *)row;
	if (table == TABLE_CONNECTIONS && l->connections_count < 16)
		l->connections[l->connections_count++] = *(const struct row_connection *)row;
	if (table == TABLE_CLASSES && l->classes_count < 64)
		l->classes[l->classes_count++] = *(const struct row_class *)row;
	return 0;
}

static struct link *link_new(uint8_t kind)
{
	struct link *l = calloc(1, sizeof(*l));
	const struct row_sink rows = { write_row, l };
	struct flows_opts opts = { .max = 100 };

	l->kind = kind;
	l->snap = SIZE_MAX;
	l->window = 100;
	l->ns = START_NS;
	l->requests = requests_new(START_NS, &rows);
	opts.sink = requests_flow_sink(l->requests);
	l->flows = flows_new(&opts);
	return l;
}

static void link_finish(struct link *l)
{
	flows_finish(l->flows);
	CHECK_EQ(requests_finish(l->requests), 0);
}

static void link_free(struct link *l)
{
	flows_free(l->flows);
	requests_free(l->requests);
	free(l);
}

static uint64_t ledger(const struct link *l, enum ledger_entry entry)
{
	return requests_ledger(l->requests)->count[entry];
}

static void send_packet(struct link *l, bool reply, unsigned flags, const void *bytes, size_t seen,
			size_t total)
{
	const struct packet_end ends[2] = {
		{ { [10] = 0xff, 0xff, 10, 0, 0, 1 }, 40000 },
		{ { [10] = 0xff, 0xff, 10, 0, 0, 2 }, 7000 },
	};
	uint32_t syn = !(flags & PACKET_SYN);
	struct packet p = {
		.ns = l->ns,
		.from = ends[reply],
		.to = ends[!reply],
		.seq = l->kind == PACKET_UDP ? 0 : 1000u * (reply + 1) + syn + l->sent[reply],
		.ack = flags & PACKET_ACK ? 1000u * (!reply + 1) + 1 + l->sent[!reply] : 0,
		.mark = l->unnumbered ? 7 : (unsigned)++l->id << 16,
		.window = l->window,
		.flags = (uint8_t)flags,
		.payload = bytes,
		.total = (uint32_t)total,
		.seen = (uint32_t)(seen < l->snap ? seen : l->snap),
	};

	l->sent[reply] += (uint32_t)total;
	l->ns += US;
	if (l->lose && total && !(++l->counted % l->lose))
		return;
	CHECK_EQ(flows_packet(l->flows, l->kind, &p), 0);
}

static void handshake(struct link *l)
{
	send_packet(l, false, PACKET_SYN, NULL, 0, 0);
	send_packet(l, true, PACKET_SYN | PACKET_ACK, NULL, 0, 0);
	send_packet(l, false, PACKET_ACK, NULL, 0, 0);
}

static void say(struct link *l, bool reply, const char *text)
{
	send_packet(l, reply, PACKET_ACK, text, strlen(text), strlen(text));
}

static void end(struct link *l)
{
	send_packet(l, true, PACKET_FIN | PACKET_ACK, NULL, 0, 0);
	send_packet(l, false, PACKET_FIN | PACKET_ACK, NULL, 0, 0);
}

/* In segments of `mss` bytes; the steps of a conversation are visible as far as they say. */
static void say_step(struct link *l, const struct step *s, size_t mss)
{
	size_t total = s->len + s->hidden;

	for (size_t at = 0; at < total; at += mss) {
		size_t n = total - at < mss ? total - at : mss;

		send_packet(l, s->side == FRAMER_OUT, PACKET_ACK, s->bytes + (at < s->len ? at : 0),
			    step_seen(s, at, at + n), n);
	}
}

static size_t count_marks(const char *marks, char kind)
{
	size_t n = 0;

	for (; *marks; marks++)
		n += *marks == kind && strchr("<>0123456789 ", marks[-1]);
	return n;
}

static void test_conversations(void)
{
	static const size_t sizes[] = { 1, 7, 1448, 65536 };

	for (size_t i = 0; i < ARRAY_SIZE(conversations) * ARRAY_SIZE(sizes); i++) {
		const struct conversation *c = &conversations[i / ARRAY_SIZE(sizes)];
		size_t mss = sizes[i % ARRAY_SIZE(sizes)], hidden = 0;
		struct link *l;

		for (const struct step *s = c->steps; s->bytes; s++)
			hidden += s->hidden;
		if (c->lost || hidden > HIDDEN_MAX)
			continue;
		l = link_new(PACKET_TCP);
		handshake(l);
		for (const struct step *s = c->steps; s->bytes; s++)
			say_step(l, s, mss);
		end(l);
		link_finish(l);
		check_case("%s: %s, in segments of %zu", c->protocol, c->name, mss);
		CHECK_EQ(l->rows_count, count_marks(c->marks, 'Q'));
		CHECK_MEM(l->connections[0].protocol, c->protocol,
			  strnlen(c->protocol, sizeof(l->connections[0].protocol) - 1));
		link_free(l);
	}
}

/* Times are those of the first and last packets; a pause between two is the client's. */
static void test_times(void)
{
	struct link *l = link_new(PACKET_TCP);

	handshake(l);		       /* 0, 1, 2 us */
	say(l, false, "*1\r\n$4\r\n"); /* 3 us */
	say(l, false, "PING\r\n");
	l->ns += 100 * US;
	say(l, true, "+PO"); /* 105 us */
	say(l, true, "NG\r\n");
	l->ns += 1000 * US;
	say(l, false, "PING\r\n"); /* 1107 us */
	say(l, true, "+PONG\r\n");
	end(l);
	link_finish(l);
	CHECK_EQ(l->rows_count, 2);
	CHECK_EQ(l->rows[0].arrival_ns, 3 * US);
	CHECK_EQ(l->rows[0].request_end_ns, 4 * US);
	CHECK_EQ(l->rows[0].write_ns, 105 * US);
	CHECK_EQ(l->rows[0].end_ns, 106 * US);
	CHECK_EQ(l->rows[0].read_ns, TRACE_NONE);
	CHECK_EQ(l->rows[0].request_bytes, 14);
	CHECK_EQ(l->rows[0].response_bytes, 7);
	CHECK_EQ(l->rows[0].confidence, 100);
	CHECK_EQ(l->rows[1].after_request, 1);
	CHECK_EQ(l->rows[1].think_ns, 1001 * US);
	CHECK_EQ(l->connections_count, 1);
	CHECK_EQ(l->connections[0].requests, 2);
	CHECK_EQ(l->connections[0].open_ns, 0);
	CHECK_EQ(l->connections[0].close_ns, 1110 * US);
	CHECK_STR(l->connections[0].local, "10.0.0.2:7000");
	CHECK_STR(l->connections[0].remote, "10.0.0.1:40000");
	CHECK_STR(l->connections[0].peer_class, "local");
	CHECK_EQ(l->classes_count, 1);
	CHECK_STR(l->classes[0].name, "PING");
	link_free(l);
}

/* Nobody knows the protocol: runs of bytes, and what the service says first is no reply. */
/* What the wire says of a connection: 40 us from the capture to the service and back, 300 to the client. */
static void test_wire(void)
{
	struct link *l = link_new(PACKET_TCP);
	const struct row_wire *wire = &l->connections[0].wire;

	send_packet(l, false, PACKET_SYN, NULL, 0, 0); /* each packet takes 1 us */
	l->ns += 39 * US;
	send_packet(l, true, PACKET_SYN | PACKET_ACK, NULL, 0, 0);
	l->ns += 299 * US;
	send_packet(l, false, PACKET_ACK, NULL, 0, 0);
	say(l, false, "PING\r\n");
	l->ns += 59 * US;
	say(l, true, "+PONG\r\n");
	l->sent[1] -= 7;
	say(l, true, "+PONG\r\n");
	l->ns += 400 * US;
	l->window = 0;
	send_packet(l, false, PACKET_ACK, NULL, 0, 0);
	l->window = 100;
	send_packet(l, false, PACKET_ACK, NULL, 0, 0);
	end(l);
	send_packet(l, true, PACKET_FIN | PACKET_ACK, NULL, 0, 0);
	link_finish(l);
	CHECK_STR(l->connections[0].transport, "tcp");
	CHECK_STR(wire->ended, "fin");
	CHECK_EQ(wire->handshake_ns, 340 * US);
	CHECK_EQ(wire->server_min_rtt_ns, 40 * US);
	CHECK_EQ(wire->server_srtt_ns, 40 * US + 20 * US / 8); /* the next took 60 */
	CHECK_EQ(wire->client_min_rtt_ns, 300 * US);
	CHECK_EQ(wire->client_srtt_ns, 300 * US); /* what was sent twice times nothing */
	CHECK_EQ(l->connections[0].min_rtt_ns, 340 * US);
	CHECK_EQ(wire->packets_in, 6);
	CHECK_EQ(wire->packets_out, 5);
	CHECK_EQ(wire->bytes_in, 6);
	CHECK_EQ(wire->bytes_out, 7);
	CHECK_EQ(wire->retransmitted_in, 0);
	CHECK_EQ(wire->retransmitted_out, 2); /* the reply, the FIN */
	CHECK_EQ(wire->zero_windows_in, 1);
	CHECK_EQ(wire->zero_windows_out, 0);
	CHECK_STR(wire->tls_version, "");
	CHECK_EQ(wire->tls_records_in, TRACE_NONE);
	link_free(l);

	l = link_new(PACKET_TCP);
	wire = &l->connections[0].wire;
	send_packet(l, false, PACKET_SYN, NULL, 0, 0);
	l->ns += 1000000 * US;
	send_packet(l, false, PACKET_SYN, NULL, 0, 0);
	send_packet(l, true, PACKET_SYN | PACKET_ACK, NULL, 0, 0);
	send_packet(l, false, PACKET_ACK, NULL, 0, 0);
	say(l, false, "PING\r\n");
	send_packet(l, true, PACKET_RST | PACKET_ACK, NULL, 0, 0);
	link_finish(l);
	CHECK_STR(wire->ended, "rst");
	CHECK_EQ(wire->handshake_ns, 1000003 * US);
	CHECK_EQ(wire->retransmitted_in, 1);
	CHECK_EQ(wire->client_min_rtt_ns, TRACE_NONE); /* which SYN was answered? */
	link_free(l);
}

/* What s_client and s_server of openssl said (test_packet_tls.c), in segments, on a connection that is up. */
static void say_session(struct link *l, const char *name)
{
	uint8_t bytes[8192];
	char path[300];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "%s/corpus/tls/%s", GAIT_TEST_DATA, name);
	file = fopen(path, "r");
	if (!CHECK(file != NULL))
		return;
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	for (size_t at = 0, n; at + 3 < len; at += 3 + n) {
		n = (size_t)bytes[at + 1] << 8 | bytes[at + 2];
		send_packet(l, bytes[at], PACKET_ACK, bytes + at + 3, n, n);
	}
}

/* TLS from the first byte, or after the words by which PostgreSQL and MySQL are asked for it. */
static void test_tls(void)
{
	static const struct {
		const char *name, *greeting, *ask, *answer, *protocol;
		size_t ask_len, requests;
	} cases[] = {
		{ "at once", NULL, NULL, NULL, "", 0, 1 },
		{ "postgresql", NULL, "\0\0\0\10\4\322\26\57", "S", "postgresql", 8, 2 },
		{ "mysql",
		  "\x4a\0\0\0\12"
		  "8.0.36\0...",
		  "\40\0\0\1\x85\xae\xff\x19"
		  "0000000000000000000000000000",
		  NULL, "", 36, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct link *l = link_new(PACKET_TCP);
		const struct row_connection *row = &l->connections[0];

		check_case("%s", cases[i].name);
		handshake(l);
		if (cases[i].greeting)
			send_packet(l, true, PACKET_ACK, cases[i].greeting, 14, 78);
		if (cases[i].ask)
			send_packet(l, false, PACKET_ACK, cases[i].ask, cases[i].ask_len,
				    cases[i].ask_len);
		if (cases[i].answer)
			say(l, true, cases[i].answer);
		say_session(l, "openssl-1.2-http");
		end(l);
		link_finish(l);
		CHECK_EQ(row->tls, 1);
		CHECK_STR(row->wire.tls_version, "1.2");
		CHECK_STR(row->wire.tls_alpn, "http/1.1");
		CHECK_EQ(row->wire.tls_records_in, 1);
		CHECK_EQ(row->wire.tls_record_bytes_out, 36);
		CHECK_EQ(l->rows_count, cases[i].requests);
		link_free(l);
	}
}

static void test_turns(void)
{
	struct link *l = link_new(PACKET_TCP);

	handshake(l);
	say(l, true, "welcome\n");
	for (int i = 0; i < 10; i++) {
		say(l, false, "\1\2\3");
		say(l, false, "\1\2\3");
		say(l, true, "\3\2\1");
		say(l, true, "\3\2\1");
	}
	say(l, false, "\1\2\3");
	end(l);
	link_finish(l);
	CHECK_EQ(l->rows_count, 11);
	for (size_t i = 0; i < 10; i++) {
		CHECK_EQ(l->rows[i].request_bytes, 6);
		CHECK_EQ(l->rows[i].response_bytes, 6);
		CHECK_EQ(l->rows[i].confidence, 90);
	}
	CHECK_STR(l->rows[10].status, "unanswered");
	CHECK_EQ(ledger(l, LG_REQUESTS_UNANSWERED), 1);
	CHECK_EQ(ledger(l, LG_REPLIES_UNPAIRED), 1);
	CHECK_STR(l->classes[0].name, "requests");
	link_free(l);
}

#define PINGS 200

static struct link *pings(size_t snap, unsigned lose, bool pipelined)
{
	struct link *l = link_new(PACKET_TCP);

	l->snap = snap;
	l->lose = lose;
	handshake(l);
	for (int i = 0; i < PINGS; i++) {
		say(l, false, "*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n");
		if (pipelined)
			say(l, false, "*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n");
		say(l, true, "$5\r\nworld\r\n");
		if (pipelined)
			say(l, true, "$5\r\nworld\r\n");
	}
	end(l);
	link_finish(l);
	return l;
}

/* One at a time, the count is exact though headers are cut, or packets are not there at all. */
static void test_cut_and_lost(void)
{
	static const size_t snaps[] = { 0, 2, 14, 30 };
	struct link *l;

	for (size_t i = 0; i < ARRAY_SIZE(snaps); i++) {
		check_case("%zu bytes of payload seen", snaps[i]);
		l = pings(snaps[i], 0, false);
		CHECK_EQ(l->rows_count, PINGS);
		CHECK_EQ(l->rows[0].request_bytes, 24);
		CHECK_EQ(l->rows[PINGS - 1].response_bytes, 11);
		CHECK_EQ(ledger(l, LG_REQUESTS_GAPPED), 0);
		link_free(l);
		l = pings(snaps[i], 0, true);
		CHECK(l->rows_count <= 2 * PINGS && l->rows_count >= PINGS);
		link_free(l);
	}
	for (unsigned lose = 2; lose < 12; lose++) {
		uint64_t bytes = 0;

		check_case("every %uth lost", lose);
		l = pings(SIZE_MAX, lose, false);
		for (size_t i = 0; i < l->rows_count; i++)
			bytes += l->rows[i].request_bytes;
		/* the last may be gone with its reply */
		CHECK(l->rows_count == PINGS || l->rows_count == PINGS - 1);
		CHECK_EQ(bytes, l->rows_count * 24);
		CHECK(ledger(l, LG_REQUESTS_GAPPED) >= PINGS / lose);
		link_free(l);
		l = pings(SIZE_MAX, lose, true);
		CHECK(l->rows_count <= 2 * PINGS && l->rows_count >= PINGS / 2);
		link_free(l);
	}
}

/* One direction of a connection, many requests in each segment: what waits for an answer is limited. */
static void test_unanswered(void)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	struct link *l = link_new(PACKET_TCP);
	char text[100 * sizeof(ping)] = "";

	for (int i = 0; i < 100; i++)
		memcpy(text + i * (sizeof(ping) - 1), ping, sizeof(ping) - 1);
	handshake(l);
	for (int i = 0; i < 800; i++)
		say(l, false, text);
	CHECK_EQ(ledger(l, LG_REQUESTS), 80000);
	CHECK(ledger(l, LG_REQUESTS) - ledger(l, LG_REQUESTS_UNANSWERED) <= 65536 + 100);
	link_finish(l);
	link_free(l);
}

static void test_datagrams(void)
{
	static const char query[] = "\0\7\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";
	static const char answer[] = "\0\7\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";
	struct link *l = link_new(PACKET_UDP);

	for (int i = 0; i < 3; i++) {
		send_packet(l, false, 0, query, sizeof(query) - 1, sizeof(query) - 1);
		send_packet(l, true, 0, answer, sizeof(answer) - 1, sizeof(answer) - 1);
	}
	for (int i = 0; i < 300; i++)
		send_packet(l, false, 0, "?", 1, 1);
	link_finish(l);
	CHECK_EQ(l->rows_count, 303);
	CHECK_EQ(l->rows[0].request_bytes, sizeof(query) - 1);
	CHECK_EQ(l->rows[2].response_bytes, sizeof(answer) - 1);
	CHECK_EQ(l->rows[0].confidence, 100);
	CHECK_STR(l->connections[0].protocol, "dns");
	CHECK_STR(l->classes[0].name, "query");
	CHECK_EQ(ledger(l, LG_REQUESTS_UNANSWERED), 300 - 256);
	CHECK_EQ(ledger(l, LG_OPEN_AT_END), 256);
	link_free(l);
}

/* A server that answers each request alike, its packets without a number, captured on two interfaces. */
static void test_datagrams_alike(void)
{
	for (int copies = 1; copies <= 2; copies++) {
		struct link *l = link_new(PACKET_UDP);

		check_case("captured %d times", copies);
		l->unnumbered = true;
		for (int i = 0; i < 2 * 5 * copies; i++)
			send_packet(l, i / copies % 2, 0, i / copies % 2 ? "OK" : "set", 2, 2);
		link_finish(l);
		CHECK_EQ(l->rows_count, 5);
		CHECK_EQ(l->rows[4].response_bytes, 2);
		CHECK_EQ(ledger(l, LG_OPEN_AT_END), 0);
		CHECK_EQ(flows_counts(l->flows)->duplicates, (copies - 1) * 2 * 5);
		link_free(l);
	}
}

int main(void)
{
	RUN(test_conversations);
	RUN(test_times);
	RUN(test_wire);
	RUN(test_tls);
	RUN(test_turns);
	RUN(test_cut_and_lost);
	RUN(test_unanswered);
	RUN(test_datagrams);
	RUN(test_datagrams_alike);
	return check_done();
}
