/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_WIRE_H
#define GAIT_REPLAY_NET_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "replay/plan/plan.h"
#include "trace/manifest.h"
#include "trace/subsystem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What client and node say to each other (docs/PROTOCOL.md). Pure: memory in,
 * memory out; network byte order; nothing is longer than the limits below.
 *
 * The first bytes of a connection tell what it is: the magic of a preface (data), the
 * length of a frame (control), whose first byte is always 0, or a handshake of TLS.
 *
 * Control: frames of {u32 payload bytes, u16 enum wire_type, u16 0, payload}, one
 * message a frame, each of a fixed layout (WIRE_PLAN: a request and its ops).
 *
 *	client                                     node
 *	HELLO                                  ->
 *	                                       <-  HELLO, or ERROR (busy, wrong version)
 *	SERVICE, TARGET*, CONNECTION*,
 *	BACKGROUND*, a window of PLANs         ->
 *	LAYOUT                                 ->
 *	                                       <-  READY (files are laid out, threads up)
 *	(data connections, each with preface)  ->
 *	START                                  ->
 *	further PLANs within the window        ->
 *	                                       <-  CREDIT, now and then
 *	PLAN_END (may come before START too)   ->
 *	STOP (all answered, or enough)         ->
 *	                                       <-  ROW*, OPROW*, STRETCH*, LEDGER*, USAGE, BYE
 *
 * Either side may send ERROR and close. CONNECTIONs may also come later, each
 * before the first PLAN of its connection.
 *
 * A walk describes its requests once, and says WALK, TEXT*, PEER* instead of SERVICE to
 * PLAN; its data connections have the flag WIRE_PREFACE_WALK, and their messages a header.
 */
#define WIRE_MAGIC 0x47414954u /* "GAIT": in HELLO, and first of a preface */
#define WIRE_VERSION 2
#define WIRE_HEAD_BYTES 8
#define WIRE_PREFACE_BYTES 32
#define WIRE_TOKEN_BYTES 16

#define WIRE_PAYLOAD_MAX (1u << 20)  /* bytes of a frame's payload; keeps its first byte 0 */
#define WIRE_OPS_MAX 4096	     /* ops of a request */
#define WIRE_MESSAGE_MAX (1u << 30)  /* bytes of a request or of a response */
#define WIRE_OP_BYTES_MAX (1u << 30) /* bytes of a load, store or reply */
#define WIRE_THREADS_MAX 256
#define WIRE_CONNECTIONS_MAX 65536
#define WIRE_TARGETS_MAX 65536
#define WIRE_BACKGROUND_MAX (1u << 20)
#define WIRE_BACKGROUND_THREADS_MAX 256
#define WIRE_PEERS_MAX 65536
#define WIRE_CHAIN_MAX (1u << 20) /* bytes of a walk's op chain as text */

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_SERVICE,
	WIRE_TARGET,
	WIRE_CONNECTION,
	WIRE_PLAN,
	WIRE_BACKGROUND,
	WIRE_LAYOUT,
	WIRE_PLAN_END,
	WIRE_READY,
	WIRE_START,
	WIRE_CREDIT,
	WIRE_STOP,
	WIRE_ROW,
	WIRE_OPROW,
	WIRE_LEDGER,
	WIRE_USAGE,
	WIRE_BYE,
	WIRE_ERROR,
	WIRE_WALK,
	WIRE_TEXT,
	WIRE_PEER,
	WIRE_CLOCK, /* from here on: a client and its agents */
	WIRE_SENDER,
	WIRE_CLASS,
	WIRE_LIVE,
	WIRE_SENT,
	WIRE_SHARE,
	WIRE_TALLY,
	WIRE_HIST,
	WIRE_BUCKETS,
	WIRE_LOAD,
	WIRE_ROUTE,
	WIRE_OPENING,
	WIRE_FACT,
	WIRE_KEEP, /* of a run: which rows are kept */
	WIRE_SLOW,
	WIRE_TOTAL,
	WIRE_STRETCH,
	WIRE_TYPE_COUNT
};

