/* SPDX-License-Identifier: Apache-2.0 */
/* Files and called services that ops act on. A file is known by its inode, never by name. */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_SIZE (TARGETS_MAX * 2)

struct file_system {
	uint32_t magic;
	const char *name;
	bool pseudo; /* its files are windows into the kernel, not storage */
};

static const struct file_system file_systems[] = {
	{ EXT4_SUPER_MAGIC, "ext4", false },	{ XFS_SUPER_MAGIC, "xfs", false },
	{ BTRFS_SUPER_MAGIC, "btrfs", false },	{ TMPFS_MAGIC, "tmpfs", false },
	{ RAMFS_MAGIC, "ramfs", false },	{ OVERLAYFS_SUPER_MAGIC, "overlay", false },
	{ NFS_SUPER_MAGIC, "nfs", false },	{ FUSE_SUPER_MAGIC, "fuse", false },
	{ PROC_SUPER_MAGIC, "proc", true },	{ SYSFS_MAGIC, "sysfs", true },
	{ CGROUP_SUPER_MAGIC, "cgroup", true }, { CGROUP2_SUPER_MAGIC, "cgroup", true },
	{ DEBUGFS_MAGIC, "debugfs", true },	{ TRACEFS_MAGIC, "tracefs", true },
};

static const struct file_system *file_system_of(uint32_t magic)
{
	for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++)
		if (file_systems[i].magic == magic)
			return &file_systems[i];
	return NULL;
}

bool target_is_pseudo(uint32_t magic)
{
	const struct file_system *fs = file_system_of(magic);

	return fs && fs->pseudo;
}

/* The table is made for the first file: many services have none. */
static bool files_ready(struct assembler *a)
{
	if (!a->files)
		a->files = calloc(FILES_SIZE, sizeof(*a->files));
	if (!a->files)
		a->failed = -ENOMEM;
	return a->files;
}

static struct file_key *file_slot(struct assembler *a, const struct event_call *e)
{
	uint64_t hash = (e->inode ^ e->generation << 32 ^ e->device) * 0x9e3779b97f4a7c15u;
	size_t i = hash >> 40 & (FILES_SIZE - 1);

	while (a->files[i].target_id &&
	       (a->files[i].inode != e->inode || a->files[i].generation != e->generation ||
		a->files[i].device != e->device))
		i = (i + 1) & (FILES_SIZE - 1);
	return &a->files[i];
}

/* The event shows the size after the call; a write at the end has just made it. */
static uint64_t size_before(const struct event_call *e, bool writes)
{
	if (writes && e->ret > 0 && e->offset >= 0 &&
	    (uint64_t)(e->offset + e->ret) == e->file_bytes)
		return e->offset;
	return e->file_bytes;
}

uint64_t target_of_file(struct assembler *a, const struct event_call *e, bool writes)
{
	const struct file_system *fs = file_system_of(e->magic);
	struct row_target row = { .kind = TARGET_FILE };
	struct file_key *slot;

	if (!e->inode || !files_ready(a))
		return 0;
	slot = file_slot(a, e);
	if (slot->target_id)
		return slot->target_id;
	if (a->targets == TARGETS_MAX)
		return 0;
	*slot = (struct file_key){ e->inode, e->generation, e->device, ++a->targets };
	row.target_id = a->targets;
	row.file_bytes = size_before(e, writes);
	snprintf(row.device_class, sizeof(row.device_class), "%s", fs ? fs->name : "unknown");
	assembly_write(a, TABLE_TARGETS, &row);
	return row.target_id;
}

uint64_t target_of_service(struct assembler *a, const char *address)
{
	struct row_target row = { .kind = TARGET_SERVICE };

	row.target_id = ++a->targets;
	snprintf(row.name, sizeof(row.name), "%s", address);
	assembly_write(a, TABLE_TARGETS, &row);
	return row.target_id;
}
