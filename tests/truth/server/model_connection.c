/* SPDX-License-Identifier: Apache-2.0 */
/* A thread or a process for each connection: it waits in the call that receives. */
#include "server.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void serve_connection(struct connection *c)
{
	struct request *chain;

	worker_self();
	while (net_receive(c, &chain))
		if (chain)
			serve_chain(chain);
	connection_put(c);
	uring_close();
}

static void *thread_main(void *arg)
{
	serve_connection(arg);
	return NULL;
}

static void give_thread(struct connection *c)
{
	thread_start(thread_main, c);
}

/* It ends with its connection, or when it is told to. */
static void give_process(struct connection *c)
{
	sigset_t none;

	if (must(fork(), "fork")) {
		close(c->source.fd);
		free(c->in);
		free(c);
		return;
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	worker_forget();
	connection_touch(c); /* after a fork it is shared with the parent until written to */
	serve_connection(c);
	_exit(0);
}

/* Accepts until a signal comes. */
static void accept_all(void (*give)(struct connection *c))
{
	struct pollfd polled[] = { { signals_fd(), POLLIN, 0 }, { net_listen(), POLLIN, 0 } };

	net_announce();
	for (;;) {
		struct connection *c;

		must(poll(polled, 2, -1), "poll");
		if (polled[0].revents)
			return;
		c = net_accept(polled[1].fd);
		if (c)
			give(c);
	}
}

void run_threads(void)
{
	accept_all(give_thread);
}

/* Its children have the log in memory too; those that are still there have nothing to add. */
void run_process(void)
{
	signal(SIGCHLD, SIG_IGN);
	setpgid(0, 0);
	accept_all(give_process);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
}