/* Both ways; what follows `host` only the node fills in. */
struct wire_hello {
	uint32_t magic;
	uint32_t version;
	struct manifest_host host; /* equal boot_id: one clock */
	uint64_t work_per_ms;	   /* calibration */
	uint32_t attribution;	   /* enum attribution: what rows are made by */
	uint32_t data_port;
	uint64_t requests_ahead_max;	  /* PLANs sent and not yet credited: more is an ERROR */
	uint64_t ops_ahead_max;		  /* and the ops in them */
	uint8_t secret[WIRE_TOKEN_BYTES]; /* by which this session's prefaces are signed */
};

struct wire_service {
	uint64_t service_id;
	uint32_t threads;	 /* 1..WIRE_THREADS_MAX */
	uint32_t batching;	 /* enum plan_batching */
	int64_t call_timeout_ns; /* of its calls to other nodes */
	uint32_t peers;		 /* that PEERs tell of */
	uint32_t timelines;	 /* 1: STRETCHes of each request */
};

struct wire_target {
	uint64_t target_id;
	uint64_t file_bytes;
};

struct wire_connection {
	uint64_t connection_id;
	uint32_t thread; /* below wire_service.threads */
	uint32_t dependent;
	uint64_t requests;
};

struct wire_start {
	uint32_t relative; /* 0: anchor_ns is CLOCK_MONOTONIC of both; 1: that long after receipt */
	uint32_t reserved; /* 0 */
	int64_t anchor_ns; /* when due_ns is 0 */
};

/* Totals since the start of the session. */
struct wire_credit {
	uint64_t requests; /* served and forgotten */
	uint64_t ops;	   /* of those */
};

/* How a request went. All times CLOCK_MONOTONIC of the node, 0: unknown. */
struct wire_row {
	uint64_t request_id;
	uint64_t connection_id;
	int64_t arrival_ns;
	int64_t read_ns;
	int64_t write_ns;
	int64_t end_ns; /* tx_ns where known, else when the last send returned */
	int64_t tx_ns;
	uint64_t request_bytes;
	uint64_t response_bytes;
	uint32_t status; /* 0, or the errno of its first op that failed */
	uint32_t thread;
	int64_t total_ns; /* end - arrival (read, when that is unknown) */
	int64_t unattributed_ns;
	int64_t ns[SUB_COUNT];
	uint64_t root_id; /* and class: as its PLAN has them (plan_root_of()) */
	uint32_t class;
	uint32_t call; /* of a walk: which of the nodes' (replay/chain/calls.h); 0: the client's */
};

/*
 * An op as it was executed. A call made for several requests has one row for each
 * of them, with the same call_id and the values of the whole call.
 */
struct wire_oprow {
	uint64_t call_id; /* 1.. */
	uint64_t op_id;
	uint64_t request_id; /* 0: background */
	uint32_t kind;	     /* enum op_kind */
	uint32_t flags;	     /* enum op_flag; OPF_SHARED as executed; OPF_FAILED with status */
	uint32_t after_reply;
	uint32_t status; /* 0 or an errno */
	int64_t start_ns;
	int64_t elapsed_ns;
	int64_t cpu_ns; /* 0: unknown */
	uint64_t work;
	uint64_t bytes;
	uint64_t reply_bytes; /* of a forward */
	int64_t offset;	      /* TRACE_NONE: has none */
	uint64_t target_id;
	uint64_t root_id;  /* of its request; background: 0 */
	uint32_t call;	   /* and of a walk */
	uint32_t reserved; /* 0 */
};

/* A part of a request's timeline. Those of one come in their order. */
struct wire_stretch {
	uint64_t root_id, request_id;
	int64_t from_ns, until_ns;
	uint32_t row;	   /* enum subsystem; SUB_COUNT: unattributed */
	uint32_t thread;   /* of the node */
	uint32_t call;	   /* as in the ROW */
	uint32_t reserved; /* 0 */
};

