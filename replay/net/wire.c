/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/wire.h"

#include "replay/attribution.h"
#include "trace/totals.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/*
 * A record's layout: its members in order, each an integer or an array of them.
 * Encoder, decoder and range checks all work from it.
 */
struct field {
	uint16_t offset; /* in the struct */
	uint16_t count;	 /* elements */
	uint8_t width;	 /* bytes of an element */
	bool text;	 /* must end with '\0' */
	uint64_t min, max;
};

struct layout {
	const struct field *fields;
	size_t count;
};

#define MEMBER(s, m) (((s *)0)->m)
#define RANGE(s, m, low, high)                                            \
	{                                                                 \
		offsetof(s, m), 1, sizeof(MEMBER(s, m)), false, low, high \
	}
#define NUMBER(s, m) RANGE(s, m, 0, UINT64_MAX)
#define NUMBERS(s, m)                                                                        \
	{                                                                                    \
		offsetof(s, m), ARRAY_SIZE(MEMBER(s, m)), sizeof(MEMBER(s, m)[0]), false, 0, \
			UINT64_MAX                                                           \
	}
#define TEXT(s, m)                                                           \
	{                                                                    \
		offsetof(s, m), sizeof(MEMBER(s, m)), 1, true, 0, UINT64_MAX \
	}

#define TIME_MAX_NS (1ull << 61) /* 73 years: two of them still add up */

static const struct field hello_fields[] = {
	RANGE(struct wire_hello, magic, WIRE_MAGIC, WIRE_MAGIC),
	NUMBER(struct wire_hello, version),
	NUMBER(struct wire_hello, host.host_id),
	TEXT(struct wire_hello, host.name),
	TEXT(struct wire_hello, host.boot_id),
	TEXT(struct wire_hello, host.kernel),
	TEXT(struct wire_hello, host.cpu_model),
	NUMBER(struct wire_hello, host.cpus),
	NUMBER(struct wire_hello, host.memory_bytes),
	TEXT(struct wire_hello, host.clock_source),
	TEXT(struct wire_hello, host.mitigations),
	TEXT(struct wire_hello, host.cgroup_cpu_quota),
	NUMBER(struct wire_hello, host.realtime_offset_start_ns),
	NUMBER(struct wire_hello, host.realtime_offset_end_ns),
	NUMBER(struct wire_hello, work_per_ms),
	RANGE(struct wire_hello, attribution, 0, ATTRIBUTION_COUNT - 1),
	RANGE(struct wire_hello, data_port, 0, UINT16_MAX),
	NUMBER(struct wire_hello, requests_ahead_max),
	NUMBER(struct wire_hello, ops_ahead_max),
	NUMBERS(struct wire_hello, secret),
};

static const struct field service_fields[] = {
	NUMBER(struct wire_service, service_id),
	RANGE(struct wire_service, threads, 1, WIRE_THREADS_MAX),
	RANGE(struct wire_service, batching, 0, PLAN_BATCHING_RECORDED),
	RANGE(struct wire_service, call_timeout_ns, 0, TIME_MAX_NS),
	RANGE(struct wire_service, peers, 0, WIRE_PEERS_MAX),
	RANGE(struct wire_service, timelines, 0, 1),
};

static const struct field target_fields[] = {
	RANGE(struct wire_target, target_id, 1, UINT64_MAX),
	RANGE(struct wire_target, file_bytes, 0, INT64_MAX),
};

static const struct field connection_fields[] = {
	RANGE(struct wire_connection, connection_id, 1, UINT64_MAX),
	RANGE(struct wire_connection, thread, 0, WIRE_THREADS_MAX - 1),
	RANGE(struct wire_connection, dependent, 0, 1),
	NUMBER(struct wire_connection, requests),
};

