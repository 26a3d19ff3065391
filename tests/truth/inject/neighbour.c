/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A neighbour on a device: --threads of them read 4 KiB at a time past the page cache, one after the
 * other, here and there between --from and --to; with --write 1 they write all of it again and again,
 * into the cache. Ends at SIGTERM.
 */
#include "truth.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define PIECE 4096

static struct {
	const char *file;
	uint64_t threads, from, to, write;
} opts = { .threads = 16 };

static int fd;

static void *go_on(void *number)
{
	uint64_t random = (uintptr_t)number * UINT64_C(0x9e3779b97f4a7c15) | 1;
	uint64_t pieces = (opts.to - opts.from) / PIECE;
	void *buffer = must_alloc(aligned_alloc(PIECE, PIECE));

	for (uint64_t i = 0;; i++) {
		uint64_t piece = opts.write ? i : random_next(&random);
		off_t at = (off_t)(opts.from + piece % pieces * PIECE);

		must(opts.write ? pwrite(fd, buffer, PIECE, at) : pread(fd, buffer, PIECE, at),
		     opts.file);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "file", .text = &opts.file },	    { "threads", .number = &opts.threads },
		{ "from", .number = &opts.from },   { "to", .number = &opts.to },
		{ "write", .number = &opts.write }, { 0 },
	};
	pthread_t thread;

	take_options(
		table, argv,
		"usage: neighbour --file FILE --from BYTES --to BYTES [--threads N] [--write 1]\n");
	if (!opts.file || opts.to < opts.from + PIECE)
		die("--file, --from and --to");
	fd = must(opts.write ? open(opts.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) :
			       open(opts.file, O_RDONLY | O_DIRECT | O_CLOEXEC),
		  opts.file);
	for (uintptr_t i = 1; i <= opts.threads; i++)
		if (pthread_create(&thread, NULL, go_on, (void *)i))
			die("thread");
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
