/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CHAIN_CALLS_H
#define GAIT_REPLAY_CHAIN_CALLS_H

#include "replay/chain/chain.h"

/*
 * What nodes ask of each other for one request of a walk, numbered, so that both ends of a call
 * know which it is: 0 is the client's own request, and each of its forwards has a number for each
 * address and attempt, in each of the requests that come to that forward. Who made a call can be
 * told from its number. Pure.
 */
struct chain_calls {
	uint64_t count; /* of numbers; 0: they are more than there are (UINT32_MAX) */
	uint32_t first[CHAIN_OPS_MAX + 1]; /* of those whose chain begins at that op */
	uint32_t fan[CHAIN_OPS_MAX + 1]; /* how many of them one caller makes; 0: none begin here */
	uint16_t caller[CHAIN_OPS_MAX + 1]; /* where its chain begins */
	size_t ops;
};

void chain_calls_init(struct chain_calls *calls, const struct chain *chain);

/*
 * The first attempt of a call of the `peer`-th address of the forward whose chain begins at `at`;
 * further ones count on. 0 when they have no numbers, or `caller` is none that comes there.
 */
uint32_t chain_call(const struct chain_calls *calls, uint32_t at, uint32_t caller, uint32_t peer,
		    uint32_t attempts);

/* Who made it; `call` is 1..count - 1. */
uint32_t chain_caller(const struct chain_calls *calls, uint32_t call);

#endif
