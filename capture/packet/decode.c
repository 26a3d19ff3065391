/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/decode.h"

#include <stdbool.h>
#include <string.h>

#define ETHERTYPE_BRIDGED 0x6558 /* an Ethernet frame, in GRE */
#define VXLAN_PORT 4789
#define VXLAN_PORT_LINUX 8472 /* the kernel's default before the number was assigned */
#define VXLAN_HEADER 8
#define VXLAN_HAS_ID 0x08
#define VLANS_MAX 4
#define EXTENSIONS_MAX 16

enum ether_type {
	ETHER_IPV4 = 0x0800,
	ETHER_VLAN = 0x8100,
	ETHER_IPV6 = 0x86dd,
	ETHER_QINQ = 0x88a8,
	ETHER_QINQ_OLD = 0x9100,
};

enum ip_protocol {
	IP_HOP_BY_HOP = 0,
	IP_IPV4 = 4,
	IP_TCP = 6,
	IP_UDP = 17,
	IP_IPV6 = 41,
	IP_ROUTING = 43,
	IP_FRAGMENT = 44,
	IP_GRE = 47,
	IP_AUTHENTICATION = 51,
	IP_DESTINATION = 60,
	IP_MOBILITY = 135,
};

/* What is left of a packet behind the headers that have been read. */
struct rest {
	const uint8_t *at;
	size_t seen, wire; /* seen <= wire */
	unsigned tunnels;
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* Whether a header of n bytes is there, all of it. */
static bool has(const struct rest *r, size_t n)
{
	return r->seen >= n;
}

/* It is not: the capture is short of it, or the packet itself was. */
static enum packet_kind lacks(const struct rest *r, size_t n)
{
	return r->wire >= n ? PACKET_CUT : PACKET_MALFORMED;
}

static void skip(struct rest *r, size_t n)
{
	r->at += n;
	r->seen -= n;
	r->wire -= n;
}

/* What lies behind the first n bytes is padding, or another header's. */
static void trim(struct rest *r, size_t n)
{
	r->wire = n;
	if (r->seen > n)
		r->seen = n;
}

static enum packet_kind decode_ethernet(struct rest *r, struct packet *ret);
static enum packet_kind decode_ip(struct rest *r, struct packet *ret);
static enum packet_kind decode_protocol(struct rest *r, uint8_t protocol, struct packet *ret);

static enum packet_kind decode_ether_type(struct rest *r, uint16_t type, struct packet *ret)
{
	for (int i = 0;
	     i < VLANS_MAX && (type == ETHER_VLAN || type == ETHER_QINQ || type == ETHER_QINQ_OLD);
	     i++) {
		if (!has(r, 4))
			return lacks(r, 4);
		type = get16(r->at + 2);
		skip(r, 4);
	}
	if (type == ETHER_IPV4 || type == ETHER_IPV6)
		return decode_ip(r, ret);
	return PACKET_NOT_IP;
}

static enum packet_kind decode_ethernet(struct rest *r, struct packet *ret)
{
	uint16_t type;

	if (!has(r, 14))
		return lacks(r, 14);
	type = get16(r->at + 12);
	skip(r, 14);
	return decode_ether_type(r, type, ret);
}

static bool goes_deeper(struct rest *r)
{
	return ++r->tunnels <= PACKET_TUNNELS_MAX;
}

static enum packet_kind decode_tcp(struct rest *r, struct packet *ret)
{
	size_t header;

	if (!has(r, 20))
		return lacks(r, 20);
	header = (r->at[12] >> 4) * 4u;
	if (header < 20 || header > r->wire)
		return PACKET_MALFORMED;
	ret->from.port = get16(r->at);
	ret->to.port = get16(r->at + 2);
	ret->seq = get32(r->at + 4);
	ret->ack = get32(r->at + 8);
	ret->flags = r->at[13];
	ret->window = get16(r->at + 14);
	ret->mark = ret->mark << 16 ^ get16(r->at + 16) ^ (uint32_t)ret->window << 16;
	ret->total = r->wire - header;
	ret->seen = r->seen > header ? r->seen - header : 0;
	ret->payload = r->at + (ret->seen ? header : 0);
	ret->tunnels = r->tunnels;
	return PACKET_TCP;
}

/* A VXLAN header, with a frame behind it that makes sense? */
static bool decode_vxlan(const struct rest *datagram, struct packet *ret,
			 enum packet_kind *ret_kind)
{
	struct rest r = *datagram;
	struct packet inner;

