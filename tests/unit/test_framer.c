/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/frame/framer.h"

#include "check.h"
#include "framed.h"

static const struct {
	const char *bytes, *protocol, *verb;
} cases[] = {
	{ "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "resp", "GET" },
	{ "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n", "resp", "SET" },
	{ "*1\r\n$4\r\nPING\r\n", "resp", "PING" },
	{ "*1\r\n$4\r\nPI", "", "" },	  /* cut in the verb */
	{ "*1\r\n$999999\r\nX", "", "" }, /* longer than what is there */
	{ "*-1\r\n$3\r\nGET\r\n", "", "" },
	{ "*2\r\n$3\r\nG\x01T\r\n", "", "" }, /* no word: stays out of the trace */
	{ "GET / HTTP/1.1\r\nHost: x\r\n", "http/1", "GET" },
	{ "POST /secret/path HTTP/1.1\r\n", "http/1", "POST" },
	{ "GETTING / ", "", "" },
	{ "GET", "", "" },
	{ "\x16\x03\x01", "", "" },
	{ "", "", "" },
};

static void test_verbs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].bytes);
		uint8_t *exact = malloc(len + !len); /* the end of its own allocation, for ASan */
		struct framing f;

		check_case("%s", cases[i].bytes);
		memcpy(exact, cases[i].bytes, len);
		framer_look(exact, len, &f);
		CHECK_STR(f.protocol, cases[i].protocol);
		CHECK_STR(f.verb, cases[i].verb);
		free(exact);
	}
}

/* Every prefix is read without a byte beyond it, and says the same verb or none. */
static void test_every_prefix(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t len = 0; len < strlen(cases[i].bytes); len++) {
			uint8_t *exact = malloc(len + !len);
			struct framing f;

			check_case("%zu bytes of %s", len, cases[i].bytes);
			memcpy(exact, cases[i].bytes, len);
			framer_look(exact, len, &f);
			CHECK(!f.verb[0] || !strcmp(f.verb, cases[i].verb));
			free(exact);
		}
	}
}

#define STEPS_MAX 20

/* lost: the last step ends in FRAMER_LOST. closed: then the service closes. */
struct conversation {
	const char *name, *protocol, *marks;
	bool lost, closed;
	struct step steps[STEPS_MAX];
};

#include "conversations.h"

static void finish(struct found *f, const struct conversation *c)
{
	if (c->closed)
		found_end(f);
	CHECK_EQ(f->result, c->lost ? FRAMER_LOST : FRAMER_OK);
	CHECK_STR(framer_protocol(&f->framer), c->protocol);
	CHECK_STR(f->text, c->marks);
}

static void test_conversations(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversations); i++) {
		const struct conversation *c = &conversations[i];
		struct found f = { 0 };

		check_case("%s: %s", c->protocol, c->name);
		for (const struct step *s = c->steps; s->bytes; s++)
			found_feed(&f, s, 0, s->len + s->hidden, s->len);
		finish(&f, c);
	}
}

static void test_byte_by_byte(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversations); i++) {
		const struct conversation *c = &conversations[i];
		struct found f = { 0 };

		check_case("%s: %s", c->protocol, c->name);
		for (const struct step *s = c->steps; s->bytes; s++)
			found_feed_bytewise(&f, s);
		finish(&f, c);
	}
}

/* Each chunk cut in two, all at the same place as far as they have it. */
static void test_cut_anywhere(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversations); i++) {
		const struct conversation *c = &conversations[i];
		size_t longest = 0;

		for (const struct step *s = c->steps; s->bytes; s++)
			longest = s->len + 1 > longest ? s->len + 1 : longest;
		for (size_t cut = 1; cut < longest; cut++) {
			struct found f = { 0 };

			check_case("%s: %s, cut at %zu", c->protocol, c->name, cut);
			for (const struct step *s = c->steps; s->bytes; s++)
				found_feed_in_two(&f, s, cut < s->len + s->hidden ? cut : 0);
			finish(&f, c);
		}
	}
}