/* An entry of struct ledger that is not 0, by its name. */
struct wire_ledger {
	char name[32];
	uint64_t count;
};

struct wire_usage {
	int64_t anchor_ns; /* the node's CLOCK_MONOTONIC when due_ns was 0 */
	int64_t user_ns;   /* of the service's threads from START to STOP; TRACE_NONE: unknown */
	int64_t kernel_ns;
	int64_t control_ns;	    /* CPU of the node's other threads */
	int64_t own_ns_per_request; /* of the node's own user CPU, as subtracted from compute ops */
	uint64_t refused;	    /* data connections with a wrong preface */
};

struct wire_error {
	char text[512];
};

/*
 * What a walk's requests ask for: `text_bytes` of op chain (replay/chain/chain.h) in the TEXTs that
 * follow.
 */
struct wire_walk {
	uint64_t seed;
	uint32_t text_bytes; /* 1..WIRE_CHAIN_MAX */
	uint32_t rows; /* 1: a ROW for each request, and an OPROW for each op; 2: STRETCHes too */
};

/* Where a peer takes data connections, and the secret of its session. */
struct wire_peer {
	uint32_t index;	 /* of chain.peers; of a replay, in the `work` of forwards */
	uint32_t thread; /* of a replay: of the service there, which serves what is called */
	char address[256];
	uint8_t secret[WIRE_TOKEN_BYTES];
};

/*
 * What a client and its agents say to each other (replay/walk/job.h, replay/agent/agent.h), after
 * both have said HELLO:
 *
 *	client                                     agent
 *	CLOCK (again and again, at any time)   ->
 *	                                       <-  CLOCK
 *	SENDER, CLASS*, TEXT*                  ->
 *	                                       <-  READY
 *	START (of the agent's clock)           ->
 *	                                       <-  LIVE, every second
 *	STOP (if it has to end early)          ->
 *	                                       <-  SENT*, SHARE*, HIST*, BUCKETS*, TALLY
 *	BYE                                    ->
 *
 * Of a replay (replay/client/share.h, replay/agent/replay.c) LOAD, ROUTE*, OPENING*, PLAN* (without
 * ops) and PLAN_END come instead of SENDER to TEXT, and FACT*, LEDGER*, BYE instead of SENT to
 * TALLY.
 */
struct wire_clock {
	int64_t asked_ns; /* of who asks; comes back */
	int64_t told_ns;  /* of who answers; 0 in the question */
};

#define WIRE_SENDER_SPIN_ALWAYS (1u << 0) /* --wait-spin */
#define WIRE_SENDER_NO_SPIN (1u << 1)
#define WIRE_SENDER_NO_DELAY (1u << 2)
#define WIRE_SENDER_STAGGER (1u << 3)
#define WIRE_SENDER_BY_PERIOD (1u << 4)
#define WIRE_SENDER_SESSION_ROWS (1u << 5)
#define WIRE_SENDER_ROWS (1u << 6) /* SENTs are wanted */
#define WIRE_SENDER_FLAGS (1u << 7)

#define WIRE_WALK_THREADS_MAX 65536
#define WIRE_SPEC_MAX (1u << 20) /* bytes of a spec as text */
#define WIRE_CLASSES_MAX 256
#define WIRE_SENDER_TEXT_MAX (4u << 20) /* of all TEXTs of a SENDER */

/*
 * A walk, and which of its threads are the agent's. The TEXTs that follow are, one behind the
 * other: the spec of a request's size, that of the period or rate, the chain (none if all requests
 * are alike), and the sizes of the classes that have their own.
 */
