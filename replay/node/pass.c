/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/pass.h"

#include "replay/node/limits.h"
#include "replay/node/service.h"

#include <errno.h>
#include <stdlib.h>

/* A shared op of which some recorded owners have come; under the lock of `groups`. */
struct group {
	struct group *next; /* in the bucket */
	uint64_t op_id;
	uint32_t arrived;
	struct active *first; /* the latest first */
};

#define BUCKETS 4096

int groups_init(struct groups *g)
{
	g->buckets = calloc(BUCKETS, sizeof(*g->buckets));
	g->count = 0;
	return g->buckets ? -pthread_mutex_init(&g->lock, NULL) : -ENOMEM;
}

void groups_release(struct groups *g)
{
	if (!g->buckets)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (g->buckets[i]) {
			struct group *next = g->buckets[i]->next;

			free(g->buckets[i]);
			g->buckets[i] = next;
		}
	}
	free(g->buckets);
	g->buckets = NULL;
	pthread_mutex_destroy(&g->lock);
}

static struct group **group_find(struct groups *g, uint64_t op_id)
{
	struct group **at = &g->buckets[op_id % BUCKETS];

	while (*at && (*at)->op_id != op_id)
		at = &(*at)->next;
	return at;
}

static void list_add(struct active_list *list, struct active *a)
{
	a->next = NULL;
	if (list->last)
		list->last->next = a;
	else
		list->first = a;
	list->last = a;
}

/* Returns all owners once the last has come, NULL before; without room `a` is alone. */
static struct active *group_join(struct groups *g, struct active *a)
{
	const struct plan_op *op = &a->op->op;
	struct active *all = NULL;
	struct group **at, *group;

	pthread_mutex_lock(&g->lock);
	at = group_find(g, op->op_id);
	if (!*at && g->count < NODE_GROUPS_MAX && op->owners > 1) {
		*at = calloc(1, sizeof(**at));
		if (*at)
			(*at)->op_id = op->op_id;
		g->count += *at != NULL;
	}
	group = *at;
	a->next = group ? group->first : NULL;
	if (group)
		group->first = a;
	if (!group || ++group->arrived >= op->owners)
		all = a;
	if (all && group) {
		*at = group->next;
		g->count--;
		free(group);
	}
	pthread_mutex_unlock(&g->lock);
	return all;
}

static void note_own(struct worker *w, struct active *a, const int64_t delta[TS_COUNT],
		     const struct exec_result *result)
{
	account_own(&a->account, delta);
	if (!w->timelines)
		return;
	route_leave(&a->route, result->start_ns, DETOUR_OWN);
	route_return(&a->route, result->end_ns, COURSE_UNKNOWN, INT64_MAX);
}

/* Once for all owners: each of this thread's gets the time as its own, each gets a row. */
static void run_shared(struct worker *w, struct active *owners, const struct plan_op *op)
{
	int64_t delta[TS_COUNT];
	struct exec_result result = exec_run(&w->exec, op, owners->op->target, delta);
	uint64_t call_id = exec_next_call(&w->exec);
	struct plan_op noted = *op;

	if (owners->next)
		noted.flags |= OPF_SHARED;
	for (struct active *a = owners; a; a = a->next) {
		noted.op_id = a->op->op.op_id;
		exec_note(&w->exec, call_id, &noted, &a->plan->request, &result);
		if (result.done && result.status)
			serve_failed(a, result.status);
		if (a->conn->worker == w && w->exec.meter.slot)
			note_own(w, a, delta, &result);
	}
}

/* From here on an owner of another thread is that thread's again. */
static void release_owners(struct worker *w, struct active *owners)
{
	for (struct active *next, *a = owners; a; a = next) {
		struct worker *its = a->conn->worker;

		next = a->next;
		if (its == w) {
			list_add(&w->pass.done, a);
			continue;
		}
		stack_push(&its->resumed, &a->resumed);
		worker_wake(its);
	}
}

static void join_recorded(struct worker *w, struct active *a)
{
	struct active *owners;
	struct plan_op op;

	a->state = ACTIVE_GROUP;
	meter_own(&w->exec.meter, NULL);
	owners = group_join(&w->service->groups, a);
	if (!owners)
		return;
	op = a->op->op;
	if (op.offset != TRACE_NONE)
		op.flags &= ~(uint32_t)OPF_APPEND; /* where it was, not where it would be */
	run_shared(w, owners, &op);
	release_owners(w, owners);
}

void pass_resume_groups(struct worker *w)
{
	struct link *resumed = stack_take_in_order(&w->resumed);

	while (resumed) {
		struct active *a =
			(struct active *)((char *)resumed - offsetof(struct active, resumed));

		resumed = resumed->next;
		list_add(&w->pass.done, a);
	}
}

void pass_join(struct worker *w, struct active *a)
{
	a->state = ACTIVE_PASS;
	if (w->service->batching == PLAN_BATCHING_RECORDED && a->op->op.mode == PLAN_SHARED)
		join_recorded(w, a);
	else
		list_add(&w->pass.waiting, a);
}

/* The stages go in the order of enum op_kind: what was stored can be synced by all. */
static uint32_t earliest_kind(const struct active_list *list)
{
	uint32_t kind = OP_KIND_COUNT;

	for (const struct active *a = list->first; a; a = a->next)
		kind = a->op->op.kind < kind ? a->op->op.kind : kind;
	return kind;
}

static bool is_same_call(const struct plan_op *a, const struct plan_op *b)
{
	return a->kind == b->kind && a->target_id == b->target_id && a->flags == b->flags;
}

/* Takes all that stand at the same call as the first of that kind off the list. */
static struct active *take_same_call(struct active_list *list, uint32_t kind)
{
	struct active_list taken = { 0 }, left = { 0 };

	for (struct active *next, *a = list->first; a; a = next) {
		const struct plan_op *first = taken.first ? &taken.first->op->op : &a->op->op;

		next = a->next;
		list_add(a->op->op.kind == kind && is_same_call(&a->op->op, first) ? &taken : &left,
			 a);
	}
	*list = left;
	return taken.first;
}

/* The op of all that ask for it; false when nobody does. */
static bool merge(const struct active *owners, struct plan_op *ret_op)
{
	struct plan_op op = owners->op->op;
	bool asked = false;

	op.bytes = op.work = 0;
	for (const struct active *a = owners; a; a = a->next) {
		if (a->op->op.mode != PLAN_SHARED)
			continue;
		if (!asked)
			op.offset = a->op->op.offset;
		asked = true;
		op.mode = PLAN_SHARED;
		op.bytes += a->op->op.bytes;
		op.work += a->op->op.work;
	}
	*ret_op = op;
	return asked;
}

static void run_stage(struct worker *w)
{
	struct active_list *waiting = &w->pass.waiting;
	struct active *owners = take_same_call(waiting, earliest_kind(waiting));
	struct plan_op op;

	if (merge(owners, &op))
		run_shared(w, owners, &op);
	release_owners(w, owners);
}

static void go_on(struct worker *w)
{
	struct active *a = w->pass.done.first;

	w->pass.done = (struct active_list){ 0 };
	for (struct active *next; a; a = next) {
		struct conn *c = a->conn;

		next = a->next;
		serve_next_op(a);
		serve_run(w, a);
		conn_advance(w, c);
	}
}

void pass_finish(struct worker *w)
{
	while (w->pass.done.first || w->pass.waiting.first) {
		if (w->pass.done.first)
			go_on(w);
		else
			run_stage(w);
	}
}
