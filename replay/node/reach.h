/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_REACH_H
#define GAIT_REPLAY_NODE_REACH_H

#include "replay/net/address.h"

/*
 * Where a node calls others when a client asks for it: to whom its operator allowed. Without a word
 * of his a node that others can reach calls this machine and the client's own, and no third one: it
 * is not to be made to knock where its client could not. One on loopback calls whom it is told, as
 * everybody who can ask it can do so himself.
 */
#define REACH_RULES_MAX 64

struct reach_rule {
	struct endpoint at; /* port 0: any */
	unsigned bits;	    /* of the address that count */
};

struct reach {
	struct reach_rule rules[REACH_RULES_MAX];
	size_t count;
	bool everywhere;
};

/*
 * Adds HOST[/BITS][:PORT][,...], of a name all its addresses, or `any`. -EINVAL, -E2BIG or what
 * address_resolve() says, with a sentence.
 */
int reach_allow(struct reach *r, const char *words, struct err *err);

/* `client`: from where who asks has come; NULL: from this machine. */
bool reach_permits(const struct reach *r, const struct endpoint *to, const struct endpoint *client);

#endif
