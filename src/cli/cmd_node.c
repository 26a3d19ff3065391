/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/cmd.h"
#include "replay/limits.h"
#include "replay/node.h"
#include "replay/node_demand.h"
#include "replay/wire.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct node_cmd_opts {
	const char *listen;
	const char *dir;
	const char *io;
	uint64_t threads;
	uint64_t storage_bytes;
	uint64_t requests_ahead;
	uint32_t compute;
	struct option_list storage;
	uint64_t sync_ms;
	bool direct, wait_spin;
	bool no_attribution;
	bool once;
	struct secure_opts secure;
	bool insecure;
};

static const char *const computes[] = { "work", "cpu", "wall", NULL }; /* enum compute_mode */

static const struct option_spec specs[] = {
	{ "listen", 'l', OPTION_TEXT, OPTION_AT(node_cmd_opts, listen), .metavar = "HOST:PORT",
	  .help = "where clients come in (127.0.0.1:0: any free port); off loopback with --key or "
		  "certificates" },
	{ "key", 'k', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.key), .metavar = "FILE",
	  .help = "serve only clients with this key (gait keys new makes one)" },
	{ "tls-cert", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.cert), .metavar = "FILE",
	  .help = "the node's certificate and its chain (PEM)" },
	{ "tls-key", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.cert_key),
	  .metavar = "FILE", .help = "its private key (PEM)" },
	{ "tls-ca", '\0', OPTION_TEXT, OPTION_AT(node_cmd_opts, secure.ca), .metavar = "FILE",
	  .help = "serve only clients with a certificate that this CA signed (PEM)" },
	{ "insecure", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, insecure),
	  .help = "serve whoever comes, off loopback too" },
	{ "dir", 'd', OPTION_TEXT, OPTION_AT(node_cmd_opts, dir), .metavar = "DIR",
	  .help = "where the service's files are laid out, in a directory of their own that is "
		  "removed at the end ($TMPDIR)" },
	{ "threads", 't', OPTION_U64, OPTION_AT(node_cmd_opts, threads), .metavar = "N",
	  .max = WIRE_THREADS_MAX, .help = "threads of the service (as recorded)" },
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
	{ "wait-spin-storage", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, wait_spin),
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
	{ "no-attribution", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, no_attribution),
	  .help = "load no probes: latencies without a breakdown" },
	{ "once", '\0', OPTION_FLAG, OPTION_AT(node_cmd_opts, once),
	  .help = "end after one session" },
};

static const struct options options = {
	.command = "node",
	.synopsis = "",
	.about = "Plays services for gait replay: prints \"listening on HOST:PORT\" when it is ready, "
		 "then serves one client after another until it is interrupted.",
	.examples = "gait node --listen 10.0.0.7:7400 --key gait.key --dir /mnt/candidate\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
};

static struct node *running; /* for the signal handler */

static void on_signal(int signal)
{
	node_stop(running);
}

static void stop_on_signals(struct node *node)
{
	struct sigaction action = { .sa_handler = on_signal };

	running = node;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* What a script waits for, and what its user should know. */
static void announce(const struct node *node, const char *host)
{
	bool ipv6 = strchr(host, ':');
	char at[UNIT_HOST_SIZE + 16];

	snprintf(at, sizeof(at), "%s%s%s:%u", ipv6 ? "[" : "", host, ipv6 ? "]" : "",
		 node_port(node));
	if (node_why_unattributed(node))
		cmd_complain("no attribution: %s", node_why_unattributed(node));
	if (node_is_insecure(node))
		cmd_complain("--insecure: whoever can reach %s can use this machine's CPU and disk",
			     at);
	printf("listening on %s\n", at);
	fflush(stdout);
}

static void tell(void *arg, const char *sentence)
{
	cmd_complain("%s", sentence);
}

static int run(const struct node_opts *opts)
{
	struct node *node;
	struct err err;
	int rc = node_new(opts, &node, &err);

	if (rc)
		return cmd_failed(&err);
	stop_on_signals(node);
	announce(node, opts->host);
	rc = node_run(node, &err);
	node_free(node);
	return rc ? cmd_failed(&err) : EXIT_FINE;
}

static int add_devices(const struct node_cmd_opts *given, struct devices *devices, struct err *err)
{
	const struct device_defaults defaults = { (uint32_t)given->sync_ms, given->direct,
						  given->wait_spin };
	int rc = 0;

	for (size_t i = 0; !rc && i < given->storage.count; i++)
		rc = devices_add(devices, given->storage.items[i], &defaults, err);
	return rc;
}

int cmd_node(int argc, char **argv)
{
	char host[UNIT_HOST_SIZE] = "127.0.0.1";
	struct node_opts opts = { .host = host };
	static struct devices devices;
	struct node_cmd_opts given;
	struct option_args args;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &given, &args);

	if (code >= 0)
		return code;
	if (given.listen && unit_parse_endpoint(given.listen, host, &opts.port, &err))
		return cmd_misused(&options, &err);
	if (!host[0]) {
		err_set(&err, EINVAL, "--listen '%s' has no host", given.listen);
		return cmd_misused(&options, &err);
	}
	if (secure_check(&given.secure, &err))
		return cmd_misused(&options, &err);
	opts.secure = given.secure;
	opts.insecure = given.insecure;
	opts.tell = tell;
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
	opts.attribution = !given.no_attribution;
	opts.once = given.once;
	return run(&opts);
}
