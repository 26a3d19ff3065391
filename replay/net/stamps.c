/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/stamps.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SET_NS (20 * NS_PER_US) /* clocks that moved apart by more: one of them was set */
#define BLIND_NS NS_PER_SEC	/* bytes wait in a socket for less, as a rule */
#define READ_NS (2 * NS_PER_US) /* an offset that took longer to read says little */

/* In <linux/net_tstamp.h> from Linux 6.2 on: numbers of bytes begin with what is written next. */
#define OPT_ID_TCP (1 << 16)

#define ASK_RECEIVE (SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)
#define ASK_SEND                                                                              \
	(SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | \
	 SOF_TIMESTAMPING_OPT_TSONLY)

static int64_t apart(int64_t a, int64_t b)
{
	return a > b ? a - b : b - a;
}

int64_t stamp_clock_tell(struct stamp_clock *c, int64_t realtime_ns, int64_t offset_ns,
			 int64_t now_ns)
{
	int64_t at = realtime_ns - offset_ns;

	if (c->offset_ns && apart(offset_ns, c->offset_ns) > SET_NS)
		c->blind_until_ns = now_ns + BLIND_NS;
	c->offset_ns = offset_ns;
	if (now_ns < c->blind_until_ns)
		return 0;
	return at < now_ns ? at : now_ns;
}

static int64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* Whoever is interrupted between two clocks goes by what was so before. */
static int64_t tell(struct stamp_clock *c, int64_t stamp_ns)
{
	int64_t before = clock_now_ns(), real = realtime_ns(), now = clock_now_ns();
	int64_t offset = real - (before + now) / 2;

	if (now - before > READ_NS && c->offset_ns)
		offset = c->offset_ns;
	return stamp_ns ? stamp_clock_tell(c, stamp_ns, offset, now) : 0;
}

static bool ask(int fd, int what)
{
	return !setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &what, sizeof(what));
}

void stamps_ask(int fd)
{
	ask(fd, ASK_RECEIVE);
}

int64_t stamps_tell(struct stamps *stamps, int64_t realtime_ns)
{
	return tell(&stamps->clock, realtime_ns);
}

void stamps_received(struct stamps *stamps, int64_t realtime_ns)
{
	int64_t at = stamps_tell(stamps, realtime_ns);
	struct thread_slot *slot = stamps->slot;

	if (!at)
		return;
	slot->rx_arrival_ns = slot->rx_latest_ns = (uint64_t)at;
	slot->rx_left_ns = slot->rx_again_ns = 0;
	slot->rx_sequence++;
}

/* Of what a message's control data says: the software stamp, and of a send also whose and which. */
struct told {
	int64_t ns; /* 0: none */
	uint32_t kind, id;
};

static struct told told_by(struct msghdr *message)
{
	struct told told = { 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct sock_extended_err error;
		struct timespec ts;

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPING) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			told.ns = ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
		} else if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
			   (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
			memcpy(&error, CMSG_DATA(c), sizeof(error));
			told.kind = error.ee_info;
			told.id = error.ee_data;
		}
	}
	return told;
}

int64_t stamps_of_message(struct msghdr *message)
{
	return told_by(message).ns;
}

/* --- a socket ------------------------------------------------------------------------------ */

/* UNIX sockets have no queue of errors, where stamps of sends come, and take the question for a read. */
static bool has_error_queue(int fd)
{
	socklen_t size = sizeof(int);
	int domain = AF_UNSPEC;

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	return domain == AF_INET || domain == AF_INET6;
}

struct socket_stamps *socket_stamps_new(struct stamps *to, int fd, bool sends)
{
	struct socket_stamps *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->to = to;
	s->sends =
		sends && has_error_queue(fd) &&
		(ask(fd, ASK_RECEIVE | ASK_SEND | OPT_ID_TCP) || ask(fd, ASK_RECEIVE | ASK_SEND));
	if (!s->sends)
		stamps_ask(fd);
	return s;
}

static void take(struct socket_stamps *s, const struct told *told)
{
	int64_t at = tell(&s->to->clock, told->ns);

	if (!at || told->id != s->next_id - 1)
		return;
	if (told->kind == SCM_TSTAMP_SCHED) {
		s->to->slot->tx_ns = (uint64_t)at;
		s->to->slot->tx_sequence++;
	} else if (told->kind == SCM_TSTAMP_SND) {
		s->left_ns = at;
		s->owed = false;
	}
}

void socket_stamps_drain(struct socket_stamps *s, int fd)
{
	union {
		char bytes[512];
		struct cmsghdr aligned;
	} control;

	while (s->sends) {
		struct msghdr message = { .msg_control = &control,
					  .msg_controllen = sizeof(control) };
		struct told told;

		if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		told = told_by(&message);
		take(s, &told);
	}
}

void socket_stamps_sent(struct socket_stamps *s, int fd, uint32_t amount)
{
	s->next_id += amount;
	s->owed = true;
	s->left_ns = 0;
	socket_stamps_drain(s, fd);
}

ssize_t socket_stamps_send(struct socket_stamps *s, int fd, const void *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	int error = errno;

	if (n > 0 && s->sends)
		socket_stamps_sent(s, fd, (uint32_t)n);
	errno = error;
	return n;
}

ssize_t socket_stamps_recv(struct socket_stamps *s, int fd, void *data, size_t size)
{
	union {
		char bytes[STAMPS_CONTROL_BYTES];
		struct cmsghdr aligned;
	} control;
	struct iovec part = { data, size };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t n;

	if (s->owed) /* once: a driver need not give any */
		socket_stamps_drain(s, fd);
	s->owed = false;
	n = recvmsg(fd, &message, MSG_DONTWAIT);
	if (n <= 0)
		return n;
	stamps_received(s->to, stamps_of_message(&message));
	s->to->slot->rx_left_ns = (uint64_t)s->left_ns;
	return n;
}
