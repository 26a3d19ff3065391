/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "report/cells.h"
#include "report/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOP 10

static const char *const way_names[2] = { "in", "out" };

static double per_second(const struct summary *s, uint64_t count)
{
	return summary_rate(s, count);
}

static void put_connections(const struct network *n, const struct summary *s, struct grid *grid)
{
	char texts[7][UNIT_TEXT_SIZE];

	if (n->tcp) {
		CELLS(grid, "TCP");
		grid_cell(
			grid,
			"%s connections: %s opened (%s), %s joined; %s closed by FIN, %s by RST, %s open at the end",
			unit_format_count(texts[0], UNIT_TEXT_SIZE, n->tcp),
			unit_format_count(texts[1], UNIT_TEXT_SIZE, n->opened),
			unit_format_rate(texts[2], UNIT_TEXT_SIZE, per_second(s, n->opened)),
			unit_format_count(texts[3], UNIT_TEXT_SIZE, n->joined),
			unit_format_count(texts[4], UNIT_TEXT_SIZE, n->fin),
			unit_format_count(texts[5], UNIT_TEXT_SIZE, n->rst),
			unit_format_count(texts[6], UNIT_TEXT_SIZE, n->open));
	}
	if (n->at_once) {
		CELLS(grid, "at once");
		grid_cell(grid, "%s at most",
			  unit_format_count(texts[0], UNIT_TEXT_SIZE, n->at_once));
	}
	if (n->udp) {
		CELLS(grid, "UDP");
		grid_cell(grid, "%s pairs of ends",
			  unit_format_count(texts[0], UNIT_TEXT_SIZE, n->udp));
	}
}

/* What the ledger has in detail, in one line: zeros are worth saying here. */
static void put_packets(const struct summary *s, struct grid *grid)
{
	static const enum ledger_entry entries[] = {
		LG_PACKETS_NOT_IP, LG_PACKETS_OTHER,	 LG_PACKETS_FRAGMENT,
		LG_PACKETS_CUT,	   LG_PACKETS_MALFORMED, LG_PACKETS_LINK_UNKNOWN,
	};
	const uint64_t *count = s->ledger.count;
	char texts[5][UNIT_TEXT_SIZE];
	uint64_t unparsed = 0;

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		unparsed += count[entries[i]];
	CELLS(grid, "packets");
	grid_cell(grid, "%s read, %s dropped by the kernel, %s not parsed; %s gaps of %s",
		  unit_format_count(texts[0], UNIT_TEXT_SIZE, count[LG_PACKETS]),
		  unit_format_count(texts[1], UNIT_TEXT_SIZE, count[LG_PACKETS_DROPPED]),
		  unit_format_count(texts[2], UNIT_TEXT_SIZE, unparsed),
		  unit_format_count(texts[3], UNIT_TEXT_SIZE, count[LG_STREAM_GAPS]),
		  unit_format_bytes(texts[4], UNIT_TEXT_SIZE, count[LG_STREAM_GAP_BYTES]));
}

static void put_head(const struct network *n, const struct summary *s, struct buf *out)
{
	struct grid grid;

	grid_init(&grid, "ll");
	put_connections(n, s, &grid);
	put_packets(s, &grid);
	grid_put_section(&grid, "network", out);
}

static void put_ways(const struct network *n, const struct summary *s, struct buf *out)
{
	char text[UNIT_TEXT_SIZE];
	struct grid grid;

	grid_init(&grid, "lrrrrrrr");
	CELLS(&grid, "", "packets", "rate", "payload", "rate", "retransmitted", "share",
	      "zero windows");
	for (int i = 0; i < 2; i++) {
		const struct network_way *way = &n->ways[i];

		CELLS(&grid, way_names[i]);
		cell_count(&grid, way->packets);
		cell_rate(&grid, per_second(s, way->packets));
		cell_bytes(&grid, way->bytes);
		grid_cell(&grid, "%s/s",
			  unit_format_bytes(text, sizeof(text),
					    (uint64_t)per_second(s, way->bytes)));
		cell_count(&grid, way->retransmitted);
		cell_share(&grid, (double)way->retransmitted, (double)way->packets);
		cell_count(&grid, way->zero_windows);
	}
	grid_put_section(&grid, "traffic (in: to the services)", out);
}