	if (!has(&r, VXLAN_HEADER)) {
		*ret_kind = PACKET_CUT;
		return r.wire >= VXLAN_HEADER;
	}
	if (r.at[0] != VXLAN_HAS_ID || !goes_deeper(&r))
		return false;
	skip(&r, VXLAN_HEADER);
	*ret_kind = decode_ethernet(&r, &inner);
	if (*ret_kind == PACKET_TCP || *ret_kind == PACKET_UDP) {
		inner.ns = ret->ns;
		*ret = inner;
	}
	return *ret_kind != PACKET_MALFORMED;
}

static enum packet_kind decode_udp(struct rest *r, struct packet *ret)
{
	enum packet_kind kind;
	size_t length;

	if (!has(r, 8))
		return lacks(r, 8);
	ret->from.port = get16(r->at);
	ret->to.port = get16(r->at + 2);
	length = get16(r->at + 4);
	ret->mark = ret->mark << 16 ^ get16(r->at + 6);
	if (length && (length < 8 || length > r->wire)) /* 0: a jumbogram, or offloaded */
		return PACKET_MALFORMED;
	if (length)
		trim(r, length);
	skip(r, 8);
	if ((ret->to.port == VXLAN_PORT || ret->to.port == VXLAN_PORT_LINUX) &&
	    decode_vxlan(r, ret, &kind))
		return kind;
	ret->seq = ret->ack = 0;
	ret->window = ret->flags = 0;
	ret->total = r->wire;
	ret->seen = r->seen;
	ret->payload = r->at;
	ret->tunnels = r->tunnels;
	return PACKET_UDP;
}

static enum packet_kind decode_gre(struct rest *r, struct packet *ret)
{
	size_t header = 4;
	uint16_t type;
	uint8_t has_what;

	if (!has(r, 4))
		return lacks(r, 4);
	has_what = r->at[0];
	type = get16(r->at + 2);
	if (r->at[1] & 7) /* version 1 is PPTP's */
		return PACKET_NOT_TCP_UDP;
	header += (has_what & 0x80 ? 4 : 0) + (has_what & 0x20 ? 4 : 0) + (has_what & 0x10 ? 4 : 0);
	if (!has(r, header))
		return lacks(r, header);
	skip(r, header);
	if (!goes_deeper(r))
		return PACKET_NOT_TCP_UDP;
	return type == ETHERTYPE_BRIDGED ? decode_ethernet(r, ret) :
					   decode_ether_type(r, type, ret);
}

static enum packet_kind decode_protocol(struct rest *r, uint8_t protocol, struct packet *ret)
{
	switch (protocol) {
	case IP_TCP:
		return decode_tcp(r, ret);
	case IP_UDP:
		return decode_udp(r, ret);
	case IP_GRE:
		return decode_gre(r, ret);
	case IP_IPV4:
	case IP_IPV6:
		return goes_deeper(r) ? decode_ip(r, ret) : PACKET_NOT_TCP_UDP;
	default:
		return PACKET_NOT_TCP_UDP;
	}
}

static void map_ipv4(uint8_t ret_address[16], const uint8_t *at)
{
	memset(ret_address, 0, 10);
	memset(ret_address + 10, 0xff, 2);
	memcpy(ret_address + 12, at, 4);
}

static enum packet_kind decode_ipv4(struct rest *r, struct packet *ret)
{
	size_t header, length;
	uint8_t protocol;

