/* SPDX-License-Identifier: Apache-2.0 */
/* Any file of blocks: packets lie in it, one behind the other, and it ends. */
#include "capture/packet/pcapng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pcapng p;
	const uint8_t *last = data;
	struct packet_record r;

	if (pcapng_open(&p, data, size))
		return 0;
	while (pcapng_next(&p, &r)) {
		if (r.seen > r.wire || r.bytes <= last || r.bytes + r.seen > data + size || r.ns < 0)
			abort();
		last = r.bytes;
	}
	return 0;
}
