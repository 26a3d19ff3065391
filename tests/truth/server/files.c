/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing files, by all the calls there are. */
#include "server.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096		     /* of what O_DIRECT and mmap take */
#define OWN_PART (1 << 20)	     /* write(): each worker has a part of the file */
#define RANDOM_FILE_BYTES (64 << 20) /* where writes at random go */

static atomic_ulong load_next, store_next; /* of pread and pwrite, all workers together */
static uint64_t load_file_bytes;

static bool load_has_position(void)
{
	return opts.load_by == LOAD_READ || opts.load_by == LOAD_READV;
}

static bool store_has_position(void)
{
	return opts.store_by == STORE_WRITE || opts.store_by == STORE_WRITEV;
}

static int store_flags(void)
{
	return (opts.append ? O_APPEND : 0) | (opts.direct ? O_DIRECT : 0) |
	       (opts.dsync ? O_DSYNC : 0);
}

void files_init(void)
{
	struct stat stat;

	load_next = opts.load_from;
	if (opts.store_file)
		close(must(open(opts.store_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666),
			   opts.store_file));
	if (!opts.load_file)
		return;
	must(lstat(opts.load_file, &stat), opts.load_file);
	load_file_bytes = stat.st_size;
}

static int open_reply(void)
{
	int fd = must(memfd_create("reply", MFD_CLOEXEC), "memfd");

	must(ftruncate(fd, opts.reply_bytes.hi + 1), "ftruncate");
	return fd;
}

void files_open(struct worker *w)
{
	w->load_fd = w->store_fd = w->reply_fd = -1;
	if (opts.send_by == SEND_SENDFILE)
		w->reply_fd = open_reply();
	if (opts.load_file) {
		w->load_fd = must(open(opts.load_file, O_RDONLY | O_CLOEXEC), opts.load_file);
		w->load_offset = must(lseek(w->load_fd, opts.load_from, SEEK_SET), opts.load_file);
	}
	if (!opts.store_file)
		return;
	w->store_fd = must(open(opts.store_file, O_WRONLY | O_CLOEXEC | store_flags(), 0666),
			   opts.store_file);
	w->store_offset = opts.append ? 0 : w->number * OWN_PART;
	must(lseek(w->store_fd, w->store_offset, SEEK_SET), opts.store_file);
}

static uint64_t random_offset(struct worker *w, uint64_t from, uint64_t to, uint64_t bytes)
{
	struct range range = { from, to > from + bytes ? to - bytes : from };

	return range_pick(range, &w->random) / BLOCK * BLOCK;
}

/* Where a load begins; the descriptor's position is there when the call goes by it. */
static uint64_t load_place(struct worker *w, uint64_t bytes)
{
	uint64_t offset = w->load_offset;

	if (opts.load_at == AT_RANDOM)
		offset = random_offset(w, opts.load_from, load_file_bytes, bytes);
	else if (!load_has_position())
		offset = atomic_fetch_add(&load_next, bytes);
	if (offset + bytes > load_file_bytes)
		offset = opts.load_from;
	if (opts.load_by == LOAD_MMAP)
		offset = offset / BLOCK * BLOCK;
	if (load_has_position() && offset != w->load_offset)
		must(lseek(w->load_fd, offset, SEEK_SET), opts.load_file);
	return offset;
}

static long load_mapped(int fd, struct iovec *part, uint64_t offset)
{
	volatile char *at = mmap(NULL, part->iov_len, PROT_READ, MAP_PRIVATE, fd, offset);

	if (at == MAP_FAILED)
		return -1;
	for (size_t i = 0; i < part->iov_len; i += BLOCK)
		(void)at[i];
	munmap((void *)at, part->iov_len);
	return part->iov_len;
}

static long load_call(int fd, struct iovec *part, uint64_t offset)
{
	off_t at = offset;

	switch ((enum load_by)opts.load_by) {
	case LOAD_READ:
		return read(fd, part->iov_base, part->iov_len);
	case LOAD_PREAD:
		return pread(fd, part->iov_base, part->iov_len, offset);
	case LOAD_READV:
		return readv(fd, part, 1);
	case LOAD_PREADV:
		return preadv(fd, part, 1, offset);
	case LOAD_PREADV2:
		return preadv2(fd, part, 1, offset, 0);
	case LOAD_SPLICE:
		return splice_in(fd, &at, part->iov_len);
	case LOAD_URING:
		return uring_read(fd, part->iov_base, part->iov_len, offset);
	case LOAD_MMAP:
		return load_mapped(fd, part, offset);
	}
	return -1;
}

