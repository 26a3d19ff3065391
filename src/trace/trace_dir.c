/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/trace_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *trace_file_name(enum trace_table table, bool partial, char name[TRACE_FILE_NAME_SIZE])
{
	snprintf(name, TRACE_FILE_NAME_SIZE, "%s.csv%s", tables[table].name,
		 partial ? TRACE_PARTIAL : "");
	return name;
}

static bool is_table_file(const char *name)
{
	char ours[TRACE_FILE_NAME_SIZE];

	for (int t = 0; t < TABLE_COUNT; t++) {
		if (!strcmp(name, trace_file_name(t, false, ours)) ||
		    !strcmp(name, trace_file_name(t, true, ours)))
			return true;
	}
	return false;
}

static bool is_trace_file(const char *name)
{
	return is_table_file(name) || !strcmp(name, TRACE_MANIFEST) ||
	       !strcmp(name, TRACE_MANIFEST TRACE_PARTIAL);
}

struct contents {
	unsigned ours;
	char foreign[256]; /* the name of a file that is not a trace's, or "" */
};

/* readdir() moves the offset that a descriptor shares with its duplicates: open anew. */
static DIR *open_listing(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

static int list(int dir_fd, const char *path, struct contents *ret_contents, struct err *err)
{
	struct contents contents = { 0 };
	struct dirent *entry;
	DIR *dir = open_listing(dir_fd);

	if (!dir)
		return err_errno(err, errno, "cannot list '%s'", path);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (is_trace_file(entry->d_name))
			contents.ours++;
		else
			snprintf(contents.foreign, sizeof(contents.foreign), "%s", entry->d_name);
	}
	closedir(dir);
	*ret_contents = contents;
	return 0;
}

static int remove_file(int dir_fd, const char *path, const char *name, struct err *err)
{
	if (unlinkat(dir_fd, name, 0) && errno != ENOENT)
		return err_errno(err, errno, "cannot remove '%s/%s'", path, name);
	return 0;
}

/* The manifest goes first: what an interruption leaves is a trace cut short, not a wrong one. */
static int remove_trace_files(int dir_fd, const char *path, struct err *err)
{
	char name[TRACE_FILE_NAME_SIZE];
	int rc;

	rc = remove_file(dir_fd, path, TRACE_MANIFEST, err);
	if (!rc)
		rc = remove_file(dir_fd, path, TRACE_MANIFEST TRACE_PARTIAL, err);
	for (int i = 0; i < 2 * TABLE_COUNT && !rc; i++)
		rc = remove_file(dir_fd, path, trace_file_name(i / 2, i % 2, name), err);
	return rc;
}

/* Makes room in a directory that was there before. */
static int empty_directory(int dir_fd, const char *path, bool replace, struct err *err)
{
	struct contents contents;
	int rc = list(dir_fd, path, &contents, err);

	if (rc)
		return rc;
	if (contents.foreign[0])
		return err_set(err, EEXIST,
			       "'%s' holds '%s', which is not a trace's: choose another name", path,
			       contents.foreign);
	if (contents.ours && !replace)
		return err_set(err, EEXIST,
			       "'%s' holds a trace already: --force replaces it",
			       path);
	return contents.ours ? remove_trace_files(dir_fd, path, err) : 0;
}

static int open_directory(const char *path, int *ret_fd, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOTDIR)
		return err_set(err, ENOTDIR, "'%s' is no directory, as every trace is", path);
	if (fd < 0)
		return err_errno(err, errno, "cannot open trace '%s'", path);
	*ret_fd = fd;
	return 0;
}

int trace_dir_create(const char *path, bool replace, int *ret_fd, struct err *err)
{
	int fd, rc;

	if (mkdir(path, 0777) && errno != EEXIST)
		return err_errno(err, errno, "cannot create trace '%s'", path);
	rc = open_directory(path, &fd, err);
	if (rc)
		return rc;
	rc = empty_directory(fd, path, replace, err);
	if (rc) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int trace_dir_open(const char *path, int *ret_fd, struct err *err)
{
	struct contents contents;
	int fd, rc;

	rc = open_directory(path, &fd, err);
	if (rc)
		return rc;
	rc = list(fd, path, &contents, err);
	if (!rc && !contents.ours)
		rc = err_set(err, ENOENT, "'%s' is no trace: it has neither a manifest nor tables",
			     path);
	if (rc) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int trace_dir_open_file(int dir_fd, const char *path, const char *name, int *ret_fd,
			struct err *err)
{
	/* O_NONBLOCK: a FIFO that somebody put there must not hang us */
	int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return err_errno(err, errno, "cannot open '%s/%s'", path, name);
	if (fstat(fd, &st))
		rc = err_errno(err, errno, "cannot open '%s/%s'", path, name);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(err, EINVAL, "'%s/%s' is not a regular file", path, name);
	if (rc) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}
