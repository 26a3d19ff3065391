/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/storage.h"

#include "replay/limits.h"
#include "replay/wire.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct storage_calls storage_calls = {
	.pread = pread,
	.pwrite = pwrite,
	.fsync = fsync,
	.fdatasync = fdatasync,
};

static const struct {
	uint32_t op_flag;
	int open_flag;
} open_flags[] = {
	{ OPF_DIRECT, O_DIRECT },
	{ OPF_SYNC, O_SYNC },
	{ OPF_DSYNC, O_DSYNC },
};
#define OPEN_FLAGS (sizeof(open_flags) / sizeof(open_flags[0]))

/* Noise, so that no layer below compresses or drops it. */
static const void *filler_new(void)
{
	uint64_t *words = mmap(NULL, NODE_CALL_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t x = 0x9e3779b97f4a7c15u;

	if (words == MAP_FAILED)
		return NULL;
	for (size_t i = 0; i < NODE_CALL_BYTES / sizeof(*words); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		words[i] = x;
	}
	return words;
}

/* A directory of our own below `base`, so that no file of anybody else is ever touched. */
static int make_directory(struct storage *s, const char *base, struct err *err)
{
	if (asprintf(&s->path, "%s/gait-node-XXXXXX", base) < 0) {
		s->path = NULL;
		return err_errno(err, ENOMEM, "cannot name a directory");
	}
	if (!mkdtemp(s->path)) {
		int rc = err_errno(err, errno, "cannot create the directory '%s'", s->path);

		free(s->path);
		s->path = NULL;
		return rc;
	}
	s->dir_fd = open(s->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->dir_fd < 0 ? err_errno(err, errno, "cannot open '%s'", s->path) : 0;
}

int storage_init(struct storage *s, const char *dir, uint64_t max_bytes, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	int rc;

	*s = (struct storage){ .dir_fd = -1, .calls = &storage_calls, .max_bytes = max_bytes };
	s->filler = filler_new();
	s->targets = calloc(WIRE_TARGETS_MAX, sizeof(*s->targets));
	if (!s->filler || !s->targets || idmap_init(&s->ids, WIRE_TARGETS_MAX))
		rc = err_errno(err, ENOMEM, "cannot keep %d files", WIRE_TARGETS_MAX);
	else
		rc = make_directory(s, dir ? dir : tmp ? tmp : "/tmp", err);
	if (rc)
		storage_release(s);
	return rc;
}

static void target_free(const struct storage *s, struct target *t)
{
	for (size_t i = 0; i < STORAGE_FLAG_SETS; i++)
		if (t->fds[i] >= 0)
			close(t->fds[i]);
	unlinkat(s->dir_fd, t->name, 0);
	free(t);
}

void storage_reset(struct storage *s)
{
	for (size_t i = 0; i < s->targets_count; i++)
		target_free(s, s->targets[i]);
	s->targets_count = 0;
	s->used_bytes = 0;
	idmap_release(&s->ids);
	if (idmap_init(&s->ids, WIRE_TARGETS_MAX))
		s->ids = (struct idmap){ 0 }; /* check_room() refuses */
}

void storage_release(struct storage *s)
{
	if (s->dir_fd >= 0) {
		storage_reset(s);
		close(s->dir_fd);
	}
	if (s->path)
		rmdir(s->path);
	if (s->filler)
		munmap((void *)s->filler, NODE_CALL_BYTES);
	free(s->path);
	free(s->targets);
	idmap_release(&s->ids);
	*s = (struct storage){ .dir_fd = -1 };
}

/* Below the directory and nowhere else. Kernels before 5.6, and some sandboxes, lack openat2(). */
static int open_beneath(const struct storage *s, const char *name, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC,
				.mode = flags & O_CREAT ? 0600 : 0,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	long fd = syscall(SYS_openat2, s->dir_fd, name, &how, sizeof(how));

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(s->dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : (int)fd;
}

static int write_all(const struct storage *s, int fd, uint64_t bytes, const atomic_bool *stop)
{
	for (uint64_t done = 0; done < bytes;) {
		uint64_t left = bytes - done;
		ssize_t n;

		if (stop && atomic_load(stop))
			return -EINTR;
		n = s->calls->pwrite(fd, s->filler, left < NODE_CALL_BYTES ? left : NODE_CALL_BYTES,
				     (off_t)done);
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (uint64_t)n : 0;
	}
	return s->calls->fsync(fd) ? -errno : 0;
}

static struct target *target_new(struct storage *s, uint64_t target_id, uint64_t bytes)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->target_id = target_id;
	atomic_init(&t->append_at, (int64_t)bytes);
	atomic_init(&t->extent, (int64_t)bytes);
	snprintf(t->name, sizeof(t->name), "t%llu", (unsigned long long)target_id);
	for (size_t i = 0; i < STORAGE_FLAG_SETS; i++)
		t->fds[i] = -1;
	idmap_put(&s->ids, target_id, (uint32_t)s->targets_count);
	s->targets[s->targets_count++] = t;
	s->used_bytes += bytes;
	return t;
}

static int check_room(const struct storage *s, uint64_t target_id, uint64_t bytes, struct err *err)
{
	if (!s->ids.ids || s->targets_count == WIRE_TARGETS_MAX)
		return err_set(err, ENOMEM, "more than %d files", WIRE_TARGETS_MAX);
	if (storage_find(s, target_id))
		return err_set(err, EEXIST, "target %llu comes twice",
			       (unsigned long long)target_id);
	if (bytes > s->max_bytes || s->used_bytes > s->max_bytes - bytes)
		return err_set(err, EDQUOT,
			       "the files take more than %llu bytes: start the node with a larger "
			       "--max-storage",
			       (unsigned long long)s->max_bytes);
	return 0;
}

int storage_lay_out(struct storage *s, uint64_t target_id, uint64_t bytes, const atomic_bool *stop,
		    struct err *err)
{
	int rc = check_room(s, target_id, bytes, err);
	struct target *t;
	int fd;

	if (rc)
		return rc;
	t = target_new(s, target_id, bytes);
	if (!t)
		return err_errno(err, ENOMEM, "cannot lay out a file");
	fd = open_beneath(s, t->name, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return err_errno(err, -fd, "cannot create '%s'", t->name);
	rc = write_all(s, fd, bytes, stop);
	close(fd);
	if (rc)
		return err_errno(err, -rc, "cannot write %llu bytes of '%s'",
				 (unsigned long long)bytes, t->name);
	return 0;
}

struct target *storage_find(const struct storage *s, uint64_t target_id)
{
	uint32_t index = target_id && s->ids.ids ? idmap_get(&s->ids, target_id) : IDMAP_NONE;

	return index == IDMAP_NONE ? NULL : s->targets[index];
}

/* A sync says with its flags how it syncs, not how the file was opened. */
static size_t flag_set(const struct plan_op *op)
{
	size_t set = 0;

	if (op->kind != OP_LOAD && op->kind != OP_STORE)
		return 0;
	for (size_t i = 0; i < OPEN_FLAGS; i++)
		set |= op->flags & open_flags[i].op_flag ? 1u << i : 0;
	return set;
}

static int open_set(const struct storage *s, const struct target *t, size_t set)
{
	int flags = O_RDWR;

	for (size_t i = 0; i < OPEN_FLAGS; i++)
		flags |= set >> i & 1 ? open_flags[i].open_flag : 0;
	return open_beneath(s, t->name, flags);
}

void storage_prepare(struct storage *s, struct target *t, const struct plan_op *op)
{
	bool cold = op->kind == OP_LOAD && !(op->flags & (OPF_CACHED | OPF_DIRECT));
	size_t set = flag_set(op);

	if (t->fds[set] == -1) {
		int fd = open_set(s, t, set);

		t->fds[set] = fd < 0 ? fd - 1 : fd;
	}
	if (cold && op->offset >= 0)
		posix_fadvise(t->fds[set], op->offset, (off_t)op->bytes, POSIX_FADV_DONTNEED);
}

int storage_fd(const struct target *t)
{
	return t->fds[0];
}

/* Counts what a store up to `end` adds to all files; false when that is too much. */
static bool reserve(struct storage *s, struct target *t, int64_t end)
{
	int64_t extent = atomic_load(&t->extent);
	uint64_t more;

	do
		if (end <= extent)
			return true;
	while (!atomic_compare_exchange_weak(&t->extent, &extent, end));
	more = (uint64_t)(end - extent);
	if (atomic_fetch_add(&s->used_bytes, more) + more <= s->max_bytes)
		return true;
	atomic_fetch_sub(&s->used_bytes, more);
	atomic_compare_exchange_strong(&t->extent, &end, extent);
	return false;
}

typedef ssize_t (*move_fn)(const struct storage *s, int fd, void *buffer, size_t bytes, off_t at);

static ssize_t move_in(const struct storage *s, int fd, void *buffer, size_t bytes, off_t at)
{
	return s->calls->pread(fd, buffer, bytes, at);
}

static ssize_t move_out(const struct storage *s, int fd, void *buffer, size_t bytes, off_t at)
{
	return s->calls->pwrite(fd, s->filler, bytes, at);
}

/* One call where one is enough; ends early at the end of the file, or at an error. */
static struct storage_result move(struct storage *s, int fd, const struct plan_op *op,
				  int64_t offset, move_fn fn, void *buffer)
{
	struct storage_result result = { 0, 0, offset };

	while (result.bytes < op->bytes) {
		uint64_t left = op->bytes - result.bytes;
		ssize_t n = fn(s, fd, buffer, left < NODE_CALL_BYTES ? left : NODE_CALL_BYTES,
			       (off_t)(offset + (int64_t)result.bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			result.status = errno;
		if (n <= 0)
			break;
		result.bytes += (uint64_t)n;
	}
	return result;
}

static struct storage_result failed(int status)
{
	return (struct storage_result){ status, 0, TRACE_NONE };
}

static struct storage_result run_load(struct storage *s, struct target *t, int fd,
				      const struct plan_op *op, void *buffer)
{
	return move(s, fd, op, op->offset == TRACE_NONE ? 0 : op->offset, move_in, buffer);
}

static struct storage_result run_store(struct storage *s, struct target *t, int fd,
				       const struct plan_op *op, void *buffer)
{
	bool append = op->flags & OPF_APPEND || op->offset == TRACE_NONE;
	int64_t at = append ? atomic_fetch_add(&t->append_at, (int64_t)op->bytes) : op->offset;

	if (!reserve(s, t, at + (int64_t)op->bytes))
		return failed(EDQUOT);
	return move(s, fd, op, at, move_out, NULL);
}

static struct storage_result run_sync(struct storage *s, struct target *t, int fd,
				      const struct plan_op *op, void *buffer)
{
	int rc = op->flags & OPF_DSYNC ? s->calls->fdatasync(fd) : s->calls->fsync(fd);

	return failed(rc ? errno : 0);
}

static int open_and_close(const struct storage *s, const struct target *t)
{
	int fd = openat(s->dir_fd, t->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int status;

	if (fd < 0)
		return errno;
	status = fstat(fd, &st) ? errno : 0;
	close(fd);
	return status;
}

static struct storage_result run_kernel(struct storage *s, struct target *t, int fd,
					const struct plan_op *op, void *buffer)
{
	struct stat st;

	if (op->flags & OPF_OPEN)
		return failed(open_and_close(s, t));
	if (op->flags & OPF_STAT)
		return failed(fstatat(s->dir_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) ? errno : 0);
	return failed(ENOSYS);
}

typedef struct storage_result (*run_fn)(struct storage *s, struct target *t, int fd,
					const struct plan_op *op, void *buffer);

static const run_fn runs[OP_KIND_COUNT] = {
	[OP_LOAD] = run_load,
	[OP_STORE] = run_store,
	[OP_SYNC] = run_sync,
	[OP_KERNEL] = run_kernel,
};

struct storage_result storage_stat(struct storage *s)
{
	struct stat st;

	return failed(fstatat(s->dir_fd, ".", &st, 0) ? errno : 0);
}

struct storage_result storage_run(struct storage *s, struct target *t, const struct plan_op *op,
				  void *buffer)
{
	int fd = t->fds[flag_set(op)];

	if (!runs[op->kind])
		return failed(ENOSYS);
	if (op->offset != TRACE_NONE && (op->offset < 0 || op->offset > INT64_MAX / 2))
		return failed(EINVAL);
	assert(fd != -1); /* storage_prepare() saw an op like this */
	if (fd < 0)
		return failed(-fd - 1);
	return runs[op->kind](s, t, fd, op, buffer);
}
