/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_HERE_H
#define GAIT_PROBE_HERE_H

#include "probe/hooks.h"

struct btf;

/*
 * What the kernel that runs here has of what hooks ask for: its type information says so of tracepoints,
 * trying of functions. Once tried it is remembered, for it takes the kernel a while to let go.
 */
enum way { WAY_FUNCTION, WAY_KPROBE, WAY_COUNT };

struct here {
	struct btf *btf; /* borrowed; NULL: nothing is there */
	const char *without;
	bool tried[WAY_COUNT];
	int refused[WAY_COUNT]; /* once tried; -errno */
};

/*
 * What the variable GAIT_HOOKS_WITHOUT of the environment names is as if this kernel had it not (hook_is_named()),
 * so that stand-ins can be tried where they are not needed.
 */
struct here here_of(struct btf *btf);

/* As args_of of struct hook_kernel; arg is a struct here. */
int here_args(void *arg, enum hook_kind kind, const char *target);

#endif
