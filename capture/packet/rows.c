/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of what lasts: connections, the services they are to, classes of requests. */
#include "capture/packet/exchange.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define END_SIZE 64	       /* as long as the columns */
#define UNDEMANDED_PPM 1000000 /* no CPU time is known, so nothing scales it */

static bool is_ipv4(const struct packet_end *end)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(end->address, mapped, sizeof(mapped));
}

/* snprintf() takes much of the time of a capture of many connections. */
static void put_text(char *to, size_t size, const char *text)
{
	size_t len = strlen(text);

	len = len < size ? len : size - 1;
	memcpy(to, text, len);
	to[len] = '\0';
}

static char *put_decimal(char *out, unsigned number)
{
	char digits[10];
	size_t count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while (number /= 10);
	while (count)
		*out++ = digits[--count];
	return out;
}

/* ADDRESS:PORT */
static void format_end(const struct packet_end *end, char ret[END_SIZE])
{
	char *at = ret;

	if (is_ipv4(end)) {
		for (int i = 12; i < 16; i++) {
			at = put_decimal(at, end->address[i]);
			*at++ = i < 15 ? '.' : ':';
		}
	} else {
		*at++ = '[';
		inet_ntop(AF_INET6, end->address, at, INET6_ADDRSTRLEN);
		at += strlen(at);
		*at++ = ']';
		*at++ = ':';
	}
	*put_decimal(at, end->port) = '\0';
}

/* How far away the peer is. */
static const char *peer_class(const struct packet_end *end)
{
	static const uint8_t loopback[16] = { [15] = 1 };
	const uint8_t *at = end->address + (is_ipv4(end) ? 12 : 0);

	if (!is_ipv4(end)) {
		if (!memcmp(at, loopback, sizeof(loopback)))
			return "loopback";
		return (at[0] & 0xfe) == 0xfc || at[0] == 0xfe ? "local" : "remote";
	}
	if (at[0] == 127)
		return "loopback";
	if (at[0] == 10 || (at[0] == 172 && (at[1] & 0xf0) == 16) || (at[0] == 192 && at[1] == 168))
		return "local";
	return "remote";
}

void rows_write(struct requests *r, enum trace_table table, const void *row)
{
	if (!r->failed)
		r->failed = r->sink.write(r->sink.arg, table, row);
}

/* The number of the service at that end; beyond the limit the last one's, and counted. */
static uint16_t service_of(struct requests *r, const struct packet_end *end)
{
	struct service_seen *s;
	size_t i = 0;

	while (i < r->services_count && (r->services[i].end.port != end->port ||
					 memcmp(r->services[i].end.address, end->address, 16)))
		i++;
	if (i < r->services_count)
		return (uint16_t)i;
	if (i == PACKET_SERVICES_MAX) {
		r->ledger.count[LG_SERVICES_OVER]++;
		return PACKET_SERVICES_MAX - 1;
	}
	s = &r->services[r->services_count++];
	s->end = *end;
	s->row.service_id = r->services_count;
	s->row.host_id = 1;
	format_end(end, s->row.listen);
	snprintf(s->row.name, sizeof(s->row.name), "%.31s", s->row.listen);
	s->host = calls_add_service(r->calls, (uint16_t)i, end->address, &s->row);
	return (uint16_t)i;
}

void rows_open(struct requests *r, struct conversation *c, const struct flow *flow)
{
	c->connection_id = ++r->ledger.count[LG_CONNECTIONS];
	c->service = service_of(r, &flow->end[!flow->client]);
	c->protocol = "";
	c->framed = true;
}

void rows_look_for_caller(struct requests *r, struct conversation *c, const struct flow *flow)
{
	uint16_t host;

	if (c->link || c->services_known == r->services_count)
		return;
	c->services_known = (uint16_t)r->services_count;
	host = calls_caller_at(r->calls, flow->end[flow->client].address, c->service);
	if (host)
		c->link = calls_link(r->calls, host, &flow->close_ns, r->start_ns);
}

/* The way to both ends and back, as far as it is known. */
static int64_t both_ways(int64_t a, int64_t b)
{
	return a || b ? a + b : TRACE_NONE;
}

static int64_t time_of(const struct requests *r, int64_t ns)
{
	return ns ? ns - r->start_ns : TRACE_NONE;
}

static int64_t known_ns(int64_t ns)
{
	return ns ? ns : TRACE_NONE;
}