static const struct field request_fields[] = {
	NUMBER(struct plan_request, request_id),
	RANGE(struct plan_request, connection_id, 1, UINT64_MAX),
	RANGE(struct plan_request, request_bytes, 1, WIRE_MESSAGE_MAX),
	RANGE(struct plan_request, response_bytes, 0, WIRE_MESSAGE_MAX),
	NUMBER(struct plan_request, due_ns),
	NUMBER(struct plan_request, after_request),
	NUMBER(struct plan_request, think_ns),
	NUMBER(struct plan_request, parent_id),
	NUMBER(struct plan_request, root_id),
	RANGE(struct plan_request, class, 0, WIRE_CLASSES_MAX - 1),
	RANGE(struct plan_request, ops_count, 0, WIRE_OPS_MAX),
};

#define OP_FIELDS(s, op)                                                                     \
	NUMBER(s, op op_id), RANGE(s, op kind, 0, OP_KIND_COUNT - 1),                        \
		RANGE(s, op flags, 0, (1 << OPF_COUNT) - 1),                                 \
		RANGE(s, op mode, 0, PLAN_AFTER_REPLY), NUMBER(s, op owners),                \
		RANGE(s, op work, 0, TIME_MAX_NS), RANGE(s, op bytes, 0, WIRE_OP_BYTES_MAX), \
		RANGE(s, op reply_bytes, 0, WIRE_OP_BYTES_MAX), NUMBER(s, op offset),        \
		NUMBER(s, op target_id)

static const struct field op_fields[] = { OP_FIELDS(struct plan_op, ) };

static const struct field background_fields[] = {
	RANGE(struct plan_background, due_ns, 0, TIME_MAX_NS),
	NUMBER(struct plan_background, thread),
	OP_FIELDS(struct plan_background, op.),
};

static const struct field start_fields[] = {
	RANGE(struct wire_start, relative, 0, 1),
	RANGE(struct wire_start, reserved, 0, 0),
	RANGE(struct wire_start, anchor_ns, 0, TIME_MAX_NS),
};

static const struct field credit_fields[] = {
	NUMBER(struct wire_credit, requests),
	NUMBER(struct wire_credit, ops),
};

static const struct field row_fields[] = {
	NUMBER(struct wire_row, request_id),
	NUMBER(struct wire_row, connection_id),
	NUMBER(struct wire_row, arrival_ns),
	NUMBER(struct wire_row, read_ns),
	NUMBER(struct wire_row, write_ns),
	NUMBER(struct wire_row, end_ns),
	NUMBER(struct wire_row, tx_ns),
	NUMBER(struct wire_row, request_bytes),
	NUMBER(struct wire_row, response_bytes),
	NUMBER(struct wire_row, status),
	NUMBER(struct wire_row, thread),
	NUMBER(struct wire_row, total_ns),
	NUMBER(struct wire_row, unattributed_ns),
	NUMBERS(struct wire_row, ns),
	NUMBER(struct wire_row, root_id),
	RANGE(struct wire_row, class, 0, WIRE_CLASSES_MAX - 1),
	NUMBER(struct wire_row, call),
};

static const struct field oprow_fields[] = {
	NUMBER(struct wire_oprow, call_id),
	NUMBER(struct wire_oprow, op_id),
	NUMBER(struct wire_oprow, request_id),
	RANGE(struct wire_oprow, kind, 0, OP_KIND_COUNT - 1),
	RANGE(struct wire_oprow, flags, 0, (1 << OPF_COUNT) - 1),
	RANGE(struct wire_oprow, after_reply, 0, 1),
	NUMBER(struct wire_oprow, status),
	NUMBER(struct wire_oprow, start_ns),
	NUMBER(struct wire_oprow, elapsed_ns),
	NUMBER(struct wire_oprow, cpu_ns),
	NUMBER(struct wire_oprow, work),
	NUMBER(struct wire_oprow, bytes),
	NUMBER(struct wire_oprow, reply_bytes),
	NUMBER(struct wire_oprow, offset),
	NUMBER(struct wire_oprow, target_id),
	NUMBER(struct wire_oprow, root_id),
	NUMBER(struct wire_oprow, call),
	RANGE(struct wire_oprow, reserved, 0, 0),
};

static const struct field ledger_fields[] = {
	TEXT(struct wire_ledger, name),
	NUMBER(struct wire_ledger, count),
};

