/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/node.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/work.h"
#include "replay/local.h"
#include "replay/node/limits.h"
#include "replay/node/session.h"
#include "replay/node/uring.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection that has not said yet what it is, or has not proved yet who it is. */
struct newcomer {
	int fd;
	int64_t deadline_ns;	   /* for both */
	struct stranger *stranger; /* owns fd; NULL: has begun a control connection */
	struct control *control;   /* shakes hands, and owns fd then */
};

/* Strangers must not fill a log: what may be told now, and what was not. */
struct tells {
	int64_t refilled_ns;
	unsigned left;
	unsigned long long left_out;
};

struct node {
	struct node_opts opts;
	struct probe_guard *guard; /* NULL: no probes */
	enum attribution attribution;
	struct err no_probes; /* why */
	struct listeners listeners;
	struct secure *secure; /* NULL: clients need not prove themselves */
	struct tells tells;
	struct storage storage;
	uint64_t work_per_ms;
	int stop_event;
	atomic_bool stopping, reporting;
	int64_t report_ns; /* when what was asked for is told; INT64_MAX: nothing was */
	struct node_stats stats;
	struct session *sessions[NODE_SESSIONS_MAX];
	size_t sessions_count;
	const struct session *replaying; /* the one that has the storage; NULL: none */
	bool served;			 /* a session has been */
	struct newcomer newcomers[NODE_NEWCOMERS_MAX]; /* the oldest first */
	size_t newcomers_count;
};

/* There are none: a node can be of use without, unless it was told that it cannot. */
static int go_without_probes(struct node *n, int rc, struct err *err)
{
	probe_guard_free(n->guard);
	n->guard = NULL;
	n->attribution = ATTRIBUTION_USER;
	if (n->opts.attribution == ATTRIBUTION_AUTO)
		return 0;
	return err_set(err, -rc, "--attribution bpf: %s", n->no_probes.text);
}

static int start_probe(struct node *n, struct err *err)
{
	const char *shared = getenv(LOCAL_SLOTS_ENV);
	int rc;

	n->attribution = n->opts.attribution;
	if (n->attribution == ATTRIBUTION_NONE || n->attribution == ATTRIBUTION_USER)
		return 0;
	n->attribution = ATTRIBUTION_BPF;
	rc = shared ? probe_guard_adopt(atoi(shared), &n->guard, &n->no_probes) :
		      probe_guard_new(&n->guard, &n->no_probes);
	if (!rc)
		return 0;
	n->guard = NULL;
	return go_without_probes(n, rc, err);
}

/* UNIX sockets have none: of their messages no arrival is known. */
static int follow_own_ports(struct node *n, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < n->listeners.count && n->guard; i++) {
		uint16_t port = n->listeners.all[i].address.port;

		if (!port)
			continue;
		rc = probe_guard_follow_port(n->guard, port, &n->no_probes);
		if (rc)
			rc = go_without_probes(n, rc, err);
	}
	return rc;
}

static void fill_defaults(struct node_opts *opts)
{
	static const struct address any_port = { .host = LOCAL_HOST };
	struct listen_setup *listen = &opts->listen;

	if (!listen->count)
		listen->addresses[listen->count++] = any_port;
	if (!listen->backlog)
		listen->backlog = NODE_BACKLOG;
	if (!opts->workers.peer_idle_ns)
		opts->workers.peer_idle_ns = NODE_PEER_IDLE_S * NS_PER_SEC;
}

static const struct listener *control_listener(const struct node *n)
{
	return &n->listeners.all[n->listeners.control];
}

/* A node does what it is asked to: off loopback it has to know by whom. */
static int refuse_exposure(const struct node *n, struct err *err)
{
	char text[ADDRESS_TEXT_SIZE];
	const struct listener *control = control_listener(n);

	if (control->loopback || n->secure || n->opts.insecure)
		return 0;
	return err_set(err, EPERM,
		       "others than this machine can reach %s: give the node a key (gait keys new "
		       "FILE makes one; then --key FILE here and at gait replay), certificates, or "
		       "--insecure if everybody may use it",
		       address_format(&control->address, text));
}

static int open_listeners(struct node *n, struct err *err)
{
	const struct node_opts *opts = &n->opts;
	int rc = 0;

	if (secure_wanted(&opts->secure))
		rc = secure_new(&opts->secure, SECURE_NODE, &n->secure, err);
	if (!rc)
		rc = listeners_open(&n->listeners, &n->opts.listen, err);
	if (!rc)
		rc = refuse_exposure(n, err);
	if (!rc && control_listener(n)->loopback && !n->opts.reach.count)
		n->opts.reach.everywhere = true;
	return rc;
}

