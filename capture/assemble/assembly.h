/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_ASSEMBLE_ASSEMBLY_H
#define GAIT_CAPTURE_ASSEMBLE_ASSEMBLY_H

/* Inside of the assembler, shared by its files; nobody else includes this. */
#include "attribution/timeline.h"
#include "capture/assemble/assembler.h"
#include "capture/assemble/dependence.h"
#include "capture/frame/framer.h"
#include "trace/schema.h"

#include <stdbool.h>

#define THREAD_SLOTS 4096
#define CONNECTION_BUCKETS 65536
#define CLASSES_MAX 256
#define TARGETS_MAX 65536
#define DATAGRAM_PEERS_MAX 65536 /* at once; then the one that was idle longest is closed */
#define DATAGRAMS_OPEN_MAX 256	 /* of one peer without an answer */
#define REQUESTS_SHARED_MAX 1024 /* answered by one call, whose CPU time is parted */
#define HEAD_BYTES 64		 /* of an open request, to know it again when it is passed on */
#define ROUND_OPS_MAX 64	 /* of one request among several that are answered at once */

struct athread;
struct connection;
struct service;
struct unit;

/* A reference to a request that may be gone: its id tells. */
struct request_ref {
	struct request *request;
	uint64_t id;
};

/* A request without an answer, or with one that may still go on. */
struct request {
	struct row_request row;
	struct row_latency latency; /* as of the last byte of the reply so far */
	struct account account;
	struct athread *thread; /* that read it */
	struct athread *worker; /* that is thought to work on it; NULL: nobody else */
	struct unit *unit;	/* what the worker has delivered for it; NULL: nothing */
	struct connection *connection;
	struct request *next;	       /* of the connection, in order; of the free list */
	struct request *older, *newer; /* in service->waiting, when in_waiting */
	struct account left;	       /* its account as it was when its reader left it */
	int64_t left_ns;	       /* when that was; 0: it has not */
	int64_t known_ns;	       /* elsewhere: `account` reaches up to here */
	uint64_t frame;		       /* the framer's id of it; 0: found by turns */
	size_t pass_index;	       /* in thread->pass, when in_pass */
	bool in_pass; /* read in this pass of the thread's loop, no byte of a reply yet */
	bool behind; /* a datagram, and the thread is with another one that came in the same call */
	bool in_waiting;     /* in service->waiting */
	bool disturbed;	     /* its user code was interrupted: no measure of demand */
	bool elsewhere;	     /* another thread than the reader worked on it: account is detached */
	bool connects;	     /* has a connection opened for a call of its own */
	bool called;	     /* has called another service */
	bool complete;	     /* all of its message has come in */
	bool no_reply;	     /* and there will be none */
	bool parted;	     /* with those answered with it: each has what it needed itself */
	bool worked_on;	     /* all it needs was done before the reply to one before it */
	bool replied;	     /* its reply is complete, by the framer */
	uint64_t sending;    /* bytes of its reply in the call at hand */
	uint64_t touched_by; /* the event that last sent bytes of its reply */
	int64_t compute_start_ns; /* user time since its last op, not yet written as one */
	int64_t compute_ns, compute_elapsed_ns;
	int64_t user_ns;   /* all of it */
	int64_t polled_ns; /* by its thread, which serves nobody else, since its last byte came */
	uint64_t last_op;
	uint64_t stored_target, synced_target; /* its last store and sync in this pass */
	uint8_t head[HEAD_BYTES], head_bytes;  /* its first; never stored */
	char verb[FRAMER_VERB_MAX];
	char signature[sizeof(((struct row_class *)0)->signature)];
};

/* A thread came back from a wait, or had just delivered: what follows may be a request's. */
struct mark {
	int64_t ns;
	uint64_t counters[TS_COUNT];
	int64_t waited[TS_COUNT]; /* its states in the wait */
	bool has_waited;
	bool working; /* it does an op */
};

#define UNIT_MARKS 8 /* the first is the last delivery, the others the latest waits */

/* An op that nobody is known to own yet. */
struct pending {
	struct row_op op;
	int64_t delta[TS_COUNT]; /* the thread's time in it */
	struct connection *call; /* a forward that still goes on, on that connection */
};

