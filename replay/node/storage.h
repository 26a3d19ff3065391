/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_STORAGE_H
#define GAIT_REPLAY_NODE_STORAGE_H

#include "base/err.h"
#include "replay/node/device.h"
#include "replay/plan/idmap.h"
#include "replay/plan/plan.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * What ops act on. The files of a trace are t<target_id> below one directory, which
 * nothing leaves (no symbolic link is followed). The devices of a walk are what the
 * node's user named: number i is the target of ops with target_id i + 1, in a space
 * of their own, and lives as long as the node. One thread lays out, opens and
 * prepares; then any thread runs ops.
 *
 * A load or store without an offset goes on where the one before it on the target
 * ended, and on a device begins again at its end.
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
	char *name;		     /* below the directory; of a device absolute */
	const struct device *device; /* NULL: a file of a trace */
	bool ours;		     /* to be removed at the end */
	int fds[STORAGE_FLAG_SETS];  /* -1 not open yet, < -1 a negative errno - 1 */
	uint32_t align;		     /* of offsets and sizes with O_DIRECT; 0: not open so yet */
	int64_t capacity;	     /* stores end here */
	_Atomic int64_t append_at, load_at;
	_Atomic int64_t extent; /* of the file, as accounted */
};

struct storage {
	int dir_fd;
	char *path; /* of the directory: our own, below the one given */
	const struct storage_calls *calls;
	const void *filler; /* NODE_CALL_BYTES of noise, aligned to pages */
	uint64_t max_bytes;
	_Atomic uint64_t used_bytes, device_bytes; /* of all; of them those of devices */
	struct idmap ids;
	struct target **targets;
	size_t targets_count;
	const struct devices *devices; /* NULL: none */
	struct target *opened[DEVICES_MAX];
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
int storage_lay_out(struct storage *s, uint64_t target_id, uint64_t bytes, const atomic_bool *stop,
		    struct err *err);

/*
 * The target of a device (0..), opened, and made and laid out to its size, when it
 * is asked for first. -ENODEV when there is none, -EDQUOT beyond max_bytes, -EINTR
 * when *stop gets true.
 */
int storage_device(struct storage *s, uint32_t index, const atomic_bool *stop,
		   struct target **ret_target, struct err *err);

/* What an op of a walk acts on: its device, if it is opened. NULL: nothing. */
struct target *storage_target_of_walk(const struct storage *s, const struct plan_op *op);

/* NULL: there is none. */
struct target *storage_find(const struct storage *s, uint64_t target_id);

/* Before any op of that shape is run: opens a descriptor, drops what is to be read cold. */
void storage_prepare(struct storage *s, struct target *t, const struct plan_op *op);

struct storage_result {
	int status;	/* 0 or an errno */
	uint64_t bytes; /* moved */
	int64_t offset; /* where; TRACE_NONE: nowhere */
	bool rounded;	/* to what O_DIRECT takes */
};

/* A load, store or sync as the call that it becomes: storage_plan(). */
enum storage_call_kind { CALL_NONE, CALL_READ, CALL_WRITE, CALL_FSYNC, CALL_FDATASYNC };

struct storage_call {
	enum storage_call_kind kind; /* CALL_NONE: refused, with a status */
	int fd, status;
	uint64_t bytes;
	int64_t offset;
	bool rounded;
	bool whole; /* less than all bytes is a failure (ENODATA) */
};

/* Where it goes and whether it may; what it will take is set aside. No call is made. */
struct storage_call storage_plan(struct storage *s, struct target *t, const struct plan_op *op);

/* Makes it. `buffer` as for storage_run(). */
struct storage_result storage_perform(struct storage *s, const struct storage_call *call,
				      void *buffer);

/* What `moved` bytes of it, or a failure (< 0: -errno), come to. */
struct storage_result storage_outcome(const struct storage_call *call, int64_t moved);

/* Whether the op is over only with the device's next periodic sync. */
bool storage_awaits_sync(const struct target *t, const struct plan_op *op);

/*
 * Runs a load, store, sync or kernel op (others: ENOSYS). `buffer` takes what is
 * loaded: NODE_CALL_BYTES, aligned to pages. A store with OPF_APPEND goes to the
 * target's own end.
 */
struct storage_result storage_run(struct storage *s, struct target *t, const struct plan_op *op,
				  void *buffer);

/* A stat or open of something that has no target: of the directory itself. */
struct storage_result storage_look(struct storage *s, const struct plan_op *op);

/* A descriptor for reading, for sendfile(); < 0: -errno. */
int storage_fd(const struct target *t);

/* Where in it a reply of `bytes` begins: where the op says, or as a load would go on. */
int64_t storage_reply_offset(struct target *t, const struct plan_op *op, uint64_t bytes);

#endif
