/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

/* In the order in which a user meets them; see cmd.h for how to add one. */
static const struct command cmds[] = {
	{ "doctor", cmd_doctor, "what works on this machine: probes are tried by loading them" },
	{ "capture", cmd_capture, "records a running service into a trace" },
	{ "import", cmd_import, "makes a trace of packets that tcpdump or another has captured" },
	{ "keys", cmd_keys, "makes the key that a node and its clients share" },
	{ "node", cmd_node, "plays services for gait replay" },
	{ "agent", cmd_agent,
	  "sends a share of a walk or replay from this host, for a client on another" },
	{ "replay", cmd_replay, "plays a trace on a node and writes what came of it into a run" },
	{ "proxy", cmd_proxy, "delays and fragments what goes between two ends" },
	{ "walk", cmd_walk, "sends a node requests of a described shape, as DistWalk does" },
	{ "report", cmd_report, "what came of a replay, beside what was captured" },
	{ "edit", cmd_edit,
	  "makes a trace of others: merge joins those of several hosts and services" },
	{ "show", cmd_show, "ledger, rates, sizes, classes, operations, breakdown of a trace" },
};

#define CMDS_COUNT (sizeof(cmds) / sizeof(cmds[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < CMDS_COUNT; i++) {
		if (!strcmp(cmds[i].name, name))
			return &cmds[i];
	}
	return NULL;
}

static void print_usage(FILE *to)
{
	fprintf(to, "gait " GAIT_VERSION " - captures how a service walks, and makes other servers "
		    "walk the same way\n\n"
		    "usage: gait COMMAND [options] [arguments]\n\n"
		    "commands:\n");
	for (size_t i = 0; i < CMDS_COUNT; i++)
		fprintf(to, "  %-9s %s\n", cmds[i].name, cmds[i].summary);
	fprintf(to, "\n'gait help COMMAND' tells its options and gives examples.\n");
}

static int unknown_command(const char *name)
{
	cmd_complain("there is no command '%s'; 'gait help' lists them", name);
	return EXIT_USAGE;
}

/* `gait help CMD` is `gait CMD --help`. */
static int run_help(int argc, char **argv)
{
	const struct command *command = argc > 1 ? find_command(argv[1]) : NULL;
	char help[] = "--help";
	char *help_argv[] = { argc > 1 ? argv[1] : NULL, help, NULL };

	if (argc > 1 && !command)
		return unknown_command(argv[1]);
	if (command)
		return command->run(2, help_argv);
	print_usage(stdout);
	return EXIT_FINE;
}

static int run_version(int argc, char **argv)
{
	puts("gait " GAIT_VERSION);
	return EXIT_FINE;
}

/* What is no command but may stand in its place. */
static const struct command words[] = {
	{ "help", run_help, NULL },	  { "--help", run_help, NULL },
	{ "-h", run_help, NULL },	  { "--version", run_version, NULL },
	{ "version", run_version, NULL },
};

/* Links to gait: its name is the command. DistWalk's command lines, for scripts that have them. */
static const struct command programs[] = {
	{ "dw_client", cmd_dw_client, NULL },
	{ "dw_node", cmd_dw_node, NULL },
	{ "dw_proxy", cmd_dw_proxy, NULL },
};

static const struct command *find_program(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (!strcmp(programs[i].name, name))
			return &programs[i];
	}
	return NULL;
}

static int run_gait(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(words[i].name, argv[1]))
			return words[i].run(argc - 1, argv + 1);
	}
	command = find_command(argv[1]);
	return command ? command->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}

/* A full disk may show only now: half a result must not look like a whole one. */
static bool stdout_written(void)
{
	bool failed = ferror(stdout);

	errno = cmd_put_failed();
	if (fflush(stdout))
		failed = true;
	if (!failed)
		return true;
	cmd_complain("cannot write the results to standard output: %s",
		     errno ? strerror(errno) : "an earlier write failed");
	return false;
}

int main(int argc, char **argv)
{
	const struct command *program = argc ? find_program(argv[0]) : NULL;
	int code = program ? program->run(argc, argv) : run_gait(argc, argv);

	if (!stdout_written() && code != EXIT_USAGE)
		code = EXIT_FAILED;
	return code;
}
