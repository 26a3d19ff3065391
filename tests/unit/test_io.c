/* SPDX-License-Identifier: Apache-2.0 */
/* Who else than a worker does I/O: threads of a device, its periodic sync, a ring. */
#include "base/clock.h"
#include "check.h"
#include "replay/node/uring.h"
#include "replay/node/worker.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct {
	const char *text;
	int rc;
	struct io_opts opts;
} texts[] = {
	{ "worker", 0, { IO_WORKER, 0 } },
	{ "threads", 0, { IO_THREADS, 4 } },
	{ "threads:64", 0, { IO_THREADS, 64 } },
	{ "uring", 0, { IO_URING, 64 } },
	{ "uring:4096", 0, { IO_URING, 4096 } },
	{ "threads:65", -ERANGE, { 0 } },
	{ "threads:0", -ERANGE, { 0 } },
	{ "uring:", -EINVAL, { 0 } },
	{ "worker:1", -EINVAL, { 0 } },
	{ "aio", -EINVAL, { 0 } },
	{ "", -EINVAL, { 0 } },
};

static void test_texts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct io_opts opts = { 0 };
		struct err err = { 0 };

		check_case("'%s'", texts[i].text);
		CHECK_EQ(io_opts_parse(texts[i].text, &opts, &err), texts[i].rc);
		CHECK_EQ(opts.mode, texts[i].opts.mode);
		CHECK_EQ(opts.count, texts[i].opts.count);
		CHECK_EQ(!err.text[0], !texts[i].rc);
	}
}

static atomic_int syncs_begun, syncs_ended;

static int count_fdatasync(int fd)
{
	atomic_fetch_add(&syncs_begun, 1);
	fdatasync(fd);
	atomic_fetch_add(&syncs_ended, 1);
	return 0;
}

static const struct storage_calls counted = { pread, pwrite, fsync, count_fdatasync };

struct fixture {
	char dir[64];
	struct devices devices;
	struct storage storage;
	struct exec_setup setup;
	struct spool spool;
	struct io io;
	struct worker worker; /* its mail alone */
	struct target *target;
};

static void open_fixture(struct fixture *f, const char *options, const struct io_opts *opts)
{
	static const struct device_defaults none;
	static const atomic_bool going;
	char text[128];

	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "./gait-test-io-XXXXXX");
	CHECK(mkdtemp(f->dir) != NULL);
	snprintf(text, sizeof(text), "%s%s", f->dir, options); /* a file of its own in there */
	CHECK_EQ(devices_add(&f->devices, text, &none, NULL), 0);
	CHECK_EQ(storage_init(&f->storage, "/tmp", 1 << 24, NULL), 0);
	f->storage.devices = &f->devices;
	f->storage.calls = &counted;
	CHECK_EQ(spool_init(&f->spool, sizeof(struct wire_oprow), NULL), 0);
	f->setup = (struct exec_setup){ .storage = &f->storage,
					.oprows = &f->spool,
					.demand = { COMPUTE_WORK, 1000, &going } };
	io_init(&f->io, opts, &f->setup);
	f->worker.mail_event.fd = eventfd(0, EFD_CLOEXEC);
	CHECK_EQ(storage_device(&f->storage, 0, &going, &f->target, NULL), 0);
}

static void close_fixture(struct fixture *f)
{
	io_stop(&f->io);
	io_release(&f->io);
	close(f->worker.mail_event.fd);
	spool_release(&f->spool);
	storage_release(&f->storage);
	devices_release(&f->devices);
	CHECK_EQ(rmdir(f->dir), 0);
}

/* Waits until so many have come back. */
static void take_back(struct fixture *f, size_t count)
{
	struct pollfd pfd = { .fd = f->worker.mail_event.fd, .events = POLLIN };

	while (count) {
		struct link *done = stack_take(&f->worker.io_done);
		uint64_t events;

		for (; done && count; done = done->next)
			count--;
		if (count && (!CHECK_EQ(poll(&pfd, 1, 10000), 1) ||
			      read(pfd.fd, &events, sizeof(events)) < 0))
			return;
	}
}

static struct io_job job_of(struct fixture *f, const struct plan_op *op)
{
	storage_prepare(&f->storage, f->target, op);
	return (struct io_job){ .worker = &f->worker,
				.op = op,
				.target = f->target,
				.left_ns = clock_now_ns(),
				.result = { .done = true } };
}

#define JOBS 100

