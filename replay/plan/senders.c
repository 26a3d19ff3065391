/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/senders.h"

#include <errno.h>
#include <stdlib.h>

/* The least connection that is linked with it (union-find, halving the way). */
static uint32_t root_of(uint32_t *parents, uint32_t c)
{
	while (parents[c] != c) {
		parents[c] = parents[parents[c]];
		c = parents[c];
	}
	return c;
}

static void link_connections(uint32_t *parents, uint32_t a, uint32_t b)
{
	a = root_of(parents, a);
	b = root_of(parents, b);
	if (a < b)
		parents[b] = a;
	else
		parents[a] = b;
}

/* Turns parents into numbers of senders, which a connection has before those linked to it. */
static void number_senders(struct plan_senders *s, size_t connections)
{
	for (uint32_t c = 0; c < connections; c++)
		s->of[c] = root_of(s->of, c);
	for (uint32_t c = 0; c < connections; c++) {
		if (s->of[c] == c)
			s->at[s->count] = (struct plan_sender){ UINT32_MAX, UINT32_MAX, 0, false };
		s->of[c] = s->of[c] == c ? (uint32_t)s->count++ : s->of[s->of[c]];
	}
}

static void describe_senders(struct plan_senders *s, const struct plan *plan,
			     const struct plan_chains *chains)
{
	for (uint32_t r = 0; r < plan->requests_count; r++) {
		uint32_t c = chains->connection[r];
		struct plan_sender *sender = &s->at[s->of[c]];

		if (!sender->requests++)
			sender->first = r;
		sender->last = r;
		sender->waits |= plan->requests[r].after_request || plan->connections[c].dependent;
	}
}

int plan_senders_init(struct plan_senders *s, const struct plan *plan,
		      const struct plan_chains *chains)
{
	*s = (struct plan_senders){
		.at = calloc(plan->connections_count + 1, sizeof(*s->at)),
		.of = calloc(plan->connections_count + 1, sizeof(*s->of)),
	};
	if (!s->at || !s->of) {
		plan_senders_release(s);
		return -ENOMEM;
	}
	for (uint32_t c = 0; c < plan->connections_count; c++)
		s->of[c] = c;
	for (uint32_t r = 0; r < plan->requests_count; r++) {
		if (chains->successor[r] != PLAN_CHAIN_END)
			link_connections(s->of, chains->connection[r],
					 chains->connection[chains->successor[r]]);
	}
	number_senders(s, plan->connections_count);
	describe_senders(s, plan, chains);
	return 0;
}

void plan_senders_release(struct plan_senders *s)
{
	free(s->at);
	free(s->of);
	*s = (struct plan_senders){ 0 };
}