static const struct field usage_fields[] = {
	NUMBER(struct wire_usage, anchor_ns),	       NUMBER(struct wire_usage, user_ns),
	NUMBER(struct wire_usage, kernel_ns),	       NUMBER(struct wire_usage, control_ns),
	NUMBER(struct wire_usage, own_ns_per_request), NUMBER(struct wire_usage, refused),
};

static const struct field error_fields[] = {
	TEXT(struct wire_error, text),
};

static const struct field walk_fields[] = {
	NUMBER(struct wire_walk, seed),
	RANGE(struct wire_walk, text_bytes, 1, WIRE_CHAIN_MAX),
	RANGE(struct wire_walk, rows, 0, 2),
};

static const struct field peer_fields[] = {
	NUMBER(struct wire_peer, index),
	RANGE(struct wire_peer, thread, 0, WIRE_THREADS_MAX - 1),
	TEXT(struct wire_peer, address),
	NUMBERS(struct wire_peer, secret),
};

static const struct field clock_fields[] = {
	RANGE(struct wire_clock, asked_ns, 0, TIME_MAX_NS),
	RANGE(struct wire_clock, told_ns, 0, TIME_MAX_NS),
};

static const struct field sender_fields[] = {
	NUMBER(struct wire_sender, seed),
	RANGE(struct wire_sender, requests, 0, 1ull << 48),
	RANGE(struct wire_sender, sessions, 1, 1ull << 32),
	RANGE(struct wire_sender, threads, 1, WIRE_WALK_THREADS_MAX),
	RANGE(struct wire_sender, first, 0, WIRE_WALK_THREADS_MAX - 1),
	RANGE(struct wire_sender, step, 1, WIRE_WALK_THREADS_MAX),
	NUMBER(struct wire_sender, beside),
	RANGE(struct wire_sender, rate_step_ns, 0, TIME_MAX_NS),
	RANGE(struct wire_sender, timeout_ns, 1, TIME_MAX_NS),
	RANGE(struct wire_sender, connect_retry_ns, 0, TIME_MAX_NS),
	NUMBER(struct wire_sender, connect_retries),
	RANGE(struct wire_sender, flags, 0, WIRE_SENDER_FLAGS - 1),
	RANGE(struct wire_sender, size_bytes, 1, WIRE_SPEC_MAX),
	RANGE(struct wire_sender, pace_bytes, 1, WIRE_SPEC_MAX),
	RANGE(struct wire_sender, chain_bytes, 0, WIRE_CHAIN_MAX),
	RANGE(struct wire_sender, classes, 0, WIRE_CLASSES_MAX),
	TEXT(struct wire_sender, address),
	NUMBERS(struct wire_sender, secret),
};

static const struct field class_fields[] = {
	TEXT(struct wire_class, name),
	NUMBER(struct wire_class, at),
	NUMBER(struct wire_class, end),
	RANGE(struct wire_class, size_bytes, 0, WIRE_SPEC_MAX),
	RANGE(struct wire_class, reserved, 0, 0),
};

static const struct field live_fields[] = {
	NUMBER(struct wire_live, sent),
	NUMBER(struct wire_live, answered),
	NUMBER(struct wire_live, failed),
	NUMBER(struct wire_live, late_p99_ns),
};

static const struct field sent_fields[] = {
	NUMBER(struct wire_sent, request),
	NUMBER(struct wire_sent, thread),
	NUMBER(struct wire_sent, session),
	NUMBER(struct wire_sent, due_ns),
	NUMBER(struct wire_sent, sent_ns),
	NUMBER(struct wire_sent, received_ns),
	NUMBER(struct wire_sent, request_bytes),
	NUMBER(struct wire_sent, response_bytes),
	RANGE(struct wire_sent, outcome, 0, WIRE_OUTCOMES - 1),
	RANGE(struct wire_sent, reserved, 0, 0),
};

static const struct field share_fields[] = {
	RANGE(struct wire_share, thread, 0, WIRE_WALK_THREADS_MAX - 1),
	RANGE(struct wire_share, reserved, 0, 0),
	NUMBER(struct wire_share, answered),
	NUMBER(struct wire_share, failed),
};

