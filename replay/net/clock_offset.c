/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/clock_offset.h"

#include "base/clock.h"

#include <stdlib.h>

void clock_offset_add(struct clock_offset *o, int64_t asked_ns, int64_t told_ns, int64_t heard_ns)
{
	int64_t half_ns = (heard_ns - asked_ns + 1) / 2;

	if (half_ns < 0 || half_ns >= o->bound_ns)
		return;
	o->offset_ns = told_ns - asked_ns - half_ns;
	o->bound_ns = half_ns;
}

int64_t clock_offset_bound(const struct clock_offset *first, const struct clock_offset *last)
{
	int64_t drifted_ns = llabs(last->offset_ns - first->offset_ns);

	if (last->bound_ns == INT64_MAX)
		return first->bound_ns;
	return drifted_ns + last->bound_ns > first->bound_ns ? drifted_ns + last->bound_ns :
							       first->bound_ns;
}

int clock_offset_ask(struct talk *t, int times, int timeout_ms, struct clock_offset *ret_offset,
		     struct err *err)
{
	struct clock_offset offset = CLOCK_OFFSET_NONE;
	struct wire_clock clock = { 0 };
	struct wire_frame frame;
	int rc = 0;

	for (int i = 0; i < times && !rc; i++) {
		wire_put_clock(&t->out, &(struct wire_clock){ clock_now_ns(), 0 });
		rc = talk_send(t, timeout_ms, err);
		if (!rc)
			rc = talk_await(t, timeout_ms, WIRE_CLOCK, &frame, err);
		if (!rc)
			rc = wire_get_clock(&frame, &clock, err);
		if (!rc)
			clock_offset_add(&offset, clock.asked_ns, clock.told_ns, clock_now_ns());
	}
	if (!rc)
		*ret_offset = offset;
	return rc;
}
