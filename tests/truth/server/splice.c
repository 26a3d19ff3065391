/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that never come to user space, or go out of it by vmsplice(). */
#include "server.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20) /* more than any one message */

void splice_open(struct worker *w)
{
	must(pipe2(w->pipe, O_CLOEXEC), "pipe");
	must(fcntl(w->pipe[1], F_SETPIPE_SZ, PIPE_BYTES), "pipe");
	w->null_fd = must(open("/dev/null", O_WRONLY | O_CLOEXEC), "/dev/null");
}

/* All that is in the pipe has gone when these return: who calls has it to himself. */
static void pipe_drain(int to, off_t *offset, size_t size)
{
	while (size)
		size -= must(splice(worker_self()->pipe[0], NULL, to, offset, size, 0), "splice");
}

long splice_in(int fd, off_t *offset, size_t size)
{
	long n = splice(fd, offset, worker_self()->pipe[1], NULL, size, 0);

	if (n > 0)
		pipe_drain(worker_self()->null_fd, NULL, n);
	return n;
}

long splice_out(int fd, off_t *offset, const char *bytes, size_t size)
{
	struct iovec part = { (char *)bytes, size };
	long n = must(vmsplice(worker_self()->pipe[1], &part, 1, 0), "vmsplice");
	long out = splice(worker_self()->pipe[0], NULL, fd, offset, n, 0);

	if (out < n)
		pipe_drain(worker_self()->null_fd, NULL, out > 0 ? n - out : n);
	return out;
}
