/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_LIVE_H
#define GAIT_CAPTURE_LIVE_H

#include "base/err.h"
#include "capture/budget.h"
#include "capture/processes.h"
#include "trace/manifest.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Live capture by eBPF: follows processes, writes a trace until told to stop. */
struct live_opts {
	struct processes processes; /* with their descendants */
	struct ports ports;	    /* further ports to follow, beside those they listen on */
	char **command;		    /* started and followed; NULL: none */
	uint64_t duration_ns;	    /* 0: until stopped, or until the service ends */
	uint64_t max_bytes;	    /* of the trace; 0: no limit */
	uint64_t ring_bytes;	    /* 0: the probe's default */
	uint32_t sample;	    /* one connection in so many; 0: all */
	struct budget_limit budget; /* what the probes may cost */
	bool measure_overhead;	    /* probes on and off in turns; the trace has holes then */
	bool requests_only;	    /* requests and sizes alone: cheaper, no ops, no breakdown */
	const char *output;
	bool replace;		/* an older trace of that name */
	bool progress;		/* a line a second on stderr */
	const char *filter;	/* what the user asked for, for the manifest */
	void (*on_ready)(void); /* called once everything is attached; NULL: nobody asks */
	const volatile sig_atomic_t *stop;
};

/* Why a capture ended. */
enum live_end { LIVE_STOPPED, LIVE_DURATION, LIVE_SERVICE_ENDED, LIVE_FULL, LIVE_OVERHEAD };

struct live_result {
	struct manifest manifest;
	enum live_end end;
	struct err tls;	     /* why a TLS library was not followed; "": each was */
	char missed[96];     /* the BPF programs of the ledger's probe_misses */
	bool command_failed; /* it could not be started, or ended with an error */
};

/* 0 with a complete trace; else -errno, and what was written stays as *.partial. */
int live_capture(const struct live_opts *opts, struct live_result *ret_result, struct err *err);

#endif
