/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/control.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct control {
	int fd;
	struct secure_end *end; /* NULL: plain */
	char peer[64];
};

static void name_peer(struct control *c)
{
	struct sockaddr_storage at;
	socklen_t size = sizeof(at);
	char host[48], port[8];
	bool ipv6;

	snprintf(c->peer, sizeof(c->peer), "a client that has gone");
	if (getpeername(c->fd, (struct sockaddr *)&at, &size) ||
	    getnameinfo((struct sockaddr *)&at, size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return;
	ipv6 = at.ss_family == AF_INET6;
	snprintf(c->peer, sizeof(c->peer), "%s%s%s:%s", ipv6 ? "[" : "", host, ipv6 ? "]" : "",
		 port);
}

int control_new(int fd, struct secure *secure, const char *host, struct control **ret_control,
		struct err *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int ret;

	if (!c) {
		close(fd);
		return err_errno(err, ENOMEM, "cannot set up a control connection");
	}
	c->fd = fd;
	name_peer(c);
	ret = secure ? secure_end_new(secure, fd, host, &c->end, err) : 0;
	if (ret)
		control_free(c);
	else
		*ret_control = c;
	return ret;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	secure_end_free(c->end);
	close(c->fd);
	free(c);
}

int control_fd(const struct control *c)
{
	return c->fd;
}

const char *control_peer(const struct control *c)
{
	return c->peer;
}

bool control_from(const struct control *c, struct endpoint *ret_from)
{
	struct endpoint from = { .size = sizeof(from.at) };

	if (getpeername(c->fd, (struct sockaddr *)&from.at, &from.size) ||
	    (from.at.ss_family != AF_INET && from.at.ss_family != AF_INET6))
		return false;
	*ret_from = from;
	return true;
}

int control_shake(struct control *c, struct err *err)
{
	return c->end ? secure_end_shake(c->end, err) : 1;
}

/* The result of a system call, -EAGAIN where it can be made again. */
static ssize_t judge(ssize_t n, struct err *err)
{
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	return err_errno(err, errno, "lost the connection");
}

ssize_t control_recv(struct control *c, void *data, size_t size, struct err *err)
{
	if (c->end)
		return secure_end_recv(c->end, data, size, err);
	return judge(recv(c->fd, data, size, MSG_DONTWAIT), err);
}

ssize_t control_send(struct control *c, const void *data, size_t size, struct err *err)
{
	if (c->end)
		return secure_end_send(c->end, data, size, err);
	return judge(send(c->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL), err);
}

bool control_pending(const struct control *c)
{
	return c->end && secure_end_pending(c->end);
}

short control_events(const struct control *c, bool sends)
{
	if (c->end)
		return secure_end_events(c->end, sends);
	return sends ? POLLIN | POLLOUT : POLLIN;
}

void control_finish(struct control *c)
{
	if (c->end)
		secure_end_finish(c->end);
	shutdown(c->fd, SHUT_WR);
}