struct wire_sender {
	uint64_t seed, requests, sessions; /* as struct walk_schedule */
	uint32_t threads, first, step;	   /* its own are first, first + step, ... */
	uint32_t beside;		   /* agents of this walk on this host, it included */
	int64_t rate_step_ns, timeout_ns, connect_retry_ns;
	uint32_t connect_retries, flags;
	uint32_t size_bytes, pace_bytes, chain_bytes, classes;
	char address[256]; /* where the node takes data connections */
	uint8_t secret[WIRE_TOKEN_BYTES];
};

struct wire_class {
	char name[32];
	uint32_t at, end;    /* its ops in the chain */
	uint32_t size_bytes; /* 0: the walk's */
	uint32_t reserved;   /* 0 */
};

struct wire_live {
	uint64_t sent, answered, failed; /* so far */
	int64_t late_p99_ns;		 /* of a replay, since the last one */
};

/* A request of an agent and what came of it: times since the anchor. */
struct wire_sent {
	uint64_t request;
	uint32_t thread, session;
	int64_t due_ns, sent_ns, received_ns; /* received_ns < 0: it was not */
	uint32_t request_bytes, response_bytes;
	uint32_t outcome, reserved; /* enum walk_outcome; 0 */
};

struct wire_share {
	uint32_t thread, reserved; /* 0 */
	uint64_t answered, failed;
};

#define WIRE_OUTCOMES 4 /* WALK_OUTCOMES */
struct wire_tally {
	uint64_t sent, outcomes[WIRE_OUTCOMES], bytes_out, bytes_in, raised, replies_late;
	uint64_t rows_waited;
	int64_t ended_ns;
	char failure[512]; /* of the first connection that broke; empty: none did */
};

/* A histogram (base/hist.h), then BUCKETS of each of its blocks that is not empty. */
#define WIRE_HISTS 4 /* latency, service, late, connect */
#define WIRE_BLOCK_BUCKETS 512
#define WIRE_BLOCKS 56
struct wire_hist {
	uint32_t which, reserved; /* 0 */
	uint64_t count, min, max;
	uint64_t sum; /* the bits of a double (IEEE 754) */
};

struct wire_buckets {
	uint32_t which, block;
	uint64_t counts[WIRE_BLOCK_BUCKETS];
};

/* A share of a replay's connections and requests: how many follow. */
#define WIRE_ROUTES_MAX 16
#define WIRE_LOAD_CONNECTIONS_MAX (1u << 20)
#define WIRE_LOAD_REQUESTS_MAX (1u << 26)
struct wire_load {
	uint32_t routes, connections;
	uint64_t requests;
	int64_t timeout_ns;
	uint32_t spins, beside; /* beside: agents of this replay on this host, it included */
};

/* Where the node of a service takes data connections. */
struct wire_route {
	uint64_t service_id;
	char address[256];
	uint8_t secret[WIRE_TOKEN_BYTES];
};

struct wire_opening {
	uint64_t connection_id, service_id;
	int64_t first_due_ns;
	uint64_t requests;
};

/* struct client_fact, by the agent's clock */
struct wire_fact {
	int64_t intended_ns, sent_ns, tx_ns, again_ns, left_ns, sent_end_ns, arrival_ns,
		received_ns;
	uint32_t request; /* its place among the PLANs of this agent, from 0 */
	uint32_t order;
	uint32_t outcome, reserved; /* enum outcome; 0 */
};

/*
 * Rows are kept of a share of the requests that the client sends and of what comes of these, and of
 * those named in SLOWs. `share` is of all numbers of 64 bits (keep.h). Of a walk CLASSes follow; in a
 * replay each PLAN says its class, and the seed of the choice is KEEP_SEED.
 */
struct wire_keep {
	uint64_t share;
	uint32_t classes, reserved; /* 0 */
};

#define WIRE_SLOW_MAX 64
struct wire_slow {
	uint32_t count, reserved; /* 0 */
	uint64_t requests[WIRE_SLOW_MAX];
};

