/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_QUEUE_H
#define GAIT_REPLAY_NODE_QUEUE_H

#include "replay/node/stack.h"

/*
 * First in, first out, between threads: any pushes, one pops, and touches only what
 * it pops (Vyukov's intrusive queue: a stub keeps it from ever being empty inside).
 * The links it is made of are those of node/stack.h.
 */
struct queue {
	_Atomic(struct link *) tail; /* the latest */
	struct link *head;	     /* the earliest; the popping thread's */
	struct link stub;
};

static inline void queue_init(struct queue *q)
{
	q->stub.next = NULL;
	q->head = &q->stub;
	atomic_init(&q->tail, &q->stub);
}

static inline void queue_push(struct queue *q, struct link *link)
{
	struct link *before;

	link->next = NULL;
	before = atomic_exchange(&q->tail, link);
	__atomic_store_n(&before->next, link, __ATOMIC_SEQ_CST);
}

/* NULL: it is empty, or its only one is just being pushed. */
static inline struct link *queue_pop(struct queue *q)
{
	struct link *head = q->head;
	struct link *next = __atomic_load_n(&head->next, __ATOMIC_SEQ_CST);

	if (head == &q->stub) {
		if (!next)
			return NULL;
		q->head = head = next;
		next = __atomic_load_n(&head->next, __ATOMIC_SEQ_CST);
	}
	if (!next) {
		if (head != atomic_load(&q->tail))
			return NULL;
		queue_push(q, &q->stub);
		next = __atomic_load_n(&head->next, __ATOMIC_SEQ_CST);
	}
	if (next)
		q->head = next;
	return next ? head : NULL;
}

#endif
