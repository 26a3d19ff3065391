/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/classes.h"

#include "replay/plan/idmap.h"

#include <errno.h>

struct numbering {
	struct idmap numbers; /* of class_id */
	uint64_t *ids;
	uint32_t count, max;
};

/* 0 is a class too, of which nobody knows more; an idmap has no place for that. */
static uint64_t key_of(uint64_t class_id)
{
	return class_id ? class_id : UINT64_MAX;
}

static int number_request(struct numbering *n, struct plan_request *request, struct err *err)
{
	uint64_t key = key_of(request->class_id);
	uint32_t number = idmap_get(&n->numbers, key);

	if (number == IDMAP_NONE && n->count == n->max)
		return err_set(
			err, E2BIG,
			"the trace has more than %u classes of requests, which --keep adds up "
			"one by one: filter it with gait edit, or leave out --keep",
			n->max);
	if (number == IDMAP_NONE) {
		number = n->count++;
		n->ids[number] = request->class_id;
		idmap_put(&n->numbers, key, number);
	}
	request->class = number;
	return 0;
}

static int number_plan(struct numbering *n, struct plan *plan, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < plan->requests_count && !rc; i++)
		rc = number_request(n, &plan->requests[i], err);
	return rc;
}

int plan_set_number_classes(struct plan_set *set, uint32_t max, uint64_t *ret_class_ids,
			    uint32_t *ret_count, struct err *err)
{
	struct numbering n = { .ids = ret_class_ids, .max = max };
	int rc = 0;

	if (idmap_init(&n.numbers, max))
		return err_errno(err, ENOMEM, "cannot number the classes of requests");
	for (size_t p = 0; p < set->count && !rc; p++)
		rc = number_plan(&n, &set->plans[p], err);
	if (!rc)
		rc = number_plan(&n, &set->client, err);
	plan_set_forget(set);
	idmap_release(&n.numbers);
	*ret_count = n.count;
	return rc;
}
