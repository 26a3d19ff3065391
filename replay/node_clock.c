/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node_clock.h"

#include "replay/breakdown.h"

int64_t node_clock_time(const struct node_clock *clock, int64_t stamp_ns)
{
	int64_t ns = stamp_ns - clock->anchor_ns;

	if (!stamp_ns || !clock->anchor_ns)
		return TRACE_NONE;
	return clock->is_bound ? clock_line_to_a(&clock->line, ns) : ns;
}

/* 0 as stamps have it. */
static int64_t known_time(const struct node_clock *clock, int64_t stamp_ns)
{
	int64_t ns = node_clock_time(clock, stamp_ns);

	return ns == TRACE_NONE ? 0 : ns;
}

/* Where nothing is known of its clock, its times say that there are stamps, and no more. */
void node_clock_split(const struct node_clock *clock, const struct client_fact *fact,
		      const struct wire_row *node, struct row_latency *ret_latency)
{
	bool one_clock = clock->is_clients || clock->is_bound;
	struct wire_row there;

	if (!node || !node->end_ns) {
		breakdown_client(fact, NULL, false, ret_latency);
		return;
	}
	there = *node;
	if (one_clock) {
		there.arrival_ns = known_time(clock, node->arrival_ns);
		there.end_ns = known_time(clock, node->end_ns);
	}
	breakdown_client(fact, &there, one_clock, ret_latency);
}

void node_clock_add(const struct node_clock *clock, struct clock_bounds *bounds,
		    const struct client_fact *fact, const struct wire_row *node)
{
	int64_t arrival_ns = node_clock_time(clock, node->arrival_ns);
	int64_t tx_ns = node_clock_time(clock, node->tx_ns);
	struct clock_interval before = { INT64_MIN, INT64_MAX };

	if (!fact->arrival_ns) /* an agent's of another host, with a clock of its own */
		return;
	if (arrival_ns != TRACE_NONE)
		before.low_ns = fact->sent_ns - arrival_ns;
	if (tx_ns != TRACE_NONE)
		before.high_ns = fact->arrival_ns - tx_ns;
	clock_bounds_add(bounds, fact->sent_ns, before);
}

void node_clock_bind(struct node_clock *clock, const struct clock_bounds *bounds)
{
	enum clock_fit fit = clock_bounds_fit(bounds, &clock->line);

	clock->is_bound = fit == CLOCK_CONSTANT || fit == CLOCK_DRIFTS;
}

void node_clock_put(const struct node_clock *clock, int64_t client_anchor_ns,
		    struct manifest_host *host)
{
	if (clock->is_clients)
		return;
	host->clock_offset_ns = host->clock_bound_ns = host->clock_drift_ppb = TRACE_NONE;
	if (!clock->is_bound)
		return;
	host->clock_offset_ns = client_anchor_ns - clock->anchor_ns + clock->line.offset_ns;
	host->clock_bound_ns = clock->line.bound_ns;
	host->clock_drift_ppb = (int64_t)(clock->line.drift * 1e9);
}