/* Said before a client comes: whether there is io_uring here. */
static int check_ring(const struct node_opts *opts, struct err *err)
{
	const struct io_opts *io = &opts->io;
	struct uring *ring = NULL;
	struct poller poller;
	int rc = io->mode == IO_URING ? uring_new(io->count, &ring, err) : 0;

	uring_free(ring);
	if (rc)
		return rc;
	rc = poller_init(&poller, opts->workers.poll_mode);
	poller_release(&poller);
	return rc ? err_errno(err, -rc, "cannot wait that way (--poll-mode)") : 0;
}

int node_new(const struct node_opts *opts, struct node **ret_node, struct err *err)
{
	struct node *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return err_errno(err, ENOMEM, "cannot set up a node");
	n->opts = *opts;
	fill_defaults(&n->opts);
	n->storage.dir_fd = n->stop_event = -1;
	node_stats_init(&n->stats);
	n->report_ns = INT64_MAX;
	n->tells = (struct tells){ clock_now_ns(), NODE_TELLS_MAX, 0 };
	rc = start_probe(n, err);
	if (rc) {
		node_free(n);
		return rc;
	}
	descriptors_raise(); /* a connection and a file each take a descriptor */
	n->work_per_ms = work_calibrate();
	n->stop_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = n->stop_event < 0 ? err_errno(err, errno, "cannot set up a node") :
				 storage_init(&n->storage, opts->dir, opts->storage_bytes, err);
	n->storage.devices = opts->devices;
	for (size_t i = 0; !rc && opts->devices && i < opts->devices->count; i++)
		rc = device_check(&opts->devices->at[i], err);
	if (!rc)
		rc = check_ring(opts, err);
	if (!rc)
		rc = placement_try(&opts->workers.placement, err);
	if (!rc)
		rc = open_listeners(n, err);
	if (!rc)
		rc = follow_own_ports(n, err);
	if (!rc && n->attribution != ATTRIBUTION_NONE)
		listeners_stamp(&n->listeners, n->attribution == ATTRIBUTION_USER);
	if (rc) {
		node_free(n);
		return rc;
	}
	*ret_node = n;
	return 0;
}

static void refill_tells(struct tells *t)
{
	int64_t since = (clock_now_ns() - t->refilled_ns) / (NODE_TELL_MS * NS_PER_MS);

	t->refilled_ns += since * NODE_TELL_MS * NS_PER_MS;
	t->left = since < NODE_TELLS_MAX - t->left ? t->left + (unsigned)since : NODE_TELLS_MAX;
}

static void tell(struct node *n, const struct control *control, const char *why)
{
	struct tells *t = &n->tells;
	char others[64] = "";
	struct err sentence;

	if (!n->opts.tell)
		return;
	refill_tells(t);
	if (!t->left) {
		t->left_out++;
		return;
	}
	t->left--;
	if (t->left_out)
		snprintf(others, sizeof(others), " (%llu more were turned away)", t->left_out);
	t->left_out = 0;
	err_set(&sentence, EACCES, "turned %s away: %s%s", control_peer(control), why, others);
	n->opts.tell(n->opts.tell_arg, sentence.text);
}

/* From the list; its connection is another's now, or closed. */
static void forget_newcomer(struct node *n, size_t i)
{
	n->newcomers_count--;
	memmove(&n->newcomers[i], &n->newcomers[i + 1],
		(n->newcomers_count - i) * sizeof(n->newcomers[0]));
}

static void close_newcomer(struct node *n, size_t i)
{
	struct newcomer *newcomer = &n->newcomers[i];

	if (newcomer->control)
		control_free(newcomer->control);
	else
		stranger_free(newcomer->stranger);
	forget_newcomer(n, i);
}

static void add_newcomer(struct node *n, struct stranger *stranger)
{
	if (n->newcomers_count == NODE_NEWCOMERS_MAX)
		close_newcomer(n, 0);
	n->newcomers[n->newcomers_count++] =
		(struct newcomer){ stranger->channel.fd,
				   clock_now_ns() + NODE_NEWCOMER_MS * NS_PER_MS, stranger, NULL };
}

