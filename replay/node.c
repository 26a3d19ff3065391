/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node.h"

#include "base/clock.h"
#include "base/work.h"
#include "replay/limits.h"
#include "replay/local.h"
#include "replay/node_session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct newcomer {
	int fd;
	int64_t deadline_ns;
};

struct node {
	struct node_opts opts;
	struct probe_guard *guard; /* NULL: no attribution */
	struct err unattributed;
	struct listener listener;
	struct storage storage;
	uint64_t work_per_ms;
	int stop_event;
	atomic_bool stopping;
	struct session *session;		       /* NULL: none */
	bool served;				       /* a session has been */
	struct newcomer newcomers[NODE_NEWCOMERS_MAX]; /* the oldest first */
	size_t newcomers_count;
};

/* A connection and a file each take a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* A node can be of use without. */
static void start_probe(struct node *n)
{
	const char *shared = getenv(LOCAL_SLOTS_ENV);
	int rc;

	if (!n->opts.attribution)
		return;
	rc = shared ? probe_guard_adopt(atoi(shared), &n->guard, &n->unattributed) :
		      probe_guard_new(&n->guard, &n->unattributed);
	if (rc)
		n->guard = NULL;
}

static void follow_own_port(struct node *n)
{
	if (!n->guard || !probe_guard_follow_port(n->guard, n->listener.port, &n->unattributed))
		return;
	probe_guard_free(n->guard);
	n->guard = NULL;
}

int node_new(const struct node_opts *opts, struct node **ret_node, struct err *err)
{
	struct node *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return err_errno(err, ENOMEM, "cannot set up a node");
	n->opts = *opts;
	n->listener = (struct listener){ .fd = -1, .reserve_fd = -1 };
	n->storage.dir_fd = -1;
	start_probe(n);
	raise_descriptor_limit();
	n->work_per_ms = work_calibrate();
	n->stop_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = n->stop_event < 0 ? err_errno(err, errno, "cannot set up a node") :
				 storage_init(&n->storage, opts->dir, opts->storage_bytes, err);
	if (!rc)
		rc = listener_open(&n->listener, opts->host, opts->port, err);
	if (rc) {
		node_free(n);
		return rc;
	}
	follow_own_port(n);
	*ret_node = n;
	return 0;
}

static void drop_newcomer(struct node *n, size_t i)
{
	n->newcomers_count--;
	memmove(&n->newcomers[i], &n->newcomers[i + 1],
		(n->newcomers_count - i) * sizeof(n->newcomers[0]));
}

static void add_newcomer(struct node *n, int fd)
{
	if (n->newcomers_count == NODE_NEWCOMERS_MAX) {
		close(n->newcomers[0].fd);
		drop_newcomer(n, 0);
	}
	n->newcomers[n->newcomers_count++] =
		(struct newcomer){ fd, clock_now_ns() + NODE_NEWCOMER_MS * NS_PER_MS };
}

/* Whoever the service's threads have let in may be the next client. */
static void take_strangers(struct node *n)
{
	int fd;

	while ((fd = session_take_stranger(n->session)) >= 0)
		add_newcomer(n, fd);
}

static void end_session(struct node *n)
{
	if (!n->session)
		return;
	n->served |= session_has_met(n->session);
	session_end(n->session);
	take_strangers(n);
	session_free(n->session);
	n->session = NULL;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	end_session(n);
	for (size_t i = 0; i < n->newcomers_count; i++)
		close(n->newcomers[i].fd);
	listener_close(&n->listener);
	storage_release(&n->storage);
	if (n->stop_event >= 0)
		close(n->stop_event);
	probe_guard_free(n->guard);
	free(n);
}

uint16_t node_port(const struct node *n)
{
	return n->listener.port;
}

const char *node_why_unattributed(const struct node *n)
{
	return n->guard || !n->opts.attribution ? NULL : n->unattributed.text;
}

void node_stop(struct node *n)
{
	uint64_t one = 1;

	atomic_store(&n->stopping, true);
	if (write(n->stop_event, &one, sizeof(one)) < 0)
		return; /* it has been told already */
}