void files_load(struct request *r)
{
	struct worker *w = worker_self();
	struct iovec part = { w->memory, range_pick(opts.load_bytes, &w->random) };
	uint64_t offset;
	long n;

	if (w->load_fd < 0)
		return;
	offset = load_place(w, part.iov_len);
	n = must(load_call(w->load_fd, &part, offset), opts.load_file);
	w->load_offset = offset + n;
	did(r, DID_LOAD, n, offset);
}

static uint64_t store_place(struct worker *w, uint64_t bytes)
{
	if (opts.append)
		return OFFSET_ANY;
	if (opts.store_at == AT_RANDOM && !store_has_position())
		return random_offset(w, 0, RANDOM_FILE_BYTES, bytes);
	if (!store_has_position())
		return atomic_fetch_add(&store_next, bytes);
	if (opts.store_at == AT_RANDOM)
		w->store_offset = must(
			lseek(w->store_fd, random_offset(w, 0, RANDOM_FILE_BYTES, bytes), SEEK_SET),
			opts.store_file);
	return w->store_offset;
}

/* Two parts where the call takes several. */
static long store_call(int fd, char *bytes, uint64_t size, uint64_t offset)
{
	uint64_t first = opts.direct ? size : size / 2;
	struct iovec parts[] = { { bytes, first }, { bytes, size - first } };
	off_t at = offset;

	switch ((enum store_by)opts.store_by) {
	case STORE_WRITE:
		return write(fd, bytes, size);
	case STORE_PWRITE:
		return pwrite(fd, bytes, size, offset);
	case STORE_WRITEV:
		return writev(fd, parts, 2);
	case STORE_PWRITEV:
		return pwritev(fd, parts, 2, offset);
	case STORE_SPLICE:
		return splice_out(fd, &at, bytes, size);
	case STORE_URING:
		return uring_writev(fd, parts, 2, offset);
	case STORE_PWRITEV2:
		return pwritev2(fd, parts, 2, offset, 0);
	}
	return -1;
}

static void sync_call(int fd)
{
	bool data_only = opts.sync_by != SYNC_FSYNC;

	if (opts.store_by == STORE_URING)
		must(uring_sync(fd, data_only), opts.store_file);
	else
		must(data_only ? fdatasync(fd) : fsync(fd), opts.store_file);
}

static void did_all(struct request *chain, enum did kind, uint64_t bytes, uint64_t offset)
{
	for (struct request *r = chain; r; r = r->next)
		did(r, kind, bytes, offset);
}

void files_store(struct request *chain)
{
	struct worker *w = worker_self();
	uint64_t bytes = range_pick(opts.store_bytes, &w->random), offset;
	long n;

	if (w->store_fd < 0)
		return;
	if (opts.direct)
		bytes = (bytes + BLOCK - 1) / BLOCK * BLOCK;
	offset = store_place(w, bytes);
	n = must(store_call(w->store_fd, w->memory, bytes, opts.append ? 0 : offset),
		 opts.store_file);
	w->store_offset += n;
	did_all(chain, DID_STORE, n, offset);
	if (opts.sync_by == SYNC_NONE)
		return;
	sync_call(w->store_fd);
	did_all(chain, DID_SYNC, 0, OFFSET_NONE);
}

void files_meta(struct request *r)
{
	struct stat stat;

	for (uint64_t i = 0; i < opts.meta; i++) {
		int fd = must(openat(AT_FDCWD, opts.meta_file, O_RDONLY | O_CLOEXEC),
			      opts.meta_file);

		did(r, DID_OPEN, 0, OFFSET_NONE);
		must(fstat(fd, &stat), opts.meta_file);
		did(r, DID_STAT, 0, OFFSET_NONE);
		close(fd);
		did(r, DID_CLOSE, 0, OFFSET_NONE);
	}
}
