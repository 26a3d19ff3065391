/* SPDX-License-Identifier: Apache-2.0 */
/* Any file: packets lie in it, one behind the other, and it ends. */
#include "capture/packet/classic.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *last = data;
	struct packet_record r;
	struct classic c;

	if (classic_open(&c, data, size))
		return 0;
	while (classic_next(&c, &r)) {
		if (r.seen > r.wire || r.bytes <= last || r.bytes + r.seen > data + size)
			abort();
		last = r.bytes;
	}
	return 0;
}
