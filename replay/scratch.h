/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_SCRATCH_H
#define GAIT_REPLAY_SCRATCH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Files without a name, for what memory shall not hold: they go when they are closed. */

/* Where they are if nobody says where: $TMPDIR or /tmp. */
const char *scratch_directory(void);

/* The file, or < 0. Without a directory (NULL) it is memory after all. */
int scratch_open(const char *directory, struct err *err);

/* All of it, at a place in bytes. 0 or -errno. */
int scratch_put(int fd, const void *data, size_t bytes, uint64_t at);

/*
 * Memory that such a file stands behind, if it is worth one: what of it was not used lately can
 * leave the machine's memory and comes back as it is touched. All 0; the room in the file is
 * there, so that writing does not fail. NULL with a sentence when it is not.
 */
#define SCRATCH_FILE_MIN (64 << 10) /* less is in memory */
void *scratch_alloc(const char *directory, size_t bytes, struct err *err);

/* The same of what was put into a file of scratch_open() from SCRATCH_HEAD on. */
#define SCRATCH_HEAD 64
void *scratch_map(int fd, size_t bytes, struct err *err);

/* Both take NULL. */
void scratch_free(void *data);
void scratch_forget(void *data); /* what was touched of it need not stay mapped */

/* Only so much of it is needed: the rest of the file is given back. */
void scratch_trim(void *data, size_t bytes);

#endif
