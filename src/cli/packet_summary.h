/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_PACKET_SUMMARY_H
#define GAIT_CLI_PACKET_SUMMARY_H

#include "base/json.h"
#include "trace/manifest.h"

#include <stdbool.h>

/* What gait import and gait capture --with pcap say when a trace of packets is written. */
struct packet_summary {
	const char *path;
	const struct manifest *manifest;
	const char *end;  /* why it ended; NULL: all was read */
	const char *note; /* what else is to be said; "": nothing */
	const char *note_name;
	bool json;
};

/* Returns the exit code: losses make it EXIT_DOUBTFUL. */
int packet_summary_print(const struct packet_summary *summary);

#endif
