/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/device.h"

#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYNC_MS_MAX 3600000

/* One text, taken apart. */
struct parsed {
	struct device device; /* path: lent from the text */
	uint64_t count;
};

static int take_path(struct parsed *p, const char *value, struct err *err)
{
	if (!value || !*value)
		return err_set(err, EINVAL, "a storage device needs a path");
	if (p->device.path)
		return err_set(err, EINVAL, "two paths, '%s' and '%s', for one storage device",
			       p->device.path, value);
	p->device.path = (char *)value;
	return 0;
}

static int take_device(struct parsed *p, const char *value, struct err *err)
{
	p->device.block = true;
	return take_path(p, value, err);
}

static int take_size(struct parsed *p, const char *value, struct err *err)
{
	return unit_parse_bytes(value ? value : "", &p->device.size_bytes, err);
}

static int take_sync(struct parsed *p, const char *value, struct err *err)
{
	uint64_t ms = 0;
	int rc = unit_parse_u64(value ? value : "", 0, SYNC_MS_MAX, &ms, err);

	p->device.sync_ms = (uint32_t)ms;
	return rc;
}

static int take_direct(struct parsed *p, const char *value, struct err *err)
{
	p->device.direct = true;
	return value ? err_set(err, EINVAL, "'odirect' takes no value") : 0;
}

static int take_spin(struct parsed *p, const char *value, struct err *err)
{
	p->device.wait_spin = true;
	return value ? err_set(err, EINVAL, "'wait-spin' takes no value") : 0;
}

static int take_count(struct parsed *p, const char *value, struct err *err)
{
	return unit_parse_u64(value ? value : "", 1, DEVICES_MAX, &p->count, err);
}

static const struct {
	const char *name;
	int (*take)(struct parsed *p, const char *value, struct err *err);
} words[] = {
	{ "file", take_path },	 { "device", take_device },  { "size", take_size },
	{ "sync", take_sync },	 { "odirect", take_direct }, { "wait-spin", take_spin },
	{ "count", take_count },
};

/* "name", "name=value", or, first of all, a path alone. */
static int take_word(struct parsed *p, char *word, bool first, struct err *err)
{
	char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i].name) == len && !strncmp(words[i].name, word, len))
			return words[i].take(p, equals ? equals + 1 : NULL, err);
	if (first)
		return take_path(p, word, err);
	return err_set(err, EINVAL, "a storage device knows no '%s'", word);
}

static int parse(struct parsed *p, char *text, struct err *err)
{
	char *rest = text, *word;
	int rc = 0;

	for (bool first = true; !rc && (word = strsep(&rest, ",")); first = false)
		rc = take_word(p, word, first, err);
	if (!rc && !p->device.path)
		rc = take_path(p, NULL, err);
	if (!rc && p->count > 1 && !strstr(p->device.path, "%d"))
		rc = err_set(err, EINVAL, "'count' needs a %%d in the path '%s'", p->device.path);
	return rc;
}

/* The path of device number i of a text: absolute, for the node may be asked later. */
static char *path_of(const char *path, bool numbered, unsigned i)
{
	const char *digits = numbered ? strstr(path, "%d") : NULL;
	int before = digits ? (int)(digits - path) : (int)strlen(path);
	char number[16] = "", here[PATH_MAX] = "", *whole;

	if (digits)
		snprintf(number, sizeof(number), "%u", i);
	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		return NULL;
	if (asprintf(&whole, "%s%s%.*s%s%s", here, here[0] ? "/" : "", before, path, number,
		     digits ? digits + 2 : "") < 0)
		return NULL;
	return whole;
}

static int add(struct devices *d, const struct parsed *p, unsigned i, struct err *err)
{
	struct device *device = &d->at[d->count];

	if (d->count == DEVICES_MAX)
		return err_set(err, E2BIG, "more than %d storage devices", DEVICES_MAX);
	*device = p->device;
	device->path = path_of(p->device.path, p->count > 0, i);
	if (!device->path)
		return err_errno(err, ENOMEM, "cannot keep a path");
	d->count++;
	return 0;
}

