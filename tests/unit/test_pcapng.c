/* SPDX-License-Identifier: Apache-2.0 */
/* Captures of blocks in memory: interfaces that differ, both byte orders, cut at every byte. */
#include "capture/packet/pcapng.h"

#include "check.h"

#define SECOND 1000000000LL
#define FILE_MAX 1024

/* A file in the making. */
struct file {
	uint8_t bytes[FILE_MAX];
	size_t len, block;
	bool swapped;
};

static void put16(struct file *f, uint16_t value)
{
	value = f->swapped ? __builtin_bswap16(value) : value;
	memcpy(f->bytes + f->len, &value, 2);
	f->len += 2;
}

static void put32(struct file *f, uint32_t value)
{
	value = f->swapped ? __builtin_bswap32(value) : value;
	memcpy(f->bytes + f->len, &value, 4);
	f->len += 4;
}

static void put64(struct file *f, uint64_t value)
{
	value = f->swapped ? __builtin_bswap64(value) : value;
	memcpy(f->bytes + f->len, &value, 8);
	f->len += 8;
}

static void begin(struct file *f, uint32_t type)
{
	f->block = f->len;
	put32(f, type);
	put32(f, 0);
}

static void end(struct file *f)
{
	size_t len;

	f->len = (f->len + 3) & ~(size_t)3;
	len = f->len + 4 - f->block;
	put32(f, (uint32_t)len);
	f->len = f->block + 4;
	put32(f, (uint32_t)len);
	f->len = f->block + len;
}

static void put_section(struct file *f, bool swapped)
{
	f->swapped = swapped;
	begin(f, 0x0a0d0d0a);
	put32(f, 0x1a2b3c4d);
	put16(f, 1);
	put16(f, 0);
	put64(f, UINT64_MAX); /* of a length that nobody knows */
	end(f);
}

/* resolution 0xff: it is not said */
static void put_interface(struct file *f, uint16_t link, uint8_t resolution, int64_t offset_s)
{
	begin(f, 1);
	put16(f, link);
	put16(f, 0);
	put32(f, 4); /* so much of a packet without a length of its own */
	put16(f, 2);
	put16(f, 3);
	put32(f, 0x6e6f6c); /* a name of three letters, padded */
	if (resolution != 0xff) {
		put16(f, 9);
		put16(f, 1);
		f->bytes[f->len] = resolution;
		memset(f->bytes + f->len + 1, 0, 3);
		f->len += 4;
	}
	if (offset_s) {
		put16(f, 14);
		put16(f, 8);
		put64(f, (uint64_t)offset_s);
	}
	put32(f, 0);
	end(f);
}

/* `seen` bytes of `number` + 1, of 100 */
static void put_packet(struct file *f, uint32_t number, uint64_t stamp, uint32_t seen)
{
	begin(f, 6);
	put32(f, number);
	put32(f, (uint32_t)(stamp >> 32));
	put32(f, (uint32_t)stamp);
	put32(f, seen);
	put32(f, 100);
	memset(f->bytes + f->len, (int)number + 1, seen);
	f->len += seen;
	end(f);
}

static void put_statistics(struct file *f, uint32_t number, uint64_t device, uint64_t dropped)
{
	begin(f, 5);
	put32(f, number);
	put64(f, 0);
	put16(f, 5);
	put16(f, 8);
	put64(f, device);
	put16(f, 7);
	put16(f, 8);
	put64(f, dropped);
	end(f);
}

static const struct {
	const char *name;
	uint8_t resolution;
	int64_t offset_s;
	uint64_t stamp;
	int64_t ns;
} stamps[] = {
	{ "us, unsaid", 0xff, 0, 1700000000123456, 1700000000123456000 },
	{ "us", 6, 0, 1700000000123456, 1700000000123456000 },
	{ "ns", 9, 0, 1700000000123456789, 1700000000123456789 },
	{ "s", 0, 0, 1700000000, 1700000000 * SECOND },
	{ "ps", 12, 0, 1700000123456, 1700000123 },
	{ "halves, quarters...", 0x82, 0, 7, 1750000000 },
	{ "2^-32 s", 0xa0, 0, 0x0000000180000000, 1500000000 },
	{ "2^-60 s", 0xbc, 0, 0x1800000000000000, 1500000000 },
	{ "from another time on", 6, 1700000000, 5000001, 1700000005 * SECOND + 1000 },
	{ "before 1970", 6, -100, 5000001, 1000 },
	{ "no clock", 0x7f, 0, UINT64_MAX, 1844674407 },
	{ "no time", 0, INT64_MAX, UINT64_MAX, UINT32_MAX *SECOND },
};

static void test_stamps(void)
{
	for (size_t i = 0; i < 2 * ARRAY_SIZE(stamps); i++) {
		struct file f = { .len = 0 };
		struct packet_record r;
		struct pcapng p;

		check_case("%s%s", stamps[i / 2].name, i % 2 ? ", the other byte order" : "");
		put_section(&f, i % 2);
		put_interface(&f, 1, stamps[i / 2].resolution, stamps[i / 2].offset_s);
		put_packet(&f, 0, stamps[i / 2].stamp, 5);
		CHECK_EQ(pcapng_open(&p, f.bytes, f.len), 0);
		CHECK_EQ(pcapng_next(&p, &r), 1);
		CHECK_EQ(r.ns, stamps[i / 2].ns);
		CHECK_EQ(r.seen, 5);
		CHECK_EQ(r.wire, 100);
		CHECK_EQ(r.bytes[4], 1);
		CHECK_EQ(pcapng_next(&p, &r), 0);
		CHECK(!p.cut);
	}
}

