/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/local.h"

#include "base/clock.h"
#include "replay/net/listening.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 30000
#define STOP_NS (3 * NS_PER_SEC)
#define ARGS_MAX 10
#define PROGRAM "/proc/self/exe"

struct local_node {
	pid_t pid;
	int output; /* the child's stdout */
	uint16_t port;
};

static void fill_args(const struct local_opts *opts, const char *args[ARGS_MAX])
{
	static const char *const words[] = { "none", "bpf", "user", "auto" };
	size_t n = 0;

	args[n++] = "gait";
	args[n++] = "node";
	args[n++] = "--listen";
	args[n++] = LOCAL_HOST ":0";
	args[n++] = "--once";
	args[n++] = "--attribution";
	args[n++] = words[opts->attribution];
	if (opts->directory) {
		args[n++] = "--dir";
		args[n++] = opts->directory;
	}
	args[n] = NULL;
}

/* A process group of its own: the terminal's Ctrl-C is for the client, which then asks the node. */
static void run_child(const char *const *args, int slots_fd, int output, pid_t parent)
{
	char number[16];

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1); /* it died before that */
	dup2(output, STDOUT_FILENO);
	snprintf(number, sizeof(number), "%d", slots_fd);
	if (slots_fd >= 0 && !fcntl(slots_fd, F_SETFD, 0))
		setenv(LOCAL_SLOTS_ENV, number, 1);
	execv(PROGRAM, (char *const *)args);
	_exit(127);
}

static int spawn(const struct local_opts *opts, struct local_node *node, struct err *err)
{
	const char *args[ARGS_MAX];
	pid_t parent = getpid();
	int ends[2];

	fill_args(opts, args);
	if (pipe2(ends, O_CLOEXEC))
		return err_errno(err, errno, "cannot start a node");
	node->pid = fork();
	if (!node->pid)
		run_child(args, opts->slots_fd, ends[1], parent);
	close(ends[1]);
	node->output = ends[0];
	return node->pid < 0 ? err_errno(err, errno, "cannot start a node") : 0;
}

static int read_port(struct local_node *node, struct err *err)
{
	node->port = listening_port(node->output, START_MS);
	if (node->port)
		return 0;
	return err_set(err, ECHILD, "the node that was started here does not listen (see above)");
}

int local_node_start(const struct local_opts *opts, struct local_node **ret_node, struct err *err)
{
	struct local_node *node = calloc(1, sizeof(*node));
	int ret;

	if (!node)
		return err_errno(err, ENOMEM, "cannot start a node");
	node->pid = node->output = -1;
	ret = spawn(opts, node, err);
	if (!ret)
		ret = read_port(node, err);
	if (ret)
		local_node_free(node);
	else
		*ret_node = node;
	return ret;
}

uint16_t local_node_port(const struct local_node *node)
{
	return node->port;
}

/* True when it has ended within `ns`. */
static bool wait_end(pid_t pid, int64_t ns)
{
	const struct timespec nap = { .tv_nsec = 5 * NS_PER_MS };
	int64_t give_up = clock_now_ns() + ns;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_now_ns() > give_up)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

void local_node_free(struct local_node *node)
{
	if (!node)
		return;
	if (node->output >= 0)
		close(node->output);
	if (node->pid > 0) {
		kill(node->pid, SIGTERM);
		if (!wait_end(node->pid, STOP_NS)) {
			kill(node->pid, SIGKILL);
			waitpid(node->pid, NULL, 0);
		}
	}
	free(node);
}
