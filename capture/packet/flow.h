/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_FLOW_H
#define GAIT_CAPTURE_PACKET_FLOW_H

#include "capture/packet/decode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From packets to connections whose bytes come in order, by sequence numbers alone: payload is
 * handed on where it lies. Only segments that came before their turn are copied, until it is theirs.
 *
 * A segment is handed on when what was sent before it has been (its sequence number), and when
 * what its sender had seen of the other direction has been, too (its acknowledgment). So the two
 * directions come in the order of cause and effect, also out of a capture that shuffles packets.
 * What never comes is a gap, and the sink is told of it. docs/PACKETS.md has the rules.
 *
 * Pure: no I/O, no clock; time is what packets say.
 */
#define FLOW_REORDER_NS 50000000LL  /* a packet may be captured so much later than one behind it */
#define FLOW_LINGER_NS 1000000000LL /* what comes behind the end of a connection is still its own */
#define FLOW_IDLE_NS 60000000000LL  /* two UDP ends that are silent for longer are through */
#define FLOW_HELD_MAX 1024	    /* segments of a connection that wait for one before them */
#define FLOW_HELD_BYTES_MAX (64 << 20) /* of all of them; beyond it nobody waits */
#define FLOW_WINDOW (1 << 28)	       /* sequence numbers further away are of another connection */

/* One direction. */
struct flow_side {
	uint32_t begin;	  /* sequence number of its first byte, as far as we know */
	uint32_t next;	  /* of the byte that follows */
	uint32_t low_ack; /* the least and the most that the other end said it has of it */
	uint32_t high_ack;
	uint32_t fin; /* the sequence number behind its last byte, when `finished` */
	uint32_t seq, ack, mark, length; /* of its last packet: a copy of it has the same */
	uint32_t timed; /* the acknowledgment of this is waited for, since timed_ns */
	uint32_t packets;
	uint32_t retransmitted; /* packets whose bytes, or some of them, had been seen before */
	uint32_t zero_windows;	/* packets that said: no more bytes */
	bool began : 1;		/* its SYN was seen, or acknowledged by a SYN */
	bool known : 1;		/* `next` means something */
	bool acked : 1;		/* low_ack and high_ack do */
	bool finished : 1;	/* its FIN was seen */
	bool ended : 1;		/* and all bytes before it */
	int64_t timed_ns;	/* 0: none */
	int64_t srtt_ns,
		min_rtt_ns; /* from the capture point to the other end and back; 0: unknown */
	uint64_t bytes;	    /* of payload in order, gaps included */
};

struct flow_held;

struct flow {
	struct packet_end end[2]; /* of side 0, and of side 1 */
	uint8_t protocol;	  /* enum packet_kind: PACKET_TCP, PACKET_UDP */
	uint8_t client;		  /* the side that asks */
	uint8_t spoke_last;	  /* the side whose bytes were handed on last */
	bool client_guessed;	  /* nothing showed who opened it */
	bool anchored;		  /* it is known where both streams begin */
	bool opened;		  /* the sink knows of it */
	bool reset;		  /* it ended by a RST */
	bool queued : 1;	  /* it waits for its end in the queue of its kind */
	bool watched : 1;	  /* and segments of it may, for one before them */
	bool shaken : 1;	  /* the handshake is over */
	uint16_t held_count;
	uint32_t hash, index;
	uint32_t older, newer; /* in that queue: indices, or free ones */
	struct flow_side side[2];
	struct flow_held *held, *held_last; /* segments that wait, in the order of their capture */
	int64_t open_ns;		    /* its SYN; 0: not seen */
	int64_t close_ns;		    /* its last FIN, or RST; 0: not yet */
	int64_t last_ns;
	int64_t queued_ns;    /* since when it waits for its end */
	int64_t handshake_ns; /* from SYN to the ACK of its answer; until `shaken`, when that came */
	void *user;	      /* the sink's */
};

/* Bytes of one direction, in order. */
struct flow_chunk {
	int64_t ns; /* when they were captured; of a gap: when it was known that they moved */
	const uint8_t *bytes; /* lent for the call */
	size_t total, seen;   /* of them, captured: the first */
	bool gap;	      /* they moved, but no packet of the capture has them */
};

/* What becomes of flows; `reply`: from the service. */
struct flow_sink {
	/* Before its first bytes: who asks is known now. */
	void (*opened)(void *arg, struct flow *flow);
	void (*bytes)(void *arg, struct flow *flow, bool reply, const struct flow_chunk *chunk);
	/* That direction is over, and all its bytes have come. */
	void (*ended)(void *arg, struct flow *flow, bool reply, int64_t ns);
	/* After `opened` only. It is gone when this returns. */
	void (*closed)(void *arg, struct flow *flow);
	void *arg;
};

enum flow_server {
	FLOW_SERVER_FIRST,  /* ends[0] serves */
	FLOW_SERVER_SECOND, /* ends[1] does */
	FLOW_SERVER_ASK,    /* who opens the connection shows it */
	FLOW_SERVER_NONE,   /* nobody wants this one */
};

struct flows_opts {
	uint64_t seed; /* of the table's hash; of no consequence but for who would attack it */
	size_t max;    /* flows at once */
	struct flow_sink sink;
	/* Which end is the service, when a flow begins; NULL: always ask. */
	enum flow_server (*server_of)(void *arg, const struct packet_end ends[2]);
	void *server_arg;
};

struct flows_counts {
	uint64_t flows;
	uint64_t ignored;	  /* packets of flows that nobody wants */
	uint64_t strays;	  /* packets without bytes, of no flow: what is left of one */
	uint64_t duplicates;	  /* the same packet again */
	uint64_t retransmissions; /* its bytes, or some of them, again */
	uint64_t reordered;	  /* packets that waited for one before them */
	uint64_t keep_alives;
	uint64_t gaps, gap_bytes; /* in the streams: bytes that were acknowledged, and never seen */
	uint64_t astray;	  /* packets outside of any window */
	uint64_t mid_stream;	  /* flows whose begin was not seen */
	uint64_t evicted;	  /* flows given up for others */
};

struct flows;

/* NULL: out of memory. */
struct flows *flows_new(const struct flows_opts *opts);
void flows_free(struct flows *f); /* without telling the sink; takes NULL */

/* The next packet; kind is PACKET_TCP or PACKET_UDP. 0 or -ENOMEM. */
int flows_packet(struct flows *f, enum packet_kind kind, const struct packet *p);

/* The capture is over: what waits is handed on, all flows close. */
void flows_finish(struct flows *f);

const struct flows_counts *flows_counts(const struct flows *f);
/* Flows open now, and bytes of memory that they take. */
size_t flows_open(const struct flows *f);

_Static_assert(sizeof(struct flow) <= 384, "a connection takes 512 bytes with the sink's part");

#endif
