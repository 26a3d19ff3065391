/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/schema.h"

const char *const op_kind_names[OP_KIND_COUNT] = {
	[OP_COMPUTE] = "compute",     [OP_KERNEL] = "kernel",	[OP_LOAD] = "load",
	[OP_STORE] = "store",	      [OP_SYNC] = "sync",	[OP_FORWARD] = "forward",
	[OP_SLEEP] = "sleep",	      [OP_LOCK] = "lock",	[OP_MEMORY] = "memory",
	[OP_HANDSHAKE] = "handshake", [OP_REPLY] = "reply",
};

/* in the order of their bits */
const char *const op_flag_names[OPF_COUNT] = {
	"direct", "sync", "dsync", "append", "cached", "shared", "sendfile", "open", "stat", "failed", "close",
};

const char *const target_kind_names[TARGET_KIND_COUNT] = {
	[TARGET_FILE] = "file",
	[TARGET_SERVICE] = "service",
};

const char *const outcome_names[OUTCOME_COUNT] = {
	[OUTCOME_OK] = "ok",
	[OUTCOME_TIMEOUT] = "timeout",
	[OUTCOME_ERROR] = "error",
	[OUTCOME_REFUSED] = "refused",
};

/*
 * A column is named as the member that holds it, and as wide. ROW is the
 * struct of the table being described.
 */
#define SIZE_OF(member) sizeof(((struct ROW *)0)->member)
#define COLUMN(column_type, member)                                                                \
	.name = #member, .type = (column_type), .offset = offsetof(struct ROW, member),            \
	.size = SIZE_OF(member)
#define ID(member) { COLUMN(COLUMN_ID, member) }
#define U64(member) { COLUMN(COLUMN_U64, member) }
#define I64(member) { COLUMN(COLUMN_I64, member) }
#define SUM(member) { COLUMN(COLUMN_SUM, member) }
#define BOOL(member) { COLUMN(COLUMN_BOOL, member) }
#define TEXT(member) { COLUMN(COLUMN_TEXT, member) }
#define ENUM(member, list, count)                                                                  \
	{ COLUMN(COLUMN_ENUM, member), .names = (list), .names_count = (count) }
#define FLAGS(member, list, count)                                                                 \
	{ COLUMN(COLUMN_FLAGS, member), .names = (list), .names_count = (count) }
/* of row_connection's `wire` */
#define WIRE_COLUMN(column_type, member)                                                           \
	{                                                                                          \
		.name = #member, .type = (column_type),                                            \
		.offset = offsetof(struct row_connection, wire.member),                            \
		.size = sizeof(((struct row_wire *)0)->member),                                    \
	}
#define WIRE(member) WIRE_COLUMN(COLUMN_I64, member)
#define WIRE_TEXT(member) WIRE_COLUMN(COLUMN_TEXT, member)
#define RUN_I64(member) { COLUMN(COLUMN_I64, member), .run_only = true }
#define RUN_ENUM(member, list, count)                                                              \
	{ COLUMN(COLUMN_ENUM, member), .run_only = true, .names = (list), .names_count = (count) }

#define ROW row_service
static const struct column services_columns[] = {
	ID(service_id), ID(host_id),	TEXT(name), TEXT(listen),
	U64(threads),	TEXT(io_model), U64(tls),
};
#undef ROW

#define ROW row_connection
static const struct column connections_columns[] = {
	ID(connection_id), ID(service_id), TEXT(peer_class), TEXT(protocol),
	I64(open_ns),	   I64(close_ns),  I64(srtt_ns),     I64(min_rtt_ns),
	U64(tls),	   U64(requests),  U64(outgoing),    U64(dependent),
	U64(confidence),   TEXT(local),	     TEXT(remote),	 TEXT(transport),
	WIRE_TEXT(ended),
	WIRE(handshake_ns),
	WIRE(client_srtt_ns),
	WIRE(client_min_rtt_ns),
	WIRE(server_srtt_ns),
	WIRE(server_min_rtt_ns),
	WIRE(packets_in),
	WIRE(packets_out),
	WIRE(bytes_in),
	WIRE(bytes_out),
	WIRE(retransmitted_in),
	WIRE(retransmitted_out),
	WIRE(zero_windows_in),
	WIRE(zero_windows_out),
	WIRE_TEXT(tls_version),
	WIRE_TEXT(tls_alpn),
	WIRE_TEXT(tls_offers),
	WIRE(tls_records_in),
	WIRE(tls_records_out),
	WIRE(tls_record_bytes_in),
	WIRE(tls_record_bytes_out),
	WIRE(tls_record_max_bytes_in),
	WIRE(tls_record_max_bytes_out),
};
#undef ROW

#define ROW row_class
static const struct column classes_columns[] = {
	ID(class_id),	 ID(service_id), TEXT(name),
	TEXT(signature), U64(requests),	 U64(demand_ppm),
};
#undef ROW

