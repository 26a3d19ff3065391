/* SPDX-License-Identifier: Apache-2.0 */
/* What a live capture lets through: the named ports, in either direction, and nothing else. */
#include "capture/packet/port_filter.h"

#include "capture/packet/decode.h"
#include "capture/packet/libpcap.h"
#include "check.h"
#include "packets.h"

#include <errno.h>

#define TEXT_MAX (64 << 10)

static void test_text(void)
{
	const uint16_t ports[] = { 53, 80 };
	struct buf text;

	buf_init(&text, TEXT_MAX);
	port_filter(ports, 2, NULL, false, &text);
	CHECK_STR(buf_text(&text), "((tcp port 53 or udp port 53 or tcp port 80 or udp port 80))");
	buf_reset(&text);
	port_filter(ports, 1, "net 10", true, &text);
	CHECK_STR(buf_text(&text), "((net 10) and (tcp port 53 or udp port 53))"
				   " or (vlan and (net 10) and (tcp port 53 or udp port 53))"
				   " or (vlan and (net 10) and (tcp port 53 or udp port 53))");
	buf_release(&text);
}

/* 10.0.0.1 to 10.0.0.2, behind so many VLAN tags. */
static struct packet_record build(struct wire *w, unsigned tags, bool udp, uint16_t from,
				  uint16_t to)
{
	wire_init(w, "x", 1);
	if (udp)
		wire_udp(w, from, to);
	else
		wire_tcp(w, from, to, 1, 1, PACKET_ACK);
	wire_ipv4(w, udp ? 17 : 6, 1, 2, 7);
	put16(wire_push(w, 2), 0x0800);
	for (unsigned tag = 0; tag < tags; tag++) {
		uint8_t *at = wire_push(w, 4);

		put16(at, 0x8100);
		put16(at + 2, 5 + tag);
	}
	wire_push(w, 12);
	return (struct packet_record){
		.link = LINK_ETHERNET, .bytes = wire_at(w), .seen = w->len, .wire = w->len
	};
}

static const struct {
	const char *name, *expression;
	uint16_t from, to;
	bool taken;
} cases[] = {
	{ "to the port", NULL, 40000, 8080, true },
	{ "from the port", NULL, 8080, 40000, true },
	{ "the last of many ports", NULL, 40000, 1063, true },
	{ "another port", NULL, 40000, 8081, false },
	{ "and the expression", "src host 10.0.0.1", 40000, 8080, true },
	{ "not the expression", "src host 10.0.0.2 or dst host 10.0.0.1", 40000, 8080, false },
	{ "the expression, another port", "src host 10.0.0.1 or tcp", 40000, 8081, false },
};

static void test_packets(void)
{
	uint16_t ports[64] = { 8080 };

	for (size_t i = 1; i < ARRAY_SIZE(ports); i++)
		ports[i] = (uint16_t)(1000 + i);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pcap_filter *filter;
		struct buf text;
		struct err err;
		int rc;

		check_case("%s", cases[i].name);
		buf_init(&text, TEXT_MAX);
		port_filter(ports, ARRAY_SIZE(ports), cases[i].expression, true, &text);
		rc = pcap_filter_new(LINK_ETHERNET, buf_text(&text), &filter, &err);
		buf_release(&text);
		if (rc == -ENOTSUP)
			return; /* built without libpcap */
		CHECK_EQ(rc, 0);
		for (unsigned n = 0; n < 6; n++) { /* both protocols, up to two tags */
			struct wire w;
			struct packet_record record =
				build(&w, n / 2, n % 2, cases[i].from, cases[i].to);

			CHECK_EQ(pcap_filter_takes(filter, &record), cases[i].taken);
		}
		pcap_filter_free(filter);
	}
}

int main(void)
{
	RUN(test_text);
	RUN(test_packets);
	return check_done();
}
