/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_SCRATCH_H
#define GAIT_REPLAY_SCRATCH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Files without a name, for what memory shall not hold: they go when they are closed. */

/* The file, or < 0. */
int scratch_open(const char *directory, struct err *err);

/* All of it, at a place in bytes. 0 or -errno. */
int scratch_put(int fd, const void *data, size_t bytes, uint64_t at);

/*
 * Moves what malloc() gave to a file: *data is then a mapping of it, to be read alone, and gone by
 * scratch_unmap(). Pages come back as they are touched. *data stays as it was on failure.
 */
int scratch_map(const char *directory, void **data, size_t bytes, struct err *err);
void scratch_unmap(void *data, size_t bytes);

/* What was touched of a mapping need not be in memory any more. */
void scratch_forget(void *data, size_t bytes);

#endif
