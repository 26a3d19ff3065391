/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/rows.h"

#include "base/hist.h"
#include "replay/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
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
	/* whose rows nodes shall keep too */
	const struct plan *plan; /* NULL: of all that is sent */
	struct slowest slowest;
	struct names *names;
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

/* The window ends: those that are left are known to be the slowest. */
static void name_slowest(struct client_rows *rows)
{
	for (uint32_t i = 0; i < rows->slowest.count; i++)
		names_put(rows->names, rows->slowest.at[i].number);
	slowest_end(&rows->slowest);
}

/* Seconds are those of sending: batches come when they are full, however long that takes. */
static void watch(struct client_rows *rows, const struct client_fact *fact)
{
	struct slow slow = { rows->plan->requests[fact->request].request_id, INT64_MAX };

	if (fact->received_ns)
		slow.latency_ns = fact->received_ns - fact->intended_ns;
	if (slowest_is_over(&rows->slowest, fact->sent_ns))
		name_slowest(rows);
	slowest_offer(&rows->slowest, &slow, fact->sent_ns);
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
	for (size_t k = i; rows->plan && k < count; k++)
		watch(rows, &facts[k]);
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
	if (rc < 0) {
		client_rows_free(rows);
		return rc;
	}
	*ret_rows = rows;
	return 0;
}

int client_rows_watch(struct client_rows *rows, const struct plan *plan, uint32_t slowest,
		      struct names *names)
{
	rows->plan = plan;
	rows->names = names;
	return slowest_init(&rows->slowest, slowest);
}

int client_rows_start(struct client_rows *rows, struct err *err)
{
	int rc = row_stream_new(sizeof(struct client_fact), write_facts, rows, &rows->stream);

	rows->writer.stream = rows->stream;
	return rc ? err_errno(err, -rc, "cannot start the thread that writes rows") : 0;
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
	slowest_release(&rows->slowest);
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
	if (rows->plan)
		name_slowest(rows);
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

/* Where one of several files is read. */
struct cursor {
	const struct client_rows *rows;
	int fd;
	off_t at;
	size_t next, count;
	struct client_fact facts[ROW_STREAM_BATCH];
};

/* The next fact; NULL: there is none any more, or *ret_failed. */
static const struct client_fact *look(struct cursor *c, int *ret_failed)
{
	ssize_t n;

	if (c->next < c->count)
		return &c->facts[c->next];
	n = pread(c->fd, c->facts, sizeof(c->facts), c->at);
	if (n < 0)
		*ret_failed = errno;
	c->next = 0;
	c->count = n > 0 ? (size_t)n / sizeof(c->facts[0]) : 0;
	c->at += n > 0 ? n : 0;
	return c->count ? c->facts : NULL;
}

/* The one that was sent first; there are few to choose from. */
static struct cursor *earliest(struct cursor *cursors, size_t count, int *ret_failed)
{
	const struct client_fact *best = NULL;
	struct cursor *found = NULL;

	for (size_t i = 0; i < count && !*ret_failed; i++) {
		const struct client_fact *fact = look(&cursors[i], ret_failed);

		if (!fact || (best && best->sent_ns <= fact->sent_ns))
			continue;
		best = fact;
		found = &cursors[i];
	}
	return *ret_failed ? NULL : found;
}

static int each_of(struct cursor *cursors, size_t count, client_fact_fn fn, void *arg,
		   struct err *err)
{
	int ret = 0, failed = 0;
	struct cursor *c;

	while (!ret && (c = earliest(cursors, count, &failed)))
		ret = fn(arg, &c->facts[c->next++], err);
	return failed ? files_failed(cursors[0].rows, failed, err) : ret;
}

static void begin(struct cursor *cursors, const struct client_rows_set *rows, bool sent)
{
	for (size_t i = 0; i < rows->count; i++) {
		struct client_rows *of = rows->at[i];

		cursors[i].rows = of;
		cursors[i].fd = sent ? of->sent_fd : of->unsent_fd;
		cursors[i].at = 0;
		cursors[i].next = cursors[i].count = 0;
	}
}

int client_rows_each(const struct client_rows_set *rows, client_fact_fn fn, void *arg,
		     struct err *err)
{
	struct cursor *cursors = malloc(rows->count * sizeof(*cursors));
	int ret = 0;

	if (!cursors)
		return err_errno(err, ENOMEM, "cannot read the client's rows");
	for (int sent = 1; sent >= 0 && !ret; sent--) {
		begin(cursors, rows, sent);
		ret = each_of(cursors, rows->count, fn, arg, err);
	}
	free(cursors);
	return ret;
}
