/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/agent/agent.h"

#include "base/descriptors.h"
#include "replay/net/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG 128

struct agent {
	struct agent_opts opts;
	struct secure *secure; /* NULL: clients need not prove themselves */
	int fd;
	bool loopback;
	pid_t clients[AGENT_CLIENTS_MAX]; /* 0: nobody */
};

/* It does what it is asked to: off loopback it has to know by whom. */
static int refuse_exposure(const struct agent *a, struct err *err)
{
	char text[ADDRESS_TEXT_SIZE];

	if (a->loopback || a->secure || a->opts.insecure)
		return 0;
	return err_set(err, EPERM,
		       "others than this machine can reach %s: give the agent a key (gait keys new "
		       "FILE makes one; then --key FILE here and at gait walk), certificates, or "
		       "--insecure if everybody may use it",
		       address_format(&a->opts.listen, text));
}

int agent_new(const struct agent_opts *opts, struct agent **ret_agent, struct err *err)
{
	static const struct listen_opts listening = { .backlog = BACKLOG, .no_delay = true };
	struct agent *a = calloc(1, sizeof(*a));
	int rc = 0;

	if (!a)
		return err_errno(err, ENOMEM, "cannot set up an agent");
	a->opts = *opts;
	a->fd = -1;
	descriptors_raise();
	if (secure_wanted(&opts->secure))
		rc = secure_new(&opts->secure, SECURE_NODE, &a->secure, err);
	if (!rc)
		rc = a->fd = address_listen(&a->opts.listen, &listening, err);
	if (rc >= 0) {
		a->loopback = address_is_loopback(a->fd);
		rc = refuse_exposure(a, err);
	}
	if (rc < 0)
		agent_free(a);
	else
		*ret_agent = a;
	return rc < 0 ? rc : 0;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		address_unlisten(&a->opts.listen, a->fd);
	secure_free(a->secure);
	free(a);
}

const struct address *agent_address(const struct agent *a)
{
	return &a->opts.listen;
}

bool agent_is_exposed(const struct agent *a)
{
	return !a->loopback && !a->secure;
}

/* --- one client ---------------------------------------------------------------------------- */

/* The first byte of a frame: it does not know that this agent wants more. */
static bool speaks_plain(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint8_t first;

	return poll(&ready, 1, AGENT_NEWCOMER_MS) > 0 && recv(fd, &first, 1, MSG_PEEK) == 1 &&
	       !first;
}

static void serve(struct agent *a, int fd)
{
	bool plain = !a->secure || speaks_plain(fd);
	struct control *control;
	struct err err, sentence;
	struct talk talk;

	if (control_new(fd, plain ? NULL : a->secure, NULL, &control, NULL))
		return;
	talk_init(&talk, control, "the client");
	if (agent_serve(&talk, a->secure, plain, &err) && a->opts.tell) {
		err_set(&sentence, EREMOTE, "%s: %s", control_peer(control), err.text);
		a->opts.tell(sentence.text);
	}
	talk_release(&talk);
}

/* Signals stop the process as they stop any; the one that listens takes it with it. */
static void run_client(struct agent *a, int fd, pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(a->fd);
	serve(a, fd);
	_exit(0);
}

/* --- all ----------------------------------------------------------------------------------- */

static void bury(struct agent *a)
{
	for (size_t i = 0; i < AGENT_CLIENTS_MAX; i++)
		if (a->clients[i] && waitpid(a->clients[i], NULL, WNOHANG) == a->clients[i])
			a->clients[i] = 0;
}

static pid_t *free_place(struct agent *a)
{
	for (size_t i = 0; i < AGENT_CLIENTS_MAX; i++)
		if (!a->clients[i])
			return &a->clients[i];
	return NULL;
}

static void take_client(struct agent *a)
{
	pid_t *place = free_place(a), parent = getpid(), pid;
	int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	pid = place ? fork() : -1;
	if (!pid)
		run_client(a, fd, parent);
	if (pid > 0)
		*place = pid;
	else if (a->opts.tell)
		a->opts.tell("a client was turned away: there are too many");
	close(fd);
}

static bool input_has_ended(void)
{
	char bytes[256];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	return !n || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void end_clients(struct agent *a)
{
	for (size_t i = 0; i < AGENT_CLIENTS_MAX; i++)
		if (a->clients[i])
			kill(a->clients[i], SIGKILL);
	for (size_t i = 0; i < AGENT_CLIENTS_MAX; i++)
		if (a->clients[i])
			waitpid(a->clients[i], NULL, 0);
}

int agent_run(struct agent *a, const volatile sig_atomic_t *stopping, struct err *err)
{
	const struct timespec look = { 1, 0 }; /* for those that have ended */
	struct pollfd polls[] = { { .fd = a->fd, .events = POLLIN },
				  { .fd = a->opts.attached ? STDIN_FILENO : -1,
				    .events = POLLIN } };
	sigset_t none;

	sigemptyset(&none);
	while (!*stopping) {
		int n = ppoll(polls, 2, &look, &none);

		bury(a);
		if (n > 0 && polls[1].revents && input_has_ended())
			break;
		if (n > 0 && polls[0].revents)
			take_client(a);
	}
	end_clients(a);
	return 0;
}
