/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "cli/cmd.h"
#include "replay/local.h"
#include "replay/net/listening.h"
#include "replay/net/wire.h"
#include "replay/node/demand.h"
#include "replay/node/limits.h"
#include "replay/node/node.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

struct node_cmd_opts {
	struct option_list listen;
	const char *control;
	const char *dir;
	const char *io;
	uint64_t threads;
	uint64_t storage_bytes;
	uint64_t requests_ahead;
	uint32_t compute;
	struct option_list storage;
	uint64_t sync_ms;
	bool direct, storage_spin;
	const char *data_cert, *data_key;
	struct secure_opts secure;
	bool insecure;
	const char *forward_to;
	const char *affinity, *sched;
	uint32_t accept_mode, poll_mode;
	uint64_t backlog;
	uint64_t peer_idle_ns;
	uint64_t no_delay;
	bool wait_spin;
	uint32_t attribution;
	bool no_attribution;
	bool once, attached;
};

static const char *const computes[] = { "work", "cpu", "wall", NULL }; /* enum compute_mode */
/* As the enums in replay/node/listen.h and replay/net/poller.h. */
static const char *const accept_modes[] = { "shared", "child", "parent", NULL };
static const char *const attributions[] = { "none", "bpf", "user", "auto", NULL };
static const char *const poll_modes[] = { "epoll", "poll", "select", "io_uring", NULL };

