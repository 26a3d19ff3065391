/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/pcapng.h"

#include <errno.h>
#include <string.h>

#define NS_A_SECOND 1000000000LL
#define SECONDS_MAX UINT32_MAX /* the year 2106, as in a plain capture */
#define MAGIC 0x1a2b3c4du
#define MAJOR 1
#define HEAD 8	 /* type and length */
#define FRAME 12 /* with the length again, behind the body */
#define MICROSECONDS 6

enum block_type {
	BLOCK_INTERFACE = 1,
	BLOCK_OLD_PACKET = 2,
	BLOCK_SIMPLE_PACKET = 3,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0a0d0d0a, /* the same in either byte order */
};

enum option {
	OPTION_END = 0,
	OPTION_IF_TSRESOL = 9,
	OPTION_IF_TSOFFSET = 14,
	OPTION_ISB_IFDROP = 5,
	OPTION_ISB_OSDROP = 7,
};

/* The body of a block. */
struct block {
	uint32_t type;
	const uint8_t *at;
	size_t size;
};

static uint16_t get16(const struct pcapng *p, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return p->swapped ? __builtin_bswap16(value) : value;
}

static uint32_t get32(const struct pcapng *p, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return p->swapped ? __builtin_bswap32(value) : value;
}

static uint64_t get64(const struct pcapng *p, const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return p->swapped ? __builtin_bswap64(value) : value;
}

/* The next option of a list; false: there is none. */
static bool next_option(const struct pcapng *p, struct block *list, uint16_t *ret_code,
			struct block *ret_value)
{
	size_t length, padded;

	if (list->size < 4)
		return false;
	*ret_code = get16(p, list->at);
	length = get16(p, list->at + 2);
	padded = (length + 3) & ~(size_t)3;
	if (*ret_code == OPTION_END || padded > list->size - 4)
		return false;
	*ret_value = (struct block){ .at = list->at + 4, .size = length };
	list->at += 4 + padded;
	list->size -= 4 + padded;
	return true;
}

/* The options of a block begin behind `fixed` bytes of its body. */
static struct block options_of(const struct block *b, size_t fixed)
{
	return (struct block){ .at = b->at + fixed, .size = b->size - fixed };
}

static bool take_section(struct pcapng *p, const struct block *b)
{
	p->interfaces_count = 0;
	return b->size >= 16 && get16(p, b->at + 4) == MAJOR;
}

static bool take_interface(struct pcapng *p, const struct block *b)
{
	struct pcapng_interface i = { .digits = MICROSECONDS };
	struct block options, value;
	uint16_t code;

	if (b->size < 8)
		return false;
	i.link = get16(p, b->at);
	i.snap_bytes = get32(p, b->at + 4);
	options = options_of(b, 8);
	while (next_option(p, &options, &code, &value)) {
		if (code == OPTION_IF_TSRESOL && value.size >= 1) {
			i.binary = value.at[0] & 0x80;
			i.digits = value.at[0] & 0x7f;
		} else if (code == OPTION_IF_TSOFFSET && value.size >= 8) {
			i.offset_s = (int64_t)get64(p, value.at);
		}
	}
	if (p->interfaces_count < PCAPNG_INTERFACES_MAX)
		p->interfaces[p->interfaces_count] = i;
	p->interfaces_count++;
	return true;
}

/* It counts from the begin of the capture, and its block may come again and again. */
static void count_dropped(uint64_t now, uint64_t *last, uint64_t *sum)
{
	if (now <= *last)
		return;
	*sum += now - *last;
	*last = now;
}

static bool take_statistics(struct pcapng *p, const struct block *b)
{
	struct pcapng_interface *i;
	struct block options, value;
	uint32_t number;
	uint16_t code;

	if (b->size < 12)
		return false;
	number = get32(p, b->at);
	if (number >= p->interfaces_count || number >= PCAPNG_INTERFACES_MAX)
		return true;
	i = &p->interfaces[number];
	options = options_of(b, 12);
	while (next_option(p, &options, &code, &value)) {
		if (value.size < 8)
			continue;
		if (code == OPTION_ISB_OSDROP)
			count_dropped(get64(p, value.at), &i->dropped, &p->dropped);
		else if (code == OPTION_ISB_IFDROP)
			count_dropped(get64(p, value.at), &i->dropped_device, &p->dropped_device);
	}
	return true;
}

static uint64_t power_of_ten(unsigned digits)
{
	uint64_t power = 1;

	while (digits--)
		power *= 10;
	return power;
}

/* Units to seconds and ns. What is finer than 10^-19 s or 2^-63 s is no clock, and takes no care. */
static uint64_t split_stamp(const struct pcapng_interface *i, uint64_t units, uint32_t *ret_ns)
{
	unsigned digits = i->digits;
	uint64_t a_second, rest;

	if (i->binary) {
		digits = digits < 63 ? digits : 63;
		rest = units & ((UINT64_C(1) << digits) - 1);
		if (digits > 34) /* so that the product fits */
			*ret_ns = (uint32_t)((rest >> (digits - 34)) * NS_A_SECOND >> 34);
		else
			*ret_ns = (uint32_t)(rest * NS_A_SECOND >> digits);
		return units >> digits;
	}
	digits = digits < 19 ? digits : 19;
	a_second = power_of_ten(digits);
	rest = units % a_second;
	*ret_ns = (uint32_t)(digits > 9 ? rest / power_of_ten(digits - 9) :
					  rest * power_of_ten(9 - digits));
	return units / a_second;
}

