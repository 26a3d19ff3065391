/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/intake.h"

#include "base/clock.h"
#include "capture/packet/requests.h"
#include "trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define STEP_NS NS_PER_SEC /* a stamp that far back is a clock that was set, not a late packet */

struct intake {
	const struct intake_opts *opts;
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
	struct intake *in = arg;

	return trace_write(in->writer, table, row, in->err);
}

static bool serves(const struct intake_opts *opts, const struct packet_end *end)
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
	const struct intake_opts *opts = arg;
	bool first = serves(opts, &ends[0]), second = serves(opts, &ends[1]);

	if (first == second)
		return first ? FLOW_SERVER_ASK : FLOW_SERVER_NONE;
	return first ? FLOW_SERVER_FIRST : FLOW_SERVER_SECOND;
}

/* A clock may be set while packets are captured: time in a trace goes on. */
static int64_t steady(struct intake *in, int64_t stamp_ns)
{
	int64_t ns;

	if (__builtin_add_overflow(stamp_ns, in->shift_ns, &ns))
		ns = in->now_ns; /* nonsense, centuries away */
	if (in->now_ns && ns < in->now_ns - STEP_NS) {
		in->shift_ns += in->now_ns - ns;
		in->clock_steps++;
		ns = in->now_ns;
	}
	if (ns > in->now_ns)
		in->now_ns = ns;
	return ns;
}

/* What follows needs the time at which the trace begins. */
static int begin(struct intake *in)
{
	const struct row_sink rows = { write_row, in };
	struct flows_opts opts = { .max = INTAKE_FLOWS_MAX };

	in->first_ns = in->now_ns ? in->now_ns : 1;
	in->requests = requests_new(in->first_ns, &rows);
	if (!in->requests)
		return -ENOMEM;
	if (getrandom(&opts.seed, sizeof(opts.seed), GRND_NONBLOCK) != sizeof(opts.seed))
		opts.seed = (uint64_t)clock_now_ns();
	opts.sink = requests_flow_sink(in->requests);
	if (in->opts->servers_count) {
		opts.server_of = server_of;
		opts.server_arg = (void *)in->opts;
	}
	in->flows = flows_new(&opts);
	return in->flows ? 0 : -ENOMEM;
}

static int checked(const struct intake *in, int rc)
{
	return rc == -ENOMEM ? err_errno(in->err, ENOMEM, "cannot go on") : rc;
}

/* 0 with that time as the trace counts. */
static int pass(struct intake *in, int64_t stamp_ns, int64_t *ret_ns)
{
	*ret_ns = steady(in, stamp_ns);
	return in->flows ? 0 : checked(in, begin(in));
}

int intake_pass(struct intake *in, int64_t stamp_ns)
{
	int64_t ns;

	return pass(in, stamp_ns, &ns);
}

int intake_packet(struct intake *in, const struct packet_record *record)
{
	struct packet packet;
	enum packet_kind kind;
	int rc = pass(in, record->ns, &packet.ns);

	in->packets++;
	if (rc)
		return rc;
	kind = packet_decode(record->link, record->bytes, record->seen, record->wire, &packet);
	if (kind > PACKET_UDP) {
		in->unparsed[kind]++;
		return 0;
	}
	rc = flows_packet(in->flows, kind, &packet);
	return checked(in, rc ? rc : requests_failed(in->requests));
}

uint64_t intake_packets(const struct intake *in)
{
	return in->packets;
}

uint64_t intake_requests(const struct intake *in)
{
	return in->requests ? requests_ledger(in->requests)->count[LG_REQUESTS] : 0;
}

int intake_flush(struct intake *in)
{
	return trace_writer_flush(in->writer, in->err);
}

uint64_t intake_bytes(const struct intake *in)
{
	return trace_writer_bytes(in->writer);
}

size_t intake_open(const struct intake *in)
{
	return in->flows ? flows_open(in->flows) : 0;
}