static const struct option_spec specs[] = {
	{ "listen", 'b', OPTION_LIST, OPTION_AT(node_cmd_opts, listen), .metavar = "WORD",
	  .alias = "bind-addr",
	  .help = "where to listen: [tcp://|tls://|udp://][HOST][:PORT] or unix://PATH, up to "
		  "16 times (127.0.0.1:0, any free port)" },
	{ "control", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, control), .metavar = "WORD",
	  .help = "where clients come in, tcp or unix (the first of --listen that is tcp, else unix); off "
		  "loopback with --key or certificates" },
	{ "data-cert", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, data_cert), .metavar = "FILE",
	  .alias = "ssl-cert",
	  .help = "certificate of tls:// listeners, PEM, with its chain (one is made)" },
	{ "data-key", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, data_key), .metavar = "FILE",
	  .alias = "ssl-key", .help = "its key, PEM (in the file of the certificate)" },
	{ "key", 'k', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.key), .metavar = "FILE",
	  .help = "serve only clients with this key (gait keys new makes one); -: its line comes on "
		  "standard input" },
	{ "tls-cert", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.cert), .metavar = "FILE",
	  .help = "the node's certificate and its chain (PEM)" },
	{ "tls-key", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.cert_key),
	  .metavar = "FILE", .help = "its private key (PEM)" },
	{ "tls-ca", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.ca), .metavar = "FILE",
	  .help = "serve only clients with a certificate that this CA signed (PEM)" },
	{ "insecure", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, insecure),
	  .help = "serve whoever comes, off loopback too" },
	{ "forward-to", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, forward_to),
	  .metavar = "HOST[/BITS][:PORT][,...]",
	  .help = "whom it may call when a client asks for it, or any (on loopback any, else this "
		  "machine and the client's)" },
	{ "backlog-length", '\0', OPTION_U64, OPTION_AT(node_cmd_opts, backlog), .metavar = "N",
	  .alias = "bl", .fallback = NODE_BACKLOG, .min = 1, .max = 65535,
	  .help = "connections that may wait to be accepted, at each listener" },
	{ "peer-idle", '\0', OPTION_DURATION, OPTION_AT(node_cmd_opts, peer_idle_ns),
	  .metavar = "TIME", .fallback = NODE_PEER_IDLE_S * NS_PER_SEC, .min = 1,
	  .help = "forget who sent datagrams and has been silent for so long" },
	{ "no-delay", '\0', OPTION_U64, OPTION_AT(node_cmd_opts, no_delay), .metavar = "0|1",
	  .alias = "nd", .fallback = 1, .max = 1,
	  .help = "send replies at once (TCP_NODELAY), or gather small ones" },
	{ "accept-mode", 'a', OPTION_CHOICE, OPTION_AT(node_cmd_opts, accept_mode),
	  .metavar = "MODE", .fallback = ACCEPT_SHARED, .choices = accept_modes,
	  .help = "who takes new connections: shared, any thread; child, each thread at sockets of "
		  "its own (SO_REUSEPORT); parent, the first thread, for all in turn" },
	{ "poll-mode", 'p', OPTION_CHOICE, OPTION_AT(node_cmd_opts, poll_mode), .metavar = "MODE",
	  .fallback = POLL_EPOLL, .choices = poll_modes,
	  .help = "how threads wait: epoll, poll, select (descriptors below 1024) or io_uring" },
	{ "wait-spin", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, wait_spin), .alias = "ws",
	  .help = "threads look for requests without ever sleeping" },
	{ "thread-affinity", 'c', OPTION_TEXT, OPTION_AT(node_cmd_opts, affinity),
	  .metavar = "CPUS",
	  .help = "a CPU for each thread, in turn: auto, or as in 0,2,4-8:2 (any CPU)" },
	{ "sched-policy", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, sched), .metavar = "POLICY",
	  .help = "of the service's threads: other[:NICE], rr:PRIORITY, fifo:PRIORITY or "
		  "dl:RUNTIME_US,DEADLINE_US" },
	{ "dir", 'd', OPTION_TEXT, OPTION_AT(node_cmd_opts, dir), .metavar = "DIR",
	  .help = "where the service's files are laid out, in a directory of their own that is "
		  "removed at the end ($TMPDIR)" },
	{ "threads", 't', OPTION_U64, OPTION_AT(node_cmd_opts, threads), .metavar = "N",
	  .alias = "nt", .max = WIRE_THREADS_MAX, .help = "threads of the service (as recorded)" },
	{ "compute", '\0', OPTION_CHOICE, OPTION_AT(node_cmd_opts, compute),
	  .fallback = COMPUTE_WORK, .choices = computes, .metavar = "HOW",
	  .help = "how computing is measured out: work, the same units whatever disturbs them; cpu, "
		  "by the thread's CPU clock; wall, by the clock on the wall" },
	{ "storage", 's', OPTION_LIST, OPTION_AT(node_cmd_opts, storage), .metavar = "DEVICE",
	  .help = "[file=]PATH or device=PATH, then [,size=BYTES] [,sync=MSEC] [,odirect] [,wait-spin] "
		  "[,count=N]: what walks store to and load from; up to 16" },
	{ "sync", '\0', OPTION_U64, OPTION_AT(node_cmd_opts, sync_ms), .metavar = "MSEC",
	  .max = 3600000, .help = "sync devices once in so long, and stores wait for that" },
	{ "odirect", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, direct),
	  .help = "use devices past the page cache" },
	{ "wait-spin-storage", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, storage_spin),
	  .help = "threads of devices spin while they have nothing to do" },
	{ "io", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, io), .metavar = "HOW",
	  .help = "who does loads, stores and syncs: worker, the thread that serves the request; "
		  "threads[:N], so many (4) of each device; uring[:DEPTH], io_uring with so many "
		  "(64) under way for each worker (worker)" },
	{ "max-storage-size", 'm', OPTION_BYTES, OPTION_AT(node_cmd_opts, storage_bytes),
	  .metavar = "BYTES", .fallback = NODE_STORAGE_BYTES, .help = "of all its files" },
	{ "max-requests-ahead", '\0', OPTION_U64, OPTION_AT(node_cmd_opts, requests_ahead),
	  .metavar = "N", .fallback = NODE_REQUESTS_AHEAD, .min = 1, .max = NODE_REQUESTS_AHEAD_MAX,
	  .help = "requests that a client may plan ahead" },
	{ "attribution", '\0', OPTION_CHOICE, OPTION_AT(node_cmd_opts, attribution),
	  .metavar = "HOW", .fallback = ATTRIBUTION_AUTO, .choices = attributions,
	  .help = "who makes the breakdown: bpf, probes in the kernel; user, the node's own threads, "
		  "with fewer rows; auto, bpf where it loads, else user; none" },
	{ "no-attribution", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, no_attribution),
	  .help = "the same as --attribution none" },
	{ "once", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, once),
	  .help = "end after one session" },
	{ "attached", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, attached),
	  .help = "end when standard input does" },
};

