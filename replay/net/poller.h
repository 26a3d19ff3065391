/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_POLLER_H
#define GAIT_REPLAY_NET_POLLER_H

#include <stdint.h>
#include <sys/epoll.h>

/*
 * How a thread waits for its sockets: by the system call that the service to be played
 * uses. Events are epoll's whatever the call, and last until they are dealt with.
 */
enum poll_mode { POLL_EPOLL, POLL_POLL, POLL_SELECT, POLL_URING, POLL_MODE_COUNT };

struct poller {
	enum poll_mode mode;
	int epoll_fd;		  /* POLL_EPOLL; else -1 */
	struct poller_ring *ring; /* POLL_URING */
	struct poller_set *set;	  /* the others */
};

#define POLLER_NEVER INT64_MAX

/* 0 or -errno. */
int poller_init(struct poller *p, enum poll_mode mode);
void poller_release(struct poller *p);

/*
 * From old to new events (0: not looked at), which `data` comes with. 0, or -errno:
 * -ERANGE for a descriptor that select() cannot hold (FD_SETSIZE).
 */
int poller_watch(struct poller *p, int fd, void *data, uint32_t old_events, uint32_t new_events);

/* Waits up to timeout_ns (POLLER_NEVER: without end): how many events there are, at most max. */
int poller_wait(struct poller *p, struct epoll_event *events, int max, int64_t timeout_ns);

#endif
