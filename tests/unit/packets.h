/* SPDX-License-Identifier: Apache-2.0 */
/* Packets as they lie in a capture file, put together header by header. */
#ifndef GAIT_TESTS_PACKETS_H
#define GAIT_TESTS_PACKETS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MAX 2048

/* Grows towards the front: payload first, then the headers around it. */
struct wire {
	uint8_t bytes[WIRE_MAX];
	size_t start, len;
};

static inline const uint8_t *wire_at(const struct wire *w)
{
	return w->bytes + w->start;
}

static inline uint8_t *wire_push(struct wire *w, size_t n)
{
	if (w->start < n)
		abort();
	w->start -= n;
	w->len += n;
	memset(w->bytes + w->start, 0, n);
	return w->bytes + w->start;
}

static inline void wire_init(struct wire *w, const void *payload, size_t len)
{
	w->start = WIRE_MAX;
	w->len = 0;
	if (len)
		memcpy(wire_push(w, len), payload, len);
}

static inline void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static inline void wire_tcp(struct wire *w, uint16_t from, uint16_t to, uint32_t seq, uint32_t ack,
			    unsigned flags)
{
	uint8_t *at = wire_push(w, 32); /* with 12 bytes of options */

	put16(at, from);
	put16(at + 2, to);
	put32(at + 4, seq);
	put32(at + 8, ack);
	at[12] = 8 << 4;
	at[13] = (uint8_t)flags;
	put16(at + 14, 512);
	memset(at + 20, 1, 12);
}

static inline void wire_udp(struct wire *w, uint16_t from, uint16_t to)
{
	uint8_t *at = wire_push(w, 8);

	put16(at, from);
	put16(at + 2, to);
	put16(at + 4, (unsigned)w->len);
}

/* 10.0.0.FROM to 10.0.0.TO */
static inline void wire_ipv4(struct wire *w, unsigned protocol, uint8_t from, uint8_t to,
			     unsigned id)
{
	uint8_t *at = wire_push(w, 20);

	at[0] = 0x45;
	put16(at + 2, (unsigned)w->len);
	put16(at + 4, id);
	at[8] = 64;
	at[9] = (uint8_t)protocol;
	at[12] = at[16] = 10;
	at[15] = from;
	at[19] = to;
}

/* fd00::FROM to fd00::TO */
static inline void wire_ipv6(struct wire *w, unsigned protocol, uint8_t from, uint8_t to)
{
	size_t payload = w->len;
	uint8_t *at = wire_push(w, 40);

	at[0] = 0x60;
	put16(at + 4, (unsigned)payload);
	at[6] = (uint8_t)protocol;
	at[8] = at[24] = 0xfd;
	at[23] = from;
	at[39] = to;
}

static inline void wire_ethernet(struct wire *w, unsigned type)
{
	put16(wire_push(w, 14) + 12, type);
}

/* One byte too far is ASan's to find: each packet is decoded at the end of its own allocation. */
static inline uint8_t *wire_exact(const struct wire *w, size_t seen)
{
	uint8_t *exact = malloc(seen + !seen);

	if (!exact)
		abort();
	memcpy(exact, wire_at(w), seen);
	return exact;
}

#endif
