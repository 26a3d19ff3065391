/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds something for known times: a CPU, a lock with --lock, or with --file the kernel's own lock of
 * a file, as long as a write of --bytes to it takes. Each time is for --on, with a
 * pause of --off between two. When it had it stands in --log, by its own clock and nothing of
 * gait's: rows of start_ns,end_ns on CLOCK_MONOTONIC. Ends at SIGTERM.
 */
#include "inject/lock.h"
#include "truth.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#define HOLDS_MAX (1 << 20)

static struct {
	uint64_t cpu, priority, seed, bytes;
	struct range on, off;
	const char *log, *lock, *file;
} opts = { .cpu = UINT64_MAX, .seed = 23 };

static volatile sig_atomic_t ended;
static struct {
	int64_t start_ns, end_ns;
} holds[HOLDS_MAX];
static size_t holds_count;

static void on_signal(int number)
{
	ended = 1;
}

static const char usage[] =
	"usage: hog --on TIME --off TIME --log FILE [OPTION VALUE]...\n"
	"  --cpu N        on that CPU\n"
	"  --priority N   of SCHED_FIFO; without it or 0, SCHED_OTHER\n"
	"  --lock FILE    holds the lock there, asleep; without it, it burns the CPU\n"
	"  --file FILE --bytes N  writes so much behind the first MiB; no --on\n"
	"  --seed N\n";

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "on", .range = &opts.on },
		{ "off", .range = &opts.off },
		{ "log", .text = &opts.log },
		{ "cpu", .number = &opts.cpu },
		{ "priority", .number = &opts.priority },
		{ "lock", .text = &opts.lock },
		{ "file", .text = &opts.file },
		{ "bytes", .number = &opts.bytes },
		{ "seed", .number = &opts.seed },
		{ 0 },
	};

	take_options(table, argv, usage);
	if (!opts.log || !(opts.file ? opts.bytes : opts.on.lo) || !opts.off.lo) {
		fputs(usage, stderr);
		exit(2);
	}
}

static int file = -1;
static char *written;

static void open_file(void)
{
	if (!opts.file)
		return;
	file = must(open(opts.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), opts.file);
	written = must_alloc(malloc(opts.bytes));
	memset(written, 'x', opts.bytes);
}

static void take_place(void)
{
	struct sched_param param = { .sched_priority = opts.priority };
	cpu_set_t cpus;

	if (opts.cpu != UINT64_MAX) {
		CPU_ZERO(&cpus);
		CPU_SET(opts.cpu, &cpus);
		must(sched_setaffinity(0, sizeof(cpus), &cpus), "affinity");
	}
	if (opts.priority)
		must(sched_setscheduler(0, SCHED_FIFO, &param), "priority");
}

static void sleep_until(int64_t ns)
{
	struct timespec t = { ns / 1000000000, ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR && !ended)
		;
}

/* Returns when it let go. */
static int64_t hold(int64_t start, int64_t ns)
{
	int64_t now = start;

	if (opts.file) {
		must(pwrite(file, written, opts.bytes, 1 << 20), opts.file);
		return clock_ns(CLOCK_MONOTONIC);
	}
	if (opts.lock)
		sleep_until(start + ns);
	while (now < start + ns)
		now = clock_ns(CLOCK_MONOTONIC);
	return now;
}

static void run(pthread_mutex_t *lock)
{
	uint64_t random = opts.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

	while (!ended && holds_count < HOLDS_MAX) {
		int64_t start;

		sleep_until(clock_ns(CLOCK_MONOTONIC) + (int64_t)range_pick(opts.off, &random));
		if (lock)
			pthread_mutex_lock(lock);
		start = clock_ns(CLOCK_MONOTONIC);
		holds[holds_count].start_ns = start;
		holds[holds_count++].end_ns = hold(start, (int64_t)range_pick(opts.on, &random));
		if (lock)
			pthread_mutex_unlock(lock);
	}
}

static void write_log(void)
{
	FILE *f = fopen(opts.log, "we");

	if (!f)
		die(opts.log);
	fprintf(f, "start_ns,end_ns\n");
	for (size_t i = 0; i < holds_count; i++)
		fprintf(f, "%ld,%ld\n", holds[i].start_ns, holds[i].end_ns);
	if (fclose(f))
		die(opts.log);
}

int main(int argc, char **argv)
{
	struct sigaction end = { .sa_handler = on_signal };

	parse(argv);
	sigaction(SIGTERM, &end, NULL);
	memset(holds, 0, sizeof(holds)); /* its page faults are not to come later */
	take_place();
	open_file();
	puts("ready");
	fflush(stdout);
	run(opts.lock ? lock_open(opts.lock) : NULL);
	write_log();
	return 0;
}
