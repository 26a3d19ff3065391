/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/import.h"

#include "base/clock.h"
#include "capture/packet/requests.h"
#include "capture/packet/source.h"
#include "trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define STEP_NS NS_PER_SEC /* a stamp that far back is a clock that was set, not a late packet */
#define LOOK_PACKETS (1 << 16) /* between looks at the clock and the signal */

struct import {
	const struct import_opts *opts;
	struct sources *sources;
	struct flows *flows;
	struct requests *requests;
	struct trace_writer *writer;
	uint64_t packets, unparsed[PACKET_KIND_COUNT], clock_steps;
	int64_t first_ns, now_ns; /* stamps; 0: there was none yet */
	int64_t shift_ns;	  /* what the clock was set back by, so far */
	struct err *err;
};

static int write_row(void *arg, enum trace_table table, const void *row)
{
	struct import *im = arg;

	return trace_write(im->writer, table, row, im->err);
}

static bool serves(const struct import_opts *opts, const struct packet_end *end)
{
	for (size_t i = 0; i < opts->servers_count; i++)
		if (opts->servers[i].port == end->port &&
		    (opts->any_address[i] ||
		     !memcmp(opts->servers[i].address, end->address, sizeof(end->address))))
			return true;
	return false;
}

static enum flow_server server_of(void *arg, const struct packet_end ends[2])
{
	const struct import_opts *opts = arg;
	bool first = serves(opts, &ends[0]), second = serves(opts, &ends[1]);

	if (first == second)
		return first ? FLOW_SERVER_ASK : FLOW_SERVER_NONE;
	return first ? FLOW_SERVER_FIRST : FLOW_SERVER_SECOND;
}

/* A clock may be set while packets are captured: time in a trace goes on. */
static int64_t steady(struct import *im, int64_t stamp_ns)
{
	int64_t ns = stamp_ns + im->shift_ns;

	if (im->now_ns && ns < im->now_ns - STEP_NS) {
		im->shift_ns += im->now_ns - ns;
		im->clock_steps++;
		ns = im->now_ns;
	}
	if (ns > im->now_ns)
		im->now_ns = ns;
	return ns;
}

/* What follows needs the time at which the trace begins. */
static int begin(struct import *im)
{
	const struct row_sink rows = { write_row, im };
	struct flows_opts opts = { .max = IMPORT_FLOWS_MAX };

	im->first_ns = im->now_ns ? im->now_ns : 1;
	im->requests = requests_new(im->first_ns, &rows);
	if (!im->requests)
		return -ENOMEM;
	if (getrandom(&opts.seed, sizeof(opts.seed), GRND_NONBLOCK) != sizeof(opts.seed))
		opts.seed = (uint64_t)clock_now_ns();
	opts.sink = requests_flow_sink(im->requests);
	if (im->opts->servers_count) {
		opts.server_of = server_of;
		opts.server_arg = (void *)im->opts;
	}
	im->flows = flows_new(&opts);
	return im->flows ? 0 : -ENOMEM;
}

static int take(struct import *im, const struct packet_record *record)
{
	struct packet packet;
	enum packet_kind kind;
	int rc = 0;

	im->packets++;
	packet.ns = steady(im, record->ns);
	if (!im->flows)
		rc = begin(im);
	if (rc)
		return rc;
	kind = packet_decode(record->link, record->bytes, record->seen, record->wire, &packet);
	if (kind > PACKET_UDP) {
		im->unparsed[kind]++;
		return 0;
	}
	rc = flows_packet(im->flows, kind, &packet);
	return rc ? rc : requests_failed(im->requests);
}

static void print_progress(const struct import *im)
{
	fprintf(stderr, "\r%lu packets  %lu requests  %zu connections open ", im->packets,
		requests_ledger(im->requests)->count[LG_REQUESTS], flows_open(im->flows));
}

static int run(struct import *im)
{
	struct packet_record record;
	int64_t progress_at = clock_now_ns() + NS_PER_SEC;
	int rc = 0;

	while (!rc && sources_next(im->sources, &record)) {
		rc = take(im, &record);
		if (im->packets % LOOK_PACKETS)
			continue;
		if (*im->opts->stop)
			break;
		if (im->opts->progress && clock_now_ns() > progress_at) {
			progress_at += NS_PER_SEC;
			print_progress(im);
		}
	}
	if (!rc && !im->flows)
		rc = begin(im); /* of no packets, an empty trace */
	if (!rc) {
		flows_finish(im->flows);
		rc = requests_finish(im->requests);
	}
	if (rc == -ENOMEM)
		err_errno(im->err, ENOMEM, "cannot go on");
	return rc;
}

