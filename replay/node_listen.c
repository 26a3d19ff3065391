/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node_listen.h"

#include "replay/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static const struct {
	int level, name, value;
} socket_options[] = {
	{ SOL_SOCKET, SO_REUSEADDR, 1 },
	{ SOL_SOCKET, SO_RCVLOWAT, WIRE_PREFACE_BYTES }, /* accepted sockets inherit these */
	{ IPPROTO_TCP, TCP_NODELAY, 1 },
};

static int listen_at(const struct addrinfo *at)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -errno : 0;

	for (size_t i = 0; !rc && i < sizeof(socket_options) / sizeof(socket_options[0]); i++)
		if (setsockopt(fd, socket_options[i].level, socket_options[i].name,
			       &socket_options[i].value, sizeof(int)))
			rc = -errno;
	if (!rc && (bind(fd, at->ai_addr, at->ai_addrlen) || listen(fd, BACKLOG)))
		rc = -errno;
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage at = { 0 };
	socklen_t size = sizeof(at);

	getsockname(fd, (struct sockaddr *)&at, &size);
	return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port :
						((struct sockaddr_in *)&at)->sin_port);
}

/* Of the address that was bound, whatever name it was given by. */
static bool is_loopback(int fd)
{
	struct sockaddr_storage at = { 0 };
	socklen_t size = sizeof(at);
	const struct in6_addr *v6 = &((struct sockaddr_in6 *)&at)->sin6_addr;
	const struct in_addr *v4 = &((struct sockaddr_in *)&at)->sin_addr;

	if (getsockname(fd, (struct sockaddr *)&at, &size))
		return false;
	if (at.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(v6) ||
		       (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
	return at.ss_family == AF_INET && ntohl(v4->s_addr) >> 24 == IN_LOOPBACKNET;
}

int listener_open(struct listener *l, const char *host, uint16_t port, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
	char service[8];
	int rc;

	*l = (struct listener){ .fd = -1, .reserve_fd = -1 };
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, &found);
	if (rc)
		return err_set(err, EINVAL, "cannot listen on '%s': %s", host, gai_strerror(rc));
	l->fd = listen_at(found);
	freeaddrinfo(found);
	if (l->fd < 0)
		return err_errno(err, -l->fd, "cannot listen on %s:%u", host, port);
	l->port = port_of(l->fd);
	l->loopback = is_loopback(l->fd);
	l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_mutex_init(&l->lock, NULL);
	return 0;
}

void listener_close(struct listener *l)
{
	if (l->fd < 0)
		return;
	close(l->fd);
	if (l->reserve_fd >= 0)
		close(l->reserve_fd);
	pthread_mutex_destroy(&l->lock);
	*l = (struct listener){ .fd = -1, .reserve_fd = -1 };
}

/* Else it would wait in the queue for ever, and wake every thread for ever. */
static void turn_away(struct listener *l)
{
	int fd;

	pthread_mutex_lock(&l->lock);
	if (l->reserve_fd >= 0)
		close(l->reserve_fd);
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_mutex_unlock(&l->lock);
}

int listener_accept(struct listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno != EMFILE && errno != ENFILE)
		return -EAGAIN;
	turn_away(l);
	return -EMFILE;
}

void listener_admit(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &(int){ 1 }, sizeof(int));
}
