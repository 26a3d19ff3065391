/* SPDX-License-Identifier: Apache-2.0 */
#include "report/network.h"

/* Every function returns 0, or non-zero when memory ran out. */
static struct json *child(struct json *parent, const char *name, struct json *made)
{
	return parent && made && !json_put(parent, name, made) ? made : NULL;
}

static struct json *item(struct json *array)
{
	struct json *made = json_new_object();

	return array && made && !json_add(array, made) ? made : NULL;
}

static int put_hist(struct json *parent, const char *name, const struct hist *hist)
{
	struct json *object;

	if (!hist_count(hist))
		return 0;
	object = child(parent, name, json_new_object());
	return !object || json_put_u64(object, "count", hist_count(hist)) ||
	       json_put_u64(object, "min", hist_min(hist)) ||
	       json_put_double(object, "mean", hist_mean(hist)) ||
	       json_put_u64(object, "p50", hist_value_at_percentile(hist, 50)) ||
	       json_put_u64(object, "p90", hist_value_at_percentile(hist, 90)) ||
	       json_put_u64(object, "p99", hist_value_at_percentile(hist, 99)) ||
	       json_put_u64(object, "max", hist_max(hist));
}

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
		rc = put_hist(to, names[i], &n->trips[i]);
	return rc;
}

static int put_tls(const struct network *n, struct json *array)
{
	int rc = !array;

	for (size_t i = 0; i < n->tls_count && !rc; i++) {
		struct json *to = item(array);

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
		struct json *to = item(array);

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
		struct json *to = item(array);

		rc = !to || json_put_u64(to, "service_id", s->service_id) ||
		     json_put_text(to, "name", s->name) || json_put_text(to, "listen", s->listen) ||
		     json_put_u64(to, "connections", s->connections) ||
		     json_put_u64(to, "requests", s->requests) ||
		     json_put_u64(to, "bytes", s->bytes) || put_hist(to, "server_ns", &s->server) ||
		     put_hist(to, "response_ns", &s->response) ||
		     put_hist(to, "think_ns", &s->think);
	}
	return rc;
}

int network_put_json(const struct network *n, const struct summary *s, struct json *root)
{
	struct json *to = child(root, "network", json_new_object());

	return !to || put_connections(n, child(to, "connections", json_new_object())) ||
	       put_way(&n->ways[0], s, child(to, "in", json_new_object())) ||
	       put_way(&n->ways[1], s, child(to, "out", json_new_object())) || put_trips(n, to) ||
	       put_tls(n, child(to, "tls", json_new_array())) ||
	       put_clients(n, child(to, "clients", json_new_array())) ||
	       put_services(n, child(to, "services", json_new_array()));
}
