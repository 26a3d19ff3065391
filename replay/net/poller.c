/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/poller.h"

#include "base/clock.h"
#include "replay/net/poller_uring.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* For poll() and select(): all descriptors in a row, and where in it each is. */
struct poller_set {
	struct pollfd *fds;
	void **data; /* of fds[i] */
	size_t count, capacity;
	uint32_t *place; /* of a descriptor: its index + 1; 0: it is not watched */
	size_t places;
};

int poller_init(struct poller *p, enum poll_mode mode)
{
	*p = (struct poller){ .mode = mode, .epoll_fd = -1 };
	if (mode == POLL_URING)
		return poller_ring_new(&p->ring);
	if (mode == POLL_EPOLL)
		p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	else
		p->set = calloc(1, sizeof(*p->set));
	return p->epoll_fd < 0 && !p->set ? -ENOMEM : 0;
}

void poller_release(struct poller *p)
{
	if (p->epoll_fd > 0)
		close(p->epoll_fd);
	poller_ring_free(p->ring);
	if (p->set) {
		free(p->set->fds);
		free(p->set->data);
		free(p->set->place);
		free(p->set);
	}
	*p = (struct poller){ .epoll_fd = -1 };
}

static int make_room(struct poller_set *s, int fd)
{
	size_t capacity = s->capacity ? 2 * s->capacity : 64, places = 2 * ((size_t)fd + 32);

	if (s->count == s->capacity) {
		struct pollfd *fds = reallocarray(s->fds, capacity, sizeof(*fds));
		void **data = fds ? reallocarray(s->data, capacity, sizeof(*data)) : NULL;

		s->fds = fds ? fds : s->fds;
		if (!data)
			return -ENOMEM;
		s->data = data;
		s->capacity = capacity;
	}
	if ((size_t)fd >= s->places) {
		uint32_t *place = reallocarray(s->place, places, sizeof(*place));

		if (!place)
			return -ENOMEM;
		memset(place + s->places, 0, (places - s->places) * sizeof(*place));
		s->place = place;
		s->places = places;
	}
	return 0;
}

static void drop(struct poller_set *s, int fd)
{
	uint32_t at = s->place[fd] - 1;

	s->count--;
	s->fds[at] = s->fds[s->count];
	s->data[at] = s->data[s->count];
	s->place[s->fds[at].fd] = at + 1;
	s->place[fd] = 0;
}

/* EPOLLIN, EPOLLOUT, EPOLLERR and EPOLLHUP have the values of poll()'s own. */
static int set_watch(struct poller_set *s, int fd, void *data, uint32_t events)
{
	bool known = (size_t)fd < s->places && s->place[fd];
	int rc = known || !events ? 0 : make_room(s, fd);

	if (rc || (!known && !events))
		return rc;
	if (!events) {
		drop(s, fd);
		return 0;
	}
	if (!known)
		s->place[fd] = (uint32_t)++s->count;
	s->fds[s->place[fd] - 1] = (struct pollfd){ fd, (short)(events & 0xffff), 0 };
	s->data[s->place[fd] - 1] = data;
	return 0;
}

int poller_watch(struct poller *p, int fd, void *data, uint32_t old_events, uint32_t new_events)
{
	int what = !old_events ? EPOLL_CTL_ADD : new_events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
	struct epoll_event event = { .events = new_events, .data.ptr = data };

	if (p->mode == POLL_EPOLL)
		return epoll_ctl(p->epoll_fd, what, fd, &event) ? -errno : 0;
	if (p->mode == POLL_URING)
		return poller_ring_watch(p->ring, fd, data, new_events);
	if (p->mode == POLL_SELECT && fd >= FD_SETSIZE)
		return -ERANGE;
	return set_watch(p->set, fd, data, new_events);
}

/* epoll_pwait2() (Linux 5.11) keeps a deadline to the microsecond, where ms are too coarse. */
static int wait_epoll(struct poller *p, struct epoll_event *events, int max,
		      const struct timespec *timeout)
{
	int64_t ms = timeout ? timeout->tv_sec * 1000 + timeout->tv_nsec / NS_PER_MS : -1;
	int n;

	if (!timeout || (!timeout->tv_sec && !timeout->tv_nsec))
		return epoll_wait(p->epoll_fd, events, max, (int)ms);
	n = epoll_pwait2(p->epoll_fd, events, max, timeout, NULL);
	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(p->epoll_fd, events, max, (int)(ms < 1000 ? ms + 1 : 1000));
	return n;
}

/* What poll() has found, or what select() is said to have. */
static int gather(const struct poller_set *s, struct epoll_event *events, int max)
{
	int n = 0;

	for (size_t i = 0; i < s->count && n < max; i++) {
		if (!s->fds[i].revents)
			continue;
		events[n].events = (uint32_t)s->fds[i].revents;
		events[n++].data.ptr = s->data[i];
	}
	return n;
}

static int wait_poll(struct poller_set *s, struct epoll_event *events, int max,
		     const struct timespec *timeout)
{
	int n = ppoll(s->fds, s->count, timeout, NULL);

	return n > 0 ? gather(s, events, max) : n;
}

/* A descriptor that has failed is readable and writable to select(). */
static int wait_select(struct poller_set *s, struct epoll_event *events, int max,
		       const struct timespec *timeout)
{
	fd_set reads, writes;
	int top = -1, n;

	FD_ZERO(&reads);
	FD_ZERO(&writes);
	for (size_t i = 0; i < s->count; i++) {
		if (s->fds[i].events & POLLIN)
			FD_SET(s->fds[i].fd, &reads);
		if (s->fds[i].events & POLLOUT)
			FD_SET(s->fds[i].fd, &writes);
		top = s->fds[i].fd > top ? s->fds[i].fd : top;
	}
	n = pselect(top + 1, &reads, &writes, NULL, timeout, NULL);
	for (size_t i = 0; i < s->count && n > 0; i++)
		s->fds[i].revents = (short)((FD_ISSET(s->fds[i].fd, &reads) ? POLLIN : 0) |
					    (FD_ISSET(s->fds[i].fd, &writes) ? POLLOUT : 0));
	return n > 0 ? gather(s, events, max) : n;
}

int poller_wait(struct poller *p, struct epoll_event *events, int max, int64_t timeout_ns)
{
	struct timespec ts = { timeout_ns / NS_PER_SEC, timeout_ns % NS_PER_SEC };
	const struct timespec *timeout = timeout_ns == POLLER_NEVER ? NULL : &ts;

	if (p->mode == POLL_EPOLL)
		return wait_epoll(p, events, max, timeout);
	if (p->mode == POLL_URING)
		return poller_ring_wait(p->ring, events, max, timeout);
	if (p->mode == POLL_POLL)
		return wait_poll(p->set, events, max, timeout);
	return wait_select(p->set, events, max, timeout);
}
