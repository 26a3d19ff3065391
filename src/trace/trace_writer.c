/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include "trace/csv.h"
#include "trace/trace.h"
#include "trace/trace_dir.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fits the second-level cache together with what fills it. */
#define BLOCK_SIZE (128 << 10)
_Static_assert(BLOCK_SIZE >= CSV_ROW_MAX, "a block holds the longest row");

struct output {
	int fd; /* -1: closed */
	uint64_t rows;
	char *block; /* rows not yet written: always whole ones */
	size_t used;
	size_t row_max;
	struct digest *digest; /* of what was written */
};

struct trace_writer {
	char *path;
	int dir_fd;
	bool run;
	uint64_t bytes;
	int failed; /* 0, or the -errno that every further call returns */
	struct err failure;
	struct output outputs[TABLE_COUNT];
};

/* Remembers the first failure and repeats it. */
static int repeat_failure(const struct trace_writer *w, struct err *err)
{
	if (err)
		*err = w->failure;
	return w->failed;
}

static int write_failed(struct trace_writer *w, int code, const char *file, struct err *err)
{
	char reason[128];

	if (w->failed)
		return w->failed;
	w->failed = err_set(&w->failure, code,
			    "cannot write to '%s/%s': %s; what was written so far is kept", w->path,
			    file, strerror_r(code, reason, sizeof(reason)));
	return repeat_failure(w, err);
}

/* All of it, or what fits: returns the bytes that went out and sets *ret_code when short. */
static size_t write_all(int fd, const char *data, size_t len, int *ret_code)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*ret_code = n ? errno : EIO;
			break;
		}
		done += (size_t)n;
	}
	return done;
}

static int flush_output(struct trace_writer *w, enum trace_table table, struct err *err)
{
	struct output *out = &w->outputs[table];
	char name[TRACE_FILE_NAME_SIZE];
	int code = 0;
	size_t done;

	if (!out->used)
		return 0;
	done = write_all(out->fd, out->block, out->used, &code);
	digest_update(out->digest, out->block, done);
	out->used = 0;
	if (code)
		return write_failed(w, code, trace_file_name(table, true, name), err);
	return 0;
}

/* Room for one more row or header. */
static int make_room(struct trace_writer *w, enum trace_table table, struct err *err)
{
	struct output *out = &w->outputs[table];

	if (w->failed)
		return repeat_failure(w, err);
	if (out->used + out->row_max > BLOCK_SIZE)
		return flush_output(w, table, err);
	return 0;
}

static void added(struct trace_writer *w, struct output *out, size_t len)
{
	out->used += len;
	w->bytes += len;
}

