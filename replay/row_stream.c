/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/row_stream.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct row_batch {
	struct row_batch *next;
	size_t count;
	char rows[];
};

struct row_stream {
	size_t row_bytes;
	row_stream_fn write;
	void *arg;
	pthread_t thread;
	bool running, ending;
	pthread_mutex_t lock;
	pthread_cond_t full_comes, spare_comes;
	struct row_batch *full, **last_full, *spare;
	size_t batches;
};

/* --- the stream's own thread --------------------------------------------------------------- */

/* Waits for full batches; NULL at the end. Whole chains go, so that the lock is taken rarely. */
static struct row_batch *take_full(struct row_stream *s)
{
	struct row_batch *full;

	pthread_mutex_lock(&s->lock);
	while (!s->full && !s->ending)
		pthread_cond_wait(&s->full_comes, &s->lock);
	full = s->full;
	s->full = NULL;
	s->last_full = &s->full;
	pthread_mutex_unlock(&s->lock);
	return full;
}

static void give_spare(struct row_stream *s, struct row_batch *batch)
{
	pthread_mutex_lock(&s->lock);
	batch->next = s->spare;
	s->spare = batch;
	pthread_cond_signal(&s->spare_comes);
	pthread_mutex_unlock(&s->lock);
}

static void *write_all(void *arg)
{
	struct row_stream *s = arg;
	struct row_batch *full;

	while ((full = take_full(s)))
		while (full) {
			struct row_batch *next = full->next;

			s->write(s->arg, full->rows, full->count);
			give_spare(s, full);
			full = next;
		}
	return NULL;
}

/* Signals are for the thread that controls the run. */
static int start_thread(struct row_stream *s)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&s->thread, NULL, write_all, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->running = !rc;
	return -rc;
}

int row_stream_new(size_t row_bytes, row_stream_fn write, void *arg, struct row_stream **ret_stream)
{
	struct row_stream *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->row_bytes = row_bytes;
	s->write = write;
	s->arg = arg;
	s->last_full = &s->full;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->full_comes, NULL);
	pthread_cond_init(&s->spare_comes, NULL);
	rc = start_thread(s);
	if (rc)
		row_stream_free(s);
	else
		*ret_stream = s;
	return rc;
}

void row_stream_finish(struct row_stream *s)
{
	if (!s->running)
		return;
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_signal(&s->full_comes);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->running = false;
}

void row_stream_free(struct row_stream *s)
{
	if (!s)
		return;
	row_stream_finish(s);
	while (s->spare) {
		struct row_batch *next = s->spare->next;

		free(s->spare);
		s->spare = next;
	}
	pthread_cond_destroy(&s->full_comes);
	pthread_cond_destroy(&s->spare_comes);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- the writers' end ---------------------------------------------------------------------- */

static struct row_batch *take_spare(struct row_writer *w)
{
	struct row_stream *s = w->stream;
	struct row_batch *batch;

	pthread_mutex_lock(&s->lock);
	if (!s->spare && s->batches < ROW_STREAM_BATCHES) {
		batch = malloc(sizeof(*batch) + ROW_STREAM_BATCH * s->row_bytes);
		s->batches += batch != NULL;
		if (batch)
			goto out;
	}
	w->waited += !s->spare;
	while (!s->spare)
		pthread_cond_wait(&s->spare_comes, &s->lock);
	batch = s->spare;
	s->spare = batch->next;
out:
	pthread_mutex_unlock(&s->lock);
	batch->next = NULL;
	batch->count = 0;
	return batch;
}

static void give_full(struct row_stream *s, struct row_batch *batch)
{
	pthread_mutex_lock(&s->lock);
	*s->last_full = batch;
	s->last_full = &batch->next;
	pthread_cond_signal(&s->full_comes);
	pthread_mutex_unlock(&s->lock);
}

void *row_writer_next(struct row_writer *w)
{
	if (w->batch && w->batch->count == ROW_STREAM_BATCH)
		row_writer_end(w);
	if (!w->batch)
		w->batch = take_spare(w);
	return w->batch->rows + w->batch->count++ * w->stream->row_bytes;
}

void row_writer_end(struct row_writer *w)
{
	if (w->batch)
		give_full(w->stream, w->batch);
	w->batch = NULL;
}
