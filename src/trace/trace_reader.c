/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include "trace/csv.h"
#include "trace/trace.h"
#include "trace/trace_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE (256 << 10)
#define MANIFEST_MAX (1 << 20)
_Static_assert(BLOCK_SIZE > CSV_ROW_MAX, "a block holds the longest row and its end");

struct trace {
	char *path;
	int dir_fd;
	bool partial;
	unsigned edited;
	struct manifest manifest;
};

struct trace_reader {
	struct trace *trace;
	int fd;		   /* -1: no such table */
	bool partial;	   /* the last line may be cut short */
	bool at_end;	   /* of the file; the block may hold rows still */
	size_t start, end; /* of what is not parsed yet, in block */
	uint64_t rows_cut;
	char name[TRACE_FILE_NAME_SIZE];
	struct csv_parser parser;
	char block[BLOCK_SIZE];
};

/* read() that ignores signals. */
static ssize_t read_some(int fd, char *to, size_t size)
{
	ssize_t n;

	do {
		n = read(fd, to, size);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* The finished table, or else what a cut-short writer left; -ENOENT when there is neither. */
static int open_table(const struct trace *t, enum trace_table table,
		      char name[TRACE_FILE_NAME_SIZE], bool *ret_partial, int *ret_fd,
		      struct err *err)
{
	int rc;

	trace_file_name(table, false, name);
	rc = trace_dir_open_file(t->dir_fd, t->path, name, ret_fd, err);
	*ret_partial = t->partial;
	if (rc != -ENOENT)
		return rc;
	trace_file_name(table, true, name);
	*ret_partial = true;
	return trace_dir_open_file(t->dir_fd, t->path, name, ret_fd, err);
}

static int read_whole(int fd, char **ret_text, size_t *ret_len)
{
	char *text = malloc(MANIFEST_MAX + 1);
	size_t len = 0;
	ssize_t n;
	int rc = 0;

	if (!text)
		return -ENOMEM;
	while ((n = read_some(fd, text + len, MANIFEST_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		rc = -errno;
	else if (len > MANIFEST_MAX)
		rc = -EFBIG;
	if (rc) {
		free(text);
		return rc;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}

static int parse_manifest_file(struct trace *t, int fd, struct err *err)
{
	struct err why;
	size_t len = 0;
	char *text = NULL;
	int rc;

	rc = read_whole(fd, &text, &len);
	if (rc)
		return err_errno(err, -rc, "cannot read '%s/%s'", t->path, TRACE_MANIFEST);
	rc = manifest_from_json(text, len, &t->manifest, &why);
	free(text);
	return rc ? err_set(err, -rc, "'%s': %s", t->path, why.text) : 0;
}

static int load_manifest(struct trace *t, struct err *err)
{
	int fd, rc;

	manifest_init(&t->manifest);
	rc = trace_dir_open_file(t->dir_fd, t->path, TRACE_MANIFEST, &fd, err);
	t->partial = rc == -ENOENT;
	if (rc)
		return t->partial ? 0 : rc;
	rc = parse_manifest_file(t, fd, err);
	close(fd);
	return rc;
}

static int hash_file(int fd, char *block, struct digest *digest, char ret_hex[DIGEST_HEX_SIZE])
{
	ssize_t n;

	while ((n = read_some(fd, block, BLOCK_SIZE)) > 0)
		digest_update(digest, block, (size_t)n);
	return n < 0 ? -errno : digest_hex(digest, ret_hex);
}

static int hash_fd(int fd, char ret_hex[DIGEST_HEX_SIZE])
{
	struct digest *digest = digest_new();
	char *block = malloc(BLOCK_SIZE);
	int rc = digest && block ? hash_file(fd, block, digest, ret_hex) : -ENOMEM;

	free(block);
	digest_free(digest);
	return rc;
}

static int verify_table(struct trace *t, enum trace_table table, struct err *err)
{
	const char *want = t->manifest.tables[table].sha256;
	char name[TRACE_FILE_NAME_SIZE], hex[DIGEST_HEX_SIZE] = "";
	bool partial;
	int fd, rc;

	if (!want[0])
		return 0; /* not in the manifest: nothing to hold it against */
	rc = open_table(t, table, name, &partial, &fd, err);
	if (rc && rc != -ENOENT)
		return rc;
	if (!rc) {
		rc = hash_fd(fd, hex);
		close(fd);
		if (rc)
			return err_errno(err, -rc, "cannot read '%s/%s'", t->path, name);
	}
	if (strcmp(hex, want)) {
		t->edited |= 1U << table;
		t->manifest.ledger.count[LG_TABLE_EDITED]++;
	}
	return 0;
}

static int load(struct trace *t, unsigned flags, struct err *err)
{
	int rc = trace_dir_open(t->path, &t->dir_fd, err);

	if (!rc)
		rc = load_manifest(t, err);
	for (int table = 0; table < TABLE_COUNT && !rc && (flags & TRACE_OPEN_VERIFY); table++)
		rc = verify_table(t, table, err);
	return rc;
}

int trace_open(const char *path, unsigned flags, struct trace **ret_trace, struct err *err)
{
	struct trace *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_set(err, ENOMEM, "not enough memory to open '%s'", path);
	t->dir_fd = -1;
	t->path = strdup(path);
	rc = t->path ? load(t, flags, err) :
		       err_set(err, ENOMEM, "not enough memory to open '%s'", path);
	if (rc) {
		trace_free(t);
		return rc;
	}
	*ret_trace = t;
	return 0;
}

const struct manifest *trace_manifest(const struct trace *t)
{
	return &t->manifest;
}

bool trace_is_partial(const struct trace *t)
{
	return t->partial;
}

unsigned trace_edited_tables(const struct trace *t)
{
	return t->edited;
}

const char *trace_path(const struct trace *t)
{
	return t->path;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	if (t->dir_fd >= 0)
		close(t->dir_fd);
	free(t->path);
	free(t);
}

/* Names the trace in what the parser says of a table. */
static int parse_failed(const struct trace_reader *r, int rc, const struct err *why,
			struct err *err)
{
	return err_set(err, -rc, "'%s': %s", r->trace->path, why->text);
}

static int fail_length(const struct trace_reader *r, uint64_t line, struct err *err)
{
	return err_set(err, EINVAL, "'%s': %s line %llu is longer than %d bytes", r->trace->path,
		       r->name, (unsigned long long)line, CSV_ROW_MAX);
}

/* More text behind what is there; sets at_end when the file has no more. */
static int fill(struct trace_reader *r, struct err *err)
{
	size_t len = r->end - r->start;
	ssize_t n;

	if (len > CSV_ROW_MAX)
		return fail_length(r, r->parser.line, err);
	memmove(r->block, r->block + r->start, len);
	r->start = 0;
	r->end = len;
	n = read_some(r->fd, r->block + len, BLOCK_SIZE - len);
	if (n < 0)
		return err_errno(err, errno, "cannot read '%s/%s'", r->trace->path, r->name);
	r->end += (size_t)n;
	r->at_end = n == 0;
	return 0;
}

/*
 * The file ends within a line. Of a partial table that line is lost - its last
 * number may be half a number; elsewhere only the newline is missing, as some
 * editors leave it. 1: there is one more line to parse; 0: none.
 */
static int end_of_file(struct trace_reader *r, struct err *err)
{
	if (r->start == r->end)
		return 0;
	if (r->partial) {
		r->rows_cut++;
		r->start = r->end;
		return 0;
	}
	if (r->block[r->end - 1] == '\n')
		return err_set(err, EINVAL, "'%s': %s line %llu: a quoted text does not end",
			       r->trace->path, r->name, (unsigned long long)r->parser.line);
	r->block[r->end++] = '\n'; /* fill() leaves room: what is left is less than a row */
	return 1;
}

/* Parses a header (row NULL) or a row: 1, 0 at the end, or an error. */
static int next_line(struct trace_reader *r, void *row, struct err *err)
{
	const uint64_t line = r->parser.line;
	struct err why;

	for (;;) {
		const char *text = r->block + r->start;
		size_t len = r->end - r->start;
		ssize_t used = row ? csv_parse_row(&r->parser, text, len, row, &why) :
				     csv_parse_header(&r->parser, text, len, &why);
		int rc;

		if (used > CSV_ROW_MAX)
			return fail_length(r, line, err);
		if (used > 0) {
			r->start += (size_t)used;
			return 1;
		}
		if (used < 0)
			return parse_failed(r, (int)used, &why, err);
		if (!r->at_end) {
			rc = fill(r, err);
			if (rc)
				return rc;
			continue;
		}
		rc = end_of_file(r, err);
		if (rc <= 0)
			return rc;
	}
}

/* A file without a header: of a partial trace it was cut before it began. */
static int read_header(struct trace_reader *r, struct err *err)
{
	int rc = next_line(r, NULL, err);

	if (rc == 0 && !r->partial)
		return err_set(err, EINVAL, "'%s': %s has no header row", r->trace->path, r->name);
	return rc < 0 ? rc : 0;
}

int trace_reader_new(struct trace *t, enum trace_table table, struct trace_reader **ret_reader,
		     struct err *err)
{
	struct trace_reader *r = malloc(sizeof(*r));
	int rc;

	if (!r)
		return err_set(err, ENOMEM, "not enough memory to read '%s'", t->path);
	memset(r, 0, offsetof(struct trace_reader, block));
	r->trace = t;
	r->fd = -1;
	rc = open_table(t, table, r->name, &r->partial, &r->fd, err);
	csv_parser_init(&r->parser, &tables[table], r->name);
	if (!rc)
		rc = read_header(r, err);
	if (rc && rc != -ENOENT) {
		trace_reader_free(r);
		return rc;
	}
	*ret_reader = r;
	return 0;
}

int trace_reader_next(struct trace_reader *r, void *row, struct err *err)
{
	if (r->fd < 0 || !r->parser.slots_count)
		return 0;
	return next_line(r, row, err);
}

uint64_t trace_reader_rows_cut(const struct trace_reader *r)
{
	return r->rows_cut;
}

void trace_reader_free(struct trace_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

struct rows {
	char *data;
	size_t row_size, count, capacity;
};

static int rows_grow(struct rows *rows)
{
	size_t capacity = rows->capacity ? 2 * rows->capacity : 64;
	char *data = reallocarray(rows->data, capacity, rows->row_size);

	if (!data)
		return -ENOMEM;
	rows->data = data;
	rows->capacity = capacity;
	return 0;
}

static int read_rows(struct trace_reader *r, struct rows *rows, struct err *err)
{
	int rc;

	do {
		if (rows->count == rows->capacity && rows_grow(rows))
			return err_set(err, ENOMEM, "not enough memory for all of '%s/%s'",
				       r->trace->path, r->name);
		rc = trace_reader_next(r, rows->data + rows->count * rows->row_size, err);
		rows->count += rc > 0;
	} while (rc > 0);
	return rc;
}

int trace_read_all(struct trace *t, enum trace_table table, void **ret_rows, size_t *ret_count,
		   struct err *err)
{
	struct rows rows = { .row_size = tables[table].row_size };
	struct trace_reader *r;
	int rc = trace_reader_new(t, table, &r, err);

	if (rc)
		return rc;
	rc = read_rows(r, &rows, err);
	trace_reader_free(r);
	if (rc) {
		free(rows.data);
		return rc;
	}
	*ret_rows = rows.data;
	*ret_count = rows.count;
	return 0;
}
