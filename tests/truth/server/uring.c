/* SPDX-License-Identifier: Apache-2.0 */
/* One operation at a time through io_uring: submitted, and waited for. A ring a thread. */
#include "server.h"

#include <liburing.h>

#define ENTRIES 4
#define POLLER_IDLE_MS 50

static _Thread_local struct io_uring *own;

bool uring_is_used(void)
{
	return opts.recv_by == RECV_URING || opts.send_by == SEND_URING ||
	       opts.load_by == LOAD_URING || opts.store_by == STORE_URING;
}

/* Before the thread reads anything: it is no request's cost. */
void uring_open(void)
{
	struct io_uring_params params = { 0 };

	if (opts.uring == URING_POLLER) {
		params.flags = IORING_SETUP_SQPOLL;
		params.sq_thread_idle = POLLER_IDLE_MS;
	}
	own = must_alloc(malloc(sizeof(*own)));
	errno = -io_uring_queue_init_params(ENTRIES, own, &params);
	if (errno)
		die("io_uring");
}

/* It ends with its thread: a poller would go on for a while. */
void uring_close(void)
{
	if (own)
		io_uring_queue_exit(own);
	free(own);
	own = NULL;
}

static struct io_uring_sqe *uring_next(void)
{
	return must_alloc(io_uring_get_sqe(own));
}

/* The result as the call would have returned it. */
static long uring_do(struct io_uring_sqe *sqe)
{
	struct io_uring_cqe *cqe;
	long result;

	if (opts.uring == URING_WORKER)
		sqe->flags |= IOSQE_ASYNC;
	must(io_uring_submit_and_wait(own, 1), "io_uring_enter");
	errno = -io_uring_wait_cqe(own, &cqe);
	if (errno)
		die("io_uring_enter");
	result = cqe->res;
	io_uring_cqe_seen(own, cqe);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

long uring_read(int fd, void *bytes, size_t size, uint64_t offset)
{
	struct io_uring_sqe *sqe = uring_next();

	io_uring_prep_read(sqe, fd, bytes, size, offset);
	return uring_do(sqe);
}

long uring_writev(int fd, const struct iovec *parts, unsigned count, uint64_t offset)
{
	struct io_uring_sqe *sqe = uring_next();

	io_uring_prep_writev(sqe, fd, parts, count, offset);
	return uring_do(sqe);
}

long uring_sync(int fd, bool data_only)
{
	struct io_uring_sqe *sqe = uring_next();

	io_uring_prep_fsync(sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
	return uring_do(sqe);
}

long uring_recv(int fd, void *bytes, size_t size)
{
	struct io_uring_sqe *sqe = uring_next();

	io_uring_prep_recv(sqe, fd, bytes, size, 0);
	return uring_do(sqe);
}

long uring_send(int fd, const void *bytes, size_t size)
{
	struct io_uring_sqe *sqe = uring_next();

	io_uring_prep_send(sqe, fd, bytes, size, MSG_NOSIGNAL);
	return uring_do(sqe);
}
