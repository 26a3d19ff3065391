/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/rows.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 256 /* the longest line is shorter */
#define OUT_BYTES (LINE_BYTES * ROW_STREAM_BATCH)

struct walk_rows {
	struct walk_output opts;
	int fd;	      /* of the table; -1: there is none */
	int spool_fd; /* -1: none */
	void (*to)(void *arg, const struct walk_row *rows, size_t count); /* or NULL */
	void *to_arg;
	struct row_stream *stream;
	int failed, failed_fd; /* errno, and where */
	char *out;
};

struct client_fact walk_fact(const struct walk_row *row)
{
	return (struct client_fact){
		.intended_ns = row->due_ns,
		.sent_ns = row->sent_ns,
		.tx_ns = row->stamps.tx_ns,
		.sent_end_ns = row->stamps.sent_end_ns,
		.again_ns = row->stamps.again_ns,
		.left_ns = row->stamps.left_ns,
		.came_ns = row->stamps.came_ns,
		.arrival_ns = row->stamps.arrival_ns,
		.received_ns = row->received_ns,
	};
}

/* --- lines --------------------------------------------------------------------------------- */

static char *put_number(char *at, uint64_t value)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		*at++ = digits[--n];
	return at;
}

static char *put_time(char *at, const struct walk_rows *rows, int64_t ns)
{
	return put_number(at, (uint64_t)(ns < 0 ? 0 : rows->opts.nano ? ns : ns / NS_PER_US));
}

static char *put_text(char *at, const char *text)
{
	size_t n = strlen(text);

	memcpy(at, text, n);
	return at + n;
}

/* DistWalk's table: when it was sent, how long it took (0: no answer), and who it is. */
static int64_t elapsed_ns(const struct walk_row *row)
{
	return row->outcome == WALK_OK ? row->received_ns - row->sent_ns : 0;
}

static char *put_csv(char *at, const struct walk_rows *rows, const struct walk_row *row)
{
	char separator = rows->opts.sep;

	at = put_time(at, rows, row->sent_ns);
	*at++ = separator;
	at = put_time(at, rows, elapsed_ns(row));
	*at++ = separator;
	at = put_number(at, row->request);
	*at++ = separator;
	at = put_number(at, row->thread);
	*at++ = separator;
	at = put_number(at, row->session);
	*at++ = '\n';
	return at;
}

static char *put_field(char *at, const char *name, uint64_t value)
{
	at = put_text(at, name);
	*at++ = ':';
	return put_number(at, value);
}

/* What a file gets: nothing but a separator between fields. */
static char *put_txt(char *at, const struct walk_rows *rows, const struct walk_row *row)
{
	at = put_text(at, "t:");
	at = put_time(at, rows, row->sent_ns);
	*at++ = rows->opts.sep;
	at = put_text(at, "elapsed:");
	at = put_time(at, rows, elapsed_ns(row));
	*at++ = rows->opts.sep;
	at = put_field(at, "req_id", row->request);
	*at++ = rows->opts.sep;
	at = put_field(at, "thr_id", row->thread);
	*at++ = rows->opts.sep;
	at = put_field(at, "sess_id", row->session);
	*at++ = '\n';
	return at;
}

static char *put_line(char *at, const struct walk_rows *rows, const struct walk_row *row)
{
	const char *unit = rows->opts.nano ? " ns" : " us";

	at = put_text(at, "t: ");
	at = put_time(at, rows, row->sent_ns);
	at = put_text(at, unit);
	at = put_text(at, ", elapsed: ");
	at = put_time(at, rows, elapsed_ns(row));
	at = put_text(at, unit);
	at = put_text(at, ", req_id: ");
	at = put_number(at, row->request);
	at = put_text(at, ", thr_id: ");
	at = put_number(at, row->thread);
	at = put_text(at, ", sess_id: ");
	at = put_number(at, row->session);
	*at++ = '\n';
	return at;
}

static char *(*const put_row[])(char *at, const struct walk_rows *rows,
				const struct walk_row *row) = {
	[WALK_LINES] = put_line,
	[WALK_CSV] = put_csv,
	[WALK_TXT] = put_txt,
};

