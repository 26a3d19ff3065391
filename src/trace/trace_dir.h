/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TRACE_TRACE_DIR_H
#define GAIT_TRACE_TRACE_DIR_H

#include "base/err.h"
#include "trace/schema.h"

/* What a trace's directory holds and how its files are called. Inside src/trace. */

#define TRACE_MANIFEST "manifest.json"
#define TRACE_PARTIAL ".partial"
#define TRACE_FILE_NAME_SIZE 48

/* "requests.csv", or "requests.csv.partial"; returns `name`. */
char *trace_file_name(enum trace_table table, bool partial, char name[TRACE_FILE_NAME_SIZE]);

/*
 * Makes the directory and opens it. An empty one is taken as it is; one that
 * holds a trace and nothing else is emptied when `replace` is set.
 */
int trace_dir_create(const char *path, bool replace, int *ret_fd, struct err *err);

/* -ENOENT, -ENOTDIR, or -ENOENT with a sentence when no file in it is a trace's. */
int trace_dir_open(const char *path, int *ret_fd, struct err *err);

/*
 * Opens a regular file for reading: 0, or -errno and the sentence. A file that
 * is not there is -ENOENT; only a caller that minds makes it a failure.
 */
int trace_dir_open_file(int dir_fd, const char *path, const char *name, int *ret_fd,
			struct err *err);

#endif
