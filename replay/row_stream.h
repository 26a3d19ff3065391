/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_ROW_STREAM_H
#define GAIT_REPLAY_ROW_STREAM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Rows on their way out of threads that must not wait for a file: they fill batches, a thread of
 * the stream's own hands these to `write`, those of a writer in their order. Memory is bounded: a
 * writer that is further ahead than all batches waits, and that is counted.
 */
#define ROW_STREAM_BATCH 1024 /* rows; of a batch, at most */
#define ROW_STREAM_BATCHES 512

typedef void (*row_stream_fn)(void *arg, const void *rows, size_t count);

struct row_stream;

/* Rows of row_bytes each. 0, -ENOMEM, or why there is no thread. */
int row_stream_new(size_t row_bytes, row_stream_fn write, void *arg,
		   struct row_stream **ret_stream);

/* Once all writers have ended: returns when all is written. */
void row_stream_finish(struct row_stream *stream);
void row_stream_free(struct row_stream *stream);

/* A thread's end of it. */
struct row_batch;
struct row_writer {
	struct row_stream *stream;
	struct row_batch *batch;
	uint64_t waited; /* times it had to wait for a batch */
};

/* Room for a row, to be filled in before the next call. */
void *row_writer_next(struct row_writer *w);

/* Hands over what it has. */
void row_writer_end(struct row_writer *w);

#endif