static const struct field tally_fields[] = {
	NUMBER(struct wire_tally, sent),	NUMBERS(struct wire_tally, outcomes),
	NUMBER(struct wire_tally, bytes_out),	NUMBER(struct wire_tally, bytes_in),
	NUMBER(struct wire_tally, raised),	NUMBER(struct wire_tally, replies_late),
	NUMBER(struct wire_tally, rows_waited), NUMBER(struct wire_tally, ended_ns),
	TEXT(struct wire_tally, failure),
};

static const struct field hist_fields[] = {
	RANGE(struct wire_hist, which, 0, WIRE_HISTS - 1),
	RANGE(struct wire_hist, reserved, 0, 0),
	NUMBER(struct wire_hist, count),
	NUMBER(struct wire_hist, min),
	NUMBER(struct wire_hist, max),
	NUMBER(struct wire_hist, sum),
};

static const struct field buckets_fields[] = {
	RANGE(struct wire_buckets, which, 0, WIRE_HISTS - 1),
	RANGE(struct wire_buckets, block, 0, WIRE_BLOCKS - 1),
	NUMBERS(struct wire_buckets, counts),
};

static const struct field load_fields[] = {
	RANGE(struct wire_load, routes, 1, WIRE_ROUTES_MAX),
	RANGE(struct wire_load, connections, 0, WIRE_LOAD_CONNECTIONS_MAX),
	RANGE(struct wire_load, requests, 0, WIRE_LOAD_REQUESTS_MAX),
	RANGE(struct wire_load, timeout_ns, 1, TIME_MAX_NS),
	RANGE(struct wire_load, spins, 0, 1),
	NUMBER(struct wire_load, beside),
};

static const struct field route_fields[] = {
	NUMBER(struct wire_route, service_id),
	TEXT(struct wire_route, address),
	NUMBERS(struct wire_route, secret),
};

static const struct field opening_fields[] = {
	RANGE(struct wire_opening, connection_id, 1, UINT64_MAX),
	NUMBER(struct wire_opening, service_id),
	RANGE(struct wire_opening, first_due_ns, 0, TIME_MAX_NS),
	NUMBER(struct wire_opening, requests),
};

#define PAST(s, m) RANGE(s, m, 0, TIME_MAX_NS)

static const struct field fact_fields[] = {
	PAST(struct wire_fact, intended_ns),
	PAST(struct wire_fact, sent_ns),
	PAST(struct wire_fact, tx_ns),
	PAST(struct wire_fact, again_ns),
	PAST(struct wire_fact, left_ns),
	PAST(struct wire_fact, sent_end_ns),
	PAST(struct wire_fact, arrival_ns),
	PAST(struct wire_fact, received_ns),
	NUMBER(struct wire_fact, request),
	NUMBER(struct wire_fact, order),
	RANGE(struct wire_fact, outcome, 0, OUTCOME_COUNT - 1),
	RANGE(struct wire_fact, reserved, 0, 0),
};

static const struct field keep_fields[] = {
	NUMBER(struct wire_keep, share),
	RANGE(struct wire_keep, classes, 0, WIRE_CLASSES_MAX),
	RANGE(struct wire_keep, reserved, 0, 0),
};

static const struct field slow_fields[] = {
	RANGE(struct wire_slow, count, 0, WIRE_SLOW_MAX),
	RANGE(struct wire_slow, reserved, 0, 0),
	NUMBERS(struct wire_slow, requests),
};

static const struct field total_fields[] = {
	RANGE(struct wire_total, class, 0, WIRE_CLASSES_MAX - 1),
	RANGE(struct wire_total, bin, 0, TOTALS_BINS - 1),
	NUMBER(struct wire_total, requests),
	NUMBER(struct wire_total, total_ns),
	NUMBER(struct wire_total, unattributed_ns),
	NUMBERS(struct wire_total, ns),
};

