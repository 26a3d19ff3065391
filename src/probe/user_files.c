/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/user_files.h"

#if GAIT_BPF

#include "bpf/event.h"
#include "gait.skel.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Kept open, for its path may be gone. */
struct user_file {
	int fd;
	struct tls_plan plan;
	struct bpf_link *links[TLS_PROBES_MAX]; /* NULL: not attached now */
};

static void detach(struct user_file *f)
{
	for (size_t i = 0; i < f->plan.count; i++) {
		bpf_link__destroy(f->links[i]);
		f->links[i] = NULL;
	}
}

static struct bpf_link *attach_probe(struct gait_bpf *skel, const struct user_file *f,
				     const struct tls_probe *at)
{
	struct bpf_program *program = at->leaves ? skel->progs.on_tls_leave :
						   skel->progs.on_tls_enter;
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = at->cookie, .retprobe = at->by_return);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	return bpf_program__attach_uprobe_opts(program, -1, path, at->offset, &opts);
}

/* All probes of a file or none: a function that is entered must be left. */
static int attach(struct gait_bpf *skel, struct user_file *f)
{
	int rc = 0;

	for (size_t i = 0; i < f->plan.count && !rc; i++) {
		f->links[i] = attach_probe(skel, f, &f->plan.probes[i]);
		rc = f->links[i] ? 0 : -errno;
	}
	if (rc)
		detach(f);
	return rc;
}

static void file_free(struct user_file *f)
{
	if (!f)
		return;
	detach(f);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static struct user_file *file_new(const char *path, const struct tls_plan *plan)
{
	struct user_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->plan = *plan;
	f->fd = open(path, O_PATH | O_CLOEXEC);
	if (f->fd >= 0)
		return f;
	file_free(f);
	return NULL;
}

static int keep(struct user_files *u, struct user_file *f)
{
	struct user_file **files = realloc(u->files, (u->count + 1) * sizeof(*files));

	if (!files)
		return -ENOMEM;
	u->files = files;
	files[u->count++] = f;
	return 0;
}

int user_files_attach(void *arg, const char *path, const struct tls_plan *plan)
{
	struct user_files *u = arg;
	struct user_file *f;
	int rc;

	if (bpf_program__fd(u->skel->progs.on_tls_enter) < 0)
		return -ENOTSUP;
	f = file_new(path, plan);
	if (!f)
		return -errno;
	/* in a pause they are attached at its end */
	rc = u->skel->bss->resumed_ns == SLOT_FROZEN_NS ? 0 : attach(u->skel, f);
	if (!rc)
		rc = keep(u, f);
	if (rc)
		file_free(f);
	return rc;
}

void user_files_detach(struct user_files *u)
{
	for (size_t i = 0; i < u->count; i++)
		detach(u->files[i]);
}

int user_files_attach_again(struct user_files *u, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < u->count && !rc; i++)
		rc = attach(u->skel, u->files[i]);
	return rc ? err_errno(err, -rc, "cannot attach to a TLS library again") : 0;
}

void user_files_release(struct user_files *u)
{
	while (u->count)
		file_free(u->files[--u->count]);
	free(u->files);
	u->files = NULL;
}

#endif
