/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet of any link type: its payload lies in it. The first byte chooses the link type, the second how
 * much longer it was on the wire.
 */
#include "capture/packet/decode.h"

#include <stdbool.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
	if (!held)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned links[] = { LINK_ETHERNET, LINK_RAW,  LINK_SLL,  LINK_SLL2,
					  LINK_NULL,	 LINK_LOOP, LINK_IPV4, 147 };
	struct packet p;
	enum packet_kind kind;
	size_t wire;

	if (size < 2)
		return 0;
	wire = size - 2 + data[1] * 8u;
	kind = packet_decode(links[data[0] % 8], data + 2, size - 2, wire, &p);
	must(kind >= 0 && kind < PACKET_KIND_COUNT);
	if (kind > PACKET_UDP)
		return 0;
	must(p.seen <= p.total && p.total <= wire);
	must(p.payload >= data + 2 && p.payload + p.seen <= data + size);
	must(p.tunnels <= PACKET_TUNNELS_MAX);
	return 0;
}