static const struct field stretch_fields[] = {
	NUMBER(struct wire_stretch, root_id),
	NUMBER(struct wire_stretch, request_id),
	PAST(struct wire_stretch, from_ns),
	PAST(struct wire_stretch, until_ns),
	RANGE(struct wire_stretch, row, 0, SUB_COUNT),
	RANGE(struct wire_stretch, thread, 0, UINT16_MAX),
	NUMBER(struct wire_stretch, call),
	RANGE(struct wire_stretch, reserved, 0, 0),
};

static const struct layout op_layout = { op_fields, ARRAY_SIZE(op_fields) };

static const struct layout layouts[WIRE_TYPE_COUNT] = {
#define X(TYPE, name, record) [WIRE_##TYPE] = { name##_fields, ARRAY_SIZE(name##_fields) },
	WIRE_RECORD_LIST(X)
#undef X
		[WIRE_PLAN] = { request_fields, ARRAY_SIZE(request_fields) },
};

static const char *const type_names[WIRE_TYPE_COUNT] = {
#define X(TYPE, name, record) [WIRE_##TYPE] = #TYPE,
	WIRE_RECORD_LIST(X)
#undef X
		[WIRE_PLAN] = "PLAN",
	[WIRE_LAYOUT] = "LAYOUT",
	[WIRE_PLAN_END] = "PLAN_END",
	[WIRE_READY] = "READY",
	[WIRE_STOP] = "STOP",
	[WIRE_BYE] = "BYE",
	[WIRE_TEXT] = "TEXT",
};

const char *wire_type_name(enum wire_type type)
{
	bool known = (unsigned)type < WIRE_TYPE_COUNT && type_names[type];

	return known ? type_names[type] : "unknown";
}

static uint8_t *put_number(uint8_t *at, uint64_t value, size_t width)
{
	value = htobe64(value << (64 - 8 * width));
	memcpy(at, &value, width);
	return at + width;
}

static uint64_t get_number(const uint8_t *at, size_t width)
{
	uint64_t value = 0;

	memcpy(&value, at, width);
	return be64toh(value) >> (64 - 8 * width);
}

/* Between a struct and the wire, either way: integers have 8 or 4 bytes. */
static void copy_field(uint8_t *to, const uint8_t *from, const struct field *f)
{
	size_t bytes = (size_t)f->count * f->width;
	uint64_t u64;
	uint32_t u32;

	if (f->width == 1) {
		memcpy(to, from, bytes);
		return;
	}
	for (size_t i = 0; i < bytes; i += f->width) {
		if (f->width == sizeof(u64)) {
			memcpy(&u64, from + i, sizeof(u64));
			u64 = htobe64(u64);
			memcpy(to + i, &u64, sizeof(u64));
		} else {
			memcpy(&u32, from + i, sizeof(u32));
			u32 = htobe32(u32);
			memcpy(to + i, &u32, sizeof(u32));
		}
	}
}

static size_t layout_bytes(const struct layout *layout)
{
	size_t bytes = 0;

	for (size_t i = 0; i < layout->count; i++)
		bytes += (size_t)layout->fields[i].count * layout->fields[i].width;
	return bytes;
}

static uint8_t *put_record(uint8_t *at, const struct layout *layout, const void *record)
{
	for (size_t i = 0; i < layout->count; i++) {
		const struct field *f = &layout->fields[i];

		copy_field(at, (const uint8_t *)record + f->offset, f);
		at += (size_t)f->count * f->width;
	}
	return at;
}

static bool in_range(const uint8_t *at, const struct field *f)
{
	uint64_t value;

	if (f->text)
		return !at[f->count - 1];
	if (f->count > 1) /* arrays take any value */
		return true;
	value = get_number(at, f->width);
	return value >= f->min && value <= f->max;
}

/* `at` holds layout_bytes() bytes. */
static int get_record(const uint8_t *at, const struct layout *layout, void *ret_record,
		      enum wire_type type, struct err *err)
{
	for (size_t i = 0; i < layout->count; i++) {
		const struct field *f = &layout->fields[i];

		if (!in_range(at, f))
			return err_set(err, EPROTO, "field %zu of a %s message is out of range", i,
				       wire_type_name(type));
		copy_field((uint8_t *)ret_record + f->offset, at, f);
		at += (size_t)f->count * f->width;
	}
	return 0;
}

