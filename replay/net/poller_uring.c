/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/poller_uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 256
#define COMPLETIONS 4096 /* what is beyond waits in the kernel */
#define IGNORED UINT64_MAX

/* Of a descriptor. What its earlier requests still say is told by their generation. */
struct watch {
	void *data;
	uint32_t events; /* 0: it is not watched */
	uint32_t generation;
	bool asked; /* a request is under way */
	bool listed;
};

struct poller_ring {
	struct io_uring ring;
	struct watch *watches; /* by descriptor */
	size_t watches_count;
	int *to_ask; /* descriptors */
	size_t to_ask_count, to_ask_capacity;
};

int poller_ring_new(struct poller_ring **ret_ring)
{
	struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS };
	struct poller_ring *r = calloc(1, sizeof(*r));
	int rc = r ? io_uring_queue_init_params(ENTRIES, &r->ring, &params) : -ENOMEM;

	if (rc) {
		free(r);
		return rc;
	}
	*ret_ring = r;
	return 0;
}

void poller_ring_free(struct poller_ring *r)
{
	if (!r)
		return;
	io_uring_queue_exit(&r->ring);
	free(r->watches);
	free(r->to_ask);
	free(r);
}

static int make_room(struct poller_ring *r, int fd)
{
	size_t count = 2 * ((size_t)fd + 32);
	struct watch *watches;

	if ((size_t)fd < r->watches_count)
		return 0;
	watches = reallocarray(r->watches, count, sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	memset(watches + r->watches_count, 0, (count - r->watches_count) * sizeof(*watches));
	r->watches = watches;
	r->watches_count = count;
	return 0;
}

/* To be asked for with the next wait. */
static int list(struct poller_ring *r, int fd)
{
	size_t capacity = r->to_ask_capacity ? 2 * r->to_ask_capacity : 64;
	int *to_ask;

	if (r->watches[fd].listed)
		return 0;
	if (r->to_ask_count == r->to_ask_capacity) {
		to_ask = reallocarray(r->to_ask, capacity, sizeof(*to_ask));
		if (!to_ask)
			return -ENOMEM;
		r->to_ask = to_ask;
		r->to_ask_capacity = capacity;
	}
	r->to_ask[r->to_ask_count++] = fd;
	r->watches[fd].listed = true;
	return 0;
}

static uint64_t name_of(const struct poller_ring *r, int fd)
{
	return (uint64_t)r->watches[fd].generation << 32 | (uint32_t)fd;
}

/* NULL: the kernel takes no more now. */
static struct io_uring_sqe *next_entry(struct poller_ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

	if (sqe)
		return sqe;
	io_uring_submit(&r->ring);
	return io_uring_get_sqe(&r->ring);
}

/* At once: the request holds the file, which may be closed now. */
static void withdraw(struct poller_ring *r, int fd)
{
	struct io_uring_sqe *sqe = next_entry(r);

	if (sqe) {
		io_uring_prep_poll_remove(sqe, name_of(r, fd));
		sqe->user_data = IGNORED;
		io_uring_submit(&r->ring);
	}
	r->watches[fd].asked = false;
}

int poller_ring_watch(struct poller_ring *r, int fd, void *data, uint32_t events)
{
	int rc = make_room(r, fd);
	struct watch *w;

	if (rc)
		return rc;
	w = &r->watches[fd];
	if (w->asked)
		withdraw(r, fd);
	w->data = data;
	w->events = events;
	w->generation++;
	return events ? list(r, fd) : 0;
}

static void ask(struct poller_ring *r)
{
	size_t asked = 0;

	for (; asked < r->to_ask_count; asked++) {
		int fd = r->to_ask[asked];
		struct watch *w = &r->watches[fd];
		struct io_uring_sqe *sqe = w->events && !w->asked ? next_entry(r) : NULL;

		if (w->events && !w->asked && !sqe)
			break; /* with the next wait */
		w->listed = false;
		if (!sqe)
			continue;
		io_uring_prep_poll_add(sqe, fd, w->events);
		sqe->user_data = name_of(r, fd);
		w->asked = true;
	}
	r->to_ask_count -= asked;
	if (r->to_ask_count)
		memmove(r->to_ask, r->to_ask + asked, r->to_ask_count * sizeof(*r->to_ask));
}

/* True: it is an event of a descriptor that is still watched. */
static bool take(struct poller_ring *r, const struct io_uring_cqe *cqe, struct epoll_event *event)
{
	int fd = (int)(uint32_t)cqe->user_data;
	struct watch *w = cqe->user_data == IGNORED ? NULL : &r->watches[fd];

	if (!w || cqe->user_data != name_of(r, fd) || !w->events)
		return false;
	w->asked = false;
	list(r, fd); /* there is room: it has been listed before */
	event->events = cqe->res < 0 ? EPOLLERR : (uint32_t)cqe->res;
	event->data.ptr = w->data;
	return cqe->res != -ECANCELED;
}

static int gather(struct poller_ring *r, struct epoll_event *events, int max)
{
	struct io_uring_cqe *cqe;
	int n = 0;

	while (n < max && !io_uring_peek_cqe(&r->ring, &cqe)) {
		n += take(r, cqe, &events[n]);
		io_uring_cqe_seen(&r->ring, cqe);
	}
	return n;
}

int poller_ring_wait(struct poller_ring *r, struct epoll_event *events, int max,
		     const struct timespec *timeout)
{
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	int rc, n;

	ask(r);
	if (timeout && !timeout->tv_sec && !timeout->tv_nsec) {
		rc = io_uring_submit_and_get_events(&r->ring);
		return rc < 0 && rc != -EBUSY ? rc : gather(r, events, max);
	}
	do { /* what is no event any more ends a wait, too */
		if (timeout)
			ts = (struct __kernel_timespec){ timeout->tv_sec, timeout->tv_nsec };
		rc = io_uring_submit_and_wait_timeout(&r->ring, &cqe, 1, timeout ? &ts : NULL,
						      NULL);
		n = gather(r, events, max);
	} while (!n && rc >= 0 && !timeout);
	return n || rc > 0 || rc == -ETIME ? n : rc;
}
