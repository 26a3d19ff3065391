/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_UNPACK_H
#define GAIT_CAPTURE_PACKET_UNPACK_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Files packed by gzip or zstd, as a stream of what is in them: a thread unpacks into a pipe. The
 * only user of zlib and libzstd.
 */
struct unpack;

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

/* By the first bytes of a file. */
enum packing packing_of(const uint8_t *bytes, size_t size);

/* Takes fd, which is at its begin, also when it fails; *ret_pipe is the caller's to close. */
int unpack_start(int fd, enum packing packing, const char *name, struct unpack **ret_unpack,
		 int *ret_pipe, struct err *err);
/* After its pipe was closed. 0, or -EIO with a sentence when not all could be unpacked. Takes NULL. */
int unpack_end(struct unpack *u, struct err *err);

#endif
