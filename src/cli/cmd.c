/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_MAX (64 << 10)

/* A sentence may quote a trace or a command line: no control character reaches the terminal. */
void cmd_complain(const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	}
	fprintf(stderr, "gait: %s\n", text);
}

int cmd_failed(const struct err *err)
{
	cmd_complain("%s", err->text);
	return EXIT_FAILED;
}

int cmd_misused(const struct options *options, const struct err *err)
{
	cmd_complain("%s", err->text);
	fprintf(stderr, "try '%s%s --help'\n", options_program(options), options->command);
	return EXIT_USAGE;
}

void dw_usage_is_help(int argc, char **argv)
{
	static char help[] = "--help";

	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--usage"))
			argv[i] = help;
	}
}

static int put_failed;

void cmd_put(const char *text)
{
	if (fputs(text, stdout) == EOF && !put_failed)
		put_failed = errno;
}

int cmd_put_failed(void)
{
	return put_failed;
}

static int print_help(const struct options *options)
{
	struct buf text;

	buf_init(&text, HELP_MAX);
	options_help(options, &text);
	cmd_put(buf_text(&text));
	buf_release(&text);
	return EXIT_FINE;
}

int cmd_parse(const struct options *options, int argc, char **argv, void *opts,
	      struct option_args *ret_args)
{
	struct err err;
	int rc = options_parse(options, argc, argv, opts, ret_args, &err);

	if (!rc)
		return -1;
	return rc == OPTIONS_HELP ? print_help(options) : cmd_misused(options, &err);
}

int cmd_print_json(struct json *json, struct err *err)
{
	char *text = json ? json_to_text(json) : NULL;
	int rc = 0;

	if (text)
		cmd_put(text);
	else
		rc = err_set(err, ENOMEM, "not enough memory for the JSON text");
	free(text);
	json_free(json);
	return rc;
}

static volatile sig_atomic_t signals;

static void count_signal(int signal)
{
	signals++;
}

const volatile sig_atomic_t *cmd_count_signals(void)
{
	static const int counted[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction action = { .sa_handler = count_signal };

	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		sigaction(counted[i], &action, NULL);
	return &signals;
}
