/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node's storage ops reach of the device, in one run with their reference:
 *
 *	store   4 KiB and fdatasync, against a loop of pwrite() and fdatasync()
 *	load    random 4 KiB with O_DIRECT, 32 under way, against fio with io_uring
 *
 * bench_storage DIR [SECONDS]: DIR is on the device. A node of its own in this process
 * is not asked over a network: ops go through its executor and its ring, as a worker's
 * do. CSV; the ratio is the median of those of rounds that alternate.
 */
#include "base/clock.h"
#include "replay/node/limits.h"
#include "replay/node/uring.h"
#include "replay/node/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 9
#define BLOCK 4096
#define FILE_BYTES (256u << 20)
#define DEPTH 32

static const atomic_bool going;
static struct storage storage;
static struct devices devices;
static struct spool spool;
static struct executor executor;
static const char *dir;
static double seconds = 0.5;

static void die(const char *what)
{
	fprintf(stderr, "bench_storage: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t end_of_round(void)
{
	return clock_now_ns() + (int64_t)(seconds * (double)NS_PER_SEC);
}

/* Of `count` done since then. */
static double rate(uint64_t count, int64_t start_ns)
{
	return (double)count * (double)NS_PER_SEC / (double)(clock_now_ns() - start_ns);
}

static double raw_stores(void)
{
	char path[4096];
	int64_t start_ns, until_ns;
	uint64_t count = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/bench-raw", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || pwrite(fd, storage.filler, 16 * BLOCK, 0) < 0 || fsync(fd))
		die(path);
	start_ns = clock_now_ns();
	for (until_ns = end_of_round(); clock_now_ns() < until_ns; count++)
		if (pwrite(fd, storage.filler, BLOCK, (off_t)(count % 16 * BLOCK)) != BLOCK ||
		    fdatasync(fd))
			die(path);
	close(fd);
	unlink(path);
	return rate(count, start_ns);
}

static double node_stores(struct target *t)
{
	struct plan_op store = { .kind = OP_STORE, .bytes = BLOCK, .target_id = t->target_id };
	const struct plan_op sync = {
		.kind = OP_SYNC, .flags = OPF_DSYNC, .offset = TRACE_NONE, .target_id = t->target_id
	};
	int64_t start_ns = clock_now_ns(), until_ns = end_of_round();
	uint64_t count = 0;

	storage_prepare(&storage, t, &store);
	for (; clock_now_ns() < until_ns; count++) {
		store.offset = (int64_t)(count % 16 * BLOCK);
		if (exec_alone(&executor, &store, t, NULL) || exec_alone(&executor, &sync, t, NULL))
			die("store");
	}
	spool_drain(&spool);
	return rate(count, start_ns);
}

/* A pseudo-random block of the file. */
static int64_t random_offset(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (int64_t)(x % (FILE_BYTES / BLOCK)) * BLOCK;
}

static void add_load(struct uring *ring, struct io_job *job, struct plan_op *op)
{
	op->offset = random_offset();
	job->call = storage_plan(&storage, job->target, op);
	uring_add(ring, &storage, job, executor.buffer);
}

static double node_loads(struct target *t)
{
	struct plan_op op = { .kind = OP_LOAD, .bytes = BLOCK, .target_id = t->target_id };
	struct io_job jobs[DEPTH], *job;
	int64_t start_ns, until_ns;
	struct uring *ring;
	struct pollfd pfd;
	uint64_t count = 0, events;

	storage_prepare(&storage, t, &op);
	if (uring_new(DEPTH, &ring, NULL))
		die("io_uring");
	pfd = (struct pollfd){ .fd = uring_event_fd(ring), .events = POLLIN };
	start_ns = clock_now_ns();
	until_ns = end_of_round();
	for (size_t i = 0; i < DEPTH; i++) {
		jobs[i] = (struct io_job){ .op = &op, .target = t };
		add_load(ring, &jobs[i], &op);
	}
	while (clock_now_ns() < until_ns) {
		uring_flush(ring);
		if (poll(&pfd, 1, -1) < 0 || read(pfd.fd, &events, sizeof(events)) < 0)
			die("io_uring");
		for (; (job = uring_reap(ring)); count++) {
			if (job->result.status)
				die("load");
			add_load(ring, job, &op);
		}
	}
	uring_free(ring);
	return rate(count, start_ns);
}

/* fio's terse output, version 3: the 8th field is the reads a second. */
static double fio_loads(struct target *t)
{
	char command[8192], line[16384], *field = line;
	FILE *fio;

	snprintf(command, sizeof(command),
		 "fio --name=b --filename='%s' --rw=randread --bs=%d --direct=1 --iodepth=%d "
		 "--ioengine=io_uring --time_based --runtime=%.0fms --size=%u --norandommap "
		 "--output-format=terse --terse-version=3",
		 t->name, BLOCK, DEPTH, seconds * 1000, FILE_BYTES);
	fio = popen(command, "r");
	if (!fio || !fgets(line, sizeof(line), fio))
		die("fio");
	pclose(fio);
	for (int i = 0; i < 7 && field; i++)
		field = strchr(field, ';') ? strchr(field, ';') + 1 : NULL;
	return field ? strtod(field, NULL) : 0;
}

static double raw_stores_of(struct target *t)
{
	return raw_stores();
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void compete(const char *name, struct target *t, double (*ours)(struct target *),
		    double (*reference)(struct target *))
{
	double mine[ROUNDS], theirs[ROUNDS], ratios[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		if (i % 2)
			mine[i] = ours(t);
		theirs[i] = reference(t);
		if (!(i % 2))
			mine[i] = ours(t);
		ratios[i] = mine[i] / theirs[i];
	}
	qsort(mine, ROUNDS, sizeof(mine[0]), compare);
	qsort(theirs, ROUNDS, sizeof(theirs[0]), compare);
	qsort(ratios, ROUNDS, sizeof(ratios[0]), compare);
	printf("%s,%.0f,%.0f,%.3f\n", name, mine[ROUNDS / 2], theirs[ROUNDS / 2],
	       ratios[ROUNDS / 2]);
	fflush(stdout);
}

/* Device 0 through the cache, device 1 past it. */
static void set_up(struct exec_setup *setup)
{
	static const struct device_defaults none;
	char text[4200];

	snprintf(text, sizeof(text), "%s,size=64k", dir);
	if (devices_add(&devices, text, &none, NULL))
		die(text);
	snprintf(text, sizeof(text), "%s,odirect,size=%u", dir, FILE_BYTES);
	if (devices_add(&devices, text, &none, NULL) ||
	    storage_init(&storage, dir, NODE_STORAGE_BYTES, NULL) ||
	    spool_init(&spool, sizeof(struct wire_oprow), NULL))
		die(dir);
	storage.devices = &devices;
	*setup = (struct exec_setup){ .storage = &storage,
				      .oprows = &spool,
				      .demand = { COMPUTE_WORK, 1, &going } };
	if (executor_init(&executor, setup, 0))
		die("executor");
	executor_begin(&executor);
}

int main(int argc, char **argv)
{
	struct target *cached = NULL, *direct = NULL;
	struct exec_setup setup;
	struct err err;

	if (argc < 2) {
		fprintf(stderr, "usage: bench_storage DIR [SECONDS]\n");
		return 2;
	}
	dir = argv[1];
	seconds = argc > 2 ? atof(argv[2]) : seconds;
	set_up(&setup);
	if (storage_device(&storage, 0, &going, &cached, &err) ||
	    storage_device(&storage, 1, &going, &direct, &err)) {
		fprintf(stderr, "bench_storage: %s\n", err.text);
		return 1;
	}
	puts("what,node_per_s,reference_per_s,ratio");
	compete("store 4k and fdatasync / raw loop", cached, node_stores, raw_stores_of);
	compete("load 4k direct depth 32 / fio io_uring", direct, node_loads, fio_loads);
	executor_release(&executor);
	spool_release(&spool);
	storage_release(&storage);
	devices_release(&devices);
	return 0;
}
