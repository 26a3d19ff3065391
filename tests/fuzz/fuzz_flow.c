/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any packets of a few ends: each stream is handed on in order, every flow that opens closes, no
 * request ends before it came, and all memory is given back. A packet of the input is 12 bytes (ends and
 * protocol, flags, sequence number and acknowledgment near a base, length, time) and its payload.
 */
#include "capture/packet/requests.h"

#include <stdlib.h>
#include <string.h>

#define HEAD 12
#define FLOWS_MAX 6
#define START_NS 1000000000LL

struct watch {
	struct flow_sink inner;
	size_t open;
	uint64_t requests, rows;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
	if (!held)
		abort();
}

static void check_connection(const struct row_connection *c)
{
	const struct row_wire *w = &c->wire;

	if (c->outgoing) { /* the caller's end: the row of the called one has the packets */
		must(w->packets_in == TRACE_NONE && w->packets_out == TRACE_NONE);
		return;
	}
	must(w->packets_in + w->packets_out > 0);
	must(c->transport[0] == 'u' ||
	     w->retransmitted_in + w->zero_windows_in <= 2 * w->packets_in);
	must(c->transport[0] == 'u' ||
	     (w->retransmitted_in <= w->packets_in && w->retransmitted_out <= w->packets_out));
	must(w->handshake_ns == TRACE_NONE || w->handshake_ns >= 0);
	must((w->client_min_rtt_ns == TRACE_NONE) == (w->client_srtt_ns == TRACE_NONE));
	must(w->client_min_rtt_ns <= w->client_srtt_ns &&
	     w->server_min_rtt_ns <= w->server_srtt_ns);
	must(c->tls ? w->tls_record_max_bytes_in <= w->tls_record_bytes_in :
		      w->tls_records_in == TRACE_NONE);
}

static int on_row(void *arg, enum trace_table table, const void *row)
{
	const struct row_request *r = row;
	struct watch *w = arg;

	if (table == TABLE_CONNECTIONS)
		check_connection(row);
	if (table != TABLE_REQUESTS)
		return 0;
	w->rows++;
	must(r->request_id && r->connection_id && r->class_id && r->service_id);
	must(r->request_end_ns >= r->arrival_ns);
	must(r->end_ns == TRACE_NONE || r->end_ns >= r->arrival_ns);
	must(r->write_ns == TRACE_NONE || r->write_ns <= r->end_ns);
	must(r->confidence <= 100);
	return 0;
}

static void on_opened(void *arg, struct flow *flow)
{
	struct watch *w = arg;

	w->open++;
	must(w->open <= FLOWS_MAX);
	w->inner.opened(w->inner.arg, flow);
}

static void on_bytes(void *arg, struct flow *flow, bool reply, const struct flow_chunk *chunk)
{
	struct watch *w = arg;

	must(chunk->total && chunk->seen <= chunk->total);
	must(!chunk->gap || !chunk->seen);
	w->inner.bytes(w->inner.arg, flow, reply, chunk);
}

static void on_ended(void *arg, struct flow *flow, bool reply, int64_t ns)
{
	struct watch *w = arg;

	w->inner.ended(w->inner.arg, flow, reply, ns);
}

static void on_closed(void *arg, struct flow *flow)
{
	struct watch *w = arg;

	must(w->open > 0);
	w->open--;
	w->inner.closed(w->inner.arg, flow);
}

static void set_end(struct packet_end *end, unsigned number)
{
	*end = (struct packet_end){ .port = number & 1 ? 80 : 40000 };
	end->address[15] = (uint8_t)(number >> 1);
	end->address[10] = end->address[11] = number & 4 ? 0 : 0xff;
}

/* Near one base for all, or anywhere. */
static uint32_t number_of(uint8_t high, uint8_t low)
{
	uint32_t near = (uint32_t)(high & 15) << 8 | low;

	return (high & 0x80 ? (uint32_t)(high & 0x70) << 24 : 0xfffff800u) + near;
}

static enum packet_kind read_packet(const uint8_t *at, size_t left, struct packet *ret)
{
	size_t seen = at[7];

	if (seen > left - HEAD)
		seen = left - HEAD;
	*ret = (struct packet){ .flags = at[1],
				.seq = number_of(at[2], at[3]),
				.ack = number_of(at[4], at[5]),
				.mark = at[6],
				.window = at[10],
				.seen = (uint32_t)seen,
				.total = (uint32_t)(seen + (at[8] & 0x80 ? at[8] * 100u : 0)) };
	set_end(&ret->from, at[0] & 7);
	set_end(&ret->to, at[0] >> 3 & 7);
	return at[0] & 0x80 ? PACKET_UDP : PACKET_TCP;
}

static void run(struct watch *w, struct flows *f, const uint8_t *data, size_t size)
{
	int64_t ns = START_NS;

	while (size >= HEAD) {
		struct packet p;
		enum packet_kind kind = read_packet(data, size, &p);
		uint8_t *exact = malloc(p.seen + !p.seen);

		memcpy(exact, data + HEAD, p.seen);
		p.payload = exact;
		ns += (int64_t)(data[9] & 0x7f) * (data[11] & 1 ? 10000000 : 1000);
		p.ns = data[9] & 0x80 && ns > START_NS + 1000000 ? ns - 1000000 : ns;
		must(!flows_packet(f, kind, &p));
		free(exact);
		data += HEAD + p.seen;
		size -= HEAD + p.seen;
	}
	flows_finish(f);
	must(!flows_open(f) && !w->open);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct watch w = { 0 };
	const struct row_sink rows = { on_row, &w };
	struct requests *r = requests_new(START_NS, &rows);
	struct flows_opts opts = { .max = FLOWS_MAX,
				   .sink = { on_opened, on_bytes, on_ended, on_closed, &w } };
	struct flows *f = flows_new(&opts);

	w.inner = requests_flow_sink(r);
	run(&w, f, data, size);
	must(!requests_finish(r));
	must(w.rows == requests_ledger(r)->count[LG_REQUESTS]);
	flows_free(f);
	requests_free(r);
	return 0;
}