/*
 * What a thread has done since it last delivered something (a reply, a signal to the
 * thread that sends it), for a request that another thread read. Whose it is, the
 * delivery shows; until then its ops wait here.
 */
struct unit {
	struct pending *ops;
	size_t count, capacity;
	struct mark marks[UNIT_MARKS];
	unsigned marks_count;
	int64_t user[TS_COUNT], user_start_ns; /* user time since the last op, with its waits */
	int64_t called_ns;		       /* waits for the replies to its calls */
	struct request_ref guess; /* whose it is thought to be, before it is delivered */
	bool soft;		  /* nothing shows yet that the thread works on it */
	uint64_t end[TS_COUNT];	  /* delivered: the thread's counters then */
	int64_t end_ns;		  /* 0: it is not */
	struct athread *thread;
	struct unit *older, *newer; /* in service->delivered */
};

/* What a thread has done since the last reply, while several requests of a connection wait. */
struct batch {
	struct request_ref first; /* of them; its ops wait. 0: none */
	struct pending *steps;	  /* in order; OP_COMPUTE: time between ops */
	size_t count, capacity, ops;
};

/* n times the same kinds of ops. */
struct rounds {
	size_t n, per, done;
	bool tail;  /* ops of all of them follow: written and synced once */
	bool leads; /* user time between two is of the later one */
};

/* What the thread's time belongs to until its next boundary. */
enum owner {
	OWNER_NONE,	/* nobody, or whoever the next call is for */
	OWNER_REQUEST,	/* the one it read last */
	OWNER_AFTER,	/* the one it answered last: after-reply work */
	OWNER_ANSWERED, /* the one it read last, which another thread has answered meanwhile */
	OWNER_NOBODY,	/* nobody: it sees to a new connection, or waits without a call */
	OWNER_OTHERS,	/* requests on connections outside the sample: nobody here */
};

struct athread {
	uint64_t number; /* in the order in which they came */
	uint32_t slot, generation, tid, tgid;
	char comm[16];
	uint64_t last[TS_COUNT]; /* counters at its last boundary */
	int64_t last_ns;
	struct timeline timeline;
	enum owner owner;
	struct request_ref current; /* OWNER_REQUEST: whose; also the last read of a shared stage */
	uint64_t after_id;	    /* OWNER_AFTER: whose */
	int64_t gave_ns;	    /* when it last woke another thread, or signalled one */
	int64_t answered_ns;	    /* OWNER_ANSWERED: when */
	int64_t after_ns, after_start_ns; /* user time after that reply, not yet written */
	int64_t background_ns, background_start_ns;
	bool shared; /* its last op had several owners: the next reply's time is that reply's */
	bool serves, polls, accepts, delivers;
	bool on_files;		/* it has done ops on files */
	uint64_t connection_id; /* it read from last */
	bool several;		/* it has read from another as well */
	struct service *service;
	struct unit *unit;
	struct batch batch;
	struct event_pieces
		*pieces;  /* told last, in the call whose receive they are of; NULL: none yet */
	uint64_t idle_at; /* the signal at which it waits for work; 0: unknown */
	struct request **pass;
	size_t pass_count, pass_capacity;
	size_t held; /* by requests and results: they may outlive it */
	bool gone;   /* it has ended: its memory goes with the last that holds it */
	struct athread *gone_before, *gone_after;
};

/* A call to another service: bytes out, then bytes in. */
struct call {
	bool open;
	struct row_op op;
	struct unit *unit; /* whose op at `index` it is; NULL: its request is known, or nobody's */
	size_t index;
};

struct connection {
	struct connection *next; /* in its bucket */
	uint64_t socket_id, key; /* key: says which bucket */
	struct row_connection row;
	struct request *first, *last; /* on an incoming one: not closed yet, in order */
	uint64_t previous;	      /* request of the turn before */
	int64_t previous_arrival_ns, previous_end_ns;
	struct request_ref owner; /* on an outgoing one: whose call */
	bool paused;		  /* bytes went by unseen: a reply may have no request */
	bool guessed;		  /* `owner` is: several had been read before it was opened */
	bool others;		  /* the call is of a request outside the sample */
	struct call call;
	uint64_t called_target;
	struct turn *turns;
	size_t turns_count;
	struct framer framer;
	bool framed; /* the framer follows both directions since the last quiet moment */
	struct request *replying; /* whose reply is under way, by the framer */
	uint16_t local_port;
	uint64_t reader;	/* the thread's number that read from it last; 0: none */
	uint64_t acceptor;	/* the thread's number; 0: unknown */
	int64_t accepted_ns;	/* 0: unknown */
	struct tls *tls;	/* tls.c; NULL: no library that is followed works on it */
	bool looked, looks_tls; /* its first bytes in; a record of TLS */
	uint32_t tgid;		/* of the last thread that moved bytes on it */
	bool local;		/* a UNIX socket: nobody may say when it closes */
	/* of datagrams: the peer is part of what they are */
	bool datagrams;
	uint16_t remote_port;
	uint8_t remote_addr[16];
	uint64_t unframed; /* requests of no known protocol, numbered */
	int64_t used_ns;
	struct connection *older, *newer;
};