static void fill_ledger(const struct intake *in, struct ledger *ledger)
{
	const struct flows_counts *counts = flows_counts(in->flows);

	*ledger = *requests_ledger(in->requests);
	ledger->count[LG_PACKETS] = in->packets;
	ledger->count[LG_PACKETS_IGNORED] = counts->ignored;
	ledger->count[LG_PACKETS_NOT_IP] = in->unparsed[PACKET_NOT_IP];
	ledger->count[LG_PACKETS_OTHER] = in->unparsed[PACKET_NOT_TCP_UDP];
	ledger->count[LG_PACKETS_FRAGMENT] = in->unparsed[PACKET_FRAGMENT];
	ledger->count[LG_PACKETS_CUT] = in->unparsed[PACKET_CUT];
	ledger->count[LG_PACKETS_MALFORMED] = in->unparsed[PACKET_MALFORMED];
	ledger->count[LG_PACKETS_LINK_UNKNOWN] = in->unparsed[PACKET_LINK_UNKNOWN];
	ledger->count[LG_PACKETS_DUPLICATE] = counts->duplicates;
	ledger->count[LG_PACKETS_RETRANSMITTED] = counts->retransmissions;
	ledger->count[LG_PACKETS_REORDERED] = counts->reordered;
	ledger->count[LG_PACKETS_STRAY] = counts->strays;
	ledger->count[LG_PACKETS_ASTRAY] = counts->astray;
	ledger->count[LG_STREAM_GAPS] = counts->gaps;
	ledger->count[LG_STREAM_GAP_BYTES] = counts->gap_bytes;
	ledger->count[LG_CONNECTIONS_JOINED] = counts->mid_stream;
	ledger->count[LG_CONNECTIONS_EVICTED] = counts->evicted;
	ledger->count[LG_CLOCK_STEPS] = in->clock_steps;
}

/* Nothing is known of the machine; time 0 of its clock is where the trace begins. */
static void fill_manifest(const struct intake *in, struct manifest *m)
{
	time_t seconds = in->first_ns / NS_PER_SEC;
	struct tm utc;

	snprintf(m->tool, sizeof(m->tool), "gait " GAIT_VERSION);
	snprintf(m->source, sizeof(m->source), "pcap");
	snprintf(m->filter, sizeof(m->filter), "%s", in->opts->description);
	snprintf(m->attribution, sizeof(m->attribution), "none");
	snprintf(m->detail, sizeof(m->detail), "requests");
	gmtime_r(&seconds, &utc);
	strftime(m->started_at, sizeof(m->started_at), "%Y-%m-%dT%H:%M:%SZ", &utc);
	m->duration_ns = in->now_ns > in->first_ns ? in->now_ns - in->first_ns : 0;
	m->hosts_count = 1;
	m->hosts[0].host_id = 1;
	m->hosts[0].realtime_offset_start_ns = in->first_ns;
	m->hosts[0].realtime_offset_end_ns = in->first_ns - in->shift_ns;
	fill_ledger(in, &m->ledger);
}

int intake_finish(struct intake *in, struct manifest *ret_manifest)
{
	int rc = in->flows ? 0 : begin(in); /* of no packets, an empty trace */

	if (!rc) {
		flows_finish(in->flows);
		rc = requests_finish(in->requests);
	}
	if (!rc)
		fill_manifest(in, ret_manifest);
	return checked(in, rc);
}

int intake_write(struct intake *in, struct manifest *manifest)
{
	return trace_writer_finish(in->writer, manifest, in->err);
}

int intake_new(const struct intake_opts *opts, struct intake **ret_intake, struct err *err)
{
	struct intake *in = calloc(1, sizeof(*in));
	int rc;

	if (!in)
		return err_errno(err, ENOMEM, "cannot read packets");
	in->opts = opts;
	in->err = err;
	rc = trace_writer_new(opts->output, opts->replace ? TRACE_WRITER_REPLACE : 0, &in->writer,
			      err);
	if (rc)
		free(in);
	else
		*ret_intake = in;
	return rc;
}

void intake_free(struct intake *in)
{
	if (!in)
		return;
	flows_free(in->flows);
	requests_free(in->requests);
	trace_writer_free(in->writer);
	free(in);
}
