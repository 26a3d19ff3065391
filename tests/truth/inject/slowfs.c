/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system with one file, `disk`, in memory: what a loop device lies on. From SIGUSR1 on each
 * read and write of it takes --delay longer, up to the next SIGUSR1; when, stands in --log:
 * start_ns,end_ns on CLOCK_MONOTONIC, and the offset. Ends at SIGTERM, or when it is unmounted.
 */
#define FUSE_USE_VERSION 31
#include "truth.h"

#include <fcntl.h>
#include <fuse3/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "/disk"

static struct {
	const char *at, *log;
	uint64_t bytes, delay_ns;
} opts = { .bytes = 64 << 20 };

static const char usage[] = "usage: slowfs --at DIR --delay TIME --log FILE [--bytes N]\n";

static volatile sig_atomic_t slow;
static int memory; /* what the file holds */
static FILE *logged;
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;

static void on_signal(int number)
{
	static const char said[] = "ready\n";

	slow = !slow;
	must(write(STDOUT_FILENO, said, sizeof(said) - 1), "stdout");
}

static void delay(off_t offset)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC), end = start + (int64_t)opts.delay_ns;
	struct timespec t = { end / 1000000000, end % 1000000000 };

	if (!slow)
		return;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
	pthread_mutex_lock(&log_mutex);
	fprintf(logged, "%ld,%ld,%ld\n", start, clock_ns(CLOCK_MONOTONIC), offset);
	fflush(logged);
	pthread_mutex_unlock(&log_mutex);
}

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
	bool root = !strcmp(path, "/");

	if (!root && strcmp(path, NAME))
		return -ENOENT;
	memset(st, 0, sizeof(*st));
	st->st_mode = root ? S_IFDIR | 0755 : S_IFREG | 0600;
	st->st_nlink = root ? 2 : 1;
	st->st_size = root ? 0 : (off_t)opts.bytes;
	return 0;
}

/* Past the page cache: each read and write comes here. */
static int fs_open(const char *path, struct fuse_file_info *file)
{
	file->direct_io = 1;
	return 0;
}

static int fs_read(const char *path, char *bytes, size_t size, off_t offset,
		   struct fuse_file_info *file)
{
	delay(offset);
	return (int)pread(memory, bytes, size, offset);
}

static int fs_write(const char *path, const char *bytes, size_t size, off_t offset,
		    struct fuse_file_info *file)
{
	delay(offset);
	return (int)pwrite(memory, bytes, size, offset);
}

static int fs_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
	return 0;
}

static const struct fuse_operations operations = {
	.getattr = fs_getattr,
	.open = fs_open,
	.read = fs_read,
	.write = fs_write,
	.fsync = fs_fsync,
};

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "at", .text = &opts.at },
		{ "log", .text = &opts.log },
		{ "bytes", .number = &opts.bytes },
		{ "delay", .number = &opts.delay_ns },
		{ 0 },
	};

	take_options(table, argv, usage);
	if (!opts.at || !opts.log || !opts.delay_ns) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sigaction toggle = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	char *arguments[] = { argv[0], "-f", NULL, NULL };

	parse(argv);
	arguments[2] = (char *)opts.at;
	logged = fopen(opts.log, "we");
	if (!logged)
		die(opts.log);
	memory = must(memfd_create("disk", MFD_CLOEXEC), "memory");
	must(ftruncate(memory, (off_t)opts.bytes), "memory");
	sigaction(SIGUSR1, &toggle, NULL);
	return fuse_main(3, arguments, &operations, NULL);
}