static int64_t stamp_ns(const struct pcapng_interface *i, uint64_t units)
{
	uint32_t ns;
	uint64_t seconds = split_stamp(i, units, &ns);
	int64_t sum;

	if (seconds > INT64_MAX || __builtin_add_overflow((int64_t)seconds, i->offset_s, &sum) ||
	    sum > SECONDS_MAX)
		sum = SECONDS_MAX;
	return (sum > 0 ? sum : 0) * NS_A_SECOND + ns;
}

/* `fixed` bytes, then the packet. False: its lengths contradict the block's. */
static bool fill_record(struct pcapng *p, const struct block *b, size_t fixed, uint32_t number,
			uint32_t seen, uint32_t wire, struct packet_record *ret_record)
{
	bool known = number < PCAPNG_INTERFACES_MAX;

	if (number >= p->interfaces_count || seen > b->size - fixed)
		return false;
	*ret_record = (struct packet_record){
		.link = known ? p->interfaces[number].link : PCAPNG_LINK_NONE,
		.bytes = b->at + fixed,
		.seen = seen,
		.wire = wire > seen ? wire : seen,
	};
	return true;
}

static bool take_packet(struct pcapng *p, const struct block *b, struct packet_record *ret_record)
{
	uint64_t units;
	uint32_t number;

	if (b->size < 20)
		return false;
	number = b->type == BLOCK_PACKET ? get32(p, b->at) : get16(p, b->at);
	units = (uint64_t)get32(p, b->at + 4) << 32 | get32(p, b->at + 8);
	if (number < p->interfaces_count && number < PCAPNG_INTERFACES_MAX)
		p->last_ns = stamp_ns(&p->interfaces[number], units);
	return fill_record(p, b, 20, number, get32(p, b->at + 12), get32(p, b->at + 16),
			   ret_record);
}

/* Of the first interface, and without a stamp: it passes for that of the packet before it. */
static bool take_simple_packet(struct pcapng *p, const struct block *b,
			       struct packet_record *ret_record)
{
	uint32_t wire, seen;

	if (b->size < 4 || !p->interfaces_count)
		return false;
	seen = wire = get32(p, b->at);
	if (p->interfaces[0].snap_bytes && seen > p->interfaces[0].snap_bytes)
		seen = p->interfaces[0].snap_bytes;
	return fill_record(p, b, 4, 0, seen, wire, ret_record);
}

static bool is_packet(uint32_t type)
{
	return type == BLOCK_PACKET || type == BLOCK_SIMPLE_PACKET || type == BLOCK_OLD_PACKET;
}

/* The block at `at`, not taken yet. False: there is none, or (`cut`) it is none. */
static bool peek(struct pcapng *p, struct block *ret_block)
{
	const uint8_t *at = p->bytes + p->at;
	size_t left = p->size - p->at;
	uint32_t length;

	if (!left || p->cut)
		return false;
	p->cut = 1;
	if (left < FRAME)
		return false;
	ret_block->type = get32(p, at);
	if (ret_block->type ==
	    BLOCK_SECTION) { /* from its length on, the byte order may be another */
		p->swapped = false;
		if (get32(p, at + HEAD) != MAGIC) {
			p->swapped = true;
			if (get32(p, at + HEAD) != MAGIC)
				return false;
		}
	}
	length = get32(p, at + 4);
	if (length < FRAME || length % 4 || length > left || get32(p, at + length - 4) != length)
		return false;
	ret_block->at = at + HEAD;
	ret_block->size = length - FRAME;
	p->cut = 0;
	return true;
}

/* What is no packet, up to the next that is one. True: *ret_block is that. */
static bool next_packet_block(struct pcapng *p, struct block *ret_block)
{
	bool fine = true;

	while (peek(p, ret_block) && !is_packet(ret_block->type)) {
		if (ret_block->type == BLOCK_SECTION)
			fine = take_section(p, ret_block);
		else if (ret_block->type == BLOCK_INTERFACE)
			fine = take_interface(p, ret_block);
		else if (ret_block->type == BLOCK_STATISTICS)
			fine = take_statistics(p, ret_block);
		if (!fine) {
			p->cut = 1;
			return false;
		}
		p->at += FRAME + ret_block->size;
	}
	return p->at < p->size && !p->cut;
}

int pcapng_open(struct pcapng *p, const uint8_t *bytes, size_t size)
{
	struct block first;

	memset(p, 0, sizeof(*p));
	p->bytes = bytes;
	p->size = size;
	if (!peek(p, &first) || first.type != BLOCK_SECTION)
		return -EINVAL;
	next_packet_block(p, &first);
	return 0;
}

int pcapng_next(struct pcapng *p, struct packet_record *ret_record)
{
	struct block b;
	bool fine;

	if (!next_packet_block(p, &b))
		return 0;
	fine = b.type == BLOCK_SIMPLE_PACKET ? take_simple_packet(p, &b, ret_record) :
					       take_packet(p, &b, ret_record);
	if (!fine) {
		p->cut = 1;
		return 0;
	}
	ret_record->ns = p->last_ns;
	p->at += FRAME + b.size;
	return 1;
}
