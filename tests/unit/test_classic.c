/* SPDX-License-Identifier: Apache-2.0 */
/* Capture files in memory: both byte orders, both units of stamps, cut at every byte. */
#include "capture/packet/classic.h"

#include "check.h"

#define PACKETS 3
#define RECORD 16

static void put(uint8_t *at, uint32_t value, bool swapped)
{
	if (swapped)
		value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof(value));
}

/* Packet i was captured at i s and 5 units, has i bytes of i, and had 100 on the wire. */
static size_t build(uint8_t *at, uint32_t magic, bool swapped)
{
	size_t len = 24;

	memset(at, 0, len);
	put(at, magic, swapped);
	put(at + 20, 1, swapped);
	for (uint32_t i = 1; i <= PACKETS; i++) {
		put(at + len, i, swapped);
		put(at + len + 4, 5, swapped);
		put(at + len + 8, i, swapped);
		put(at + len + 12, 100, swapped);
		memset(at + len + RECORD, (int)i, i);
		len += RECORD + i;
	}
	return len;
}

static const struct {
	const char *name;
	uint32_t magic;
	bool swapped;
	int64_t unit;
} cases[] = {
	{ "us", 0xa1b2c3d4, false, 1000 },
	{ "us, the other byte order", 0xa1b2c3d4, true, 1000 },
	{ "ns", 0xa1b23c4d, false, 1 },
	{ "ns, the other byte order", 0xa1b23c4d, true, 1 },
};

static void test_formats(void)
{
	uint8_t file[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = build(file, cases[i].magic, cases[i].swapped);
		struct packet_record r;
		struct classic c;

		check_case("%s", cases[i].name);
		CHECK_EQ(classic_open(&c, file, len), 0);
		for (unsigned n = 1; n <= PACKETS; n++) {
			CHECK_EQ(classic_next(&c, &r), 1);
			CHECK_EQ(r.ns, n * 1000000000LL + 5 * cases[i].unit);
			CHECK_EQ(r.seen, n);
			CHECK_EQ(r.wire, 100);
			CHECK_EQ(r.bytes[n - 1], n);
			CHECK_EQ(r.link, 1);
		}
		CHECK_EQ(classic_next(&c, &r), 0);
		CHECK(!c.cut);
	}
}

/* What is whole of a file that was cut is read, and that it was cut is known. */
static void test_cut(void)
{
	uint8_t file[256];
	size_t len = build(file, cases[0].magic, false);

	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut + !cut);
		struct packet_record r;
		struct classic c;
		size_t packets = 0, end = 24;

		memcpy(exact, file, cut);
		check_case("%zu bytes of %zu", cut, len);
		if (classic_open(&c, exact, cut)) {
			CHECK(cut < 24);
			free(exact);
			continue;
		}
		while (classic_next(&c, &r)) {
			packets++;
			end += RECORD + r.seen;
		}
		CHECK(packets < PACKETS);
		CHECK_EQ(c.cut, end != cut);
		free(exact);
	}
}

/* A length that no packet has: what follows is not looked for. */
static void test_nonsense(void)
{
	uint8_t file[256];
	size_t len = build(file, cases[0].magic, false);
	struct packet_record r;
	struct classic c;

	put(file + 24 + RECORD + 1 + 8, 0xfffffff0, false);
	CHECK_EQ(classic_open(&c, file, len), 0);
	CHECK_EQ(classic_next(&c, &r), 1);
	CHECK_EQ(classic_next(&c, &r), 0);
	CHECK(c.cut);
	CHECK(classic_open(&c, (const uint8_t *)"no capture, but long enough", 27) < 0);
}

int main(void)
{
	RUN(test_formats);
	RUN(test_cut);
	RUN(test_nonsense);
	return check_done();
}
