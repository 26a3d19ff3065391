/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "replay/net/key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct keys_cmd_opts {
	char none; /* there are no options but --help */
};

static const struct options options = {
	.command = "keys",
	.synopsis = "new FILE",
	.about = "Makes the key that a gait node and the gait replays which may use it share. Copy "
		 "the file to both, by a way that nobody else can read; it stays readable by its "
		 "owner alone.",
	.examples = "gait keys new gait.key\n"
		    "gait node --listen 10.0.0.7:7400 --key gait.key\n"
		    "gait replay redis.gait --node 10.0.0.7:7400 --key gait.key -o run.gait\n",
	.args_min = 2,
	.args_max = 2,
};

int cmd_keys(int argc, char **argv)
{
	struct keys_cmd_opts opts;
	struct option_args args;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &opts, &args);

	if (code >= 0)
		return code;
	if (strcmp(args.values[0], "new")) {
		err_set(&err, EINVAL, "gait keys does not know '%s': it makes a new one",
			args.values[0]);
		return cmd_misused(&options, &err);
	}
	return key_create(args.values[1], &err) ? cmd_failed(&err) : EXIT_FINE;
}
