/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/keep.h"

#include "replay/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of all numbers, those below it. */
int keep_parse(const char *text, uint64_t *ret_share, struct err *err)
{
	char *end;
	double percent = strtod(text, &end);

	if (end == text || strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 100))
		return err_set(err, EINVAL, "--keep: '%s' is no share of the requests such as 1%%",
			       text);
	*ret_share = percent == 100 ? KEEP_ALL : (uint64_t)(percent / 100 * 0x1p64);
	return 0;
}

int keep_check_agents(const void *agents_at, uint32_t slowest, struct err *err)
{
	if (!agents_at || !slowest)
		return 0;
	return err_set(err, EINVAL,
		       "--keep: agents on other hosts tell of their requests in the end, when "
		       "nodes have let go of the slowest: give --keep-slowest 0 too");
}
