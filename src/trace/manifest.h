/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_MANIFEST_H
#define GAIT_TRACE_MANIFEST_H

#include "base/err.h"
#include "trace/ledger.h"
#include "trace/schema.h"

#define MANIFEST_HOSTS_MAX 16

struct manifest_host {
	uint64_t host_id;
	char name[64];
	char boot_id[40]; /* equal on both sides: one clock, stamps compare */
	char kernel[96];
	char cpu_model[96];
	uint64_t cpus;
	uint64_t memory_bytes;
	char clock_source[32];
	char mitigations[256];
	char cgroup_cpu_quota[32];	  /* "max" or "quota period" in us */
	int64_t realtime_offset_start_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	int64_t realtime_offset_end_ns;
	uint64_t work_per_ms; /* of a merged trace: this host's calibration; 0: the manifest's */
	/*
	 * Of a merged trace, whose times are host 1's, or of a run's node, where they are the client's: what was added to this host's clock (at the
	 * trace's start), what is added more a second, and how far off that may be. TRACE_NONE: unknown.
	 */
	int64_t clock_offset_ns, clock_drift_ppb, clock_bound_ns;
};

struct manifest_table {
	uint64_t rows;
	char sha256[65];
};

/* What the probes cost, measured in the run; TRACE_NONE: it was not. Ps are picoseconds. */
struct manifest_price {
	uint64_t rounds;
	int64_t ns_per_request, low_ns, high_ns;   /* service CPU: median, 95% interval */
	int64_t throughput_ppm;			   /* of the service's throughput at saturation */
	int64_t bystander_on_ps, bystander_off_ps; /* a getppid() call of another process */
};

struct manifest {
	uint32_t schema_major, schema_minor;
	char tool[48];	 /* "gait 0.1.0" */
	char source[32]; /* ebpf, pcap, preload, import:KIND, replay, walk, merge */
	char filter[256];
	char started_at[32];	    /* RFC 3339, UTC */
	int64_t start_monotonic_ns; /* 0 of every *_ns of host 1 */
	int64_t duration_ns;
	uint32_t hosts_count;
	struct manifest_host hosts[MANIFEST_HOSTS_MAX];
	uint64_t work_per_ms; /* calibration: work units that one ms of this CPU does; 0: unknown */
	char demand_method[256]; /* how classes.demand_ppm was estimated */
	char batching[16];	 /* of a run: live, recorded */
	char origin[256];	 /* of a run: the trace it replays */
	char origin_sha256[65];	 /* of its requests table */
	char load[512];		 /* of a run: how it differs from the trace's; empty: not at all */
	/* of a run: requests intended before are left out of summaries; 0: none; and why then */
	uint64_t warm_up_ns;
	char warm_up_rule[128];
	char verdict[256]; /* of a run: empty, or "INVALID because ..." */
	/* CPU of the service's threads over the window, from the probes (TRACE_NONE: unknown) */
	int64_t service_user_ns, service_kernel_ns;
	struct manifest_price price;
	char attribution[32];	/* "ebpf", "none" */
	uint64_t sample_one_in; /* of a capture: it holds one connection in so many; 0: all */
	char detail[16];	/* of a capture: "full", "requests"; empty: full */
	char assumed[256]; /* what somebody filled in, which nobody captured; of a run: in its origin */
	struct ledger ledger;
	struct manifest_table tables[TABLE_COUNT];
};

/* Empty, of this version's schema, with TRACE_NONE where 0 would be a claim. */
void manifest_init(struct manifest *m);

/* Not measured. */
void manifest_price_init(struct manifest_price *price);

/* Fills in the facts of the machine it runs on; unknown ones stay empty. */
void manifest_host_here(struct manifest_host *host);

/* JSON text of a manifest, malloc'd; NULL when memory ran out. */
char *manifest_to_json(const struct manifest *m);

/* Parses JSON text; refuses a newer major schema with advice. Unknown members are skipped. */
int manifest_from_json(const char *text, size_t len, struct manifest *ret_manifest,
		       struct err *err);

#endif
