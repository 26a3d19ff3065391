/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_SCHEMA_H
#define GAIT_TRACE_SCHEMA_H

#include "trace/subsystem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The tables of a trace, as structs of rows and one description of their
 * columns (schema.c). Reader, writer, `gait show` and the documentation of the
 * format all work from that description.
 *
 * Times are ns since the trace's start on CLOCK_MONOTONIC of the row's host.
 * An id of 0 and a TRACE_NONE are empty fields. Texts are cut to their array.
 */
#define TRACE_SCHEMA_MAJOR 1
#define TRACE_SCHEMA_MINOR 0
#define TRACE_NONE INT64_MIN

enum trace_table {
	TABLE_SERVICES,
	TABLE_CONNECTIONS,
	TABLE_CLASSES,
	TABLE_REQUESTS,
	TABLE_OPS,
	TABLE_OP_REQUESTS,
	TABLE_TARGETS,
	TABLE_LATENCY,
	TABLE_TOTALS,
	TABLE_TIMELINE,
	TABLE_COUNT
};

enum op_kind {
	OP_COMPUTE, /* user CPU */
	OP_KERNEL,  /* kernel work no other op brings back: metadata calls; class in flags */
	OP_LOAD,    /* read of a file */
	OP_STORE,   /* write to a file */
	OP_SYNC,    /* fsync, fdatasync */
	OP_FORWARD, /* call to another service and its reply */
	OP_SLEEP,   /* a timer the service set */
	OP_LOCK,
	OP_MEMORY,
	OP_HANDSHAKE,
	OP_REPLY, /* bytes of the response; with OPF_SENDFILE out of a file */
	OP_KIND_COUNT
};

enum op_flag {
	OPF_DIRECT = 1 << 0,   /* O_DIRECT */
	OPF_SYNC = 1 << 1,     /* O_SYNC, or fsync as against fdatasync */
	OPF_DSYNC = 1 << 2,    /* O_DSYNC, or fdatasync */
	OPF_APPEND = 1 << 3,   /* at the end of the file, wherever that is */
	OPF_CACHED = 1 << 4,   /* a load that waited for no device */
	OPF_SHARED = 1 << 5,   /* has several owners: see op_requests.csv */
	OPF_SENDFILE = 1 << 6, /* a reply taken from target_id at offset */
	OPF_OPEN = 1 << 7,     /* kernel: open; a replay closes it again at once */
	OPF_STAT = 1 << 8,     /* kernel: stat by name or descriptor */
	OPF_FAILED = 1 << 9,   /* the call returned an error */
	OPF_CLOSE = 1 << 10,   /* kernel: close */
	OPF_COUNT = 11
};

enum target_kind { TARGET_FILE, TARGET_SERVICE, TARGET_KIND_COUNT };

enum outcome { OUTCOME_OK, OUTCOME_TIMEOUT, OUTCOME_ERROR, OUTCOME_REFUSED, OUTCOME_COUNT };

struct row_service {
	uint64_t service_id;
	uint64_t host_id;
	char name[32];
	char listen[64];
	uint64_t threads; /* that read requests */
	char io_model[24];
	uint64_t tls;
};

/*
 * What packets tell of a connection and eBPF does not; "in": to the service, "out": from it. Not
 * captured as packets: all of it TRACE_NONE and "".
 */
struct row_wire {
	char ended[8];	      /* fin, rst; "": it went on, or never began (UDP) */
	int64_t handshake_ns; /* from its SYN to the ACK of the answer */
	/* round trips between the capture point and the client, and the service; in both 0 is none */
	int64_t client_srtt_ns, client_min_rtt_ns;
	int64_t server_srtt_ns, server_min_rtt_ns;
	int64_t packets_in, packets_out;
	int64_t bytes_in, bytes_out;		     /* of payload, once each */
	int64_t retransmitted_in, retransmitted_out; /* packets */
	int64_t zero_windows_in, zero_windows_out;   /* packets by which that end stopped the other */
	char tls_version[8];			     /* 1.3 */
	char tls_alpn[32];			     /* what the service chose */
	char tls_offers[32];			     /* of what the client offered, joined by + */
	int64_t tls_records_in, tls_records_out;     /* of the application */
	int64_t tls_record_bytes_in, tls_record_bytes_out;
	int64_t tls_record_max_bytes_in, tls_record_max_bytes_out;
};

