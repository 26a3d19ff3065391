/* SPDX-License-Identifier: Apache-2.0 */
#include "report/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const network_trip_names[TRIP_COUNT] = {
	[TRIP_HANDSHAKE] = "handshake",
	[TRIP_CLIENT_MIN] = "to the client, least",
	[TRIP_CLIENT] = "to the client, smoothed",
	[TRIP_SERVER_MIN] = "to the service, least",
	[TRIP_SERVER] = "to the service, smoothed",
};

/* A connection begins or ends. */
struct change {
	int64_t ns;
	int by;
};

struct build {
	struct trace *trace;
	struct network *n;
	struct change *changes;
	size_t changes_count, changes_room;
	size_t places; /* of n->clients that are taken */
	struct err *err;
};

typedef int (*row_fn)(struct build *b, const void *row);

static int out_of_memory(struct build *b)
{
	return err_set(b->err, ENOMEM, "not enough memory to summarise '%s'", trace_path(b->trace));
}

static int read_table(struct build *b, enum trace_table table, row_fn fn)
{
	union row_any row;
	struct trace_reader *r;
	int rc = trace_reader_new(b->trace, table, &r, b->err);

	if (rc)
		return rc;
	while ((rc = trace_reader_next(r, &row, b->err)) > 0) {
		rc = fn(b, &row);
		if (rc)
			break;
	}
	trace_reader_free(r);
	return rc;
}

/* --- services --------------------------------------------------------------------------------- */

static int on_service(struct build *b, const void *data)
{
	const struct row_service *row = data;
	struct network *n = b->n;
	struct network_service *s = &n->services[n->services_count];

	if (n->services_count == NETWORK_SERVICES_MAX)
		return 0;
	n->services_count++;
	s->service_id = row->service_id;
	snprintf(s->name, sizeof(s->name), "%s", row->name);
	snprintf(s->listen, sizeof(s->listen), "%s", row->listen);
	return 0;
}

/* Ids mostly count from 1, in order: look there first. */
static struct network_service *find_service(struct network *n, uint64_t id)
{
	if (id && id <= n->services_count && n->services[id - 1].service_id == id)
		return &n->services[id - 1];
	for (size_t i = 0; i < n->services_count; i++)
		if (n->services[i].service_id == id)
			return &n->services[i];
	return NULL;
}

/* --- connections ------------------------------------------------------------------------------ */

/* ADDRESS:PORT without the port */
static void address_of(const char *end, char ret_address[48])
{
	const char *colon = strrchr(end, ':');

	snprintf(ret_address, 48, "%.*s", colon ? (int)(colon - end) : (int)strlen(end), end);
}

static uint32_t hash_of(const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	return hash;
}

/* Half of the places stay free, so that searches are short. */
static struct network_client *client_of(struct build *b, const char *address)
{
	struct network_client *all = b->n->clients;
	size_t at = hash_of(address) % NETWORK_CLIENTS_MAX;

	while (all[at].address[0] && strcmp(all[at].address, address))
		at = (at + 1) % NETWORK_CLIENTS_MAX;
	if (all[at].address[0])
		return &all[at];
	if (b->places == NETWORK_CLIENTS_MAX / 2)
		return &all[NETWORK_CLIENTS_MAX];
	b->places++;
	snprintf(all[at].address, sizeof(all[at].address), "%s", address);
	return &all[at];
}

static uint64_t known(int64_t count)
{
	return count > 0 ? (uint64_t)count : 0;
}

static void add_client(struct build *b, const struct row_connection *row)
{
	const struct row_wire *wire = &row->wire;
	struct network_client *client;
	char address[48];

	address_of(row->remote, address);
	if (!address[0])
		return;
	client = client_of(b, address);
	client->connections++;
	client->requests += row->requests;
	client->bytes += known(wire->bytes_in) + known(wire->bytes_out);
	client->retransmitted += known(wire->retransmitted_in) + known(wire->retransmitted_out);
}

