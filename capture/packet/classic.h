/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_CLASSIC_H
#define GAIT_CAPTURE_PACKET_CLASSIC_H

#include <stddef.h>
#include <stdint.h>

/* A packet as it lies in a capture file. */
struct packet_record {
	int64_t ns; /* since 1970 */
	unsigned link;
	const uint8_t *bytes; /* lent until the next one is read */
	size_t seen, wire;    /* captured, of so many; seen <= wire */
};

/*
 * The plain capture format (savefile(5)) in memory, in either byte order, stamps in us or ns. A
 * capture of full-size packets is read at the speed of memory this way. Pure.
 */
struct classic {
	const uint8_t *bytes;
	size_t size, at;
	uint32_t ns_per_unit; /* of the stamps */
	unsigned link;
	int swapped;
	int cut; /* the file ends within a packet, or goes on with what is none */
};

#define CLASSIC_PACKET_MAX (1 << 26) /* captured bytes of one; more is no packet */

/* 0, or -EINVAL: it is another format. */
int classic_open(struct classic *c, const uint8_t *bytes, size_t size);

/* 1: a packet; 0: that was all. */
int classic_next(struct classic *c, struct packet_record *ret_record);

#endif