struct class
{
	struct row_class row;
	double user_ns, quiet_ns;
	uint64_t quiet;
};

/* One program that listens, of those that are captured. */
struct service {
	struct row_service row;
	struct request *waiting_first,
		*waiting_last; /* read, and nobody is known to work on them */
	struct unit *delivered_first, *delivered_last;
	size_t delivered; /* length of that list */
	size_t open;	  /* requests without an answer */
	uint64_t requests;
	unsigned unwanted;   /* enum unwanted, as it was said for its port */
	bool overlaps;	     /* several requests were under way on one connection */
	bool delivers;	     /* some thread of it gives results to another, which replies */
	bool works;	     /* some thread worked on what another had read */
	bool hands_off;	     /* some thread replied to what another had read */
	bool one_by_one;     /* it answers each request of a connection before it does the next */
	bool together;	     /* it has answered several requests of a connection by one call */
	bool readers_change; /* one connection was read by several threads */
	bool polls, polls_within; /* for whatever comes; as a thread of one connection */
	bool accepts_apart;
	uint64_t processes; /* that read requests */
	uint32_t tgid;	    /* of one of them */
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
	struct athread *gone; /* threads that have ended and are held */
	struct service services[SERVICES_MAX];
	struct class classes[CLASSES_MAX];
	size_t classes_count;
	struct file_key *files;	   /* open hash of TARGETS_MAX * 2; NULL: no file yet */
	struct framer_mark *marks; /* of the chunk at hand */
	size_t marks_count, marks_capacity;
	struct request *together[REQUESTS_SHARED_MAX]; /* while a batch is given to its owners */
	struct request **touched;		       /* by the call at hand */
	size_t touched_count, touched_capacity;
	union {
		struct event_receive receive;
		struct event_send send;
		uint8_t room[sizeof(struct event_receive) + EVENT_BYTES_LARGE];
	} plain; /* what a TLS library moved, as the kernel would have told it */
	struct connection *peers_oldest, *peers_newest; /* of datagrams, by their last use */
	size_t peers_count, locals_count;
	uint64_t targets, requests, ops, connections_seen;
	struct assembler_totals totals;
	int failed; /* what the sink or malloc said; sticks */
};

/* The two stretches of a thread's time that an event of a system call closes. */
struct segment {
	int64_t before[TS_COUNT]; /* from the last boundary to the call's entry */
	int64_t call[TS_COUNT];
	int64_t enter_ns, exit_ns;
	/* of what was done: the call, or a request of io_uring that may reach beyond it */
	int64_t start_ns, end_ns;
};

#define TRACE_TIME(a, ns) ((int64_t)(ns) - (a)->opts.start_ns)

void assembly_write(struct assembler *a, enum trace_table table, const void *row);
void assembly_write_op(struct assembler *a, struct row_op *op);
/* What points to a thread holds it, so that it can end before. Both take NULL. */
struct athread *thread_hold(struct athread *t);
void thread_drop(struct assembler *a, struct athread *t);