#define ROW row_request
static const struct column requests_columns[] = {
	ID(request_id),
	ID(parent_id),
	ID(class_id),
	ID(service_id),
	ID(connection_id),
	ID(thread_id),
	ID(after_request),
	I64(think_ns),
	U64(confidence),
	I64(arrival_ns),
	I64(request_end_ns),
	I64(read_ns),
	I64(write_ns),
	I64(end_ns),
	U64(request_bytes),
	U64(response_bytes),
	ID(request_plain_bytes), /* empty where nothing is encrypted */
	ID(response_plain_bytes),
	TEXT(label),
	TEXT(status),
	RUN_I64(intended_ns),
	RUN_I64(sent_ns),
	RUN_I64(received_ns),
	RUN_ENUM(outcome, outcome_names, OUTCOME_COUNT),
};
#undef ROW

#define ROW row_op
static const struct column ops_columns[] = {
	ID(op_id),
	ID(request_id),
	ID(after),
	BOOL(after_reply),
	ENUM(kind, op_kind_names, OP_KIND_COUNT),
	ID(service_id),
	ID(thread_id),
	I64(start_ns),
	U64(elapsed_ns),
	U64(cpu_ns),
	U64(work),
	U64(bytes),
	U64(reply_bytes),
	I64(offset),
	ID(target_id),
	ID(connection_id),
	FLAGS(flags, op_flag_names, OPF_COUNT),
};
#undef ROW

#define ROW row_op_request
static const struct column op_requests_columns[] = { ID(op_id), ID(request_id) };
#undef ROW

#define ROW row_target
static const struct column targets_columns[] = {
	ID(target_id),	 ENUM(kind, target_kind_names, TARGET_KIND_COUNT), ID(service_id),
	U64(file_bytes), TEXT(device_class),				   TEXT(name),
};
#undef ROW

#define ROW row_latency
static const struct column latency_columns[] = {
	ID(request_id),
	U64(service_id), /* 0 has a meaning here: TRACE_CLIENT_SERVICE */
	SUM(total_ns),
	SUM(unattributed_ns),
#define X(symbol, sub_name, column, text)                                                          \
	{                                                                                          \
		.name = column,                                                                    \
		.type = COLUMN_SUM,                                                                \
		.offset = offsetof(struct row_latency, ns) + SUB_##symbol * sizeof(int64_t),       \
		.size = sizeof(int64_t),                                                           \
	},
	SUBSYSTEM_LIST(X)
#undef X
};
#undef ROW

#define ROW row_total
static const struct column totals_columns[] = {
	ID(class_id),
	U64(service_id),
	U64(from_ns),
	U64(to_ns),
	U64(requests),
	SUM(total_ns),
	SUM(unattributed_ns),
#define X(symbol, sub_name, column, text)                                                          \
	{                                                                                          \
		.name = column,                                                                    \
		.type = COLUMN_SUM,                                                                \
		.offset = offsetof(struct row_total, ns) + SUB_##symbol * sizeof(int64_t),         \
		.size = sizeof(int64_t),                                                           \
	},
	SUBSYSTEM_LIST(X)
#undef X
};
#undef ROW

/* as reports call them, and what is in none */
static const char *const stretch_names[SUB_COUNT + 1] = {
#define X(symbol, sub_name, column, text) [SUB_##symbol] = sub_name,
	SUBSYSTEM_LIST(X)
#undef X
	[SUB_COUNT] = "unattributed",
};

#define ROW row_stretch
static const struct column timeline_columns[] = {
	ID(request_id), ID(service_id), ID(thread_id),
	I64(from_ns),	I64(until_ns),	ENUM(subsystem, stretch_names, SUB_COUNT + 1),
};
#undef ROW

#define MEMBERS(table_name, row)                                                                   \
	.name = #table_name, .row_size = sizeof(struct row), .columns = table_name##_columns,      \
	.columns_count = sizeof(table_name##_columns) / sizeof(struct column)
#define TABLE(table_name, row) { MEMBERS(table_name, row) }
#define OPTIONAL_TABLE(table_name, row) { MEMBERS(table_name, row), .optional = true }

const struct table tables[TABLE_COUNT] = {
	[TABLE_SERVICES] = TABLE(services, row_service),
	[TABLE_CONNECTIONS] = TABLE(connections, row_connection),
	[TABLE_CLASSES] = TABLE(classes, row_class),
	[TABLE_REQUESTS] = TABLE(requests, row_request),
	[TABLE_OPS] = TABLE(ops, row_op),
	[TABLE_OP_REQUESTS] = TABLE(op_requests, row_op_request),
	[TABLE_TARGETS] = TABLE(targets, row_target),
	[TABLE_LATENCY] = TABLE(latency, row_latency),
	[TABLE_TOTALS] = OPTIONAL_TABLE(totals, row_total),
	[TABLE_TIMELINE] = OPTIONAL_TABLE(timeline, row_stretch),
};
