/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/port_filter.h"

#define TAGS_MAX 2 /* a VLAN in a VLAN (QinQ) */

static void put_ports(const uint16_t *ports, size_t count, struct buf *out)
{
	buf_putc(out, '(');
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%stcp port %u or udp port %u", i ? " or " : "", ports[i],
			   ports[i]);
	buf_putc(out, ')');
}

/* `vlan` moves what is behind it to behind a tag, for good: so the same words again, behind each. */
void port_filter(const uint16_t *ports, size_t count, const char *expression, bool vlans,
		 struct buf *out)
{
	for (int tags = 0; tags <= (vlans ? TAGS_MAX : 0); tags++) {
		buf_puts(out, tags ? " or (vlan and " : "(");
		if (expression)
			buf_printf(out, "(%s) and ", expression);
		put_ports(ports, count, out);
		buf_putc(out, ')');
	}
}
