/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_ASSEMBLY_H
#define GAIT_CAPTURE_ASSEMBLY_H

/* Inside of the assembler, shared by its files; nobody else includes this. */
#include "attribution/timeline.h"
#include "capture/assembler.h"
#include "capture/dependence.h"
#include "capture/framer.h"
#include "trace/schema.h"

#include <stdbool.h>

#define SERVICE_ID 1 /* one service a capture, so far */
#define THREAD_SLOTS 4096
#define CONNECTION_BUCKETS 65536
#define CLASSES_MAX 256
#define TARGETS_MAX 65536

struct connection;

/* A request without an answer, or with one that may still go on. */
struct request {
	struct row_request row;
	struct row_latency latency; /* as of the last byte of the reply so far */
	struct account account;
	struct athread *thread; /* that read it */
	struct connection *connection;
	struct request *next_free;
	size_t pass_index; /* in thread->pass, when in_pass */
	bool in_pass;	   /* read in this pass of the thread's loop, no byte of a reply yet */
	bool disturbed;	   /* its user code was interrupted: no measure of demand */
	bool other_thread; /* another thread than the reader worked on it */
	bool called;	   /* has called another service */
	int64_t compute_start_ns; /* user time since its last op, not yet written as one */
	int64_t compute_ns, compute_elapsed_ns;
	int64_t user_ns; /* all of it */
	uint64_t last_op;
	uint64_t stored_target, synced_target; /* its last store and sync in this pass */
	char verb[FRAMER_VERB_MAX];
	char signature[sizeof(((struct row_class *)0)->signature)];
};

/* A reference to a request that may be gone: its id tells. */
struct request_ref {
	struct request *request;
	uint64_t id;
};

/* What the thread's time belongs to until its next boundary. */
enum owner {
	OWNER_NONE,    /* nobody, or whoever the next call is for */
	OWNER_REQUEST, /* the one it read last */
	OWNER_AFTER,   /* the one it answered last: after-reply work */
};

struct athread {
	uint32_t slot, generation, tid, tgid;
	char comm[16];
	uint64_t last[TS_COUNT]; /* counters at its last boundary */
	int64_t last_ns;
	struct timeline timeline;
	enum owner owner;
	struct request_ref current; /* OWNER_REQUEST: whose; also the last read of a shared stage */
	uint64_t after_id;	    /* OWNER_AFTER: whose */
	int64_t after_ns, after_start_ns; /* user time after that reply, not yet written */
	int64_t background_ns, background_start_ns;
	bool shared; /* its last op had several owners: the next reply's time is that reply's */
	bool serves, polls;
	struct request **pass;
	size_t pass_count, pass_capacity;
	struct athread *next_gone;
};

/* A call to another service: bytes out, then bytes in. */
struct call {
	bool open;
	struct row_op op;
};

struct connection {
	struct connection *next; /* in its bucket */
	uint64_t socket_id;
	struct row_connection row;
	struct request *request; /* on an incoming one: the turn that is going on */
	uint64_t previous;	 /* request of the turn before */
	int64_t previous_arrival_ns, previous_end_ns;
	struct request_ref owner; /* on an outgoing one: whose call */
	struct call call;
	uint64_t called_target;
	struct turn *turns;
	size_t turns_count;
};

struct class
{
	struct row_class row;
	double user_ns, quiet_ns;
	uint64_t quiet;
};

struct file_key {
	uint64_t inode, generation;
	uint32_t device;
	uint64_t target_id; /* 0: free */
};

struct assembler {
	struct assembler_opts opts;
	struct ledger ledger;
	struct athread *threads[THREAD_SLOTS];
	struct connection *connections[CONNECTION_BUCKETS];
	struct request *free_requests;
	struct athread *gone; /* threads that have ended */
	struct class classes[CLASSES_MAX];
	size_t classes_count;
	struct file_key *files; /* open hash of TARGETS_MAX * 2 */
	uint64_t targets, requests, ops, connections_seen;
	struct assembler_totals totals;
	int failed; /* what the sink or malloc said; sticks */
};

