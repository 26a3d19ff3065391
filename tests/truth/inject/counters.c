/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Works and sleeps by turns for --for, followed by the probes of a run, and prints what the probes
 * and what the kernel itself have counted of it meanwhile, in ns:
 * run_delay,waited,woken,elapsed,counted,throttled,group_throttled,blocked,queued,device,irq_timer,
 * irq_other,interrupts,began,misses
 * `run_delay` is the scheduler's own (/proc/thread-self/schedstat), `waited` the probes' run queue,
 * preemption and throttling, `woken` their waking of an idle CPU, which the scheduler does not count
 * as a wait; `elapsed` is the clock, `counted` all states together. With --group it is alone in that
 * cgroup, whose cpu.stat tells `group_throttled`; with --read it reads from there, past the cache,
 * instead of working: `blocked` is its wait, `queued` of it before the device had it, and `device` what
 * --stat (of /sys/block) counted. `irq_timer` and `irq_other` are what interrupted it since `began`, on CLOCK_MONOTONIC; with --nudge
 * N another thread interrupts its CPU N times; `interrupts` are all that came from others so.
 */
#include "probe/probe.h"
#include "truth.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define BLOCKS 1024 /* read one after the other, then again */

static uint64_t cpu, for_ns = 2000000000, work_ns = 300000, sleep_ns = 1000000, nudges;
static const char *group, *read_from, *stat_of;

struct reading {
	int64_t interrupts; /* of other CPUs, by /proc/interrupts */
	int64_t run_delay_ns, throttled_ns, device_ns, now_ns;
	uint64_t counters[TS_COUNT];
};

/* The n-th word, from 1, of the line of a file of the kernel's that begins with `line_begin`. */
static int64_t number_in(const char *path, const char *line_begin, int n)
{
	FILE *f = fopen(path, "re");
	char line[256], *word = NULL, *rest;

	if (!f)
		die(path);
	while (!word && fgets(line, sizeof(line), f))
		if (!strncmp(line + strspn(line, " "), line_begin, strlen(line_begin)))
			word = strtok_r(line, " ", &rest);
	while (word && --n)
		word = strtok_r(NULL, " ", &rest);
	if (!word)
		die(path);
	fclose(f);
	return strtoll(word, NULL, 10);
}

static int64_t group_throttled(void)
{
	char path[256];

	if (!group)
		return 0;
	snprintf(path, sizeof(path), "%s/cpu.stat", group);
	return number_in(path, "throttled_time ", 2);
}

static void group_join(void)
{
	char path[256];
	FILE *f;

	if (!group)
		return;
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	f = fopen(path, "we");
	if (!f || fprintf(f, "%d", getpid()) < 0 || fclose(f))
		die(path);
}

static struct reading look(const struct thread_slot *slot)
{
	struct reading r = {
		.run_delay_ns = number_in("/proc/thread-self/schedstat", "", 2),
		.throttled_ns = group_throttled(),
		.interrupts = nudges ? number_in("/proc/interrupts", "CAL:", 2 + (int)cpu) : 0,
		.device_ns = stat_of ? number_in(stat_of, "", 4) * 1000000 : 0,
	};

	probe_read_own(slot, r.counters, &r.now_ns);
	return r;
}

static void work_and_sleep(int64_t until)
{
	const struct timespec pause = { 0, (long)sleep_ns };

	while (clock_ns(CLOCK_MONOTONIC) < until) {
		int64_t burnt = clock_ns(CLOCK_THREAD_CPUTIME_ID) + (int64_t)work_ns;

		while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < burnt)
			;
		if (sleep_ns)
			nanosleep(&pause, NULL);
	}
}

static void read_blocks(int64_t until)
{
	int fd = must(open(read_from, O_RDONLY | O_DIRECT | O_CLOEXEC), read_from);
	void *block = must_alloc(aligned_alloc(BLOCK_BYTES, BLOCK_BYTES));

	for (off_t i = 0; clock_ns(CLOCK_MONOTONIC) < until; i++)
		must(pread(fd, block, BLOCK_BYTES, i % BLOCKS * BLOCK_BYTES), read_from);
	free(block);
	close(fd);
}

