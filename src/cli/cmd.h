/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_CMD_H
#define GAIT_CLI_CMD_H

#include "base/err.h"
#include "base/json.h"
#include "cli/options.h"

#include <signal.h>

/*
 * To add a command:
 *
 *	1. write src/cli/cmd_NAME.c: option table on top, then cmd_NAME(), which
 *	   parses with cmd_parse(), calls the room that does the work, and prints;
 *	2. declare it below;
 *	3. add its row to cmds[] in main.c;
 *	4. write man/gait-NAME.1 and tests/cli/NAME.bats.
 *
 * A program of another's name (a link to gait) has a row in programs[] of main.c
 * instead, and one in src/cli/CMakeLists.txt.
 *
 * Results go to stdout, talk to stderr. A command returns an exit code.
 */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_DOUBTFUL = 3, /* the result is not to be trusted: losses, INVALID, regression */
};

int cmd_agent(int argc, char **argv);
int cmd_capture(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_edit(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_node(int argc, char **argv);
int cmd_proxy(int argc, char **argv);
int cmd_dw_client(int argc, char **argv);
int cmd_dw_node(int argc, char **argv);
int cmd_dw_proxy(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_walk(int argc, char **argv);

/*
 * options_parse() for commands: negative: go on; else the exit code, --help or
 * the complaint having been printed.
 */
int cmd_parse(const struct options *options, int argc, char **argv, void *opts,
	      struct option_args *ret_args);

/* DistWalk's programs take --usage for --help. */
void dw_usage_is_help(int argc, char **argv);

/* "gait: " and a line on stderr. */
void cmd_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints the sentence of a failure; returns EXIT_FAILED. */
int cmd_failed(const struct err *err);

/* A wrong use that options_parse() cannot know of: prints it and the hint; EXIT_USAGE. */
int cmd_misused(const struct options *options, const struct err *err);

/*
 * From now on SIGINT, SIGTERM and SIGHUP end nothing, but are counted: in what is returned, of which
 * there is one. Calls that wait return with EINTR.
 */
const volatile sig_atomic_t *cmd_count_signals(void);

/* Prints to stdout; what went wrong first is kept for main(), which says it at the end. */
void cmd_put(const char *text);
int cmd_put_failed(void); /* errno, or 0 */

/* Prints JSON to stdout and frees it. 0 or -ENOMEM (also of a NULL) with a sentence. */
int cmd_print_json(struct json *json, struct err *err);

#endif
