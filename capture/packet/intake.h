/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_INTAKE_H
#define GAIT_CAPTURE_PACKET_INTAKE_H

#include "base/err.h"
#include "capture/packet/classic.h"
#include "capture/packet/decode.h"
#include "trace/manifest.h"

#include <stdbool.h>

/*
 * Packets in, a trace out: wherever they come from, files (import.h) or an interface (listen.h), the
 * same rows, clock, manifest and ledger come of them.
 */
#define INTAKE_SERVERS_MAX 64
#define INTAKE_FLOWS_MAX (4 << 20) /* connections at once: 2 GiB */

struct intake_opts {
	struct packet_end servers[INTAKE_SERVERS_MAX]; /* who serves; none: who is connected to */
	bool any_address[INTAKE_SERVERS_MAX];	       /* the port alone tells */
	size_t servers_count;
	const char *output;
	bool replace;		 /* an older trace of that name */
	const char *description; /* what the user asked for, for the manifest */
};

struct intake;

/* `opts` and `err` are lent until intake_free(). */
int intake_new(const struct intake_opts *opts, struct intake **ret_intake, struct err *err);
void intake_free(struct intake *in); /* what was not written stays as *.partial; takes NULL */

/*
 * Time has come to that stamp (ns since 1970), packet or not. The first one, else the first packet's,
 * is time 0 of the trace. 0 or -errno.
 */
int intake_pass(struct intake *in, int64_t stamp_ns);

/* The next packet. 0 or -errno. */
int intake_packet(struct intake *in, const struct packet_record *record);

/* What was written so far survives a kill; once a second is enough. */
int intake_flush(struct intake *in);

uint64_t intake_packets(const struct intake *in);  /* so far */
uint64_t intake_requests(const struct intake *in); /* written so far */
uint64_t intake_bytes(const struct intake *in);	   /* of the trace, so far */
size_t intake_open(const struct intake *in);	   /* connections open now */

/*
 * That was all: the last rows, and the manifest with the ledger, to which the caller adds what it
 * alone knows before intake_write().
 */
int intake_finish(struct intake *in, struct manifest *ret_manifest);
/* The trace is complete. */
int intake_write(struct intake *in, struct manifest *manifest);

#endif
