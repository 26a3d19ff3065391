/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TESTS_TRUTH_JUDGE_H
#define GAIT_TESTS_TRUTH_JUDGE_H

/*
 * Holds a trace against the log of the server that was captured: requests are joined by the
 * address of the other end, and by their order on the connection.
 */
#include "trace/trace.h"
#include "truth.h"

/* --- the log of tests/truth/server (log.c) ------------------------------------------------- */

#define NO_OFFSET (-1)
#define ANY_OFFSET (-2) /* the server could not know it */

struct log_op {
	enum op_kind kind;
	uint32_t flag; /* that the trace's op must have, of metadata calls */
	bool after_reply;
	uint64_t bytes, reply_bytes;
	int64_t offset;
};

struct log_call {
	uint64_t bytes_out, bytes_in, port, number;
};

struct log_burn {
	int64_t ns, middle_ns; /* CPU time in one go; when, CLOCK_MONOTONIC */
	uint64_t tid;
};

struct log_row {
	uint64_t connection, request;
	char peer[64];
	uint64_t bytes_in, bytes_out;
	int64_t read_end_ns, reply_start_ns, reply_last_ns, reply_end_ns;
	uint64_t read_tid, work_tid, reply_tid;
	struct log_op *ops;
	size_t ops_count;
	struct log_call *calls;
	size_t calls_count;
	struct log_burn *burns;
	size_t burns_count;
	const struct taken *found; /* the trace's request; NULL: it has none */
};

struct log {
	struct log_row *rows; /* by peer, connection, request */
	size_t count;
};

void log_read(const char *path, struct log *ret_log);

/* --- the trace (taken.c) ------------------------------------------------------------------- */

/* A request with all that is said of it. */
struct taken {
	const struct row_request *row;
	const struct row_connection *connection;
	const struct row_latency *latency; /* may be NULL */
	const struct row_op **ops;	   /* its own and those it shares, by their time */
	size_t ops_count;
	const struct log_row *truth; /* NULL: nobody sent it, or it is of another service */
	bool judged;		     /* of a service with a log */
	uint64_t log_connection;     /* its connection's number in the log; 0: unknown */
};

struct trace_rows {
	const struct manifest *manifest;
	struct taken *taken; /* by remote end, connection, order */
	size_t count;
	const struct row_service *service; /* of the last join; NULL: not found */
};

void trace_read(const char *path, struct trace_rows *ret_rows);

/* Joins a log with the requests that came to this port (0: to any, or by a socket without). */
void join(struct log *log, struct trace_rows *trace, uint64_t port);

/* The trace's request of that id, or NULL. */
const struct taken *taken_by_id(const struct trace_rows *trace, uint64_t request_id);

/* --- measures (measure.c) ------------------------------------------------------------------ */

enum measure {
	M_REQUESTS,    /* of the log's, found in the trace */
	M_EXTRA,       /* requests of the trace that nobody sent, count */
	M_BYTES,       /* found ones with both sizes exact */
	M_OPS,	       /* of the log's, with ops exact in all: count, kind, order, bytes, offsets */
	M_OPS_SURE,    /* of the found ones that are sure (confidence above 50), with exact ops */
	M_OPS_COUNT,   /* with as many */
	M_OPS_KINDS,   /* and the same kinds in the same order */
	M_OPS_BYTES,   /* and the same bytes */
	M_THREADS,     /* with the threads that read, worked and replied */
	M_CALLS,       /* calls attached to the request that made them */
	M_CALLS_WRONG, /* to another one, without low confidence */
	M_CALLS_LOW,   /* with a confidence below 50 */
	M_CPU_MEDIAN,  /* of the ops in which the server burnt it, off, percent */
	M_CPU_MEDIAN_US, /* off */
	M_CPU_P99,
	M_CPU_P99_US,
	M_CPU_REST, /* of the other ops, percent of what was burnt, median */
	M_CPU_REST_US,
	M_TIME, /* from read to the end of the reply, off, percent, median */
	M_TIME_US,
	M_UNATTRIBUTED, /* percent of the total, median */
	M_CONFIDENCE,	/* median */
	M_CONFIDENCE_LEAST,
	M_LOW,	/* requests with a confidence below 50, percent */
	M_LOST, /* events lost and probe runs missed */
	M_COUNT
};

/*
 * Of the connections with these numbers in the log, in the order in which they came. A value is
 * NAN when there was nothing to measure. Returns the requests of the log.
 */
size_t measure_all(const struct log *log, const struct log *upstream,
		   const struct trace_rows *trace, struct range connections,
		   double ret_values[M_COUNT]);

#endif
