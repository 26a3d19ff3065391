/* SPDX-License-Identifier: Apache-2.0 */
#include "report/network.h"

#include "report/hist_json.h"

/* Every function returns 0, or non-zero when memory ran out. */
static int put_connections(const struct network *n, struct json *to)
{
	return !to || json_put_u64(to, "tcp", n->tcp) || json_put_u64(to, "udp", n->udp) ||
	       json_put_u64(to, "opened", n->opened) || json_put_u64(to, "joined", n->joined) ||
	       json_put_u64(to, "closed_fin", n->fin) || json_put_u64(to, "closed_rst", n->rst) ||
	       json_put_u64(to, "open_at_end", n->open) ||
	       json_put_u64(to, "at_once_max", n->at_once);
}

static int put_way(const struct network_way *way, const struct summary *s, struct json *to)
{
	return !to || json_put_u64(to, "packets", way->packets) ||
	       json_put_double(to, "packets_per_s", summary_rate(s, way->packets)) ||
	       json_put_u64(to, "bytes", way->bytes) ||
	       json_put_double(to, "bytes_per_s", summary_rate(s, way->bytes)) ||
	       json_put_u64(to, "retransmitted", way->retransmitted) ||
	       json_put_u64(to, "zero_windows", way->zero_windows) ||
	       json_put_u64(to, "tls_records", way->records) ||
	       json_put_u64(to, "tls_record_bytes", way->record_bytes) ||
	       json_put_u64(to, "tls_record_max_bytes", way->record_max_bytes);
}

static int put_trips(const struct network *n, struct json *to)
{
	static const char *const names[TRIP_COUNT] = {
		[TRIP_HANDSHAKE] = "handshake_ns", [TRIP_CLIENT_MIN] = "client_min_rtt_ns",
		[TRIP_CLIENT] = "client_srtt_ns",  [TRIP_SERVER_MIN] = "server_min_rtt_ns",
		[TRIP_SERVER] = "server_srtt_ns",
	};
	int rc = 0;

	for (int i = 0; i < TRIP_COUNT && !rc; i++)
		rc = hist_put_json(to, names[i], &n->trips[i]);
	return rc;
}

static int put_tls(const struct network *n, struct json *array)
{
	int rc = !array;

	for (size_t i = 0; i < n->tls_count && !rc; i++) {
		struct json *to = json_add_object(array);

		rc = !to || json_put_text(to, "version", n->tls[i].version) ||
		     json_put_text(to, "alpn", n->tls[i].alpn) ||
		     json_put_text(to, "offers", n->tls[i].offers) ||
		     json_put_u64(to, "connections", n->tls[i].connections);
	}
	return rc;
}

/* All of them: a script sorts by what it wants. */
static int put_clients(const struct network *n, struct json *array)
{
	int rc = !array;

	for (size_t i = 0; i < n->clients_count && !rc; i++) {
		const struct network_client *client = &n->clients[i];
		struct json *to = json_add_object(array);

		rc = !to || json_put_text(to, "address", client->address) ||
		     json_put_u64(to, "connections", client->connections) ||
		     json_put_u64(to, "requests", client->requests) ||
		     json_put_u64(to, "bytes", client->bytes) ||
		     json_put_u64(to, "retransmitted", client->retransmitted);
	}
	return rc;
}

static int put_services(const struct network *n, struct json *array)
{
	int rc = !array;

	for (size_t i = 0; i < n->services_count && !rc; i++) {
		const struct network_service *s = &n->services[i];
		struct json *to = json_add_object(array);

		rc = !to || json_put_u64(to, "service_id", s->service_id) ||
		     json_put_text(to, "name", s->name) || json_put_text(to, "listen", s->listen) ||
		     json_put_u64(to, "connections", s->connections) ||
		     json_put_u64(to, "requests", s->requests) ||
		     json_put_u64(to, "bytes", s->bytes) ||
		     hist_put_json(to, "server_ns", &s->server) ||
		     hist_put_json(to, "response_ns", &s->response) ||
		     hist_put_json(to, "think_ns", &s->think);
	}
	return rc;
}

int network_put_json(const struct network *n, const struct summary *s, struct json *root)
{
	struct json *to = json_put_object(root, "network");

	return !to || put_connections(n, json_put_object(to, "connections")) ||
	       put_way(&n->ways[0], s, json_put_object(to, "in")) ||
	       put_way(&n->ways[1], s, json_put_object(to, "out")) || put_trips(n, to) ||
	       put_tls(n, json_put_array(to, "tls")) ||
	       put_clients(n, json_put_array(to, "clients")) ||
	       put_services(n, json_put_array(to, "services"));
}
