/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/storage.h"

#include "replay/net/wire.h"
#include "replay/node/limits.h"
#include "replay/scratch.h"

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

#define MISSING_NAME "missing" /* targets are t1, t2... */

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
	int rc;

	*s = (struct storage){ .dir_fd = -1, .calls = &storage_calls, .max_bytes = max_bytes };
	s->filler = filler_new();
	s->targets = calloc(WIRE_TARGETS_MAX, sizeof(*s->targets));
	if (!s->filler || !s->targets || idmap_init(&s->ids, WIRE_TARGETS_MAX))
		rc = err_errno(err, ENOMEM, "cannot keep %d files", WIRE_TARGETS_MAX);
	else
		rc = make_directory(s, dir ? dir : scratch_directory(), err);
	if (rc)
		storage_release(s);
	return rc;
}

static void target_free(const struct storage *s, struct target *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < STORAGE_FLAG_SETS; i++)
		if (t->fds[i] >= 0)
			close(t->fds[i]);
	if (t->name && t->ours)
		unlinkat(s->dir_fd, t->name, 0);
	free(t->name);
	free(t);
}

void storage_reset(struct storage *s)
{
	for (size_t i = 0; i < s->targets_count; i++)
		target_free(s, s->targets[i]);
	s->targets_count = 0;
	s->used_bytes = s->device_bytes;
	idmap_release(&s->ids);
	if (idmap_init(&s->ids, WIRE_TARGETS_MAX))
		s->ids = (struct idmap){ 0 }; /* check_room() refuses */
}