/* Back to its place: the oldest are at the front. */
static void keep_newcomer(struct node *n, size_t i, const struct newcomer *newcomer)
{
	if (n->newcomers_count == NODE_NEWCOMERS_MAX)
		close_newcomer(n, 0);
	i = i < n->newcomers_count ? i : n->newcomers_count;
	memmove(&n->newcomers[i + 1], &n->newcomers[i],
		(n->newcomers_count - i) * sizeof(n->newcomers[0]));
	n->newcomers[i] = *newcomer;
	n->newcomers_count++;
}

/* To the session whose data connection it is. */
static bool offer(struct node *n, struct stranger *stranger, const struct wire_preface *preface)
{
	for (size_t i = 0; i < n->sessions_count; i++)
		if (session_takes(n->sessions[i], preface, stranger))
			return true;
	return false;
}

static void drop_stranger(struct node *n, struct stranger *stranger)
{
	if (stranger->datagram)
		node_stats_refused(&n->stats, 1);
	stranger_free(stranger);
}

/* Whoever the service's threads have let in may be another session's, or the next client. */
static void take_strangers(struct node *n, struct session *s)
{
	struct stranger *stranger;
	struct wire_preface preface;

	while ((stranger = session_take_stranger(s))) {
		if (stranger->preface_bytes < WIRE_PREFACE_BYTES)
			add_newcomer(n, stranger);
		else if (stranger_listen(stranger, &preface) > 0 && offer(n, stranger, &preface))
			session_not_refused(s, &preface);
		else
			drop_stranger(n, stranger);
	}
}

static void end_session(struct node *n, size_t i)
{
	struct session *s = n->sessions[i];

	n->served |= session_has_met(s);
	session_end(s);
	take_strangers(n, s);
	if (n->replaying == s)
		n->replaying = NULL;
	session_free(s);
	n->sessions[i] = n->sessions[--n->sessions_count];
	atomic_store(&n->listeners.sessions, n->sessions_count);
}

static void end_sessions(struct node *n)
{
	while (n->sessions_count)
		end_session(n, n->sessions_count - 1);
}

void node_free(struct node *n)
{
	if (!n)
		return;
	end_sessions(n);
	while (n->newcomers_count)
		close_newcomer(n, n->newcomers_count - 1);
	listeners_close(&n->listeners);
	storage_release(&n->storage);
	if (n->stop_event >= 0)
		close(n->stop_event);
	probe_guard_free(n->guard);
	secure_free(n->secure);
	node_stats_release(&n->stats);
	free(n);
}

uint16_t node_port(const struct node *n)
{
	return control_listener(n)->address.port;
}

size_t node_listeners(const struct node *n, const struct listener **ret_first)
{
	*ret_first = n->listeners.all;
	return n->listeners.count;
}

bool node_is_insecure(const struct node *n)
{
	return !control_listener(n)->loopback && !n->secure;
}

const char *node_why_no_probes(const struct node *n)
{
	return n->no_probes.text[0] ? n->no_probes.text : NULL;
}

static void wake(struct node *n)
{
	uint64_t one = 1;

	if (write(n->stop_event, &one, sizeof(one)) < 0)
		return; /* it has been woken already */
}

void node_stop(struct node *n)
{
	atomic_store(&n->stopping, true);
	wake(n);
}

void node_report(struct node *n)
{
	atomic_store(&n->reporting, true);
	wake(n);
}

/* Threads are asked what they have counted; they have a moment for it. */
static void ask_for_stats(struct node *n)
{
	uint64_t count;

	if (read(n->stop_event, &count, sizeof(count)) < 0 ||
	    !atomic_exchange(&n->reporting, false))
		return;
	atomic_fetch_add(&n->stats.asked, 1);
	for (size_t i = 0; i < n->sessions_count; i++)
		session_wake(n->sessions[i]);
	n->report_ns = clock_now_ns() + NODE_REPORT_MS * NS_PER_MS;
}

static void tell_stats(struct node *n)
{
	struct buf text;

	n->report_ns = INT64_MAX;
	if (!n->opts.report)
		return;
	buf_init(&text, 65536);
	node_stats_put(&n->stats, &text);
	if (!buf_failed(&text))
		n->opts.report(n->opts.tell_arg, buf_text(&text));
	buf_release(&text);
}