/* A bin of src/trace/totals.h. */
struct wire_total {
	uint32_t class, bin;
	uint64_t requests;
	int64_t total_ns, unattributed_ns;
	int64_t ns[SUB_COUNT];
};

/* The preface of a data connection; what follows are requests, without headers but in a walk. */
#define WIRE_PREFACE_WALK 1	/* messages have headers */
#define WIRE_PREFACE_DATAGRAM 2 /* it begins each of them (replay/net/datagram.h) */
#define WIRE_PREFACE_CALL 4	/* alone: a node calls; see WIRE_CALL_ID() */
struct wire_preface {
	uint16_t flags;			 /* WIRE_PREFACE_... */
	uint8_t token[WIRE_TOKEN_BYTES]; /* good for this connection alone: see wire_preface_sign() */
	uint64_t connection_id;		 /* of which there is one in a session */
};

/*
 * The id of a connection from node to node, above those of clients: the PEER's thread + 1, of a walk
 * 0, and a serial number. Each thread that calls counts on from one that was drawn, so there has been
 * none of it, and neighbours are used up together (replay/node/admission.h).
 */
#define WIRE_CALL_SERIAL_BITS 47
#define WIRE_CALL_ID(thread, serial)                                \
	(1ull << 63 | (uint64_t)(thread) << WIRE_CALL_SERIAL_BITS | \
	 ((uint64_t)(serial) & ((1ull << WIRE_CALL_SERIAL_BITS) - 1)))
#define WIRE_CALL_THREAD(id) ((uint32_t)((id) >> WIRE_CALL_SERIAL_BITS & 0xffff))

/* Both ends of a message of one record: X(TYPE, name), wire_put_name() and wire_get_name(). */
#define WIRE_RECORD_LIST(X)                               \
	X(HELLO, hello, struct wire_hello)                \
	X(SERVICE, service, struct wire_service)          \
	X(TARGET, target, struct wire_target)             \
	X(CONNECTION, connection, struct wire_connection) \
	X(BACKGROUND, background, struct plan_background) \
	X(START, start, struct wire_start)                \
	X(CREDIT, credit, struct wire_credit)             \
	X(ROW, row, struct wire_row)                      \
	X(OPROW, oprow, struct wire_oprow)                \
	X(LEDGER, ledger, struct wire_ledger)             \
	X(USAGE, usage, struct wire_usage)                \
	X(ERROR, error, struct wire_error)                \
	X(WALK, walk, struct wire_walk)                   \
	X(PEER, peer, struct wire_peer)                   \
	X(CLOCK, clock, struct wire_clock)                \
	X(SENDER, sender, struct wire_sender)             \
	X(CLASS, class, struct wire_class)                \
	X(LIVE, live, struct wire_live)                   \
	X(SENT, sent, struct wire_sent)                   \
	X(SHARE, share, struct wire_share)                \
	X(TALLY, tally, struct wire_tally)                \
	X(HIST, hist, struct wire_hist)                   \
	X(BUCKETS, buckets, struct wire_buckets)          \
	X(LOAD, load, struct wire_load)                   \
	X(ROUTE, route, struct wire_route)                \
	X(OPENING, opening, struct wire_opening)          \
	X(FACT, fact, struct wire_fact)                   \
	X(KEEP, keep, struct wire_keep)                   \
	X(SLOW, slow, struct wire_slow)                   \
	X(TOTAL, total, struct wire_total)                \
	X(STRETCH, stretch, struct wire_stretch)

struct wire_frame {
	enum wire_type type;
	const uint8_t *payload; /* within the memory given to wire_frame_decode() */
	size_t payload_bytes;
};

/* The frame at the start of `data`: bytes it takes, 0 when more are needed, or -EPROTO. */
int wire_frame_decode(const uint8_t *data, size_t size, struct wire_frame *ret_frame,
		      struct err *err);

/* "PLAN" for WIRE_PLAN; "unknown" beyond. */
const char *wire_type_name(enum wire_type type);