static void begin_session(struct node *n, int fd)
{
	struct session_setup setup = {
		.listener = &n->listener,
		.storage = &n->storage,
		.guard = n->guard,
		.stopping = &n->stopping,
		.work_per_ms = n->work_per_ms,
		.requests_ahead = n->opts.requests_ahead,
		.threads = n->opts.threads,
	};

	if (!session_new(&setup, fd, &n->session, NULL) && !session_read(n->session))
		end_session(n);
}

static void read_session(struct node *n)
{
	if (!session_read(n->session))
		end_session(n);
}

/* The first bytes of a connection are there, or it has ended. */
static void meet(struct node *n, int fd)
{
	uint8_t first;

	if (n->session)
		read_session(n); /* it may have ended just now */
	if (recv(fd, &first, sizeof(first), MSG_PEEK | MSG_DONTWAIT) != sizeof(first))
		close(fd);
	else if (first) /* a preface, but of no connection that is due; or rubbish */
		close(fd);
	else if (n->session)
		session_refuse(fd, "the node is busy with another client");
	else
		begin_session(n, fd);
}

static void accept_newcomer(struct node *n)
{
	int fd = listener_accept(&n->listener);

	if (fd >= 0)
		add_newcomer(n, fd);
}

static void drop_silent_newcomers(struct node *n)
{
	while (n->newcomers_count && n->newcomers[0].deadline_ns < clock_now_ns()) {
		close(n->newcomers[0].fd);
		drop_newcomer(n, 0);
	}
}

enum { POLL_STOP, POLL_LISTENER, POLL_SESSION, POLL_STRANGERS, POLL_FIXED };

/* Unused rows have fd -1, which poll() skips. */
static nfds_t fill_polls(const struct node *n, struct pollfd *polls)
{
	bool accepts = n->session && session_accepts(n->session);
	int fds[POLL_FIXED] = {
		[POLL_STOP] = n->stop_event,
		[POLL_LISTENER] = accepts ? -1 : n->listener.fd,
		[POLL_SESSION] = n->session ? session_fd(n->session) : -1,
		[POLL_STRANGERS] = n->session ? session_strangers_fd(n->session) : -1,
	};

	for (size_t i = 0; i < POLL_FIXED; i++)
		polls[i] = (struct pollfd){ fds[i], POLLIN, 0 };
	for (size_t i = 0; i < n->newcomers_count; i++)
		polls[POLL_FIXED + i] = (struct pollfd){ n->newcomers[i].fd, POLLIN, 0 };
	return POLL_FIXED + n->newcomers_count;
}

static int poll_timeout_ms(const struct node *n)
{
	if (n->session)
		return session_accepts(n->session) ? NODE_TICK_MS : NODE_NEWCOMER_MS;
	return n->newcomers_count ? NODE_NEWCOMER_MS : -1;
}

/* From the last on, as each leaves the list; one that has moved waits for the next poll. */
static void meet_newcomers(struct node *n, const struct pollfd *polls, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		int fd = polls[i].fd;

		if (!polls[i].revents || i >= n->newcomers_count || n->newcomers[i].fd != fd)
			continue;
		drop_newcomer(n, i);
		meet(n, fd);
	}
}

static void run_once(struct node *n)
{
	struct pollfd polls[POLL_FIXED + NODE_NEWCOMERS_MAX];
	size_t newcomers = n->newcomers_count;
	nfds_t count = fill_polls(n, polls);

	if (poll(polls, count, poll_timeout_ms(n)) < 0)
		return;
	if (polls[POLL_SESSION].revents)
		read_session(n);
	if (polls[POLL_STRANGERS].revents && n->session)
		take_strangers(n);
	if (polls[POLL_LISTENER].revents)
		accept_newcomer(n);
	meet_newcomers(n, polls + POLL_FIXED, newcomers);
	drop_silent_newcomers(n);
	if (n->session && !session_tick(n->session))
		end_session(n);
}

int node_run(struct node *n, struct err *err)
{
	while (!atomic_load(&n->stopping) && !(n->opts.once && n->served && !n->session))
		run_once(n);
	end_session(n);
	return 0;
}
