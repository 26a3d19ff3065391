/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/plan.h"

#include <errno.h>
#include <sys/mman.h>

static int pool_init(struct pool *p, size_t item_bytes, size_t count)
{
	void *items = mmap(NULL, item_bytes * count, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (items == MAP_FAILED)
		return -ENOMEM;
	*p = (struct pool){ .items = items, .item_bytes = item_bytes, .count = count };
	return 0;
}

static void pool_release(struct pool *p)
{
	if (p->items)
		munmap(p->items, p->item_bytes * p->count);
	*p = (struct pool){ 0 };
}

static void *pool_take(struct pool *p)
{
	struct link *item = p->spare;

	if (!item)
		item = stack_take(&p->returned);
	if (item) {
		p->spare = item->next;
		return item;
	}
	return p->fresh < p->count ? p->items + p->item_bytes * p->fresh++ : NULL;
}

int node_plan_init(struct node_plan *p, size_t requests, size_t ops, struct err *err)
{
	*p = (struct node_plan){ 0 };
	if (!pool_init(&p->requests, sizeof(struct queued_request), requests) &&
	    !pool_init(&p->ops, sizeof(struct queued_op), ops))
		return 0;
	node_plan_release(p);
	return err_errno(err, ENOMEM, "cannot hold %zu requests ahead", requests);
}

void node_plan_release(struct node_plan *p)
{
	pool_release(&p->requests);
	pool_release(&p->ops);
}

static void give_back(struct node_plan *p, struct queued_request *q)
{
	if (q->ops)
		stack_push_chain(&p->ops.returned, &q->ops->link, &q->last_op->link);
	stack_push(&p->requests.returned, &q->link);
}

static int add_op(struct node_plan *p, struct queued_request *q, const struct plan_op *op,
		  const struct storage *storage)
{
	struct queued_op *queued = pool_take(&p->ops);

	if (!queued)
		return -ENOBUFS;
	queued->link.next = NULL;
	queued->op = *op;
	queued->target = storage_find(storage, op->target_id);
	if (q->last_op)
		q->last_op->link.next = &queued->link;
	else
		q->ops = queued;
	q->last_op = queued;
	return 0;
}

struct queued_request *node_plan_take(struct node_plan *p, const struct plan_request *request,
				      const struct plan_op *ops, const struct storage *storage)
{
	struct queued_request *q = pool_take(&p->requests);

	if (!q)
		return NULL;
	*q = (struct queued_request){ .request = *request };
	for (size_t i = 0; i < request->ops_count; i++) {
		if (!add_op(p, q, &ops[i], storage))
			continue;
		give_back(p, q);
		return NULL;
	}
	return q;
}

void node_plan_give(struct node_plan *p, struct queued_request *q)
{
	atomic_fetch_add_explicit(&p->ops_done, q->request.ops_count, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->requests_done, 1, memory_order_relaxed);
	give_back(p, q);
}
