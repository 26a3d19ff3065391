/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_BREAKDOWN_H
#define GAIT_REPLAY_BREAKDOWN_H

#include "base/hist.h"
#include "replay/client/fact.h"
#include "replay/net/wire.h"
#include "trace/schema.h"

#include <stddef.h>

/*
 * The client's own row of an answered request, from intended to received. Where
 * both ends read one clock and all stamps exist, the way is cut at them:
 *
 *	intended  client.late  sent  client.send  transmitted  net.retransmit  sent again
 *	net.qdisc  left the queueing discipline  net.wire  arrived at the node
 *	call  left the node  net.wire  came here, at the earliest  unattributed  at the latest
 *	client.receive  received
 *
 * What the call did not hand to the device itself it left in the socket (a UNIX socket's peer has it
 * then): without a transmit stamp net.wire begins where the call ended.
 * Stamps that contradict each other are moved into order, so the parts never
 * exceed the total. Without one clock the wire is the round trip less the node's time, each a
 * difference by one side's clock; what of it was a queue or was sent again is not told then.
 * Without all stamps the wire cannot be told from the rest: late, send, receive and call are
 * durations of one side each, and what is left of the total is unattributed. `row` is NULL when
 * the node had none.
 */
void breakdown_client(const struct client_fact *fact, const struct wire_row *row, bool one_clock,
		      struct row_latency *ret_latency);

/*
 * Nobody stamped when the node's last byte left it, so its row ends where its send returned; over
 * loopback that is when the receiver's half of the work is done, too. It left no later than it came
 * here: the row ends there. Of one clock only.
 */
void breakdown_end_on_arrival(const struct client_fact *fact, struct wire_row *row);

/* What the client's pacing was worth. */
struct breakdown_summary {
	struct hist late;    /* sent - intended, of all that were sent */
	struct hist latency; /* received - intended, of those answered */
	int64_t first_sent_ns, last_sent_ns, first_intended_ns, last_intended_ns;
	int64_t band_ns; /* what a latency of the p99 band is at least */
	double band_late_ns, band_total_ns;
	double late_share; /* of the client time of the p99 band */
};

/* The p99 band: the slowest 1% of the requests answered, but not fewer than these, or all. */
#define BREAKDOWN_BAND_MIN 10

#define BREAKDOWN_LATE_SHARE_MAX 0.1 /* beyond it a run is INVALID */

/*
 * All facts are added twice to a summary that was all 0: what the slowest are is known only after
 * the first time; band_begin() between the two. 0 or -ENOMEM.
 */
int breakdown_add(struct breakdown_summary *summary, const struct client_fact *fact);
void breakdown_band_begin(struct breakdown_summary *summary);
void breakdown_band_add(struct breakdown_summary *summary, const struct client_fact *fact);
void breakdown_summary_release(struct breakdown_summary *summary);

#endif
