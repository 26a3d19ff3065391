/* SPDX-License-Identifier: Apache-2.0 */
/* Records of known kinds, cut anywhere: the application's bytes are told from the handshake's. */
#include "capture/packet/tls.h"

#include "check.h"

#define BYTES_MAX 4096

enum { IN = 0, OUT = 1 };

/* Records that one end sends at once: kind and length, ended by kind 0. */
struct flight {
	int side;
	struct {
		uint8_t kind;
		uint16_t length;
	} records[5];
};

static const struct {
	const char *name;
	struct flight flights[12];
	size_t in, out; /* the application's, with the headers of their records */
} cases[] = {
	{ "1.2",
	  { { IN, { { 22, 200 } } },
	    { OUT, { { 22, 80 }, { 22, 900 }, { 22, 4 } } },
	    { IN, { { 22, 66 }, { 20, 1 }, { 22, 40 } } },
	    { OUT, { { 22, 180 }, { 20, 1 }, { 22, 40 } } },
	    { IN, { { 23, 100 } } },
	    { OUT, { { 23, 300 }, { 23, 20 } } },
	    { IN, { { 23, 19 } } }, /* three bytes under ChaCha20 */
	    { OUT, { { 23, 7 } } },
	    { IN, { { 21, 26 } } } },
	  105 + 24,
	  305 + 25 + 12 },
	{ "1.3",
	  { { IN, { { 22, 500 } } },
	    { OUT, { { 22, 122 }, { 20, 1 }, { 23, 1000 }, { 23, 53 } } },
	    { IN, { { 20, 1 }, { 23, 53 } } },
	    { OUT, { { 23, 250 }, { 23, 250 } } }, /* tickets */
	    { IN, { { 23, 100 }, { 23, 30 } } },
	    { OUT, { { 23, 300 } } },
	    { IN, { { 23, 19 } } },
	    { OUT, { { 23, 19 } } } },
	  105 + 35,
	  305 + 24 }, /* what the service says last may be a reply of two bytes, and is nothing more */
	{ "1.3, the Finished goes with the first request",
	  { { IN, { { 22, 500 } } },
	    { OUT, { { 22, 122 }, { 20, 1 }, { 23, 1000 } } },
	    { IN, { { 20, 1 }, { 23, 69 }, { 23, 100 } } },
	    { OUT, { { 23, 300 } } } },
	  105,
	  305 },
};

static size_t build(const struct flight *f, uint8_t *at)
{
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(f->records) && f->records[i].kind; i++) {
		const uint8_t head[5] = { f->records[i].kind, 3, 3,
					  (uint8_t)(f->records[i].length >> 8),
					  (uint8_t)f->records[i].length };

		memcpy(at + len, head, sizeof(head));
		memset(at + len + sizeof(head), 0xee, f->records[i].length);
		len += sizeof(head) + f->records[i].length;
	}
	return len;
}

/* Each flight in chunks of `size`; what of them is the application's, either way. */
static void run(const struct flight *flights, size_t size, struct tls *t, size_t ret_counted[2])
{
	uint8_t bytes[BYTES_MAX];

	ret_counted[IN] = ret_counted[OUT] = 0;
	for (; flights->records[0].kind; flights++) {
		size_t len = build(flights, bytes);

		for (size_t at = 0; at < len; at += size) {
			size_t n = len - at < size ? len - at : size;
			uint8_t *exact = malloc(n);

			memcpy(exact, bytes + at, n);
			ret_counted[flights->side] +=
				tls_application_bytes(t, flights->side == OUT, exact, n, n);
			free(exact);
		}
	}
}

static void test_records(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t size = 1; size < 700; size++) {
			struct tls t = { 0 };
			size_t counted[2];

			check_case("%s, by %zu bytes", cases[i].name, size);
			run(cases[i].flights, size, &t, counted);
			CHECK(!t.lost);
			CHECK_EQ(counted[IN], cases[i].in);
			CHECK_EQ(counted[OUT], cases[i].out);
		}
}

/* A body need not be seen, a header must. */
static void test_unseen(void)
{
	uint8_t bytes[BYTES_MAX];
	const struct flight f = { IN, { { 22, 500 }, { 23, 100 } } };
	size_t len = build(&f, bytes);
	struct tls t = { 0 };

	CHECK_EQ(tls_application_bytes(&t, false, bytes, 5, 505), 0);
	CHECK_EQ(tls_application_bytes(&t, false, bytes + 505, 5, 105), 105);
	CHECK(!t.lost);
	t = (struct tls){ 0 };
	CHECK_EQ(tls_application_bytes(&t, false, bytes, 505, len), len);
	CHECK(t.lost);
	t = (struct tls){ 0 };
	CHECK_EQ(tls_application_bytes(&t, false, (const uint8_t *)"GET / HTTP/1.1\r\n", 16, 16),
		 16);
	CHECK(t.lost);
}

