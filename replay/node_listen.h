/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_LISTEN_H
#define GAIT_REPLAY_NODE_LISTEN_H

#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The node's one port. What is accepted is non-blocking, without Nagle's delay,
 * and readable only when a whole preface is there (SO_RCVLOWAT): less than that is
 * no gait client.
 */
struct listener {
	int fd;
	uint16_t port;
	bool loopback; /* only this machine can reach it */
	pthread_mutex_t lock;
	int reserve_fd; /* given up to turn a client away when there are no descriptors left */
};

int listener_open(struct listener *l, const char *host, uint16_t port, struct err *err);
void listener_close(struct listener *l);

/* From any thread. A connection, -EAGAIN, or -EMFILE when one had to be turned away. */
int listener_accept(struct listener *l);

/* The connection has said what it is: from now on every byte counts. */
void listener_admit(int fd);

#endif
