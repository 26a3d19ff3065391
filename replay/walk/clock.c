/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/clock.h"

#include "replay/breakdown.h"

struct client_fact walk_fact(const struct walk_row *row)
{
	return (struct client_fact){
		.intended_ns = row->due_ns,
		.sent_ns = row->sent_ns,
		.tx_ns = row->stamps.tx_ns,
		.sent_end_ns = row->stamps.sent_end_ns,
		.again_ns = row->stamps.again_ns,
		.left_ns = row->stamps.left_ns,
		.came_ns = row->stamps.came_ns,
		.arrival_ns = row->stamps.arrival_ns,
		.received_ns = row->received_ns,
	};
}

int64_t walk_clock_time(const struct walk_clock *clock, int64_t stamp_ns)
{
	int64_t ns = stamp_ns - clock->anchor_ns;

	if (!stamp_ns || !clock->anchor_ns)
		return TRACE_NONE;
	return clock->is_bound ? clock_line_to_a(&clock->line, ns) : ns;
}

/* 0 as stamps have it. */
static int64_t known_time(const struct walk_clock *clock, int64_t stamp_ns)
{
	int64_t ns = walk_clock_time(clock, stamp_ns);

	return ns == TRACE_NONE ? 0 : ns;
}

/* Where nothing is known of its clock, its times say that there are stamps, and no more. */
void walk_clock_split(const struct walk_clock *clock, const struct walk_row *row,
		      const struct wire_row *node, struct row_latency *ret_latency)
{
	bool one_clock = clock->is_clients || clock->is_bound;
	const struct client_fact fact = walk_fact(row);
	struct wire_row there;

	if (!node || !node->end_ns) {
		breakdown_client(&fact, NULL, false, ret_latency);
		return;
	}
	there = *node;
	if (one_clock) {
		there.arrival_ns = known_time(clock, node->arrival_ns);
		there.end_ns = known_time(clock, node->end_ns);
	}
	breakdown_client(&fact, &there, one_clock, ret_latency);
}

void walk_clock_add(const struct walk_clock *clock, struct clock_bounds *bounds,
		    const struct walk_row *row, const struct wire_row *node)
{
	int64_t arrival_ns = walk_clock_time(clock, node->arrival_ns);
	int64_t tx_ns = walk_clock_time(clock, node->tx_ns);
	struct clock_interval before = { INT64_MIN, INT64_MAX };

	if (!row->stamps.arrival_ns) /* an agent's of another host, with a clock of its own */
		return;
	if (arrival_ns != TRACE_NONE)
		before.low_ns = row->sent_ns - arrival_ns;
	if (tx_ns != TRACE_NONE)
		before.high_ns = row->stamps.arrival_ns - tx_ns;
	clock_bounds_add(bounds, row->sent_ns, before);
}

void walk_clock_bind(struct walk_clock *clock, const struct clock_bounds *bounds)
{
	enum clock_fit fit = clock_bounds_fit(bounds, &clock->line);

	clock->is_bound = fit == CLOCK_CONSTANT || fit == CLOCK_DRIFTS;
}
