/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_SOURCE_H
#define GAIT_CAPTURE_PACKET_SOURCE_H

#include "base/err.h"
#include "capture/packet/classic.h"

#include <signal.h>
#include <stdbool.h>

/*
 * Capture files as one sequence of packets, by their stamps: parts of one capture in any order, or
 * the two directions of a connection in different files. Within a file its own order holds.
 */
#define SOURCES_MAX 256 /* files at once */

struct sources;

/* `-` is standard input. filter: an expression of pcap-filter(7), or NULL. *stop: that is all. */
int sources_open(const char *const *paths, size_t count, const char *filter,
		 const volatile sig_atomic_t *stop, struct sources **ret_sources, struct err *err);

/* 1: a packet; 0: that was all. */
int sources_next(struct sources *s, struct packet_record *ret_record);

/* Files that end within a packet, or could not be unpacked to their end; the first one's sentence. */
size_t sources_cut(const struct sources *s, const char **ret_why);
/* Packets that the filter did not take. */
uint64_t sources_filtered(const struct sources *s);
/* What the files say was dropped: by the system that captured, and by its interfaces. */
void sources_dropped(const struct sources *s, uint64_t *ret_dropped, uint64_t *ret_device);
void sources_free(struct sources *s); /* takes NULL */

#endif
