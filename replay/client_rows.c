/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client_rows.h"

#include "base/hist.h"
#include "replay/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct client_rows {
	const char *directory;
	int sent_fd;   /* the fact of order n at (n - 1) * sizeof */
	int unsent_fd; /* as they came */
	uint64_t unsent;
	struct row_stream *stream;
	struct row_writer writer;
	int failed; /* errno */
	pthread_mutex_t lock;
	struct hist late; /* since the last client_rows_late_p99() */
};

static void put(struct client_rows *rows, int fd, const struct client_fact *facts, size_t count,
		uint64_t place)
{
	int rc = rows->failed ?
			 0 :
			 scratch_put(fd, facts, count * sizeof(*facts), place * sizeof(*facts));

	if (rc)
		rows->failed = -rc;
}

static int compare_order(const void *a, const void *b)
{
	const struct client_fact *x = a, *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

static void note_late(struct client_rows *rows, const struct client_fact *facts, size_t count)
{
	pthread_mutex_lock(&rows->lock);
	for (size_t i = 0; i < count; i++)
		hist_record(&rows->late, (uint64_t)(facts[i].sent_ns - facts[i].intended_ns));
	pthread_mutex_unlock(&rows->lock);
}

/* Replies come nearly in the order of sending: sorted, a batch is a few runs, a call each. */
static void write_facts(void *arg, const void *from, size_t count)
{
	struct client_fact facts[ROW_STREAM_BATCH];
	struct client_rows *rows = arg;
	size_t i = 0, next;

	memcpy(facts, from, count * sizeof(*facts));
	qsort(facts, count, sizeof(*facts), compare_order);
	while (i < count && !facts[i].order)
		i++;
	put(rows, rows->unsent_fd, facts, i, rows->unsent);
	rows->unsent += i;
	note_late(rows, &facts[i], count - i);
	for (; i < count; i = next) {
		for (next = i + 1; next < count; next++)
			if (facts[next].order != facts[next - 1].order + 1)
				break;
		put(rows, rows->sent_fd, &facts[i], next - i, facts[i].order - 1);
	}
}

int client_rows_new(const char *directory, struct client_rows **ret_rows, struct err *err)
{
	struct client_rows *rows = calloc(1, sizeof(*rows));
	int rc;

	if (!rows)
		return err_errno(err, ENOMEM, "cannot keep rows");
	rows->directory = directory;
	pthread_mutex_init(&rows->lock, NULL);
	hist_init(&rows->late);
	rows->unsent_fd = -1;
	rc = rows->sent_fd = scratch_open(directory, err);
	if (rc >= 0)
		rc = rows->unsent_fd = scratch_open(directory, err);
	if (rc >= 0) {
		rc = row_stream_new(sizeof(struct client_fact), write_facts, rows, &rows->stream);
		if (rc)
			err_errno(err, -rc, "cannot start the thread that writes rows");
	}
	rows->writer.stream = rows->stream;
	if (rc)
		client_rows_free(rows);
	else
		*ret_rows = rows;
	return rc;
}

void client_rows_free(struct client_rows *rows)
{
	if (!rows)
		return;
	row_stream_free(rows->stream);
	if (rows->sent_fd >= 0)
		close(rows->sent_fd);
	if (rows->unsent_fd >= 0)
		close(rows->unsent_fd);
	hist_release(&rows->late);
	pthread_mutex_destroy(&rows->lock);
	free(rows);
}

struct client_fact *client_rows_next(struct client_rows *rows)
{
	return row_writer_next(&rows->writer);
}

static int files_failed(const struct client_rows *rows, int failed, struct err *err)
{
	return err_errno(err, failed, "cannot keep the client's rows in '%s'", rows->directory);
}

int client_rows_finish(struct client_rows *rows, struct err *err)
{
	row_writer_end(&rows->writer);
	row_stream_finish(rows->stream);
	return rows->failed ? files_failed(rows, rows->failed, err) : 0;
}

int64_t client_rows_late_p99(struct client_rows *rows)
{
	int64_t p99;

	pthread_mutex_lock(&rows->lock);
	p99 = (int64_t)hist_value_at_percentile(&rows->late, 99);
	hist_reset(&rows->late);
	pthread_mutex_unlock(&rows->lock);
	return p99;
}

static int each_of(struct client_rows *rows, int fd, client_fact_fn fn, void *arg, struct err *err)
{
	struct client_fact facts[ROW_STREAM_BATCH];
	off_t at = 0;
	ssize_t n;
	int ret = 0;

	while (!ret && (n = pread(fd, facts, sizeof(facts), at)) > 0) {
		for (size_t i = 0; i < (size_t)n / sizeof(*facts) && !ret; i++)
			ret = fn(arg, &facts[i], err);
		at += n;
	}
	return ret || n == 0 ? ret : files_failed(rows, errno, err);
}

int client_rows_each(struct client_rows *rows, client_fact_fn fn, void *arg, struct err *err)
{
	int ret = each_of(rows, rows->sent_fd, fn, arg, err);

	return ret ? ret : each_of(rows, rows->unsent_fd, fn, arg, err);
}
