/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CHAIN_FIELDS_H
#define GAIT_REPLAY_CHAIN_FIELDS_H

#include "base/err.h"
#include "replay/chain/chain.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIELDS_MAX (CHAIN_FORWARD_PEERS_MAX + 16)
#define QUOTED_MAX 80 /* characters of somebody's text in a sentence */

/* dev=1,sendfile,4k: the parts of a value. Each is taken once; what is left has no place there. */
struct fields {
	char *text;
	char *items[FIELDS_MAX]; /* NULL when it has been taken */
	size_t count;
};

/* -ENOMEM, or -EINVAL: there are too many. */
int fields_init(struct fields *f, const char *value, struct err *why);
void fields_release(struct fields *f);

/* What stands behind "name=", or NULL; it is the fields' own. */
char *fields_key(struct fields *f, const char *name);

/* Whether there is that word. */
bool fields_flag(struct fields *f, const char *name);

/* The first that is left, or NULL. */
char *fields_bare(struct fields *f);

/* The number behind "name="; *to stays as it is if there is none. -EINVAL: it is none from min to max. */
int fields_number(struct fields *f, const char *name, uint64_t min, uint64_t max, uint32_t *to,
		  struct err *why);

/* -EINVAL: something is left. */
int fields_all_taken(const struct fields *f, struct err *why);

#endif
