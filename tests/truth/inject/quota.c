/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches when a cgroup's CPU quota holds it up, by the group's own cpu.stat: what throttled_time
 * grew by, up to when it was seen, goes to --log as start_ns,end_ns. Ends at SIGTERM.
 */
#include "truth.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LOOK_NS 100000

static struct {
	const char *stat, *log;
	uint64_t cpu;
} opts;

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	ended = 1;
}

static const char usage[] = "usage: quota --stat CGROUP/cpu.stat --log FILE [--cpu N]\n";

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "stat", .text = &opts.stat },
		{ "log", .text = &opts.log },
		{ "cpu", .number = &opts.cpu },
		{ 0 },
	};

	take_options(table, argv, usage);
	if (!opts.stat || !opts.log) {
		fputs(usage, stderr);
		exit(2);
	}
}

/* Over all else on that CPU, so that it looks in time. */
static void take_place(void)
{
	struct sched_param param = { .sched_priority = 60 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(opts.cpu, &cpus);
	must(sched_setaffinity(0, sizeof(cpus), &cpus), "affinity");
	must(sched_setscheduler(0, SCHED_FIFO, &param), "priority");
	prctl(PR_SET_TIMERSLACK, 1);
}

static int64_t throttled_ns(int fd)
{
	char text[512];
	const char *found;
	long n = must(pread(fd, text, sizeof(text) - 1, 0), opts.stat);

	text[n] = 0;
	found = strstr(text, "throttled_time ");
	if (!found)
		die("cpu.stat without throttled_time");
	return strtoll(found + strlen("throttled_time "), NULL, 10);
}

int main(int argc, char **argv)
{
	struct sigaction end = { .sa_handler = on_signal };
	struct timespec pause = { 0, LOOK_NS };
	int64_t before, now;
	FILE *log;
	int fd;

	parse(argv);
	sigaction(SIGTERM, &end, NULL);
	fd = must(open(opts.stat, O_RDONLY | O_CLOEXEC), opts.stat);
	log = fopen(opts.log, "we");
	if (!log)
		die(opts.log);
	fprintf(log, "start_ns,end_ns\n");
	take_place();
	before = throttled_ns(fd);
	puts("ready");
	fflush(stdout);
	for (; !ended; nanosleep(&pause, NULL)) {
		now = throttled_ns(fd);
		if (now != before)
			fprintf(log, "%ld,%ld\n", clock_ns(CLOCK_MONOTONIC) - (now - before),
				clock_ns(CLOCK_MONOTONIC));
		before = now;
	}
	if (fclose(log))
		die(opts.log);
	return 0;
}
