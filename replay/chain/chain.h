/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CHAIN_CHAIN_H
#define GAIT_REPLAY_CHAIN_CHAIN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/spec.h"
#include "replay/net/address.h"
#include "replay/plan/plan.h"

#include <stdbool.h>

/*
 * What a request of `gait walk` asks of the nodes, op by op. It is written as words of
 * a command line, and that text is also what a scenario holds and what a node gets:
 *
 *	-C, --comp-time TIME        compute: work that takes so long on an undisturbed CPU of the
 *	                            node, by its calibration. Contention makes it take longer.
 *	--sleep TIME                a timer that the described service sets: demand, not waiting
 *	                            that a machine caused. The thread serves others meanwhile.
 *	--lock TIME[,id=N]          takes lock N (0) of the node, computes for so long, gives it back
 *	--memory BYTES              takes memory, writes to each page of it, gives it back
 *	--kernel open|stat|close[,count=N][,dev=N]   so many (1) of these calls on the device's file
 *	-L, --load-data BYTES | [offset=SPEC,]size=SPEC[,dev=N]           reads
 *	-S, --store-data BYTES[,sync|nosync] | [offset=SPEC,][sync|nosync,]size=SPEC[,dev=N]
 *	                            writes; with sync (the default) until it is on the device
 *	--load-offset, --store-offset SPEC|none      of the -L, -S behind it that have none
 *	--sync-data [dev=N][,data]  fsync of the device's file; with `data` fdatasync
 *	-s, --skip N[,prob=P][,every=M]   passes over the next N ops of this chain - in the requests
 *	                            0, M, 2M, ... , with probability P. A forward with all its blocks is
 *	                            one op, and so is a further -s.
 *	-F, --forward ADDRESS[,ADDRESS...][,timeout=TIME][,retry=N][,nack=N][,size=SPEC][,branch]
 *	                            a call to others: what follows, up to its own -R, is their chain.
 *	                            Several addresses get the same one at once; it goes on when nack
 *	                            of them (all) have answered. With `branch`, each of the -F ...,branch
 *	                            blocks that follow one another goes to its own, all at once;
 *	                            timeout, retry and nack of the first hold for all.
 *	-R, --rs [[dev=N,][offset=SPEC,][sendfile,]BYTES]   the reply, which ends the chain; without
 *	                            BYTES, of the default size. With sendfile out of the device's file.
 *
 * A value follows its option as a word of its own or behind "=" ("-C10us" too). TIMEs are us
 * without a unit; they and BYTES are specs (base/spec.h).
 *
 * A -R that a -s may pass over does not end its chain: another one must follow. What stands
 * behind the -R that ends the chain is an error. The outermost chain may lack its -R: it
 * gets the default one.
 */
#define CHAIN_OPS_MAX 1024	   /* of a chain with all its blocks */
#define CHAIN_DEPTH_MAX 16	   /* forwards within forwards */
#define CHAIN_PEERS_MAX 256	   /* different addresses */
#define CHAIN_FORWARD_PEERS_MAX 64 /* addresses of one forward */
#define CHAIN_TEXT_MAX (1u << 20)  /* bytes as text */
#define CHAIN_DEVICES_MAX 16
#define CHAIN_LOCKS_MAX 256
#define CHAIN_CALLS_MAX 1000000	   /* of one --kernel */
#define CHAIN_BYTES_MAX (1u << 30) /* of a load, store, memory, message: as WIRE_OP_BYTES_MAX */
#define CHAIN_TIME_MAX_NS \
	(60ull * 1000 * 1000 * 1000) /* of a compute, sleep, lock: as NODE_COMPUTE_MAX_MS */
#define CHAIN_TIMEOUT_NS (10ull * 1000 * 1000 * 1000) /* of a forward, unless it says */
#define CHAIN_RETRIES_MAX 1000

enum { CHAIN_SKIP = OP_KIND_COUNT }; /* the kind that is no op */

/* What to draw for an op: spec_key.slot. */
enum chain_slot { CHAIN_SLOT_AMOUNT, CHAIN_SLOT_OFFSET, CHAIN_SLOT_SKIP };

struct chain_skip {
	uint32_t ops;	/* as written; chain_op.end is where it goes on */
	uint32_t every; /* 1: all requests */
	double prob;
};

struct chain_forward {
	uint16_t peers[CHAIN_FORWARD_PEERS_MAX]; /* indices into chain.peers */
	uint32_t peers_count;
	uint64_t timeout_ns; /* of an attempt */
	uint32_t retries;    /* after the first attempt */
	uint32_t quorum; /* replies that are enough, of this op and its further branches together */
	bool branch;
	uint32_t next_branch; /* index of the next -F of the same call; 0: this is the last */
};

