/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Works and sleeps by turns for --for, followed by the probes of a run, and prints what the probes
 * and what the kernel itself have counted of it meanwhile, in ns:
 * run_delay,waited,woken,elapsed,counted,misses
 * `run_delay` is the scheduler's own (/proc/thread-self/schedstat), `waited` the probes' run queue,
 * preemption and throttling, `woken` their waking of an idle CPU, which the scheduler does not count
 * as a wait; `elapsed` is the clock, `counted` all states together.
 */
#include "probe/probe.h"
#include "truth.h"

#include <sched.h>
#include <unistd.h>

static uint64_t cpu, for_ns = 2000000000, work_ns = 300000, sleep_ns = 1000000;

struct reading {
	int64_t run_delay_ns, now_ns;
	uint64_t counters[TS_COUNT];
};

static int64_t run_delay(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	int64_t ns;

	if (!f || fscanf(f, "%*d %ld", &ns) != 1)
		die("schedstat");
	fclose(f);
	return ns;
}

static struct reading look(const struct thread_slot *slot)
{
	struct reading r = { .run_delay_ns = run_delay() };

	probe_read_own(slot, r.counters, &r.now_ns);
	return r;
}

static void work(void)
{
	int64_t until = clock_ns(CLOCK_MONOTONIC) + (int64_t)for_ns;
	const struct timespec pause = { 0, (long)sleep_ns };

	while (clock_ns(CLOCK_MONOTONIC) < until) {
		int64_t burnt = clock_ns(CLOCK_THREAD_CPUTIME_ID) + (int64_t)work_ns;

		while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < burnt)
			;
		nanosleep(&pause, NULL);
	}
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
	printf("run_delay,waited,woken,elapsed,counted,misses\n%ld,%ld,%ld,%ld,%ld,%lu\n",
	       after->run_delay_ns - before->run_delay_ns,
	       grown(before, after, TS_RUNQUEUE) + grown(before, after, TS_PREEMPTED) +
		       grown(before, after, TS_THROTTLED),
	       grown(before, after, TS_WAKEUP), after->now_ns - before->now_ns, counted, misses);
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "cpu", .number = &cpu },
		{ "for", .number = &for_ns },
		{ "work", .number = &work_ns },
		{ "sleep", .number = &sleep_ns },
		{ 0 },
	};
	struct probe_losses losses;
	const struct thread_slot *slot;
	struct probe_guard *guard;
	struct reading before, after;
	struct err err = { 0 };
	cpu_set_t cpus;

	take_options(table, argv,
		     "usage: counters [--cpu N] [--for TIME] [--work TIME] [--sleep TIME]\n");
	if (probe_guard_new(&guard, &err)) {
		fprintf(stderr, "counters: %s\n", err.text);
		return 1;
	}
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	must(sched_setaffinity(0, sizeof(cpus), &cpus), "affinity");
	slot = probe_own_slot(probe_guard_slots(guard));
	if (!slot)
		die("its own slot");
	before = look(slot);
	work();
	after = look(slot);
	must(probe_guard_losses(guard, &losses), "losses");
	print(&before, &after, losses.misses);
	probe_guard_free(guard);
	return 0;
}
