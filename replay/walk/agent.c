/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RELAY_ROWS 1024

/* Two ways: on `talk` the anchor goes there and the end comes back, on `rows` rows come. */
struct walk_agent {
	pid_t pid;
	int talk, rows;
};

static size_t shared_bytes(uint32_t senders)
{
	return sizeof(struct walk_shared) + senders * sizeof(struct walk_live);
}

struct walk_shared *walk_shared_new(uint32_t senders)
{
	void *shared = mmap(NULL, shared_bytes(senders), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return shared == MAP_FAILED ? NULL : shared;
}

void walk_shared_free(struct walk_shared *shared, uint32_t senders)
{
	if (shared)
		munmap(shared, shared_bytes(senders));
}

/* --- bytes between copies of one program --------------------------------------------------- */

static bool put(int fd, const void *data, size_t bytes)
{
	const char *from = data;

	while (bytes) {
		ssize_t n = write(fd, from, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		from += n;
		bytes -= (size_t)n;
	}
	return true;
}

/* Bytes that came: fewer at the end. */
static size_t get(int fd, void *data, size_t bytes)
{
	size_t got = 0;

	while (got < bytes) {
		ssize_t n = read(fd, (char *)data + got, bytes - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

static bool put_hist(int fd, const struct hist *h)
{
	bool well = put(fd, h, sizeof(*h)); /* that a block is there is all that is read of it */

	for (size_t b = 0; b < HIST_BLOCKS && well; b++)
		if (h->blocks[b])
			well = put(fd, h->blocks[b], HIST_BLOCK_BUCKETS * sizeof(uint64_t));
	return well;
}

static bool get_hist(int fd, struct hist *h)
{
	uint64_t buckets[HIST_BLOCKS][HIST_BLOCK_BUCKETS];
	struct hist from;
	bool well = get(fd, &from, sizeof(from)) == sizeof(from);

	for (size_t b = 0; b < HIST_BLOCKS && well; b++) {
		if (!from.blocks[b])
			continue;
		well = get(fd, buckets[b], sizeof(buckets[b])) == sizeof(buckets[b]);
		from.blocks[b] = buckets[b];
	}
	return well && !hist_merge(h, &from);
}

/* What is there when all is over. */
static bool put_end(int fd, const struct walk_sender *s)
{
	const struct walk_tally *t = &s->tally;
	bool well = put(fd, &s->err, sizeof(s->err)) && put(fd, t, sizeof(*t)) &&
		    put_hist(fd, &t->latency) && put_hist(fd, &t->service) &&
		    put_hist(fd, &t->late) && put_hist(fd, &t->connect);

	for (uint32_t i = s->first; i < s->plan->schedule.threads && well; i += s->step)
		well = put(fd, &s->counts[i], sizeof(s->counts[i]));
	return well;
}

static bool get_end(int fd, struct walk_sender *s)
{
	struct walk_tally *t = &s->tally;
	bool well = get(fd, &s->err, sizeof(s->err)) == sizeof(s->err) &&
		    get(fd, t, sizeof(*t)) == sizeof(*t);

	hist_init(&t->latency); /* their memory is the agent's */
	hist_init(&t->service);
	hist_init(&t->late);
	hist_init(&t->connect);
	well = well && get_hist(fd, &t->latency) && get_hist(fd, &t->service) &&
	       get_hist(fd, &t->late) && get_hist(fd, &t->connect);
	for (uint32_t i = s->first; i < s->plan->schedule.threads && well; i += s->step)
		well = get(fd, &s->counts[i], sizeof(s->counts[i])) == sizeof(s->counts[i]);
	return well;
}

/* --- the agent ----------------------------------------------------------------------------- */

/* What goes wrong is told at the end. */
static void send_all(struct walk_sender *s, int rows_fd)
{
	int rc = rows_fd >= 0 ? walk_rows_new(NULL, rows_fd, &s->rows, &s->err) : 0;

	if (!rc && !walk_sender_start(s, &s->err))
		walk_sender_join(s);
	if (s->rows)
		walk_rows_finish(s->rows, &s->err);
	if (rows_fd >= 0)
		close(rows_fd);
}

/* A process group of its own: the terminal's Ctrl-C is for the walk, which then tells all. */
static void run_agent(const struct walk_sender *sender, int talk, int rows_fd, pid_t parent)
{
	struct walk_sender s = *sender;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || get(talk, &s.anchor_ns, sizeof(s.anchor_ns)) == 0)
		_exit(1); /* there will be no walk */
	send_all(&s, rows_fd);
	_exit(!put_end(talk, &s));
}

int walk_agent_fork(const struct walk_sender *sender, bool rows, struct walk_agent **ret_agent,
		    struct err *err)
{
	struct walk_agent *agent = calloc(1, sizeof(*agent));
	int talk[2] = { -1, -1 }, pipes[2] = { -1, -1 };
	pid_t parent = getpid();

	if (!agent || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk) ||
	    (rows && pipe2(pipes, O_CLOEXEC))) {
		free(agent);
		return err_errno(err, errno, "cannot start an agent");
	}
	agent->talk = talk[0];
	agent->rows = pipes[0];
	agent->pid = fork();
	if (!agent->pid) {
		close(talk[0]);
		close(pipes[0]);
		run_agent(sender, talk[1], pipes[1], parent);
	}
	close(talk[1]);
	if (rows)
		close(pipes[1]);
	if (agent->pid < 0) {
		err_errno(err, errno, "cannot start an agent");
		walk_agent_free(agent);
		return -EAGAIN;
	}
	*ret_agent = agent;
	return 0;
}

void walk_agent_free(struct walk_agent *agent)
{
	if (!agent)
		return;
	close(agent->talk);
	if (agent->rows >= 0)
		close(agent->rows);
	if (agent->pid > 0) {
		kill(agent->pid, SIGKILL); /* of one that has ended nothing is left to lose */
		waitpid(agent->pid, NULL, 0);
	}
	free(agent);
}

/* --- here ---------------------------------------------------------------------------------- */

static void relay_rows(int fd, struct walk_sender *s)
{
	struct walk_writer writer = { .rows = s->rows };
	struct walk_row rows[RELAY_ROWS];
	size_t left = 0;
	ssize_t n;

	while ((n = read(fd, (char *)rows + left, sizeof(rows) - left)) > 0 ||
	       (n < 0 && errno == EINTR)) {
		size_t bytes = left + (n > 0 ? (size_t)n : 0), count = bytes / sizeof(rows[0]);

		for (size_t i = 0; i < count; i++)
			walk_writer_add(&writer, &rows[i]);
		left = bytes % sizeof(rows[0]);
		memmove(rows, &rows[count], left);
		if (s->plan->session_rows)
			walk_writer_end(&writer);
	}
	walk_writer_end(&writer);
	s->tally.rows_waited += writer.to.waited;
}

void walk_agent_relay(struct walk_agent *agent, struct walk_sender *s)
{
	bool well = put(agent->talk, &s->anchor_ns, sizeof(s->anchor_ns));

	if (well && agent->rows >= 0)
		relay_rows(agent->rows, s);
	if (!well || !get_end(agent->talk, s))
		err_set(&s->err, ECHILD, "an agent (process %d) ended before its time",
			(int)agent->pid);
}