#define ROW_WIRE_UNKNOWN                                                                           \
	{                                                                                          \
		.handshake_ns = TRACE_NONE, .client_srtt_ns = TRACE_NONE,                          \
		.client_min_rtt_ns = TRACE_NONE, .server_srtt_ns = TRACE_NONE,                     \
		.server_min_rtt_ns = TRACE_NONE, .packets_in = TRACE_NONE,                         \
		.packets_out = TRACE_NONE, .bytes_in = TRACE_NONE, .bytes_out = TRACE_NONE,        \
		.retransmitted_in = TRACE_NONE, .retransmitted_out = TRACE_NONE,                   \
		.zero_windows_in = TRACE_NONE, .zero_windows_out = TRACE_NONE,                     \
		.tls_records_in = TRACE_NONE, .tls_records_out = TRACE_NONE,                       \
		.tls_record_bytes_in = TRACE_NONE, .tls_record_bytes_out = TRACE_NONE,             \
		.tls_record_max_bytes_in = TRACE_NONE, .tls_record_max_bytes_out = TRACE_NONE,     \
	}

struct row_connection {
	uint64_t connection_id;
	uint64_t service_id;
	char peer_class[16]; /* loopback, local, remote, unix */
	char protocol[16];
	int64_t open_ns;      /* TRACE_NONE: before the capture */
	int64_t close_ns;     /* TRACE_NONE: after it */
	int64_t srtt_ns;      /* smoothed round trip as TCP knew it; TRACE_NONE: unknown */
	int64_t min_rtt_ns;   /* the least it saw: the wire, without what the peer did meanwhile */
	uint64_t tls;
	uint64_t requests;
	uint64_t outgoing;    /* 1: opened by the service, to call another */
	uint64_t dependent;   /* 1: its requests wait for replies (closed loop) */
	uint64_t confidence;  /* of `dependent`, percent */
	char local[64];	      /* the two ends, ADDRESS:PORT: captures of several hosts join by them */
	char remote[64];
	char transport[8]; /* tcp, udp, unix */
	struct row_wire wire;
};

struct row_class {
	uint64_t class_id;
	uint64_t service_id;
	char name[32];
	char signature[96]; /* kinds of its ops in order, "compute store sync reply" */
	uint64_t requests;
	uint64_t demand_ppm; /* CPU demand of its undisturbed requests over all of them, in ppm */
};

struct row_request {
	uint64_t request_id;
	uint64_t parent_id;
	uint64_t class_id;
	uint64_t service_id;
	uint64_t connection_id;
	uint64_t thread_id;
	uint64_t after_request; /* the one before on this connection, if answered before this arrived */
	int64_t think_ns;       /* from that one's end to this arrival, as the server saw it */
	uint64_t confidence;    /* percent */
	int64_t arrival_ns;     /* first byte in the kernel; in a run too, from the probes */
	int64_t request_end_ns; /* its last byte; known of packets alone */
	int64_t read_ns;        /* first byte read by the service */
	int64_t write_ns;       /* first byte of the reply given to the kernel */
	int64_t end_ns;         /* last byte handed to the network */
	uint64_t request_bytes;
	uint64_t response_bytes;
	uint64_t request_plain_bytes; /* of a TLS connection: before encryption; 0: it is none */
	uint64_t response_plain_bytes;
	char label[32];
	char status[16];
	/* of a run only; by the client's clock */
	int64_t intended_ns;
	int64_t sent_ns;
	int64_t received_ns;
	uint32_t outcome; /* enum outcome */
};