/* owner.c */
void owner_flush_after(struct assembler *a, struct athread *t);
void owner_flush_background(struct assembler *a, struct athread *t);
void owner_set_none(struct assembler *a, struct athread *t);
void owner_set_request(struct assembler *a, struct athread *t, struct request *r);
void owner_set_after(struct assembler *a, struct athread *t, const struct request *r);
/* Another thread has begun to reply to r at at_ns: t, which worked for it, does so no more. */
void owner_answered(struct athread *t, const struct request *r, int64_t at_ns);
void owner_set_others(struct assembler *a, struct athread *t);
void owner_set_nobody(struct assembler *a, struct athread *t);
/* The request the thread works for; NULL when it works for none. */
struct request *owner_current(struct athread *t);
/* At at_ns the thread turns to something else: what it works for waits, or goes on elsewhere. */
void owner_leave(struct athread *t, int64_t at_ns);
/* Gives the time before a call that is for `next` (NULL: for nobody) to whom it belongs. */
void owner_give_before(struct assembler *a, struct athread *t, const struct segment *seg,
		       struct request *next, bool replies);
/* User time of nobody; written in pieces. */
void owner_add_background(struct assembler *a, struct athread *t, int64_t ns, int64_t start_ns);
/* Gives the call itself to r (NULL: to nobody). */
void owner_give_call(struct assembler *a, struct athread *t, const struct segment *seg,
		     struct request *r);

/* batch.c */
/* The thread goes on with r: from here on its ops wait if others of its connection do. */
void batch_begin(struct athread *t, struct request *r);
/* What the thread does for r waits. */
bool batch_holds(struct athread *t, const struct request *r);
void batch_time(struct assembler *a, struct athread *t, const int64_t delta[TS_COUNT],
		int64_t start_ns);
void batch_op(struct assembler *a, struct athread *t, const struct row_op *op,
	      const int64_t delta[TS_COUNT]);
/* The thread turns to something else, and no reply has said whose it was. */
void batch_settle(struct assembler *a, struct athread *t);
/* The first of it is over. */
void batch_forget(struct assembler *a, struct request *r);
/* One call answers them. True: each has got what it needed itself. */
bool batch_answer(struct assembler *a, struct athread *t, struct request *const requests[],
		  size_t n);
/* Whether the kinds of these ops repeat n times; `tail`: ops of all may follow. */
bool rounds_find(struct rounds *ret, const struct pending *steps, size_t count, size_t n,
		 bool tail);
/* Of which round the next step is; n: of the tail. */
size_t rounds_next(struct rounds *rounds, const struct pending *step);

/* unit.c */
/* Makes sure that t has a unit, with all user time in its ops. False: out of memory. */
bool unit_ready(struct assembler *a, struct athread *t);
void unit_add_user(struct assembler *a, struct athread *t, const int64_t delta[TS_COUNT],
		   int64_t start_ns);
/* delta: the thread's time in it. */
void unit_add_op(struct assembler *a, struct athread *t, const struct row_op *op,
		 const int64_t delta[TS_COUNT]);
/* c->call has begun: its op is the next of t's unit. */
void unit_begin_call(struct assembler *a, struct athread *t, struct connection *c);
void unit_end_call(struct connection *c);
void unit_called(struct athread *t, int64_t ns);
/* One op that has waited there, to r. */
void unit_give_one(struct assembler *a, struct pending *p, struct request *r);
/* Ops before `from_ns` were nobody's, the others are request r's (NULL: nobody's either). */
void unit_give(struct assembler *a, struct unit *u, struct request *r, int64_t from_ns);
void unit_drop(struct assembler *a, struct athread *t);
void unit_free(struct unit *u);

/* handoff.c */
void op_on_signal(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg);
/* The thread has come back from a wait: for work, perhaps. */
void handoff_woken(struct assembler *a, struct athread *t, const struct event_call *e,
		   const struct segment *seg);
/* It does an op for somebody: it works at the latest now, though it may never have waited. */
void handoff_working(struct assembler *a, struct athread *t, const struct segment *seg);
/*
 * Thread t replies to r: gives r what other threads have done for it, and t itself when
 * it is not r's reader. True when the time before the call is settled by that.
 */
bool handoff_collect(struct assembler *a, struct athread *t, struct request *r,
		     const struct event_call *e, const struct segment *seg);
/* The reply has been sent by a thread that had not read the request. */
void handoff_sent(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg);
/* Another thread than r's reader does an op for it, which begins at ns. */
void handoff_take(struct assembler *a, struct request *r, int64_t ns);
/* The request is over. */
void handoff_forget(struct assembler *a, struct request *r);
/* The thread works no more for what others read: its ops are nobody's, its request waits again. */
void handoff_quit(struct assembler *a, struct athread *t);
/* Results that nobody has sent were nobody's. */
void handoff_give_up_all(struct assembler *a, struct service *s);
/* The request has been read: somebody may come for it. Or there is nothing left to come for. */
void waiting_add(struct request *r);
void waiting_remove(struct request *r);

