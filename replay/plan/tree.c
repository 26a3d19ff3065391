/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/tree.h"

#include <errno.h>

int plan_tree_init(struct plan_tree *tree, struct plan_set *set)
{
	*tree = (struct plan_tree){ .set = set };
	for (size_t p = 0; p < set->count; p++)
		tree->first[p + 1] = tree->first[p] + set->plans[p].requests_count;
	if (idmap_init(&tree->requests, plan_tree_count(tree)))
		return -ENOMEM;
	for (size_t p = 0; p < set->count; p++)
		for (size_t i = 0; i < set->plans[p].requests_count; i++)
			idmap_put(&tree->requests, set->plans[p].requests[i].request_id,
				  (uint32_t)(tree->first[p] + i));
	return 0;
}

void plan_tree_release(struct plan_tree *tree)
{
	idmap_release(&tree->requests);
}

size_t plan_tree_count(const struct plan_tree *tree)
{
	return tree->first[tree->set->count];
}

size_t plan_tree_plan(const struct plan_tree *tree, uint32_t number)
{
	size_t p = 0;

	while (number >= tree->first[p + 1])
		p++;
	return p;
}

struct plan_request *plan_tree_request(const struct plan_tree *tree, uint32_t number)
{
	size_t p = plan_tree_plan(tree, number);

	return &tree->set->plans[p].requests[number - tree->first[p]];
}

uint32_t plan_tree_called(const struct plan_tree *tree, const struct plan_op *op)
{
	if (op->kind != OP_FORWARD || op->offset == TRACE_NONE)
		return IDMAP_NONE;
	return idmap_get(&tree->requests, (uint64_t)op->offset);
}
