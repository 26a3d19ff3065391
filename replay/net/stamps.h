/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_STAMPS_H
#define GAIT_REPLAY_NET_STAMPS_H

#include "bpf/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * When bytes came and went, by the kernel's own software stamps (SO_TIMESTAMPING,
 * Documentation/networking/timestamping.rst), for who may load no probes. They go where
 * the kernel side would have left its own: into the slot of the thread that has the socket.
 *
 *	receive	the last segment of what a call returned, as it came to the protocol stack: of
 *		a message in several segments that are read at once the first is not known
 *	send	of the last byte of a call: handed to the queueing discipline (tx_ns), and to the
 *		device (rx_left_ns)
 *
 * Stamps of hardware are not asked for: they need a driver that root has set up, and are of its clock.
 */

/*
 * Stamps are by CLOCK_REALTIME, which can be set. They are told by CLOCK_MONOTONIC as the two
 * stand when they are read, to within a microsecond; for a second after the clock was seen
 * to have been set, not at all.
 */
struct stamp_clock {
	int64_t offset_ns; /* CLOCK_REALTIME minus CLOCK_MONOTONIC, when last looked; 0: never */
	int64_t blind_until_ns;
};

/* CLOCK_MONOTONIC of a stamp, at most `now_ns`; 0: it cannot be told. `offset_ns` is that of now. Pure. */
int64_t stamp_clock_tell(struct stamp_clock *c, int64_t realtime_ns, int64_t offset_ns,
			 int64_t now_ns);

/* A thread's. */
struct stamps {
	struct thread_slot *slot; /* lent; nobody else fills it in */
	struct stamp_clock clock;
};

/* Asks for stamps of what comes, also to what a listening socket will accept. */
void stamps_ask(int fd);

/* A stamp by CLOCK_MONOTONIC; 0: there was none, or it cannot be told. */
int64_t stamps_tell(struct stamps *stamps, int64_t realtime_ns);

/* A message came then (CLOCK_REALTIME; 0: there was no stamp). */
void stamps_received(struct stamps *stamps, int64_t realtime_ns);

/* The stamp in a message's control data; 0: none. */
#define STAMPS_CONTROL_BYTES CMSG_SPACE(3 * sizeof(struct timespec))
int64_t stamps_of_message(struct msghdr *message);

/* A socket's: of one thread at a time. */
struct socket_stamps {
	struct stamps *to;
	bool sends;	  /* stamps of what it sends were asked for */
	bool owed;	  /* some have not come yet */
	uint32_t next_id; /* bytes sent since, or datagrams, as the kernel numbers them */
	int64_t left_ns;  /* what it sent last went to the device; 0: unknown */
};

/* One that is connected. `to` is lent, for as long as it lives; NULL: no memory. */
struct socket_stamps *socket_stamps_new(struct stamps *to, int fd, bool sends);

/* recv() and send(), as those return, with what the kernel tells of it. */
ssize_t socket_stamps_recv(struct socket_stamps *s, int fd, void *data, size_t size);
ssize_t socket_stamps_send(struct socket_stamps *s, int fd, const void *data, size_t size);

/* So many bytes, or datagrams, have been sent: takes the stamps that are there. */
void socket_stamps_sent(struct socket_stamps *s, int fd, uint32_t amount);

/* Takes those that came late: until then the socket says that it has an error (EPOLLERR). */
void socket_stamps_drain(struct socket_stamps *s, int fd);

#endif
