/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_CAPTURE_H
#define GAIT_CLI_CAPTURE_H

#include "cli/options.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* The command line of gait capture. */
enum capture_with { WITH_EBPF, WITH_PCAP };
enum capture_detail { DETAIL_FULL, DETAIL_REQUESTS };

struct capture_opts {
	struct option_list pids, names, ports, groups;
	uint64_t duration_ns, max_bytes, ring_bytes, snap_bytes;
	uint32_t with;	 /* enum capture_with */
	uint32_t detail; /* enum capture_detail */
	const char *output, *sample, *max_overhead, *interface, *filter, *save;
	bool force, quiet, json, measure_overhead;
};

/* On stderr: who drives the load, a person or a test, waits for it. */
void capture_say_ready(void);

/* -EINVAL with a sentence when an option of packets is given to a capture by eBPF. */
int capture_check_ebpf(const struct capture_opts *opts, struct err *err);

/* --with pcap. `has_command`: there is a command behind "--". Returns the exit code. */
int capture_packets(const struct options *options, const struct capture_opts *opts,
		    bool has_command);

#endif
