/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_PCAPNG_H
#define GAIT_CAPTURE_PACKET_PCAPNG_H

#include "capture/packet/classic.h"

#include <stdbool.h>

/*
 * The block format (draft-ietf-opsawg-pcapng) in memory, in either byte order: interfaces of any link
 * types, resolutions of stamps and lengths of packets side by side, and several sections, one behind
 * the other. libpcap refuses the first two. Pure.
 */
#define PCAPNG_INTERFACES_MAX 256    /* of a section; of more the link type is unknown */
#define PCAPNG_LINK_NONE 0xffffffffu /* of a packet whose interface is beyond that */

struct pcapng_interface {
	unsigned link;
	uint32_t snap_bytes; /* 0: no limit */
	bool binary;	     /* a second has 2^digits units, else 10^digits */
	uint8_t digits;
	int64_t offset_s; /* of its stamps, to 1970 */
	uint64_t dropped, dropped_device;
};

struct pcapng {
	const uint8_t *bytes;
	size_t size, at;
	bool swapped;
	int cut; /* the file ends within a block, or goes on with what is none */
	int64_t last_ns;
	uint64_t dropped;	 /* packets that the system had no room for, as the file says */
	uint64_t dropped_device; /* that the interface had none for */
	size_t interfaces_count; /* of this section, told so far */
	struct pcapng_interface interfaces[PCAPNG_INTERFACES_MAX];
};

/* 0, having read what stands before the first packet; or -EINVAL: it is another format. */
int pcapng_open(struct pcapng *p, const uint8_t *bytes, size_t size);

/* 1: a packet; 0: that was all. */
int pcapng_next(struct pcapng *p, struct packet_record *ret_record);

#endif
