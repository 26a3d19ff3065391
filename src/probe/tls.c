/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/tls.h"

#if GAIT_BPF

#include "bpf/event.h"
#include "probe/elf_file.h"
#include "probe/uprobe_site.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CODE_MAX 4096  /* bytes of a function that are read */
#define INNER_BYTES 64 /* of one that has no symbol: only its beginning is looked at */
#define FILES_MAX 65536

/* The functions by name, and those that do the same but say the count through a pointer. */
enum function {
	SSL_READ,
	SSL_READ_EX,
	SSL_WRITE,
	SSL_WRITE_EX,
	SSL_DO_HANDSHAKE, /* SSL_accept() and SSL_connect() end in it */
	FUNCTIONS_COUNT,
};

static const char *const names[FUNCTIONS_COUNT] = {
	[SSL_READ] = "SSL_read",
	[SSL_READ_EX] = "SSL_read_ex",
	[SSL_WRITE] = "SSL_write",
	[SSL_WRITE_EX] = "SSL_write_ex",
	[SSL_DO_HANDSHAKE] = "SSL_do_handshake",
};

/* (ssl), (ssl, buffer, bytes), (ssl, buffer, bytes, &moved) */
#define ARGS_HANDSHAKE 1
#define ARGS_COUNT 2
#define ARGS_POINTER 4

struct planner {
	struct elf_file *file;
	struct elf_function functions[FUNCTIONS_COUNT];
	struct tls_plan plan;
	struct err *err;
};

struct function_code {
	uint8_t bytes[CODE_MAX];
	struct uprobe_code code;
};

static void code_read(struct planner *p, const struct elf_function *f, struct function_code *ret)
{
	size_t size = f->size && f->size < CODE_MAX ? f->size : CODE_MAX;

	if (!f->size)
		size = INNER_BYTES;
	ret->code = (struct uprobe_code){
		.bytes = ret->bytes,
		.size = elf_file_code(p->file, f->address, ret->bytes, size),
		.address = f->address,
		.whole = f->size && f->size <= CODE_MAX,
	};
}

static int plan_add(struct planner *p, uint64_t address, struct tls_probe probe)
{
	if (p->plan.count == TLS_PROBES_MAX)
		return err_set(p->err, E2BIG, "too many ways out");
	if (elf_file_offset(p->file, address, &probe.offset))
		return err_set(p->err, ENOENT, "its code is not in the file");
	p->plan.probes[p->plan.count++] = probe;
	return 0;
}

static int plan_site(struct planner *p, enum tls_op op, enum tls_form form,
		     const struct uprobe_site *site)
{
	uint64_t cookie = TLS_COOKIE(op, form, site->args[0], site->args[1], site->args[3]);
	int rc = plan_add(p, site->enter, (struct tls_probe){ .cookie = cookie });

	if (!rc && site->by_return)
		rc = plan_add(
			p, site->enter,
			(struct tls_probe){ .cookie = cookie, .leaves = true, .by_return = true });
	for (size_t i = 0; i < site->leaves_count && !rc; i++)
		rc = plan_add(p, site->leaves[i],
			      (struct tls_probe){ .cookie = cookie, .leaves = true });
	return rc;
}

static int plan_code(struct planner *p, enum tls_op op, enum tls_form form, size_t args,
		     const struct uprobe_code *code)
{
	struct uprobe_site site;
	int rc = uprobe_site_find(code, args, &site, p->err);

	return rc ? rc : plan_site(p, op, form, &site);
}

static int plan_function(struct planner *p, enum tls_op op, enum function function, size_t args)
{
	enum tls_form form = args == ARGS_POINTER ? TLS_FORM_POINTER : TLS_FORM_COUNT;
	struct function_code f;
	struct err why = *p->err;
	int rc;

	code_read(p, &p->functions[function], &f);
	rc = plan_code(p, op, form, args, &f.code);
	if (rc) {
		why = *p->err;
		err_set(p->err, -rc, "%s: %.200s", names[function], why.text);
	}
	return rc;
}

/*
 * SSL_read_ex() is often a thin wrapper of a function without a name that SSL_read() calls too:
 * then that one is followed for both. It has the arguments of the wrapper.
 */
static int plan_pair(struct planner *p, enum tls_op op, enum function plain, enum function ex)
{
	struct elf_function inner = { 0 };
	struct function_code f;

	if (!p->functions[ex].size)
		return plan_function(p, op, plain, ARGS_COUNT);
	code_read(p, &p->functions[ex], &f);
	if (!uprobe_site_inner(&f.code, &inner.address)) {
		code_read(p, &p->functions[plain], &f);
		if (uprobe_site_calls(&f.code, inner.address)) {
			code_read(p, &inner, &f);
			if (!plan_code(p, op, TLS_FORM_POINTER, ARGS_POINTER, &f.code))
				return 0;
		}
	}
	/* one that cannot be followed alone leaves its connections opaque, and they are counted */
	plan_function(p, op, ex, ARGS_POINTER);
	return plan_function(p, op, plain, ARGS_COUNT);
}

