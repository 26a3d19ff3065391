/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a chain and their numbers: every one its own, and each leads back to who made it. */
#include "check.h"

#include "replay/chain/calls.h"

#include <stdlib.h>

#define CALLS_MAX 4096

struct made {
	uint32_t at, caller;
	bool is;
};

static void parse(struct chain *c, const char *const *words)
{
	struct chain_defaults defaults = chain_defaults();
	size_t count = 0;

	while (words[count])
		count++;
	CHECK_EQ(chain_parse(c, words, count, &defaults, NULL), 0);
}

/* All calls that `caller` makes, whose chain is of the ops [from, end), and those below. */
static uint32_t make_all(const struct chain *c, const struct chain_calls *calls, uint32_t from,
			 uint32_t end, uint32_t caller, struct made *made)
{
	uint32_t count = 0;

	for (uint32_t i = from; i < end; i++) {
		const struct chain_forward *f = c->ops[i].forward;

		if (c->ops[i].kind != OP_FORWARD)
			continue;
		for (uint32_t k = 0; k < f->peers_count * (f->retries + 1); k++) {
			uint32_t call = chain_call(calls, i + 1, caller, k / (f->retries + 1),
						   f->retries + 1) +
					k % (f->retries + 1);

			CHECK(call && call < calls->count && !made[call].is);
			made[call] = (struct made){ i + 1, caller, true };
			CHECK_EQ(chain_caller(calls, call), caller);
			count += 1 + make_all(c, calls, i + 1, c->ops[i].end, call, made);
		}
		i = c->ops[i].end - 1;
	}
	return count;
}

static void test_numbers(void)
{
	static const struct {
		const char *words[24];
		uint32_t calls;
	} cases[] = {
		{ { "-C", "1", "-R" }, 0 },
		{ { "-F", ":1", "-R", "-R" }, 1 },
		{ { "-F", ":1", "-R", "-C", "1", "-F", ":2,:3", "-R", "-R" }, 3 },
		/* b and c, each of which asks d twice at most */
		{ { "-F", ":1,:2", "-F", ":3,retry=1", "-R", "-C", "1", "-R", "-R" }, 6 },
		{ { "-F", ":1,branch", "-F", ":3", "-R", "-R", "-F", ":2,branch", "-F", ":3,:4",
		    "-R", "-R", "-R" },
		  5 },
		{ { "-F", ":1,:2,retry=2", "-F", ":1,:2,retry=2", "-F", ":1,:2", "-R", "-R", "-R",
		    "-F", ":1", "-R", "-R" },
		  6 + 36 + 72 + 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct made *made = calloc(CALLS_MAX, sizeof(*made));
		struct chain_calls calls;
		struct chain c;

		check_case("case %zu", i);
		parse(&c, cases[i].words);
		chain_calls_init(&calls, &c);
		CHECK_EQ(calls.count, cases[i].calls + 1);
		CHECK_EQ(make_all(&c, &calls, 0, (uint32_t)c.count, 0, made), cases[i].calls);
		/* what a stranger says is called makes no number of another's */
		if (calls.count > 1)
			CHECK_EQ(chain_call(&calls, (uint32_t)c.count, UINT32_MAX, 0, 1), 0);
		chain_release(&c);
		free(made);
	}
}

/* 64,064 calls of each that calls. */
static void test_too_many(void)
{
	static const char *const words[] = { "-F", ":1,retry=1000",
					     "-F", ":1,retry=1000",
					     "-F", ":1,retry=1000",
					     "-F", ":1,retry=1000",
					     "-R", "-R",
					     "-R", "-R",
					     "-R", NULL };
	struct chain_calls calls;
	struct chain c;

	parse(&c, words);
	chain_calls_init(&calls, &c);
	CHECK_EQ(calls.count, 0);
	CHECK_EQ(chain_call(&calls, 1, 0, 0, 1001), 0);
	chain_release(&c);
}

int main(void)
{
	RUN(test_numbers);
	RUN(test_too_many);
	return check_done();
}
