/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_IMPORT_H
#define GAIT_CAPTURE_PACKET_IMPORT_H

#include "base/err.h"
#include "capture/packet/decode.h"
#include "trace/manifest.h"

#include <signal.h>
#include <stdbool.h>

/* A trace of what capture files hold: reads packets, writes rows. */
#define IMPORT_SERVERS_MAX 64
#define IMPORT_FLOWS_MAX (4 << 20) /* connections at once: 2 GiB */

struct import_opts {
	const char *const *files;
	size_t files_count;
	const char *filter;			       /* pcap-filter(7); NULL: all packets */
	struct packet_end servers[IMPORT_SERVERS_MAX]; /* who serves; none: who is connected to */
	bool any_address[IMPORT_SERVERS_MAX];	       /* the port alone tells */
	size_t servers_count;
	const char *output;
	bool replace;		 /* an older trace of that name */
	bool progress;		 /* on stderr */
	const char *description; /* what the user asked for, for the manifest */
	const volatile sig_atomic_t *stop;
};

struct import_result {
	struct manifest manifest;
	struct err cut; /* why a file was not read to its end; "": all were */
};

/* 0 with a complete trace; else -errno, and what was written stays as *.partial. */
int import_packets(const struct import_opts *opts, struct import_result *ret_result,
		   struct err *err);

#endif
