/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that are not there for a known time: a thread is told of each that somebody touches
 * (userfaultfd), and fills it so much later. Or memory that nobody has touched, of which the kernel has
 * to make some: in huge pages, so that it takes its time for that, and little to get there. When that was
 * stands in --fault-log: rows of start_ns,end_ns on CLOCK_MONOTONIC.
 */
#include "server.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGES 4096 /* a request touches a new one */
#define PAGE 4096

#define FRESH (768u << 20) /* a request touches the next part */
#define HUGE (2u << 20)

static volatile char *pages, *fresh;
static FILE *fresh_log;
static _Atomic uint64_t touched;
static int told = -1;

static void fill(uint64_t address, FILE *log)
{
	struct uffdio_zeropage zero = { .range = { address & ~(uint64_t)(PAGE - 1), PAGE } };
	int64_t start = clock_ns(CLOCK_MONOTONIC), end = start + (int64_t)opts.fault_ns;
	struct timespec until = { end / 1000000000, end % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	end = clock_ns(CLOCK_MONOTONIC);
	must(ioctl(told, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE");
	fprintf(log, "%ld,%ld\n", start, end);
	fflush(log);
}

static void *fill_touched(void *arg)
{
	FILE *log = fopen(opts.fault_log, "we");
	struct uffd_msg msg;

	if (!log)
		die(opts.fault_log);
	while (read(told, &msg, sizeof(msg)) == sizeof(msg))
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			fill(msg.arg.pagefault.address, log);
	return NULL;
}

static volatile char *map(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void fresh_init(void)
{
	fresh = map(FRESH + HUGE);
	fresh += HUGE - (uintptr_t)fresh % HUGE;
	must(madvise((void *)fresh, FRESH, MADV_HUGEPAGE), "MADV_HUGEPAGE");
	fresh_log = fopen(opts.fault_log, "we");
	if (!fresh_log)
		die(opts.fault_log);
}

static void fresh_touch(void)
{
	uint64_t from = atomic_fetch_add(&touched, opts.fresh_bytes);
	int64_t start = clock_ns(CLOCK_MONOTONIC);

	if (from + opts.fresh_bytes > FRESH)
		die("--fresh: all of it was touched");
	for (uint64_t i = 0; i < opts.fresh_bytes; i += PAGE)
		fresh[from + i] = 1;
	fprintf(fresh_log, "%ld,%ld\n", start, clock_ns(CLOCK_MONOTONIC));
	fflush(fresh_log);
}

void fault_init(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register all = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	if (opts.fresh_bytes)
		fresh_init();
	if (!opts.fault_ns)
		return;
	pages = map(PAGES * PAGE);
	told = (int)must(syscall(SYS_userfaultfd, O_CLOEXEC), "userfaultfd");
	must(ioctl(told, UFFDIO_API, &api), "UFFDIO_API");
	all.range.start = (uint64_t)pages;
	all.range.len = PAGES * PAGE;
	must(ioctl(told, UFFDIO_REGISTER, &all), "UFFDIO_REGISTER");
	if (pthread_create(&thread, NULL, fill_touched, NULL))
		die("thread");
}

void fault_touch(void)
{
	if (opts.fresh_bytes)
		fresh_touch();
	if (opts.fault_ns)
		(void)pages[atomic_fetch_add(&touched, 1) % PAGES * PAGE];
}