struct chain_op {
	uint32_t kind;	    /* enum op_kind or CHAIN_SKIP */
	uint32_t flags;	    /* OPF_SYNC, OPF_DSYNC, OPF_SENDFILE, OPF_OPEN, OPF_STAT, OPF_CLOSE */
	struct spec amount; /* ns: compute, sleep, lock; bytes: load, store, memory, reply,
			     * forward (the message that asks); count: kernel */
	struct spec offset; /* load, store, reply by sendfile */
	bool has_offset;    /* false: the node goes on where the op before it ended */
	uint32_t device;    /* load, store, sync, kernel, reply by sendfile; lock: its number */
	struct chain_skip skip;
	struct chain_forward *forward; /* of OP_FORWARD only; owned */
	/*
	 * Index behind its block: behind the -R of a forward, behind what a skip passes over;
	 * of all others their own + 1.
	 */
	uint32_t end;
};

struct chain {
	struct chain_op *ops;
	size_t count;
	struct address *peers; /* each address once, in the order in which they come */
	size_t peers_count;
	/* Set it where ops are run: compute and lock come out in work units. 0: in ns. */
	uint64_t work_per_ms;
};

/* What holds where a chain does not say. All zero is of no use: see chain_defaults(). */
struct chain_defaults {
	struct spec reply;	   /* bytes of a -R without size, and of the one that is missing */
	struct spec forward_bytes; /* bytes of the message that a forward sends */
	const struct spec_files *files; /* for specs; NULL: they may name none */
	/*
	 * As DistWalk's client reads it: forwards that are still open at the end get the
	 * default reply, and within a branch a further -F ...,branch ends it with one.
	 */
	bool lenient;
};

#define CHAIN_PORT 7891 /* of an address without one, as of DistWalk's nodes */
#define CHAIN_REPLY_BYTES 512 /* as DistWalk's client */
#define CHAIN_FORWARD_BYTES 1024

/* DistWalk's; no files. Nothing in it needs a release. */
struct chain_defaults chain_defaults(void);

/*
 * -EINVAL, -ERANGE, -E2BIG, -ENOMEM with a sentence that names the word, counted from
 * 1, and the op it belongs to.
 */
int chain_parse(struct chain *ret_chain, const char *const *words, size_t words_count,
		const struct chain_defaults *defaults, struct err *err);
void chain_release(struct chain *c);

/* What a word of a command line is to a chain. */
enum chain_word {
	CHAIN_WORD_OTHER,   /* none of the options above */
	CHAIN_WORD_WHOLE,   /* an option with its value: "-C10us", "--rs=64" */
	CHAIN_WORD_VALUE,   /* an option whose value is the next word */
	CHAIN_WORD_PERHAPS, /* an option whose value is the next word unless that begins with '-' */
};
enum chain_word chain_word(const char *word);

/*
 * The canonical text, a word a line, which says everything that was a default. It
 * parses back to the same chain without any file. -E2BIG beyond CHAIN_TEXT_MAX.
 */
int chain_format(const struct chain *c, struct buf *out, struct err *err);

/*
 * Such a text into a chain. Words are lines; nothing else separates them. `text` needs
 * no '\0'; one within is an error. Opens no file.
 */
int chain_parse_text(struct chain *ret_chain, const char *text, size_t len, struct err *err);

struct chain_request {
	size_t ops; /* written, with the reply that ends it */
	uint64_t response_bytes;
	uint32_t end; /* index behind that reply */
	uint32_t cut; /* values that were above their limit and were cut to it */
};

/*
 * The ops of one request, from op `at` - 0, or the one behind a forward - to the reply
 * that ends that chain. Pure. Skips are resolved; blocks of forwards are passed over.
 *
 *	op_id      1 + index of the chain_op (so a forward's chain begins at op_id)
 *	work       compute, lock: work units, or ns without work_per_ms; sleep: ns; kernel: calls
 *	bytes      load, store, memory, reply; forward: of the message that asks
 *	offset     TRACE_NONE without one
 *	target_id  1 + device, of ops on files; lock: its number
 *	reply_bytes  0
 *
 * A call of several branches is the op of its first. -ENOBUFS if they are more than
 * `max` (CHAIN_OPS_MAX is always enough); -EINVAL if `at` is not where a chain begins.
 */
int chain_draw(const struct chain *c, uint64_t seed, uint64_t request, uint32_t at,
	       struct plan_op *ops, size_t max, struct chain_request *ret_request);

/* One op of it, which is no -s; `index` is below c->count. */
struct plan_op chain_draw_op(const struct chain *c, uint64_t seed, uint64_t request,
			     uint32_t index);

/* Whether the -s at this index passes over its ops in that request. */
bool chain_skips(const struct chain *c, uint64_t seed, uint64_t request, uint32_t index);

/* The index behind an op with all its blocks and further branches; behind a -s the op it may skip. */
uint32_t chain_behind(const struct chain *c, uint32_t index);

/* Bytes of the message that the forward at this index sends; of a further branch too. */
uint64_t chain_forward_bytes(const struct chain *c, uint64_t seed, uint64_t request,
			     uint32_t index);

#endif