static const struct options options = {
	.command = "node",
	.synopsis = "",
	.about =
		"Plays services for gait replay, and does what gait walk asks for: prints \"listening on "
		"WORD\" for each listener when it is ready, the one where clients come in first, then "
		"serves up to 16 clients at a time, one of them a replay, until it is interrupted.",
	.examples =
		"gait node --listen 10.0.0.7:7400 --key gait.key --dir /mnt/candidate\n"
		"gait node --listen 127.0.0.1:7400 --listen tls://:7443 --listen unix:///run/gait.sock\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
};

static struct node *running; /* for the signal handler */

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		node_report(running);
	else
		node_stop(running);
}

static void handle_signals(void (*handler)(int signal))
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1 };
	struct sigaction action = { .sa_handler = handler };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static void announce_one(const struct node *node, const struct listener *listener)
{
	char at[ADDRESS_TEXT_SIZE];

	address_format(&listener->address, at);
	if (listener->controls && node_is_insecure(node))
		cmd_complain("--insecure: whoever can reach %s can use this machine's CPU and disk",
			     at);
	printf(LISTENING "%s\n", at);
}

/* What a script waits for, and what its user should know: first where clients come in. */
static void announce(const struct node *node)
{
	const struct listener *listeners;
	size_t count = node_listeners(node, &listeners);

	if (node_why_no_probes(node))
		cmd_complain("attribution without probes, with fewer rows: %s",
			     node_why_no_probes(node));
	for (size_t i = 0; i < count; i++)
		if (listeners[i].controls)
			announce_one(node, &listeners[i]);
	for (size_t i = 0; i < count; i++)
		if (!listeners[i].controls)
			announce_one(node, &listeners[i]);
	fflush(stdout);
}

static void tell(void *arg, const char *sentence)
{
	cmd_complain("%s", sentence);
}

static void report(void *arg, const char *text)
{
	fputs(text, stderr);
}

/* Whoever started it, or the network between, is gone when there is nothing more to read. */
static void *await_input_end(void *arg)
{
	char bytes[256];
	ssize_t n;

	do
		n = read(STDIN_FILENO, bytes, sizeof(bytes));
	while (n > 0 || (n < 0 && errno == EINTR));
	node_stop(arg);
	return NULL;
}

/* Signals are for the thread that serves. */
static int attach(struct node *node, pthread_t *ret_thread, struct err *err)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(ret_thread, NULL, await_input_end, node);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? err_errno(err, rc, "cannot wait for the end of standard input") : 0;
}

static int run(const struct node_opts *opts, bool attached)
{
	struct node *node;
	pthread_t input;
	struct err err;
	int rc = node_new(opts, &node, &err);

	if (rc)
		return cmd_failed(&err);
	running = node;
	handle_signals(on_signal);
	announce(node);
	rc = attached ? attach(node, &input, &err) : 0;
	attached = attached && !rc;
	rc = rc ? rc : node_run(node, &err);
	handle_signals(SIG_IGN); /* it ends already */
	if (attached) {
		pthread_cancel(input);
		pthread_join(input, NULL);
	}
	node_free(node);
	return rc ? cmd_failed(&err) : EXIT_FINE;
}

static int add_devices(const struct node_cmd_opts *given, struct devices *devices, struct err *err)
{
	const struct device_defaults defaults = { (uint32_t)given->sync_ms, given->direct,
						  given->storage_spin };
	int rc = 0;

	for (size_t i = 0; !rc && i < given->storage.count; i++)
		rc = devices_add(devices, given->storage.items[i], &defaults, err);
	return rc;
}

static int add_listener(struct listen_setup *listen, const char *word, struct err *err)
{
	static const struct address_defaults any = { LOCAL_HOST, 0 };

	if (listen->count == NODE_LISTENERS_MAX)
		return err_set(err, E2BIG, "a node listens at %d addresses at most",
			       NODE_LISTENERS_MAX);
	return address_parse(word, &any, &listen->addresses[listen->count++], err);
}

static size_t first_of(const struct listen_setup *listen, enum transport transport)
{
	size_t i = 0;

	while (i < listen->count && listen->addresses[i].transport != transport)
		i++;
	return i;
}

