/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A neighbour on a block device: --threads of them read 4 KiB at a time past the page cache, one
 * after the other, between --from and --to. Ends at SIGTERM.
 */
#include "truth.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define PIECE 4096

static struct {
	const char *file;
	uint64_t threads, from, to;
} opts = { .threads = 16 };

static int fd;

static void *read_on(void *number)
{
	uint64_t random = (uintptr_t)number * UINT64_C(0x9e3779b97f4a7c15) | 1;
	uint64_t pieces = (opts.to - opts.from) / PIECE;
	void *buffer = must_alloc(aligned_alloc(PIECE, PIECE));

	for (;;)
		must(pread(fd, buffer, PIECE,
			   (off_t)(opts.from + random_next(&random) % pieces * PIECE)),
		     opts.file);
	return NULL;
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "file", .text = &opts.file },
		{ "threads", .number = &opts.threads },
		{ "from", .number = &opts.from },
		{ "to", .number = &opts.to },
		{ 0 },
	};
	pthread_t thread;

	take_options(table, argv,
		     "usage: readers --file FILE --from BYTES --to BYTES [--threads N]\n");
	if (!opts.file || opts.to < opts.from + PIECE)
		die("--file, --from and --to");
	fd = must(open(opts.file, O_RDONLY | O_DIRECT | O_CLOEXEC), opts.file);
	for (uintptr_t i = 1; i <= opts.threads; i++)
		if (pthread_create(&thread, NULL, read_on, (void *)i))
			die("thread");
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
