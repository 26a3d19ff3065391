/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_DEVICE_H
#define GAIT_REPLAY_NODE_DEVICE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A storage device of a node, as its user named it (DistWalk's --storage):
 *
 *	[file=]PATH | device=PATH [,size=BYTES][,sync=MS][,odirect][,wait-spin][,count=N]
 *
 * PATH is a file, which is made when it is first used and stays, or a directory, in
 * which a file of our own is made and removed at the end. A block device is only
 * taken with `device=`, for what it holds is overwritten. `count` makes N devices
 * out of one text: the first %d in PATH becomes 0..N-1. Nothing is opened here.
 */
#define DEVICES_MAX 16

struct device {
	char *path;
	uint64_t size_bytes; /* laid out when it is first used, and the most it gets; 0: no word */
	uint32_t sync_ms;    /* period of its syncs; 0: each sync is one of its own */
	bool direct, wait_spin, block;
};

struct devices {
	struct device at[DEVICES_MAX];
	size_t count;
};

/* What a text does not say itself. */
struct device_defaults {
	uint32_t sync_ms;
	bool direct, wait_spin;
};

/* Takes one text apart: -EINVAL with a sentence, -E2BIG beyond DEVICES_MAX. */
int devices_add(struct devices *d, const char *text, const struct device_defaults *defaults,
		struct err *err);
void devices_release(struct devices *d);

/* Whether it could be used, as far as looking tells: kind, rights, parent. 0 or -errno. */
int device_check(const struct device *d, struct err *err);

/*
 * Opens or makes what the device acts on, for reading and writing: its descriptor,
 * its path (the caller's to free), and whether it is ours to remove.
 */
int device_open(const struct device *d, char **ret_path, bool *ret_ours, struct err *err);

/* How far it reaches now: of a file its length, of a block device its size. < 0: -errno */
int64_t device_extent(const struct device *d, int fd);

/*
 * The grain of offsets and sizes that O_DIRECT wants of this descriptor: what
 * statx(2) says (STATX_DIOALIGN, Linux 6.1), else a page.
 */
uint32_t device_direct_align(int fd);

#endif