static void work(void)
{
	int64_t until = clock_ns(CLOCK_MONOTONIC) + (int64_t)for_ns;

	if (read_from)
		read_blocks(until);
	else
		work_and_sleep(until);
}

/* Each has every CPU that runs a thread of this process interrupted, but the caller's. */
static void *nudge(void *unused)
{
	const struct timespec pause = { 0, 100000 };

	for (uint64_t i = 0; i < nudges; i++) {
		must(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), "membarrier");
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void nudge_start(pthread_t *ret_thread)
{
	pthread_attr_t attr;
	cpu_set_t cpus;

	must(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0),
	     "membarrier");
	must(sched_getaffinity(0, sizeof(cpus), &cpus), "affinity");
	CPU_CLR(cpu, &cpus);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	if (pthread_create(ret_thread, &attr, nudge, NULL))
		die("thread");
	pthread_attr_destroy(&attr);
}

static int64_t grown(const struct reading *before, const struct reading *after, int state)
{
	return (int64_t)(after->counters[state] - before->counters[state]);
}

static void print(const struct reading *before, const struct reading *after, uint64_t misses)
{
	int64_t counted = 0;

	for (int i = 0; i < TS_COUNT; i++)
		counted += grown(before, after, i);
	printf("run_delay,waited,woken,elapsed,counted,throttled,group_throttled,blocked,queued,device,"
	       "irq_timer,irq_other,interrupts,began,misses\n"
	       "%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%lu\n",
	       after->run_delay_ns - before->run_delay_ns,
	       grown(before, after, TS_RUNQUEUE) + grown(before, after, TS_PREEMPTED) +
		       grown(before, after, TS_THROTTLED),
	       grown(before, after, TS_WAKEUP), after->now_ns - before->now_ns, counted,
	       grown(before, after, TS_THROTTLED), after->throttled_ns - before->throttled_ns,
	       grown(before, after, TS_WAIT_BLOCK) + grown(before, after, TS_WAIT_QUEUE),
	       grown(before, after, TS_WAIT_QUEUE), after->device_ns - before->device_ns,
	       grown(before, after, TS_IRQ_TIMER), grown(before, after, TS_IRQ_OTHER),
	       after->interrupts - before->interrupts, before->now_ns, misses);
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "cpu", .number = &cpu },
		{ "for", .number = &for_ns },
		{ "work", .number = &work_ns },
		{ "sleep", .number = &sleep_ns },
		{ "group", .text = &group },
		{ "read", .text = &read_from },
		{ "stat", .text = &stat_of },
		{ "nudge", .number = &nudges },
		{ 0 },
	};
	struct probe_losses losses;
	const struct thread_slot *slot;
	struct probe_guard *guard;
	struct reading before, after;
	struct err err = { 0 };
	pthread_t nudger;
	cpu_set_t cpus;

	take_options(table, argv,
		     "usage: counters [--cpu N] [--for TIME] [--work TIME] [--sleep TIME]\n"
		     "                [--group CGROUP] [--read FILE --stat FILE] [--nudge N]\n");
	if (probe_guard_new(&guard, &err)) {
		fprintf(stderr, "counters: %s\n", err.text);
		return 1;
	}
	if (nudges)
		nudge_start(&nudger);
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	must(sched_setaffinity(0, sizeof(cpus), &cpus), "affinity");
	group_join();
	slot = probe_own_slot(probe_guard_slots(guard));
	if (!slot)
		die("its own slot");
	before = look(slot);
	work();
	after = look(slot);
	if (nudges)
		pthread_join(nudger, NULL);
	must(probe_guard_losses(guard, &losses), "losses");
	print(&before, &after, losses.misses);
	probe_guard_free(guard);
	return 0;
}
