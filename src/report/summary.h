/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_SUMMARY_H
#define GAIT_REPORT_SUMMARY_H

#include "base/hist.h"
#include "trace/trace.h"

/*
 * The numbers of a trace that people ask for first, gathered in one pass over
 * each table (two over latency.csv). Memory does not grow with the tables but
 * for two bytes a request (id_map.h), four where there are several services.
 *
 * Of a run with a warm-up, its times - spans, what the client saw, the breakdown - leave
 * that out; what it counts is of all.
 *
 * Of a run that keeps rows of a sample, what the rows would have said of spans, client spans and the
 * breakdown is taken from totals.csv, and outcomes from the ledger: they are of all requests.
 *
 * Services and classes beyond the limits are added up in one entry behind the
 * others, named "(others)"; requests without one have id 0, "(none)".
 */
#define SUMMARY_SERVICES_MAX 64
#define SUMMARY_CLASSES_MAX 256

/* Requests of some kind, and what they made of the machine. */
struct summary_requests {
	uint64_t count;
	uint64_t request_bytes, response_bytes;
	uint64_t ops, cpu_ns; /* of the operations they own */
	struct hist span;     /* arrival to end, ns */
};

struct summary_class {
	struct row_class row;
	struct summary_requests requests;
};

/*
 * The time of a service's requests by subsystem, as sums over a band of
 * requests: all, around the median, the slowest. A band is chosen by total_ns.
 */
enum summary_band_kind {
	BAND_ALL,
	BAND_MEDIAN, /* p40 .. p60 */
	BAND_TAIL,   /* p99 and above */
	BAND_COUNT
};

struct summary_band {
	uint64_t requests;
	int64_t total_ns, unattributed_ns;
	int64_t ns[SUB_COUNT];
};

struct summary_service {
	struct row_service row;
	struct summary_requests requests;
	uint64_t connections, dependent, outgoing;
	struct hist total; /* of its rows in latency.csv; empty: no breakdown */
	struct summary_band bands[BAND_COUNT];
};

struct summary_ops {
	uint64_t count, background, failed;
	uint64_t bytes, reply_bytes, cpu_ns;
	struct hist elapsed;
};

/* Requests of one service that another one's requests caused; indices into services. */
#define SUMMARY_EDGES_MAX 256

struct summary_edge {
	size_t from, to;
	uint64_t calls;
};

struct summary_targets {
	uint64_t count;
	uint64_t bytes;
};

struct summary {
	bool partial;		    /* cut short: the manifest is missing */
	unsigned edited;	    /* bits of 1 << enum trace_table */
	struct ledger ledger;	    /* the manifest's, and what reading added */
	uint64_t rows[TABLE_COUNT]; /* read */
	uint64_t summed;	    /* requests in totals.csv, of all services; 0: all have rows */

	int64_t first_ns, last_ns; /* of arrivals and ends; TRACE_NONE: no request */
	int64_t duration_ns;	   /* the manifest's, or between those two */
	uint64_t peak_per_second;  /* most arrivals within a whole second */
	struct summary_requests requests;
	struct hist request_sizes, response_sizes;
	uint64_t spans_unknown; /* requests whose arrival or end is not known */
	uint64_t doubtful;	/* requests with a confidence below 50% */

	/* a run's client: from when it was due, and from when it was sent */
	struct hist client_span, client_wait, client_late;
	uint64_t outcomes[OUTCOME_COUNT];

	size_t services_count, classes_count;
	/* [0] is the client of a run, which owns rows of latency.csv; the last is "(others)" */
	struct summary_service services[SUMMARY_SERVICES_MAX + 2];
	struct summary_class classes[SUMMARY_CLASSES_MAX + 1];
	struct summary_ops ops[OP_KIND_COUNT];
	uint64_t with_parent; /* requests that another captured service caused */
	size_t edges_count;   /* further ones are in edges_over */
	struct summary_edge edges[SUMMARY_EDGES_MAX];
	uint64_t edges_over;	/* requests with a parent that no edge counts */
	uint64_t ops_unclassed; /* of requests that are not in the trace */
	struct summary_targets targets[TARGET_KIND_COUNT];
};

/* A malloc'd summary of all tables of an open trace. */
int summary_build(struct trace *t, struct summary **ret_summary, struct err *err);
/* Takes NULL. */
void summary_free(struct summary *s);

/* Whether its numbers can be trusted: nothing lost, edited, cut short or INVALID. */
bool summary_is_doubtful(const struct summary *s, const struct manifest *m);

/* Of all services, whether or not they have rows. */
uint64_t summary_requests_count(const struct summary *s);

/* Per second of the trace's duration; 0 when that is not known. */
double summary_rate(const struct summary *s, uint64_t count);

/* Requests under way at once, on average (Little's law). */
double summary_in_flight(const struct summary *s);

extern const char *const summary_band_names[BAND_COUNT];

#endif
