/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a chain: what parses has a canonical text that parses back to itself and draws the
 * same. The first line alone is tried as a value of each unit and as an address too.
 */
#include "replay/chain/chain.h"

#include <stdlib.h>
#include <string.h>

static struct plan_op ops[2][CHAIN_OPS_MAX];

static void must(bool held)
{
	if (!held)
		abort();
}

static void try_address(const char *line)
{
	const struct address_defaults defaults = { "localhost", CHAIN_PORT };
	struct address a, again;
	char text[ADDRESS_TEXT_SIZE];

	if (address_parse(line, &defaults, &a, NULL))
		return;
	must(!address_parse(address_format(&a, text), &defaults, &again, NULL));
	must(address_equal(&a, &again));
}

static void try_spec(const char *line, enum spec_unit unit)
{
	struct spec s, again;
	struct buf text;

	if (spec_parse(&s, line, unit, NULL, NULL))
		return;
	spec_length(&s);
	buf_init(&text, SPEC_TEXT_MAX);
	if (!spec_format(&s, &text, NULL)) {
		must(!spec_parse(&again, buf_text(&text), unit, NULL, NULL));
		for (uint64_t i = 0; i < 4; i++) {
			struct spec_key key = { .request = i };

			must(spec_draw(&s, &key) == spec_draw(&again, &key));
			must(spec_draw(&s, &key) <= SPEC_VALUE_MAX);
		}
		spec_release(&again);
	}
	spec_release(&s);
	buf_release(&text);
}

static void draw_alike(const struct chain *a, const struct chain *b)
{
	for (uint32_t at = 0; at < a->count; at++) {
		struct chain_request r, s;
		int rc = chain_draw(a, 1, at, at, ops[0], CHAIN_OPS_MAX, &r);

		must(rc == chain_draw(b, 1, at, at, ops[1], CHAIN_OPS_MAX, &s));
		if (rc)
			continue;
		must(r.ops == s.ops && r.end == s.end && r.end <= a->count);
		must(!memcmp(ops[0], ops[1], r.ops * sizeof(ops[0][0])));
	}
}

static void try_format(const struct chain *c)
{
	struct chain again;
	struct buf once, twice;

	buf_init(&once, CHAIN_TEXT_MAX);
	buf_init(&twice, CHAIN_TEXT_MAX);
	if (!chain_format(c, &once, NULL)) {
		must(!chain_parse_text(&again, once.data, once.len, NULL));
		must(!chain_format(&again, &twice, NULL));
		must(!strcmp(buf_text(&once), buf_text(&twice)));
		draw_alike(c, &again);
		chain_release(&again);
	}
	buf_release(&once);
	buf_release(&twice);
}

#define WORDS 256

/* As DistWalk's client reads it. */
static void try_lenient(char *text)
{
	struct chain_defaults defaults = chain_defaults();
	const char *words[WORDS];
	size_t count = 0;
	struct chain c;
	struct err err;

	defaults.lenient = true;
	for (char *word = strtok(text, "\n"); word && count < WORDS; word = strtok(NULL, "\n"))
		words[count++] = word;
	if (chain_parse(&c, words, count, &defaults, &err))
		return;
	try_format(&c);
	chain_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *line;
	struct chain c;
	struct err err;

	if (!chain_parse_text(&c, (const char *)data, size, &err)) {
		try_format(&c);
		chain_release(&c);
	}
	line = strndup(text, strcspn(text, "\n"));
	try_address(line);
	for (enum spec_unit unit = SPEC_NS; unit <= SPEC_COUNT; unit++)
		try_spec(line, unit);
	try_lenient(text);
	free(line);
	free(text);
	return 0;
}