static void cell_percentiles(struct grid *grid, const struct hist *hist)
{
	cell_ns(grid, (int64_t)hist_value_at_percentile(hist, 50));
	cell_ns(grid, (int64_t)hist_value_at_percentile(hist, 90));
	cell_ns(grid, (int64_t)hist_value_at_percentile(hist, 99));
}

static void put_trips(const struct network *n, struct buf *out)
{
	struct grid grid;
	uint64_t all = 0;

	grid_init(&grid, "lrrrrrr");
	CELLS(&grid, "", "connections", "min", "p50", "p90", "p99", "max");
	for (int i = 0; i < TRIP_COUNT; i++) {
		const struct hist *hist = &n->trips[i];

		if (!hist_count(hist))
			continue;
		all += hist_count(hist);
		CELLS(&grid, network_trip_names[i]);
		cell_count(&grid, hist_count(hist));
		cell_ns(&grid, (int64_t)hist_min(hist));
		cell_percentiles(&grid, hist);
		cell_ns(&grid, (int64_t)hist_max(hist));
	}
	if (all)
		grid_put_section(&grid, "round trips from the place of the capture, by connection",
				 out);
	else
		grid_release(&grid);
}

static void put_records(const struct network *n, struct buf *out)
{
	struct grid grid;

	if (!n->ways[0].records && !n->ways[1].records)
		return;
	grid_init(&grid, "lrrr");
	CELLS(&grid, "records", "count", "mean size", "largest");
	for (int i = 0; i < 2; i++) {
		const struct network_way *way = &n->ways[i];

		CELLS(&grid, way_names[i]);
		cell_count(&grid, way->records);
		cell_bytes(&grid, way->records ? way->record_bytes / way->records : 0);
		cell_bytes(&grid, way->record_max_bytes);
	}
	grid_put(&grid, 2, out);
	grid_release(&grid);
}

static int by_connections(const void *a, const void *b)
{
	const struct network_tls *const *x = a, *const *y = b;

	if ((*x)->connections != (*y)->connections)
		return (*x)->connections < (*y)->connections ? 1 : -1;
	return *x < *y ? -1 : 1;
}

static const char *or_dash(const char *text)
{
	return text[0] ? text : "-";
}

/* TLS 1.3 hides what the service chose. */
static const char *chosen(const struct network_tls *tls)
{
	return strcmp(tls->version, "1.3") ? or_dash(tls->alpn) : "(hidden)";
}

static void put_tls(const struct network *n, struct buf *out)
{
	const struct network_tls *sorted[NETWORK_TLS_MAX];
	struct grid grid;

	if (!n->tls_count)
		return;
	for (size_t i = 0; i < n->tls_count; i++)
		sorted[i] = &n->tls[i];
	qsort(sorted, n->tls_count, sizeof(sorted[0]), by_connections);
	grid_init(&grid, "lllr");
	CELLS(&grid, "version", "ALPN", "offered", "connections");
	for (size_t i = 0; i < n->tls_count && i < TOP; i++) {
		CELLS(&grid, sorted[i]->version[0] ? sorted[i]->version : "unknown",
		      chosen(sorted[i]), or_dash(sorted[i]->offers));
		cell_count(&grid, sorted[i]->connections);
	}
	grid_put_section(&grid, "TLS", out);
	put_records(n, out);
}

static void put_client(const struct network_client *client, struct grid *grid)
{
	CELLS(grid, client->address);
	cell_count(grid, client->connections);
	cell_count(grid, client->requests);
	cell_bytes(grid, client->bytes);
	cell_count(grid, client->retransmitted);
}

