/* SPDX-License-Identifier: Apache-2.0 */
/* Storage devices as their user names them, and what ops on them do to the files. */
#include "check.h"
#include "replay/node/limits.h"
#include "replay/node/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *text;
	int rc;
	size_t count;
	struct device first;
} texts[] = {
	{ "/a", 0, 1, { .path = "/a" } },
	{ "file=/a", 0, 1, { .path = "/a" } },
	{ "device=/dev/sdx", 0, 1, { .path = "/dev/sdx", .block = true } },
	{ "/a,size=16m,sync=100,odirect,wait-spin",
	  0,
	  1,
	  { "/a", 16 << 20, 100, true, true, false } },
	{ "/a%d,count=3", 0, 3, { .path = "/a0" } },
	{ "/a%d/b,count=16", 0, 16, { .path = "/a0/b" } },
	{ "/a%d", 0, 1, { .path = "/a%d" } },
	{ "/a,count=2", -EINVAL, 0, { 0 } },
	{ "/a%d,count=17", -ERANGE, 0, { 0 } },
	{ "", -EINVAL, 0, { 0 } },
	{ "file=", -EINVAL, 0, { 0 } },
	{ "size=4k", -EINVAL, 0, { 0 } },
	{ "/a,/b", -EINVAL, 0, { 0 } },
	{ "/a,file=/b", -EINVAL, 0, { 0 } },
	{ "/a,size", -EINVAL, 0, { 0 } },
	{ "/a,odirect=1", -EINVAL, 0, { 0 } },
	{ "/a,sync=-1", -EINVAL, 0, { 0 } },
};

static void test_texts(void)
{
	static const struct device_defaults none;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct devices d = { 0 };
		struct err err = { 0 };

		check_case("'%s'", texts[i].text);
		CHECK_EQ(devices_add(&d, texts[i].text, &none, &err), texts[i].rc);
		CHECK_EQ(!err.text[0], !texts[i].rc);
		if (texts[i].rc)
			continue;
		CHECK_EQ(d.count, texts[i].count);
		CHECK_STR(d.at[0].path, texts[i].first.path);
		CHECK_EQ(d.at[0].size_bytes, texts[i].first.size_bytes);
		CHECK_EQ(d.at[0].sync_ms, texts[i].first.sync_ms);
		CHECK_EQ(d.at[0].direct, texts[i].first.direct);
		CHECK_EQ(d.at[0].wait_spin, texts[i].first.wait_spin);
		CHECK_EQ(d.at[0].block, texts[i].first.block);
		devices_release(&d);
	}
}

static void test_too_many(void)
{
	static const struct device_defaults defaults = { 50, true, false };
	struct devices d = { 0 };

	CHECK_EQ(devices_add(&d, "/a%d,count=10", &defaults, NULL), 0);
	CHECK_EQ(d.at[9].sync_ms, 50);
	CHECK_EQ(d.at[9].direct, true);
	CHECK_EQ(devices_add(&d, "/b%d,count=7", &defaults, NULL), -E2BIG);
	devices_release(&d);
}

static const atomic_bool going;
static char dir[64];
static void *buffer;
static struct devices devices;
static struct storage storage;