	if (!has(r, 20))
		return lacks(r, 20);
	header = (r->at[0] & 15) * 4u;
	length = get16(r->at + 2);
	if (!length) /* left to the device by segmentation offload */
		length = r->wire;
	if (header < 20 || length < header || length > r->wire)
		return PACKET_MALFORMED;
	if (get16(r->at + 6) & 0x3fff) /* more of it follows, or came before */
		return PACKET_FRAGMENT;
	protocol = r->at[9];
	ret->mark = get16(r->at + 4);
	map_ipv4(ret->from.address, r->at + 12);
	map_ipv4(ret->to.address, r->at + 16);
	trim(r, length);
	if (!has(r, header))
		return lacks(r, header);
	skip(r, header);
	return decode_protocol(r, protocol, ret);
}

/* How long an extension header is; 0: it is none. */
static size_t extension_bytes(uint8_t protocol, const uint8_t *at)
{
	switch (protocol) {
	case IP_HOP_BY_HOP:
	case IP_ROUTING:
	case IP_DESTINATION:
	case IP_MOBILITY:
		return (at[1] + 1u) * 8;
	case IP_AUTHENTICATION:
		return (at[1] + 2u) * 4;
	case IP_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

static bool is_extension(uint8_t protocol)
{
	static const uint8_t length[2];

	return extension_bytes(protocol, length) != 0;
}

static enum packet_kind decode_ipv6(struct rest *r, struct packet *ret)
{
	size_t length;
	uint8_t protocol;

	if (!has(r, 40))
		return lacks(r, 40);
	length = get16(r->at + 4);
	protocol = r->at[6];
	ret->mark = 0;
	memcpy(ret->from.address, r->at + 8, 16);
	memcpy(ret->to.address, r->at + 24, 16);
	skip(r, 40);
	if (length > r->wire)
		return PACKET_MALFORMED;
	if (length) /* 0: a jumbogram, as of BIG TCP */
		trim(r, length);
	for (int i = 0; is_extension(protocol); i++) {
		size_t header;

		if (i == EXTENSIONS_MAX)
			return PACKET_MALFORMED;
		if (!has(r, 8))
			return lacks(r, 8);
		/* one that is whole in itself is no fragment, though it says so */
		if (protocol == IP_FRAGMENT && (get16(r->at + 2) & 0xfff9))
			return PACKET_FRAGMENT;
		header = extension_bytes(protocol, r->at);
		if (!has(r, header))
			return lacks(r, header);
		protocol = r->at[0];
		skip(r, header);
	}
	return decode_protocol(r, protocol, ret);
}

static enum packet_kind decode_ip(struct rest *r, struct packet *ret)
{
	if (!has(r, 1))
		return lacks(r, 1);
	switch (r->at[0] >> 4) {
	case 4:
		return decode_ipv4(r, ret);
	case 6:
		return decode_ipv6(r, ret);
	default:
		return PACKET_NOT_IP;
	}
}

/* A header of `bytes`, in which the type of what follows is at type_at; -1: it is IP. */
static const struct link_layer {
	unsigned link;
	uint8_t bytes;
	int8_t type_at;
} links[] = {
	{ LINK_ETHERNET, 14, 12 }, { LINK_SLL, 16, 14 }, { LINK_SLL2, 20, 0 },
	{ LINK_NULL, 4, -1 },	   { LINK_LOOP, 4, -1 }, { LINK_RAW, 0, -1 },
	{ LINK_RAW_DLT, 0, -1 },   { LINK_IPV4, 0, -1 }, { LINK_IPV6, 0, -1 },
};

static const struct link_layer *find_link(unsigned link)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i].link == link)
			return &links[i];
	return NULL;
}

int packet_link_is_known(unsigned link)
{
	return find_link(link) != NULL;
}

enum packet_kind packet_decode(unsigned link, const uint8_t *bytes, size_t seen, size_t wire,
			       struct packet *ret_packet)
{
	struct rest r = { .at = bytes, .seen = seen, .wire = wire < seen ? seen : wire };
	const struct link_layer *layer = find_link(link);
	uint16_t type;

	if (!layer)
		return PACKET_LINK_UNKNOWN;
	if (!has(&r, layer->bytes))
		return lacks(&r, layer->bytes);
	if (layer->type_at < 0) {
		skip(&r, layer->bytes);
		return decode_ip(&r, ret_packet);
	}
	type = get16(r.at + layer->type_at);
	skip(&r, layer->bytes);
	return decode_ether_type(&r, type, ret_packet);
}
