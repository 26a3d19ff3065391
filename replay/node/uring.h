/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_URING_H
#define GAIT_REPLAY_NODE_URING_H

#include "replay/node/io.h"

/*
 * A worker's ring of io_uring. The only user of liburing. Calls are handed to the
 * kernel at the end of a pass of the worker's loop, all at once; the ring's eventfd
 * is readable when some are done.
 */
struct uring;

/* -errno when the kernel has none, or a sandbox forbids it. */
int uring_new(uint32_t depth, struct uring **ret_ring, struct err *err);

/* Waits for what is under way: buffers are the kernel's until then. Takes NULL. */
void uring_free(struct uring *r);

int uring_event_fd(const struct uring *r);

/* Takes the job's call up, now or when another is done. `buffer` as for storage_run(). */
void uring_add(struct uring *r, struct storage *s, struct io_job *job, void *buffer);

/* Hands to the kernel what was added. */
void uring_flush(struct uring *r);

/* A job whose call is done, with its status and bytes; NULL: no more for now. */
struct io_job *uring_reap(struct uring *r);

#endif
