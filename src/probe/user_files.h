/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_USER_FILES_H
#define GAIT_PROBE_USER_FILES_H

#include "probe/tls.h"

struct gait_bpf;

/* Files of services with probes in them (uprobes), which come and go with the pauses of a capture. */
struct user_files {
	struct gait_bpf *skel; /* lent */
	struct user_file **files;
	size_t count;
};

/*
 * A tls_attach_fn; arg is a struct user_files. In a pause it is only kept in mind. -ENOTSUP: the programs
 * are not loaded.
 */
int user_files_attach(void *arg, const char *path, const struct tls_plan *plan);

void user_files_detach(struct user_files *files);
int user_files_attach_again(struct user_files *files, struct err *err);

/* Detaches and forgets all. */
void user_files_release(struct user_files *files);

#endif
