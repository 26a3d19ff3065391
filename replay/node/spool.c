/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/spool.h"

#include "replay/node/limits.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spool_chunk {
	struct link link; /* first */
	struct spool_writer *writer;
	size_t used;
	char records[NODE_SPOOL_CHUNK_BYTES];
};

int spool_init(struct spool *s, size_t record_bytes, struct err *err)
{
	*s = (struct spool){ .record_bytes = record_bytes };
	s->fd = scratch_open(scratch_directory(), err);
	return s->fd < 0 ? s->fd : 0;
}

void spool_release(struct spool *s)
{
	if (s->fd > 0)
		close(s->fd);
	*s = (struct spool){ .fd = -1 };
}

void spool_write(struct spool *s, const char *data, size_t bytes)
{
	int rc = scratch_put(s->fd, data, bytes, atomic_fetch_add(&s->bytes, bytes));

	if (rc)
		s->failed = -rc;
}

static void put_out(struct spool *s, const char *data, size_t bytes)
{
	if (s->take)
		s->take(s->take_arg, data, bytes);
	else
		spool_write(s, data, bytes);
}

static void drain_into(struct spool *s, struct link *chunks)
{
	while (chunks) {
		struct spool_chunk *chunk = (struct spool_chunk *)chunks;

		chunks = chunks->next;
		put_out(s, chunk->records, chunk->used);
		chunk->used = 0;
		stack_push(&chunk->writer->empty, &chunk->link);
	}
}

void spool_drain(struct spool *s)
{
	drain_into(s, stack_take_in_order(&s->full));
}

ssize_t spool_read(struct spool *s, uint64_t at, void *buffer, size_t bytes)
{
	uint64_t left = s->bytes > at ? s->bytes - at : 0;
	ssize_t n;

	bytes -= bytes % s->record_bytes;
	bytes = left < bytes ? left : bytes;
	n = pread(s->fd, buffer, bytes, (off_t)at);
	if (n < 0)
		return -errno;
	return (size_t)n < bytes ? -EIO : n;
}

void spool_writer_init(struct spool_writer *w, struct spool *spool)
{
	*w = (struct spool_writer){ .spool = spool };
}

static struct spool_chunk *chunk_get(struct spool_writer *w)
{
	struct spool_chunk *chunk;

	if (!w->spare)
		w->spare = stack_take(&w->empty);
	if (w->spare) {
		chunk = (struct spool_chunk *)w->spare;
		w->spare = w->spare->next;
		return chunk;
	}
	chunk = w->chunks < NODE_SPOOL_CHUNKS ? malloc(sizeof(*chunk)) : NULL;
	if (!chunk)
		return NULL;
	w->chunks++;
	chunk->writer = w;
	chunk->used = 0;
	return chunk;
}

/* Hands the full chunk over, or, with no other to go on with, empties it here. */
static void chunk_change(struct spool_writer *w)
{
	struct spool_chunk *next = chunk_get(w);

	if (w->chunk && !next) {
		put_out(w->spool, w->chunk->records, w->chunk->used);
		w->chunk->used = 0;
		return;
	}
	if (w->chunk)
		stack_push(&w->spool->full, &w->chunk->link);
	w->chunk = next;
}

void spool_add(struct spool_writer *w, const void *record)
{
	size_t bytes = w->spool ? w->spool->record_bytes : 0;

	if (!bytes)
		return;
	if (!w->chunk || w->chunk->used + bytes > sizeof(w->chunk->records))
		chunk_change(w);
	if (!w->chunk) {
		w->spool->failed = ENOMEM;
		return;
	}
	memcpy(w->chunk->records + w->chunk->used, record, bytes);
	w->chunk->used += bytes;
}

static void free_chunks(struct link *chunks)
{
	while (chunks) {
		struct link *next = chunks->next;

		free(chunks);
		chunks = next;
	}
}

void spool_writer_end(struct spool_writer *w)
{
	if (!w->spool)
		return;
	spool_drain(w->spool);
	if (w->chunk)
		put_out(w->spool, w->chunk->records, w->chunk->used);
	free(w->chunk);
	free_chunks(w->spare);
	free_chunks(stack_take(&w->empty));
	*w = (struct spool_writer){ 0 };
}
