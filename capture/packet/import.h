/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_IMPORT_H
#define GAIT_CAPTURE_PACKET_IMPORT_H

#include "base/err.h"
#include "capture/packet/intake.h"

#include <signal.h>
#include <stdbool.h>

/* A trace of what capture files hold. */
struct import_opts {
	struct intake_opts intake;
	const char *const *files;
	size_t files_count;
	const char *filter; /* pcap-filter(7); NULL: all packets */
	bool progress;	    /* on stderr */
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
