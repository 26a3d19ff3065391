/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_PORT_FILTER_H
#define GAIT_CAPTURE_PACKET_PORT_FILTER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The expression of pcap-filter(7) by which the kernel keeps all but the named ports from a capture,
 * and what `expression` (NULL: no more) does not take. vlans: frames with one or two VLAN tags, too;
 * link types without VLANs do not compile that. `expression` must be known to compile by itself:
 * parentheses that do not match could let others in.
 *
 * Of a packet in fragments the first alone has ports, so it alone is captured, and counted; over IPv6
 * libpcap finds no ports behind a fragment header, nor behind any other.
 */
void port_filter(const uint16_t *ports, size_t count, const char *expression, bool vlans,
		 struct buf *out);

#endif
