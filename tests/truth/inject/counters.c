/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Works and sleeps by turns for --for, followed by the probes of a run, and prints what the probes
 * and what the kernel itself have counted of it meanwhile, in ns:
 * run_delay,waited,woken,elapsed,counted,throttled,group_throttled,blocked,queued,device,merged,
 * irq_timer,irq_other,interrupts,began,misses
 * `run_delay` is the scheduler's own (/proc/thread-self/schedstat), `waited` the probes' run queue,
 * preemption and throttling, `woken` their waking of an idle CPU, which the scheduler does not count
 * as a wait; `elapsed` is the clock, `counted` all states together. With --group it is alone in that
 * cgroup, whose cpu.stat tells `group_throttled`; with --read it reads from there, past the cache,
 * instead of working: `blocked` is its wait, `queued` of it before the device had it, and `device` what
 * --stat (of /sys/block) counted; with --merge another thread has asked for the block before (back) or
 * behind (front) and waits, or for the last but one, and a third then for the one in between (requests);
 * `merged` is how often the kernel made one request of two. `irq_timer` and `irq_other` are what interrupted it since `began`, on CLOCK_MONOTONIC; with --nudge
 * N another thread interrupts its CPU N times; `interrupts` are all that came from others so.
 */
#include "probe/probe.h"
#include "truth.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define BLOCKS 1024 /* read one after the other, then again */

static uint64_t cpu, for_ns = 2000000000, work_ns = 300000, sleep_ns = 1000000, nudges;
static const char *group, *read_from, *stat_of, *merge;