/* call.c */
/* A call that no request owns is work after a reply: nothing else that t has read waits for one. */
bool call_is_after_reply(const struct athread *t);
void call_send(struct assembler *a, struct athread *t, struct connection *c,
	       const struct event_call *e, const struct segment *seg);
void call_receive(struct assembler *a, struct athread *t, struct connection *c,
		  const struct event_receive *e, const struct segment *seg);
/* The one that a connection is opened for: the oldest of several, by a guess. */
struct request *call_connects(struct athread *t, bool *ret_guessed);

/* turns.c */
void turn_receive(struct assembler *a, struct athread *t, const struct event_receive *e,
		  const struct segment *seg);
void turn_send(struct assembler *a, struct athread *t, const struct event_call *e,
	       const struct segment *seg);

void turn_receive_on(struct assembler *a, struct athread *t, struct connection *c,
		     const struct event_receive *e, const struct segment *seg);
void turn_send_on(struct assembler *a, struct athread *t, struct connection *c,
		  const struct event_call *e, const struct segment *seg);

/* marks.c */
/* Where messages begin and end in this chunk: a->marks. None, and not framed from here on, when nobody knows. */
void marks_find(struct assembler *a, struct connection *c, enum framer_side side,
		const uint8_t *bytes, size_t seen, size_t total);
void marks_judge_bytes(struct assembler *a, const struct connection *c, struct service *s,
		       bool overlaps);
/* Adds r to a->touched, once for each event. */
void touch(struct assembler *a, struct request *r);

/* receive.c */
enum { BY_TURNS = 90 }; /* confidence: the protocol is not known */

void requests_receive(struct assembler *a, struct athread *t, struct connection *c,
		      const struct event_receive *e, const struct segment *seg);
/* The thread goes on with what came first in its call. */
void requests_receive_more(struct assembler *a, struct athread *t, struct connection *c,
			   const struct event_receive *e, const struct segment *seg);

/* reply.c */
void reply_send(struct assembler *a, struct athread *t, struct connection *c,
		const struct event_call *e, const struct segment *seg);

/* datagram.c */
void datagram_call(struct assembler *a, struct athread *t, const struct event_datagram *e,
		   const struct segment *seg);
/* Another datagram of the call that t was told to be in last. */
void datagram_more(struct assembler *a, struct athread *t, const struct event_datagram_more *e);
void datagram_socket_closed(struct assembler *a, const struct event_socket *e);
/* The connection goes. */
void datagram_forget(struct assembler *a, struct connection *c);

/* ops.c */
struct row_op op_begin(const struct athread *t, const struct segment *seg, enum op_kind kind);
void op_on_file(struct assembler *a, struct athread *t, const struct event_call *e,
		const struct segment *seg);
void op_on_sleep(struct assembler *a, struct athread *t, const struct event_call *e,
		 const struct segment *seg);
void op_on_poll(struct assembler *a, struct athread *t, const struct event_call *e,
		const struct segment *seg);
void op_on_others(struct assembler *a, struct athread *t, const struct segment *seg);
void op_on_accept(struct assembler *a, struct athread *t, const struct event_call *e,
		  const struct segment *seg);
void op_on_connect(struct assembler *a, struct athread *t, const struct event_call *e,
		   const struct segment *seg);

/* Whether the thread has served one connection only, and accepts none itself. */
bool thread_is_of_one(const struct athread *t);

/* request.c */
enum { DONE_TOGETHER = 80 }; /* confidence: by the order of ops alone */

struct request *request_get(struct request_ref ref); /* NULL when it is gone */
struct request *request_open(struct assembler *a, struct athread *t, struct connection *c);
void request_flush_compute(struct assembler *a, struct request *r);
void request_add_user(struct request *r, const int64_t delta[TS_COUNT], int64_t start_ns);
void request_begin_op(struct assembler *a, struct request *r, struct row_op *op);
void request_op(struct assembler *a, struct request *r, struct row_op *op);
/* An op that waited in a unit for its owner. */
void request_give_op(struct assembler *a, struct request *r, struct row_op *op);
/* The CPU time of a call that was for n requests, in equal parts. */
void request_share_call(struct request *const requests[], size_t n, const int64_t delta[TS_COUNT]);
/* One op of n requests, each of which it took all of its time. */
void request_op_of_all(struct assembler *a, struct request *const requests[], size_t n,
		       struct row_op *op, const int64_t delta[TS_COUNT]);