/*
 * A chunk of which only the first bytes are visible: either that is as good, or it says that it
 * is short and has said nothing wrong.
 */
static void test_hidden_anywhere(void)
{
	int fine = 0, marked = 0;

	for (size_t i = 0; i < ARRAY_SIZE(conversations); i++) {
		const struct conversation *c = &conversations[i];
		size_t longest = 0;

		for (const struct step *s = c->steps; s->bytes; s++)
			longest = s->len > longest ? s->len : longest;
		for (size_t seen = 0; seen < longest && !c->lost; seen++) {
			struct found f = { 0 };

			check_case("%s: %s, %zu visible", c->protocol, c->name, seen);
			for (const struct step *s = c->steps; s->bytes; s++)
				found_feed(&f, s, 0, s->len + s->hidden,
					   s->len < seen ? s->len : seen);
			marked += f.result == FRAMER_SHORT;
			if (f.result == FRAMER_SHORT) {
				CHECK(!strncmp(f.text, c->marks, f.len));
				continue;
			}
			fine++;
			finish(&f, c);
		}
	}
	CHECK(fine > 100 && marked > 100);
}

/*
 * What real services and clients said, taken down by a proxy, in the form of the fuzzer's input.
 * The counts are what the clients were told to do.
 */
static const struct {
	const char *file, *protocol;
	int requests, no_reply, errors;
} recordings[] = {
	/* redis-benchmark -n 64 -P 8 -t set */
	{ "redis-benchmark", "resp", 64, 0, 0 },
	/* 17 commands of all shapes, then quit */
	{ "memcached-commands", "memcached", 18, 1, 0 },
	/* curl --compressed of /, a file of 40 kB, and a name that is none; curl -I of two */
	{ "nginx-get", "http/1", 3, 0, 1 },
	{ "nginx-head", "http/1", 2, 0, 0 },
	/* nghttp -m 5 of the same three; curl -X DELETE */
	{ "nginx-http2", "http/2", 15, 0, 5 },
	{ "nginx-http2-delete", "http/2", 1, 0, 1 },
	/* startup, 10 pairs of selects in a pipeline that is one Sync each, and how they begin */
	{ "pgbench-pipeline", "postgresql", 14, 1, 0 },
	/* pgbench -t 20: 7 statements each; the connection's startup and end */
	{ "pgbench-extended", "postgresql", 20 * 7 + 2, 1, 0 },
	/* 8 statements, one wrong, copies both ways, LISTEN; encryption was refused */
	{ "psql", "postgresql", 8 + 3, 1, 1 },
	{ "psql-refused", "postgresql", 1, 0, 1 },
	/* 8 statements in text, one wrong */
	{ "mariadb-client", "mysql", 11, 1, 1 },
	/* 3 times prepare, execute, execute, reset, close; change-user, ping */
	{ "mariadb-prepare", "mysql", 1 + 3 * 5 + 3, 4, 0 },
};

struct tally {
	int begun[4], no_reply, errors;
};

static void tally(void *arg, const struct framer_mark *m)
{
	bool end = m->kind == FRAMER_REQUEST_END || m->kind == FRAMER_REPLY_END;
	struct tally *t = arg;

	t->begun[m->kind]++;
	t->no_reply += end && m->flags & FRAMER_NO_REPLY;
	t->errors += end && m->flags & FRAMER_ERROR;
	CHECK(m->kind != FRAMER_REQUEST_END || m->verb[0]);
	CHECK(m->id && !(m->flags & FRAMER_PUSH));
}

static uint8_t *read_recording(const char *name, size_t *ret_len)
{
	uint8_t *bytes = malloc(1 << 20);
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), GAIT_TEST_DATA "/corpus/framer/real-%s", name);
	file = fopen(path, "rb");
	*ret_len = CHECK(file) ? fread(bytes, 1, 1 << 20, file) : 0;
	if (file)
		fclose(file);
	return bytes;
}