void storage_release(struct storage *s)
{
	for (size_t i = 0; i < DEVICES_MAX; i++)
		target_free(s, s->opened[i]);
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

static int write_all(const struct storage *s, int fd, uint64_t from, uint64_t bytes,
		     const atomic_bool *stop)
{
	for (uint64_t done = from; done < bytes;) {
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

static struct target *target_new(uint64_t target_id, uint64_t bytes)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->target_id = target_id;
	t->capacity = INT64_MAX;
	atomic_init(&t->append_at, (int64_t)bytes);
	atomic_init(&t->extent, (int64_t)bytes);
	for (size_t i = 0; i < STORAGE_FLAG_SETS; i++)
		t->fds[i] = -1;
	return t;
}

static struct target *add_target(struct storage *s, uint64_t target_id, uint64_t bytes)
{
	struct target *t = target_new(target_id, bytes);

	if (!t)
		return NULL;
	if (asprintf(&t->name, "t%llu", (unsigned long long)target_id) < 0) {
		free(t);
		return NULL;
	}
	t->ours = true;
	idmap_put(&s->ids, target_id, (uint32_t)s->targets_count);
	s->targets[s->targets_count++] = t;
	s->used_bytes += bytes;
	return t;
}

static int check_bytes(const struct storage *s, uint64_t bytes, struct err *err)
{
	if (bytes <= s->max_bytes && s->used_bytes <= s->max_bytes - bytes)
		return 0;
	return err_set(err, EDQUOT,
		       "the files take more than %llu bytes: start the node with a larger "
		       "--max-storage-size",
		       (unsigned long long)s->max_bytes);
}

static int check_room(const struct storage *s, uint64_t target_id, uint64_t bytes, struct err *err)
{
	if (!s->ids.ids || s->targets_count == WIRE_TARGETS_MAX)
		return err_set(err, ENOMEM, "more than %d files", WIRE_TARGETS_MAX);
	if (storage_find(s, target_id))
		return err_set(err, EEXIST, "target %llu comes twice",
			       (unsigned long long)target_id);
	return check_bytes(s, bytes, err);
}

int storage_lay_out(struct storage *s, uint64_t target_id, uint64_t bytes, const atomic_bool *stop,
		    struct err *err)
{
	int rc = check_room(s, target_id, bytes, err);
	struct target *t;
	int fd;

	if (rc)
		return rc;
	t = add_target(s, target_id, bytes);
	if (!t)
		return err_errno(err, ENOMEM, "cannot lay out a file");
	fd = open_beneath(s, t->name, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return err_errno(err, -fd, "cannot create '%s'", t->name);
	rc = write_all(s, fd, 0, bytes, stop);
	close(fd);
	if (rc)
		return err_errno(err, -rc, "cannot write %llu bytes of '%s'",
				 (unsigned long long)bytes, t->name);
	return 0;
}

/* Noise up to the size that was given, so that there is something to load. */
static int lay_out_device(struct storage *s, struct target *t, int fd, const atomic_bool *stop,
			  struct err *err)
{
	int64_t size = (int64_t)t->device->size_bytes, more = size - t->extent;
	int rc = 0;

	if (t->device->block || more <= 0)
		return 0;
	rc = check_bytes(s, (uint64_t)more, err);
	if (rc)
		return rc;
	rc = write_all(s, fd, (uint64_t)t->extent, (uint64_t)size, stop);
	if (rc)
		return err_errno(err, -rc, "cannot write %lld bytes of '%s'", (long long)size,
				 t->name);
	s->used_bytes += (uint64_t)more;
	s->device_bytes += (uint64_t)more;
	t->extent = size;
	return 0;
}

/* What stores may reach: the size that was given, of a block device no more than it has. */
static int64_t capacity_of(const struct storage *s, const struct target *t)
{
	uint64_t size = t->device->size_bytes ? t->device->size_bytes : s->max_bytes;

	if (t->device->block && (!t->device->size_bytes || size > (uint64_t)t->extent))
		return t->extent;
	return size < INT64_MAX ? (int64_t)size : INT64_MAX;
}

static int open_device(struct storage *s, struct target *t, const atomic_bool *stop,
		       struct err *err)
{
	int fd = device_open(t->device, &t->name, &t->ours, err);
	int64_t extent;
	int rc;

	if (fd < 0)
		return fd;
	extent = device_extent(t->device, fd);
	t->extent = extent;
	rc = extent < 0 ? err_errno(err, (int)-extent, "cannot measure '%s'", t->name) :
			  lay_out_device(s, t, fd, stop, err);
	t->capacity = capacity_of(s, t);
	close(fd);
	return rc;
}

int storage_device(struct storage *s, uint32_t index, const atomic_bool *stop,
		   struct target **ret_target, struct err *err)
{
	size_t count = s->devices ? s->devices->count : 0;
	struct target *t;
	int rc;

	if (index >= count)
		return err_set(
			err, ENODEV,
			"there is no storage device %u: the node has %zu, one for each of its --storage",
			index, count);
	if (!s->opened[index]) {
		t = target_new(index + 1, 0);
		if (!t)
			return err_errno(err, ENOMEM, "cannot open a storage device");
		t->device = &s->devices->at[index];
		rc = open_device(s, t, stop, err);
		if (rc) {
			target_free(s, t);
			return rc;
		}
		s->opened[index] = t;
	}
	*ret_target = s->opened[index];
	return 0;
}

struct target *storage_target_of_walk(const struct storage *s, const struct plan_op *op)
{
	bool named = op->target_id && op->target_id <= DEVICES_MAX && op->kind != OP_LOCK;

	return named ? s->opened[op->target_id - 1] : NULL;
}

struct target *storage_find(const struct storage *s, uint64_t target_id)
{
	uint32_t index = target_id && s->ids.ids ? idmap_get(&s->ids, target_id) : IDMAP_NONE;

	return index == IDMAP_NONE ? NULL : s->targets[index];
}

#define ANY_SYNC (OPF_SYNC | OPF_DSYNC)

bool storage_awaits_sync(const struct target *t, const struct plan_op *op)
{
	if (!t->device || !t->device->sync_ms)
		return false;
	return op->kind == OP_SYNC || (op->kind == OP_STORE && op->flags & ANY_SYNC);
}

/* A sync says with its flags how it syncs, not how the file was opened. */
static size_t flag_set(const struct target *t, const struct plan_op *op)
{
	uint32_t flags = op->flags;
	size_t set = 0;

	if (op->kind != OP_LOAD && op->kind != OP_STORE)
		return 0;
	if (t->device && t->device->direct)
		flags |= OPF_DIRECT;
	if (storage_awaits_sync(t, op))
		flags &= ~(uint32_t)ANY_SYNC;
	for (size_t i = 0; i < OPEN_FLAGS; i++)
		set |= flags & open_flags[i].op_flag ? 1u << i : 0;
	return set;
}

static bool is_direct(size_t set)
{
	return open_flags[0].open_flag == O_DIRECT && set & 1;
}

static int open_set(const struct storage *s, const struct target *t, size_t set)
{
	int flags = O_RDWR;

	for (size_t i = 0; i < OPEN_FLAGS; i++)
		flags |= set >> i & 1 ? open_flags[i].open_flag : 0;
	if (!t->device)
		return open_beneath(s, t->name, flags);
	flags = open(t->name, flags | O_CLOEXEC);
	return flags < 0 ? -errno : flags;
}

void storage_prepare(struct storage *s, struct target *t, const struct plan_op *op)
{
	bool cold = op->kind == OP_LOAD && !(op->flags & (OPF_CACHED | OPF_DIRECT));
	size_t set = flag_set(t, op);

	if (t->fds[set] == -1) {
		int fd = open_set(s, t, set);

		t->fds[set] = fd < 0 ? fd - 1 : fd;
		if (is_direct(set) && fd >= 0)
			t->align = device_direct_align(fd);
	}
	if (cold && op->offset >= 0)
		posix_fadvise(t->fds[set], op->offset, (off_t)op->bytes, POSIX_FADV_DONTNEED);
}

int storage_fd(const struct target *t)
{
	return t->fds[0];
}

/* Counts what a store up to `end` adds to all files; 0, or why that is too much. */
static int reserve(struct storage *s, struct target *t, int64_t end)
{
	int64_t extent = atomic_load(&t->extent);
	uint64_t more;

	if (end > t->capacity)
		return EDQUOT;
	do
		if (end <= extent)
			return 0;
	while (!atomic_compare_exchange_weak(&t->extent, &extent, end));
	more = (uint64_t)(end - extent);
	if (atomic_fetch_add(&s->used_bytes, more) + more <= s->max_bytes) {
		if (t->device)
			atomic_fetch_add(&s->device_bytes, more);
		return 0;
	}
	atomic_fetch_sub(&s->used_bytes, more);
	atomic_compare_exchange_strong(&t->extent, &end, extent);
	return EDQUOT;
}

static uint64_t round_up(uint64_t bytes, uint32_t align)
{
	return (bytes + align - 1) / align * align;
}

/* Whole grains, from the one it begins in to the one it ends in. */
static void round_call(struct storage_call *call, uint32_t align)
{
	uint64_t into = call->offset == TRACE_NONE ? 0 : (uint64_t)call->offset % align;
	uint64_t bytes = round_up(into + call->bytes, align);

	call->rounded = into || bytes != call->bytes;
	call->bytes = bytes;
	if (call->offset != TRACE_NONE)
		call->offset -= (int64_t)into;
}

/* The next stretch of `bytes` from *at on; from the beginning again when `limit` comes before. */
static int64_t take_stretch(_Atomic int64_t *at, uint64_t bytes, int64_t limit, uint32_t align)
{
	int64_t before = atomic_load(at), from;

	do {
		from = (int64_t)round_up((uint64_t)before, align ? align : 1);
		if (from > limit - (int64_t)bytes && bytes <= (uint64_t)limit)
			from = 0;
	} while (!atomic_compare_exchange_weak(at, &before, from + (int64_t)bytes));
	return from;
}

static void place_load(struct storage *s, struct target *t, const struct plan_op *op,
		       uint32_t align, struct storage_call *call)
{
	call->kind = CALL_READ;
	call->whole = t->device != NULL;
	if (call->offset == TRACE_NONE)
		call->offset =
			t->device ? take_stretch(&t->load_at, call->bytes, t->extent, align) : 0;
}

int64_t storage_reply_offset(struct target *t, const struct plan_op *op, uint64_t bytes)
{
	if (op->offset != TRACE_NONE || !t->device)
		return op->offset;
	return take_stretch(&t->load_at, bytes, t->extent, 0);
}

static void place_store(struct storage *s, struct target *t, const struct plan_op *op,
			uint32_t align, struct storage_call *call)
{
	call->kind = CALL_WRITE;
	if (op->flags & OPF_APPEND || call->offset == TRACE_NONE)
		call->offset = take_stretch(&t->append_at, call->bytes, t->capacity, align);
	call->status = reserve(s, t, call->offset + (int64_t)call->bytes);
}

static void place_sync(struct storage *s, struct target *t, const struct plan_op *op,
		       uint32_t align, struct storage_call *call)
{
	call->kind = op->flags & OPF_DSYNC ? CALL_FDATASYNC : CALL_FSYNC;
	call->bytes = 0;
	call->offset = TRACE_NONE;
}

typedef void (*place_fn)(struct storage *s, struct target *t, const struct plan_op *op,
			 uint32_t align, struct storage_call *call);

static const place_fn places[OP_KIND_COUNT] = {
	[OP_LOAD] = place_load,
	[OP_STORE] = place_store,
	[OP_SYNC] = place_sync,
};

struct storage_call storage_plan(struct storage *s, struct target *t, const struct plan_op *op)
{
	size_t set = flag_set(t, op);
	uint32_t align = is_direct(set) ? t->align : 0;
	struct storage_call call = { .fd = t->fds[set], .bytes = op->bytes, .offset = op->offset };

	assert(call.fd != -1); /* storage_prepare() saw an op like this */
	if (op->offset != TRACE_NONE && (op->offset < 0 || op->offset > INT64_MAX / 2))
		call.status = EINVAL;
	else if (call.fd < 0)
		call.status = -call.fd - 1;
	else if (align)
		round_call(&call, align);
	if (!call.status)
		places[op->kind](s, t, op, align, &call);
	if (call.status)
		call.kind = CALL_NONE;
	return call;
}

static struct storage_result failed(int status)
{
	return (struct storage_result){ .status = status, .offset = TRACE_NONE };
}

struct storage_result storage_outcome(const struct storage_call *call, int64_t moved)
{
	struct storage_result result = { .offset = call->offset, .rounded = call->rounded };

	if (call->kind == CALL_NONE)
		return failed(call->status);
	result.status = moved < 0 ? (int)-moved : 0;
	result.bytes = moved < 0 ? 0 : (uint64_t)moved;
	if (!result.status && call->whole && result.bytes < call->bytes)
		result.status = ENODATA;
	return result;
}

static ssize_t move_some(const struct storage *s, const struct storage_call *call, uint64_t done,
			 void *buffer)
{
	uint64_t left = call->bytes - done;
	uint64_t bytes = left < NODE_CALL_BYTES ? left : NODE_CALL_BYTES;
	off_t at = (off_t)(call->offset + (int64_t)done);

	return call->kind == CALL_READ ? s->calls->pread(call->fd, buffer, bytes, at) :
					 s->calls->pwrite(call->fd, s->filler, bytes, at);
}

/* One call where one is enough; ends early at the end of the file, or at an error. */
static struct storage_result move(struct storage *s, const struct storage_call *call, void *buffer)
{
	struct storage_result result;
	uint64_t done = 0;
	int status = 0;

	while (done < call->bytes) {
		ssize_t n = move_some(s, call, done, buffer);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			status = errno;
		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	result = storage_outcome(call, (int64_t)done);
	if (status)
		result.status = status;
	return result;
}

struct storage_result storage_perform(struct storage *s, const struct storage_call *call,
				      void *buffer)
{
	int rc = 0;

	if (call->kind == CALL_READ || call->kind == CALL_WRITE)
		return move(s, call, buffer);
	if (call->kind != CALL_NONE)
		rc = call->kind == CALL_FSYNC ? s->calls->fsync(call->fd) :
						s->calls->fdatasync(call->fd);
	return storage_outcome(call, rc ? -errno : 0);
}

static int open_and_close(const struct storage *s, const char *name)
{
	int fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int status;

	if (fd < 0)
		return errno;
	status = fstat(fd, &st) ? errno : 0;
	close(fd);
	return status;
}

/* Of a descriptor that was made for it: what is open stays so. */
static int close_another(const struct storage *s)
{
	int fd = fcntl(s->dir_fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 || close(fd) ? errno : 0;
}

/* A call that failed when it was recorded fails here too: nothing has the name. */
static int look_at(const struct storage *s, const char *name, const struct plan_op *op)
{
	bool missing = op->flags & OPF_FAILED;
	struct stat st;
	int status;

	if (missing)
		name = MISSING_NAME;
	if (op->flags & OPF_OPEN)
		status = open_and_close(s, name);
	else if (op->flags & OPF_STAT)
		status = fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) ? errno : 0;
	else if (op->flags & OPF_CLOSE)
		status = close_another(s);
	else
		status = ENOSYS;
	return missing && status == ENOENT ? 0 : status;
}

struct storage_result storage_look(struct storage *s, const struct plan_op *op)
{
	return failed(look_at(s, ".", op));
}

struct storage_result storage_run(struct storage *s, struct target *t, const struct plan_op *op,
				  void *buffer)
{
	struct storage_call call;

	if (op->kind == OP_KERNEL)
		return failed(look_at(s, t->name, op));
	if (!places[op->kind])
		return failed(ENOSYS);
	call = storage_plan(s, t, op);
	return storage_perform(s, &call, buffer);
}
