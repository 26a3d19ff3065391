/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_KEEPER_H
#define GAIT_REPLAY_NODE_KEEPER_H

#include "replay/node/spool.h"
#include "replay/node/walk.h"
#include "trace/totals.h"

#include <pthread.h>

/*
 * What a node keeps of a long run. Every row is added to totals by class; those of a sample
 * (replay/keep.h) are spooled. All others wait in a ring, the last NODE_RING_BYTES of rows and as much
 * of ops, from which the client, who knows what took long, asks for those of the requests that it
 * names: so neither memory nor files grow with the requests.
 *
 * A row may be asked for before it is there, as threads hand theirs over when a chunk is full: names are
 * remembered, the last one of each of NODE_NAMES_MAX places.
 */
struct keeper_ring {
	struct keeper *keeper;
	struct spool *spool;		/* what is kept goes there */
	size_t record_bytes, id_offset; /* of what it is chosen by: root_id */
	char *records;			/* NULL: not yet */
	size_t capacity, next, count;	/* records */
};

struct keeper {
	const struct walk_program *program; /* NULL: of a replay, whose rows say their class */
	uint64_t share, seed;
	uint32_t classes_count, classes_known;
	uint32_t at[WIRE_CLASSES_MAX]; /* where each class begins in the chain */
	pthread_mutex_t lock;	       /* of all below: threads may hand rows over themselves */
	uint64_t *names;	       /* number + 1 at its hash; 0: none */
	struct keeper_ring rows, ops, stretches;
	struct totals totals;
	bool failed; /* memory: the totals are not whole */
};

/* Takes what the spools' writers hand over from now on; all that is given outlives it.
 * Of timelines as much is held as of ops; stretches may be NULL. */
int keeper_new(const struct wire_keep *keep, const struct walk_program *program, struct spool *rows,
	       struct spool *ops, struct spool *stretches, struct keeper **ret_keeper,
	       struct err *err);
void keeper_free(struct keeper *keeper);

/* The next class of a walk; -EPROTO when it is none of the chain. */
int keeper_add_class(struct keeper *keeper, const struct wire_class *class, struct err *err);

/* Whether all classes of a walk are known. */
bool keeper_is_ready(const struct keeper *keeper);

/* Requests whose rows are to be kept, wherever these are. */
void keeper_name(struct keeper *keeper, const struct wire_slow *slow);

#endif
