/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_KEEP_H
#define GAIT_CLI_KEEP_H

#include "base/err.h"

#include <stdint.h>

/* --keep of a long run: a share of its requests, as "1%" or "0.01%". -EINVAL with a sentence. */
int keep_parse(const char *text, uint64_t *ret_share, struct err *err);

/* -EINVAL: agents on other hosts (not NULL) are asked for the slowest, which they cannot tell. */
int keep_check_agents(const void *agents_at, uint32_t slowest, struct err *err);

#endif
