/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int scratch_open(const char *directory, struct err *err)
{
	char name[4096];
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	snprintf(name, sizeof(name), "%s/scratch-XXXXXX", directory);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "cannot keep rows in '%s'", directory);
	unlink(name);
	return fd;
}

int scratch_put(int fd, const void *data, size_t bytes, uint64_t at)
{
	const char *from = data;

	while (bytes) {
		ssize_t n = pwrite(fd, from, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

int scratch_map(const char *directory, void **data, size_t bytes, struct err *err)
{
	int fd = scratch_open(directory, err), rc;
	void *map = MAP_FAILED;

	if (fd < 0)
		return fd;
	rc = scratch_put(fd, *data, bytes, 0);
	if (!rc) {
		map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
		rc = map == MAP_FAILED ? -errno : 0;
	}
	close(fd);
	if (rc)
		return err_errno(err, -rc, "cannot keep the plan in '%s'", directory);
	free(*data);
	*data = map;
	return 0;
}

void scratch_unmap(void *data, size_t bytes)
{
	munmap(data, bytes);
}

void scratch_forget(void *data, size_t bytes)
{
	madvise(data, bytes, MADV_DONTNEED);
}
