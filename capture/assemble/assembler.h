/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_ASSEMBLE_ASSEMBLER_H
#define GAIT_CAPTURE_ASSEMBLE_ASSEMBLER_H

#include "base/err.h"
#include "bpf/event.h"
#include "capture/sink.h"
#include "trace/ledger.h"
#include "trace/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From kernel events to the rows of a trace. Pure: events and times come in as
 * arguments, rows go out through the sink as soon as they are complete, so memory
 * is bounded by what is open (threads, connections, requests without an answer).
 *
 * A request is a turn on a connection: a run of bytes in, then a run of bytes out.
 * docs/CAPTURE.md says who owns what of a thread's time.
 */
struct assembler;

#define SERVICES_MAX 64

struct assembler_opts {
	int64_t start_ns;     /* CLOCK_MONOTONIC of the trace's start */
	uint64_t work_per_ms; /* calibration: turns user CPU time into work units */
	bool requests_only;   /* events without counters: requests and connections, nothing else */
	struct row_sink sink;
	/* Which bytes on that local port it has no use for, from now on (enum unwanted); or NULL. */
	void (*set_unwanted)(void *arg, uint16_t local_port, unsigned unwanted);
	void *unwanted_arg;
};

/* NULL when memory ran out. */
struct assembler *assembler_new(const struct assembler_opts *opts);
void assembler_free(struct assembler *a);

/* An event of the ring buffer. 0, -ENOMEM, or what the sink returned. Unknown kinds are skipped. */
int assembler_event(struct assembler *a, const void *event, size_t size);

/*
 * Events have stopped for a while: what is open is closed, as what follows is not known, and
 * counted. Goes on with the next event.
 */
void assembler_pause(struct assembler *a);

/* Counters of a thread as they are at the end, for those that still run (see finish). */
void assembler_thread_end(struct assembler *a, unsigned slot, uint32_t generation,
			  const uint64_t counters[TS_COUNT]);

/*
 * What a trace says of the services as a whole. Of their rows `threads` (those that read
 * requests), `listen` (local address of the first connection), `tls` and `io_model` are filled.
 */
struct assembler_totals {
	int64_t user_ns, kernel_ns; /* CPU of all threads */
	struct row_service services[SERVICES_MAX];
};

/* Closes what is open and writes the last rows. No events after that. */
int assembler_finish(struct assembler *a, int64_t end_ns, struct assembler_totals *ret_totals);

/* Counts so far: what was seen, truncated, unpaired, doubtful. */
const struct ledger *assembler_ledger(const struct assembler *a);

#endif
