/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_EXCHANGE_H
#define GAIT_CAPTURE_PACKET_EXCHANGE_H

/* Inside of requests.h's room, shared by its files. */
#include "capture/assemble/dependence.h"
#include "capture/frame/framer.h"
#include "capture/packet/calls.h"
#include "capture/packet/pool.h"
#include "capture/packet/requests.h"
#include "capture/packet/tls.h"

#define TURNS_TABLES_MAX 65536 /* connections at once whose habit is looked at */
#define EXCHANGES_MAX 65536    /* of a connection, without an answer */
#define DATAGRAMS_MAX 256      /* the same, of two UDP ends */

/* A request under way. */
struct exchange {
	struct exchange *next; /* of the connection, in order; of the free list */
	struct span span;
	struct row_request row;
	uint64_t frame; /* the framer's id of it; 0: found by turns */
	bool complete;	/* all of its message has come */
	bool no_reply;	/* and there will be none */
	bool replied;	/* its reply is complete, by the framer */
	bool gapped;
	char verb[FRAMER_VERB_MAX];
};

/* A connection to a service. */
struct conversation {
	uint64_t connection_id, requests;
	struct exchange *first, *last;	    /* not closed yet, in order */
	struct exchange *asking, *replying; /* whose bytes come now, in either direction */
	struct framer *framer;		    /* while something is under way; NULL: at rest */
	const char *protocol;		    /* as the framer calls it; "": it is not known */
	struct tls tls;			    /* of an encrypted one: its records */
	uint64_t previous;		    /* request that was answered last */
	int64_t previous_arrival_ns, previous_end_ns;
	int64_t unclaimed_ns; /* bytes out since then may be the start of a reply; 0: there are none */
	struct turn *turns;
	struct call_link *link;		/* a host of services opened it; NULL: nobody known */
	uint16_t service;		/* number in r->services */
	uint16_t services_known;	/* when the host was looked for */
	uint32_t exchanges : 20;	/* EXCHANGES_MAX, and those of the segment at hand */
	uint32_t turns_count : 8;	/* DEPENDENCE_TURNS_MAX */
	bool framed : 1;		/* the framer has not lost its way */
	bool encrypted : 1, looked : 1; /* its first bytes were looked at */
	bool unpaired : 1;		/* what the service sends is known to have no request */
};

_Static_assert(sizeof(struct conversation) + sizeof(struct flow) <= 512 - 16,
	       "an open connection takes 512 bytes, about 16 of them in slots of the table");

struct service_seen {
	struct packet_end end;
	uint16_t host; /* of calls.h */
	struct row_service row;
};

#define ALPNS_MAX 256 /* further ones are not told */

struct requests {
	struct row_sink sink;
	struct ledger ledger;
	struct calls *calls;
	int64_t start_ns, now_ns; /* now: of the packet at hand, since the start */
	int failed;
	struct service_seen *services;
	size_t services_count;
	struct row_class *classes;
	size_t classes_count;
	struct pool conversations;
	struct exchange *free_exchanges;
	struct framer **free_framers;
	size_t framers_count, framers_capacity;
	size_t turns_tables;
	char alpns[ALPNS_MAX][TLS_ALPN_SIZE]; /* the first is "" */
	size_t alpns_count;
	struct framer_mark *marks; /* in the chunk at hand */
	size_t marks_count, marks_capacity;
};

/* framing.c */
/* r->marks: where messages begin and end in this chunk; none when nobody knows. */
void framing_find_marks(struct requests *r, struct conversation *c, bool datagrams, bool reply,
			const struct flow_chunk *chunk);
/* For the framer's calls: adds to r->marks. */
void framing_keep_mark(void *requests, const struct framer_mark *mark);
/* Nothing is under way: the next byte in begins a request, and a framer finds its way there. */
void framing_rest(struct requests *r, struct conversation *c);
/* The connection's framer is free for another. */
void framing_give(struct requests *r, struct conversation *c);

/* greeting.c */
/* The first bytes in tell ciphertext; then the handshake is read. */
void greeting_look(struct requests *r, struct conversation *c, const struct flow_chunk *chunk);
/* What the handshake said, if it is over, or if no more of it will come. */
void greeting_keep(struct requests *r, struct conversation *c, bool closing);
/* The columns of it. */
void greeting_put(const struct requests *r, const struct conversation *c, struct row_wire *wire);

/* rows.c */
void rows_open(struct requests *r, struct conversation *c, const struct flow *flow);
/* Who opened it, if that may be known since it was asked last. */
void rows_look_for_caller(struct requests *r, struct conversation *c, const struct flow *flow);
void rows_close(struct requests *r, struct conversation *c, const struct flow *flow);
void rows_write(struct requests *r, enum trace_table table, const void *row);
uint64_t rows_class(struct requests *r, const struct conversation *c, const struct exchange *x);

#endif