/* Two interfaces; behind them another section of another byte order with one of its own. */
static void build(struct file *f)
{
	*f = (struct file){ .len = 0 };
	put_section(f, false);
	put_interface(f, 1, 6, 0);
	put_interface(f, 276, 9, 0);
	begin(f, 0xbad); /* a block of somebody's own */
	put32(f, 7);
	end(f);
	put_packet(f, 0, 1000000, 6);
	put_packet(f, 1, 2 * SECOND, 7);
	put_statistics(f, 0, 1, 10);
	begin(f, 3); /* without an interface and a stamp */
	put32(f, 100);
	put32(f, 0x04030201);
	end(f);
	begin(f, 2); /* as before 2009: a count of drops beside the number of the interface */
	put16(f, 1);
	put16(f, 9);
	put32(f, 0);
	put32(f, 2000000001);
	put32(f, 1);
	put32(f, 1);
	put32(f, 0xaa);
	end(f);
	put_statistics(f, 0, 1, 15);
	put_statistics(f, 1, 0, 100);
	put_section(f, true);
	put_interface(f, 101, 6, 0);
	put_packet(f, 0, 3000000, 4);
	put_statistics(f, 0, 2, 1000);
}

static const struct {
	unsigned link;
	int64_t ns;
	size_t seen, wire;
} want[] = {
	{ 1, SECOND, 6, 100 },	       { 276, 2 * SECOND, 7, 100 }, { 1, 2 * SECOND, 4, 100 },
	{ 276, 2 * SECOND + 1, 1, 1 }, { 101, 3 * SECOND, 4, 100 },
};

static void test_interfaces(void)
{
	struct packet_record r;
	struct pcapng p;
	struct file f;

	build(&f);
	CHECK_EQ(pcapng_open(&p, f.bytes, f.len), 0);
	CHECK_EQ(p.interfaces_count, 2); /* before the first packet: filters are made for them */
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		check_case("packet %zu", i);
		CHECK_EQ(pcapng_next(&p, &r), 1);
		CHECK_EQ(r.link, want[i].link);
		CHECK_EQ(r.ns, want[i].ns);
		CHECK_EQ(r.seen, want[i].seen);
		CHECK_EQ(r.wire, want[i].wire);
	}
	CHECK_EQ(pcapng_next(&p, &r), 0);
	CHECK(!p.cut);
	CHECK_EQ(p.dropped, 15 + 100 + 1000);
	CHECK_EQ(p.dropped_device, 1 + 2);
}

/* What is whole of a file that was cut is read, and that it was cut is known. */
static void test_cut(void)
{
	struct file f;

	build(&f);
	for (size_t cut = 0; cut < f.len; cut++) {
		uint8_t *exact = malloc(cut + !cut);
		struct packet_record r;
		struct pcapng p;
		size_t packets = 0;

		memcpy(exact, f.bytes, cut);
		check_case("%zu bytes of %zu", cut, f.len);
		if (pcapng_open(&p, exact, cut)) {
			CHECK(cut < 28);
		} else {
			while (pcapng_next(&p, &r)) {
				CHECK_EQ(r.link, want[packets].link);
				packets++;
			}
			CHECK_EQ(p.cut, p.at != cut);
		}
		free(exact);
	}
}

/* The 32 bits at `at` are another number: what is read before it stays, and that is all. */
static const struct {
	const char *name;
	size_t at;
	uint32_t value;
} wrong[] = {
	{ "a length that nothing has", 4, 0xfffffff0 },
	{ "lengths that differ", 8, 36 },
	{ "a packet larger than its block", 20, 9 },
	{ "an interface that there is not", 8, 1 },
};

static void test_nonsense(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct file f = { .len = 0 };
		struct packet_record r;
		struct pcapng p;
		size_t packet, at;

		check_case("%s", wrong[i].name);
		put_section(&f, false);
		put_interface(&f, 1, 6, 0);
		packet = f.len;
		put_packet(&f, 0, 1, 8);
		at = f.len;
		memcpy(f.bytes + at, f.bytes + packet, at - packet);
		f.len += at - packet;
		if (i == 1)
			memcpy(f.bytes + f.len - 4, &wrong[i].value, 4);
		else
			memcpy(f.bytes + at + wrong[i].at, &wrong[i].value, 4);
		CHECK_EQ(pcapng_open(&p, f.bytes, f.len), 0);
		CHECK_EQ(pcapng_next(&p, &r), 1);
		CHECK_EQ(pcapng_next(&p, &r), 0);
		CHECK(p.cut);
	}
}

int main(void)
{
	struct pcapng p;

	CHECK(pcapng_open(&p, (const uint8_t *)"no capture, but long enough", 27) < 0);
	RUN(test_stamps);
	RUN(test_interfaces);
	RUN(test_cut);
	RUN(test_nonsense);
	return check_done();
}