static void add_ways(struct network *n, const struct row_wire *wire)
{
	const struct network_way in = {
		known(wire->packets_in),
		known(wire->bytes_in),
		known(wire->retransmitted_in),
		known(wire->zero_windows_in),
		known(wire->tls_records_in),
		known(wire->tls_record_bytes_in),
		known(wire->tls_record_max_bytes_in),
	};
	const struct network_way out = {
		known(wire->packets_out),
		known(wire->bytes_out),
		known(wire->retransmitted_out),
		known(wire->zero_windows_out),
		known(wire->tls_records_out),
		known(wire->tls_record_bytes_out),
		known(wire->tls_record_max_bytes_out),
	};
	const struct network_way *ways[2] = { &in, &out };

	for (int i = 0; i < 2; i++) {
		struct network_way *to = &n->ways[i];

		to->packets += ways[i]->packets;
		to->bytes += ways[i]->bytes;
		to->retransmitted += ways[i]->retransmitted;
		to->zero_windows += ways[i]->zero_windows;
		to->records += ways[i]->records;
		to->record_bytes += ways[i]->record_bytes;
		if (to->record_max_bytes < ways[i]->record_max_bytes)
			to->record_max_bytes = ways[i]->record_max_bytes;
	}
}

static int add_trips(struct build *b, const struct row_wire *wire)
{
	const int64_t trips[TRIP_COUNT] = {
		[TRIP_HANDSHAKE] = wire->handshake_ns, [TRIP_CLIENT_MIN] = wire->client_min_rtt_ns,
		[TRIP_CLIENT] = wire->client_srtt_ns,  [TRIP_SERVER_MIN] = wire->server_min_rtt_ns,
		[TRIP_SERVER] = wire->server_srtt_ns,
	};

	for (int i = 0; i < TRIP_COUNT; i++)
		if (trips[i] > 0 && hist_record(&b->n->trips[i], (uint64_t)trips[i]))
			return out_of_memory(b);
	return 0;
}

static void add_tls(struct network *n, const struct row_wire *wire)
{
	size_t i = 0;

	while (i < n->tls_count && (strcmp(n->tls[i].version, wire->tls_version) ||
				    strcmp(n->tls[i].alpn, wire->tls_alpn) ||
				    strcmp(n->tls[i].offers, wire->tls_offers)))
		i++;
	if (i == NETWORK_TLS_MAX) {
		n->tls_over++;
		return;
	}
	if (i == n->tls_count) {
		n->tls_count++;
		memcpy(n->tls[i].version, wire->tls_version, sizeof(n->tls[i].version));
		memcpy(n->tls[i].alpn, wire->tls_alpn, sizeof(n->tls[i].alpn));
		memcpy(n->tls[i].offers, wire->tls_offers, sizeof(n->tls[i].offers));
	}
	n->tls[i].connections++;
}

/* Room doubles; beyond the limit nothing is kept. */
static int add_change(struct build *b, int64_t ns, int by)
{
	size_t room = b->changes_room ? b->changes_room * 2 : 1024;
	struct change *grown;

	if (b->changes_count >= 2 * NETWORK_SPANS_MAX)
		return 0;
	if (b->changes_count == b->changes_room) {
		grown = reallocarray(b->changes, room, sizeof(*grown));
		if (!grown)
			return out_of_memory(b);
		b->changes = grown;
		b->changes_room = room;
	}
	b->changes[b->changes_count++] = (struct change){ ns, by };
	return 0;
}

static int add_tcp(struct build *b, const struct row_connection *row)
{
	struct network *n = b->n;
	bool ended = row->close_ns != TRACE_NONE;
	int rc;

	n->tcp++;
	*(row->open_ns == TRACE_NONE ? &n->joined : &n->opened) += 1;
	if (!ended)
		n->open++;
	else if (!strcmp(row->wire.ended, "rst"))
		n->rst++;
	else
		n->fin++;
	rc = add_change(b, row->open_ns, 1); /* TRACE_NONE is before all others */
	return rc || !ended ? rc : add_change(b, row->close_ns, -1);
}

