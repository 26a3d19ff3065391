/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/breakdown.h"

#include "attribution/timeline.h"

#include <errno.h>
#include <string.h>

/* The stamps of a request's way and what lies before each of them. */
enum {
	WAY_SENT,
	WAY_TX,
	WAY_AGAIN,
	WAY_LEFT,
	WAY_ARRIVAL,
	WAY_END,
	WAY_CAME,
	WAY_BACK,
	WAY_RECEIVED,
	WAY_COUNT
};

static const enum subsystem way_rows[WAY_COUNT] = {
	[WAY_SENT] = SUB_CLIENT_LATE,	     [WAY_TX] = SUB_CLIENT_SEND,
	[WAY_AGAIN] = SUB_NET_RETRANSMIT,    [WAY_LEFT] = SUB_NET_QDISC,
	[WAY_ARRIVAL] = SUB_NET_WIRE,	     [WAY_END] = SUB_CALL,
	[WAY_CAME] = SUB_NET_WIRE,	     [WAY_BACK] = SUB_COUNT, /* nobody knows */
	[WAY_RECEIVED] = SUB_CLIENT_RECEIVE,
};

static int64_t within(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/*
 * What the socket had done last is told with the reply. After the request's arrival it was done for
 * another request, or for the rest of a long one, and says nothing of this one.
 */
static int64_t before_arrival(int64_t ns, const struct wire_row *row)
{
	return ns < row->arrival_ns ? ns : 0;
}

/* The end of the call is late when the bytes were there already. */
static int64_t transmitted_ns(const struct client_fact *fact, const struct wire_row *row)
{
	if (fact->tx_ns)
		return fact->tx_ns;
	return fact->sent_end_ns < row->arrival_ns ? fact->sent_end_ns : row->arrival_ns;
}

/* What the client stamped itself is certain; the end of a node that has no transmit stamp is late. */
static void cut_way(const struct client_fact *fact, const struct wire_row *row,
		    struct row_latency *latency)
{
	const int64_t way[WAY_COUNT] = {
		[WAY_SENT] = fact->sent_ns,
		[WAY_TX] = transmitted_ns(fact, row),
		[WAY_AGAIN] = before_arrival(fact->again_ns, row),
		[WAY_LEFT] = before_arrival(fact->left_ns, row),
		[WAY_ARRIVAL] = row->arrival_ns,
		[WAY_END] = row->end_ns < fact->arrival_ns ? row->end_ns : fact->arrival_ns,
		[WAY_CAME] = fact->came_ns ? fact->came_ns : fact->arrival_ns,
		[WAY_BACK] = fact->arrival_ns,
		[WAY_RECEIVED] = fact->received_ns,
	};
	int64_t at = fact->intended_ns;

	for (int i = 0; i < WAY_COUNT; i++) {
		int64_t next = within(way[i], at, fact->received_ns);

		if (way_rows[i] == SUB_COUNT)
			latency->unattributed_ns += next - at;
		else
			latency->ns[way_rows[i]] += next - at;
		at = next;
	}
}

/* Where on the round trip the node's time lies makes no difference to its length: at its begin. */
static void cut_round_trip(const struct client_fact *fact, const struct wire_row *row,
			   struct row_latency *latency)
{
	struct client_fact trip = *fact;
	int64_t tx_ns = fact->tx_ns ? fact->tx_ns : fact->sent_end_ns;
	struct wire_row there = { .arrival_ns = tx_ns, .end_ns = tx_ns + row->total_ns };

	trip.again_ns = trip.left_ns = 0;
	cut_way(&trip, &there, latency);
}

/* A part of what is left of the total. */
static void take(struct row_latency *latency, enum subsystem sub, int64_t ns)
{
	ns = within(ns, 0, latency->unattributed_ns);
	latency->ns[sub] += ns;
	latency->unattributed_ns -= ns;
}

static void take_durations(const struct client_fact *fact, const struct wire_row *row,
			   struct row_latency *latency)
{
	int64_t sent_end = fact->tx_ns ? fact->tx_ns : fact->sent_end_ns;

	latency->unattributed_ns = latency->total_ns;
	take(latency, SUB_CLIENT_LATE, fact->sent_ns - fact->intended_ns);
	if (row)
		take(latency, SUB_CALL, row->total_ns);
	if (fact->arrival_ns)
		take(latency, SUB_CLIENT_RECEIVE, fact->received_ns - fact->arrival_ns);
	take(latency, SUB_CLIENT_SEND, sent_end - fact->sent_ns);
}

void breakdown_client(const struct client_fact *fact, const struct wire_row *row, bool one_clock,
		      struct row_latency *ret_latency)
{
	bool stamped = row && row->arrival_ns && row->end_ns && fact->arrival_ns &&
		       (fact->tx_ns || fact->sent_end_ns);

	memset(ret_latency, 0, sizeof(*ret_latency));
	ret_latency->service_id = TRACE_CLIENT_SERVICE;
	ret_latency->total_ns = fact->received_ns - fact->intended_ns;
	if (stamped && one_clock)
		cut_way(fact, row, ret_latency);
	else if (stamped)
		cut_round_trip(fact, row, ret_latency);
	else
		take_durations(fact, row, ret_latency);
}

void breakdown_end_on_arrival(const struct client_fact *fact, struct wire_row *row)
{
	int64_t taken;

	if (row->tx_ns || !row->end_ns || !fact->arrival_ns || fact->arrival_ns >= row->end_ns ||
	    fact->arrival_ns < row->write_ns)
		return;
	taken = rows_take_end(row->ns, row->end_ns - fact->arrival_ns);
	row->end_ns -= taken;
	row->total_ns -= taken;
}

int breakdown_add(struct breakdown_summary *s, const struct client_fact *fact)
{
	int ret = 0;

	if (!fact->sent_ns)
		return 0;
	if (!s->first_sent_ns || fact->sent_ns < s->first_sent_ns)
		s->first_sent_ns = fact->sent_ns;
	if (!s->first_intended_ns || fact->intended_ns < s->first_intended_ns)
		s->first_intended_ns = fact->intended_ns;
	if (fact->sent_ns > s->last_sent_ns)
		s->last_sent_ns = fact->sent_ns;
	if (fact->intended_ns > s->last_intended_ns)
		s->last_intended_ns = fact->intended_ns;
	ret = hist_record(&s->late, (uint64_t)(fact->sent_ns - fact->intended_ns));
	if (!ret && fact->received_ns)
		ret = hist_record(&s->latency, (uint64_t)(fact->received_ns - fact->intended_ns));
	return ret;
}

/* The histogram gives the middle of a bucket: its width is less than 0.2% of the value. */
static int64_t band_from_ns(const struct hist *latency)
{
	double count = (double)hist_count(latency), band = count / 100;
	int64_t from;

	if (band < BREAKDOWN_BAND_MIN)
		band = count < BREAKDOWN_BAND_MIN ? count : BREAKDOWN_BAND_MIN;
	if (!count)
		return 0;
	from = (int64_t)hist_value_at_percentile(latency, 100 * (count - band + 1) / count);
	return from - from / 500;
}

void breakdown_band_begin(struct breakdown_summary *s)
{
	s->band_ns = band_from_ns(&s->latency);
}

void breakdown_band_add(struct breakdown_summary *s, const struct client_fact *fact)
{
	int64_t span = fact->received_ns - fact->intended_ns;

	if (!fact->received_ns || span < s->band_ns)
		return;
	s->band_late_ns += (double)(fact->sent_ns - fact->intended_ns);
	s->band_total_ns += (double)span;
	s->late_share = s->band_total_ns > 0 ? s->band_late_ns / s->band_total_ns : 0;
}

void breakdown_summary_release(struct breakdown_summary *summary)
{
	hist_release(&summary->late);
	hist_release(&summary->latency);
}
