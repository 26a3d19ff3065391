/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of known layers: who, to whom, which bytes; and on every prefix of them nothing worse. */
#include "capture/packet/decode.h"

#include "check.h"
#include "packets.h"

#define PAYLOAD "PING\r\n"
#define PAYLOAD_BYTES (sizeof(PAYLOAD) - 1)

static void tcp4(struct wire *w)
{
	wire_init(w, PAYLOAD, PAYLOAD_BYTES);
	wire_tcp(w, 40000, 6379, 1000, 2000, PACKET_ACK | PACKET_PUSH);
	wire_ipv4(w, 6, 1, 2, 77);
}

static void ethernet(struct wire *w)
{
	tcp4(w);
	wire_ethernet(w, 0x0800);
}

/* Frames are padded to 60 bytes on the wire: that is nobody's payload. */
static void padded(struct wire *w)
{
	struct wire inner;

	ethernet(&inner);
	wire_init(w, "\0\0\0\0\0\0", 6);
	memcpy(wire_push(w, inner.len), wire_at(&inner), inner.len);
}

static void vlan(struct wire *w)
{
	tcp4(w);
	put16(wire_push(w, 4) + 2, 0x0800);
	wire_ethernet(w, 0x8100);
}

static void qinq(struct wire *w)
{
	tcp4(w);
	put16(wire_push(w, 4) + 2, 0x0800);
	put16(wire_push(w, 4) + 2, 0x8100);
	wire_ethernet(w, 0x88a8);
}

static void sll(struct wire *w)
{
	tcp4(w);
	put16(wire_push(w, 16) + 14, 0x0800);
}

static void sll2(struct wire *w)
{
	tcp4(w);
	put16(wire_push(w, 20), 0x0800);
}

static void null_link(struct wire *w)
{
	tcp4(w);
	wire_push(w, 4)[0] = 2;
}

static void tcp6(struct wire *w)
{
	wire_init(w, PAYLOAD, PAYLOAD_BYTES);
	wire_tcp(w, 40000, 6379, 1000, 2000, PACKET_ACK);
	wire_ipv6(w, 6, 1, 2);
}

/* Hop-by-hop options, destination options, and a fragment header of a whole packet. */
static void extensions(struct wire *w)
{
	uint8_t *at;

	wire_init(w, PAYLOAD, PAYLOAD_BYTES);
	wire_tcp(w, 40000, 6379, 1000, 2000, PACKET_ACK);
	wire_push(w, 8)[0] = 6;
	at = wire_push(w, 16);
	at[0] = 44;
	at[1] = 1;
	wire_push(w, 8)[0] = 60;
	wire_ipv6(w, 0, 1, 2);
}

static void udp(struct wire *w)
{
	wire_init(w, PAYLOAD, PAYLOAD_BYTES);
	wire_udp(w, 40000, 6379);
	wire_ipv4(w, 17, 1, 2, 78);
}

static void vxlan(struct wire *w)
{
	ethernet(w);
	wire_push(w, 8)[0] = 8;
	wire_udp(w, 55555, 4789);
	wire_ipv4(w, 17, 8, 9, 79);
	wire_ethernet(w, 0x0800);
}

static void gre(struct wire *w)
{
	uint8_t *at;

	tcp4(w);
	at = wire_push(w, 8); /* with a key */
	at[0] = 0x20;
	put16(at + 2, 0x0800);
	wire_ipv4(w, 47, 8, 9, 80);
}

static void gre_bridged(struct wire *w)
{
	ethernet(w);
	put16(wire_push(w, 4) + 2, 0x6558);
	wire_ipv4(w, 47, 8, 9, 81);
}

static void ip_in_ip(struct wire *w)
{
	tcp4(w);
	wire_ipv4(w, 4, 8, 9, 82);
}

static void arp(struct wire *w)
{
	wire_init(w, PAYLOAD, PAYLOAD_BYTES);
	wire_ethernet(w, 0x0806);
}