/* Room for a frame's payload, its head already written; NULL: see buf_failed(). */
static uint8_t *frame_begin(struct buf *out, enum wire_type type, size_t payload_bytes)
{
	uint8_t *at;

	if (buf_reserve(out, WIRE_HEAD_BYTES + payload_bytes))
		return NULL;
	at = (uint8_t *)out->data + out->len;
	out->len += WIRE_HEAD_BYTES + payload_bytes;
	out->data[out->len] = '\0';
	at = put_number(at, payload_bytes, 4);
	at = put_number(at, type, 2);
	return put_number(at, 0, 2);
}

static int put_message(struct buf *out, enum wire_type type, const void *message)
{
	uint8_t *at = frame_begin(out, type, layout_bytes(&layouts[type]));

	if (at)
		put_record(at, &layouts[type], message);
	return buf_failed(out);
}

static int frame_check(const struct wire_frame *frame, enum wire_type type, size_t payload_bytes,
		       struct err *err)
{
	if (frame->type != type)
		return err_set(err, EPROTO, "a %s message where %s was due",
			       wire_type_name(frame->type), wire_type_name(type));
	if (frame->payload_bytes != payload_bytes)
		return err_set(err, EPROTO, "a %s message of %zu bytes instead of %zu",
			       wire_type_name(type), frame->payload_bytes, payload_bytes);
	return 0;
}

static int get_message(const struct wire_frame *frame, enum wire_type type, void *message,
		       struct err *err)
{
	int rc = frame_check(frame, type, layout_bytes(&layouts[type]), err);

	return rc ? rc : get_record(frame->payload, &layouts[type], message, type, err);
}

