/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_DECODE_H
#define GAIT_CAPTURE_PACKET_DECODE_H

#include <stddef.h>
#include <stdint.h>

/*
 * From the bytes of a captured packet to what a TCP segment or a UDP datagram says: who, to whom,
 * where in the stream. Pure: no allocation, no state. docs/PACKETS.md has what is understood.
 */

/* Link types of capture files that are understood (LINKTYPE_ of https://www.tcpdump.org). */
enum link_type {
	LINK_NULL = 0, /* family in the capturing host's byte order */
	LINK_ETHERNET = 1,
	LINK_RAW_DLT = 12, /* what libpcap calls LINK_RAW on Linux */
	LINK_RAW = 101,
	LINK_LOOP = 108, /* family in network byte order */
	LINK_SLL = 113,	 /* Linux "any", cooked */
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

/* What came of it: a segment, a datagram, or why it is neither. */
enum packet_kind {
	PACKET_TCP,
	PACKET_UDP,
	PACKET_NOT_IP,	     /* ARP, LLDP ... */
	PACKET_NOT_TCP_UDP,  /* ICMP, SCTP, ESP ... */
	PACKET_FRAGMENT,     /* of an IP packet: its bytes are missing in their flow */
	PACKET_CUT,	     /* a header lies beyond what was captured */
	PACKET_MALFORMED,    /* lengths contradict each other */
	PACKET_LINK_UNKNOWN, /* its link type is none of the above */
	PACKET_KIND_COUNT
};

enum packet_flag {
	PACKET_FIN = 0x01,
	PACKET_SYN = 0x02,
	PACKET_RST = 0x04,
	PACKET_PUSH = 0x08,
	PACKET_ACK = 0x10,
};

/* An end of a connection. IPv4 addresses are mapped into IPv6 (::ffff:1.2.3.4). */
struct packet_end {
	uint8_t address[16];
	uint16_t port;
};

struct packet {
	int64_t ns; /* when it was captured; decode leaves it alone */
	struct packet_end from, to;
	uint32_t seq, ack;
	uint32_t mark; /* of identification, checksum and the like: a copy has the same */
	uint16_t window;
	uint8_t flags;		/* enum packet_flag */
	uint8_t tunnels;	/* it was inside so many (VXLAN, GRE, IP in IP) */
	uint32_t total;		/* bytes of payload on the wire */
	uint32_t seen;		/* of them, captured */
	const uint8_t *payload; /* lent from the packet's bytes */
};

#define PACKET_TUNNELS_MAX 4 /* deeper ones are no TCP or UDP to us */

/*
 * `seen` bytes of a packet that had `wire` on the wire (seen <= wire). Of *ret_packet all but ns is
 * set, when the result is PACKET_TCP or PACKET_UDP; else nothing in it means anything.
 */
enum packet_kind packet_decode(unsigned link, const uint8_t *bytes, size_t seen, size_t wire,
			       struct packet *ret_packet);

/* Whether packet_decode() knows it; else all its packets are PACKET_LINK_UNKNOWN. */
int packet_link_is_known(unsigned link);

#endif
