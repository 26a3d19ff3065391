/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/uring.h"

#include "replay/node/limits.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct uring {
	struct io_uring ring;
	int event_fd;
	uint32_t depth, under_way;
	bool unsubmitted;
	struct storage *storage;
	void *buffer;
	struct link *first, **last; /* wait for their turn */
};

int uring_new(uint32_t depth, struct uring **ret_ring, struct err *err)
{
	struct uring *r = calloc(1, sizeof(*r));
	int rc = r ? io_uring_queue_init(depth, &r->ring, 0) : -ENOMEM;

	if (rc) {
		free(r);
		return err_errno(err, -rc, "cannot set up io_uring");
	}
	r->depth = depth;
	r->last = &r->first;
	r->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = r->event_fd < 0 ? -errno : io_uring_register_eventfd(&r->ring, r->event_fd);
	if (!rc) {
		*ret_ring = r;
		return 0;
	}
	uring_free(r);
	return err_errno(err, -rc, "cannot set up io_uring");
}

void uring_free(struct uring *r)
{
	struct io_uring_cqe *cqe;

	if (!r)
		return;
	uring_flush(r);
	for (; r->under_way && !io_uring_wait_cqe(&r->ring, &cqe); r->under_way--)
		io_uring_cqe_seen(&r->ring, cqe);
	io_uring_queue_exit(&r->ring);
	if (r->event_fd >= 0)
		close(r->event_fd);
	free(r);
}

int uring_event_fd(const struct uring *r)
{
	return r->event_fd;
}

static void prepare(const struct uring *r, struct io_uring_sqe *sqe, const struct io_job *job)
{
	const struct storage_call *call = &job->call;
	uint64_t left = call->bytes - job->moved;
	unsigned bytes = (unsigned)(left < NODE_CALL_BYTES ? left : NODE_CALL_BYTES);
	uint64_t at = (uint64_t)call->offset + job->moved;

	switch (call->kind) {
	case CALL_READ:
		io_uring_prep_read(sqe, call->fd, r->buffer, bytes, at);
		break;
	case CALL_WRITE:
		io_uring_prep_write(sqe, call->fd, r->storage->filler, bytes, at);
		break;
	case CALL_FSYNC:
		io_uring_prep_fsync(sqe, call->fd, 0);
		break;
	case CALL_FDATASYNC:
		io_uring_prep_fsync(sqe, call->fd, IORING_FSYNC_DATASYNC);
		break;
	case CALL_NONE:
		io_uring_prep_nop(sqe);
	}
}

/* As many as there are waiting and the depth allows; the queue has room for so many. */
static void fill(struct uring *r)
{
	while (r->first && r->under_way < r->depth) {
		struct io_job *job = (struct io_job *)r->first;
		struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

		if (!sqe) {
			uring_flush(r);
			return;
		}
		r->first = job->link.next;
		if (!r->first)
			r->last = &r->first;
		prepare(r, sqe, job);
		io_uring_sqe_set_data(sqe, job);
		r->under_way++;
		r->unsubmitted = true;
	}
}

static void enqueue(struct uring *r, struct io_job *job)
{
	job->link.next = NULL;
	*r->last = &job->link;
	r->last = &job->link.next;
}

void uring_add(struct uring *r, struct storage *s, struct io_job *job, void *buffer)
{
	r->storage = s;
	r->buffer = buffer;
	job->moved = 0;
	enqueue(r, job);
	fill(r);
}

void uring_flush(struct uring *r)
{
	while (r->unsubmitted) {
		int rc = io_uring_submit(&r->ring);

		if (rc < 0 && rc != -EINTR)
			return; /* busy: with the next pass */
		r->unsubmitted = rc < 0;
	}
}

/* Whether the call is over; what is left of it goes on otherwise. */
static bool take_result(struct io_job *job, int res)
{
	const struct storage_call *call = &job->call;
	bool moves = call->kind == CALL_READ || call->kind == CALL_WRITE;
	struct storage_result outcome;

	if (res == -EINTR || res == -EAGAIN)
		return false;
	if (res > 0 && moves)
		job->moved += (uint64_t)res;
	if (res > 0 && moves && job->moved < call->bytes)
		return false;
	outcome = storage_outcome(call, res < 0 ? res : (int64_t)job->moved);
	job->result.status = outcome.status;
	job->result.bytes = res < 0 ? job->moved : outcome.bytes;
	job->result.offset = outcome.offset;
	return true;
}

struct io_job *uring_reap(struct uring *r)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&r->ring, &cqe)) {
		struct io_job *job = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&r->ring, cqe);
		r->under_way--;
		if (take_result(job, res)) {
			fill(r);
			return job;
		}
		enqueue(r, job);
		fill(r);
	}
	return NULL;
}
