/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/called.h"

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

void called_release(struct called *called)
{
	free(called->buckets);
	called->buckets = NULL;
}

void called_put(struct called *called, struct queued_request *q)
{
	queue_push(&called->inbox, &q->link);
}

static void insert(struct called *called, struct queued_request *q)
{
	struct queued_request **at = bucket_of(called, q->request.request_id);

	q->link.next = (struct link *)*at;
	*at = q;
}

static struct queued_request *next_of(const struct queued_request *q)
{
	return (struct queued_request *)q->link.next;
}

/* Without memory for it the lists become longer. */
static void grow(struct called *called)
{
	struct called larger = *called;

	larger.mask = 2 * called->mask + 1;
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

static void look_into_inbox(struct called *called)
{
	struct link *link;

	while ((link = queue_pop(&called->inbox))) {
		if (called->count++ > called->mask)
			grow(called);
		insert(called, (struct queued_request *)link);
	}
}

struct queued_request *called_take(struct called *called, uint64_t request_id)
{
	struct queued_request **at, *q;

	look_into_inbox(called);
	at = bucket_of(called, request_id);
	while ((q = *at) && q->request.request_id != request_id)
		at = (struct queued_request **)&q->link.next;
	if (q) {
		*at = next_of(q);
		called->count--;
	}
	return q;
}
