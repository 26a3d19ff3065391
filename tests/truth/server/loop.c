/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, signals, and a thread's epoll. */
#include "server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENTS_MAX 64

static int signals = -1;

void signals_catch(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signals = must(signalfd(-1, &set, SFD_CLOEXEC), "signalfd");
}

int signals_fd(void)
{
	return signals;
}

void signals_wait(void)
{
	struct signalfd_siginfo info;

	must(read(signals, &info, sizeof(info)), "signal");
}

void thread_start(void *(*main)(void *), void *arg)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, main, arg);
	if (errno)
		die("thread");
	pthread_detach(thread);
}

struct loop *loop_new(serve_fn serve)
{
	struct loop *loop = must_alloc(calloc(1, sizeof(*loop)));

	loop->epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll");
	loop->serve = serve;
	return loop;
}

void loop_add(struct loop *loop, struct source *source)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

	must(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event), "epoll_ctl");
}

void loop_adopt(struct loop *loop, struct connection *c)
{
	c->loop = loop;
	loop_add(loop, &c->source);
}

struct loop_source {
	struct source source;
	struct loop *loop;
};

static void loop_add_own(struct loop *loop, int fd, void (*ready)(struct source *source))
{
	struct loop_source *s = must_alloc(calloc(1, sizeof(*s)));

	*s = (struct loop_source){ { fd, ready }, loop };
	loop_add(loop, &s->source);
}

static void accept_ready(struct source *source)
{
	struct connection *c = net_accept(source->fd);

	if (c)
		loop_adopt(((struct loop_source *)source)->loop, c);
}

static void datagrams_ready(struct source *source)
{
	struct request *chain = net_receive_datagrams(source->fd);

	if (chain)
		((struct loop_source *)source)->loop->serve(chain);
}

void loop_listen(struct loop *loop, int listener)
{
	loop_add_own(loop, listener, net_is_datagram() ? datagrams_ready : accept_ready);
}

static void stop_ready(struct source *source)
{
	atomic_store(&((struct loop_source *)source)->loop->stop, true);
}

void loop_stop_at_signals(struct loop *loop)
{
	loop_add_own(loop, signals, stop_ready);
}

void loop_run(struct loop *loop)
{
	worker_self();
	while (!atomic_load(&loop->stop)) {
		struct epoll_event events[EVENTS_MAX];
		int n = must(epoll_wait(loop->epoll, events, EVENTS_MAX, -1), "epoll_wait");

		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			source->ready(source);
		}
		if (loop->pass)
			loop->pass(loop);
	}
}
