/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_EDIT_MERGE_STATE_H
#define GAIT_EDIT_MERGE_STATE_H

/* Inside of the merge, shared by its files; nobody else includes this. */
#include "edit/join.h"
#include "edit/merge.h"
#include "edit/rows.h"

/* A boot of a machine, which is one clock. */
struct host {
	const struct manifest_host *facts; /* NULL: of a trace without a manifest */
	uint64_t work_per_ms;
	bool has_wall;
	int64_t wall_ns;  /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	int64_t guess_ns; /* what to add to come to host 0's clock, as wall clocks have it */
	bool placed;
	struct clock_line to_first; /* A: host 0 */
	struct merge_clock how;
};

struct input {
	struct trace *trace;
	uint32_t host;
	int64_t start_ns;	     /* of its times, on the host's clock */
	uint64_t largest[IDS_COUNT]; /* ids in it */
	uint64_t first[IDS_COUNT];   /* what its ids are raised by */
	uint64_t rows_cut;
};

struct address {
	uint8_t bytes[16]; /* IPv4 mapped */
	uint16_t port;
};

/* More services than this are not looked for among accepted connections. */
#define MERGE_LISTENS_MAX 256

/* One end of a connection whose other end may be in these traces too. */
struct end {
	struct address caller, called; /* equal for both ends */
	uint32_t input;
	bool outgoing;
	bool loopback;
	uint64_t connection_id, service_id; /* as in the input */
	int64_t open_ns, close_ns; /* of the host's clock; INT64_MIN, INT64_MAX: not seen */
	uint64_t target_id;	   /* outgoing: of its calls; 0: none seen */
	size_t first, count;	   /* in merge.messages */
	uint32_t mate;		   /* the other end; JOIN_NONE */
};

/* What is known of the clocks of two hosts, a < b. */
struct host_pair {
	enum clock_fit fit;
	struct clock_line line; /* A: host a */
	uint64_t calls, against;
};

/* In the merged trace. */
struct parent {
	uint64_t child_id, parent_id;
	bool doubtful;
};

struct called_service {
	uint64_t target_id, service_id; /* service_id 0: different ones answered there */
};

struct merge {
	const struct merge_opts *opts;
	struct input inputs[MERGE_INPUTS_MAX];
	size_t inputs_count;
	struct host hosts[MANIFEST_HOSTS_MAX];
	size_t hosts_count;
	struct end *ends; /* by addresses, outgoing ones first, by open_ns */
	size_t ends_count, ends_room;
	size_t outgoing_count; /* while incoming ones are read: the first so many, sorted */
	uint32_t *by_id;       /* ends by input and connection id */
	struct join_message *messages;
	size_t messages_count, messages_room;
	struct host_pair pairs[MANIFEST_HOSTS_MAX][MANIFEST_HOSTS_MAX];
	struct parent *parents; /* by child_id */
	size_t parents_count;
	struct called_service *called; /* by target_id */
	size_t called_count;
	int64_t origin_ns; /* of the merged trace, on host 0's clock */
	int64_t end_ns;
	uint64_t connections, connections_called;
	struct address listens[MERGE_LISTENS_MAX]; /* of the services */
	size_t listens_count;
	bool count_cut;	      /* this reading counts rows cut short; each reads them all */
	struct ledger ledger; /* what the merge itself counts */
	struct trace_writer *writer;
	struct err *err;
};

int merge_no_memory(struct merge *m);
/* Grows an array to hold one more: 0 or -ENOMEM with a sentence. */
int merge_grow(struct merge *m, void **array, size_t count, size_t *room, size_t size);

/* Calls fn with every row of a table of an input. */
typedef int (*merge_row_fn)(struct merge *m, struct input *in, enum trace_table table, void *row);
int merge_each_row(struct merge *m, struct input *in, enum trace_table table, merge_row_fn fn);

/* merge_inputs.c */
int merge_open(struct merge *m);
void merge_close(struct merge *m);

/* merge_ends.c: both ends of connections between the services, with their messages */
int merge_find_ends(struct merge *m);
int merge_read_messages(struct merge *m);
/*
 * Mates the ends of each connection by addresses and times. unique: only where there is no choice,
 * which is what clocks can be told from; then the rest.
 */
void merge_mate_ends(struct merge *m, bool unique);
/* Undoes that. */
void merge_part_ends(struct merge *m);

/* merge_clocks.c */
int merge_find_clocks(struct merge *m);
/* The clock of caller and called; the slack that goes with it. */
struct join_clock merge_clock_of(const struct merge *m, uint32_t caller, uint32_t called,
				 int64_t *ret_slack_ns);

/* merge_join.c */
int merge_join_calls(struct merge *m);

/* merge_write.c */
int merge_write(struct merge *m, struct manifest *ret_manifest);

#endif
