/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/chain/calls.h"

#include <string.h>

/* How many requests come to the chain that begins at that op. */
static uint64_t size_of(const struct chain_calls *calls, uint32_t at)
{
	uint64_t size = 1;

	for (; at; at = calls->caller[at])
		size *= calls->fan[at];
	return size;
}

/* A forward is behind the one around it, so what that one has is known. */
static void add_forward(struct chain_calls *calls, const struct chain *c, uint32_t index,
			uint32_t caller)
{
	const struct chain_forward *f = c->ops[index].forward;
	uint32_t at = index + 1;

	calls->fan[at] = f->peers_count * (f->retries + 1);
	calls->caller[at] = (uint16_t)caller;
	calls->first[at] = (uint32_t)calls->count;
	if (calls->count)
		calls->count += size_of(calls, at);
	if (calls->count > UINT32_MAX)
		calls->count = 0;
}

void chain_calls_init(struct chain_calls *calls, const struct chain *chain)
{
	uint32_t begins[CHAIN_DEPTH_MAX + 1] = { 0 }, ends[CHAIN_DEPTH_MAX + 1] = { 0 };
	int depth = 0;

	memset(calls, 0, sizeof(*calls));
	calls->count = 1;
	calls->fan[0] = 1;
	calls->ops = chain->count;
	ends[0] = (uint32_t)chain->count;
	for (uint32_t i = 0; i < chain->count; i++) {
		while (depth && i >= ends[depth])
			depth--;
		if (chain->ops[i].kind != OP_FORWARD)
			continue;
		add_forward(calls, chain, i, begins[depth]);
		begins[++depth] = i + 1;
		ends[depth] = chain->ops[i].end;
	}
}

static bool comes_to(const struct chain_calls *calls, uint32_t call, uint32_t at)
{
	return call >= calls->first[at] && call - calls->first[at] < size_of(calls, at);
}

uint32_t chain_call(const struct chain_calls *calls, uint32_t at, uint32_t caller, uint32_t peer,
		    uint32_t attempts)
{
	uint32_t from = calls->caller[at];

	if (!calls->count || !comes_to(calls, caller, from))
		return 0;
	return calls->first[at] + (caller - calls->first[from]) * calls->fan[at] + peer * attempts;
}

uint32_t chain_caller(const struct chain_calls *calls, uint32_t call)
{
	uint32_t at = 1;

	while (at < calls->ops && !(calls->fan[at] && comes_to(calls, call, at)))
		at++;
	return calls->first[calls->caller[at]] + (call - calls->first[at]) / calls->fan[at];
}