int devices_add(struct devices *d, const char *text, const struct device_defaults *defaults,
		struct err *err)
{
	struct parsed p = { .device = { .sync_ms = defaults->sync_ms,
					.direct = defaults->direct,
					.wait_spin = defaults->wait_spin } };
	char *copy = strdup(text);
	int rc = copy ? parse(&p, copy, err) : err_errno(err, ENOMEM, "cannot keep a path");

	for (unsigned i = 0; !rc && i < (p.count ? p.count : 1); i++)
		rc = add(d, &p, i, err);
	free(copy);
	return rc;
}

void devices_release(struct devices *d)
{
	for (size_t i = 0; i < d->count; i++)
		free(d->at[i].path);
	*d = (struct devices){ 0 };
}

static int check_parent(const struct device *d, struct err *err)
{
	char *copy = strdup(d->path);
	int rc = copy && !access(dirname(copy), W_OK | X_OK) ? 0 : copy ? errno : ENOMEM;

	free(copy);
	return rc ? err_errno(err, rc, "cannot make the storage file '%s'", d->path) : 0;
}

static int check_kind(const struct device *d, mode_t mode, struct err *err)
{
	if (S_ISBLK(mode) && !d->block)
		return err_set(err, EINVAL,
			       "'%s' is a block device, and what it holds would be overwritten: "
			       "say device=%s if that is meant",
			       d->path, d->path);
	if (d->block && !S_ISBLK(mode))
		return err_set(err, EINVAL, "'%s' is no block device", d->path);
	if (!S_ISBLK(mode) && !S_ISREG(mode) && !S_ISDIR(mode))
		return err_set(err, EINVAL, "'%s' is no file, directory or block device", d->path);
	return 0;
}

int device_check(const struct device *d, struct err *err)
{
	struct stat st;
	int rc;

	if (stat(d->path, &st)) {
		if (errno != ENOENT || d->block)
			return err_errno(err, errno, "cannot use '%s'", d->path);
		return check_parent(d, err);
	}
	rc = check_kind(d, st.st_mode, err);
	if (!rc && access(d->path, R_OK | W_OK))
		rc = err_errno(err, errno, "cannot use '%s'", d->path);
	return rc;
}

/* In a directory a file of our own, under a name that nobody else has. */
static int open_in_directory(const struct device *d, char **ret_path, struct err *err)
{
	int fd;

	if (asprintf(ret_path, "%s/gait-storage-XXXXXX", d->path) < 0) {
		*ret_path = NULL;
		return err_errno(err, ENOMEM, "cannot keep a path");
	}
	fd = mkostemp(*ret_path, O_CLOEXEC);
	if (fd >= 0)
		return fd;
	fd = err_errno(err, errno, "cannot make a file in '%s'", d->path);
	free(*ret_path);
	*ret_path = NULL;
	return fd;
}

static int open_itself(const struct device *d, char **ret_path, struct err *err)
{
	int fd = open(d->path, O_RDWR | O_CLOEXEC | (d->block ? 0 : O_CREAT), 0600);

	if (fd < 0)
		return err_errno(err, errno, "cannot open '%s'", d->path);
	*ret_path = strdup(d->path);
	if (*ret_path)
		return fd;
	close(fd);
	return err_errno(err, ENOMEM, "cannot keep a path");
}

int device_open(const struct device *d, char **ret_path, bool *ret_ours, struct err *err)
{
	int rc = device_check(d, err);
	struct stat st;

	if (rc)
		return rc;
	*ret_ours = !stat(d->path, &st) && S_ISDIR(st.st_mode);
	return *ret_ours ? open_in_directory(d, ret_path, err) : open_itself(d, ret_path, err);
}

int64_t device_extent(const struct device *d, int fd)
{
	uint64_t bytes;
	struct stat st;

	if (d->block)
		return ioctl(fd, BLKGETSIZE64, &bytes) ? -errno : (int64_t)bytes;
	return fstat(fd, &st) ? -errno : st.st_size;
}

uint32_t device_direct_align(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) && stx.stx_mask & STATX_DIOALIGN &&
	    stx.stx_dio_offset_align)
		return stx.stx_dio_offset_align;
#endif
	return (uint32_t)sysconf(_SC_PAGESIZE);
}
