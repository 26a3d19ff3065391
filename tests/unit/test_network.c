/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a trace of known connections: who was there, how many at once, what they spoke. */
#include "report/network.h"

#include "check.h"

#define MS 1000000LL

static char path[200];

/* Times in ms; 0: not captured. Each has so many requests, of 100 bytes in and out together. */
static const struct known {
	const char *transport, *remote, *ended, *version, *offers;
	int64_t open_ms, close_ms, rtt_us;
	uint64_t requests;
} connections[] = {
	{ "tcp", "10.0.0.1:1000", "fin", "", "", 1, 10, 100, 5 },
	{ "tcp", "10.0.0.1:1001", "rst", "1.3", "h2+http/1.1", 5, 12, 300, 1 },
	{ "tcp", "10.0.0.2:1000", "", "1.3", "h2+http/1.1", 10, 0, 200,
	  7 }, /* the first has just ended */
	{ "tcp", "[fe80::1]:99", "fin", "1.2", "", 0, 2, 0, 0 },
	{ "udp", "10.0.0.3:53", "", "", "", 0, 0, 0, 2 },
};

static void put_request(struct trace_writer *w, uint64_t id, uint64_t connection_id)
{
	struct row_request row = { .request_id = id,
				   .service_id = 1,
				   .connection_id = connection_id,
				   .think_ns = id == 1 ? TRACE_NONE : 7 * MS,
				   .arrival_ns = 1 * MS,
				   .request_end_ns = 2 * MS,
				   .read_ns = TRACE_NONE,
				   .write_ns = 5 * MS,
				   .end_ns = 5 * MS + MS / 2,
				   .request_bytes = 30,
				   .response_bytes = 70 };

	CHECK_EQ(trace_write(w, TABLE_REQUESTS, &row, &(struct err){ "" }), 0);
}

static void put_connection(struct trace_writer *w, size_t i, bool packets)
{
	const struct known *k = &connections[i];
	struct row_connection row = { .connection_id = i + 1,
				      .service_id = 1,
				      .open_ns = k->open_ms ? k->open_ms * MS : TRACE_NONE,
				      .close_ns = k->close_ms ? k->close_ms * MS : TRACE_NONE,
				      .srtt_ns = TRACE_NONE,
				      .min_rtt_ns = TRACE_NONE,
				      .requests = k->requests,
				      .tls = k->version[0] != '\0',
				      .wire = ROW_WIRE_UNKNOWN };

	snprintf(row.transport, sizeof(row.transport), "%s", k->transport);
	snprintf(row.remote, sizeof(row.remote), "%s", k->remote);
	if (packets) {
		snprintf(row.wire.ended, sizeof(row.wire.ended), "%s", k->ended);
		snprintf(row.wire.tls_version, sizeof(row.wire.tls_version), "%s", k->version);
		snprintf(row.wire.tls_offers, sizeof(row.wire.tls_offers), "%s", k->offers);
		row.wire.packets_in = 10;
		row.wire.packets_out = 20;
		row.wire.bytes_in = 30 * (int64_t)k->requests;
		row.wire.bytes_out = 70 * (int64_t)k->requests;
		row.wire.retransmitted_out = (int64_t)i;
		row.wire.client_min_rtt_ns = k->rtt_us ? k->rtt_us * 1000 : TRACE_NONE;
	}
	CHECK_EQ(trace_write(w, TABLE_CONNECTIONS, &row, &(struct err){ "" }), 0);
}

static struct network *network_of(bool packets)
{
	const struct row_service service = { .service_id = 1, .host_id = 1, .name = "shop" };
	struct network *n = NULL;
	struct trace_writer *w;
	struct manifest m;
	struct trace *t;
	struct err err;
	uint64_t id = 0;

