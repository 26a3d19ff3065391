/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/node/limits.h"
#include "replay/node/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Calls as letters: r pread, w pwrite, s fsync, d fdatasync. */
static struct {
	char calls[16];
	int failing; /* errno of every pwrite */
} seen;

static void note(char call)
{
	seen.calls[strlen(seen.calls)] = call;
}

static ssize_t count_pread(int fd, void *buf, size_t bytes, off_t offset)
{
	note('r');
	return pread(fd, buf, bytes, offset);
}

static ssize_t count_pwrite(int fd, const void *buf, size_t bytes, off_t offset)
{
	note('w');
	errno = seen.failing;
	return seen.failing ? -1 : pwrite(fd, buf, bytes, offset);
}

static int count_fsync(int fd)
{
	note('s');
	return 0;
}

static int count_fdatasync(int fd)
{
	note('d');
	return 0;
}

static const struct storage_calls counted = { count_pread, count_pwrite, count_fsync,
					      count_fdatasync };

static const atomic_bool going;
static char dir[64];
static void *buffer;

static void open_storage(struct storage *s, uint64_t max_bytes)
{
	strcpy(dir, "/tmp/gait-test-storage-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	CHECK_EQ(storage_init(s, dir, max_bytes, NULL), 0);
	s->calls = &counted;
	memset(&seen, 0, sizeof(seen));
	if (!buffer)
		buffer = mmap(NULL, NODE_CALL_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Nothing is left behind. */
static void close_storage(struct storage *s)
{
	storage_release(s);
	CHECK_EQ(rmdir(dir), 0);
}

static struct storage_result run(struct storage *s, uint64_t target_id, struct plan_op op)
{
	struct target *t = storage_find(s, target_id);

	op.target_id = target_id;
	storage_prepare(s, t, &op);
	return storage_run(s, t, &op, buffer);
}

static int64_t size_of(const struct storage *s, uint64_t target_id)
{
	struct stat st;

	if (fstatat(s->dir_fd, storage_find(s, target_id)->name, &st, 0))
		return -1;
	return st.st_size;
}

static void test_layout(void)
{
	struct storage s;
	struct stat st;

	open_storage(&s, 1 << 20);
	CHECK_EQ(storage_lay_out(&s, 7, 100000, &going, NULL), 0);
	CHECK_EQ(size_of(&s, 7), 100000);
	CHECK_EQ(fstatat(s.dir_fd, "t7", &st, 0), 0);
	CHECK(st.st_blocks * 512 >= 100000); /* real ones, no hole */
	CHECK_STR(seen.calls, "ws");
	CHECK_EQ(storage_lay_out(&s, 7, 1, &going, NULL), -EEXIST);
	CHECK_EQ(storage_lay_out(&s, 8, 0, &going, NULL), 0);
	CHECK(storage_find(&s, 9) == NULL);
	CHECK(storage_find(&s, 0) == NULL);
	storage_reset(&s); /* as between two sessions */
	CHECK(storage_find(&s, 7) == NULL);
	CHECK_EQ(storage_lay_out(&s, 7, 10, &going, NULL), 0);
	close_storage(&s);
}

#define LOAD(n, at) { .kind = OP_LOAD, .bytes = n, .offset = at }
#define STORE(n, at, how) { .kind = OP_STORE, .flags = how, .bytes = n, .offset = at }
#define SYNC(how) { .kind = OP_SYNC, .flags = how, .offset = TRACE_NONE }
#define KERNEL(how) { .kind = OP_KERNEL, .flags = how, .offset = TRACE_NONE }

/* What each op calls, what it moves and where, and how long a file of 8192 bytes is afterwards. */
static const struct {
	const char *what;
	struct plan_op op;
	const char *calls;
	uint64_t bytes;
	int64_t offset, size;
} ops[] = {
	{ "load", LOAD(100, 50), "r", 100, 50, 8192 },
	{ "load over the end", LOAD(100, 8150), "rr", 42, 8150, 8192 },
	{ "store inside", STORE(9, 5, 0), "w", 9, 5, 8192 },
	{ "store behind the end", STORE(9, 9000, 0), "w", 9, 9000, 9009 },
	{ "append", STORE(9, 3, OPF_APPEND), "w", 9, 8192, 8201 },
	{ "store without offset", STORE(9, TRACE_NONE, 0), "w", 9, 8192, 8201 },
	{ "store with O_DSYNC", STORE(9, 0, OPF_DSYNC), "w", 9, 0, 8192 },
	{ "fsync", SYNC(OPF_SYNC), "s", 0, TRACE_NONE, 8192 },
	{ "fdatasync", SYNC(OPF_DSYNC), "d", 0, TRACE_NONE, 8192 },
	{ "open", KERNEL(OPF_OPEN), "", 0, TRACE_NONE, 8192 },
	{ "stat", KERNEL(OPF_STAT), "", 0, TRACE_NONE, 8192 },
	{ "open of what is not there", KERNEL(OPF_OPEN | OPF_FAILED), "", 0, TRACE_NONE, 8192 },
	{ "stat of what is not there", KERNEL(OPF_STAT | OPF_FAILED), "", 0, TRACE_NONE, 8192 },
};

static void test_ops(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct storage_result result;
		struct storage s;

		check_case("%s", ops[i].what);
		open_storage(&s, 1 << 20);
		storage_lay_out(&s, 7, 8192, &going, NULL);
		memset(&seen, 0, sizeof(seen));
		result = run(&s, 7, ops[i].op);
		CHECK_EQ(result.status, 0);
		CHECK_EQ(result.bytes, ops[i].bytes);
		CHECK_EQ(result.offset, ops[i].offset);
		CHECK_STR(seen.calls, ops[i].calls);
		CHECK_EQ(size_of(&s, 7), ops[i].size);
		close_storage(&s);
	}
}

/* More than one call takes: several, and all of it. */
static void test_large_store(void)
{
	struct plan_op op = { .kind = OP_STORE, .bytes = NODE_CALL_BYTES + 1 };
	struct storage_result result;
	struct storage s;

	open_storage(&s, 4 * NODE_CALL_BYTES);
	storage_lay_out(&s, 7, 0, &going, NULL);
	memset(&seen, 0, sizeof(seen));
	result = run(&s, 7, op);
	CHECK_EQ(result.bytes, NODE_CALL_BYTES + 1);
	CHECK_STR(seen.calls, "ww");
	CHECK_EQ(size_of(&s, 7), NODE_CALL_BYTES + 1);
	close_storage(&s);
}

/* The limit is of all files and of what is appended; a refusal takes nothing of it. */
static void test_limit(void)
{
	struct plan_op append = { .kind = OP_STORE, .flags = OPF_APPEND, .bytes = 400 };
	struct plan_op rewrite = { .kind = OP_STORE, .bytes = 400 };
	struct err err;
	struct storage s;

	open_storage(&s, 1000);
	CHECK_EQ(storage_lay_out(&s, 1, 600, &going, NULL), 0);
	CHECK_EQ(storage_lay_out(&s, 2, 401, &going, &err), -EDQUOT);
	CHECK(strstr(err.text, "--max-storage-size") != NULL);
	CHECK_EQ(run(&s, 1, append).status, 0);
	CHECK_EQ(run(&s, 1, append).status, EDQUOT);
	CHECK_EQ(run(&s, 1, rewrite).status, 0); /* adds nothing */
	CHECK_EQ(s.used_bytes, 1000);
	CHECK_EQ(size_of(&s, 1), 1000);
	close_storage(&s);
}

/* Whatever the device says becomes the op's status. */
static void test_failures(void)
{
	struct plan_op store = { .kind = OP_STORE, .bytes = 10 };
	struct plan_op load = { .kind = OP_LOAD, .bytes = 10, .offset = -5 };
	struct storage s;

	open_storage(&s, 1 << 20);
	storage_lay_out(&s, 7, 100, &going, NULL);
	seen.failing = ENOSPC;
	CHECK_EQ(run(&s, 7, store).status, ENOSPC);
	CHECK_EQ(storage_lay_out(&s, 8, 100, &going, NULL), -ENOSPC);
	seen.failing = 0;
	CHECK_EQ(run(&s, 7, load).status, EINVAL);
	load.offset = INT64_MAX;
	CHECK_EQ(run(&s, 7, load).status, EINVAL);
	unlinkat(s.dir_fd, "t7", 0);
	store.kind = OP_KERNEL;
	store.flags = OPF_OPEN;
	CHECK_EQ(run(&s, 7, store).status, ENOENT);
	close_storage(&s);
}

/* A symbolic link in the way is not followed. */
static void test_no_way_out(void)
{
	struct storage s;
	struct stat st;

	open_storage(&s, 1 << 20);
	CHECK_EQ(symlinkat("/tmp/gait-test-escaped", s.dir_fd, "t7"), 0);
	CHECK_EQ(storage_lay_out(&s, 7, 100, &going, NULL), -EEXIST);
	CHECK_EQ(stat("/tmp/gait-test-escaped", &st), -1);
	close_storage(&s);
}

static void test_stopping(void)
{
	atomic_bool stop = true;
	struct storage s;

	open_storage(&s, 1 << 20);
	CHECK_EQ(storage_lay_out(&s, 7, 100, &stop, NULL), -EINTR);
	close_storage(&s);
}

int main(void)
{
	RUN(test_layout);
	RUN(test_ops);
	RUN(test_large_store);
	RUN(test_limit);
	RUN(test_failures);
	RUN(test_no_way_out);
	RUN(test_stopping);
	return check_done();
}