/* With its header on disk at once: even a capture killed right away leaves a readable table. */
static int open_output(struct trace_writer *w, enum trace_table table, struct err *err)
{
	struct output *out = &w->outputs[table];
	char name[TRACE_FILE_NAME_SIZE];

	out->row_max = csv_format_max(&tables[table]);
	assert(out->row_max <= CSV_ROW_MAX);
	out->block = malloc(BLOCK_SIZE);
	out->digest = digest_new();
	if (!out->block || !out->digest)
		return err_set(err, ENOMEM, "not enough memory to write a trace");
	trace_file_name(table, true, name);
	out->fd = openat(w->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (out->fd < 0)
		return err_errno(err, errno, "cannot create '%s/%s'", w->path, name);
	added(w, out, csv_format_header(&tables[table], w->run, out->block));
	return flush_output(w, table, err);
}

int trace_write(struct trace_writer *w, enum trace_table table, const void *row, struct err *err)
{
	struct output *out = &w->outputs[table];
	int rc = out->fd < 0 && !w->failed ? open_output(w, table, err) : 0;

	if (!rc)
		rc = make_room(w, table, err);
	if (rc)
		return rc;
	added(w, out, csv_format_row(&tables[table], w->run, row, out->block + out->used));
	out->rows++;
	return 0;
}

int trace_writer_flush(struct trace_writer *w, struct err *err)
{
	for (int t = 0; t < TABLE_COUNT; t++)
		flush_output(w, t, err);
	return w->failed ? repeat_failure(w, err) : 0;
}

uint64_t trace_writer_bytes(const struct trace_writer *w)
{
	return w->bytes;
}

int trace_writer_new(const char *path, unsigned flags, struct trace_writer **ret_writer,
		     struct err *err)
{
	struct trace_writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return err_set(err, ENOMEM, "not enough memory to write a trace");
	w->run = flags & TRACE_WRITER_RUN;
	w->dir_fd = -1;
	for (int t = 0; t < TABLE_COUNT; t++)
		w->outputs[t].fd = -1;
	w->path = strdup(path);
	rc = w->path ? trace_dir_create(path, flags & TRACE_WRITER_REPLACE, &w->dir_fd, err) :
		       err_set(err, ENOMEM, "not enough memory to write a trace");
	for (int t = 0; t < TABLE_COUNT && !rc; t++)
		rc = tables[t].optional ? 0 : open_output(w, t, err);
	if (rc) {
		trace_writer_free(w);
		return rc;
	}
	*ret_writer = w;
	return 0;
}

/* Some file systems only tell at fsync() or close() that there was no room. */
static int close_file(struct trace_writer *w, int *fd, const char *name, struct err *err)
{
	int code = fdatasync(*fd) ? errno : 0;

	/* pipes and devices cannot be synced, and need not be */
	if (code == EINVAL || code == EROFS)
		code = 0;
	if (close(*fd) && !code)
		code = errno;
	*fd = -1;
	return code ? write_failed(w, code, name, err) : 0;
}

static int finish_output(struct trace_writer *w, enum trace_table table, struct manifest_table *ret,
			 struct err *err)
{
	struct output *out = &w->outputs[table];
	char partial[TRACE_FILE_NAME_SIZE], name[TRACE_FILE_NAME_SIZE];
	int rc;

	if (tables[table].optional && out->fd < 0)
		return 0;
	trace_file_name(table, true, partial);
	trace_file_name(table, false, name);
	rc = close_file(w, &out->fd, partial, err);
	if (rc)
		return rc;
	if (renameat(w->dir_fd, partial, w->dir_fd, name))
		return write_failed(w, errno, name, err);
	ret->rows = out->rows;
	if (digest_hex(out->digest, ret->sha256))
		return err_set(err, ENOMEM, "not enough memory to finish '%s'", w->path);
	return 0;
}

static int write_manifest_text(struct trace_writer *w, const char *text, struct err *err)
{
	static const char partial[] = TRACE_MANIFEST TRACE_PARTIAL;
	int fd = openat(w->dir_fd, partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int code = 0;

	if (fd < 0)
		return write_failed(w, errno, partial, err);
	write_all(fd, text, strlen(text), &code);
	if (code) {
		close(fd);
		return write_failed(w, code, partial, err);
	}
	return close_file(w, &fd, partial, err);
}

/* The rename is what makes a trace whole: everything before it is on disk by then. */
static int write_manifest(struct trace_writer *w, const struct manifest *m, struct err *err)
{
	char *text = manifest_to_json(m);
	int rc;

	if (!text)
		return err_set(err, ENOMEM, "not enough memory to write the manifest of '%s'",
			       w->path);
	rc = write_manifest_text(w, text, err);
	free(text);
	if (rc)
		return rc;
	if (renameat(w->dir_fd, TRACE_MANIFEST TRACE_PARTIAL, w->dir_fd, TRACE_MANIFEST))
		return write_failed(w, errno, TRACE_MANIFEST, err);
	if (fsync(w->dir_fd) && errno != EINVAL)
		return write_failed(w, errno, ".", err);
	return 0;
}

int trace_writer_finish(struct trace_writer *w, struct manifest *m, struct err *err)
{
	int rc = trace_writer_flush(w, err);

	for (int t = 0; t < TABLE_COUNT && !rc; t++)
		rc = finish_output(w, t, &m->tables[t], err);
	return rc ? rc : write_manifest(w, m, err);
}

static void release_output(struct output *out)
{
	if (out->fd >= 0)
		close(out->fd);
	digest_free(out->digest);
	free(out->block);
}

void trace_writer_free(struct trace_writer *w)
{
	if (!w)
		return;
	trace_writer_flush(w, NULL);
	for (int t = 0; t < TABLE_COUNT; t++)
		release_output(&w->outputs[t]);
	if (w->dir_fd >= 0)
		close(w->dir_fd);
	free(w->path);
	free(w);
}
