/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/demand.h"

#include "base/clock.h"
#include "base/work.h"
#include "replay/node/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS 10 /* between two looks at *stopping */
#define LOOKS 64
#define WALL_LOOK_NS 50 /* more than one takes */
#define KERNEL_RUNS 16
#define KERNEL_CALL_BYTES 16384

static bool is_stopping(const struct demand *d)
{
	return atomic_load_explicit(d->stopping, memory_order_relaxed);
}

static int64_t cpu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void compute_work(const struct demand *d, uint64_t work)
{
	uint64_t slice = d->work_per_ms * SLICE_MS, left = work;

	while (left > slice && !is_stopping(d)) {
		work_do(slice);
		left -= slice;
	}
	if (left <= slice)
		work_do(left);
}

static int64_t cpu_look_ns; /* what a look at the CPU clock takes of it */
static pthread_once_t look_measured = PTHREAD_ONCE_INIT;

static int compare_ns(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void measure_look(void)
{
	int64_t looks_ns[LOOKS];

	for (int i = 0; i < LOOKS; i++) {
		int64_t start_ns = cpu_now_ns();

		looks_ns[i] = cpu_now_ns() - start_ns;
	}
	qsort(looks_ns, LOOKS, sizeof(looks_ns[0]), compare_ns);
	cpu_look_ns = looks_ns[LOOKS / 2];
}

/*
 * Works for most of what is left and looks again: few looks at the clock for a long
 * stretch, and no way beyond its end where the CPU is slower than calibrated. The last bit goes by calibration, as a look would take longer.
 * A look tells the time of its middle.
 */
static void compute_until(const struct demand *d, int64_t ns, int64_t look_ns,
			  int64_t (*now_ns)(void))
{
	int64_t end_ns = now_ns() + ns - look_ns, left_ns = ns - look_ns;

	while (left_ns > 2 * look_ns && !is_stopping(d)) {
		int64_t part_ns = left_ns - left_ns / 4 - look_ns;

		if (part_ns > SLICE_MS * NS_PER_MS)
			part_ns = SLICE_MS * NS_PER_MS;
		work_do((uint64_t)part_ns * d->work_per_ms / NS_PER_MS + 1);
		left_ns = end_ns - now_ns();
	}
	if (left_ns > 0 && !is_stopping(d))
		work_do((uint64_t)left_ns * d->work_per_ms / NS_PER_MS);
}

static void compute_cpu(const struct demand *d, uint64_t work)
{
	pthread_once(&look_measured, measure_look);
	compute_until(d, (int64_t)(work * NS_PER_MS / d->work_per_ms), cpu_look_ns, cpu_now_ns);
}

static void compute_wall(const struct demand *d, uint64_t work)
{
	compute_until(d, (int64_t)(work * NS_PER_MS / d->work_per_ms), WALL_LOOK_NS, clock_now_ns);
}

typedef void (*compute_fn)(const struct demand *d, uint64_t work);

static const compute_fn computes[COMPUTE_MODE_COUNT] = {
	[COMPUTE_WORK] = compute_work,
	[COMPUTE_CPU] = compute_cpu,
	[COMPUTE_WALL] = compute_wall,
};

void demand_compute(const struct demand *d, uint64_t work)
{
	if (work)
		computes[d->compute](d, work);
}

/* Of all services and clients of this process, so that they contend. */
static pthread_mutex_t locks[NODE_LOCKS] = { [0 ... NODE_LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER };

void demand_lock(const struct demand *d, uint64_t lock, uint64_t work)
{
	pthread_mutex_t *mutex = &locks[lock % NODE_LOCKS];

	pthread_mutex_lock(mutex);
	demand_compute(d, work);
	pthread_mutex_unlock(mutex);
}

/* Without huge pages, so that faults and bytes are one thing. NULL: errno says why. */
static char *map_pages(uint64_t bytes)
{
	char *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	madvise(pages, bytes, MADV_NOHUGEPAGE); /* a kernel without them refuses, and rightly */
	return pages;
}

static void touch_pages(char *pages, uint64_t from, uint64_t to)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint64_t at = from; at < to; at += page)
		*(volatile char *)(pages + at) = 1;
}

int demand_touch(const struct demand *d, uint64_t bytes)
{
	while (bytes && !is_stopping(d)) {
		uint64_t part = bytes < NODE_MEMORY_BYTES ? bytes : NODE_MEMORY_BYTES;
		char *pages = map_pages(part);

		if (!pages)
			return -errno;
		touch_pages(pages, 0, part);
		munmap(pages, part);
		bytes -= part;
	}
	return 0;
}

static uint64_t round_to_page(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

int streamed_prepare(struct streamed *s, uint64_t bytes)
{
	uint64_t needed = round_to_page(bytes < NODE_MEMORY_BYTES ? bytes : NODE_MEMORY_BYTES);

	if (!s->words)
		s->words = (uint64_t *)map_pages(NODE_MEMORY_BYTES);
	if (!s->words)
		return -ENOMEM;
	if (needed > s->bytes) {
		touch_pages((char *)s->words, s->bytes, needed);
		s->bytes = needed;
	}
	return 0;
}

void streamed_release(struct streamed *s)
{
	if (s->words)
		munmap(s->words, NODE_MEMORY_BYTES);
	*s = (struct streamed){ 0 };
}

void demand_stream(const struct demand *d, struct streamed *s, uint64_t bytes)
{
	while (bytes >= sizeof(*s->words) && !is_stopping(d)) {
		uint64_t part = bytes < s->bytes ? bytes : s->bytes;
		size_t words = part / sizeof(*s->words);

		for (size_t i = 0; i < words; i++)
			s->words[i] += i;
		__asm__ volatile("" ::: "memory"); /* what nobody reads must be written still */
		bytes -= words * sizeof(*s->words);
	}
}

static uint64_t kernel_bytes_per_ms;
static pthread_once_t kernel_calibrated = PTHREAD_ONCE_INIT;

static void draw_random(uint64_t bytes)
{
	char drawn[KERNEL_CALL_BYTES];

	while (bytes) {
		ssize_t n = getrandom(drawn, bytes < sizeof(drawn) ? bytes : sizeof(drawn), 0);

		if (n < 0 && errno != EINTR)
			return;
		bytes -= n > 0 ? (uint64_t)n : 0;
	}
}

/* The best of several short runs: most meet no interrupt of the host. */
static void calibrate_kernel(void)
{
	uint64_t best = 1;

	for (int i = 0; i < KERNEL_RUNS; i++) {
		int64_t start_ns = clock_now_ns(), ns;
		uint64_t rate;

		draw_random(16 * KERNEL_CALL_BYTES);
		ns = clock_now_ns() - start_ns;
		rate = ns > 0 ? 16 * KERNEL_CALL_BYTES * NS_PER_MS / (uint64_t)ns : 0;
		best = rate > best ? rate : best;
	}
	kernel_bytes_per_ms = best;
}

void demand_kernel_calibrate(void)
{
	pthread_once(&kernel_calibrated, calibrate_kernel);
}

void demand_kernel(const struct demand *d, uint64_t work)
{
	double ms = (double)work / (double)d->work_per_ms;
	uint64_t left = (uint64_t)(ms * (double)kernel_bytes_per_ms);
	uint64_t slice = SLICE_MS * kernel_bytes_per_ms;

	while (left && !is_stopping(d)) {
		uint64_t part = left < slice ? left : slice;

		draw_random(part);
		left -= part;
	}
}
