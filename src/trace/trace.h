/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_TRACE_H
#define GAIT_TRACE_TRACE_H

#include "base/err.h"
#include "trace/manifest.h"
#include "trace/schema.h"

/*
 * Reader and writer of a trace directory, side by side as they must agree.
 *
 * Writing: every table goes to NAME.csv.partial; trace_writer_finish() renames
 * the tables and writes manifest.json last, so a trace without a manifest was
 * cut short. Nothing is buffered beyond one block a table, so what was written
 * survives a full disk or a kill.
 */
struct trace_writer;

enum trace_writer_flags {
	TRACE_WRITER_RUN = 1 << 0,     /* a run: with the columns that only runs have */
	TRACE_WRITER_REPLACE = 1 << 1, /* an older trace of that name is replaced */
};

/* Creates the directory and the tables. -EEXIST, with advice, when a trace is there already. */
int trace_writer_new(const char *path, unsigned flags, struct trace_writer **ret_writer,
		     struct err *err);

/* Appends a row (a struct row_* of the table). After a failed write every further call fails too. */
int trace_write(struct trace_writer *w, enum trace_table table, const void *row, struct err *err);

/*
 * Hands all blocks to the kernel. A slow source calls it about once a second,
 * so that a kill loses little.
 */
int trace_writer_flush(struct trace_writer *w, struct err *err);

/* Bytes written so far, all tables. */
uint64_t trace_writer_bytes(const struct trace_writer *w);

/*
 * Flushes, renames, writes the manifest (m->tables is filled in here). When an
 * earlier write failed it flushes what it can and leaves *.partial behind.
 */
int trace_writer_finish(struct trace_writer *w, struct manifest *m, struct err *err);

/* Closes; without a finish the tables stay as *.partial. Takes NULL. */
void trace_writer_free(struct trace_writer *w);

struct trace;

enum trace_open_flags {
	TRACE_OPEN_VERIFY = 1 << 0, /* compare each table with its SHA-256 (tables_edited) */
};

/*
 * Opens a trace. A missing manifest is no failure: trace_is_partial() says so
 * and the rows that are whole can be read. -ENOENT when there is no trace.
 */
int trace_open(const char *path, unsigned flags, struct trace **ret_trace, struct err *err);
const struct manifest *trace_manifest(const struct trace *t);
bool trace_is_partial(const struct trace *t);
/* Tables whose SHA-256 differs from the manifest's, as a bit set of 1 << enum trace_table. */
unsigned trace_edited_tables(const struct trace *t);
const char *trace_path(const struct trace *t);
void trace_free(struct trace *t);

struct trace_reader;

/* A table that is missing reads as empty (op_requests, latency are optional). */
int trace_reader_new(struct trace *t, enum trace_table table, struct trace_reader **ret_reader,
		     struct err *err);

/*
 * 1: a row was written to *row; 0: end; < 0: malformed, with file, line and
 * column in err. A last line cut short in a partial table is counted as
 * rows_cut and ends the table. Columns that are absent are 0 or empty.
 */
int trace_reader_next(struct trace_reader *r, void *row, struct err *err);
uint64_t trace_reader_rows_cut(const struct trace_reader *r);
void trace_reader_free(struct trace_reader *r);

/* Reads a whole table: a malloc'd array of rows; the caller frees it. */
int trace_read_all(struct trace *t, enum trace_table table, void **ret_rows, size_t *ret_count,
		   struct err *err);

#endif