static void test_threads(const char *options)
{
	const struct plan_op store = { .kind = OP_STORE, .bytes = 1000, .offset = TRACE_NONE };
	const struct io_opts opts = { IO_THREADS, 3 };
	struct io_job jobs[JOBS];
	struct fixture f;
	char seen[JOBS] = { 0 };

	open_fixture(&f, options, &opts);
	for (size_t i = 0; i < JOBS; i++) {
		jobs[i] = job_of(&f, &store);
		CHECK_EQ(io_start(&f.io, &jobs[i]), 0);
	}
	take_back(&f, JOBS);
	for (size_t i = 0; i < JOBS; i++) {
		CHECK_EQ(jobs[i].result.status, 0);
		CHECK_EQ(jobs[i].result.bytes, 1000);
		CHECK(jobs[i].begun_ns >= jobs[i].left_ns);
		CHECK(jobs[i].result.end_ns >= jobs[i].begun_ns);
		seen[jobs[i].result.offset / 1000]++;
	}
	for (size_t i = 0; i < JOBS; i++)
		CHECK_EQ(seen[i], 1); /* no two at one place */
	close_fixture(&f);
}

static void test_threads_that_sleep(void)
{
	test_threads("");
}

static void test_threads_that_spin(void)
{
	test_threads(",wait-spin");
}

/* A sync is over with a sync of the device that began after it, and one is enough for many. */
static void test_periodic_sync(void)
{
	const struct plan_op sync = { .kind = OP_SYNC, .flags = OPF_DSYNC, .offset = TRACE_NONE };
	const struct plan_op store = { .kind = OP_STORE, .flags = OPF_DSYNC, .bytes = 512 };
	const struct io_opts opts = { IO_THREADS, 2 };
	struct io_job jobs[3];
	struct fixture f;
	int begun;

	open_fixture(&f, ",sync=100", &opts);
	syncs_begun = syncs_ended = 0;
	jobs[0] = job_of(&f, &sync);
	CHECK_EQ(io_await_sync(&f.io, &jobs[0]), 0);
	take_back(&f, 1);
	CHECK_EQ(jobs[0].result.status, 0);
	CHECK(jobs[0].result.end_ns - jobs[0].left_ns >= 50 * NS_PER_MS);
	CHECK(jobs[0].delta[TS_WAIT_SLEEP] >= 50 * NS_PER_MS); /* a timer of ours */

	begun = syncs_begun;
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		jobs[i] = job_of(&f, i ? &store : &sync);
		CHECK_EQ(i ? io_start(&f.io, &jobs[i]) : io_await_sync(&f.io, &jobs[i]), 0);
	}
	take_back(&f, 3);
	CHECK(syncs_ended > begun);
	CHECK_EQ(jobs[2].result.bytes, 512);
	CHECK(jobs[2].result.end_ns > jobs[2].begun_ns);
	close_fixture(&f);
}

/* More than its depth: all are done, none twice. */
static void test_ring(void)
{
	const struct plan_op store = { .kind = OP_STORE, .bytes = 1000, .offset = TRACE_NONE };
	struct io_job jobs[JOBS], *job;
	static char buffer[4096];
	struct uring *ring = NULL;
	struct pollfd pfd;
	struct fixture f;
	size_t done = 0;

	open_fixture(&f, "", &(struct io_opts){ IO_URING, 3 });
	if (!CHECK_EQ(uring_new(3, &ring, NULL), 0))
		return;
	pfd = (struct pollfd){ .fd = uring_event_fd(ring), .events = POLLIN };
	for (size_t i = 0; i < JOBS; i++) {
		jobs[i] = job_of(&f, &store);
		jobs[i].call = storage_plan(&f.storage, f.target, &store);
		uring_add(ring, &f.storage, &jobs[i], buffer);
	}
	while (done < JOBS) {
		uring_flush(ring);
		if (!CHECK_EQ(poll(&pfd, 1, 10000), 1))
			break;
		while ((job = uring_reap(ring))) {
			CHECK_EQ(job->result.status, 0);
			CHECK_EQ(job->result.bytes, 1000);
			done++;
		}
	}
	CHECK_EQ(done, JOBS);
	uring_free(ring);
	CHECK_EQ(f.target->extent, JOBS * 1000);
	close_fixture(&f);
}

int main(void)
{
	RUN(test_texts);
	RUN(test_threads_that_sleep);
	RUN(test_threads_that_spin);
	RUN(test_periodic_sync);
	RUN(test_ring);
	return check_done();
}
