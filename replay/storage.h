/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_STORAGE_H
#define GAIT_REPLAY_STORAGE_H

#include "base/err.h"
#include "replay/idmap.h"
#include "replay/plan.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * The files that ops act on: t<target_id> below one directory, which nothing
 * leaves (no symbolic link is followed). One thread lays out and prepares; then
 * any thread runs ops.
 */

/* The calls on files, so that a test can count or fail them. */
struct storage_calls {
	ssize_t (*pread)(int fd, void *buf, size_t bytes, off_t offset);
	ssize_t (*pwrite)(int fd, const void *buf, size_t bytes, off_t offset);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
};

extern const struct storage_calls storage_calls; /* the real ones */

#define STORAGE_FLAG_SETS 8 /* of OPF_DIRECT, OPF_SYNC, OPF_DSYNC */

struct target {
	uint64_t target_id;
	char name[24];
	int fds[STORAGE_FLAG_SETS]; /* -1 not open yet, < -1 a negative errno - 1 */
	_Atomic int64_t append_at;
	_Atomic int64_t extent; /* of the file, as accounted */
};

struct storage {
	int dir_fd;
	char *path; /* of the directory: our own, below the one given */
	const struct storage_calls *calls;
	const void *filler; /* NODE_CALL_BYTES of noise, aligned to pages */
	uint64_t max_bytes;
	_Atomic uint64_t used_bytes;
	struct idmap ids;
	struct target **targets;
	size_t targets_count;
};

/* Makes a directory of our own in `dir`, which must exist (NULL: $TMPDIR or /tmp). */
int storage_init(struct storage *s, const char *dir, uint64_t max_bytes, struct err *err);

/* Removes the files; storage_release() the directory too. */
void storage_reset(struct storage *s);
void storage_release(struct storage *s);

/*
 * Creates the file with `bytes` bytes, written and synced. -EDQUOT beyond
 * max_bytes, -EINTR when *stop gets true.
 */
int storage_lay_out(struct storage *s, uint64_t target_id, uint64_t bytes,
		    const atomic_bool *stop, struct err *err);

/* NULL: there is none. */
struct target *storage_find(const struct storage *s, uint64_t target_id);

/* Before any op of that shape is run: opens a descriptor, drops what is to be read cold. */
void storage_prepare(struct storage *s, struct target *t, const struct plan_op *op);

struct storage_result {
	int status;	/* 0 or an errno */
	uint64_t bytes; /* moved */
	int64_t offset; /* where; TRACE_NONE: nowhere */
};

/*
 * Runs a load, store, sync or kernel op (others: ENOSYS). `buffer` takes what is
 * loaded: NODE_CALL_BYTES, aligned to pages. A store with OPF_APPEND goes to the
 * target's own end.
 */
struct storage_result storage_run(struct storage *s, struct target *t, const struct plan_op *op,
				  void *buffer);

/* A stat of something that has no target: the directory itself. */
struct storage_result storage_stat(struct storage *s);

/* A descriptor for reading, for sendfile(); < 0: -errno. */
int storage_fd(const struct target *t);

#endif