static void fill_ledger(const struct import *im, struct ledger *ledger)
{
	const struct flows_counts *counts = flows_counts(im->flows);
	const char *why;

	*ledger = *requests_ledger(im->requests);
	ledger->count[LG_PACKETS] = im->packets + sources_filtered(im->sources);
	ledger->count[LG_PACKETS_IGNORED] = counts->ignored + sources_filtered(im->sources);
	ledger->count[LG_PACKETS_NOT_IP] = im->unparsed[PACKET_NOT_IP];
	ledger->count[LG_PACKETS_OTHER] = im->unparsed[PACKET_NOT_TCP_UDP];
	ledger->count[LG_PACKETS_FRAGMENT] = im->unparsed[PACKET_FRAGMENT];
	ledger->count[LG_PACKETS_CUT] = im->unparsed[PACKET_CUT];
	ledger->count[LG_PACKETS_MALFORMED] = im->unparsed[PACKET_MALFORMED];
	ledger->count[LG_PACKETS_LINK_UNKNOWN] = im->unparsed[PACKET_LINK_UNKNOWN];
	ledger->count[LG_PACKETS_DUPLICATE] = counts->duplicates;
	ledger->count[LG_PACKETS_RETRANSMITTED] = counts->retransmissions;
	ledger->count[LG_PACKETS_REORDERED] = counts->reordered;
	ledger->count[LG_PACKETS_STRAY] = counts->strays;
	ledger->count[LG_PACKETS_ASTRAY] = counts->astray;
	ledger->count[LG_STREAM_GAPS] = counts->gaps;
	ledger->count[LG_STREAM_GAP_BYTES] = counts->gap_bytes;
	ledger->count[LG_CONNECTIONS_JOINED] = counts->mid_stream;
	ledger->count[LG_CONNECTIONS_EVICTED] = counts->evicted;
	ledger->count[LG_CLOCK_STEPS] = im->clock_steps;
	ledger->count[LG_CAPTURES_CUT] = sources_cut(im->sources, &why);
}

/* Nothing is known of the machine, and time 0 of its clock is the first packet. */
static void fill_manifest(const struct import *im, struct manifest *m)
{
	time_t seconds = im->first_ns / NS_PER_SEC;
	struct tm utc;

	snprintf(m->tool, sizeof(m->tool), "gait " GAIT_VERSION);
	snprintf(m->source, sizeof(m->source), "pcap");
	snprintf(m->filter, sizeof(m->filter), "%s", im->opts->description);
	snprintf(m->attribution, sizeof(m->attribution), "none");
	snprintf(m->detail, sizeof(m->detail), "requests");
	gmtime_r(&seconds, &utc);
	strftime(m->started_at, sizeof(m->started_at), "%Y-%m-%dT%H:%M:%SZ", &utc);
	m->duration_ns = im->now_ns > im->first_ns ? im->now_ns - im->first_ns : 0;
	m->hosts_count = 1;
	m->hosts[0].host_id = 1;
	m->hosts[0].realtime_offset_start_ns = im->first_ns;
	m->hosts[0].realtime_offset_end_ns = im->first_ns - im->shift_ns;
	fill_ledger(im, &m->ledger);
}

int import_packets(const struct import_opts *opts, struct import_result *ret_result,
		   struct err *err)
{
	struct import im = { .opts = opts, .err = err };
	const char *why;
	int rc;

	memset(ret_result, 0, sizeof(*ret_result));
	manifest_init(&ret_result->manifest);
	rc = sources_open(opts->files, opts->files_count, opts->filter, opts->stop, &im.sources,
			  err);
	if (!rc)
		rc = trace_writer_new(opts->output, opts->replace ? TRACE_WRITER_REPLACE : 0,
				      &im.writer, err);
	if (!rc)
		rc = run(&im);
	if (!rc) {
		fill_manifest(&im, &ret_result->manifest);
		rc = trace_writer_finish(im.writer, &ret_result->manifest, err);
	}
	if (!rc && sources_cut(im.sources, &why))
		snprintf(ret_result->cut.text, sizeof(ret_result->cut.text), "%s", why);
	flows_free(im.flows);
	requests_free(im.requests);
	trace_writer_free(im.writer);
	sources_free(im.sources);
	return rc < 0 ? rc : 0;
}
