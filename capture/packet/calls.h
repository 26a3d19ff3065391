/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_CALLS_H
#define GAIT_CAPTURE_PACKET_CALLS_H

#include "capture/sink.h"
#include "trace/ledger.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Call trees of times alone. A request that comes from the address of a host where services are
 * served may be a call that one of them makes for a request of its own. Packets do not say so;
 * what they say is when each began and ended, and over which connection it went.
 *
 * A call lies within the request it is made for: begun after that came, over before that is
 * answered (the nesting of Aguilera, Mogul, Wiener, Reynolds, Muthitacharoen, "Performance debugging
 * for distributed systems of black boxes", SOSP 2003). If it lies within one request only, it is that
 * one's. Of several the most likely one has it, by what requests of a class do otherwise: how many
 * calls they make to whom, and how long after what (as in Ashok, Harsh, Godfrey, Mittal,
 * Parthasarathy, Shwartz, "TraceWeaver: Distributed Request Tracing for Microservices Without
 * Application Modification", SIGCOMM 2024, which assigns spans by distributions of such gaps).
 * docs/PACKETS.md has the rules. Only the ideas are theirs.
 *
 * Pure; times are ns since the capture began. Rows go out through the sink when their parents are
 * known, and memory is bounded by requests that are open, and by those that ended within
 * CALLS_WAIT_NS.
 */
#define CALLS_LATE_NS 100000000LL  /* packets of other connections may be handed on so much later */
#define CALLS_WAIT_NS 1000000000LL /* a decision waits no longer for requests to end */
#define CALLS_HELD_MAX 65536	/* requests that ended and wait for theirs; beyond it nobody does */
#define CALLS_OF_REQUEST_MAX 64 /* calls of one request that are remembered while it is open */
#define CALLS_SERVICES_MAX 256

/* A connection that a host of services has opened. */
struct call_link;
struct call_made;

/* A request, from its first byte until its row is out. Zero but for what its owner sets. */
struct span {
	struct row_request *row; /* the owner's; parent_id and confidence are set here */
	struct call_link *link;	 /* it came over this; NULL: from nowhere that is known */
	uint64_t head;		 /* of its first line, as a proxy passes it on; 0: not seen */
	uint16_t host, service;	 /* where it is served: calls_host(), and the owner's number */
	bool framed;		 /* it is over when it is closed; else when its reply stops */

	/* of calls.c */
	bool closed, settled, counted;
	bool made_more;	   /* calls than are remembered */
	uint8_t certainty; /* the least of the decisions it was a candidate of, percent */
	uint16_t made_count, made_room;
	int64_t closed_ns;
	struct span *older, *newer; /* requests of its host, by their arrival */
	struct span *before, *next; /* calls of the calling host that wait, by their start */
	struct call_choice *choice; /* while calls are settled */
	struct call_made *made;	    /* its own calls, by their start */
	uint64_t op_id, after_op, parent_service;
};

struct calls_sink {
	struct row_sink rows;
	void (*release)(void *arg, struct span *span); /* its row is out */
	void *arg;
};

struct calls;

/* Entries of the ledger are counted there, and numbers of connections and operations taken from it. */
struct calls *calls_new(const struct calls_sink *sink, struct ledger *ledger);
void calls_free(struct calls *c); /* without releasing spans; takes NULL */

/* A service, once: its number (the owner's, counted from 0). Returns that of its host; 0: too many. */
uint16_t calls_add_service(struct calls *c, uint16_t service, const uint8_t address[16],
			   const struct row_service *row);
/* The host at this address if another service than this one is there; else 0. */
uint16_t calls_caller_at(const struct calls *c, const uint8_t address[16], uint16_t service);

/*
 * A connection from that host, until calls_unlink(). closed_ns, lent until then: when packets said that
 * it is over, start_ns more than here; 0: not yet. NULL: out of memory.
 */
struct call_link *calls_link(struct calls *c, uint16_t host, const int64_t *closed_ns,
			     int64_t start_ns);
/* It closed: its row, as its service has it. */
void calls_unlink(struct calls *c, struct call_link *link, const struct row_connection *row);

/* span->row has ids and arrival_ns. */
void calls_begin(struct calls *c, struct span *span);
/* The row is complete, and goes out now or later. end_ns: when it ended if it was not answered. */
void calls_end(struct calls *c, struct span *span, int64_t end_ns);
/* A reply to a request of this service that came before the capture. */
void calls_unseen(struct calls *c, uint16_t service, int64_t ns);
/* The time of the packets. */
void calls_advance(struct calls *c, int64_t now_ns);
/* There is no more: all spans have ended. 0, or what went wrong: -ENOMEM, or the sink's. */
int calls_finish(struct calls *c);
int calls_failed(const struct calls *c);

#endif