/* By TCP, at a port of the same number. */
static int add_control_beside(struct listen_setup *listen, size_t datagrams, struct err *err)
{
	struct address *control = &listen->addresses[listen->count];

	if (listen->count == NODE_LISTENERS_MAX)
		return err_set(err, E2BIG, "a node listens at %d addresses at most",
			       NODE_LISTENERS_MAX);
	*control = listen->addresses[datagrams];
	control->transport = TRANSPORT_TCP;
	listen->control = listen->count++;
	return 0;
}

static int choose_control(struct listen_setup *listen, const char *word, struct err *err)
{
	if (word) {
		enum transport transport;
		int rc = add_listener(listen, word, err);

		listen->control = listen->count - 1;
		transport = listen->addresses[listen->control].transport;
		if (rc || transport == TRANSPORT_TCP || transport == TRANSPORT_UNIX)
			return rc;
		return err_set(err, EINVAL, "clients come in by tcp or unix, not by '%s'", word);
	}
	listen->control = first_of(listen, TRANSPORT_TCP);
	if (listen->control == listen->count)
		listen->control = first_of(listen, TRANSPORT_UNIX);
	if (listen->control < listen->count || !listen->count)
		return 0;
	if (first_of(listen, TRANSPORT_UDP) < listen->count)
		return add_control_beside(listen, first_of(listen, TRANSPORT_UDP), err);
	return err_set(
		err, EINVAL,
		"where do clients come in? --listen has neither a tcp nor a unix address, so "
		"--control must name one");
}

static int fill_listen(const struct node_cmd_opts *given, struct listen_setup *listen,
		       struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < given->listen.count && !rc; i++)
		rc = add_listener(listen, given->listen.items[i], err);
	if (!rc)
		rc = choose_control(listen, given->control, err);
	if (rc)
		return rc;
	listen->control = listen->count ? listen->control : 0;
	listen->accept_mode = (enum accept_mode)given->accept_mode;
	listen->backlog = (int)given->backlog;
	listen->delays = !given->no_delay;
	listen->tls_cert = given->data_cert;
	listen->tls_key = given->data_key;
	if (given->data_key && !given->data_cert)
		return err_set(err, EINVAL, "--data-key is the key of which --data-cert?");
	return 0;
}

static int fill_workers(const struct node_cmd_opts *given, struct worker_opts *workers,
			struct err *err)
{
	int rc = 0;

	workers->poll_mode = (enum poll_mode)given->poll_mode;
	workers->spins = given->wait_spin;
	workers->peer_idle_ns = (int64_t)given->peer_idle_ns;
	if (given->affinity)
		rc = cpu_list_parse(given->affinity, &workers->placement.cpus, err);
	if (!rc && given->sched)
		rc = sched_choice_parse(given->sched, &workers->placement.sched, err);
	return rc;
}

int cmd_node(int argc, char **argv)
{
	struct node_opts opts = { 0 };
	static struct devices devices;
	struct node_cmd_opts given;
	struct option_args args;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &given, &args);

	if (code >= 0)
		return code;
	if (fill_listen(&given, &opts.listen, &err) || fill_workers(&given, &opts.workers, &err) ||
	    secure_check(&given.secure, &err))
		return cmd_misused(&options, &err);
	if (given.forward_to && reach_allow(&opts.reach, given.forward_to, &err))
		return cmd_misused(&options, &err);
	opts.secure = given.secure;
	opts.insecure = given.insecure;
	opts.tell = tell;
	opts.report = report;
	if (io_opts_parse(given.io ? given.io : "worker", &opts.io, &err))
		return cmd_misused(&options, &err);
	if (add_devices(&given, &devices, &err))
		return cmd_misused(&options, &err);
	opts.devices = &devices;
	opts.dir = given.dir;
	opts.threads = (uint32_t)given.threads;
	opts.storage_bytes = given.storage_bytes;
	opts.requests_ahead = given.requests_ahead;
	opts.compute = given.compute;
	opts.attribution = given.no_attribution ? ATTRIBUTION_NONE : given.attribution;
	opts.once = given.once;
	return run(&opts, given.attached);
}
