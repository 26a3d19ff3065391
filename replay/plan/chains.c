/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/chains.h"

#include "replay/plan/idmap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t *new_links(size_t count)
{
	uint32_t *links = malloc((count + 1) * sizeof(*links));

	if (links)
		memset(links, 0xff, (count + 1) * sizeof(*links));
	return links;
}

/* From the last request to the first, each put before what its connection has so far. */
static void link_requests(struct plan_chains *chains, const struct plan *plan,
			  const struct idmap *connections, const struct idmap *requests)
{
	for (size_t r = plan->requests_count; r-- > 0;) {
		uint32_t c = idmap_get(connections, plan->requests[r].connection_id);
		uint32_t before = idmap_get(requests, plan->requests[r].after_request);

		assert(c != IDMAP_NONE);
		chains->connection[r] = c;
		chains->next[r] = chains->first[c];
		chains->first[c] = (uint32_t)r;
		if (before != IDMAP_NONE)
			chains->successor[before] = (uint32_t)r;
	}
}

int plan_chains_init(struct plan_chains *chains, const struct plan *plan)
{
	struct idmap connections = { 0 }, requests = { 0 };
	int ret = -ENOMEM;

	*chains = (struct plan_chains){
		.connection = new_links(plan->requests_count),
		.first = new_links(plan->connections_count),
		.next = new_links(plan->requests_count),
		.successor = new_links(plan->requests_count),
	};
	if (!chains->connection || !chains->first || !chains->next || !chains->successor)
		goto out;
	if (idmap_init(&connections, plan->connections_count) ||
	    idmap_init(&requests, plan->requests_count))
		goto out;
	for (size_t c = 0; c < plan->connections_count; c++)
		idmap_put(&connections, plan->connections[c].connection_id, (uint32_t)c);
	for (size_t r = 0; r < plan->requests_count; r++)
		idmap_put(&requests, plan->requests[r].request_id, (uint32_t)r);
	link_requests(chains, plan, &connections, &requests);
	ret = 0;
out:
	idmap_release(&connections);
	idmap_release(&requests);
	if (ret)
		plan_chains_release(chains);
	return ret;
}

void plan_chains_release(struct plan_chains *chains)
{
	free(chains->connection);
	free(chains->first);
	free(chains->next);
	free(chains->successor);
	*chains = (struct plan_chains){ 0 };
}
