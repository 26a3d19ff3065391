/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_TLS_H
#define GAIT_PROBE_TLS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * TLS libraries that are followed: those with OpenSSL's functions (OpenSSL 1.1 and 3, and
 * whoever has the same ones), as a shared library or linked into a program that has
 * kept its symbols. Each function gets probes where no instruction is single-stepped
 * (uprobe_site.h), or the library is refused.
 */
struct tls_probe {
	uint64_t offset; /* in the file */
	uint64_t cookie; /* TLS_COOKIE() of bpf/event.h */
	bool leaves;	 /* on the function's way out */
	bool by_return;	 /* by the kernel's return probe */
};

#define TLS_PROBES_MAX 48

struct tls_plan {
	struct tls_probe probes[TLS_PROBES_MAX];
	size_t count;
};

/* What to attach to a file. -ENOENT: it is no TLS library; -ENOTSUP with a sentence. */
int tls_plan_file(const char *path, struct tls_plan *ret_plan, struct err *err);

/* Attaches a plan; 0 or -errno. */
typedef int (*tls_attach_fn)(void *arg, const char *path, const struct tls_plan *plan);

/* The files that have been looked at, by device and inode. */
struct tls_files;

struct tls_files *tls_files_new(void);
void tls_files_free(struct tls_files *files);

/*
 * Looks at the files that the process executes from, through its own root, so in containers
 * too; each file once. The first failure is returned, after all have been looked at.
 */
int tls_files_look(struct tls_files *files, pid_t pid, tls_attach_fn attach, void *arg,
		   struct err *err);

/* Plans and attaches the library of this host, if there is one. -ENOENT: there is none. */
int tls_try_host(tls_attach_fn attach, void *arg, struct err *err);

#endif
