/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_CALLS_STATE_H
#define GAIT_CAPTURE_PACKET_CALLS_STATE_H

/* Inside of calls.h's room, shared by its files. */
#include "capture/packet/calls.h"
#include "capture/packet/calls_model.h"

#define CANDIDATES_MAX 32	/* of one call, the latest; of more none is sure */
#define CANDIDATES_LOOKED 16384 /* requests that are looked at for one call */

/* A connection that a host of services opened. */
struct call_link {
	uint16_t host;
	const int64_t *closed_ns; /* NULL: it closed, and its row is there */
	int64_t start_ns;
	size_t spans;		/* calls over it whose rows are not out */
	uint64_t connection_id; /* of its row as the caller has it; 0: none of its calls is known */
	uint64_t service_id;
	uint64_t for_connection;    /* of the request that its last sure call was made for */
	struct row_connection *row; /* once it closed, if calls wait */
};

/* A call that a request made, or may have. */
struct call_made {
	int64_t start_ns, end_ns;
	uint64_t op_id; /* 0: not settled yet */
	unsigned class;
	struct span *span; /* then */
};

/* For each of a host's services, and each service called from there. */
struct edge {
	uint16_t from, to;
	uint64_t in, out; /* calls that lie within a request of `from`, and that do not */
};

struct host {
	uint8_t address[16];
	bool calls;		       /* somebody connects from there */
	struct span *first, *last;     /* served there, by arrival: open, or their rows wait */
	struct span *waiting, *latest; /* made there, not settled, by start */
	size_t waiting_count;
	int64_t swept_ns; /* requests that ended until then may be gone */
	struct edge *edges;
	size_t edges_count, edges_room;
};

struct service_state {
	uint16_t host;
	uint64_t service_id, target_id; /* target_id: 0 until it is called */
	char listen[64];
	int64_t unseen_ns; /* until then it had requests that came before the capture */
	size_t open;	   /* requests */
	int64_t first_ns, since_ns, busy_ns; /* since_ns: of `open` being above 0 */
};

/* A call to be settled, and who may have made it. */
struct candidate {
	struct span *span;
	double look;   /* how much more likely a true one is like that: its head, its connection */
	double likely; /* that it goes on with this call, as it looks */
};

struct call_choice {
	struct span *call;
	struct call_made made;
	size_t first;	/* in the array of candidates */
	unsigned count; /* 0: nobody made it */
	unsigned chosen;
	double share;  /* of such calls that are one of the services', not a stranger's */
	bool more;     /* than were looked at */
	bool nested;   /* requests that contain each other might have made it */
	bool early;    /* some of these go on: it is looked at for the sake of others */
	bool owned;    /* calls like it are some service's */
	double others; /* likelihood of all else, against what was chosen */
};

struct calls {
	struct calls_sink sink;
	struct ledger *ledger;
	struct calls_model *known;   /* of requests without doubt, of classes that have some */
	struct calls_model *guessed; /* of all */
	int failed;
	int64_t now_ns, tick_ns;
	size_t held;   /* closed spans */
	size_t open;   /* others, of hosts */
	size_t events; /* begins and ends since the last look at all of them */
	struct host hosts[CALLS_SERVICES_MAX];
	unsigned hosts_count;
	struct service_state services[CALLS_SERVICES_MAX];
	unsigned services_count;
	struct call_choice *choices;
	size_t choices_count, choices_room;
	struct candidate *candidates;
	size_t candidates_count, candidates_room;
};

/* The latest time that it may have ended; INT64_MAX: it goes on. */
int64_t span_end(const struct calls *c, const struct span *s);
/* The number of its class, while it goes on of all such. */
unsigned span_class(const struct span *s);
/* Remembers a call of this request; -ENOMEM, or -E2BIG when there are too many to. */
int span_add_call(struct span *s, const struct call_made *made);
void span_remove_call(struct span *s, const struct span *call);

/* calls_settle.c: calls of the host that ended find their requests; all: whatever is open yet. */
void calls_settle(struct calls *c, struct host *h, bool all);
/* calls_choose.c: of c->choices, each its candidate, which has it among its calls then. */
int calls_choose(struct calls *c);
/* Whether requests of this class beyond doubt have shown what they do. */
bool calls_class_is_known(const struct calls *c, unsigned class);
/* What this request did, now that it is over. */
void calls_learn(struct calls *c, const struct span *s);

#endif
