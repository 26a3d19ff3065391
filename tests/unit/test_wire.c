/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/net/wire.h"

#include <errno.h>

#define BUF_MAX (2 * WIRE_PAYLOAD_MAX)

/* Every byte of a record is different, so that a member lost or swapped shows. */
static void fill(void *record, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)record)[i] = (uint8_t)(i * 7 + 1);
}

/* The frame, copied to the end of a malloc of its size: ASan sees one byte too far. */
static int decode_copy(const struct buf *buf, size_t bytes, struct wire_frame *ret_frame,
		       uint8_t **ret_copy)
{
	*ret_copy = malloc(bytes ? bytes : 1);
	memcpy(*ret_copy, buf->data, bytes);
	return wire_frame_decode(*ret_copy, bytes, ret_frame, NULL);
}

/* One byte less, in the frame or in its payload, is never a frame. */
static void check_prefixes(const struct buf *buf)
{
	struct wire_frame frame;

	for (size_t bytes = 0; bytes < buf->len; bytes++) {
		uint8_t *copy;

		check_case("%zu of %zu bytes", bytes, buf->len);
		CHECK_EQ(decode_copy(buf, bytes, &frame, &copy), 0);
		free(copy);
	}
}

#define ROUND_TRIP(name, record, message)                                                \
	do {                                                                             \
		record back;                                                             \
		struct wire_frame frame;                                                 \
		struct buf buf;                                                          \
		uint8_t *copy;                                                           \
                                                                                         \
		memset(&back, 0, sizeof(back));                                          \
		buf_init(&buf, BUF_MAX);                                                 \
		CHECK_EQ(wire_put_##name(&buf, &(message)), 0);                          \
		check_prefixes(&buf);                                                    \
		check_case(#name);                                                       \
		CHECK_EQ(decode_copy(&buf, buf.len, &frame, &copy), (long long)buf.len); \
		CHECK_EQ(wire_get_##name(&frame, &back, NULL), 0);                       \
		CHECK_MEM(&back, &(message), sizeof(back));                              \
		frame.payload_bytes--;                                                   \
		CHECK_EQ(wire_get_##name(&frame, &back, NULL), -EPROTO);                 \
		free(copy);                                                              \
		buf_release(&buf);                                                       \
	} while (0)

/* What a session begins with. */
static void test_round_trips_of_a_session(void)
{
	static struct wire_hello hello = {
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.host = { .boot_id = "b00t", .cpus = 2, .realtime_offset_end_ns = -5 },
	};
	struct wire_start start = { 1, 0, 123456789 };
	struct wire_credit credit = { 1ull << 40, 2ull << 40 };
	struct wire_error error = { "no" };
	struct wire_clock clock = { 1ull << 40, 2ull << 40 };
	struct wire_share share = { 65535, 0, 4, 5 };
	struct wire_opening opening = { 1, 2, 3, 4 };
	struct wire_route route;

	fill(hello.secret, sizeof(hello.secret));
	fill(&route, sizeof(route));
	route.address[255] = 0;
	ROUND_TRIP(hello, struct wire_hello, hello);
	ROUND_TRIP(start, struct wire_start, start);
	ROUND_TRIP(credit, struct wire_credit, credit);
	ROUND_TRIP(error, struct wire_error, error);
	ROUND_TRIP(clock, struct wire_clock, clock);
	ROUND_TRIP(share, struct wire_share, share);
	ROUND_TRIP(opening, struct wire_opening, opening);
	ROUND_TRIP(route, struct wire_route, route);
}

static void test_round_trips_of_a_plan(void)
{
	struct wire_service service = { 7, 3, PLAN_BATCHING_RECORDED, 5000, 4, 0 };
	struct wire_target target = { 9, 1 << 20 };
	struct wire_connection connection = { 11, 2, 1, 1000 };
	struct wire_class class = { "small", 1, 2, 3, 0 };
	static struct plan_background background = {
		.due_ns = 5,
		.op = { .kind = OP_SYNC, .flags = OPF_DSYNC, .offset = TRACE_NONE },
	};

	ROUND_TRIP(service, struct wire_service, service);
	ROUND_TRIP(target, struct wire_target, target);
	ROUND_TRIP(connection, struct wire_connection, connection);
	ROUND_TRIP(class, struct wire_class, class);
	ROUND_TRIP(background, struct plan_background, background);
}

/* What a node has to say of a run. */
static void test_round_trips_of_rows(void)
{
	static struct wire_oprow oprow = {
		.call_id = 1,
		.kind = OP_STORE,
		.root_id = 1ull << 63,
		.call = UINT32_MAX,
		.offset = -1,
	};
	struct wire_ledger ledger = { "requests", 42 };
	struct wire_usage usage;
	struct wire_row row;

	fill(&row, sizeof(row));
	row.class = WIRE_CLASSES_MAX - 1;
	fill(&usage, sizeof(usage));
	ROUND_TRIP(row, struct wire_row, row);
	ROUND_TRIP(oprow, struct wire_oprow, oprow);
	ROUND_TRIP(ledger, struct wire_ledger, ledger);
	ROUND_TRIP(usage, struct wire_usage, usage);
}

/* What clients and their agents tell each other; the largest byte of most fields is too large. */
static void test_round_trips_of_agents(void)
{
	struct wire_live live = { 1ull << 33, 2, 3, 4 };
	struct wire_load load = { 16, 5, 6, 7, 1, 2 };
	struct wire_hist hist = { 3, 0, 1, 2, 3, 4 };
	struct wire_sender sender;
	struct wire_fact fact;
	struct wire_sent sent;
	struct wire_tally tally;
	struct wire_buckets buckets;

	fill(&sender, sizeof(sender));
	sender.requests = sender.sessions = 9;
	sender.threads = sender.first = sender.step = 7;
	sender.rate_step_ns = sender.timeout_ns = sender.connect_retry_ns = 5;
	sender.flags = WIRE_SENDER_FLAGS - 1;
	sender.size_bytes = sender.pace_bytes = sender.chain_bytes = WIRE_CHAIN_MAX;
	sender.classes = 256;
	sender.address[255] = 0;
	fill(&fact, sizeof(fact));
	for (size_t i = 0; i < 8; i++)
		(&fact.intended_ns)[i] &= INT64_MAX >> 3;
	fact.outcome = OUTCOME_COUNT - 1;
	fact.reserved = 0;
	fill(&sent, sizeof(sent));
	sent.received_ns = -1;
	sent.outcome = 3;
	sent.reserved = 0;
	fill(&tally, sizeof(tally));
	tally.failure[511] = 0;
	fill(&buckets, sizeof(buckets));
	buckets.which = 1;
	buckets.block = WIRE_BLOCKS - 1;
	ROUND_TRIP(sender, struct wire_sender, sender);
	ROUND_TRIP(live, struct wire_live, live);
	ROUND_TRIP(sent, struct wire_sent, sent);
	ROUND_TRIP(tally, struct wire_tally, tally);
	ROUND_TRIP(hist, struct wire_hist, hist);
	ROUND_TRIP(buckets, struct wire_buckets, buckets);
	ROUND_TRIP(load, struct wire_load, load);
	ROUND_TRIP(fact, struct wire_fact, fact);
}

static const struct plan_request get_request = {
	.request_id = 5,
	.connection_id = 6,
	.request_bytes = 30,
	.response_bytes = 5,
	.due_ns = 1000,
	.parent_id = 4,
	.ops_count = 2,
};

static const struct plan_op get_ops[] = {
	{ .op_id = 1, .kind = OP_COMPUTE, .owners = 1, .work = 3000, .offset = TRACE_NONE },
	{ .op_id = 2, .kind = OP_REPLY, .owners = 1, .bytes = 5, .offset = TRACE_NONE },
};

static void test_plan(void)
{
	struct plan_request request;
	struct plan_op ops[2];
	struct wire_frame frame;
	struct buf buf;

	memset(ops, 0, sizeof(ops));
	buf_init(&buf, BUF_MAX);
	CHECK_EQ(wire_put_plan(&buf, &get_request, get_ops), 0);
	check_prefixes(&buf);
	CHECK_EQ(wire_frame_decode((uint8_t *)buf.data, buf.len, &frame, NULL), (long long)buf.len);
	CHECK_EQ(wire_get_plan(&frame, &request, ops, 2, NULL), 0);
	CHECK_MEM(&request, &get_request, sizeof(request));
	CHECK_MEM(ops, get_ops, sizeof(ops));
	CHECK_EQ(wire_get_plan(&frame, &request, ops, 1, NULL), -E2BIG);
	frame.payload_bytes--; /* the count of ops and the length must agree */
	CHECK_EQ(wire_get_plan(&frame, &request, ops, 2, NULL), -EPROTO);
	buf_release(&buf);
}

/* What is on the wire stays what it is, whatever the machine. */
static void test_golden_bytes(void)
{
	static const uint8_t connection_bytes[] = {
		0, 0, 0, 24, 0, 4, 0, 0, /* payload bytes, CONNECTION, 0 */
		0, 0, 0, 0,  0, 0, 1, 2, /* connection_id */
		0, 0, 0, 3,  0, 0, 0, 1, /* thread, dependent */
		0, 0, 0, 0,  0, 0, 0, 9, /* requests */
	};
	static const uint8_t preface_bytes[WIRE_PREFACE_BYTES] = {
		'G', 'A', 'I', 'T', 0,	2,  0,	  0, /* magic, version, flags */
		1,   8,	  15,  22,  29, 36, 43,	  50,	57, 64, 71, 78, 85, 92, 99, 106, /* token */
		0,   0,	  0,   0,   0,	0,  0x12, 0x34, /* connection_id */
	};
	struct wire_connection connection = { 0x102, 3, 1, 9 };
	struct wire_preface preface = { .connection_id = 0x1234 };
	uint8_t bytes[WIRE_PREFACE_BYTES];
	struct buf buf;

	buf_init(&buf, BUF_MAX);
	wire_put_connection(&buf, &connection);
	CHECK_EQ(buf.len, sizeof(connection_bytes));
	CHECK_MEM(buf.data, connection_bytes, sizeof(connection_bytes));
	buf_release(&buf);
	fill(preface.token, sizeof(preface.token));
	wire_preface_encode(&preface, bytes);
	CHECK_MEM(bytes, preface_bytes, sizeof(bytes));
}

/* What a client and its agents say. */
static void test_golden_agents(void)
{
	static const uint8_t clock_bytes[] = {
		0, 0, 0, 16, 0, 22, 0, 0, /* payload bytes, CLOCK, 0 */
		0, 0, 0, 0,  0, 1,  2, 3, /* asked_ns */
		0, 0, 0, 0,  4, 5,  6, 7, /* told_ns */
	};
	static const uint8_t sent_bytes[] = {
		0,   0,	  0,   56,  0,	 26,  0,   0,	/* payload bytes, SENT, 0 */
		0,   0,	  0,   0,   0,	 0,   0,   5,	/* request */
		0,   0,	  0,   2,   0,	 0,   0,   1,	/* thread, session */
		0,   0,	  0,   0,   0,	 0,   1,   0,	/* due_ns */
		0,   0,	  0,   0,   0,	 0,   2,   0,	/* sent_ns */
		255, 255, 255, 255, 255, 255, 255, 255, /* received_ns: it was not */
		0,   0,	  0,   64,  0,	 0,   0,   0,	/* request_bytes, response_bytes */
		0,   0,	  0,   2,   0,	 0,   0,   0,	/* outcome: a timeout; 0 */
	};
	struct wire_clock clock = { 0x10203, 0x4050607 };
	struct wire_sent sent = { 5, 2, 1, 0x100, 0x200, -1, 64, 0, 2, 0 };
	struct buf buf;

	buf_init(&buf, BUF_MAX);
	wire_put_clock(&buf, &clock);
	CHECK_EQ(buf.len, sizeof(clock_bytes));
	CHECK_MEM(buf.data, clock_bytes, sizeof(clock_bytes));
	buf_reset(&buf);
	wire_put_sent(&buf, &sent);
	CHECK_EQ(buf.len, sizeof(sent_bytes));
	CHECK_MEM(buf.data, sent_bytes, sizeof(sent_bytes));
	buf_release(&buf);
}

/* A token is of one connection of one session (the bytes: python's hmac). */
static void test_token(void)
{
	static const uint8_t golden[WIRE_TOKEN_BYTES] = {
		0xc2, 0x3c, 0x6b, 0xf4, 0x52, 0xb2, 0xcd, 0xf6,
		0x06, 0x11, 0xe7, 0x6a, 0x90, 0x7a, 0xfd, 0x86,
	};
	struct wire_preface preface = { .flags = WIRE_PREFACE_WALK, .connection_id = 0x1234 };
	uint8_t secret[WIRE_TOKEN_BYTES];

	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)i;
	wire_preface_sign(&preface, secret);
	CHECK_MEM(preface.token, golden, sizeof(golden));
	CHECK(wire_preface_is_signed(&preface, secret));
	preface.connection_id++;
	CHECK(!wire_preface_is_signed(&preface, secret));
	preface.connection_id--;
	preface.flags = WIRE_PREFACE_WALK | WIRE_PREFACE_DATAGRAM;
	CHECK(!wire_preface_is_signed(&preface, secret));
	preface.flags = WIRE_PREFACE_WALK;
	preface.token[15] ^= 1;
	CHECK(!wire_preface_is_signed(&preface, secret));
	preface.token[15] ^= 1;
	secret[0]++;
	CHECK(!wire_preface_is_signed(&preface, secret));
}

static void test_preface(void)
{
	struct wire_preface preface = { .connection_id = 77 }, back;
	uint8_t bytes[WIRE_PREFACE_BYTES];

	fill(preface.token, sizeof(preface.token));
	wire_preface_encode(&preface, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		CHECK_EQ(wire_preface_decode(bytes, i, &back, NULL), 0);
	CHECK_EQ(wire_preface_decode(bytes, sizeof(bytes), &back, NULL), WIRE_PREFACE_BYTES);
	CHECK_EQ(back.connection_id, 77);
	CHECK_MEM(back.token, preface.token, sizeof(back.token));
	CHECK_EQ(wire_preface_decode((const uint8_t *)"GET / HT", 8, &back, NULL), -EPROTO);
	bytes[5] = 1; /* version */
	CHECK_EQ(wire_preface_decode(bytes, 6, &back, NULL), -EPROTO);
	bytes[5] = WIRE_VERSION;
	bytes[7] = 8; /* flags */
	CHECK_EQ(wire_preface_decode(bytes, sizeof(bytes), &back, NULL), -EPROTO);
	bytes[7] = WIRE_PREFACE_WALK | WIRE_PREFACE_CALL;
	CHECK_EQ(wire_preface_decode(bytes, sizeof(bytes), &back, NULL), -EPROTO);
}

/* A frame that is whole but wrong, by one byte of a good one. */
static const struct {
	const char *what;
	size_t at;
	uint8_t byte;
	bool in_head; /* the frame itself is refused, not only its content */
} broken[] = {
	{ "length with its first byte set", 0, 1, true },
	{ "length beyond the limit", 1, 0x20, true },
	{ "type 0", 5, 0, true },
	{ "unknown type", 4, 1, true },
	{ "reserved bytes", 7, 1, true },
	{ "request of 2^32 bytes", 8 + 16 + 3, 1, false },
	{ "more ops than the payload holds", 8 + 76 + 3, 3, false },
	{ "ops beyond the limit", 8 + 76, 1, false },
	{ "unknown kind", 8 + 80 + 8 + 3, OP_KIND_COUNT, false },
	{ "unknown flag", 8 + 80 + 12, 1, false },
	{ "unknown mode", 8 + 80 + 16 + 3, 4, false },
	{ "work for centuries", 8 + 80 + 24, 0xff, false },
	{ "op of 2^40 bytes", 8 + 80 + 32 + 2, 1, false },
};

static void test_broken(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct plan_request request = { .request_id = 99 };
		struct plan_op ops[2];
		struct wire_frame frame;
		struct err err = { "" };
		struct buf buf;
		int n;

		check_case("%s", broken[i].what);
		buf_init(&buf, BUF_MAX);
		wire_put_plan(&buf, &get_request, get_ops);
		buf.data[broken[i].at] = (char)broken[i].byte;
		n = wire_frame_decode((uint8_t *)buf.data, buf.len, &frame, &err);
		CHECK_EQ(n, broken[i].in_head ? -EPROTO : (int)buf.len);
		if (n > 0)
			CHECK_EQ(wire_get_plan(&frame, &request, ops, 2, &err), -EPROTO);
		CHECK(err.text[0]);
		CHECK_EQ(request.request_id, 99); /* untouched */
		buf_release(&buf);
	}
}

/* The header of a walk's messages, as docs/PROTOCOL.md tells it. */
static void test_message(void)
{
	static const uint8_t golden[WIRE_MESSAGE_BYTES] = {
		0,  1,	2,  3,			/* size */
		4,  5,	2,  0,			/* at, status, flags */
		8,  9,	10, 11, 12, 13, 14, 15, /* request */
		16, 17, 18, 19,			/* attempt */
		20, 21, 22, 23,			/* cookie */
	};
	static const struct {
		const char *name;
		size_t at; /* where the golden bytes are replaced */
		uint8_t bytes[4];
		size_t count;
		bool good;
	} cases[] = {
		{ "as it is", 0, { 0 }, 0, true },
		{ "the least size", 0, { 0, 0, 0, WIRE_MESSAGE_BYTES }, 4, true },
		{ "less", 0, { 0, 0, 0, WIRE_MESSAGE_BYTES - 1 }, 4, false },
		{ "none", 0, { 0, 0, 0, 0 }, 4, false },
		{ "the largest size", 0, { 0x40, 0, 0, 0 }, 4, true },
		{ "more", 0, { 0x40, 0, 0, 1 }, 4, false },
		{ "most", 0, { 255, 255, 255, 255 }, 4, false },
		{ "the largest op", 4, { 255, 255 }, 2, true },
		{ "an unknown status", 6, { WIRE_STATUS_COUNT }, 1, false },
		{ "a flag", 7, { 1 }, 1, false },
	};
	const struct wire_message message = {
		.size = 0x10203,
		.at = 0x405,
		.status = WIRE_STATUS_TIMEOUT,
		.request = 0x8090a0b0c0d0e0full,
		.attempt = 0x10111213,
		.cookie = 0x14151617,
	};
	uint8_t bytes[WIRE_MESSAGE_BYTES], again[WIRE_MESSAGE_BYTES];
	struct wire_message back;

	wire_message_encode(&message, bytes);
	CHECK_MEM(bytes, golden, sizeof(golden));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("%s", cases[i].name);
		memcpy(bytes, golden, sizeof(bytes));
		memcpy(bytes + cases[i].at, cases[i].bytes, cases[i].count);
		if (!CHECK_EQ(wire_message_decode(bytes, &back), cases[i].good) || !cases[i].good)
			continue;
		wire_message_encode(&back, again);
		CHECK_MEM(again, bytes, sizeof(bytes));
	}
}

static void test_ledger(void)
{
	struct ledger ledger = { 0 }, back = { 0 };
	struct wire_ledger unknown = { "no_such_entry", 1 };
	struct wire_ledger entry;
	struct wire_frame frame;
	struct buf buf;
	size_t used = 0;
	int n;

	ledger.count[LG_REQUESTS] = 23;
	ledger.count[LG_PLAN_OVERTAKEN] = 1;
	buf_init(&buf, BUF_MAX);
	CHECK_EQ(wire_put_ledgers(&buf, &ledger), 0);
	while ((n = wire_frame_decode((uint8_t *)buf.data + used, buf.len - used, &frame, NULL)) >
	       0) {
		CHECK_EQ(wire_get_ledger(&frame, &entry, NULL), 0);
		CHECK_EQ(wire_ledger_add(&back, &entry), 0);
		used += (size_t)n;
	}
	CHECK_MEM(&back, &ledger, sizeof(back));
	CHECK_EQ(wire_ledger_add(&back, &unknown), -ENOENT);
	buf_release(&buf);
}

int main(void)
{
	RUN(test_round_trips_of_a_session);
	RUN(test_round_trips_of_a_plan);
	RUN(test_round_trips_of_rows);
	RUN(test_round_trips_of_agents);
	RUN(test_plan);
	RUN(test_golden_bytes);
	RUN(test_golden_agents);
	RUN(test_token);
	RUN(test_preface);
	RUN(test_message);
	RUN(test_broken);
	RUN(test_ledger);
	return check_done();
}
