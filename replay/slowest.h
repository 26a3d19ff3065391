/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_SLOWEST_H
#define GAIT_REPLAY_SLOWEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Of a long run, the slowest requests of each window of SLOWEST_NS: who has their numbers and
 * latencies offers them all, and names those that are left when the window ends.
 */
#define SLOWEST_NS (1000ll * 1000 * 1000)
#define SLOWEST_MAX 1000
#define SLOWEST_NONE UINT32_MAX

struct slow {
	uint64_t number;
	int64_t latency_ns; /* INT64_MAX: nothing is slower than what never came */
};

struct slowest {
	struct slow *at;
	uint32_t most, count, least; /* least: index of the fastest of them */
	int64_t since_ns;	     /* when the window began; 0: there is none */
};

/* So many of each window, 0..SLOWEST_MAX. 0 or -ENOMEM. A zero-initialised one can be released. */
int slowest_init(struct slowest *s, uint32_t most);
void slowest_release(struct slowest *s);

/* Whether a request of this time is of the next window; then slowest_end() comes first. */
bool slowest_is_over(const struct slowest *s, int64_t now_ns);

/* Its index in `at`, where another one may have been; SLOWEST_NONE: there are slower ones. */
uint32_t slowest_offer(struct slowest *s, const struct slow *slow, int64_t now_ns);
void slowest_end(struct slowest *s);

/*
 * Names on their way from one thread or process to another, in memory that both see. What comes
 * while there is no room is not told.
 */
#define NAMES_MAX (8 * 1024)

struct names {
	_Atomic uint64_t put, taken;
	uint64_t at[NAMES_MAX];
};

void names_put(struct names *n, uint64_t number);

/* Up to `most` of them; how many. */
uint32_t names_take(struct names *n, uint64_t *ret_numbers, uint32_t most);

#endif
