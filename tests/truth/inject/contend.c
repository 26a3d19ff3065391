/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of the kernel that are waited for in calls and in interrupts at once: two threads read one open
 * file, whose offset only one of them can move, while --timers of a kind that all threads' signals pass go
 * off every 0.1 ms. So the kernel's event for a wait interrupts itself, some times a second. Ends after
 * --reads of each thread.
 */
#include "truth.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 100000

static struct {
	const char *file;
	uint64_t reads, timers;
} opts = { .reads = 1000000, .timers = 40 };

static int fd;
static sigset_t signals;

static void *read_on(void *unused)
{
	char byte;

	for (uint64_t i = 0; i < opts.reads; i++) {
		must(lseek(fd, 0, SEEK_SET), opts.file);
		must(read(fd, &byte, 1), opts.file);
	}
	return NULL;
}

static void *take_signals(void *unused)
{
	int number;

	for (;;)
		if (sigwait(&signals, &number))
			die("signal");
	return NULL;
}

static void start_timer(int number)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = number };
	struct itimerspec often = { { 0, PERIOD_NS }, { 0, PERIOD_NS } };
	timer_t timer;

	must(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer");
	must(timer_settime(timer, 0, &often, NULL), "timer");
}

static pthread_t start(void *(*fn)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, NULL))
		die("thread");
	return thread;
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "file", .text = &opts.file },
		{ "reads", .number = &opts.reads },
		{ "timers", .number = &opts.timers },
		{ 0 },
	};
	pthread_t readers[2];

	take_options(table, argv, "usage: contend --file FILE [--reads N] [--timers N]\n");
	if (!opts.file)
		die("--file");
	fd = must(open(opts.file, O_RDONLY | O_CLOEXEC), opts.file);
	sigemptyset(&signals);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		sigaddset(&signals, number);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	start(take_signals);
	start(take_signals);
	for (uint64_t i = 0; i < opts.timers; i++)
		start_timer(SIGRTMIN + (int)(i % 20));
	for (int i = 0; i < 2; i++)
		readers[i] = start(read_on);
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	return 0;
}