static void test_first_bytes(void)
{
	CHECK(tls_begins((const uint8_t *)"\x16\3\1\2\0", 5));
	CHECK(tls_begins((const uint8_t *)"\x17\3\3\0\x13", 5));
	CHECK(tls_is_under_way((const uint8_t *)"\x17\3\3", 3));
	CHECK(!tls_is_under_way((const uint8_t *)"\x16\3\1", 3));
	CHECK(!tls_begins((const uint8_t *)"\x16\3", 2));
	CHECK(!tls_begins((const uint8_t *)"GET", 3));
}

/* What s_client and s_server of openssl said to each other, and what they print of it. */
static const struct {
	const char *file, *version, *alpn, *offers;
	/* "hello there", and the same reversed, as encrypted; TLS 1.3 has two tickets before that */
	size_t in, out;
} sessions[] = {
	{ "openssl-1.3-h2", "1.3", "", "h2+http/1.1", 29, 548 },
	{ "openssl-1.3", "1.3", "", "", 29, 548 },
	{ "openssl-1.3-retry", "1.3", "", "postgresql", 29, 548 },
	{ "openssl-1.2-http", "1.2", "http/1.1", "h2+http/1.1", 36, 36 },
	{ "openssl-1.2", "1.2", "", "", 36, 36 },
	{ "openssl-1.2-many", "1.2", "dot", "dot", 36, 36 },
	{ "openssl-1.1", "1.1", "", "", 52, 52 },
};

/* Chunks as in tests/fuzz/fuzz_tls.c, each in pieces. */
static void run_session(const uint8_t *at, size_t left, size_t piece, struct tls *t)
{
	while (left > 3) {
		size_t len = (size_t)at[1] << 8 | at[2];

		for (size_t from = 0; from < len; from += piece) {
			size_t n = len - from < piece ? len - from : piece;

			tls_application_bytes(t, at[0], at + 3 + from, n, n);
		}
		at += 3 + len;
		left -= 3 + len;
	}
}

static size_t read_session(const char *name, uint8_t bytes[BYTES_MAX])
{
	char path[300];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "%s/corpus/tls/%s", GAIT_TEST_DATA, name);
	file = fopen(path, "r");
	if (!CHECK(file != NULL))
		return 0;
	len = fread(bytes, 1, BYTES_MAX, file);
	fclose(file);
	return len;
}

static void test_hellos(void)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 100, 1448, 65536 };
	uint8_t bytes[BYTES_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(sessions) * ARRAY_SIZE(pieces); i++) {
		size_t s = i / ARRAY_SIZE(pieces), piece = pieces[i % ARRAY_SIZE(pieces)];
		struct tls_hello hello = { .over = false };
		struct tls t = { .hello = &hello };

		check_case("%s, by %zu bytes", sessions[s].file, piece);
		run_session(bytes, read_session(sessions[s].file, bytes), piece, &t);
		CHECK(tls_hello_is_over(&hello) && !t.lost);
		CHECK_STR(tls_version_name(hello.server.version), sessions[s].version);
		CHECK_STR(hello.server.alpn, sessions[s].alpn);
		CHECK_STR(hello.client.alpn, sessions[s].offers);
		CHECK_EQ(t.in.records, 1);
		CHECK_EQ(t.in.bytes, sessions[s].in);
		CHECK_EQ(t.in.largest, sessions[s].in);
		CHECK_EQ(t.out.bytes, sessions[s].out);
	}
}

/* What is cut off says as much as there is of it: whole names, no others. */
static void test_hellos_cut(void)
{
	uint8_t bytes[BYTES_MAX];
	size_t len = read_session("openssl-1.3-h2", bytes);
	size_t hello_len = (size_t)bytes[1] << 8 | bytes[2];

	if (!CHECK(len > hello_len + 3))
		return;
	for (size_t seen = 5; seen < hello_len; seen++) {
		struct tls_hello hello = { .over = false };
		struct tls t = { .hello = &hello };

		check_case("%zu bytes of the client's", seen);
		CHECK_EQ(tls_application_bytes(&t, false, bytes + 3, seen, hello_len), 0);
		tls_hello_end(&hello);
		CHECK(!strcmp(hello.client.alpn, "") || !strcmp(hello.client.alpn, "h2") ||
		      !strcmp(hello.client.alpn, "h2+http/1.1"));
		CHECK(!hello.server.version);
	}
}

int main(void)
{
	RUN(test_hellos);
	RUN(test_hellos_cut);
	RUN(test_records);
	RUN(test_unseen);
	RUN(test_first_bytes);
	return check_done();
}