/* The counters moved by delta while it was worked on: notes what disturbed it. */
void request_disturb(struct request *r, const int64_t delta[TS_COUNT]);
/* n requests were answered at once: nothing shows which of them needed what. */
void request_share(struct request *const requests[], size_t n);
/* Its confidence is this at the most, in percent. */
void request_doubt(struct request *r, unsigned confidence);
bool request_is_answered(const struct request *r);
void request_sign(struct request *r, enum op_kind kind);
void request_answered(struct request *r, int64_t end_ns, int64_t exit_ns);
void request_close(struct assembler *a, struct request *r, const char *status);

/* pass.c */
void pass_add(struct assembler *a, struct athread *t, struct request *r);
void pass_remove(struct athread *t, struct request *r);
void pass_clear(struct athread *t);
void pass_release(struct athread *t);
/*
 * Appends to a->together, which has n, those that other threads have read for t to work on and
 * that can own its op. Returns how many there are now.
 */
size_t pass_owners_elsewhere(struct assembler *a, const struct athread *t, size_t n,
			     enum op_kind kind, uint64_t target);
/* Whether the first ones of the pass are all of one connection. */
bool pass_is_of(const struct athread *t, size_t owners, const struct connection *c);
size_t pass_owners(struct athread *t, struct request *current, enum op_kind kind, uint64_t target);

/* connection.c */
struct connection *connection_find(struct assembler *a, uint64_t socket_id);
/* In the bucket of `key`; NULL: out of memory. */
struct connection *connection_new(struct assembler *a, const struct event_socket *e, uint64_t key);
/* The process has ended, and with it the UNIX sockets that it was the last to use. */
void connections_left(struct assembler *a, uint32_t tgid, int64_t close_ns);
void connection_opened(struct assembler *a, const struct event_socket *e);
void connection_closed(struct assembler *a, const struct event_socket *e);
void connection_pause(struct assembler *a, struct connection *c);
void connection_finish(struct assembler *a, struct connection *c, int64_t close_ns);
void connection_round_trips(struct connection *c, uint32_t srtt_us, uint32_t min_rtt_us);
void connection_turn(struct connection *c, int64_t arrival_ns);
/* Of a chunk of `total` bytes, as the program sees them: what from..to were on the socket. */
uint64_t connection_wire_bytes(const struct connection *c, uint64_t from, uint64_t to,
			       uint64_t total);
/* Whether what is sent next on c begins a call, and is no more of the last one. */
bool connection_call_begins(const struct connection *c);
void connection_call_send(struct assembler *a, struct athread *t, struct connection *c,
			  struct request *r, const struct event_call *e);
void connection_call_receive(struct assembler *a, struct connection *c, const struct event_call *e);
void connection_call_end(struct assembler *a, struct connection *c);
/* The call that goes on is request r's. */
void connection_call_owned(struct assembler *a, struct connection *c, struct request *r);

/* tls.c */
/* System calls that moved ciphertext, and locks of the library, are no ops; true: this was one. */
bool tls_absorbs(struct assembler *a, const struct event_call *e);
/* A function of the library has returned: a message, a handshake, or neither. */
void tls_returned(struct assembler *a, struct athread *t, const struct event_tls *e);
/* Of the chunk at hand, `total` bytes of plaintext: what from..to were on the socket. */
uint64_t tls_wire_bytes(const struct connection *c, uint64_t from, uint64_t to, uint64_t total);
/* What moves from now on is not seen. */
void tls_pause(struct connection *c);
/* The connection ends: before its row is written. */
void tls_finish(struct assembler *a, struct connection *c);

/* target.c */
uint64_t target_of_file(struct assembler *a, const struct event_call *e, bool writes);
uint64_t target_of_service(struct assembler *a, const char *address);
bool target_is_pseudo(uint32_t magic);

/* class.c */
uint64_t class_of(struct assembler *a, struct request *r);
void classes_finish(struct assembler *a);

#endif
