/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_AGENTS_H
#define GAIT_CLI_AGENTS_H

#include "replay/net/address.h"

/* What --agents says: how many processes here, or where `gait agent` listens on other hosts. */
#define AGENTS_MAX 64

struct agents {
	uint32_t count;		       /* 0: it was not given */
	bool elsewhere;		       /* at `at`; else here */
	struct address at[AGENTS_MAX]; /* TCP */
};

/* N or HOST:PORT[,...]; NULL: not given. -EINVAL, -ERANGE, -E2BIG with a sentence. */
int agents_parse(const char *text, struct agents *ret_agents, struct err *err);

#endif
