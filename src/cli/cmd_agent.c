/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "replay/agent/agent.h"
#include "replay/net/listening.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

struct agent_cmd_opts {
	const char *listen;
	struct secure_opts secure;
	bool insecure, attached;
};

static const struct option_spec specs[] = {
	{ "listen", 'b', OPTION_TEXT, OPTION_AT(agent_cmd_opts, listen), .metavar = "[HOST][:PORT]",
	  .help = "where to listen, by tcp (127.0.0.1:0, any free port); off loopback with --key or "
		  "certificates" },
	{ "key", 'k', OPTION_TEXT, OPTION_AT(agent_cmd_opts, secure.key), .metavar = "FILE",
	  .help = "serve only clients with this key (gait keys new makes one); -: its line comes on "
		  "standard input" },
	{ "tls-cert", '\0', OPTION_TEXT, OPTION_AT(agent_cmd_opts, secure.cert), .metavar = "FILE",
	  .help = "the agent's certificate and its chain (PEM)" },
	{ "tls-key", '\0', OPTION_TEXT, OPTION_AT(agent_cmd_opts, secure.cert_key),
	  .metavar = "FILE", .help = "its private key (PEM)" },
	{ "tls-ca", '\0', OPTION_TEXT, OPTION_AT(agent_cmd_opts, secure.ca), .metavar = "FILE",
	  .help = "serve only clients with a certificate that this CA signed (PEM)" },
	{ "insecure", '\0', OPTION_FLAG, OPTION_AT(agent_cmd_opts, insecure),
	  .help = "serve whoever comes, off loopback too" },
	{ "attached", '\0', OPTION_FLAG, OPTION_AT(agent_cmd_opts, attached),
	  .help = "end when standard input does" },
};

static const struct options options = {
	.command = "agent",
	.synopsis = "",
	.about =
		"Sends a share of a walk or replay from this host for a gait walk or gait replay "
		"--agents on another one, so "
		"that several hosts act as one client: prints \"listening on WORD\" when it is "
		"ready, then serves clients, each in a process of its own, until it is interrupted.",
	.examples = "gait agent --listen 10.0.0.8:7500 --key gait.key\n"
		    "gait walk --agents 10.0.0.8:7500,10.0.0.9:7500 --key gait.key --to 10.0.0.7\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
};

static volatile sig_atomic_t stopping;

static void on_signal(int signal)
{
	stopping = 1;
}

/* They come only where agent_run() waits. */
static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t caught;

	sigemptyset(&caught);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaddset(&caught, signals[i]);
		sigaction(signals[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &caught, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void tell(const char *sentence)
{
	cmd_complain("%s", sentence);
}

static int run(const struct agent_opts *opts)
{
	char at[ADDRESS_TEXT_SIZE];
	struct agent *agent;
	struct err err;
	int rc = agent_new(opts, &agent, &err);

	if (rc)
		return cmd_failed(&err);
	catch_signals();
	address_format(agent_address(agent), at);
	if (agent_is_exposed(agent))
		cmd_complain("--insecure: whoever can reach %s can send from this machine", at);
	printf(LISTENING "%s\n", at);
	fflush(stdout);
	rc = agent_run(agent, &stopping, &err);
	agent_free(agent);
	return rc ? cmd_failed(&err) : EXIT_FINE;
}

int cmd_agent(int argc, char **argv)
{
	static const struct address_defaults any = { "127.0.0.1", 0 };
	struct agent_opts opts = { .tell = tell };
	struct agent_cmd_opts given;
	struct option_args args;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &given, &args);

	if (code >= 0)
		return code;
	code = address_parse(given.listen ? given.listen : "", &any, &opts.listen, &err);
	if (!code && opts.listen.transport != TRANSPORT_TCP)
		code = err_set(&err, EINVAL, "an agent listens on tcp, not at '%s'", given.listen);
	if (!code)
		code = secure_check(&given.secure, &err);
	if (code)
		return cmd_misused(&options, &err);
	opts.secure = given.secure;
	opts.insecure = given.insecure;
	opts.attached = given.attached;
	return run(&opts);
}
