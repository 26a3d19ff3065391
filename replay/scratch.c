/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/scratch.h"

#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Before the data, in a line of its own. */
struct head {
	size_t bytes; /* of the mapping, this included */
};

_Static_assert(sizeof(struct head) <= SCRATCH_HEAD, "the head comes before the data");

static struct head *head_of(void *data)
{
	return (struct head *)((char *)data - SCRATCH_HEAD);
}

const char *scratch_directory(void)
{
	const char *directory = getenv("TMPDIR");

	return directory ? directory : "/tmp";
}

static int open_unnamed(const char *directory)
{
	char name[4096];
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	snprintf(name, sizeof(name), "%s/scratch-XXXXXX", directory);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

int scratch_open(const char *directory, struct err *err)
{
	int fd = directory ? open_unnamed(directory) : memfd_create("gait", MFD_CLOEXEC);

	if (fd >= 0)
		return fd;
	return directory ? err_errno(err, errno, "cannot keep rows in '%s'", directory) :
			   err_errno(err, errno, "cannot hold rows");
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

/* A page that has no room when it is written to ends the program: better to hear of it now. */
static int reserve(int fd, const char *directory, size_t bytes)
{
	return directory		   ? posix_fallocate(fd, 0, (off_t)bytes) :
	       ftruncate(fd, (off_t)bytes) ? errno :
					     0;
}

static void *map_whole(int fd, size_t bytes)
{
	char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return NULL;
	*(struct head *)map = (struct head){ bytes };
	return map + SCRATCH_HEAD;
}

void *scratch_alloc(const char *directory, size_t bytes, struct err *err)
{
	char text[UNIT_TEXT_SIZE];
	void *data = NULL;
	int fd, rc;

	directory = bytes < SCRATCH_FILE_MIN ? NULL : directory;
	fd = scratch_open(directory, err);
	if (fd < 0)
		return NULL;
	rc = reserve(fd, directory, SCRATCH_HEAD + bytes);
	if (!rc) {
		data = map_whole(fd, SCRATCH_HEAD + bytes);
		rc = data ? 0 : errno;
	}
	close(fd);
	if (rc)
		err_errno(err, rc, "cannot keep %s of the plan in '%s'",
			  unit_format_bytes(text, sizeof(text), bytes),
			  directory ? directory : "memory");
	return data;
}

void *scratch_map(int fd, size_t bytes, struct err *err)
{
	void *data = NULL;

	if (!ftruncate(fd, (off_t)(SCRATCH_HEAD + bytes)))
		data = map_whole(fd, SCRATCH_HEAD + bytes);
	if (!data)
		err_errno(err, errno, "cannot map the rows of the trace");
	return data;
}

void scratch_free(void *data)
{
	if (data)
		munmap(head_of(data), head_of(data)->bytes);
}

void scratch_forget(void *data)
{
	if (data)
		madvise(head_of(data), head_of(data)->bytes, MADV_DONTNEED);
}

void scratch_trim(void *data, size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t keep = (SCRATCH_HEAD + bytes + page - 1) / page * page;
	struct head *head = head_of(data);

	if (keep >= head->bytes)
		return;
	madvise((char *)head + keep, head->bytes - keep, MADV_REMOVE);
	munmap((char *)head + keep, head->bytes - keep);
	head->bytes = keep;
}
