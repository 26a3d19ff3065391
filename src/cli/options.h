/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_OPTIONS_H
#define GAIT_CLI_OPTIONS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One table of rows describes a command's options: parsing, range checks,
 * defaults and --help all come from it.
 *
 *	struct x_opts { const char *out; uint64_t duration_ns; bool json; };
 *
 *	static const struct option_spec specs[] = {
 *		{ "output", 'o', OPTION_TEXT, OPTION_AT(x_opts, out),
 *		  .metavar = "X.gait", .help = "where the trace goes" },
 *		{ "duration", 'd', OPTION_DURATION, OPTION_AT(x_opts, duration_ns),
 *		  .fallback = 60 * NS_PER_SEC, .min = NS_PER_MS, .metavar = "TIME",
 *		  .help = "how long to capture" },
 *		{ "json", 'j', OPTION_FLAG, OPTION_AT(x_opts, json), .help = "for scripts" },
 *	};
 */
enum option_type {
	OPTION_FLAG,  /* bool */
	OPTION_COUNT, /* uint64_t: how often it was given (-vv) */
	OPTION_TEXT,  /* const char *, lent from argv; NULL when not given */
	OPTION_LIST,  /* struct option_list: a text that may be given again; a number where it has a max */
	OPTION_U64,   /* uint64_t, as all the following */
	OPTION_DURATION, /* ns */
	OPTION_BYTES,
	OPTION_RATE,   /* per second */
	OPTION_CHOICE, /* uint32_t: index into choices */
	OPTION_SERIES, /* struct option_series: several options may share one, which keeps their order */
};

#define OPTION_LIST_MAX 64

struct option_list {
	size_t count;
	const char *items[OPTION_LIST_MAX];
};

struct option_spec {
	const char *name; /* without the dashes; NULL: it has only a letter */
	char letter;	  /* '\0': none */
	enum option_type type;
	size_t offset;
	uint64_t fallback; /* when it is not given; --help shows it unless it is 0 */
	uint64_t min, max; /* of numbers; max 0: no limit */
	const char *metavar;
	const char *help;
	const char *const *choices; /* ends with NULL */
	const char *alias;	    /* another name; NULL: none */
	bool may_lack; /* it may have no value; one behind a blank has no '-' in front */
};

#define OPTION_SERIES_MAX 2048

struct option_series {
	size_t count;
	struct {
		const struct option_spec *spec;
		const char *value; /* NULL: it has none */
	} items[OPTION_SERIES_MAX];
};

#define OPTION_AT(owner, member) offsetof(struct owner, member)

struct options {
	const char *command;  /* "show" */
	bool is_program;      /* `command` is a link's name (dw_proxy), not a word behind gait */
	const char *synopsis; /* of the arguments: "X.gait" */
	const char *about;    /* a paragraph for --help */
	const char *examples; /* lines for --help */
	const struct option_spec *specs;
	size_t specs_count;
	int args_min, args_max; /* args_max -1: any number */
};

/* What is left when the options are taken. */
struct option_args {
	int count;
	char **values; /* a NULL behind the last, as execvp() wants a command */
	int dashes;    /* values from here on stood behind "--"; count: none did */
};

#define OPTIONS_HELP 1 /* --help or -h was given */

/*
 * Reads argv[1..] into *opts (which gets its defaults first): 0, OPTIONS_HELP,
 * or -EINVAL with a sentence. Options may stand before and behind arguments,
 * "--" ends them; --name=value, --name value, -nvalue, -n value, -vvj. The
 * arguments are gathered at the front of argv, which *ret_args lends.
 */
int options_parse(const struct options *options, int argc, char **argv, void *opts,
		  struct option_args *ret_args, struct err *err);

/* What stands before the command's name on a command line: "gait ", or nothing. */
const char *options_program(const struct options *options);

/* Whether the word behind this one is its value. */
enum option_word {
	OPTION_WORD_UNKNOWN, /* no option that there is */
	OPTION_WORD_WHOLE,   /* no: it takes none, or has it */
	OPTION_WORD_VALUE,
	OPTION_WORD_PERHAPS, /* if that does not begin with '-' */
};
enum option_word options_word(const struct options *options, const char *word);

/* The text of --help. */
void options_help(const struct options *options, struct buf *out);

#endif
