/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small trace of known content: 23 requests of 7 KiB with 3 ms of CPU each, one in five of
 * class "put", which stores and shares its fsync with the request before it. tests/data holds it
 * as it was written by version 1.0 of the format; every later version must read that the same.
 */
#ifndef GAIT_TESTS_GOLDEN_H
#define GAIT_TESTS_GOLDEN_H

#include "check.h"
#include "trace/trace.h"

#define GOLDEN_REQUESTS 23
#define GOLDEN_BYTES (7 * 1024)
#define GOLDEN_CPU_NS 3000000
#define GOLDEN_PATH GAIT_TEST_DATA "/golden-1.0.gait"

static const struct row_service golden_services[] = {
	{ 1, 1, "shop", "127.0.0.1:8080", 2, "worker-pool", 0 },
	{ 2, 1, "stock \"B\", spare", "[::1]:8081", 1, "event-loop", 1 },
};

static const struct row_connection golden_connections[] = {
	{ .connection_id = 1,
	  .service_id = 1,
	  .peer_class = "loopback",
	  .protocol = "resp",
	  .open_ns = TRACE_NONE,
	  .close_ns = TRACE_NONE,
	  .srtt_ns = 41000,
	  .min_rtt_ns = 23000,
	  .requests = 12,
	  .dependent = 1,
	  .confidence = 97,
	  .local = "127.0.0.1:8080",
	  .remote = "127.0.0.1:40001",
	  .transport = "tcp",
	  .wire = ROW_WIRE_UNKNOWN },
	{ .connection_id = 2,
	  .service_id = 1,
	  .peer_class = "remote",
	  .protocol = "http/1",
	  .open_ns = 1000,
	  .close_ns = 2300000000,
	  .srtt_ns = TRACE_NONE,
	  .min_rtt_ns = TRACE_NONE,
	  .requests = 11,
	  .confidence = 60,
	  .transport = "tcp",
	  .wire = { .ended = "fin",
		    .handshake_ns = 310000,
		    .client_srtt_ns = 290000,
		    .client_min_rtt_ns = 280000,
		    .server_srtt_ns = 31000,
		    .server_min_rtt_ns = 30000,
		    .packets_in = 40,
		    .packets_out = 77,
		    .bytes_in = 2200,
		    .bytes_out = 78848,
		    .retransmitted_in = 0,
		    .retransmitted_out = 2,
		    .zero_windows_in = 1,
		    .zero_windows_out = 0,
		    .tls_version = "1.3",
		    .tls_alpn = "http/1.1",
		    .tls_offers = "h2+http/1.1",
		    .tls_records_in = 11,
		    .tls_records_out = 55,
		    .tls_record_bytes_in = 2145,
		    .tls_record_bytes_out = 78573,
		    .tls_record_max_bytes_in = 195,
		    .tls_record_max_bytes_out = 1400 } },
	{ .connection_id = 3,
	  .service_id = 2,
	  .peer_class = "local",
	  .open_ns = 5000,
	  .close_ns = TRACE_NONE,
	  .srtt_ns = TRACE_NONE,
	  .min_rtt_ns = TRACE_NONE,
	  .tls = 1,
	  .requests = 4,
	  .outgoing = 1,
	  .wire = ROW_WIRE_UNKNOWN },
};

static const struct row_class golden_classes[] = {
	{ 1, 1, "get", "compute reply", 19, 1000000 },
	{ 2, 1, "put, old\nstyle", "compute store sync reply", 4, 940000 },
};

static const struct row_target golden_targets[] = {
	{ 1, TARGET_FILE, 0, 1048576, "ext4", "" },
	{ 2, TARGET_SERVICE, 2, 0, "", "[::1]:8081" },
};

static inline bool golden_is_put(uint64_t i)
{
	return i % 5 == 4;
}

/* The capture ended before the last one did. */
static inline bool golden_is_answered(uint64_t i)
{
	return i != GOLDEN_REQUESTS - 1;
}

static inline int64_t golden_span_ns(uint64_t i)
{
	return 4000000 + (int64_t)i * 10000;
}

