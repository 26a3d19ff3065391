/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_SCENARIO_WORDS_H
#define GAIT_CLI_SCENARIO_WORDS_H

#include <stddef.h>

/* Words of a command line. All zero is none. */
#define WORDS_MAX 65536

struct words {
	char **items; /* owned; count of them and, if there are any, a NULL */
	size_t count;
};

/* A copy of the first len bytes. -E2BIG beyond WORDS_MAX, -ENOMEM. */
int words_add(struct words *w, const char *text, size_t len);
void words_release(struct words *w);

#endif
