/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_PHILOX_H
#define GAIT_BASE_PHILOX_H

#include <stdint.h>

/*
 * Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror, Shaw: Parallel
 * Random Numbers: As Easy as 1, 2, 3, SC'11): 128 random bits that depend on nothing
 * but a 128-bit counter and a 64-bit key. So two machines that know the seed draw the
 * same values, in any order and without telling each other.
 */
struct philox {
	uint32_t word[4];
};

struct philox philox_block(struct philox counter, const uint32_t key[2]);

#endif