struct row_op {
	uint64_t op_id;
	uint64_t request_id;  /* 0: background */
	uint64_t after;       /* op it depends on; 0: the arrival */
	uint32_t after_reply; /* 1: done when the reply had been sent */
	uint32_t kind;        /* enum op_kind */
	uint64_t service_id;
	uint64_t thread_id;
	int64_t start_ns;
	uint64_t elapsed_ns;
	uint64_t cpu_ns;
	uint64_t work;        /* calibrated work units (manifest: calibration) of a compute op */
	uint64_t bytes;
	uint64_t reply_bytes; /* forward: bytes that came back */
	int64_t offset;       /* TRACE_NONE: has none */
	uint64_t target_id;
	uint64_t connection_id; /* forward: the outgoing connection it went over */
	uint32_t flags;       /* enum op_flag */
};

struct row_op_request {
	uint64_t op_id;
	uint64_t request_id;
};

struct row_target {
	uint64_t target_id;
	uint32_t kind; /* enum target_kind */
	uint64_t service_id; /* called service, if captured */
	uint64_t file_bytes; /* size when first seen */
	char device_class[16]; /* ext4, tmpfs, ... */
	char name[32];         /* called service: its address; files have none (shape, not content) */
};

struct row_latency {
	uint64_t request_id;
	uint64_t service_id; /* TRACE_CLIENT_SERVICE: the rows of the client */
	int64_t total_ns;
	int64_t unattributed_ns;
	int64_t ns[SUB_COUNT];
};

/*
 * What the requests of a class took, of which no more than a sample has rows: the sum of all rows
 * of latency.csv that there would be with a total_ns of from_ns .. to_ns - 1 (totals.h).
 */
struct row_total {
	uint64_t class_id;
	uint64_t service_id; /* TRACE_CLIENT_SERVICE: of the client */
	uint64_t from_ns;
	uint64_t to_ns;
	uint64_t requests;
	int64_t total_ns;
	int64_t unattributed_ns;
	int64_t ns[SUB_COUNT];
};

/* A stretch of a request's time, which was of that row all along; the next begins where it ends. */
struct row_stretch {
	uint64_t request_id;
	uint64_t service_id;
	uint64_t thread_id;
	int64_t from_ns;
	int64_t until_ns;
	uint32_t subsystem; /* enum subsystem; SUB_COUNT: unattributed */
};

/* service_id of the load generator's own rows in a run's latency.csv */
#define TRACE_CLIENT_SERVICE 0

/* As large as the largest row. */
union row_any {
	struct row_service service;
	struct row_connection connection;
	struct row_class class;
	struct row_request request;
	struct row_op op;
	struct row_op_request op_request;
	struct row_target target;
	struct row_latency latency;
	struct row_total total;
};

enum column_type {
	COLUMN_ID,    /* uint64_t, 0 is empty */
	COLUMN_U64,   /* uint64_t */
	COLUMN_I64,   /* int64_t, TRACE_NONE is empty */
	COLUMN_SUM,   /* int64_t that reports add up: an empty or absent one is 0 */
	COLUMN_ENUM,  /* uint32_t index into names */
	COLUMN_FLAGS, /* uint32_t bits of names, written "a+b" */
	COLUMN_BOOL,  /* uint32_t 0 or 1 */
	COLUMN_TEXT,  /* char[size] */
};

struct column {
	const char *name;
	enum column_type type;
	uint16_t offset;
	uint16_t size;
	bool run_only; /* only runs (replay, walk) have it */
	const char *const *names;
	uint16_t names_count;
};

struct table {
	const char *name; /* "requests": the file is requests.csv */
	bool optional;	  /* a trace without rows of it has no file of it */
	size_t row_size;
	const struct column *columns;
	size_t columns_count;
};

/* The first column of a table is its key: a file without it is refused. */
extern const struct table tables[TABLE_COUNT];
extern const char *const op_kind_names[OP_KIND_COUNT];
extern const char *const op_flag_names[OPF_COUNT];
extern const char *const target_kind_names[TARGET_KIND_COUNT];
extern const char *const outcome_names[OUTCOME_COUNT];

#endif
