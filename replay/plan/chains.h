/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_CHAINS_H
#define GAIT_REPLAY_PLAN_CHAINS_H

#include "replay/plan/plan.h"

#include <stdint.h>

/*
 * A plan's requests by connection, as indices: request r is of connection
 * connection[r]; the first request of connection c is first[c], and next[r] is the
 * one after r on the same connection. successor[r] is the request that waits for
 * r's reply.
 */
struct plan_chains {
	uint32_t *connection, *first, *next, *successor;
};

#define PLAN_CHAIN_END UINT32_MAX

/* 0 or -ENOMEM. Every connection of a request is in plan->connections. */
int plan_chains_init(struct plan_chains *chains, const struct plan *plan);
void plan_chains_release(struct plan_chains *chains);

#endif