static void icmp(struct wire *w)
{
	wire_init(w, PAYLOAD, PAYLOAD_BYTES);
	wire_ipv4(w, 1, 1, 2, 83);
}

static void fragment(struct wire *w)
{
	udp(w);
	w->bytes[w->start + 6] = 0x20; /* more fragments */
}

static void fragment6(struct wire *w)
{
	uint8_t *at;

	wire_init(w, PAYLOAD, PAYLOAD_BYTES);
	at = wire_push(w, 8);
	at[0] = 17;
	put16(at + 2, 8 << 3);
	wire_ipv6(w, 44, 1, 2);
}

static void longer_than_it_is(struct wire *w)
{
	tcp4(w);
	put16(w->bytes + w->start + 2, 1400);
}

static void too_deep(struct wire *w)
{
	tcp4(w);
	for (int i = 0; i <= PACKET_TUNNELS_MAX; i++)
		wire_ipv4(w, 4, 8, 9, 84);
}

static const struct {
	const char *name;
	void (*build)(struct wire *w);
	unsigned link;
	enum packet_kind kind;
	unsigned tunnels;
	bool six;
} cases[] = {
	{ "Ethernet", ethernet, LINK_ETHERNET, PACKET_TCP, 0, false },
	{ "padded", padded, LINK_ETHERNET, PACKET_TCP, 0, false },
	{ "VLAN", vlan, LINK_ETHERNET, PACKET_TCP, 0, false },
	{ "QinQ", qinq, LINK_ETHERNET, PACKET_TCP, 0, false },
	{ "cooked", sll, LINK_SLL, PACKET_TCP, 0, false },
	{ "cooked v2", sll2, LINK_SLL2, PACKET_TCP, 0, false },
	{ "BSD loopback", null_link, LINK_NULL, PACKET_TCP, 0, false },
	{ "OpenBSD loopback", null_link, LINK_LOOP, PACKET_TCP, 0, false },
	{ "raw", tcp4, LINK_RAW, PACKET_TCP, 0, false },
	{ "raw, as libpcap says", tcp4, LINK_RAW_DLT, PACKET_TCP, 0, false },
	{ "IPv6", tcp6, LINK_IPV6, PACKET_TCP, 0, true },
	{ "IPv6 extensions", extensions, LINK_RAW, PACKET_TCP, 0, true },
	{ "UDP", udp, LINK_IPV4, PACKET_UDP, 0, false },
	{ "VXLAN", vxlan, LINK_ETHERNET, PACKET_TCP, 1, false },
	{ "GRE", gre, LINK_RAW, PACKET_TCP, 1, false },
	{ "GRE, bridged", gre_bridged, LINK_RAW, PACKET_TCP, 1, false },
	{ "IP in IP", ip_in_ip, LINK_RAW, PACKET_TCP, 1, false },
	{ "ARP", arp, LINK_ETHERNET, PACKET_NOT_IP, 0, false },
	{ "ICMP", icmp, LINK_RAW, PACKET_NOT_TCP_UDP, 0, false },
	{ "fragment", fragment, LINK_RAW, PACKET_FRAGMENT, 0, false },
	{ "fragment of IPv6", fragment6, LINK_RAW, PACKET_FRAGMENT, 0, false },
	{ "length beyond the packet", longer_than_it_is, LINK_RAW, PACKET_MALFORMED, 0, false },
	{ "tunnels in tunnels", too_deep, LINK_RAW, PACKET_NOT_TCP_UDP, 0, false },
	{ "unknown link", tcp4, 147, PACKET_LINK_UNKNOWN, 0, false },
};

static bool is_for_us(enum packet_kind kind)
{
	return kind == PACKET_TCP || kind == PACKET_UDP;
}