static void begin_session(struct node *n, struct control *control)
{
	struct session_setup setup = {
		.listeners = &n->listeners,
		.workers = &n->opts.workers,
		.storage = &n->storage,
		.reach = &n->opts.reach,
		.guard = n->guard,
		.attribution = n->attribution,
		.stopping = &n->stopping,
		.replaying = &n->replaying,
		.work_per_ms = n->work_per_ms,
		.stats = &n->stats,
		.compute = n->opts.compute,
		.io = n->opts.io,
		.requests_ahead = n->opts.requests_ahead,
		.threads = n->opts.threads,
	};
	size_t i = n->sessions_count;

	if (session_new(&setup, control, &n->sessions[i], NULL))
		return;
	n->sessions_count++;
	atomic_store(&n->listeners.sessions, n->sessions_count);
	if (!session_read(n->sessions[i]))
		end_session(n, i);
}

static void read_session(struct node *n, size_t i)
{
	if (!session_read(n->sessions[i]))
		end_session(n, i);
}

static void turn_away(struct node *n, struct control *control, const char *why)
{
	tell(n, control, why);
	session_refuse(control, why);
}

/* Somebody who is what the node demands, now that there may be no session any more. */
static void welcome(struct node *n, struct control *control)
{
	for (size_t i = n->sessions_count; i-- > 0;)
		read_session(n, i); /* it may have ended just now */
	if (n->sessions_count == NODE_SESSIONS_MAX)
		session_refuse(control, "the node is busy with other clients");
	else
		begin_session(n, control);
}

/* False: nothing yet. True: the connection is another's now, or closed. */
static bool shake(struct node *n, struct newcomer *newcomer)
{
	struct control *control = newcomer->control;
	struct err err;
	int rc = control_shake(control, &err);

	if (!rc)
		return false;
	if (rc > 0) {
		welcome(n, control);
		return true;
	}
	tell(n, control, err.text);
	control_free(control);
	return true;
}

/* A frame: plain, so from somebody who does not know that this node wants more. */
static bool meet_plain(struct node *n, int fd)
{
	struct control *control;
	struct err err;

	if (control_new(fd, NULL, NULL, &control, NULL))
		return true;
	if (!n->secure) {
		welcome(n, control);
		return true;
	}
	err_set(&err, EACCES, "the node serves only who proves itself: give gait replay %s",
		secure_demand(n->secure));
	turn_away(n, control, err.text);
	return true;
}

/* What the client hears is plain, but that is what it finds out by it. */
static bool meet_tls(struct node *n, struct newcomer *newcomer)
{
	struct control *control;

	if (control_new(newcomer->fd, n->secure, NULL, &control, NULL))
		return true;
	if (!n->secure) {
		turn_away(n, control, "the node has no key and speaks no TLS");
		return true;
	}
	listener_admit(newcomer->fd);
	newcomer->control = control;
	return shake(n, newcomer);
}

/* The first bytes of a client are there, under TLS or not. Results as of shake(). */
static bool meet_client(struct node *n, struct newcomer *newcomer)
{
	bool plain = stranger_first_byte(newcomer->stranger) == 0;

	free(newcomer->stranger); /* its descriptor goes on */
	newcomer->stranger = NULL;
	return plain ? meet_plain(n, newcomer->fd) : meet_tls(n, newcomer);
}

/* The first bytes of a connection are there, or it has ended. Results as of shake(). */
static bool meet(struct node *n, struct newcomer *newcomer)
{
	struct wire_preface preface;
	int rc;

	if (stranger_is_client(newcomer->stranger))
		return meet_client(n, newcomer);
	rc = stranger_listen(newcomer->stranger, &preface);
	if (!rc)
		return false;
	if (rc < 0 || !offer(n, newcomer->stranger, &preface)) /* of no session, or rubbish */
		stranger_free(newcomer->stranger);
	return true;
}

static void accept_newcomer(struct node *n, const struct listener *l)
{
	struct stranger *stranger;
	struct channel channel;

	if (l->address.transport == TRANSPORT_UDP) {
		node_stats_refused(&n->stats, listener_drop_datagrams(l));
		return;
	}
	if (listener_accept(&n->listeners, l, l->fd, &channel))
		return;
	stranger = stranger_new(&channel, l->controls);
	if (stranger)
		add_newcomer(n, stranger);
}

static void drop_silent_newcomers(struct node *n)
{
	while (n->newcomers_count && n->newcomers[0].deadline_ns < clock_now_ns()) {
		if (n->newcomers[0].control)
			tell(n, n->newcomers[0].control, "it did not prove itself in time");
		close_newcomer(n, 0);
	}
}

static bool threads_accept(const struct node *n)
{
	for (size_t i = 0; i < n->sessions_count; i++)
		if (session_accepts(n->sessions[i]))
			return true;
	return false;
}

