/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proxy/proxy.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "replay/pace.h"
#include "replay/proxy/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
#define EVENTS_MAX 256
#define TIMERS_MAX 64 /* in a row, before events are looked after */
#define ACCEPT_MAX 64 /* in a row, before others are looked after */

struct proxy {
	struct proxy_opts opts;
	struct proxy_room room;
	struct proxy_sockaddrs at;
	struct proxy_source wake, listeners[PROXY_SOCKADDRS_MAX];
	int reserve_fd; /* given up to turn a client away when there are no descriptors left */
	struct pace pace;
	struct pace_breaks breaks;
	atomic_bool stopping, asked;
};

/* --- set up ---------------------------------------------------------------------------------- */

static int watch(struct proxy *p, struct proxy_source *source)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

	return epoll_ctl(p->room.epoll_fd, EPOLL_CTL_ADD, source->fd, &event) ? -errno : 0;
}

static int open_listener(struct proxy_sockaddr *at)
{
	int fd = socket(at->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -errno : 0;

	if (!rc && at->at.ss_family != AF_UNIX &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)))
		rc = -errno;
	if (!rc && at->at.ss_family == AF_INET6 && /* the other has a socket of its own */
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int)))
		rc = -errno;
	if (!rc && (bind(fd, (struct sockaddr *)&at->at, at->len) || listen(fd, BACKLOG)))
		rc = -errno;
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

/* A name may mean an address of each family: with port 0, both get the one that the first got. */
static void take_port(struct proxy_sockaddr *at, uint16_t port)
{
	if (at->at.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&at->at)->sin6_port = htons(port);
	else if (at->at.ss_family == AF_INET)
		((struct sockaddr_in *)&at->at)->sin_port = htons(port);
}

static uint16_t port_of(const struct proxy_sockaddr *at)
{
	return ntohs(at->at.ss_family == AF_INET6 ?
			     ((const struct sockaddr_in6 *)&at->at)->sin6_port :
			     ((const struct sockaddr_in *)&at->at)->sin_port);
}

/* 0, or negative: nothing is to be listened at there. */
static int listen_at(struct proxy *p, struct proxy_sockaddr at)
{
	struct proxy_source *listener = &p->listeners[p->at.count];
	int fd;

	if (p->at.count && !p->opts.bind.port)
		take_port(&at, port_of(&p->at.items[0]));
	fd = open_listener(&at);
	if (fd < 0)
		return fd;
	at.len = sizeof(at.at);
	getsockname(fd, (struct sockaddr *)&at.at, &at.len);
	p->at.items[p->at.count++] = at;
	*listener = (struct proxy_source){ PROXY_LISTENER, fd };
	return watch(p, listener);
}

/* This host may lack one of the families: enough that there is one. But a port in use is told. */
static int listen_at_all(struct proxy *p, struct err *err)
{
	char text[PROXY_ADDRESS_TEXT_SIZE];
	struct proxy_sockaddrs wanted;
	int rc = proxy_address_resolve(&p->opts.bind, &wanted, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < wanted.count; i++) {
		rc = listen_at(p, wanted.items[i]);
		if (rc && (rc == -EADDRINUSE || (i + 1 == wanted.count && !p->at.count)))
			return err_errno(err, -rc, "cannot listen on %s",
					 proxy_sockaddr_format(&wanted.items[i], text,
							       sizeof(text)));
	}
	return 0;
}

