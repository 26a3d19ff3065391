/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_STACK_H
#define GAIT_REPLAY_NODE_STACK_H

#include <stdatomic.h>
#include <stddef.h>

/*
 * How threads of a node hand things to each other: many push, one takes all at
 * once, so that nothing is ever popped under another's hands (no ABA). A link is
 * the first member of what it links.
 */
struct link {
	struct link *next;
};

struct stack {
	_Atomic(struct link *) head;
};

/* A chain from first to last. */
static inline void stack_push_chain(struct stack *s, struct link *first, struct link *last)
{
	struct link *head = atomic_load_explicit(&s->head, memory_order_relaxed);

	do
		last->next = head;
	while (!atomic_compare_exchange_weak_explicit(&s->head, &head, first, memory_order_seq_cst,
						      memory_order_relaxed));
}

static inline void stack_push(struct stack *s, struct link *link)
{
	stack_push_chain(s, link, link);
}

/* All of it, the latest first. */
static inline struct link *stack_take(struct stack *s)
{
	if (!atomic_load_explicit(&s->head, memory_order_seq_cst))
		return NULL;
	return atomic_exchange(&s->head, NULL);
}

/* All of it, the earliest first. */
static inline struct link *stack_take_in_order(struct stack *s)
{
	struct link *rest = stack_take(s), *ordered = NULL;

	while (rest) {
		struct link *next = rest->next;

		rest->next = ordered;
		ordered = rest;
		rest = next;
	}
	return ordered;
}

#endif
