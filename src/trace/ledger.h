/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_LEDGER_H
#define GAIT_TRACE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What was seen, lost, dropped, truncated, unpaired, doubtful, refused: counts
 * in every manifest and the first lines of every summary.
 * X(symbol, name, severity, text)
 */
/* clang-format off */
#define LEDGER_LIST(X)                                                                             \
	X(EVENTS, "events", SEEN, "kernel events read")                                            \
	X(REQUESTS, "requests", SEEN, "requests written")                                          \
	X(OPS, "ops", SEEN, "operations written")                                                  \
	X(CONNECTIONS, "connections", SEEN, "connections seen")                                    \
	X(REQUESTS_SUMMED, "requests_summed", SEEN, "requests in totals.csv, most of which have no row of their own (--keep)") \
	X(ROWS_GONE, "rows_gone", TRUNCATED, "slow requests that have no row of their own, as nodes had let go of it (--keep)") \
	X(CONNECTIONS_UNSAMPLED, "connections_unsampled", SEEN, "connections outside the sample (--sample)") \
	X(THREADS, "threads", SEEN, "threads followed")                                            \
	X(BACKGROUND_OPS, "background_ops", SEEN, "operations no request owns")                    \
	X(OPEN_AT_START, "open_at_start", TRUNCATED, "replies to requests that came before the start") \
	X(OPEN_AT_END, "open_at_end", TRUNCATED, "requests not answered when it ended")            \
	X(OPEN_AT_PAUSE, "open_at_pause", TRUNCATED, "requests under way when the probes were off (--measure-overhead)") \
	X(EVENTS_LOST, "events_lost", LOST, "events lost to a full ring buffer")                   \
	X(THREADS_OVER, "threads_over_limit", LOST, "threads beyond the limit")                    \
	X(SOCKETS_OVER, "sockets_over_limit", LOST, "sockets beyond the limit")                    \
	X(PROBE_MISSES, "probe_misses", LOST, "probe runs skipped by the kernel (recursion)")      \
	X(REPLIES_UNPAIRED, "replies_unpaired", UNPAIRED, "bytes sent before anything was read")   \
	X(ARRIVALS_UNKNOWN, "arrivals_unknown", DOUBTFUL, "requests whose arrival stamp was missing") \
	X(OPS_UNSEEN, "ops_unseen", DOUBTFUL, "calls that moved bytes in ways not followed yet (datagrams of UNIX sockets, multishot requests of io_uring...)") \
	X(TLS_OPAQUE, "tls_opaque", DOUBTFUL, "encrypted connections that were not seen into (packets; a library that is not followed): messages are those of the ciphertext") \
	X(CALLS_UNOWNED, "calls_unowned", DOUBTFUL, "calls to other services without a known request") \
	X(CALLS_AMBIGUOUS, "calls_ambiguous", DOUBTFUL, "calls that others may have made than the request that is most likely to have") \
	X(STAMP_MISSES, "stamp_misses", DOUBTFUL,                                                  \
	  "arrival or transmit stamps skipped by the kernel (recursion)")                          \
	X(TABLE_EDITED, "tables_edited", DOUBTFUL, "tables that differ from the manifest")         \
	X(ROWS_CUT, "rows_cut", TRUNCATED, "rows cut short at the end of a table")                 \
	X(TRACES_CUT, "traces_cut", TRUNCATED, "traces without a manifest that were merged")       \
	X(CALLS_JOINED, "calls_joined", SEEN, "calls joined with the requests that they became")   \
	X(CALLS_OUTSIDE, "calls_outside", TRUNCATED, "calls made while the called service was not captured") \
	X(CALLS_UNJOINED, "calls_unjoined", UNPAIRED, "calls to captured services that no request there matches") \
	X(REQUESTS_UNJOINED, "requests_unjoined", UNPAIRED, "requests of captured callers that no call there matches") \
	X(CONNECTIONS_REVERSED, "connections_reversed", DOUBTFUL, "connections to captured services that say they were accepted") \
	X(JOINS_DOUBTFUL, "joins_doubtful", DOUBTFUL, "calls joined although the two ends count other bytes") \
	X(SENT, "sent", SEEN, "requests sent")                                                     \
	X(ANSWERED, "answered", SEEN, "requests answered in full")                                 \
	X(TIMEOUTS, "timeouts", REFUSED, "requests without a reply in time")                       \
	X(ERRORS, "errors", REFUSED, "requests that failed")                                       \
	X(UNSENT, "unsent", TRUNCATED, "requests never sent (interrupted, or behind a failure)")   \
	X(TIMELINE_LOST, "timeline_lost", DOUBTFUL, "changes of state that timelines lack: they came faster than they were read") \
	X(TIMELINE_PLACED_NS, "timeline_placed_ns", SEEN, "ns of timelines of which the row is known, and not the place") \
	X(PLAN_OVERTAKEN, "plan_overtaken", LOST, "messages that came before their plan")          \
	X(OWN_COST_EXCESS_NS, "own_cost_excess_ns", DOUBTFUL, "ns of the node's own CPU that no recorded work covered") \
	X(SLOTS_UNREAD, "stamps_missing", DOUBTFUL, "requests without kernel stamps")              \
	X(CALLS_STUBBED, "calls_stubbed", DOUBTFUL, "calls to services that no node plays, left out") \
	X(CALLS_FAILED, "calls_failed", DOUBTFUL, "requests of which a call to another node failed") \
	X(CALLS_PADDED, "calls_padded", DOUBTFUL, "messages between nodes that were raised to the 24 bytes of their header") \
	X(MESSAGES_BAD, "messages_bad", DOUBTFUL, "data connections that a node closed for what came on them") \
	X(REPLIES_LATE, "replies_late", SEEN, "replies that came when their request was over") \
	X(MESSAGES_RAISED, "messages_raised", DOUBTFUL, "messages made larger, to hold the header that a datagram needs") \
	X(DATAGRAMS_REFUSED, "datagrams_refused", REFUSED, "datagrams that a node dropped unanswered: no token, or nothing that was asked for") \
	X(DATAGRAMS_DROPPED, "datagrams_dropped", REFUSED, "datagrams that came when the node's socket was full, whoever sent them") \
	X(DATAGRAMS_UNSENT, "datagrams_unsent", DOUBTFUL, "replies and calls in datagrams that the node's network did not take") \
	X(PEERS_FORGOTTEN, "peers_forgotten", SEEN, "senders of datagrams that a node forgot: silent for long, or more than it keeps") \
	X(OPS_SKIPPED, "ops_skipped", DOUBTFUL, "operations this version does not replay")         \
	X(OPS_ROUNDED, "ops_rounded", DOUBTFUL, "loads and stores rounded to what O_DIRECT takes of the device") \
	X(PACKETS, "packets", SEEN, "packets read")                                                \
	X(PACKETS_IGNORED, "packets_ignored", SEEN, "packets of connections that were not asked for") \
	X(PACKETS_NOT_IP, "packets_not_ip", SEEN, "packets that are not IP")                       \
	X(PACKETS_OTHER, "packets_not_tcp_udp", SEEN, "packets that are neither TCP nor UDP")      \
	X(PACKETS_FRAGMENT, "packets_fragment", DOUBTFUL, "fragments of IP packets, which are not put together") \
	X(PACKETS_CUT, "packets_cut", DOUBTFUL, "packets whose headers were cut by the capture (snaplen)") \
	X(PACKETS_MALFORMED, "packets_malformed", DOUBTFUL, "packets whose lengths contradict each other") \
	X(PACKETS_LINK_UNKNOWN, "packets_link_unknown", DOUBTFUL, "packets of a link type that gait does not know") \
	X(PACKETS_DUPLICATE, "packets_duplicate", SEEN, "packets that were captured twice")        \
	X(PACKETS_RETRANSMITTED, "packets_retransmitted", SEEN, "packets whose bytes had been seen before") \
	X(PACKETS_REORDERED, "packets_reordered", SEEN, "packets that were captured before their turn") \
	X(PACKETS_STRAY, "packets_stray", SEEN, "packets without bytes, of connections that are gone") \
	X(PACKETS_ASTRAY, "packets_astray", DOUBTFUL, "packets far outside of their connection's window") \
	X(PACKETS_DROPPED, "packets_dropped", LOST, "packets that the kernel dropped before they were captured") \
	X(PACKETS_DROPPED_DEVICE, "packets_dropped_interface", DOUBTFUL, "packets that the interface dropped, whosesoever they were") \
	X(STREAM_GAPS, "stream_gaps", LOST, "gaps in connections: bytes that were acknowledged, and not captured") \
	X(STREAM_GAP_BYTES, "stream_gap_bytes", DOUBTFUL, "bytes in those gaps")                   \
	X(REQUESTS_GAPPED, "requests_gapped", DOUBTFUL, "requests with such a gap in them or in their reply") \
	X(REQUESTS_UNANSWERED, "requests_unanswered", UNPAIRED, "requests without a reply when their connection closed") \
	X(CONNECTIONS_JOINED, "connections_joined", TRUNCATED, "connections whose begin was not captured") \
	X(CONNECTIONS_EVICTED, "connections_evicted", LOST, "connections given up while they went on, for others") \
	X(SERVICES_OVER, "services_over_limit", LOST, "connections to services beyond the limit")  \
	X(CLOCK_STEPS, "clock_steps", DOUBTFUL, "stamps that stepped back by more than a second")  \
	X(CAPTURES_CUT, "captures_cut", TRUNCATED, "capture files that end within a packet")
/* clang-format on */

enum ledger_severity {
	LEDGER_SEEN,      /* a plain count */
	LEDGER_TRUNCATED, /* cut at the edges; expected */
	LEDGER_UNPAIRED,
	LEDGER_DOUBTFUL,
	LEDGER_REFUSED,
	LEDGER_LOST, /* makes the result not to be trusted (exit 3) */
};

enum ledger_entry {
#define X(symbol, name, severity, text) LG_##symbol,
	LEDGER_LIST(X)
#undef X
	LG_COUNT
};

struct ledger_info {
	const char *name;
	enum ledger_severity severity;
	const char *text;
};

struct ledger {
	uint64_t count[LG_COUNT];
};

extern const struct ledger_info ledger_infos[LG_COUNT];

/* True when an entry of severity LEDGER_LOST is not 0. */
bool ledger_has_loss(const struct ledger *ledger);

void ledger_merge(struct ledger *into, const struct ledger *from);

#endif