static int set_up(struct proxy *p, struct err *err)
{
	p->room.opts = &p->opts;
	p->room.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->wake = (struct proxy_source){ PROXY_WAKE, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	p->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	p->room.read_buffer = malloc(PROXY_READ_BYTES);
	p->room.realtime_offset_ns = clock_realtime_offset_ns();
	if (p->room.epoll_fd < 0 || p->wake.fd < 0 || !p->room.read_buffer || watch(p, &p->wake))
		return err_errno(err, errno, "cannot set up a proxy");
	return proxy_address_resolve(&p->opts.to, &p->room.to, err);
}

int proxy_new(const struct proxy_opts *opts, struct proxy **ret_proxy, struct err *err)
{
	struct proxy *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_errno(err, ENOMEM, "cannot set up a proxy");
	p->opts = *opts;
	p->pace.spin_ns = opts->no_spin || sysconf(_SC_NPROCESSORS_ONLN) < 2 ? 0 : PACE_SPIN_NS;
	descriptors_raise(); /* a connection takes two descriptors */
	rc = set_up(p, err);
	if (!rc)
		rc = listen_at_all(p, err);
	if (rc) {
		proxy_free(p);
		return rc;
	}
	*ret_proxy = p;
	return 0;
}

static void close_listeners(struct proxy *p)
{
	for (size_t i = 0; i < p->at.count; i++) {
		close(p->listeners[i].fd);
		if (p->at.items[i].at.ss_family == AF_UNIX)
			unlink(((struct sockaddr_un *)&p->at.items[i].at)->sun_path);
	}
	p->at.count = 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	close_listeners(p);
	proxy_close_all(p);
	timers_release(&p->room.timers);
	hist_release(&p->room.stats.late_ns);
	close_fd(p->wake.fd);
	close_fd(p->reserve_fd);
	close_fd(p->room.epoll_fd);
	free(p->room.read_buffer);
	free(p);
}

/* --- run ------------------------------------------------------------------------------------- */

/* Else it would wait in the queue for ever, and wake us for ever. */
static void turn_away(struct proxy *p, int listener_fd)
{
	int fd;

	close_fd(p->reserve_fd);
	fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
	close_fd(fd);
	p->room.stats.turned_away += fd >= 0;
	p->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct proxy *p, int listener_fd)
{
	for (int i = 0; i < ACCEPT_MAX; i++) {
		int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			turn_away(p, listener_fd);
		if (fd < 0)
			return;
		if (proxy_flow_new(&p->room, fd))
			p->room.stats.turned_away++;
	}
}

static void drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* somebody was faster */
}

static void handle_event(struct proxy *p, struct proxy_source *source, uint32_t events)
{
	switch (source->kind) {
	case PROXY_WAKE:
		drain(source->fd);
		break;
	case PROXY_LISTENER:
		accept_some(p, source->fd);
		break;
	case PROXY_END:
		proxy_flow_event((struct proxy_end *)source, events);
		break;
	}
}

/* Kernels before 5.11 have no epoll_pwait2(): there poll() sleeps as finely, for one call more. */
static int wait_events(struct proxy *p, struct epoll_event *events, int64_t sleep_ns)
{
	struct timespec ts = { sleep_ns / NS_PER_SEC, sleep_ns % NS_PER_SEC };
	struct timespec *timeout = sleep_ns == PACE_NEVER ? NULL : &ts;
	struct pollfd ready = { .fd = p->room.epoll_fd, .events = POLLIN };
	int n;

	if (!sleep_ns)
		return epoll_wait(p->room.epoll_fd, events, EVENTS_MAX, 0);
	n = epoll_pwait2(p->room.epoll_fd, events, EVENTS_MAX, timeout, NULL);
	if (n >= 0 || errno != ENOSYS)
		return n;
	ppoll(&ready, 1, timeout, NULL);
	return epoll_wait(p->room.epoll_fd, events, EVENTS_MAX, 0);
}

/* The earliest first; events are not kept waiting for long. */
static void run_timers(struct proxy *p)
{
	int64_t now = clock_now_ns();
	struct timer *timer;

	for (int i = 0; i < TIMERS_MAX && (timer = timers_take(&p->room.timers, now)); i++)
		proxy_flow_timer(timer);
}

static void run_once(struct proxy *p)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t now, sleep_ns;
	enum pace_move move;
	int n;

	run_timers(p);
	now = clock_now_ns();
	move = pace_next(&p->pace, now, timers_due_ns(&p->room.timers), &sleep_ns);
	n = wait_events(p, events, pace_rest(&p->breaks, move, now, sleep_ns));
	for (int i = 0; i < n; i++)
		handle_event(p, events[i].data.ptr, events[i].events);
	proxy_flows_sweep(&p->room);
}

int proxy_run(struct proxy *p)
{
	pace_sharpen_thread(); /* a wire does not wait for a CPU */
	while (!atomic_load(&p->stopping)) {
		if (atomic_exchange(&p->asked, false))
			return PROXY_ASKED;
		run_once(p);
	}
	return PROXY_STOPPED;
}

static void wake(struct proxy *p)
{
	uint64_t one = 1;

	if (write(p->wake.fd, &one, sizeof(one)) < 0)
		return; /* it has been woken already */
}

void proxy_stop(struct proxy *p)
{
	atomic_store(&p->stopping, true);
	wake(p);
}

void proxy_ask(struct proxy *p)
{
	atomic_store(&p->asked, true);
	wake(p);
}

void proxy_close_all(struct proxy *p)
{
	while (p->room.flows)
		proxy_flow_break(p->room.flows);
	proxy_flows_sweep(&p->room);
}

const struct proxy_sockaddrs *proxy_listens_at(const struct proxy *p)
{
	return &p->at;
}

const struct proxy_stats *proxy_stats(const struct proxy *p)
{
	return &p->room.stats;
}