static inline struct row_request golden_request(uint64_t i)
{
	int64_t arrival_ns = 1000000 + (int64_t)i * 100000000;

	return (struct row_request){
		.request_id = i + 1,
		.class_id = golden_is_put(i) ? 2 : 1,
		.service_id = 1,
		.connection_id = 1 + i % 2,
		.thread_id = 4711 + i % 2,
		.after_request = i >= 2 && i % 2 == 0 ? i - 1 : 0,
		.think_ns = i >= 2 && i % 2 == 0 ? 196000000 : TRACE_NONE,
		.confidence = i == 7 ? 40 : 100,
		.arrival_ns = arrival_ns,
		.request_end_ns = TRACE_NONE, /* which packets tell */
		.read_ns = arrival_ns + 15000,
		.write_ns = arrival_ns + 3900000,
		.end_ns = golden_is_answered(i) ? arrival_ns + golden_span_ns(i) : TRACE_NONE,
		.request_bytes = 200 + i,
		.response_bytes = GOLDEN_BYTES,
		.request_plain_bytes = i == 3 ? 178 + i : 0,
		.response_plain_bytes = i == 3 ? GOLDEN_BYTES - 22 : 0,
		.label = "",
		.status = "200",
		.intended_ns = TRACE_NONE,
		.sent_ns = TRACE_NONE,
		.received_ns = TRACE_NONE,
	};
}

/* Op k of request i; ids count from 1 over all requests, ten a request. */
static inline struct row_op golden_op(uint64_t i, enum op_kind kind, uint64_t k)
{
	bool file = kind == OP_STORE || kind == OP_SYNC;

	return (struct row_op){
		.op_id = i * 10 + k + 1,
		.request_id = i + 1,
		.after = k ? i * 10 + k : 0,
		.kind = kind,
		.service_id = 1,
		.thread_id = 4711 + i % 2,
		.start_ns = 1015000 + (int64_t)(i * 100000000 + k * 1000000),
		.elapsed_ns = kind == OP_COMPUTE ? GOLDEN_CPU_NS + 90000 : 12000,
		.cpu_ns = kind == OP_COMPUTE ? GOLDEN_CPU_NS : 0,
		.work = kind == OP_COMPUTE ? 6000 : 0,
		.bytes = kind == OP_REPLY || kind == OP_STORE ? GOLDEN_BYTES : 0,
		.offset = kind == OP_STORE ? (int64_t)i * GOLDEN_BYTES : TRACE_NONE,
		.target_id = file ? 1 : 0,
		.flags = kind == OP_STORE ? OPF_APPEND | OPF_DSYNC :
			 kind == OP_SYNC  ? OPF_SHARED :
					    0,
	};
}

/* A checkpointer nobody waits for. */
static const struct row_op golden_background = {
	.op_id = 1000,
	.kind = OP_STORE,
	.service_id = 1,
	.thread_id = 4800,
	.start_ns = 500000000,
	.elapsed_ns = 70000,
	.bytes = 65536,
	.offset = 0,
	.target_id = 1,
};

static inline struct row_latency golden_latency(uint64_t i)
{
	struct row_latency row = { i + 1, 1, golden_span_ns(i), 0, { 0 } };

	row.ns[SUB_NET_RXQUEUE] = 15000;
	row.ns[SUB_CPU_USER] = GOLDEN_CPU_NS;
	row.ns[SUB_CPU_KERNEL_NET] = 100000;
	row.ns[SUB_FS_JOURNAL] = golden_is_put(i) ? 700000 : 0;
	row.ns[SUB_SCHED_RUNQUEUE] = (int64_t)i * 10000;
	row.unattributed_ns = row.total_ns;
	for (int s = 0; s < SUB_COUNT; s++)
		row.unattributed_ns -= row.ns[s];
	return row;
}

