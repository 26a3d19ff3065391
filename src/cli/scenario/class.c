/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario/reading.h"

#include "replay/walk/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum class_field { CLASS_NAME, CLASS_WEIGHT, CLASS_REQUEST, CLASS_OPS, CLASS_FIELDS };

static const char *const class_fields[CLASS_FIELDS] = { "name", "weight", "request", "ops" };

static int read_chain(struct reading *r, struct part *part)
{
	struct chain_defaults defaults = chain_defaults();
	struct words words = { 0 };
	struct err why;
	int rc = read_ops(r, &part->ops, &words);

	defaults.files = r->files;
	if (part->has_size || r->has_size)
		defaults.forward_bytes = part->has_size ? part->request_bytes : r->request_bytes;
	if (!rc)
		rc = pass_on(r, &part->ops,
			     chain_parse(&part->chain, (const char *const *)words.items,
					 words.count, &defaults, &why),
			     &why);
	words_release(&words);
	return rc;
}

static int read_weight(struct reading *r, const struct value *v, double *ret_weight)
{
	const char *text = NULL;
	char *end;
	int rc;

	*ret_weight = 1;
	if (!v->node)
		return 0;
	rc = text_of(r, v, &text);
	if (rc)
		return rc;
	*ret_weight = strtod(text, &end);
	if (*end || !(*ret_weight > 0) || *ret_weight > 1e9 ||
	    strspn(text, "0123456789.") != strlen(text))
		return complain(r, v, "'%s' is no number above 0", text);
	return 0;
}

static int read_class(struct reading *r, const struct value *item)
{
	struct value fields[CLASS_FIELDS];
	struct part *part = &r->parts[r->parts_count];
	int rc = fields_of(r, item, class_fields, CLASS_FIELDS, fields);

	if (rc)
		return rc;
	r->parts_count++;
	part->value = *item;
	part->ops = fields[CLASS_OPS];
	snprintf(part->name, sizeof(part->name), "class-%zu", r->parts_count);
	if (!part->ops.node)
		return complain(r, item, "it has no 'ops'");
	if (fields[CLASS_NAME].node)
		rc = name_of(r, &fields[CLASS_NAME], part->name, sizeof(part->name));
	if (!rc)
		rc = read_weight(r, &fields[CLASS_WEIGHT], &part->weight);
	part->has_size = fields[CLASS_REQUEST].node;
	if (!rc && part->has_size)
		rc = spec_of(r, &fields[CLASS_REQUEST], SPEC_BYTES, &part->request_bytes);
	return rc ? rc : read_chain(r, part);
}

/* Ops of a chain itself, as a -s counts them. */
static size_t count_ops(const struct chain *c)
{
	size_t count = 0;

	for (uint32_t at = 0; at < c->count; at = chain_behind(c, at))
		count++;
	return count;
}

/* Every request that has come to this class and is not of it passes over it. */
static int add_skip(struct reading *r, size_t index)
{
	const struct part *part = &r->parts[index];
	double others = 0;
	char text[64];

	for (size_t i = index + 1; i < r->parts_count; i++)
		others += r->parts[i].weight;
	snprintf(text, sizeof(text), "%zu,prob=%.12f", count_ops(&part->chain),
		 others / (others + part->weight));
	return add_option(r, "-s", text);
}

static int add_chain(struct reading *r, const struct part *part)
{
	struct buf text;
	struct err why;
	int rc;

	buf_init(&text, CHAIN_TEXT_MAX);
	rc = pass_on(r, &part->ops, chain_format(&part->chain, &text, &why), &why);
	for (const char *at = rc ? "" : buf_text(&text); *at && !rc; at = strchr(at, '\n') + 1)
		rc = add_word(r, at, strcspn(at, "\n"));
	buf_release(&text);
	return rc;
}

static int add_class(struct reading *r, size_t index, uint32_t *at)
{
	struct part *part = &r->parts[index];
	struct walk_class *class = &r->to->classes[index];
	bool last = index + 1 == r->parts_count;
	int rc = last ? 0 : add_skip(r, index);

	memcpy(class->name, part->name, sizeof(class->name));
	class->at = *at;
	class->end = *at += (uint32_t)part->chain.count + !last;
	class->has_size = part->has_size;
	if (!rc && part->has_size)
		rc = spec_copy(&class->request_bytes, &part->request_bytes);
	return rc ? rc : add_chain(r, part);
}

/* Each may be well, and all of them together too long. */
static int check_chain(struct reading *r, const struct value *v, size_t first)
{
	const char *const *words = (const char *const *)r->to->words.items + first;
	struct chain_defaults defaults = chain_defaults();
	struct chain all;
	struct err why;
	int rc = chain_parse(&all, words, r->to->words.count - first, &defaults, &why);

	if (!rc)
		chain_release(&all);
	return pass_on(r, v, rc, &why);
}

int read_classes(struct reading *r)
{
	const struct value *v = &r->load[LOAD_CLASSES];
	size_t first = r->to->words.count;
	uint32_t at = 0;
	int rc;

	if (!v->node)
		return 0;
	r->parts = calloc(WALK_CLASSES_MAX, sizeof(*r->parts));
	if (!r->parts)
		return no_memory(r);
	rc = each_item(r, v, WALK_CLASSES_MAX, read_class);
	if (rc)
		return rc;
	r->to->classes = calloc(r->parts_count, sizeof(*r->to->classes));
	if (!r->to->classes)
		return no_memory(r);
	r->to->classes_count = r->parts_count;
	for (size_t i = 0; i < r->parts_count && !rc; i++)
		rc = add_class(r, i, &at);
	return rc ? rc : check_chain(r, v, first);
}
