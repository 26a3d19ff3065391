/* SPDX-License-Identifier: Apache-2.0 */
/* Any frames as a share of a replay: one that is whole is a plan that a client's memory can be made for. */
#include "replay/client/schedule.h"
#include "replay/client/share.h"

#include <stdlib.h>

/* As client_new() does. */
static void make(const struct plan *plan)
{
	struct plan_chains chains = { 0 };
	struct schedule schedule = { 0 };
	struct schedule_entry entry;

	if (!plan_chains_init(&chains, plan) && !schedule_init(&schedule, plan, &chains)) {
		for (size_t i = 0; i < plan->connections_count; i++)
			if (chains.first[i] >= plan->requests_count)
				abort(); /* a connection without requests */
		while (schedule_peek(&schedule, &entry))
			schedule_take(&schedule);
	}
	schedule_release(&schedule);
	plan_chains_release(&chains);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_share s = { .routes_count = 0 };
	struct client_fact fact;
	struct wire_frame frame;
	bool begun = false;
	struct err err;
	int n, rc = 0;

	while (!rc && (n = wire_frame_decode(data, size, &frame, &err)) > 0) {
		client_fact_get(&frame, 1000, &fact, &err);
		rc = begun ? client_share_take(&s, &frame, &err) :
			     client_share_begin(&s, &frame, &err);
		begun = true;
		data += n;
		size -= (size_t)n;
	}
	if (rc > 0)
		make(&s.plan);
	client_share_release(&s);
	return 0;
}