#define X(TYPE, name, record)                                                                     \
	int wire_put_##name(struct buf *out, const record *message)                               \
	{                                                                                         \
		return put_message(out, WIRE_##TYPE, message);                                    \
	}                                                                                         \
	int wire_get_##name(const struct wire_frame *frame, record *ret_message, struct err *err) \
	{                                                                                         \
		record message = { 0 };                                                           \
		int rc = get_message(frame, WIRE_##TYPE, &message, err);                          \
                                                                                                  \
		if (!rc)                                                                          \
			*ret_message = message;                                                   \
		return rc;                                                                        \
	}
WIRE_RECORD_LIST(X)
#undef X

int wire_put_empty(struct buf *out, enum wire_type type)
{
	frame_begin(out, type, 0);
	return buf_failed(out);
}

int wire_put_plan(struct buf *out, const struct plan_request *request, const struct plan_op *ops)
{
	size_t op_bytes = layout_bytes(&op_layout);
	uint8_t *at = frame_begin(
		out, WIRE_PLAN, layout_bytes(&layouts[WIRE_PLAN]) + request->ops_count * op_bytes);

	if (!at)
		return buf_failed(out);
	at = put_record(at, &layouts[WIRE_PLAN], request);
	for (size_t i = 0; i < request->ops_count; i++)
		at = put_record(at, &op_layout, &ops[i]);
	return buf_failed(out);
}

int wire_get_plan(const struct wire_frame *frame, struct plan_request *ret_request,
		  struct plan_op *ret_ops, size_t ops_max, struct err *err)
{
	size_t head_bytes = layout_bytes(&layouts[WIRE_PLAN]), op_bytes = layout_bytes(&op_layout);
	struct plan_request request = { 0 };
	int rc;

	if (frame->type != WIRE_PLAN || frame->payload_bytes < head_bytes)
		return frame_check(frame, WIRE_PLAN, head_bytes, err);
	rc = get_record(frame->payload, &layouts[WIRE_PLAN], &request, WIRE_PLAN, err);
	if (!rc)
		rc = frame_check(frame, WIRE_PLAN, head_bytes + request.ops_count * op_bytes, err);
	if (!rc && request.ops_count > ops_max)
		rc = err_set(err, E2BIG, "request %llu has %u ops, more than %zu",
			     (unsigned long long)request.request_id, request.ops_count, ops_max);
	for (size_t i = 0; !rc && i < request.ops_count; i++)
		rc = get_record(frame->payload + head_bytes + i * op_bytes, &op_layout, &ret_ops[i],
				WIRE_PLAN, err);
	if (!rc)
		*ret_request = request;
	return rc;
}

int wire_put_text(struct buf *out, const char *text, size_t len)
{
	while (len) {
		size_t part = len < WIRE_PAYLOAD_MAX ? len : WIRE_PAYLOAD_MAX;
		uint8_t *at = frame_begin(out, WIRE_TEXT, part);

		if (!at)
			break;
		memcpy(at, text, part);
		text += part;
		len -= part;
	}
	return buf_failed(out);
}

void wire_message_encode(const struct wire_message *message, uint8_t ret_bytes[WIRE_MESSAGE_BYTES])
{
	uint32_t word[2] = { htobe32(message->size),
			     htobe32((uint32_t)message->at << 16 | message->status << 8 |
				     message->flags) };
	uint64_t request = htobe64(message->request);
	uint32_t rest[2] = { htobe32(message->attempt), htobe32(message->cookie) };

	memcpy(ret_bytes, word, 8);
	memcpy(ret_bytes + 8, &request, 8);
	memcpy(ret_bytes + 16, rest, 8);
}

bool wire_message_decode(const uint8_t *bytes, struct wire_message *ret_message)
{
	uint32_t word[2], rest[2];
	uint64_t request;

	memcpy(word, bytes, 8);
	memcpy(&request, bytes + 8, 8);
	memcpy(rest, bytes + 16, 8);
	word[1] = be32toh(word[1]);
	*ret_message = (struct wire_message){
		.size = be32toh(word[0]),
		.at = (uint16_t)(word[1] >> 16),
		.status = (uint8_t)(word[1] >> 8),
		.flags = (uint8_t)word[1],
		.request = be64toh(request),
		.attempt = be32toh(rest[0]),
		.cookie = be32toh(rest[1]),
	};
	return ret_message->size >= WIRE_MESSAGE_BYTES && ret_message->size <= WIRE_MESSAGE_MAX &&
	       !ret_message->flags && ret_message->status < WIRE_STATUS_COUNT;
}

int wire_put_ledgers(struct buf *out, const struct ledger *ledger)
{
	for (size_t i = 0; i < LG_COUNT; i++) {
		struct wire_ledger entry = { .count = ledger->count[i] };

		if (!entry.count)
			continue;
		strncpy(entry.name, ledger_infos[i].name, sizeof(entry.name) - 1);
		wire_put_ledger(out, &entry);
	}
	return buf_failed(out);
}

int wire_ledger_add(struct ledger *ledger, const struct wire_ledger *entry)
{
	for (size_t i = 0; i < LG_COUNT; i++) {
		if (strcmp(ledger_infos[i].name, entry->name))
			continue;
		ledger->count[i] += entry->count;
		return 0;
	}
	return -ENOENT;
}

int wire_frame_decode(const uint8_t *data, size_t size, struct wire_frame *ret_frame,
		      struct err *err)
{
	uint64_t payload_bytes, type;

	if (size && data[0])
		return err_set(err, EPROTO, "this is no control connection of gait");
	if (size < WIRE_HEAD_BYTES)
		return 0;
	payload_bytes = get_number(data, 4);
	type = get_number(data + 4, 2);
	if (payload_bytes > WIRE_PAYLOAD_MAX)
		return err_set(err, EPROTO, "a message of %llu bytes, more than %u",
			       (unsigned long long)payload_bytes, WIRE_PAYLOAD_MAX);
	if (!type || type >= WIRE_TYPE_COUNT || get_number(data + 6, 2))
		return err_set(err, EPROTO, "a message of unknown type %llu",
			       (unsigned long long)type);
	if (size - WIRE_HEAD_BYTES < payload_bytes)
		return 0;
	*ret_frame =
		(struct wire_frame){ (enum wire_type)type, data + WIRE_HEAD_BYTES, payload_bytes };
	return (int)(WIRE_HEAD_BYTES + payload_bytes);
}
