/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does to a capture file what networks and captures do, the same each time:
 *
 *	recapture WHAT N IN OUT
 *
 *	drop N		every Nth packet is missing
 *	twice 0		each packet is there twice
 *	shuffle N	packets within N ms change places; the stamps are those of the new places
 *	snap N		of each packet N bytes
 *	first N, rest N	the first N packets, or the others
 *	back N		from the middle on the clock is N s behind
 *
 * Says how many packets it wrote, and how many it changed, left out or added.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_US 0xa1b2c3d4u
#define PACKETS_MAX (1 << 22)
#define US_A_SECOND 1000000

struct packet {
	uint32_t seconds, us, seen, wire;
	uint8_t *bytes;
};

struct capture {
	uint32_t header[6];
	struct packet *packets;
	size_t count;
	size_t changed;
};

static void read_capture(struct capture *c, const char *path)
{
	FILE *in = fopen(path, "rb");
	struct packet p;

	if (!in || fread(c->header, sizeof(c->header), 1, in) != 1 || c->header[0] != MAGIC_US)
		errx(1, "'%s' is no capture with stamps in us", path);
	c->packets = calloc(PACKETS_MAX, sizeof(*c->packets));
	while (c->count < PACKETS_MAX && fread(&p, 16, 1, in) == 1) {
		p.bytes = malloc(p.seen + !p.seen);
		if (p.seen && fread(p.bytes, p.seen, 1, in) != 1)
			errx(1, "'%s' ends within a packet", path);
		c->packets[c->count++] = p;
	}
	fclose(in);
}

static int64_t us_of(const struct packet *p)
{
	return (int64_t)p->seconds * US_A_SECOND + p->us;
}

static void drop(struct capture *c, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++)
		if ((i + 1) % n)
			c->packets[kept++] = c->packets[i];
	c->changed = c->count - kept;
	c->count = kept;
}

static void twice(struct capture *c, size_t n)
{
	if (2 * c->count > PACKETS_MAX)
		errx(1, "too many packets");
	for (size_t i = 2 * c->count; i-- > 0;)
		c->packets[i] = c->packets[i / 2];
	c->changed = c->count;
	c->count *= 2;
}

/* Those from..to change places, their stamps stay. */
static void mix(struct capture *c, size_t from, size_t to, unsigned short state[3])
{
	for (size_t i = to - 1; i > from; i--) {
		struct packet *a = &c->packets[i];
		struct packet *b = &c->packets[from + (size_t)nrand48(state) % (i - from + 1)];
		struct packet kept = *a;

		c->changed += a != b;
		a->seen = b->seen;
		a->wire = b->wire;
		a->bytes = b->bytes;
		b->seen = kept.seen;
		b->wire = kept.wire;
		b->bytes = kept.bytes;
	}
}

static void shuffle(struct capture *c, size_t n)
{
	unsigned short state[3] = { 7, 7, 7 };

	for (size_t from = 0, to; from < c->count; from = to) {
		for (to = from; to < c->count && us_of(&c->packets[to]) - us_of(&c->packets[from]) <
							 (int64_t)n * 1000;)
			to++;
		to += to == from;
		mix(c, from, to, state);
	}
}

static void snap(struct capture *c, size_t n)
{
	for (size_t i = 0; i < c->count; i++) {
		c->changed += c->packets[i].seen > n;
		if (c->packets[i].seen > n)
			c->packets[i].seen = (uint32_t)n;
	}
}

static void first(struct capture *c, size_t n)
{
	c->changed = c->count > n ? c->count - n : 0;
	c->count -= c->changed;
}

static void rest(struct capture *c, size_t n)
{
	c->changed = n < c->count ? n : c->count;
	c->count -= c->changed;
	memmove(c->packets, c->packets + c->changed, c->count * sizeof(*c->packets));
}

static void back(struct capture *c, size_t n)
{
	for (size_t i = c->count / 2; i < c->count; i++) {
		c->packets[i].seconds -= (uint32_t)n;
		c->changed++;
	}
}

static const struct {
	const char *name;
	void (*run)(struct capture *c, size_t n);
} rewrites[] = {
	{ "drop", drop },   { "twice", twice }, { "shuffle", shuffle }, { "snap", snap },
	{ "first", first }, { "rest", rest },	{ "back", back },
};

static void write_capture(const struct capture *c, const char *path)
{
	FILE *out = fopen(path, "wb");

	if (!out)
		err(1, "%s", path);
	fwrite(c->header, sizeof(c->header), 1, out);
	for (size_t i = 0; i < c->count; i++) {
		fwrite(&c->packets[i], 16, 1, out);
		fwrite(c->packets[i].bytes, 1, c->packets[i].seen, out);
	}
	if (fclose(out))
		err(1, "%s", path);
}

int main(int argc, char **argv)
{
	struct capture c = { 0 };

	for (size_t i = 0; argc == 5 && i < sizeof(rewrites) / sizeof(rewrites[0]); i++) {
		if (strcmp(argv[1], rewrites[i].name))
			continue;
		read_capture(&c, argv[3]);
		rewrites[i].run(&c, strtoul(argv[2], NULL, 10));
		write_capture(&c, argv[4]);
		printf("packets %zu changed %zu\n", c.count, c.changed);
		return 0;
	}
	errx(2, "usage: recapture drop|twice|shuffle|snap|first|rest|back N IN OUT");
}
