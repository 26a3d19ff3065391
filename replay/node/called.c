/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/called.h"

#include "replay/node/limits.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 64

/* Ids of one connection follow each other: multiplied, they fall apart (Knuth's 2^64 / phi). */
static struct queued_request **bucket_of(const struct called *called, uint64_t request_id)
{
	return &called->buckets[(request_id * 0x9e3779b97f4a7c15ull >> 32) & called->mask];
}

int called_init(struct called *called)
{
	*called = (struct called){ .mask = BUCKETS_MIN - 1 };
	queue_init(&called->inbox);
	called->buckets = calloc(BUCKETS_MIN, sizeof(*called->buckets));
	return called->buckets ? 0 : -ENOMEM;
}

static struct queued_request *next_of(const struct queued_request *q)
{
	return (struct queued_request *)q->link.next;
}

/* What stands for a request whose plan is still to come: who is called has a parent. */
static bool stands_in(const struct queued_request *q)
{
	return !q->request.parent_id;
}

void called_release(struct called *called)
{
	for (size_t i = 0; called->buckets && i <= called->mask; i++) {
		for (struct queued_request *next, *q = called->buckets[i]; q; q = next) {
			next = next_of(q);
			if (stands_in(q))
				free(q);
		}
	}
	free(called->buckets);
	called->buckets = NULL;
}

bool called_put(struct called *called, struct queued_request *q)
{
	queue_push(&called->inbox, &q->link);
	return atomic_load(&called->expects);
}

static void insert(struct called *called, struct queued_request *q)
{
	struct queued_request **at = bucket_of(called, q->request.request_id);

	q->link.next = (struct link *)*at;
	*at = q;
}

/* Without memory for it the lists become longer. */
static void grow(struct called *called)
{
	struct called larger = { .mask = 2 * called->mask + 1 };

	larger.buckets = calloc(larger.mask + 1, sizeof(*larger.buckets));
	if (!larger.buckets)
		return;
	for (size_t i = 0; i <= called->mask; i++) {
		for (struct queued_request *next, *q = called->buckets[i]; q; q = next) {
			next = next_of(q);
			insert(&larger, q);
		}
	}
	free(called->buckets);
	called->buckets = larger.buckets;
	called->mask = larger.mask;
}

static void add(struct called *called, struct queued_request *q)
{
	if (called->count++ > called->mask)
		grow(called);
	insert(called, q);
}

/* NULL: it is not there. */
static struct queued_request *take(struct called *called, uint64_t request_id)
{
	struct queued_request **at = bucket_of(called, request_id), *q;

	while ((q = *at) && q->request.request_id != request_id)
		at = (struct queued_request **)&q->link.next;
	if (q) {
		*at = next_of(q);
		called->count--;
	}
	return q;
}

static void put_unwanted(struct called *called, struct queued_request *q)
{
	q->link.next = (struct link *)called->unwanted;
	called->unwanted = q;
}

/* Whether somebody has said that nobody will call for it; not any more, then. */
static bool is_forgotten(struct called *called, uint64_t request_id)
{
	struct queued_request *q = called->stand_ins ? take(called, request_id) : NULL;

	if (q && !stands_in(q)) {
		add(called, q); /* planned twice */
		return false;
	}
	called->stand_ins -= q != NULL;
	free(q);
	return q != NULL;
}

static void look_into_inbox(struct called *called)
{
	struct link *link;

	while ((link = queue_pop(&called->inbox))) {
		struct queued_request *q = (struct queued_request *)link;

		if (is_forgotten(called, q->request.request_id))
			put_unwanted(called, q);
		else
			add(called, q);
	}
}

struct queued_request *called_take(struct called *called, uint64_t request_id)
{
	struct queued_request *q;

	look_into_inbox(called);
	q = take(called, request_id);
	if (!q || !stands_in(q))
		return q;
	add(called, q);
	return NULL;
}

/* Whoever puts its plan meanwhile sees that it is expected, or it is seen here. */
void called_forget(struct called *called, uint64_t request_id)
{
	struct queued_request *q;

	atomic_store(&called->expects, true);
	q = called_take(called, request_id);
	if (q) {
		put_unwanted(called, q);
		return;
	}
	q = called->stand_ins < NODE_FORGOTTEN ? calloc(1, sizeof(*q)) : NULL;
	if (!q)
		return; /* it takes its place until the end */
	q->request.request_id = request_id;
	called->stand_ins++;
	add(called, q);
}

struct queued_request *called_unwanted(struct called *called)
{
	struct queued_request *q;

	look_into_inbox(called);
	q = called->unwanted;
	if (q)
		called->unwanted = next_of(q);
	return q;
}