	manifest_init(&m);
	CHECK_EQ(trace_writer_new(path, TRACE_WRITER_REPLACE, &w, &err), 0);
	CHECK_EQ(trace_write(w, TABLE_SERVICES, &service, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(connections); i++) {
		put_connection(w, i, packets);
		for (uint64_t r = 0; r < connections[i].requests; r++)
			put_request(w, ++id, i + 1);
	}
	CHECK_EQ(trace_writer_finish(w, &m, &err), 0);
	trace_writer_free(w);
	CHECK_EQ(trace_open(path, 0, &t, &err), 0);
	CHECK_EQ(network_build(t, &n, &err), 0);
	trace_free(t);
	return n;
}

static void test_connections(void)
{
	struct network *n = network_of(true);

	if (!CHECK(n != NULL))
		return;
	CHECK_EQ(n->tcp, 4);
	CHECK_EQ(n->udp, 1);
	CHECK_EQ(n->opened, 3);
	CHECK_EQ(n->joined, 1);
	CHECK_EQ(n->fin, 2);
	CHECK_EQ(n->rst, 1);
	CHECK_EQ(n->open, 1);
	CHECK_EQ(n->at_once, 2);
	CHECK_EQ(n->ways[0].packets, 50);
	CHECK_EQ(n->ways[1].packets, 100);
	CHECK_EQ(n->ways[1].bytes, 70 * 15);
	CHECK_EQ(n->ways[1].retransmitted, 0 + 1 + 2 + 3 + 4);
	CHECK_EQ(hist_count(&n->trips[TRIP_CLIENT_MIN]), 3);
	CHECK_NEAR((double)hist_value_at_percentile(&n->trips[TRIP_CLIENT_MIN], 50), 200e3, 200);
	CHECK_EQ(hist_count(&n->trips[TRIP_SERVER]), 0);
	CHECK_EQ(n->tls_count, 2);
	CHECK_STR(n->tls[0].offers, "h2+http/1.1");
	CHECK_EQ(n->tls[0].connections, 2);
	CHECK_STR(n->tls[1].version, "1.2");
	network_free(n);
}

static void test_who(void)
{
	static const struct {
		const char *address;
		uint64_t connections, requests, retransmitted;
	} want[] = {
		{ "10.0.0.2", 1, 7, 2 },
		{ "10.0.0.1", 2, 6, 1 },
		{ "10.0.0.3", 1, 2, 4 },
		{ "[fe80::1]", 1, 0, 3 },
	};
	struct network *n = network_of(true);

	if (!CHECK(n != NULL) || !CHECK_EQ(n->clients_count, ARRAY_SIZE(want)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		check_case("%s", want[i].address);
		CHECK_STR(n->clients[i].address, want[i].address);
		CHECK_EQ(n->clients[i].connections, want[i].connections);
		CHECK_EQ(n->clients[i].requests, want[i].requests);
		CHECK_EQ(n->clients[i].bytes, 100 * want[i].requests);
		CHECK_EQ(n->clients[i].retransmitted, want[i].retransmitted);
	}
	network_free(n);
}

static void test_times(void)
{
	struct network *n = network_of(true);

	if (!CHECK(n != NULL) || !CHECK_EQ(n->services_count, 1))
		return;
	CHECK_EQ(n->services[0].connections, 5);
	CHECK_EQ(n->services[0].requests, 15);
	CHECK_EQ(hist_max(&n->services[0].server), 3 * MS);
	CHECK_EQ(hist_max(&n->services[0].response), MS / 2);
	CHECK_EQ(hist_count(&n->services[0].think), 14);
	CHECK_EQ(hist_min(&n->services[0].think), 7 * MS);
	network_free(n);
}

/* A trace by eBPF has another view. */
static void test_no_packets(void)
{
	CHECK(!network_of(false));
}

int main(void)
{
	char remove[260];

	snprintf(path, sizeof(path), "/tmp/test_network.XXXXXX");
	if (!mkdtemp(path))
		return 1;
	RUN(test_connections);
	RUN(test_who);
	RUN(test_times);
	RUN(test_no_packets);
	snprintf(remove, sizeof(remove), "rm -rf '%s'", path);
	if (system(remove))
		return 1;
	return check_done();
}
