/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe in a process of its own. A node does what strangers ask for and so
 * should hold nothing; the guard holds the programs and maps, answers two
 * questions over a socket pair, and goes when the socket does.
 */
#include "probe/probe.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS_BYTES (PROBE_THREADS_MAX * sizeof(struct thread_slot))

struct probe_guard {
	pid_t pid; /* 0: adopted, another process's */
	int fd;
	int slots_fd;
	const struct thread_slot *slots;
};

enum guard_question { GUARD_FOLLOW_PORT = 1, GUARD_LOSSES };

struct question {
	uint32_t kind; /* enum guard_question */
	uint32_t port;
};

struct answer {
	int32_t result;
	struct probe_losses losses;
	struct err err;
};

static int send_answer(int sock, const struct answer *answer, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)answer, sizeof(*answer) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_answer(int sock, struct answer *ret_answer, int *ret_fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { ret_answer, sizeof(*ret_answer) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(*ret_answer))
		return -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (ret_fd)
		*ret_fd = -1;
	if (ret_fd && c && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
	return 0;
}

static void answer_question(struct probe *probe, const struct question *q, struct answer *ret)
{
	if (q->kind == GUARD_FOLLOW_PORT)
		ret->result = probe_follow_port(probe, q->port, &ret->err);
	else if (q->kind == GUARD_LOSSES)
		ret->result = probe_losses(probe, &ret->losses);
	else
		ret->result = -EINVAL;
}

/* Threads come and go as events too, though nobody in a run reads them. */
static int skip_event(void *arg, const void *event, size_t size)
{
	return 0;
}

static void guard_serve(struct probe *probe, int sock)
{
	struct question q;

	while (recv(sock, &q, sizeof(q), 0) == sizeof(q)) {
		struct answer answer = { 0 };

		probe_drain(probe, skip_event, NULL);
		answer_question(probe, &q, &answer);
		if (send_answer(sock, &answer, -1))
			break;
	}
}

/* A Ctrl-C goes to the whole process group; the guard must outlive the node's clean-up. */
static void guard_settle(pid_t parent)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	prctl(PR_SET_NAME, "gait-probe");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}

/* What else the parent has open is not to stay so until the guard goes. */
static void close_others(int sock)
{
	close_range(STDERR_FILENO + 1, (unsigned)sock - 1, 0);
	close_range((unsigned)sock + 1, UINT_MAX, 0);
}

static void guard_main(int sock, pid_t parent)
{
	struct probe_opts opts = { .mode = PROBE_RUN };
	struct answer answer = { 0 };
	struct probe *probe = NULL;

	guard_settle(parent);
	close_others(sock);
	answer.result = probe_new(&opts, &probe, &answer.err);
	if (!answer.result)
		answer.result = probe_follow(probe, parent, 0, &answer.err);
	if (!send_answer(sock, &answer, answer.result ? -1 : probe_slots_fd(probe)) &&
	    !answer.result)
		guard_serve(probe, sock);
	probe_free(probe);
	_exit(0);
}

static int guard_map(struct probe_guard *g, struct err *err)
{
	void *at = mmap(NULL, SLOTS_BYTES, PROT_READ, MAP_SHARED, g->slots_fd, 0);

	if (at == MAP_FAILED)
		return err_errno(err, errno, "cannot map the probe's counters");
	g->slots = at;
	return 0;
}

static int guard_await(struct probe_guard *g, struct err *err)
{
	struct answer answer;

	if (receive_answer(g->fd, &answer, &g->slots_fd))
		return err_set(err, EPIPE, "the probe process ended before it was ready");
	if (answer.result)
		return err_set(err, -answer.result, "%s", answer.err.text);
	return guard_map(g, err);
}

int probe_guard_new(struct probe_guard **ret_guard, struct err *err)
{
	struct probe_guard *g = calloc(1, sizeof(*g));
	pid_t parent = getpid();
	int pair[2], rc;

	if (!g)
		return err_errno(err, ENOMEM, "cannot start the probe process");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		rc = err_errno(err, errno, "cannot start the probe process");
		free(g);
		return rc;
	}
	g->fd = pair[0];
	g->slots_fd = -1;
	g->pid = fork();
	if (!g->pid) {
		close(pair[0]);
		guard_main(pair[1], parent);
	}
	close(pair[1]);
	rc = g->pid < 0 ? err_errno(err, errno, "cannot start the probe process") :
			  guard_await(g, err);
	if (rc) {
		probe_guard_free(g);
		return rc;
	}
	*ret_guard = g;
	return 0;
}

void probe_guard_free(struct probe_guard *g)
{
	if (!g)
		return;
	if (g->slots)
		munmap((void *)g->slots, SLOTS_BYTES);
	if (g->fd >= 0)
		close(g->fd);
	if (g->slots_fd >= 0)
		close(g->slots_fd);
	if (g->pid > 0)
		waitpid(g->pid, NULL, 0);
	free(g);
}

int probe_guard_slots_fd(const struct probe_guard *g)
{
	return g->slots_fd;
}

int probe_guard_adopt(int slots_fd, struct probe_guard **ret_guard, struct err *err)
{
	struct probe_guard *g = calloc(1, sizeof(*g));
	int rc;

	if (!g)
		return err_errno(err, ENOMEM, "cannot map the probe's counters");
	g->fd = -1;
	g->slots_fd = slots_fd;
	rc = guard_map(g, err);
	if (rc)
		probe_guard_free(g);
	else
		*ret_guard = g;
	return rc;
}

static int guard_ask(struct probe_guard *g, const struct question *q, struct answer *ret_answer)
{
	if (send(g->fd, q, sizeof(*q), MSG_NOSIGNAL) != sizeof(*q))
		return -EPIPE;
	return receive_answer(g->fd, ret_answer, NULL);
}

int probe_guard_follow_port(struct probe_guard *g, uint16_t port, struct err *err)
{
	struct question q = { GUARD_FOLLOW_PORT, port };
	struct answer answer;

	if (!g->pid)
		return 0;
	if (guard_ask(g, &q, &answer))
		return err_set(err, EPIPE, "the probe process has ended");
	return answer.result ? err_set(err, -answer.result, "%s", answer.err.text) : 0;
}

int probe_guard_losses(struct probe_guard *g, struct probe_losses *ret_losses)
{
	struct question q = { GUARD_LOSSES, 0 };
	struct answer answer = { 0 };
	int rc = g->pid ? guard_ask(g, &q, &answer) : 0;

	if (rc)
		return rc;
	*ret_losses = answer.losses;
	return answer.result;
}

const struct thread_slot *probe_guard_slots(const struct probe_guard *g)
{
	return g ? g->slots : NULL;
}
