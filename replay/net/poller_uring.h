/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_POLLER_URING_H
#define GAIT_REPLAY_NET_POLLER_URING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

/*
 * POLL_URING of a poller: each descriptor that is watched has a poll request in a ring. One that
 * has told of an event is asked again with the next wait, in the same system call; so events last
 * until they are dealt with. Functions are those of net/poller.h.
 */
struct poller_ring;

int poller_ring_new(struct poller_ring **ret_ring);
void poller_ring_free(struct poller_ring *r);
int poller_ring_watch(struct poller_ring *r, int fd, void *data, uint32_t events);

/* `timeout` NULL: without end. */
int poller_ring_wait(struct poller_ring *r, struct epoll_event *events, int max,
		     const struct timespec *timeout);

#endif