/* In chunks of at most `most` bytes. */
static void play(const uint8_t *b, size_t len, size_t most, struct framer *f, struct tally *t)
{
	for (size_t at = 0, n; at + 3 <= len; at += 3 + n) {
		n = (size_t)b[at + 1] << 8 | b[at + 2];
		for (size_t i = 0; i < n; i += most) {
			size_t part = n - i < most ? n - i : most;

			CHECK_EQ(framer_feed(f, (enum framer_side)(b[at] & 1), b + at + 3 + i, part,
					     part, tally, t),
				 FRAMER_OK);
		}
	}
	framer_end(f, FRAMER_OUT, tally, t);
}

static void test_real_services(void)
{
	static const size_t most[] = { SIZE_MAX / 2, 1, 7, 1448 };

	for (size_t i = 0; i < ARRAY_SIZE(recordings) * ARRAY_SIZE(most); i++) {
		size_t row = i / ARRAY_SIZE(most), len;
		uint8_t *bytes = read_recording(recordings[row].file, &len);
		int requests = recordings[row].requests, no_reply = recordings[row].no_reply;
		struct framer f = { 0 };
		struct tally t = { 0 };

		check_case("%s by %zu", recordings[row].file, most[i % ARRAY_SIZE(most)]);
		play(bytes, len, most[i % ARRAY_SIZE(most)], &f, &t);
		CHECK_STR(framer_protocol(&f), recordings[row].protocol);
		CHECK_EQ(t.begun[FRAMER_REQUEST_BEGIN], requests);
		CHECK_EQ(t.begun[FRAMER_REQUEST_END], requests);
		CHECK_EQ(t.begun[FRAMER_REPLY_BEGIN], requests - no_reply);
		CHECK_EQ(t.begun[FRAMER_REPLY_END], requests - no_reply);
		CHECK_EQ(t.no_reply, no_reply);
		CHECK_EQ(t.errors, recordings[row].errors);
		free(bytes);
	}
}

static const struct {
	enum framer_side side;
	const char *bytes;
	size_t len, seen;
	enum framer_result result;
	const char *marks;
} datagrams[] = {
#define QUESTION "\3www\7example\3org\0\0\1\0\1"
	{ FRAMER_IN, "\0\0\1\0\0\1\0\0\0\0\0\0" QUESTION, 33, 33, FRAMER_OK,
	  ">0 Q1:query >33 q1:query" },
	{ FRAMER_IN, "\x12\x34\1\x20\0\1\0\0\0\0\0\1" QUESTION, 33, 12, FRAMER_OK,
	  ">0 Q4661:query >33 q4661:query" }, /* only the header is visible */
	{ FRAMER_OUT, "\0\0\x81\x83\0\1\0\0\0\0\0\0" QUESTION, 33, 33, FRAMER_OK,
	  "<0 R1 <33 r1" }, /* no such name: an answer */
	{ FRAMER_OUT, "\0\0\x81\x82\0\1\0\0\0\0\0\0" QUESTION, 33, 33, FRAMER_OK,
	  "<0 R1! <33 r1!" },
	{ FRAMER_IN, "\0\0\1\0\0\1\0\0\0\0\0\0" QUESTION, 33, 11, FRAMER_SHORT, "" },
	{ FRAMER_IN, "\0\0\x81\0\0\1\0\0\0\0\0\0" QUESTION, 33, 33, FRAMER_LOST, "" },
	{ FRAMER_IN, "\0\0\1\0\0\2\0\0\0\0\0\0" QUESTION, 33, 33, FRAMER_LOST, "" },
	{ FRAMER_IN,
	  "\xc3\0\0\0\1\x08"
	  "12345678"
	  "\0\0\0",
	  17, 17, FRAMER_LOST, "" }, /* QUIC */
	{ FRAMER_IN, "short", 5, 5, FRAMER_LOST, "" },
};

