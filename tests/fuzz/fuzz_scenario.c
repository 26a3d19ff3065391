/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a scenario: the ops of one that is taken are a chain of as many ops as its classes
 * have, and what a class begins with passes over it as a whole. One that is refused is said where.
 */
#include "cli/scenario/scenario.h"

#include <stdlib.h>
#include <string.h>

static void must(bool held)
{
	if (!held)
		abort();
}

/* Options come first, each with a value; the ops are what is left. */
static size_t first_op(const struct words *w)
{
	size_t i = 0;

	while (i < w->count && chain_word(w->items[i]) == CHAIN_WORD_OTHER)
		i += 2;
	must(i <= w->count);
	return i;
}

static void check_classes(const struct scenario_client *s, const struct chain *c)
{
	uint32_t at = 0;

	for (size_t i = 0; i < s->classes_count; i++) {
		const struct walk_class *class = &s->classes[i];

		must(class->at == at && class->end > at);
		at = class->end;
		if (i + 1 < s->classes_count)
			must(c->ops[class->at].kind == CHAIN_SKIP &&
			     c->ops[class->at].end == class->end);
	}
	must(at == c->count);
}

static void check(const struct scenario_client *s)
{
	struct chain_defaults defaults = chain_defaults();
	size_t from = first_op(&s->words);
	struct chain c;

	if (!s->classes_count)
		return;
	must(!chain_parse(&c, (const char *const *)s->words.items + from,
			  s->words.count - from, &defaults,
			  NULL));
	check_classes(s, &c);
	chain_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scenario s;
	struct err err = { "" };

	if (size > SCENARIO_BYTES_MAX)
		return 0;
	if (scenario_parse("x", (const char *)data, size, NULL, &s, &err)) {
		must(!strncmp(err.text, "x:", 2));
		return 0;
	}
	for (size_t i = 0; i < s.count; i++)
		check(&s.clients[i]);
	scenario_release(&s);
	return 0;
}
