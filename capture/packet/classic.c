/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/classic.h"

#include <errno.h>
#include <string.h>

#define HEADER 24
#define RECORD 16
#define MAGIC_US 0xa1b2c3d4u
#define MAGIC_NS 0xa1b23c4du
#define NS_A_SECOND 1000000000LL

static uint32_t get(const struct classic *c, size_t at)
{
	uint32_t value;

	memcpy(&value, c->bytes + at, sizeof(value));
	return c->swapped ? __builtin_bswap32(value) : value;
}

static const struct {
	uint32_t magic;
	uint32_t ns_per_unit;
} magics[] = { { MAGIC_US, 1000 }, { MAGIC_NS, 1 } };

int classic_open(struct classic *c, const uint8_t *bytes, size_t size)
{
	*c = (struct classic){ .bytes = bytes, .size = size, .at = HEADER };
	if (size < HEADER)
		return -EINVAL;
	for (size_t i = 0; i < 2 * sizeof(magics) / sizeof(magics[0]); i++) {
		c->swapped = i & 1;
		if (get(c, 0) != magics[i / 2].magic)
			continue;
		c->ns_per_unit = magics[i / 2].ns_per_unit;
		c->link = get(c, 20) & 0xffff; /* the rest tells of checksums behind frames */
		return 0;
	}
	return -EINVAL;
}

int classic_next(struct classic *c, struct packet_record *ret_record)
{
	size_t left = c->size - c->at;
	uint32_t seen, wire;

	if (!left || c->cut)
		return 0;
	if (left < RECORD) {
		c->cut = 1;
		return 0;
	}
	seen = get(c, c->at + 8);
	wire = get(c, c->at + 12);
	if (seen > CLASSIC_PACKET_MAX || seen > left - RECORD) {
		c->cut = 1;
		return 0;
	}
	*ret_record = (struct packet_record){
		.ns = get(c, c->at) * NS_A_SECOND + (int64_t)get(c, c->at + 4) * c->ns_per_unit,
		.link = c->link,
		.bytes = c->bytes + c->at + RECORD,
		.seen = seen,
		.wire = wire > seen ? wire : seen,
	};
	c->at += RECORD + seen;
	return 1;
}
