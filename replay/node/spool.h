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
typedef void (*spool_take_fn)(void *arg, const char *records, size_t bytes);

struct spool {
	int fd;
	size_t record_bytes;
	struct stack full;	/* chunks */
	_Atomic uint64_t bytes; /* in the file, in whole records */
	_Atomic int failed;	/* errno of the first write that failed: records are missing */
	/* NULL: all is kept; else whole records go here, in any thread, and it writes what is to be */
	spool_take_fn take;
	void *take_arg;
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

/* Keeps whole records; what `take` calls. */
void spool_write(struct spool *s, const char *records, size_t bytes);

/* Up to `bytes` bytes of records from `at` on, once all writers have ended; 0 at the end. */
ssize_t spool_read(struct spool *s, uint64_t at, void *buffer, size_t bytes);

/* Without a spool (NULL) nothing is kept. */
void spool_writer_init(struct spool_writer *w, struct spool *spool);
void spool_add(struct spool_writer *w, const void *record);

/* Writes out and frees everything; to be called when nobody drains any more. */
void spool_writer_end(struct spool_writer *w);

#endif
