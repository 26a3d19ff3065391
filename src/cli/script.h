/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_SCRIPT_H
#define GAIT_CLI_SCRIPT_H

#include "base/err.h"
#include "cli/options.h"

/*
 * Options out of files, in the place of an option that names one: `-f FILE`.
 *
 *	# to the node in the next rack, five times over
 *	to 10.0.0.7 n 5
 *	--comp-time=10us        or: C 10us, -C 10us, comp-time=10us
 *	R '4k'
 *
 * Words are separated by blanks; quotes of either kind keep them together. The dashes of an
 * option may be left out. "#" in front of a word hides the rest of the line. A value that
 * may lack must stand on the line of its option, and is not taken for an option of that name.
 * A script may name scripts.
 */
#define SCRIPT_BYTES_MAX (1u << 20)
#define SCRIPT_DEPTH_MAX 8
#define SCRIPT_WORDS_MAX 65536

struct script {
	char **argv; /* of all words, a NULL behind them; options_parse() may shuffle it */
	int argc;
	char **words; /* who owns them */
};

/*
 * argv with the contents of the scripts that `--name FILE` or `-letter FILE` name. 0 or a
 * negative errno with a sentence that says which line of which file is wrong.
 */
int script_expand(const struct options *options, const char *name, char letter, int argc,
		  char **argv, struct script *ret_script, struct err *err);
void script_release(struct script *s);

#endif