struct reading {
	int64_t interrupts; /* of other CPUs, by /proc/interrupts */
	int64_t run_delay_ns, throttled_ns, device_ns, merged, now_ns;
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
		.merged = stat_of ? number_in(stat_of, "", 2) : 0,
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

/* Of MERGE_BLOCKS in a row: the own one, that of who has asked before, and, or -1, of who asks after. */
#define MERGE_BLOCKS 3
static const struct merging {
	const char *name;
	int own, before, after;
} mergings[] = {
	{ "back", 1, 0, -1 },
	{ "front", 0, 1, -1 },
	{ "requests", 2, 0, 1 },
};

/* Another thread, which asks when it is told to, behind another one or at once. */
struct asker {
	pthread_t thread;
	pid_t tid;
	off_t at; /* -1: it ends */
	int block;
	const struct asker *behind;
	atomic_bool answered;
	sem_t go, done;
};

static struct asker before_own, own, after_own;
static const struct merging *merging;
static int disk_fd;

static void sem_take(sem_t *sem)
{
	while (sem_wait(sem))
		;
}

static bool waits_for_disk(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		die(path);
	fclose(f);
	return state == 'D';
}

/* Until its request is queued; that it has its answer already leaves nothing to be merged with. */
static void get_behind(const struct asker *a)
{
	while (!waits_for_disk(a->tid) && !a->answered)
		;
}

static void *ask(void *asker)
{
	struct asker *a = asker;
	void *block = must_alloc(aligned_alloc(BLOCK_BYTES, BLOCK_BYTES));

	a->tid = gettid();
	for (sem_post(&a->done);; sem_post(&a->done)) {
		sem_take(&a->go);
		if (a->at < 0)
			break;
		if (a->behind)
			get_behind(a->behind);
		must(pread(disk_fd, block, BLOCK_BYTES, a->at), read_from);
		a->answered = true;
	}
	free(block);
	return NULL;
}

static void asker_tell(struct asker *a, off_t at)
{
	if (a->block < 0)
		return;
	a->at = at < 0 ? at : at + a->block * BLOCK_BYTES;
	a->answered = false;
	sem_post(&a->go);
}

static void read_merged(int64_t until)
{
	void *block = must_alloc(aligned_alloc(BLOCK_BYTES, BLOCK_BYTES));
	off_t at = 0;

	for (; clock_ns(CLOCK_MONOTONIC) < until; at += MERGE_BLOCKS * BLOCK_BYTES) {
		asker_tell(&before_own, at);
		get_behind(&before_own);
		own.answered = false;
		asker_tell(&after_own, at);
		must(pread(disk_fd, block, BLOCK_BYTES, at + merging->own * BLOCK_BYTES),
		     read_from);
		own.answered = true;
		sem_take(&before_own.done);
		if (after_own.block >= 0)
			sem_take(&after_own.done);
	}
	asker_tell(&before_own, -1);
	asker_tell(&after_own, -1);
	free(block);
}

static void work(void)
{
	int64_t until = clock_ns(CLOCK_MONOTONIC) + (int64_t)for_ns;

	if (merging)
		read_merged(until);
	else if (read_from)
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

static void start_elsewhere(pthread_t *ret_thread, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	cpu_set_t cpus;

	must(sched_getaffinity(0, sizeof(cpus), &cpus), "affinity");
	CPU_CLR(cpu, &cpus);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	if (pthread_create(ret_thread, &attr, run, arg))
		die("thread");
	pthread_attr_destroy(&attr);
}

static void nudge_start(pthread_t *ret_thread)
{
	must(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0),
	     "membarrier");
	start_elsewhere(ret_thread, nudge, NULL);
}

static void asker_start(struct asker *a, int block, const struct asker *behind)
{
	a->block = block;
	a->behind = behind;
	sem_init(&a->go, 0, 0);
	sem_init(&a->done, 0, 0);
	if (block < 0)
		return;
	start_elsewhere(&a->thread, ask, a);
	sem_take(&a->done);
}

static void asker_join(struct asker *a)
{
	if (a->block >= 0)
		pthread_join(a->thread, NULL);
}

static void merging_start(void)
{
	for (size_t i = 0; !merging && i < sizeof(mergings) / sizeof(mergings[0]); i++)
		if (!strcmp(mergings[i].name, merge))
			merging = &mergings[i];
	if (!merging || !read_from)
		die("--merge back|front|requests with --read");
	disk_fd = must(open(read_from, O_RDONLY | O_DIRECT | O_CLOEXEC), read_from);
	own.tid = gettid();
	asker_start(&before_own, merging->before, NULL);
	asker_start(&after_own, merging->after, &own);
}

static void merging_end(void)
{
	asker_join(&before_own);
	asker_join(&after_own);
	close(disk_fd);
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
	       "merged,irq_timer,irq_other,interrupts,began,misses\n"
	       "%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%lu\n",
	       after->run_delay_ns - before->run_delay_ns,
	       grown(before, after, TS_RUNQUEUE) + grown(before, after, TS_PREEMPTED) +
		       grown(before, after, TS_THROTTLED),
	       grown(before, after, TS_WAKEUP), after->now_ns - before->now_ns, counted,
	       grown(before, after, TS_THROTTLED), after->throttled_ns - before->throttled_ns,
	       grown(before, after, TS_WAIT_BLOCK) + grown(before, after, TS_WAIT_QUEUE),
	       grown(before, after, TS_WAIT_QUEUE), after->device_ns - before->device_ns,
	       after->merged - before->merged, grown(before, after, TS_IRQ_TIMER),
	       grown(before, after, TS_IRQ_OTHER), after->interrupts - before->interrupts,
	       before->now_ns, misses);
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "cpu", .number = &cpu },	{ "for", .number = &for_ns },
		{ "work", .number = &work_ns }, { "sleep", .number = &sleep_ns },
		{ "group", .text = &group },	{ "read", .text = &read_from },
		{ "stat", .text = &stat_of },	{ "nudge", .number = &nudges },
		{ "merge", .text = &merge },	{ 0 },
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
		     "                [--group CGROUP] [--nudge N]\n"
		     "                [--read FILE --stat FILE [--merge back|front|requests]]\n");
	if (probe_guard_new(&guard, &err)) {
		fprintf(stderr, "counters: %s\n", err.text);
		return 1;
	}
	if (nudges)
		nudge_start(&nudger);
	if (merge)
		merging_start();
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
	if (merge)
		merging_end();
	must(probe_guard_losses(guard, &losses), "losses");
	print(&before, &after, losses.misses);
	probe_guard_free(guard);
	return 0;
}
