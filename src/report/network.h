/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_NETWORK_H
#define GAIT_REPORT_NETWORK_H

#include "base/buf.h"
#include "base/hist.h"
#include "base/json.h"
#include "report/summary.h"

/*
 * What a trace of packets says of the network: connections and how they went, round trips on either
 * side of the place of the capture, what was sent twice, who talks to whom and how much, and where the time of
 * requests went as far as packets show it. One pass over connections.csv, one over requests.csv.
 */
#define NETWORK_SERVICES_MAX \
	257 /* one more than a trace of packets has; further ones are left out */
#define NETWORK_TLS_MAX 32
#define NETWORK_CLIENTS_MAX 65536 /* addresses; those of further ones are added up */
#define NETWORK_SPANS_MAX \
	(4 << 20) /* connections; of more it is not told how many were open at once */

/* In one direction: [0] to the services, [1] from them. */
struct network_way {
	uint64_t packets, bytes, retransmitted, zero_windows;
	uint64_t records, record_bytes, record_max_bytes; /* of TLS */
};

struct network_service {
	uint64_t service_id, connections, requests, bytes; /* of requests and replies */
	char name[32], listen[64];
	/* last byte of the request to first of the reply; first to last of that; reply to next request */
	struct hist server, response, think;
};

/* An address that connects, whatever its ports. */
struct network_client {
	char address[48]; /* "": a free place; of the last entry: all others */
	uint64_t connections, requests, bytes, retransmitted;
};

struct network_tls {
	char version[8], alpn[32], offers[32];
	uint64_t connections;
};

/* Of connections, one value each. */
enum network_trip {
	TRIP_HANDSHAKE,
	TRIP_CLIENT_MIN,
	TRIP_CLIENT,
	TRIP_SERVER_MIN,
	TRIP_SERVER,
	TRIP_COUNT
};

struct network {
	uint64_t tcp, udp;
	uint64_t opened, joined; /* of TCP: its begin was captured, or not */
	uint64_t fin, rst, open;
	uint64_t at_once; /* TCP connections, at most; 0: too many to tell */
	struct network_way ways[2];
	struct hist trips[TRIP_COUNT];
	struct network_tls tls[NETWORK_TLS_MAX]; /* kinds of connections */
	size_t tls_count;
	uint64_t tls_over; /* connections of further kinds */
	struct network_service services[NETWORK_SERVICES_MAX];
	size_t services_count;
	struct network_client
		*clients; /* NETWORK_CLIENTS_MAX places and one, sorted by requests, then bytes */
	size_t clients_count; /* the first so many are taken */
};

/* A malloc'd network; NULL without an error where no connection was captured as packets. */
int network_build(struct trace *t, struct network **ret_network, struct err *err);
/* Takes NULL. */
void network_free(struct network *n);

extern const char *const network_trip_names[TRIP_COUNT];

/* network_text.c: behind the text of the summary */
void network_put_text(const struct network *n, const struct summary *s, struct buf *out);
/* network_json.c: as member `network`. 0, or non-zero when memory ran out. */
int network_put_json(const struct network *n, const struct summary *s, struct json *root);

#endif