enum { POLL_STOP, POLL_LISTENERS, POLL_FIXED = POLL_LISTENERS + NODE_LISTENERS_MAX };
enum { POLL_SESSION, POLL_STRANGERS, POLL_PER_SESSION };

#define POLLS_MAX (POLL_FIXED + NODE_SESSIONS_MAX * POLL_PER_SESSION + NODE_NEWCOMERS_MAX)

static short newcomer_events(const struct newcomer *newcomer)
{
	return newcomer->control ? control_events(newcomer->control, false) : POLLIN;
}

/* Unused rows have fd -1, which poll() skips. Sessions come behind the fixed ones, then newcomers. */
static nfds_t fill_polls(const struct node *n, struct pollfd *polls)
{
	struct pollfd *next = polls + POLL_FIXED;
	bool accepts = threads_accept(n);

	polls[POLL_STOP] = (struct pollfd){ n->stop_event, POLLIN, 0 };
	for (size_t i = 0; i < NODE_LISTENERS_MAX; i++) {
		bool here = i < n->listeners.count && !accepts;

		polls[POLL_LISTENERS + i] =
			(struct pollfd){ here ? n->listeners.all[i].fd : -1, POLLIN, 0 };
	}
	for (size_t i = 0; i < n->sessions_count; i++, next += POLL_PER_SESSION) {
		next[POLL_SESSION] = (struct pollfd){ session_fd(n->sessions[i]), POLLIN, 0 };
		next[POLL_STRANGERS] =
			(struct pollfd){ session_strangers_fd(n->sessions[i]), POLLIN, 0 };
	}
	for (size_t i = 0; i < n->newcomers_count; i++)
		*next++ =
			(struct pollfd){ n->newcomers[i].fd, newcomer_events(&n->newcomers[i]), 0 };
	return (nfds_t)(next - polls);
}

static int poll_timeout_ms(const struct node *n)
{
	if (threads_accept(n) || n->report_ns != INT64_MAX)
		return NODE_TICK_MS;
	return n->newcomers_count || n->sessions_count ? NODE_NEWCOMER_MS : -1;
}

/* From the last on, as an ended one's place is taken by the last. */
static void read_sessions(struct node *n, const struct pollfd *polls, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		const struct pollfd *of_it = polls + i * POLL_PER_SESSION;

		if (of_it[POLL_STRANGERS].revents)
			take_strangers(n, n->sessions[i]);
		if (of_it[POLL_SESSION].revents)
			read_session(n, i);
	}
}

static void tick_sessions(struct node *n)
{
	for (size_t i = n->sessions_count; i-- > 0;)
		if (!session_tick(n->sessions[i]))
			end_session(n, i);
}

/*
 * From the last on, as most leave the list; one that has moved waits for the next poll. Each is
 * off the list while it is met, as that may end the session, whose strangers come onto it.
 */
static void meet_newcomers(struct node *n, const struct pollfd *polls, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		struct newcomer newcomer;
		bool gone;

		if (!polls[i].revents || i >= n->newcomers_count ||
		    n->newcomers[i].fd != polls[i].fd)
			continue;
		newcomer = n->newcomers[i];
		forget_newcomer(n, i);
		gone = newcomer.control ? shake(n, &newcomer) : meet(n, &newcomer);
		if (!gone)
			keep_newcomer(n, i, &newcomer);
	}
}

static void run_once(struct node *n)
{
	struct pollfd polls[POLLS_MAX];
	size_t newcomers = n->newcomers_count, sessions = n->sessions_count;
	nfds_t count = fill_polls(n, polls);

	if (poll(polls, count, poll_timeout_ms(n)) < 0)
		return;
	if (polls[POLL_STOP].revents)
		ask_for_stats(n);
	if (clock_now_ns() >= n->report_ns)
		tell_stats(n);
	read_sessions(n, polls + POLL_FIXED, sessions);
	for (size_t i = 0; i < n->listeners.count; i++)
		if (polls[POLL_LISTENERS + i].revents)
			accept_newcomer(n, &n->listeners.all[i]);
	meet_newcomers(n, polls + POLL_FIXED + sessions * POLL_PER_SESSION, newcomers);
	drop_silent_newcomers(n);
	tick_sessions(n);
}

int node_run(struct node *n, struct err *err)
{
	while (!atomic_load(&n->stopping) && !(n->opts.once && n->served && !n->sessions_count))
		run_once(n);
	end_sessions(n);
	if (n->served)
		tell_stats(n);
	return 0;
}