static int on_connection(struct build *b, const void *data)
{
	const struct row_connection *row = data;
	struct network_service *service = find_service(b->n, row->service_id);
	int rc;

	if (row->wire.packets_in == TRACE_NONE && row->wire.packets_out == TRACE_NONE)
		return 0;
	if (service)
		service->connections++;
	add_client(b, row);
	add_ways(b->n, &row->wire);
	if (row->tls)
		add_tls(b->n, &row->wire);
	rc = add_trips(b, &row->wire);
	if (rc)
		return rc;
	if (!strcmp(row->transport, "tcp"))
		return add_tcp(b, row);
	b->n->udp++;
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return x->by - y->by; /* who ends makes room first */
}

static void count_at_once(struct build *b)
{
	int64_t now = 0, most = 0;

	if (!b->changes_count || b->n->tcp > NETWORK_SPANS_MAX)
		return;
	qsort(b->changes, b->changes_count, sizeof(*b->changes), by_time);
	for (size_t i = 0; i < b->changes_count; i++) {
		now += b->changes[i].by;
		most = now > most ? now : most;
	}
	b->n->at_once = (uint64_t)most;
}

/* The most requests first, then the most bytes. */
static int by_requests(const void *a, const void *b)
{
	const struct network_client *x = a, *y = b;

	if (x->requests != y->requests)
		return x->requests < y->requests ? 1 : -1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return strcmp(x->address, y->address);
}

static void sort_clients(struct network *n)
{
	struct network_client *others = &n->clients[NETWORK_CLIENTS_MAX];

	for (size_t i = 0; i < NETWORK_CLIENTS_MAX; i++)
		if (n->clients[i].address[0])
			n->clients[n->clients_count++] = n->clients[i];
	qsort(n->clients, n->clients_count, sizeof(*n->clients), by_requests);
	if (!others->connections)
		return;
	snprintf(others->address, sizeof(others->address), "(others)");
	n->clients[n->clients_count++] = *others;
}

/* --- requests --------------------------------------------------------------------------------- */

static int record_span(struct build *b, struct hist *hist, int64_t from_ns, int64_t to_ns)
{
	int64_t ns;

	if (from_ns == TRACE_NONE || to_ns == TRACE_NONE ||
	    __builtin_sub_overflow(to_ns, from_ns, &ns) || ns < 0)
		return 0;
	return hist_record(hist, (uint64_t)ns) ? out_of_memory(b) : 0;
}

static int on_request(struct build *b, const void *data)
{
	const struct row_request *row = data;
	struct network_service *s = find_service(b->n, row->service_id);
	int rc;

	if (!s)
		return 0;
	s->requests++;
	s->bytes += row->request_bytes + row->response_bytes;
	rc = record_span(b, &s->server, row->request_end_ns, row->write_ns);
	if (!rc)
		rc = record_span(b, &s->response, row->write_ns, row->end_ns);
	if (!rc && row->think_ns != TRACE_NONE)
		rc = record_span(b, &s->think, 0, row->think_ns);
	return rc;
}

/* --- all of it -------------------------------------------------------------------------------- */

void network_free(struct network *n)
{
	if (!n)
		return;
	for (int i = 0; i < TRIP_COUNT; i++)
		hist_release(&n->trips[i]);
	for (size_t i = 0; i < n->services_count; i++) {
		hist_release(&n->services[i].server);
		hist_release(&n->services[i].response);
		hist_release(&n->services[i].think);
	}
	free(n->clients);
	free(n);
}

static int read_all(struct build *b)
{
	int rc = read_table(b, TABLE_SERVICES, on_service);

	if (!rc)
		rc = read_table(b, TABLE_CONNECTIONS, on_connection);
	if (rc || !(b->n->tcp + b->n->udp))
		return rc;
	count_at_once(b);
	sort_clients(b->n);
	return read_table(b, TABLE_REQUESTS, on_request);
}

int network_build(struct trace *t, struct network **ret_network, struct err *err)
{
	struct build b = { .trace = t, .n = calloc(1, sizeof(*b.n)), .err = err };
	int rc;

	if (b.n)
		b.n->clients = calloc(NETWORK_CLIENTS_MAX + 1, sizeof(*b.n->clients));
	rc = b.n && b.n->clients ? read_all(&b) : out_of_memory(&b);
	free(b.changes);
	if (rc || !(b.n->tcp + b.n->udp)) {
		network_free(b.n);
		b.n = NULL;
	}
	if (!rc)
		*ret_network = b.n;
	return rc;
}
