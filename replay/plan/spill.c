/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/spill.h"

#include "replay/scratch.h"

static size_t requests_bytes(const struct plan *p)
{
	return p->requests_count * sizeof(*p->requests);
}

static size_t ops_bytes(const struct plan *p)
{
	return p->ops_count * sizeof(*p->ops);
}

/* What there is nothing of stays: there is no mapping of no bytes. */
static int spill(void **array, size_t bytes, const char *directory, struct err *err)
{
	return bytes ? scratch_map(directory, array, bytes, err) : 0;
}

int plan_spill(struct plan *p, const char *directory, struct err *err)
{
	void *requests = p->requests, *ops = p->ops;
	int ret = spill(&requests, requests_bytes(p), directory, err);

	if (ret)
		return ret;
	p->requests = requests;
	ret = spill(&ops, ops_bytes(p), directory, err);
	if (ret && requests_bytes(p)) {
		scratch_unmap(requests, requests_bytes(p));
		p->requests = NULL;
	}
	p->ops = ops;
	p->spilled = !ret;
	return ret;
}

void plan_forget(const struct plan *p)
{
	if (p->spilled && requests_bytes(p))
		scratch_forget(p->requests, requests_bytes(p));
	if (p->spilled && ops_bytes(p))
		scratch_forget(p->ops, ops_bytes(p));
}

void plan_unspill(struct plan *p)
{
	if (p->spilled && requests_bytes(p)) {
		scratch_unmap(p->requests, requests_bytes(p));
		p->requests = NULL;
	}
	if (p->spilled && ops_bytes(p)) {
		scratch_unmap(p->ops, ops_bytes(p));
		p->ops = NULL;
	}
	p->spilled = false;
}