/*
 * wire_put_x() appends a frame; 0 or what buf_failed() says. wire_get_x() takes one apart: 0,
 * or -EPROTO when it is not such a frame, of another length, or a value is beyond its limit.
 */
#define X(TYPE, name, record)                                        \
	int wire_put_##name(struct buf *out, const record *message); \
	int wire_get_##name(const struct wire_frame *frame, record *ret_message, struct err *err);
WIRE_RECORD_LIST(X)
#undef X

/* A message without payload: LAYOUT, PLAN_END, READY, STOP, BYE. */
int wire_put_empty(struct buf *out, enum wire_type type);

/* A request and its ops_count ops. */
int wire_put_plan(struct buf *out, const struct plan_request *request, const struct plan_op *ops);

/* Fills in up to ops_max ops (-E2BIG beyond); ret_request->first_op is 0. */
int wire_get_plan(const struct wire_frame *frame, struct plan_request *ret_request,
		  struct plan_op *ret_ops, size_t ops_max, struct err *err);

/* A part of a walk's text: the payload as it is. Empty ones are not sent. */
int wire_put_text(struct buf *out, const char *text, size_t len);

/*
 * The header of a walk's message, request and reply alike. `size` counts all of its bytes, the
 * header's too; what follows the header has no meaning.
 */
#define WIRE_MESSAGE_BYTES 24
struct wire_message {
	uint32_t size;	  /* WIRE_MESSAGE_BYTES..WIRE_MESSAGE_MAX */
	uint16_t at;	  /* index of the op where the chain begins; 0 from the client */
	uint8_t status;	  /* enum wire_status, of a reply */
	uint8_t flags;	  /* 0 */
	uint64_t request; /* its number, which values are drawn by */
	uint32_t attempt; /* of a walk's forward: its call (replay/chain/calls.h), another one at each
			   * attempt; comes back as it was sent */
	uint32_t cookie; /* the sender's own; comes back as it was sent */
};

enum wire_status {
	WIRE_STATUS_OK,
	WIRE_STATUS_ERROR,
	WIRE_STATUS_TIMEOUT,
	WIRE_STATUS_PART,   /* of a reply between nodes: more of it follows */
	WIRE_STATUS_FORGET, /* of a request between nodes: it will not be made */
	WIRE_STATUS_COUNT
};

void wire_message_encode(const struct wire_message *message, uint8_t ret_bytes[WIRE_MESSAGE_BYTES]);

/* Of WIRE_MESSAGE_BYTES bytes: false when a member is out of its range. */
bool wire_message_decode(const uint8_t *bytes, struct wire_message *ret_message);

/* Every entry of the ledger that is not 0, a frame each. */
int wire_put_ledgers(struct buf *out, const struct ledger *ledger);

/* Adds an entry by its name; -ENOENT for one this version does not know. */
int wire_ledger_add(struct ledger *ledger, const struct wire_ledger *entry);

void wire_preface_encode(const struct wire_preface *preface, uint8_t ret_bytes[WIRE_PREFACE_BYTES]);

/* WIRE_PREFACE_BYTES, 0 when more are needed, or -EPROTO (at the first byte that tells). */
int wire_preface_decode(const uint8_t *data, size_t size, struct wire_preface *ret_preface,
			struct err *err);

/*
 * Makes the token of all the rest of it: who reads it on its way can make none for another
 * connection, and of this one there is no second. Some 3 us, once a connection.
 */
void wire_preface_sign(struct wire_preface *preface, const uint8_t secret[WIRE_TOKEN_BYTES]);
bool wire_preface_is_signed(const struct wire_preface *preface,
			    const uint8_t secret[WIRE_TOKEN_BYTES]);

/* Takes as long whatever differs. */
bool wire_tokens_equal(const uint8_t a[WIRE_TOKEN_BYTES], const uint8_t b[WIRE_TOKEN_BYTES]);

#endif
