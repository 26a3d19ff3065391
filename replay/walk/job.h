/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_JOB_H
#define GAIT_REPLAY_WALK_JOB_H

#include "replay/net/wire.h"
#include "replay/walk/link.h"

/*
 * What a sender of a walk has to know when it is on another host, and what it has to tell when it
 * is through, as messages (net/wire.h), there and back. Memory in, memory out.
 */
struct walk_job_share {
	uint32_t first, step; /* of the walk's threads */
	uint32_t beside;      /* agents of the walk on that host */
	bool rows, no_spin;
};

/* A plan whose data connections are not by UNIX sockets, nor bound to an end. */
int walk_job_put(struct buf *out, const struct walk_plan *plan, const struct walk_job_share *share,
		 struct err *err);

struct walk_job {
	struct wire_sender head;
	struct address address;
	uint32_t classes_count; /* that have come */
	size_t text_bytes;	/* that will have */
	struct buf text;
	struct spec size, pace;
	struct chain chain;
	struct walk_class classes[WALK_CLASSES_MAX];
	uint32_t class_bytes[WALK_CLASSES_MAX];
};

/* SENDER, with which it begins. A zero-initialised struct can be released. */
int walk_job_begin(struct walk_job *job, const struct wire_frame *frame, struct err *err);

/* A further message of it: 1 when it is whole, 0, or -EPROTO, -EINVAL with a sentence. */
int walk_job_take(struct walk_job *job, const struct wire_frame *frame, struct err *err);
void walk_job_release(struct walk_job *job);

/* All but where the connections go, and whether to spin; lends what it needs of the job. */
void walk_job_plan(const struct walk_job *job, struct walk_plan *ret_plan);

/* What a sender has counted, but its rows. */
void walk_tally_put(struct buf *out, const struct walk_tally *tally, const struct err *failure);

/*
 * A HIST, BUCKETS or TALLY: 1 after the TALLY, which is the last, else 0. -EPROTO when a histogram
 * does not add up. `tally` begins as zero; the caller releases its histograms.
 */
int walk_tally_take(struct walk_tally *tally, const struct wire_frame *frame,
		    struct err *ret_failure, struct err *err);

#endif
