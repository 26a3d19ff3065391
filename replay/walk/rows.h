/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_ROWS_H
#define GAIT_REPLAY_WALK_ROWS_H

#include "base/err.h"
#include "replay/client/fact.h"
#include "replay/row_stream.h"
#include "replay/walk/stamps.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What came of each request of a walk, written to a file while it runs, as row_stream.h says.
 */
enum walk_outcome { WALK_OK, WALK_ERROR, WALK_TIMEOUT, WALK_UNSENT, WALK_OUTCOMES };

struct walk_row {
	uint64_t request; /* of its thread, over all sessions */
	uint32_t thread, session;
	int64_t due_ns, sent_ns, received_ns; /* since the start; received: < 0 when it was not */
	uint32_t request_bytes, response_bytes;
	uint32_t outcome; /* enum walk_outcome */
	uint32_t reserved;
	struct walk_stamps stamps;
};

/* What the client knows of a request: times of the run. */
struct client_fact walk_fact(const struct walk_row *row);

enum walk_format { WALK_LINES, WALK_CSV, WALK_TXT }; /* WALK_LINES: for people, to stdout */

/* The table of requests, in DistWalk's columns. */
struct walk_output {
	const char *path; /* NULL: stdout; then WALK_LINES */
	enum walk_format format;
	char sep;
	bool header;
	bool nano; /* times in ns, else us */
};

struct walk_rows;

/* `output` NULL: no table. Rows go to spool_fd too, as they are, unless it is < 0; it stays open. */
int walk_rows_new(const struct walk_output *output, int spool_fd, struct walk_rows **ret_rows,
		  struct err *err);

/* Before there are writers: rows go there too, in batches, by one thread. */
void walk_rows_pass(struct walk_rows *rows,
		    void (*to)(void *arg, const struct walk_row *rows, size_t count), void *arg);

/* A sender's end of it; at most one thread uses it. */
struct walk_writer {
	struct walk_rows *rows; /* NULL: nothing is kept */
	struct row_writer to;
};

void walk_writer_add(struct walk_writer *w, const struct walk_row *row);

/* Hands over what it has. */
void walk_writer_end(struct walk_writer *w);

/* Once all writers have ended: writes the rest. 0, or what went wrong with the file. */
int walk_rows_finish(struct walk_rows *rows, struct err *err);
void walk_rows_free(struct walk_rows *rows);

#endif
