/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/slowest.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

int slowest_init(struct slowest *s, uint32_t most)
{
	*s = (struct slowest){ .at = calloc(most + 1, sizeof(*s->at)), .most = most };
	return s->at ? 0 : -ENOMEM;
}

void slowest_release(struct slowest *s)
{
	free(s->at);
	*s = (struct slowest){ 0 };
}

bool slowest_is_over(const struct slowest *s, int64_t now_ns)
{
	return s->since_ns && now_ns - s->since_ns >= SLOWEST_NS;
}

static void find_least(struct slowest *s)
{
	s->least = 0;
	for (uint32_t i = 1; i < s->count; i++)
		if (s->at[i].latency_ns < s->at[s->least].latency_ns)
			s->least = i;
}

uint32_t slowest_offer(struct slowest *s, const struct slow *slow, int64_t now_ns)
{
	uint32_t at = s->count < s->most ? s->count : s->least;

	if (!s->since_ns)
		s->since_ns = now_ns;
	if (!s->most || (at < s->count && slow->latency_ns <= s->at[at].latency_ns))
		return SLOWEST_NONE;
	s->count += at == s->count;
	s->at[at] = *slow;
	find_least(s);
	return at;
}

void slowest_end(struct slowest *s)
{
	s->count = 0;
	s->since_ns = 0;
}

void names_put(struct names *n, uint64_t number)
{
	uint64_t put = atomic_load_explicit(&n->put, memory_order_relaxed);

	if (put - atomic_load_explicit(&n->taken, memory_order_acquire) == NAMES_MAX)
		return;
	n->at[put % NAMES_MAX] = number;
	atomic_store_explicit(&n->put, put + 1, memory_order_release);
}

uint32_t names_take(struct names *n, uint64_t *ret_numbers, uint32_t most)
{
	uint64_t taken = atomic_load_explicit(&n->taken, memory_order_relaxed);
	uint64_t ready = atomic_load_explicit(&n->put, memory_order_acquire) - taken;
	uint32_t count = ready < most ? (uint32_t)ready : most;

	for (uint32_t i = 0; i < count; i++)
		ret_numbers[i] = n->at[(taken + i) % NAMES_MAX];
	atomic_store_explicit(&n->taken, taken + count, memory_order_release);
	return count;
}
