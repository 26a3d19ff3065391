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

int main(void)
{
	RUN(test_records);
	RUN(test_unseen);
	RUN(test_first_bytes);
	return check_done();
}
