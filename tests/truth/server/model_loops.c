/* SPDX-License-Identifier: Apache-2.0 */
/* Event loops: one; several of one port, as threads or as processes; fed by a thread that accepts. */
#include "server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

void run_loop(void)
{
	struct loop *loop = loop_new(serve_chain);

	loop_stop_at_signals(loop);
	loop_listen(loop, net_listen());
	net_announce();
	loop_run(loop);
}

static void *loop_main(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* Without waiting, as one of several that were woken may come too late. */
static void set_nonblocking(int fd)
{
	must(fcntl(fd, F_SETFL, must(fcntl(fd, F_GETFL), "fcntl") | O_NONBLOCK), "fcntl");
}

/* The listeners of all workers, before any of them runs: SO_REUSEPORT deals out to all. */
static void listeners_make(int *listeners)
{
	bool own = opts.share == SHARE_REUSEPORT && opts.listen != LISTEN_UNIX;

	for (uint64_t i = 0; i < opts.workers; i++) {
		listeners[i] = i && !own ? listeners[0] : net_listen();
		set_nonblocking(listeners[i]);
	}
}

void run_loops(void)
{
	int listeners[WORKERS_MAX];

	listeners_make(listeners);
	for (uint64_t i = 0; i < opts.workers; i++) {
		struct loop *loop = loop_new(serve_chain);

		loop_listen(loop, listeners[i]);
		thread_start(loop_main, loop);
	}
	net_announce();
	signals_wait();
}

static pid_t start_process(int listener)
{
	pid_t pid = must(fork(), "fork");
	struct loop *loop;
	sigset_t none;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	worker_forget();
	loop = loop_new(serve_chain);
	loop_listen(loop, listener);
	loop_run(loop);
	_exit(0);
}

void run_prefork(void)
{
	int listeners[WORKERS_MAX];
	pid_t pids[WORKERS_MAX];

	signal(SIGCHLD, SIG_IGN);
	listeners_make(listeners);
	for (uint64_t i = 0; i < opts.workers; i++)
		pids[i] = start_process(listeners[i]);
	net_announce();
	signals_wait();
	for (uint64_t i = 0; i < opts.workers; i++)
		kill(pids[i], SIGTERM);
}

/* --- accept -------------------------------------------------------------------------------- */

/* A loop with a letter box: connections in a pipe, or in a list with an eventfd to tell. */
struct taker {
	struct source source;
	struct loop *loop;
	int send_fd; /* what the acceptor writes to */
	atomic_flag lock;
	struct connection *list[1024];
	size_t count;
};

static void taker_lock(struct taker *t)
{
	while (atomic_flag_test_and_set(&t->lock))
		;
}

static void take_from_pipe(struct source *source)
{
	struct connection *c;

	must(read(source->fd, &c, sizeof(c)), "pipe");
	loop_adopt(((struct taker *)source)->loop, c);
}

static void take_from_list(struct source *source)
{
	struct taker *t = (struct taker *)source;
	uint64_t count;

	must(read(source->fd, &count, sizeof(count)), "eventfd");
	taker_lock(t);
	for (size_t i = 0; i < t->count; i++)
		loop_adopt(t->loop, t->list[i]);
	t->count = 0;
	atomic_flag_clear(&t->lock);
}

static void give(struct taker *t, struct connection *c)
{
	uint64_t one = 1;

	if (opts.handoff == HANDOFF_PIPE) {
		must(write(t->send_fd, &c, sizeof(c)), "pipe");
		return;
	}
	taker_lock(t);
	if (t->count == sizeof(t->list) / sizeof(t->list[0]))
		die("too many connections");
	t->list[t->count++] = c;
	atomic_flag_clear(&t->lock);
	must(write(t->send_fd, &one, sizeof(one)), "eventfd");
}

static struct taker *taker_start(void)
{
	struct taker *t = must_alloc(calloc(1, sizeof(*t)));
	int ends[2];

	if (opts.handoff == HANDOFF_PIPE) {
		must(pipe2(ends, O_CLOEXEC), "pipe");
		t->source = (struct source){ ends[0], take_from_pipe };
		t->send_fd = ends[1];
	} else {
		t->send_fd = must(eventfd(0, EFD_CLOEXEC), "eventfd");
		t->source = (struct source){ t->send_fd, take_from_list };
	}
	t->loop = loop_new(serve_chain);
	loop_add(t->loop, &t->source);
	thread_start(loop_main, t->loop);
	return t;
}

void run_accept(void)
{
	struct pollfd polled[] = { { signals_fd(), POLLIN, 0 }, { net_listen(), POLLIN, 0 } };
	struct taker *takers[WORKERS_MAX];

	for (uint64_t i = 0; i < opts.workers; i++)
		takers[i] = taker_start();
	net_announce();
	for (uint64_t next = 0;;) {
		struct connection *c;

		must(poll(polled, 2, -1), "poll");
		if (polled[0].revents)
			return;
		c = net_accept(polled[1].fd);
		if (c)
			give(takers[next++ % opts.workers], c);
	}
}