static int by_bytes(const void *a, const void *b)
{
	const struct network_client *const *x = a, *const *y = b;

	if ((*x)->bytes != (*y)->bytes)
		return (*x)->bytes < (*y)->bytes ? 1 : -1;
	return *x < *y ? -1 : 1;
}

/* Those with the most bytes, unless they are the same that are listed already. */
static void put_clients_by_bytes(const struct network *n, struct buf *out)
{
	const struct network_client **sorted = calloc(n->clients_count, sizeof(*sorted));
	struct grid grid;
	bool others = false;

	if (!sorted)
		return;
	for (size_t i = 0; i < n->clients_count; i++)
		sorted[i] = &n->clients[i];
	qsort(sorted, n->clients_count, sizeof(*sorted), by_bytes);
	grid_init(&grid, "lrrrr");
	CELLS(&grid, "", "connections", "requests", "bytes", "retransmitted");
	for (size_t i = 0; i < n->clients_count && i < TOP; i++) {
		put_client(sorted[i], &grid);
		others |= sorted[i] >= n->clients + TOP;
	}
	if (others)
		grid_put_section(&grid, "clients with the most bytes", out);
	else
		grid_release(&grid);
	free(sorted);
}

static void put_clients(const struct network *n, struct buf *out)
{
	char title[96], count[UNIT_TEXT_SIZE];
	struct grid grid;

	if (!n->clients_count)
		return;
	grid_init(&grid, "lrrrr");
	CELLS(&grid, "", "connections", "requests", "bytes", "retransmitted");
	for (size_t i = 0; i < n->clients_count && i < TOP; i++)
		put_client(&n->clients[i], &grid);
	snprintf(title, sizeof(title), "clients with the most requests, of %s",
		 unit_format_count(count, sizeof(count), n->clients_count));
	grid_put_section(&grid, title, out);
	put_clients_by_bytes(n, out);
}

static int busier(const void *a, const void *b)
{
	const struct network_service *const *x = a, *const *y = b;

	if ((*x)->requests != (*y)->requests)
		return (*x)->requests < (*y)->requests ? 1 : -1;
	return *x < *y ? -1 : 1;
}

static void put_service(const struct network_service *s, struct grid *grid)
{
	const struct hist *const times[] = { &s->server, &s->response, &s->think };

	CELLS(grid, s->name[0] ? s->name : s->listen);
	cell_count(grid, s->connections);
	cell_count(grid, s->requests);
	cell_bytes(grid, s->bytes);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		cell_ns(grid, (int64_t)hist_value_at_percentile(times[i], 50));
		cell_ns(grid, (int64_t)hist_value_at_percentile(times[i], 99));
	}
}

/* Where the time of requests is, as far as packets tell. */
static void put_services(const struct network *n, struct buf *out)
{
	const struct network_service *sorted[NETWORK_SERVICES_MAX];
	struct grid grid;

	grid_init(&grid, "lrrrrrrrrr");
	CELLS(&grid, "", "connections", "requests", "bytes", "server p50", "p99", "response p50",
	      "p99", "think p50", "p99");
	for (size_t i = 0; i < n->services_count; i++)
		sorted[i] = &n->services[i];
	qsort(sorted, n->services_count, sizeof(sorted[0]), busier);
	for (size_t i = 0; i < n->services_count && i < TOP; i++)
		put_service(sorted[i], &grid);
	grid_put_section(&grid,
			 "services with the most requests (server: from the whole request to "
			 "the reply; response: its first to last byte; think: to the next request)",
			 out);
}

void network_put_text(const struct network *n, const struct summary *s, struct buf *out)
{
	put_head(n, s, out);
	put_ways(n, s, out);
	put_trips(n, out);
	put_tls(n, out);
	put_clients(n, out);
	put_services(n, out);
}