static void check_packet(const struct packet *p, enum packet_kind kind, bool six)
{
	static const uint8_t four[16] = { [10] = 0xff, 0xff, 10, 0, 0, 1 };
	static const uint8_t of_six[16] = { [0] = 0xfd, [15] = 1 };

	CHECK_MEM(p->from.address, six ? of_six : four, 16);
	CHECK_EQ(p->to.address[15], 2);
	CHECK_EQ(p->from.port, 40000);
	CHECK_EQ(p->to.port, 6379);
	CHECK_EQ(p->total, PAYLOAD_BYTES);
	if (kind == PACKET_TCP) {
		CHECK_EQ(p->seq, 1000);
		CHECK_EQ(p->ack, 2000);
		CHECK(p->flags & PACKET_ACK);
	}
}

static void test_layers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wire w;
		struct packet p = { .ns = 5 };
		uint8_t *exact;

		check_case("%s", cases[i].name);
		cases[i].build(&w);
		exact = wire_exact(&w, w.len);
		CHECK_EQ(packet_decode(cases[i].link, exact, w.len, w.len, &p), cases[i].kind);
		CHECK_EQ(p.ns, 5);
		if (is_for_us(cases[i].kind)) {
			check_packet(&p, cases[i].kind, cases[i].six);
			CHECK_EQ(p.tunnels, cases[i].tunnels);
			CHECK_EQ(p.seen, PAYLOAD_BYTES);
			CHECK_MEM(p.payload, PAYLOAD, PAYLOAD_BYTES);
		}
		free(exact);
	}
}

/* Cut by the capture at any byte: it is known that it was cut, or what is seen is as ever. */
static void test_snaplen(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wire w;

		cases[i].build(&w);
		for (size_t seen = 0; seen < w.len; seen++) {
			struct packet p = { 0 };
			uint8_t *exact = wire_exact(&w, seen);
			enum packet_kind kind =
				packet_decode(cases[i].link, exact, seen, w.len, &p);

			check_case("%s, %zu bytes seen of %zu", cases[i].name, seen, w.len);
			/* an inner packet that is cut is no datagram of the tunnel either */
			CHECK(kind == PACKET_CUT || kind == cases[i].kind);
			if (is_for_us(kind)) {
				check_packet(&p, kind, cases[i].six);
				CHECK(p.seen <= p.total);
				CHECK(p.payload >= exact && p.payload + p.seen <= exact + seen);
			}
			free(exact);
		}
	}
}

/* The packet itself was that short: contradictions, and no byte is read behind it. */
static void test_short_packets(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wire w;

		cases[i].build(&w);
		for (size_t len = 0; len < w.len - PAYLOAD_BYTES; len++) {
			struct packet p = { 0 };
			uint8_t *exact = wire_exact(&w, len);
			enum packet_kind kind = packet_decode(cases[i].link, exact, len, len, &p);

			check_case("%s, %zu bytes", cases[i].name, len);
			if (cases[i].build != padded)
				CHECK(kind != PACKET_TCP || p.total <= len);
			CHECK(kind != PACKET_CUT);
			free(exact);
		}
	}
}

/* Offloaded segments have length 0: all that there is, is theirs. */
static void test_offloaded(void)
{
	struct wire w;
	struct packet p;

	tcp4(&w);
	put16(w.bytes + w.start + 2, 0);
	CHECK_EQ(packet_decode(LINK_RAW, wire_at(&w), w.len, w.len, &p), PACKET_TCP);
	CHECK_EQ(p.total, PAYLOAD_BYTES);
	tcp6(&w);
	put16(w.bytes + w.start + 4, 0);
	CHECK_EQ(packet_decode(LINK_RAW, wire_at(&w), w.len, w.len, &p), PACKET_TCP);
	CHECK_EQ(p.total, PAYLOAD_BYTES);
}

int main(void)
{
	RUN(test_layers);
	RUN(test_snaplen);
	RUN(test_short_packets);
	RUN(test_offloaded);
	return check_done();
}
