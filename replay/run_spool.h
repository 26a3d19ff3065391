/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_RUN_SPOOL_H
#define GAIT_REPLAY_RUN_SPOOL_H

#include "base/err.h"

#include <stddef.h>
#include <stdio.h>

/*
 * What comes in while a run goes on and is written when it is over: items of one size, one after the
 * other, in a file without a name beside the run. There is no file before the first item.
 */
struct run_spool {
	const char *run; /* the directory; borrowed */
	size_t size;	 /* of an item, in bytes */
	FILE *file;
};

void run_spool_init(struct run_spool *s, const char *run, size_t size);
void run_spool_release(struct run_spool *s);

/* 0, or -errno with a sentence: a full disk may show only at run_spool_rewind(). */
int run_spool_put(struct run_spool *s, const void *item, struct err *err);

/* From here on they are read, from the first on: 1 for each, 0 behind the last. */
int run_spool_rewind(struct run_spool *s, struct err *err);
int run_spool_next(struct run_spool *s, void *ret_item);

/* That what nodes tell cannot be kept, by errno. Returns -errno. */
int run_spool_failed(const char *run, struct err *err);

#endif
