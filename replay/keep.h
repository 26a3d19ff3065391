/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_KEEP_H
#define GAIT_REPLAY_KEEP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Which requests of a long run keep their rows: a share of them, which client and nodes choose
 * alike by the request's number alone, so that nothing need be said. Numbers that follow each other
 * are chosen independently of each other (splitmix64, Steele et al. 2014).
 */
#define KEEP_ALL UINT64_MAX
#define KEEP_SEED 0 /* of replays: each of a trace keeps the same requests */

static inline bool keep_is_sampled(uint64_t share, uint64_t seed, uint64_t request)
{
	uint64_t x = request * 0x9e3779b97f4a7c15 + seed;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	x ^= x >> 31;
	return share == KEEP_ALL || x < share;
}

#endif
