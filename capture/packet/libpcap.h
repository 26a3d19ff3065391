/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_LIBPCAP_H
#define GAIT_CAPTURE_PACKET_LIBPCAP_H

#include "base/err.h"
#include "capture/packet/classic.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * libpcap for what is captured already: reads streams, which classic.h and pcapng.h do not, and decides
 * by filter expressions (pcap-filter(7)). Built without libpcap every function says so.
 */
struct pcap_stream;

/* Takes `file`, also when it fails. `name` is for sentences. */
int pcap_stream_open(FILE *file, const char *name, struct pcap_stream **ret_stream,
		     struct err *err);
/*
 * 1, 0 at the end, or -EIO with a sentence: what came before is whole. -ENOTSUP: it can be read, but
 * not as a stream.
 */
int pcap_stream_next(struct pcap_stream *s, struct packet_record *ret_record, struct err *err);
unsigned pcap_stream_link(const struct pcap_stream *s);
void pcap_stream_free(struct pcap_stream *s); /* takes NULL */

struct pcap_filter;

/* For packets of that link type. -EINVAL with what libpcap says about the expression. */
int pcap_filter_new(unsigned link, const char *expression, struct pcap_filter **ret_filter,
		    struct err *err);
bool pcap_filter_takes(const struct pcap_filter *f, const struct packet_record *record);
void pcap_filter_free(struct pcap_filter *f); /* takes NULL */

#endif