int tls_plan_file(const char *path, struct tls_plan *ret_plan, struct err *err)
{
	struct planner p = { .err = err };
	int rc = elf_file_open(path, &p.file);

	if (rc)
		return -ENOENT;
	elf_file_functions(p.file, names, FUNCTIONS_COUNT, p.functions);
	if (!p.functions[SSL_READ].size || !p.functions[SSL_WRITE].size)
		rc = -ENOENT;
	if (!rc)
		rc = plan_pair(&p, TLS_READ, SSL_READ, SSL_READ_EX);
	if (!rc)
		rc = plan_pair(&p, TLS_WRITE, SSL_WRITE, SSL_WRITE_EX);
	if (!rc && p.functions[SSL_DO_HANDSHAKE].size)
		rc = plan_function(&p, TLS_HANDSHAKE, SSL_DO_HANDSHAKE, ARGS_HANDSHAKE);
	elf_file_close(p.file);
	if (!rc)
		*ret_plan = p.plan;
	return rc;
}

/* A file that has been looked at, or is none of ours, is not looked at again. */
struct tls_files {
	struct {
		dev_t device;
		ino_t inode;
	} seen[FILES_MAX];
	size_t count;
};

struct tls_files *tls_files_new(void)
{
	return calloc(1, sizeof(struct tls_files));
}

void tls_files_free(struct tls_files *files)
{
	free(files);
}

/* True the first time; false as well when there are more files than anyone maps. */
static bool is_new(struct tls_files *files, const struct stat *st)
{
	for (size_t i = 0; i < files->count; i++)
		if (files->seen[i].device == st->st_dev && files->seen[i].inode == st->st_ino)
			return false;
	if (files->count == FILES_MAX)
		return false;
	files->seen[files->count].device = st->st_dev;
	files->seen[files->count++].inode = st->st_ino;
	return true;
}

static int plan_and_attach(const char *path, const char *name, tls_attach_fn attach, void *arg,
			   struct err *err)
{
	struct tls_plan plan;
	struct err why = { "" };
	int rc = tls_plan_file(path, &plan, &why);

	if (rc == -ENOENT)
		return rc;
	if (rc)
		return err_set(err, -rc, "the TLS library %.100s cannot be followed: %.140s", name,
			       why.text);
	rc = attach(arg, path, &plan);
	return rc ? err_errno(err, -rc, "cannot attach to the TLS library %.100s", name) : 0;
}

/* START-END PERMISSIONS OFFSET DEVICE INODE PATH; only what code runs from. */
static bool parse_mapping(const char *line, char *ret_range, size_t size, const char **ret_name)
{
	unsigned long start, end, inode;
	char permissions[8];
	int at = 0;

	if (sscanf(line, "%lx-%lx %7s %*x %*x:%*x %lu %n", &start, &end, permissions, &inode, &at) <
		    4 ||
	    permissions[2] != 'x' || !inode)
		return false;
	snprintf(ret_range, size, "%lx-%lx", start, end);
	*ret_name = line + at;
	return true;
}

/* The mapping itself names the file whatever became of its path; some lack the right for it. */
static bool mapped_file(pid_t pid, const char *range, const char *name, char *ret_path, size_t size,
			struct stat *ret_stat)
{
	snprintf(ret_path, size, "/proc/%d/map_files/%s", (int)pid, range);
	if (!stat(ret_path, ret_stat))
		return true;
	snprintf(ret_path, size, "/proc/%d/root%s", (int)pid, name);
	return !stat(ret_path, ret_stat);
}

int tls_files_look(struct tls_files *files, pid_t pid, tls_attach_fn attach, void *arg,
		   struct err *err)
{
	char path[4200], line[4200], range[64];
	struct err why = { "" };
	int result = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		const char *name;
		struct stat st;
		int rc;

		line[strcspn(line, "\n")] = 0;
		if (!parse_mapping(line, range, sizeof(range), &name) ||
		    !mapped_file(pid, range, name, path, sizeof(path), &st) || !is_new(files, &st))
			continue;
		rc = plan_and_attach(path, name, attach, arg, &why);
		if (rc && rc != -ENOENT && !result) {
			result = rc;
			*err = why;
		}
	}
	if (maps)
		fclose(maps);
	return result;
}

static const char *const host_places[] = {
	"/usr/lib/*/libssl.so.*", "/usr/lib64/libssl.so.*",	 "/usr/lib/libssl.so.*",
	"/lib/*/libssl.so.*",	  "/usr/local/lib*/libssl.so.*",
};

int tls_try_host(tls_attach_fn attach, void *arg, struct err *err)
{
	int rc = -ENOENT;

	for (size_t i = 0; i < sizeof(host_places) / sizeof(host_places[0]); i++) {
		glob_t found;

		if (rc == -ENOENT && !glob(host_places[i], 0, NULL, &found)) {
			rc = plan_and_attach(found.gl_pathv[0], found.gl_pathv[0], attach, arg,
					     err);
			globfree(&found);
		}
	}
	if (rc == -ENOENT)
		err_set(err, ENOENT,
			"this host has no libssl.so to try; a container's is tried when it is "
			"captured");
	return rc;
}

#endif
