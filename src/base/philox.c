/* SPDX-License-Identifier: Apache-2.0 */
#include "base/philox.h"

#define ROUNDS 10

/* The multipliers, and what the key grows by from round to round (the golden ratio, sqrt(3) - 1). */
#define MULTIPLY_0 0xd2511f53u
#define MULTIPLY_1 0xcd9e8d57u
#define WEYL_0 0x9e3779b9u
#define WEYL_1 0xbb67ae85u

static struct philox philox_round(struct philox x, uint32_t key_0, uint32_t key_1)
{
	uint64_t a = (uint64_t)MULTIPLY_0 * x.word[0], b = (uint64_t)MULTIPLY_1 * x.word[2];

	return (struct philox){ {
		(uint32_t)(b >> 32) ^ x.word[1] ^ key_0,
		(uint32_t)b,
		(uint32_t)(a >> 32) ^ x.word[3] ^ key_1,
		(uint32_t)a,
	} };
}

struct philox philox_block(struct philox counter, const uint32_t key[2])
{
	for (uint32_t i = 0; i < ROUNDS; i++)
		counter = philox_round(counter, key[0] + i * WEYL_0, key[1] + i * WEYL_1);
	return counter;
}