static inline void golden_manifest(struct manifest *m)
{
	manifest_init(m);
	strcpy(m->tool, "gait 0.1.0");
	strcpy(m->source, "ebpf");
	strcpy(m->filter, "port 8080");
	strcpy(m->started_at, "2025-11-21T08:00:00Z");
	m->start_monotonic_ns = 86400000000000;
	m->duration_ns = 2500000000;
	m->hosts_count = 1;
	m->hosts[0] = (struct manifest_host){
		.host_id = 1,
		.name = "alpha",
		.boot_id = "8f3c1a52-4a0e-4f0b-9c73-0d9a6a1f2b3c",
		.kernel = "6.1.0-28-amd64 x86_64",
		.cpu_model = "Example CPU 3000",
		.cpus = 8,
		.memory_bytes = 16ULL << 30,
		.clock_source = "tsc",
		.mitigations = "spectre_v2=Retpolines",
		.cgroup_cpu_quota = "max",
		.realtime_offset_start_ns = 1763625600000000000,
		.realtime_offset_end_ns = 1763625600000000250,
	};
	m->work_per_ms = 2000;
	strcpy(m->demand_method, "lowest quartile of each class");
	m->service_user_ns = GOLDEN_REQUESTS * GOLDEN_CPU_NS;
	m->service_kernel_ns = GOLDEN_REQUESTS * 100000;
	m->price.ns_per_request = 640;
	strcpy(m->attribution, "ebpf");
	m->ledger.count[LG_EVENTS] = 230;
	m->ledger.count[LG_REQUESTS] = GOLDEN_REQUESTS;
	m->ledger.count[LG_OPEN_AT_END] = 1;
	m->ledger.count[LG_OPS_UNSEEN] = 2;
}

static inline void golden_put(struct trace_writer *w, enum trace_table table, const void *row)
{
	struct err err = { "" };

	if (!CHECK_EQ(trace_write(w, table, row, &err), 0))
		printf("# %s\n", err.text);
}

static inline void golden_put_ops(struct trace_writer *w, uint64_t i)
{
	static const enum op_kind get[] = { OP_COMPUTE, OP_REPLY };
	static const enum op_kind put[] = { OP_COMPUTE, OP_STORE, OP_SYNC, OP_REPLY };
	const enum op_kind *kinds = golden_is_put(i) ? put : get;

	for (uint64_t k = 0; k < (golden_is_put(i) ? ARRAY_SIZE(put) : ARRAY_SIZE(get)); k++) {
		struct row_op op = golden_op(i, kinds[k], k);
		struct row_op_request shared = { op.op_id, i };

		golden_put(w, TABLE_OPS, &op);
		if (kinds[k] == OP_SYNC)
			golden_put(w, TABLE_OP_REQUESTS, &shared);
	}
}

/* All rows of the trace, in their order. */
static inline void golden_put_all(struct trace_writer *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(golden_services); i++)
		golden_put(w, TABLE_SERVICES, &golden_services[i]);
	for (size_t i = 0; i < ARRAY_SIZE(golden_connections); i++)
		golden_put(w, TABLE_CONNECTIONS, &golden_connections[i]);
	for (size_t i = 0; i < ARRAY_SIZE(golden_classes); i++)
		golden_put(w, TABLE_CLASSES, &golden_classes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(golden_targets); i++)
		golden_put(w, TABLE_TARGETS, &golden_targets[i]);
	golden_put(w, TABLE_OPS, &golden_background);
	for (uint64_t i = 0; i < GOLDEN_REQUESTS; i++) {
		struct row_request request = golden_request(i);
		struct row_latency latency = golden_latency(i);

		golden_put(w, TABLE_REQUESTS, &request);
		golden_put_ops(w, i);
		if (golden_is_answered(i))
			golden_put(w, TABLE_LATENCY, &latency);
	}
}

/* Writes the whole trace at `path`. */
static inline bool golden_write(const char *path)
{
	struct trace_writer *w;
	struct manifest m;
	struct err err = { "" };
	int rc;

	if (!CHECK_EQ(trace_writer_new(path, TRACE_WRITER_REPLACE, &w, &err), 0)) {
		printf("# %s\n", err.text);
		return false;
	}
	golden_put_all(w);
	golden_manifest(&m);
	rc = trace_writer_finish(w, &m, &err);
	trace_writer_free(w);
	return CHECK_EQ(rc, 0);
}

#endif