static void test_datagrams(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(datagrams); i++) {
		struct found f = { .side = datagrams[i].side };
		uint8_t *exact = malloc(datagrams[i].seen);

		check_case("datagram %zu", i);
		memcpy(exact, datagrams[i].bytes, datagrams[i].seen);
		CHECK_EQ(framer_datagram(&f.framer, f.side, exact, datagrams[i].seen,
					 datagrams[i].len, found_mark, &f),
			 datagrams[i].result);
		CHECK_STR(f.text, datagrams[i].marks);
		CHECK_STR(framer_protocol(&f.framer), f.len ? "dns" : "");
		free(exact);
	}
}

static void ignore(void *arg, const struct framer_mark *mark)
{
	++*(int *)arg;
}

/* Nothing is made of bytes at random, nor of other protocols. */
static void test_strangers(void)
{
	static const struct step strangers[] = {
		IN("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), /* TLS */
		IN("\x17\x03\x03\x00\x40 encrypted data that goes on for a while ........."),
		OUT("\x16\x03\x03\x00\x5a\x02\x00\x00\x56\x03\x03"),
		OUT("220 mail.example.org ESMTP\r\n"),
		OUT("SSH-2.0-OpenSSH_9.2\r\n"),
		IN("SSH-2.0-OpenSSH_9.2\r\n"),
		IN("EHLO client.example.org\r\n"),
		IN("get with \x01 control\r\n"),
		IN("hello world, this is not a command\r\n"),
		IN("{\"json\": 1}\n"),
		IN("\x10\x20\x00\x04MQTT\x04\xc2\x00\x3c\x00\x04"
		   "abcdefghijklmnop"),
		IN("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		IN("AMQP\x00\x00\x09\x01"),
		IN("*abc\r\n"),
		IN("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80\x03\x00\x80\x07\x00\xc0"
		   "\x06\x00\x40\x02\x00\x80\x04\x00\x80"), /* SSLv2 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
		struct found f = { 0 };

		check_case("stranger %zu", i);
		found_feed(&f, &strangers[i], 0, strangers[i].len, strangers[i].len);
		CHECK_EQ(f.result, FRAMER_LOST);
		CHECK_STR(framer_protocol(&f.framer), "");
		CHECK_STR(f.text, "");
	}
}

static uint64_t next_random(void)
{
	static uint64_t state = 23;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33;
}

static void test_random_bytes(void)
{
	int taken = 0, marks = 0;

	for (int i = 0; i < 1000000; i++) {
		struct framer f = { 0 };
		uint8_t bytes[96];

		for (size_t k = 0; k < sizeof(bytes); k += 4)
			memcpy(bytes + k, &(uint32_t){ (uint32_t)(next_random() << 1) }, 4);
		taken += framer_feed(&f, (enum framer_side)(i & 1), bytes, sizeof(bytes),
				     sizeof(bytes), ignore, &marks) != FRAMER_LOST;
	}
	CHECK_EQ(taken, 0);
	CHECK_EQ(marks, 0);
}

/* A line without end is given up, visible or not, and what follows stays lost. */
static void test_endless_line(void)
{
	struct framer f = { 0 };
	const char begin[] = "GET / HTTP/1.1\r\nX: ";
	size_t total = 0;
	int marks = 0;
	uint8_t a[4096];

	memset(a, 'a', sizeof(a));
	CHECK_EQ(framer_feed(&f, FRAMER_IN, (const uint8_t *)begin, sizeof(begin) - 1,
			     sizeof(begin) - 1, ignore, &marks),
		 FRAMER_OK);
	while (total < 2 * FRAMER_LINE_MAX &&
	       framer_feed(&f, FRAMER_IN, a, sizeof(a), sizeof(a), ignore, &marks) == FRAMER_OK)
		total += sizeof(a);
	CHECK_NEAR((double)total, FRAMER_LINE_MAX, sizeof(a));
	CHECK_EQ(framer_feed(&f, FRAMER_OUT, a, 1, 1, ignore, &marks), FRAMER_LOST);
	CHECK_EQ(marks, 1);
	framer_init(&f);
	CHECK_STR(framer_protocol(&f), "");
}

/* As many as fit may wait; one more is refused rather than taken for another's. */
static void test_limits(void)
{
	static const struct {
		struct step again;
		int fits;
	} rows[] = {
		{ IN("HEAD / HTTP/1.1\r\n\r\n"), FRAMER_NOTES },
		{ IN("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"), FRAMER_NOTES },
		{ IN("mn\r\n"), FRAMER_NOTES },
		{ IN("\x01\x00\x00\x00\x0e"), FRAMER_COMMANDS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct framer f = { 0 };
		int fits = 0, marks = 0;

		check_case("row %zu", i);
		while (fits < 1000 &&
		       framer_feed(&f, FRAMER_IN, (const uint8_t *)rows[i].again.bytes,
				   rows[i].again.len, rows[i].again.len, ignore,
				   &marks) == FRAMER_OK)
			fits++;
		CHECK_EQ(fits, rows[i].fits);
	}
}

/* The limits are on what waits, not on what was. */
static void test_limits_are_of_those_that_wait(void)
{
	static const struct step rows[][2] = {
		{ IN("HEAD / HTTP/1.1\r\n\r\n"), OUT("HTTP/1.1 200 OK\r\n\r\n") },
		{ IN("mn\r\n"), OUT("MN\r\n") },
		{ IN("\x01\x00\x00\x00\x0e"), OUT("\x07\x00\x00\x01\0\0\0\2\0\0\0") },
		{ IN("\0\0\3\1\5\0\0\0\1\x82\x84\x86"), OUT("\0\0\1\1\5\0\0\0\1\x88") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct framer f = { 0 };
		int marks = 0;

		check_case("row %zu", i);
		for (int turn = 0; turn < 1000; turn++) {
			for (int side = 0; side < 2; side++) {
				const struct step *s = &rows[i][side];
				uint8_t bytes[64];

				memcpy(bytes, s->bytes, s->len);
				if (i == 3) { /* the next stream of HTTP/2 */
					bytes[7] = (uint8_t)(turn >> 7);
					bytes[8] = (uint8_t)(2 * turn + 1);
				}
				CHECK_EQ(framer_feed(&f, s->side, bytes, s->len, s->len, ignore,
						     &marks),
					 FRAMER_OK);
			}
		}
		CHECK_EQ(marks, 4000);
	}
}

static void test_streams_limit(void)
{
	struct framer f = { 0 };
	int marks = 0, fits = 0;

	for (; fits < 1000; fits++) {
		uint8_t frame[10] = { 0, 0, 3, 1, 5 };
		uint32_t id = 2 * (uint32_t)fits + 1;
		uint8_t block[] = { 0x82, 0x84, 0x86 }, bytes[12];

		frame[7] = (uint8_t)(id >> 8);
		frame[8] = (uint8_t)id;
		memcpy(bytes, frame, 9);
		memcpy(bytes + 9, block, 3);
		if (framer_feed(&f, FRAMER_IN, bytes, 12, 12, ignore, &marks) != FRAMER_OK)
			break;
	}
	CHECK_EQ(fits, FRAMER_STREAMS);
}

int main(void)
{
	RUN(test_verbs);
	RUN(test_every_prefix);
	RUN(test_conversations);
	RUN(test_byte_by_byte);
	RUN(test_cut_anywhere);
	RUN(test_hidden_anywhere);
	RUN(test_real_services);
	RUN(test_datagrams);
	RUN(test_strangers);
	RUN(test_random_bytes);
	RUN(test_endless_line);
	RUN(test_limits);
	RUN(test_limits_are_of_those_that_wait);
	RUN(test_streams_limit);
	return check_done();
}