static char *put_header(char *at, const struct walk_rows *rows)
{
	static const char *const units[] = { "(us)", "(ns)" }; /* of the first two */
	static const char *const columns[] = { "t", "elapsed", "req_id", "thr_id", "sess_id" };

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		if (i)
			*at++ = rows->opts.sep;
		at = put_text(at, columns[i]);
		if (i < 2)
			at = put_text(at, units[rows->opts.nano]);
	}
	*at++ = '\n';
	return at;
}

/* --- the file ------------------------------------------------------------------------------ */

static void write_out(struct walk_rows *rows, int fd, const void *from, size_t bytes)
{
	const char *data = from;

	while (bytes && !rows->failed) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rows->failed = n ? errno : EIO;
			rows->failed_fd = fd;
			return;
		}
		data += n;
		bytes -= (size_t)n;
	}
}

/* Of the stream's thread. */
static void write_rows(void *arg, const void *from, size_t count)
{
	struct walk_rows *rows = arg;
	const struct walk_row *row = from;
	char *at = rows->out;

	if (rows->spool_fd >= 0)
		write_out(rows, rows->spool_fd, row, count * sizeof(*row));
	if (rows->to)
		rows->to(rows->to_arg, row, count);
	if (rows->fd < 0)
		return;
	for (size_t i = 0; i < count; i++)
		at = put_row[rows->opts.format](at, rows, &row[i]);
	write_out(rows, rows->fd, rows->out, (size_t)(at - rows->out));
}

static int open_file(struct walk_rows *rows, struct err *err)
{
	const char *path = rows->opts.path;

	rows->fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) :
			  STDOUT_FILENO;
	if (rows->fd < 0)
		return err_errno(err, errno, "cannot write '%s'", path);
	if (rows->opts.header && rows->opts.format == WALK_CSV)
		write_out(rows, rows->fd, rows->out,
			  (size_t)(put_header(rows->out, rows) - rows->out));
	return 0;
}

int walk_rows_new(const struct walk_output *output, int spool_fd, struct walk_rows **ret_rows,
		  struct err *err)
{
	struct walk_rows *rows = calloc(1, sizeof(*rows));
	int rc;

	if (!rows)
		return err_errno(err, ENOMEM, "cannot keep rows");
	if (output)
		rows->opts = *output;
	rows->fd = -1;
	rows->spool_fd = spool_fd;
	rows->out = malloc(OUT_BYTES);
	rc = rows->out ? 0 : err_errno(err, ENOMEM, "cannot keep rows");
	if (!rc && output)
		rc = open_file(rows, err);
	if (!rc) {
		rc = row_stream_new(sizeof(struct walk_row), write_rows, rows, &rows->stream);
		if (rc)
			rc = err_errno(err, -rc, "cannot start the thread that writes rows");
	}
	if (rc)
		walk_rows_free(rows);
	else
		*ret_rows = rows;
	return rc;
}

void walk_rows_pass(struct walk_rows *rows,
		    void (*to)(void *arg, const struct walk_row *rows, size_t count), void *arg)
{
	rows->to = to;
	rows->to_arg = arg;
}

void walk_writer_add(struct walk_writer *w, const struct walk_row *row)
{
	if (!w->rows)
		return;
	w->to.stream = w->rows->stream;
	*(struct walk_row *)row_writer_next(&w->to) = *row;
}

void walk_writer_end(struct walk_writer *w)
{
	row_writer_end(&w->to);
}

int walk_rows_finish(struct walk_rows *rows, struct err *err)
{
	row_stream_finish(rows->stream);
	if (rows->fd >= 0 && rows->opts.path && close(rows->fd) && !rows->failed) {
		rows->failed = errno;
		rows->failed_fd = rows->fd;
	}
	rows->fd = -1;
	if (rows->failed && rows->failed_fd == rows->spool_fd)
		return err_errno(err, rows->failed, "cannot keep the rows of the run");
	if (rows->failed)
		return err_errno(err, rows->failed, "cannot write the rows to '%s'",
				 rows->opts.path ? rows->opts.path : "stdout");
	return 0;
}

void walk_rows_free(struct walk_rows *rows)
{
	if (!rows)
		return;
	row_stream_free(rows->stream);
	if (rows->fd >= 0 && rows->opts.path)
		close(rows->fd);
	free(rows->out);
	free(rows);
}