/* A storage with one device, DIR before its text. */
static void open_storage(const char *text, uint64_t max_bytes)
{
	static const struct device_defaults none;
	char whole[128];

	strcpy(dir, "./gait-test-device-XXXXXX"); /* tmpfs knows no O_DIRECT on older kernels */
	CHECK(mkdtemp(dir) != NULL);
	snprintf(whole, sizeof(whole), "%s%s", dir, text);
	CHECK_EQ(devices_add(&devices, whole, &none, NULL), 0);
	CHECK_EQ(storage_init(&storage, "/tmp", max_bytes, NULL), 0);
	storage.devices = &devices;
	if (!buffer)
		buffer = mmap(NULL, NODE_CALL_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int64_t size_of(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return stat(path, &st) ? -errno : st.st_size;
}

static void close_storage(void)
{
	char path[128];

	storage_release(&storage);
	devices_release(&devices);
	snprintf(path, sizeof(path), "%s/d", dir);
	unlink(path);
	CHECK_EQ(rmdir(dir), 0); /* all else has been removed */
}

static struct storage_result run(struct plan_op op)
{
	struct target *t = NULL;

	CHECK_EQ(storage_device(&storage, 0, &going, &t, NULL), 0);
	storage_prepare(&storage, t, &op);
	return storage_run(&storage, t, &op, buffer);
}

#define LOAD(n, at) ((struct plan_op){ .kind = OP_LOAD, .bytes = n, .offset = at })
#define STORE(n, at) ((struct plan_op){ .kind = OP_STORE, .bytes = n, .offset = at })
#define SYNC ((struct plan_op){ .kind = OP_SYNC, .flags = OPF_DSYNC, .offset = TRACE_NONE })

/* The file comes with the first op, and stays. */
static void test_file(void)
{
	struct target *t;

	open_storage("/d", 1 << 20);
	CHECK_EQ(device_check(&devices.at[0], NULL), 0);
	CHECK_EQ(size_of("d"), -ENOENT);
	CHECK_EQ(storage_device(&storage, 1, &going, &t, NULL), -ENODEV);
	CHECK_EQ(run(STORE(1000, TRACE_NONE)).offset, 0);
	CHECK_EQ(run(STORE(1000, TRACE_NONE)).offset, 1000);
	CHECK_EQ(run(STORE(10, 5)).offset, 5);
	CHECK_EQ(run(SYNC).status, 0);
	CHECK_EQ(size_of("d"), 2000);
	CHECK_EQ(run(LOAD(1500, TRACE_NONE)).offset, 0);
	CHECK_EQ(run(LOAD(1500, TRACE_NONE)).offset, 0); /* there is no second stretch of 1500 */
	CHECK_EQ(run(LOAD(500, TRACE_NONE)).offset, 1500);
	CHECK_EQ(run(LOAD(100, 1950)).status, ENODATA);
	storage_reset(&storage); /* as between two sessions */
	CHECK_EQ(run(LOAD(100, 0)).status, 0);
	storage_release(&storage);
	CHECK_EQ(size_of("d"), 2000);
	close_storage();
}

/* Laid out to its size, in real blocks; stores without an offset go round, none goes beyond. */
static void test_size(void)
{
	struct storage_result result;

	open_storage("/d,size=64k", 1 << 20);
	result = run(LOAD(65536, 0));
	CHECK_EQ(result.status, 0);
	CHECK_EQ(result.bytes, 65536);
	CHECK_EQ(size_of("d"), 65536);
	CHECK_EQ(run(STORE(40000, TRACE_NONE)).offset, 0);
	CHECK_EQ(run(STORE(40000, TRACE_NONE)).offset, 0);
	CHECK_EQ(run(STORE(25536, TRACE_NONE)).offset, 40000);
	CHECK_EQ(run(STORE(1, 65536)).status, EDQUOT);
	CHECK_EQ(run(STORE(65537, TRACE_NONE)).status, EDQUOT);
	CHECK_EQ(size_of("d"), 65536);
	close_storage();
}

/* -m is of all, and asked before anything is written. */
static void test_limit(void)
{
	struct target *t;
	struct err err;

	open_storage("/d", 10000);
	CHECK_EQ(run(STORE(200000, 0)).status, EDQUOT);
	CHECK_EQ(run(STORE(200000, TRACE_NONE)).status, EDQUOT);
	CHECK_EQ(run(STORE(1, 10000)).status, EDQUOT);
	CHECK_EQ(size_of("d"), 0);
	CHECK_EQ(run(STORE(10000, 0)).status, 0);
	CHECK_EQ(storage_lay_out(&storage, 7, 1, &going, &err), -EDQUOT);
	storage_reset(&storage);
	CHECK_EQ(storage_lay_out(&storage, 7, 1, &going, &err), -EDQUOT); /* it is still there */
	close_storage();
	open_storage("/d,size=64k", 10000);
	CHECK_EQ(storage_device(&storage, 0, &going, &t, &err), -EDQUOT);
	CHECK(strstr(err.text, "--max-storage-size") != NULL);
	close_storage();
}

/* A file of our own in it, which is gone afterwards; what was there stays. */
static void test_directory(void)
{
	int entries = 0;
	DIR *d;

	open_storage("", 1 << 20);
	CHECK_EQ(run(STORE(1000, 0)).status, 0);
	CHECK_EQ(size_of("d"), -ENOENT);
	d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		entries += e->d_name[0] != '.';
	closedir(d);
	CHECK_EQ(entries, 1);
	close_storage();
}

/* Sizes and offsets become whole grains, and that is told; no call fails for it. */
static void test_direct(void)
{
	struct storage_result result;
	struct target *t;

	open_storage("/d,odirect,size=1m", 1 << 24);
	CHECK_EQ(storage_device(&storage, 0, &going, &t, NULL), 0);
	result = run(STORE(4096, 4096));
	CHECK_EQ(result.status, 0);
	CHECK_EQ(result.rounded, false);
	CHECK(t->align >= 512 && t->align <= 65536);
	CHECK(fcntl(t->fds[1], F_GETFL) & O_DIRECT);
	result = run(LOAD(100, 4095 + 8192));
	CHECK_EQ(result.status, 0);
	CHECK_EQ(result.rounded, true);
	CHECK_EQ(result.bytes % t->align, 0);
	CHECK_EQ(result.offset % t->align, 0);
	CHECK(result.offset <= 4095 + 8192 && result.offset + result.bytes >= 4095 + 8192 + 100);
	result = run(STORE(1, TRACE_NONE));
	CHECK_EQ(result.status, 0);
	CHECK_EQ(result.bytes, t->align);
	result = run(STORE(1, TRACE_NONE));
	CHECK_EQ(result.offset % t->align, 0);
	close_storage();
}

static void test_kinds(void)
{
	static const struct {
		struct device device;
		int rc;
		const char *says;
	} kinds[] = {
		{ { .path = "/nowhere/x" }, -ENOENT, "/nowhere/x" },
		{ { .path = "/dev/null" }, -EINVAL, "no file, directory or block device" },
		{ { .path = "/tmp", .block = true }, -EINVAL, "no block device" },
		{ { .path = "/tmp" }, 0, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct err err = { 0 };

		check_case("%s", kinds[i].device.path);
		CHECK_EQ(device_check(&kinds[i].device, &err), kinds[i].rc);
		CHECK(strstr(err.text, kinds[i].says) != NULL);
	}
}

/* Which ops are over only with the device's next periodic sync. */
static void test_periodic(void)
{
	struct plan_op store = STORE(10, 0);
	struct target *t = NULL;
	int flags;

	open_storage("/d,sync=50", 1 << 20);
	CHECK_EQ(storage_device(&storage, 0, &going, &t, NULL), 0);
	CHECK(storage_awaits_sync(t, &SYNC));
	CHECK(!storage_awaits_sync(t, &store));
	store.flags = OPF_DSYNC;
	CHECK(storage_awaits_sync(t, &store));
	CHECK_EQ(run(store).status, 0);
	flags = fcntl(t->fds[0], F_GETFL);
	CHECK(flags >= 0 && !(flags & O_DSYNC)); /* the store itself does not wait */
	close_storage();
}

int main(void)
{
	RUN(test_texts);
	RUN(test_too_many);
	RUN(test_file);
	RUN(test_size);
	RUN(test_limit);
	RUN(test_directory);
	RUN(test_direct);
	RUN(test_kinds);
	RUN(test_periodic);
	return check_done();
}