/* A side's round trips are those of what it sends: through the other end and back. */
static void put_wire(const struct flow *flow, struct row_wire *wire)
{
	const struct flow_side *in = &flow->side[flow->client], *out = &flow->side[!flow->client];

	if (flow->close_ns)
		put_text(wire->ended, sizeof(wire->ended), flow->reset ? "rst" : "fin");
	if (flow->shaken)
		wire->handshake_ns = flow->handshake_ns;
	wire->client_srtt_ns = known_ns(out->srtt_ns);
	wire->client_min_rtt_ns = known_ns(out->min_rtt_ns);
	wire->server_srtt_ns = known_ns(in->srtt_ns);
	wire->server_min_rtt_ns = known_ns(in->min_rtt_ns);
	wire->packets_in = in->packets;
	wire->packets_out = out->packets;
	wire->bytes_in = (int64_t)in->bytes;
	wire->bytes_out = (int64_t)out->bytes;
	if (flow->protocol != PACKET_TCP)
		return;
	wire->retransmitted_in = in->retransmitted;
	wire->retransmitted_out = out->retransmitted;
	wire->zero_windows_in = in->zero_windows;
	wire->zero_windows_out = out->zero_windows;
}

void rows_close(struct requests *r, struct conversation *c, const struct flow *flow)
{
	struct dependence verdict = dependence_judge(c->turns, c->turns_count);
	struct service_seen *service = &r->services[c->service];
	struct row_connection row = {
		.connection_id = c->connection_id,
		.service_id = service->row.service_id,
		.open_ns = time_of(r, flow->open_ns),
		.close_ns = time_of(r, flow->close_ns),
		.srtt_ns = both_ways(flow->side[0].srtt_ns, flow->side[1].srtt_ns),
		.min_rtt_ns = both_ways(flow->side[0].min_rtt_ns, flow->side[1].min_rtt_ns),
		.tls = c->encrypted,
		.requests = c->requests,
		.dependent = verdict.dependent,
		.confidence = verdict.confidence,
		.wire = ROW_WIRE_UNKNOWN,
	};

	service->row.tls |= c->encrypted;
	put_text(row.protocol, sizeof(row.protocol), c->protocol);
	put_text(row.peer_class, sizeof(row.peer_class), peer_class(&flow->end[flow->client]));
	format_end(&flow->end[!flow->client], row.local);
	format_end(&flow->end[flow->client], row.remote);
	put_text(row.transport, sizeof(row.transport),
		 flow->protocol == PACKET_TCP ? "tcp" : "udp");
	put_wire(flow, &row.wire);
	greeting_put(r, c, &row.wire);
	if (c->link)
		calls_unlink(r->calls, c->link, &row);
	rows_write(r, TABLE_CONNECTIONS, &row);
}

static struct row_class *find_class(struct requests *r, uint64_t service_id, const char *name)
{
	for (size_t i = 0; i < r->classes_count; i++)
		if (r->classes[i].service_id == service_id && !strcmp(r->classes[i].name, name))
			return &r->classes[i];
	return NULL;
}

static struct row_class *add_class(struct requests *r, uint64_t service_id, const char *name)
{
	struct row_class *class = &r->classes[r->classes_count++];

	class->class_id = r->classes_count;
	class->service_id = service_id;
	class->demand_ppm = UNDEMANDED_PPM;
	snprintf(class->name, sizeof(class->name), "%s", name);
	return class;
}

/* By the protocol's verb. Verbs without end, as a capture of noise has, are "other". */
uint64_t rows_class(struct requests *r, const struct conversation *c, const struct exchange *x)
{
	uint64_t service_id = r->services[c->service].row.service_id;
	const char *name = x->verb[0] ? x->verb : "requests";
	struct row_class *class = find_class(r, service_id, name);

	if (!class && r->classes_count >= PACKET_CLASSES_MAX - PACKET_SERVICES_MAX) {
		name = "other";
		class = find_class(r, service_id, name);
	}
	if (!class)
		class = add_class(r, service_id, name);
	class->requests++;
	return class->class_id;
}

int requests_finish(struct requests *r)
{
	int rc = calls_finish(r->calls);

	if (!r->failed)
		r->failed = rc;
	for (size_t i = 0; i < r->classes_count; i++)
		rows_write(r, TABLE_CLASSES, &r->classes[i]);
	for (size_t i = 0; i < r->services_count; i++)
		rows_write(r, TABLE_SERVICES, &r->services[i].row);
	return r->failed;
}
