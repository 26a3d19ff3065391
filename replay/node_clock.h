/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_CLOCK_H
#define GAIT_REPLAY_NODE_CLOCK_H

#include "base/clock_offset.h"
#include "replay/client/fact.h"
#include "replay/net/wire.h"

/*
 * A node's clock as times of the run, which are the client's. Of another host it is known at first
 * as well as the way of a message is short; the requests themselves then bound it from both sides
 * (base/clock_offset.h), where the client's stamps are there. Pure.
 */
struct node_clock {
	int64_t anchor_ns;	/* 0 of the run's times by it; 0: it is not known */
	bool is_clients;	/* of the same host */
	bool is_bound;		/* by its messages: they do not contradict `line` */
	struct clock_line line; /* the client's time before the node's */
};

/*
 * Its host's clock_ members in a manifest, which say what was added to make the run's times; none of
 * the client's own host. The client's clock was at client_anchor_ns at 0 of the run.
 */
void node_clock_put(const struct node_clock *clock, int64_t client_anchor_ns,
		    struct manifest_host *host);

/* A stamp of the node's (0: there is none) as a time of the run; TRACE_NONE: unknown. */
int64_t node_clock_time(const struct node_clock *clock, int64_t stamp_ns);

/*
 * The row of the client of an answered request, by times of the run; `node` is what the node says of it, NULL or all 0
 * when it says nothing.
 */
void node_clock_split(const struct node_clock *clock, const struct client_fact *fact,
		      const struct wire_row *node, struct row_latency *ret_latency);

/*
 * A request was sent before it was at the node, and its reply handed to the network there before it
 * was here: for bounds that were made of the run's times. The transmit stamp of a request does not
 * serve: of several that one call sends it is the last one's. Then what all of them say of the clock.
 */
void node_clock_add(const struct node_clock *clock, struct clock_bounds *bounds,
		    const struct client_fact *fact, const struct wire_row *node);
void node_clock_bind(struct node_clock *clock, const struct clock_bounds *bounds);

#endif
