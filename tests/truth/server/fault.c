/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that are not there for a known time: a thread is told of each that somebody touches
 * (userfaultfd), and fills it so much later. When that was stands in --fault-log: rows of
 * start_ns,end_ns on CLOCK_MONOTONIC.
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

static volatile char *pages;
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

void fault_init(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register all = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	if (!opts.fault_ns)
		return;
	pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (pages == MAP_FAILED)
		die("mmap");
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
	if (opts.fault_ns)
		(void)pages[atomic_fetch_add(&touched, 1) % PAGES * PAGE];
}
