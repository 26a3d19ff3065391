/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_SPOOL_H
#define GAIT_REPLAY_NODE_SPOOL_H

#include "base/err.h"
#include "replay/node/stack.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * Records of one size that threads leave behind, kept in a nameless temporary file
 * until the run is over, so that memory stays bounded. A writer fills chunks; the
 * control thread writes them out, unless the writer has run ahead of it and must
 * do so itself.
 */
struct spool {
	int fd;
	size_t record_bytes;
	struct stack full;	/* chunks */
	_Atomic uint64_t bytes; /* in the file, in whole records */
	_Atomic int failed;	/* errno of the first write that failed: records are missing */
};

struct spool_chunk;

/* One thread's end. */
struct spool_writer {
	struct spool *spool;
	struct spool_chunk *chunk; /* being filled; NULL: none */
	struct link *spare;
	struct stack empty; /* written out */
	uint32_t chunks;
};

int spool_init(struct spool *s, size_t record_bytes, struct err *err);
void spool_release(struct spool *s);

/* Writes out what is full. */
void spool_drain(struct spool *s);

/* Up to `bytes` bytes of records from `at` on, once all writers have ended; 0 at the end. */
ssize_t spool_read(struct spool *s, uint64_t at, void *buffer, size_t bytes);

/* Without a spool (NULL) nothing is kept. */
void spool_writer_init(struct spool_writer *w, struct spool *spool);
void spool_add(struct spool_writer *w, const void *record);

/* Writes out and frees everything; to be called when nobody drains any more. */
void spool_writer_end(struct spool_writer *w);

#endif
