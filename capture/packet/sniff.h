/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_SNIFF_H
#define GAIT_CAPTURE_PACKET_SNIFF_H

#include "base/err.h"
#include "capture/packet/intake.h"
#include "capture/packet/interface.h"

#include <signal.h>
#include <stdbool.h>

/* Live capture of packets: a trace of what passes an interface until told to stop. */
struct sniff_opts {
	struct intake_opts intake;
	struct interface_opts interface;
	const char *save;	/* the packets, too; NULL: they are not kept */
	uint64_t duration_ns;	/* 0: until stopped */
	uint64_t max_bytes;	/* of the trace; 0: no limit */
	bool progress;		/* a line a second on stderr */
	void (*on_ready)(void); /* called when nothing is missed any more; NULL: nobody asks */
	const volatile sig_atomic_t *stop;
};

/* Why it ended. */
enum sniff_end { SNIFF_STOPPED, SNIFF_DURATION, SNIFF_FULL, SNIFF_GONE };

struct sniff_result {
	struct manifest manifest;
	enum sniff_end end;
	struct err gone; /* how the interface went away, of SNIFF_GONE */
};

/* 0 with a complete trace; else -errno, and what was written stays as *.partial. */
int sniff_packets(const struct sniff_opts *opts, struct sniff_result *ret_result, struct err *err);

#endif
