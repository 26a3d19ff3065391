/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/philox.h"

/* The known answers that the authors publish with Random123 (kat_vectors, philox4x32 10). */
static const struct {
	struct philox counter;
	uint32_t key[2];
	struct philox want;
} known[] = {
	{ { { 0, 0, 0, 0 } }, { 0, 0 }, { { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } } },
	{ { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff } },
	  { 0xffffffff, 0xffffffff },
	  { { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } } },
	{ { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 } },
	  { 0xa4093822, 0x299f31d0 },
	  { { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } } },
};

static void test_known_answers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct philox got = philox_block(known[i].counter, known[i].key);

		check_case("vector %zu", i);
		CHECK_MEM(&got, &known[i].want, sizeof(got));
	}
}

int main(void)
{
	RUN(test_known_answers);
	return check_done();
}