/* The two stretches of a thread's time that an event of a system call closes. */
struct segment {
	int64_t before[TS_COUNT]; /* from the last boundary to the call's entry */
	int64_t call[TS_COUNT];
	int64_t enter_ns, exit_ns;
};

#define TRACE_TIME(a, ns) ((int64_t)(ns) - (a)->opts.start_ns)

void assembly_write(struct assembler *a, enum trace_table table, const void *row);
void assembly_write_op(struct assembler *a, struct row_op *op);

/* owner.c */
void owner_flush_after(struct assembler *a, struct athread *t);
void owner_flush_background(struct assembler *a, struct athread *t);
void owner_set_none(struct assembler *a, struct athread *t);
void owner_set_request(struct assembler *a, struct athread *t, struct request *r);
void owner_set_after(struct assembler *a, struct athread *t, const struct request *r);
/* The request the thread works for; NULL when it works for none. */
struct request *owner_current(struct athread *t);
/* Gives the time before a call that is for `next` (NULL: for nobody) to whom it belongs. */
void owner_give_before(struct athread *t, const struct segment *seg, struct request *next,
		       bool replies);
/* Gives the call itself to r (NULL: to nobody). */
void owner_give_call(struct athread *t, const struct segment *seg, struct request *r);

/* turns.c */
void turn_receive(struct assembler *a, struct athread *t, const struct event_receive *e,
		  const struct segment *seg);
void turn_send(struct assembler *a, struct athread *t, const struct event_call *e,
	       const struct segment *seg);

/* ops.c */
struct row_op op_begin(const struct athread *t, const struct segment *seg, enum op_kind kind);
void op_on_file(struct assembler *a, struct athread *t, const struct event_call *e,
		const struct segment *seg);
void op_on_sleep(struct assembler *a, struct athread *t, const struct event_call *e,
		 const struct segment *seg);
void op_on_poll(struct assembler *a, struct athread *t, const struct event_call *e,
		const struct segment *seg);
void op_on_accept(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg);
void op_on_connect(struct assembler *a, struct athread *t, const struct event_call *e,
		   const struct segment *seg);

/* request.c */
struct request *request_get(struct request_ref ref); /* NULL when it is gone */
struct request *request_open(struct assembler *a, struct athread *t, struct connection *c);
void request_flush_compute(struct assembler *a, struct request *r);
void request_add_user(struct request *r, const int64_t delta[TS_COUNT], int64_t start_ns);
void request_begin_op(struct assembler *a, struct request *r, struct row_op *op);
void request_op(struct assembler *a, struct request *r, struct row_op *op);
void request_sign(struct request *r, enum op_kind kind);
void request_answered(struct request *r, int64_t end_ns, int64_t exit_ns);
void request_close(struct assembler *a, struct request *r, const char *status);

/* pass.c */
void pass_add(struct assembler *a, struct athread *t, struct request *r);
void pass_remove(struct athread *t, struct request *r);
void pass_clear(struct athread *t);
size_t pass_owners(struct athread *t, struct request *current, enum op_kind kind, uint64_t target);

/* connection.c */
struct connection *connection_find(struct assembler *a, uint64_t socket_id);
void connection_opened(struct assembler *a, const struct event_socket *e);
void connection_closed(struct assembler *a, const struct event_socket *e);
void connection_finish(struct assembler *a, struct connection *c, int64_t close_ns);
void connection_round_trips(struct connection *c, uint32_t srtt_us, uint32_t min_rtt_us);
void connection_turn(struct connection *c, int64_t arrival_ns);
void connection_call_send(struct assembler *a, struct connection *c, struct request *r,
			  const struct event_call *e);
void connection_call_receive(struct assembler *a, struct connection *c, const struct event_call *e);
void connection_call_end(struct assembler *a, struct connection *c);

/* target.c */
uint64_t target_of_file(struct assembler *a, const struct event_call *e, bool writes);
uint64_t target_of_service(struct assembler *a, const char *address);
bool target_is_pseudo(uint32_t magic);

/* class.c */
uint64_t class_of(struct assembler *a, struct request *r);
void classes_finish(struct assembler *a);

#endif
