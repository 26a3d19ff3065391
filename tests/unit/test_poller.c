/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for each way to wait. */
#include "base/clock.h"
#include "check.h"
#include "replay/net/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const names[POLL_MODE_COUNT] = { "epoll", "poll", "select", "io_uring" };

/* The events of `data` among those that there are; 0: none. */
static uint32_t events_of(struct poller *p, const void *data)
{
	struct epoll_event events[16];
	int n = poller_wait(p, events, ARRAY_SIZE(events), 0);

	for (int i = 0; i < n; i++)
		if (events[i].data.ptr == data)
			return events[i].events;
	return 0;
}

static void test_events(enum poll_mode mode)
{
	struct poller p;
	int a[2], b[2];

	CHECK_EQ(poller_init(&p, mode), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, a) || socketpair(AF_UNIX, SOCK_STREAM, 0, b),
		 0);
	CHECK_EQ(poller_watch(&p, a[0], a, 0, EPOLLIN | EPOLLEXCLUSIVE), 0);
	CHECK_EQ(poller_watch(&p, b[0], b, 0, EPOLLIN), 0);
	CHECK_EQ(events_of(&p, a) | events_of(&p, b), 0);

	CHECK_EQ(send(b[1], "x", 1, 0), 1);
	CHECK_EQ(events_of(&p, a), 0);
	CHECK_EQ(events_of(&p, b), EPOLLIN);
	CHECK_EQ(events_of(&p, b), EPOLLIN); /* until it is dealt with */
	CHECK_EQ(poller_watch(&p, b[0], b, EPOLLIN, EPOLLIN | EPOLLOUT), 0);
	CHECK_EQ(events_of(&p, b), EPOLLIN | EPOLLOUT);
	CHECK_EQ(poller_watch(&p, b[0], b, EPOLLIN | EPOLLOUT, EPOLLOUT), 0);
	CHECK_EQ(events_of(&p, b), EPOLLOUT);
	CHECK_EQ(poller_watch(&p, b[0], b, EPOLLOUT, 0), 0);
	CHECK_EQ(events_of(&p, b), 0);

	close(a[1]); /* the end of a stream is to be read */
	CHECK(events_of(&p, a) & EPOLLIN);
	CHECK_EQ(poller_watch(&p, a[0], a, EPOLLIN, 0), 0);
	CHECK_EQ(events_of(&p, a), 0);
	poller_release(&p);
	close(a[0]);
	close(b[0]);
	close(b[1]);
}

/* Many come and go in any order: each event is its own socket's. */
static void test_many(enum poll_mode mode)
{
	enum { COUNT = 200 };
	struct epoll_event events[COUNT];
	int ends[COUNT][2];
	struct poller p;

	CHECK_EQ(poller_init(&p, mode), 0);
	for (int i = 0; i < COUNT; i++) {
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
		CHECK_EQ(poller_watch(&p, ends[i][0], ends[i], 0, EPOLLIN), 0);
		CHECK_EQ(send(ends[i][1], "x", 1, 0), 1);
	}
	CHECK_EQ(poller_wait(&p, events, COUNT, POLLER_NEVER), COUNT);
	CHECK_EQ(poller_wait(&p, events, 7, POLLER_NEVER), 7);
	for (int i = 0; i < COUNT; i += 3)
		CHECK_EQ(poller_watch(&p, ends[i][0], ends[i], EPOLLIN, 0), 0);
	CHECK_EQ(poller_wait(&p, events, COUNT, 0), COUNT - (COUNT + 2) / 3);
	for (int i = 0; i < COUNT; i++) {
		bool watched = i % 3 != 0, told = false;

		for (int k = 0; k < COUNT - (COUNT + 2) / 3; k++)
			told |= events[k].data.ptr == ends[i];
		CHECK_EQ(told, watched);
		close(ends[i][0]);
		close(ends[i][1]);
	}
	poller_release(&p);
}

/* What is not watched any more tells of nothing, however it was found. */
static void test_withdrawn(enum poll_mode mode)
{
	struct epoll_event events[4];
	struct poller p;
	int a[2];

	CHECK_EQ(poller_init(&p, mode), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	CHECK_EQ(poller_watch(&p, a[0], a, 0, EPOLLIN), 0);
	CHECK_EQ(poller_watch(&p, a[1], &p, 0, EPOLLIN), 0);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(poller_wait(&p, events, 4, 0), 0);
		CHECK_EQ(poller_watch(&p, a[0], a, EPOLLIN, 0), 0);
		CHECK_EQ(poller_watch(&p, a[1], &p, EPOLLIN, EPOLLIN | EPOLLPRI), 0);
		CHECK_EQ(poller_wait(&p, events, 4, 10 * NS_PER_US), 0);
		CHECK_EQ(poller_watch(&p, a[1], &p, EPOLLIN | EPOLLPRI, EPOLLIN), 0);
		CHECK_EQ(poller_watch(&p, a[0], a, 0, EPOLLIN), 0);
	}
	CHECK_EQ(send(a[1], "x", 1, 0), 1);
	CHECK_EQ(poller_wait(&p, events, 4, 0), 1);
	CHECK_EQ(poller_watch(&p, a[0], a, EPOLLIN, 0), 0);
	CHECK_EQ(poller_wait(&p, events, 4, 10 * NS_PER_US), 0);
	poller_release(&p);
	close(a[0]);
	close(a[1]);
}

static void test_timeout(enum poll_mode mode)
{
	struct epoll_event events[1];
	struct poller p;
	int64_t start_ns = clock_now_ns(), elapsed_ns;

	CHECK_EQ(poller_init(&p, mode), 0);
	CHECK_EQ(poller_wait(&p, events, 1, 3 * NS_PER_MS + 500 * NS_PER_US), 0);
	elapsed_ns = clock_now_ns() - start_ns;
	CHECK(elapsed_ns >= 3 * NS_PER_MS + 500 * NS_PER_US);
	CHECK(elapsed_ns < NS_PER_SEC);
	poller_release(&p);
}

static void test_all_modes(void)
{
	for (enum poll_mode mode = 0; mode < POLL_MODE_COUNT; mode++) {
		check_case("%s", names[mode]);
		test_events(mode);
		test_many(mode);
		test_withdrawn(mode);
		test_timeout(mode);
	}
}

/* select() has no room for large descriptors: that is said, not written beyond its set. */
static void test_select_beyond_its_set(void)
{
	struct rlimit limit;
	struct poller p;
	int fd;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	CHECK_EQ(poller_init(&p, POLL_SELECT), 0);
	fd = fcntl(0, F_DUPFD, FD_SETSIZE);
	CHECK(fd >= FD_SETSIZE);
	CHECK_EQ(poller_watch(&p, fd, &p, 0, EPOLLIN), -ERANGE);
	close(fd);
	fd = fcntl(0, F_DUPFD, FD_SETSIZE - 1);
	CHECK_EQ(fd, FD_SETSIZE - 1);
	CHECK_EQ(poller_watch(&p, fd, &p, 0, EPOLLIN), 0);
	poller_release(&p);
	close(fd);
}

int main(void)
{
	RUN(test_all_modes);
	RUN(test_select_beyond_its_set);
	return check_done();
}
