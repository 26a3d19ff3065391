/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/clients.h"
#include "replay/client/agent.h"

#include "base/clock.h"
#include "replay/agent/link.h"
#include "replay/plan/senders.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LATE_MS 1000 /* how often an agent tells how late it is */

struct agent {
	pid_t pid;
	int talk; /* to it: the anchor, then its end; from it: struct agent_word twice */
	bool done;
};

struct clients {
	struct client_rows_set rows; /* of each */
	struct client *client;	     /* NULL: agents are */
	struct clients_agents how;
	struct clock_offset clocks[CLIENTS_AGENTS_MAX];
	struct agent agents[CLIENTS_AGENTS_MAX];
	uint32_t count, left;	 /* agents, and those of them that are not done */
	struct agent_live *live; /* of each agent */
	struct names *names;	 /* of each client, in memory that agents share; NULL: none */
	uint32_t *share;	 /* of each connection: its agent */
	int epoll_fd;
	struct ledger ledger; /* of the agents that are done */
	bool stopping;
	int failed;
	struct err err; /* of the first one that failed */
};

/* --- the agent ----------------------------------------------------------------------------- */

bool agent_get(int fd, void *data, size_t bytes)
{
	return recv(fd, data, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

bool agent_put(int fd, const void *data, size_t bytes)
{
	return send(fd, data, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

static void tell_live(struct client *client, struct client_rows *rows, struct agent_live *live)
{
	struct client_progress now;

	client_progress(client, &now);
	live->sent = now.sent;
	live->answered = now.answered;
	live->failed = now.failed;
	live->late_p99_ns = client_rows_late_p99(rows);
}

/* Until it is done. What comes on `talk`, or that nothing can come any more, stops it. */
static void watch(struct client *client, struct client_rows *rows, struct agent_live *live,
		  int talk)
{
	struct pollfd polls[] = { { .fd = client_done_fd(client), .events = POLLIN },
				  { .fd = talk, .events = POLLIN } };

	while (!polls[0].revents) {
		int n = poll(polls, 2, LATE_MS);

		if (n > 0 && polls[1].revents) {
			client_stop(client);
			polls[1].fd = -1;
			polls[1].revents = 0;
		}
		if (!n)
			tell_live(client, rows, live);
	}
	client_join(client);
	tell_live(client, rows, live);
}

static void run_agent(const struct client_setup *setup, struct agent_live *live, int talk)
{
	struct agent_word word = { .clock = CLOCK_OFFSET_NONE };
	struct client *client = NULL;
	int64_t anchor_ns;

	word.failed = client_new(setup, &client, &word.err);
	plan_forget(setup->plan);
	if (!word.failed)
		word.failed = client_connect(client, &word.err);
	if (!agent_put(talk, &word, sizeof(word)) || word.failed ||
	    !agent_get(talk, &anchor_ns, sizeof(anchor_ns)))
		_exit(1); /* there will be no replay */
	word.failed = client_start(client, anchor_ns, &word.err);
	if (!word.failed)
		watch(client, setup->rows, live, talk);
	client_count(client, &word.ledger);
	if (!word.failed)
		word.failed = client_rows_finish(setup->rows, &word.err);
	_exit(!agent_put(talk, &word, sizeof(word)));
}

/* --- here ---------------------------------------------------------------------------------- */

/* What waits for another's reply is where that comes: whole senders are shared out. */
static int share_out(struct clients *c, const struct plan *plan)
{
	struct plan_chains chains = { 0 };
	struct plan_senders senders = { 0 };
	int rc = -ENOMEM;

	c->share = malloc((plan->connections_count + 1) * sizeof(*c->share));
	if (c->share && !plan_chains_init(&chains, plan) &&
	    !plan_senders_init(&senders, plan, &chains)) {
		for (size_t i = 0; i < plan->connections_count; i++)
			c->share[i] = senders.of[i] % c->count;
		rc = 0;
	}
	plan_senders_release(&senders);
	plan_chains_release(&chains);
	return rc;
}

/* A process group of its own: the terminal's Ctrl-C is for the replay, which then tells all. */
static void become_agent(const struct clients *c, uint32_t i, const struct client_setup *setup,
			 int talk, pid_t parent)
{
	const struct clients_agents *agents = &c->how;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (agents->at)
		agent_relay(setup,
			    &(struct agent_remote){ &agents->at[i], agents->secure, agents->spin,
						    agents_beside(agents->at, agents->count, i) },
			    &c->live[i], talk);
	else
		run_agent(setup, &c->live[i], talk);
	_exit(1);
}

static int fork_agent(struct clients *c, uint32_t i, const struct client_setup *setup,
		      struct err *err)
{
	struct agent *agent = &c->agents[i];
	struct client_setup own = *setup;
	pid_t parent = getpid();
	int talk[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk))
		return err_errno(err, errno, "cannot start an agent");
	own.rows = c->rows.at[i];
	own.share = c->share;
	own.self = i;
	agent->talk = talk[0];
	agent->pid = fork();
	if (!agent->pid) {
		close(talk[0]);
		become_agent(c, i, &own, talk[1], parent);
	}
	close(talk[1]);
	return agent->pid < 0 ? err_errno(err, errno, "cannot start an agent") : 0;
}

static int await_connected(struct agent *agent, struct err *err)
{
	struct agent_word word;

	if (!agent_get(agent->talk, &word, sizeof(word)))
		return err_set(err, ECHILD, "an agent (process %d) ended before its time",
			       (int)agent->pid);
	return word.failed ? err_set(err, -word.failed, "%s", word.err.text) : 0;
}

static int start_agents(struct clients *c, const struct client_setup *setup, struct err *err)
{
	int rc = 0;

	c->live = mmap(NULL, c->count * sizeof(*c->live), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->live == MAP_FAILED) {
		c->live = NULL;
		rc = -ENOMEM;
	}
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (rc || c->epoll_fd < 0 || share_out(c, setup->plan))
		return err_errno(err, ENOMEM, "cannot start agents");
	for (uint32_t i = 0; i < c->count && !rc; i++)
		rc = fork_agent(c, i, setup, err);
	for (uint32_t i = 0; i < c->count && !rc; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		rc = await_connected(&c->agents[i], err);
		epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->agents[i].talk, &event);
	}
	return rc;
}

/* Before there are agents, which put theirs there. */
static int share_names(struct clients *c, const struct plan *plan, struct err *err)
{
	int rc = 0;

	c->names = mmap(NULL, c->rows.count * sizeof(*c->names), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->names == MAP_FAILED) {
		c->names = NULL;
		rc = -ENOMEM;
	}
	for (size_t i = 0; i < c->rows.count && !rc; i++)
		rc = client_rows_watch(c->rows.at[i], plan, c->how.slowest, &c->names[i]);
	return rc ? err_errno(err, -rc, "cannot keep a sample of the rows") : 0;
}

static int start_client(struct clients *c, const struct client_setup *setup, struct err *err)
{
	struct client_setup own = *setup;
	int rc;

	own.rows = c->rows.at[0];
	rc = client_new(&own, &c->client, err);
	return rc ? rc : client_connect(c->client, err);
}

int clients_new(const struct client_setup *setup, const struct clients_agents *how,
		const char *directory, struct clients **ret_clients, struct err *err)
{
	struct clients *c = calloc(1, sizeof(*c));
	uint32_t agents = how->count;
	int rc = 0;

	if (!c)
		return err_errno(err, ENOMEM, "cannot start the client");
	c->how = *how;
	c->epoll_fd = -1;
	c->count = c->left = agents;
	for (uint32_t i = 0; i < CLIENTS_AGENTS_MAX; i++)
		c->agents[i].talk = -1;
	for (uint32_t i = 0; i < (agents ? agents : 1) && !rc; i++) {
		rc = client_rows_new(directory, &c->rows.at[i], err);
		c->rows.count += !rc;
	}
	if (!rc && how->slowest)
		rc = share_names(c, setup->plan, err);
	if (!rc)
		rc = agents ? start_agents(c, setup, err) : start_client(c, setup, err);
	plan_forget(setup->plan);
	if (rc)
		clients_free(c);
	else
		*ret_clients = c;
	return rc;
}

static void end_agent(struct agent *agent)
{
	if (agent->talk >= 0)
		close(agent->talk);
	if (agent->pid > 0) {
		kill(agent->pid, SIGKILL); /* of one that has ended nothing is left to lose */
		waitpid(agent->pid, NULL, 0);
	}
}

void clients_free(struct clients *c)
{
	if (!c)
		return;
	client_free(c->client);
	for (uint32_t i = 0; i < c->count; i++)
		end_agent(&c->agents[i]);
	for (size_t i = 0; i < c->rows.count; i++)
		client_rows_free(c->rows.at[i]);
	if (c->names)
		munmap(c->names, c->rows.count * sizeof(*c->names));
	if (c->live)
		munmap(c->live, c->count * sizeof(*c->live));
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	free(c->share);
	free(c);
}

int clients_start(struct clients *c, int64_t anchor_ns, struct err *err)
{
	if (c->client)
		return client_start(c->client, anchor_ns, err);
	for (uint32_t i = 0; i < c->count; i++)
		agent_put(c->agents[i].talk, &anchor_ns, sizeof(anchor_ns)); /* its end tells */
	return 0;
}

void clients_stop(struct clients *c)
{
	if (c->client)
		client_stop(c->client);
	for (uint32_t i = 0; i < c->count && !c->stopping; i++)
		if (!c->agents[i].done)
			agent_put(c->agents[i].talk, "", 1);
	c->stopping = true;
}

bool clients_names(struct clients *c, struct wire_slow *ret_slow)
{
	*ret_slow = (struct wire_slow){ 0 };
	for (size_t i = 0; c->names && i < c->rows.count; i++)
		ret_slow->count += names_take(&c->names[i], &ret_slow->requests[ret_slow->count],
					      WIRE_SLOW_MAX - ret_slow->count);
	return ret_slow->count;
}

int clients_fd(const struct clients *c)
{
	return c->client ? client_done_fd(c->client) : c->epoll_fd;
}

/* Its last word is there, or it has ended without one. */
static void take_end(struct clients *c, struct agent *agent)
{
	struct agent_word word = { 0 };

	if (!agent_get(agent->talk, &word, sizeof(word)))
		word.failed = err_set(&word.err, ECHILD,
				      "an agent (process %d) ended before its time",
				      (int)agent->pid);
	epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, agent->talk, NULL);
	agent->done = true;
	c->left--;
	ledger_merge(&c->ledger, &word.ledger);
	c->clocks[agent - c->agents] = word.clock;
	if (word.failed && !c->failed) {
		c->failed = word.failed;
		c->err = word.err;
		clients_stop(c); /* without it the others are not the load */
	}
}

bool clients_are_done(struct clients *c)
{
	struct epoll_event event;

	if (c->client)
		return true;
	while (c->left && epoll_wait(c->epoll_fd, &event, 1, 0) > 0)
		take_end(c, &c->agents[event.data.u32]);
	return !c->left;
}

void clients_progress(struct clients *c, struct client_progress *ret_progress, int64_t *ret_late)
{
	*ret_late = 0;
	*ret_progress = (struct client_progress){ 0 };
	if (c->client) {
		client_progress(c->client, ret_progress);
		*ret_late = client_rows_late_p99(c->rows.at[0]);
	}
	for (uint32_t i = 0; i < c->count; i++) {
		const struct agent_live *live = &c->live[i];

		ret_progress->sent += live->sent;
		ret_progress->answered += live->answered;
		ret_progress->failed += live->failed;
		*ret_late = live->late_p99_ns > *ret_late ? live->late_p99_ns : *ret_late;
	}
}

int clients_join(struct clients *c, struct ledger *ledger, struct err *err)
{
	if (c->client) {
		client_join(c->client);
		client_count(c->client, ledger);
		client_free(c->client);
		c->client = NULL;
		return client_rows_finish(c->rows.at[0], err);
	}
	for (uint32_t i = 0; i < c->count; i++)
		if (!c->agents[i].done)
			take_end(c, &c->agents[i]);
	ledger_merge(ledger, &c->ledger);
	return c->failed ? err_set(err, -c->failed, "%s", c->err.text) : 0;
}

const struct client_rows_set *clients_rows(const struct clients *c)
{
	return &c->rows;
}

uint32_t clients_clocks(const struct clients *c, const struct clock_offset **ret_clocks)
{
	*ret_clocks = c->clocks;
	return c->how.at ? c->count : 0;
}
