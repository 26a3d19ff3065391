/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_ATTRIBUTION_PATHS_H
#define GAIT_ATTRIBUTION_PATHS_H

#include "trace/subsystem.h"

#include <stdbool.h>

/*
 * By which way each row of the breakdown comes about, for people who have to know what a figure is:
 * which hooks tell of it, or what it is inferred from, or which row has its time instead.
 */
enum path_kind {
	PATH_MEASURED, /* its begin and its end are events */
	PATH_INFERRED, /* from what the kernel says of a thread that waits, or of what is left */
	PATH_ABSENT,   /* its time is in another row */
};

#define PATH_PROGRAMS_MAX 8

struct path {
	enum path_kind kind;
	const char *by;	       /* what makes the row of the hooks; absent: where its time is */
	const char *otherwise; /* where its time is when the hooks are not there */
	const char *
		programs[PATH_PROGRAMS_MAX]; /* of src/probe/hooks.c, first candidates; NULL ends */
};

extern const struct path paths[SUB_COUNT];
extern const char *const path_kind_names[];

/* The same of runs without BPF programs: it needs none, and is so everywhere. */
struct path_user {
	enum path_kind kind;
	const char *by; /* absent: where its time is */
};

extern const struct path_user paths_user[SUB_COUNT];

/* Whether a program, or what stands in for it, is there. */
typedef bool (*path_loads_fn)(void *arg, const char *program);

/* What the path is where only some programs load: one is enough for a row to be there. */
enum path_kind path_here(const struct path *path, path_loads_fn loads, void *arg);

#endif
