/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_ORDER_H
#define GAIT_CAPTURE_PACKET_ORDER_H

/* Inside of the flows, shared by flow.c and order.c; nobody else includes this. */
#include "capture/packet/table.h"

struct flow_queue {
	uint32_t oldest, newest; /* FLOW_NONE: it is empty */
};

#define LISTENING_MAX 4096 /* ends that were seen to be connected to, a power of two */

struct flows {
	struct flows_opts opts;
	struct flow_table table;
	struct flows_counts counts;
	struct flow_queue lingering, idle;
	int64_t now_ns; /* the latest that a packet said */
	size_t held_bytes;
	struct flow_watch *watched; /* a ring, the oldest first */
	size_t watched_first, watched_count, watched_room;
	size_t hand; /* where it looked last for a flow to give up */
	uint32_t listening[LISTENING_MAX];
	int failed;
};

/* A flow with segments that wait, since then. */
struct flow_watch {
	int64_t ns;
	uint32_t index;
};

/* A segment with payload. */
struct segment {
	int64_t ns;
	const uint8_t *bytes;
	uint32_t seq, ack, total, seen;
	bool has_ack;
};

/* a - b, of sequence numbers */
static inline int32_t seq_ahead(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* Hands it on, with what waited for it; or lets it wait. */
void order_segment(struct flows *f, struct flow *flow, unsigned side, const struct segment *seg);
/* It is known now where both streams begin. */
void order_anchored(struct flows *f, struct flow *flow);
/* Time has passed: what has waited for too long does not any more. */
void order_look(struct flows *f, struct flow *flow);
/* The same for all flows, of which some may have no further packets. */
void order_look_all(struct flows *f);
/* Whether all bytes before its FIN have come; tells the sink once. */
void order_ended(struct flows *f, struct flow *flow, unsigned side, int64_t ns);
/* Forgets what waits. */
void order_drop(struct flow *flow);
/* Nothing more comes: what waits is handed on. */
void order_flush(struct flows *f, struct flow *flow);

/* flow.c: before its first bytes */
void flow_open(struct flows *f, struct flow *flow);

#endif
