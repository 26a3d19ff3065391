/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario/reading.h"

#include "base/units.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int complain_at(struct reading *r, unsigned long line, const char *where, const char *why)
{
	return err_set(r->err, EINVAL, "%s:%lu: %s%s%s", r->path, line, where, *where ? ": " : "",
		       why);
}

int complain(struct reading *r, const struct value *v, const char *fmt, ...)
{
	char why[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return complain_at(r, v->node ? v->node->start_mark.line + 1 : 1, v->where, why);
}

/* What another parser says of a value. */
int pass_on(struct reading *r, const struct value *v, int rc, const struct err *why)
{
	return rc ? complain(r, v, "%s", why->text) : 0;
}

int no_memory(struct reading *r)
{
	return err_set(r->err, ENOMEM, "not enough memory");
}

int text_of(struct reading *r, const struct value *v, const char **ret_text)
{
	const yaml_node_t *node = v->node;

	if (!node || node->type != YAML_SCALAR_NODE || !node->data.scalar.length)
		return complain(r, v, "a value is missing");
	*ret_text = (const char *)node->data.scalar.value;
	if (strlen(*ret_text) != node->data.scalar.length)
		return complain(r, v, "it is not text");
	return 0;
}

int number_of(struct reading *r, const struct value *v, uint64_t min, uint64_t max,
	      uint64_t *ret_number)
{
	const char *text = NULL;
	struct err why;
	int rc = text_of(r, v, &text);

	if (rc)
		return rc;
	return pass_on(r, v, unit_parse_u64(text, min, max, ret_number, &why), &why);
}

int duration_of(struct reading *r, const struct value *v, uint64_t *ret_ns)
{
	const char *text = NULL;
	struct err why;
	int rc = text_of(r, v, &text);

	if (rc)
		return rc;
	rc = pass_on(r, v, unit_parse_duration(text, ret_ns, &why), &why);
	return rc || *ret_ns ? rc : complain(r, v, "it must be above 0");
}

int spec_of(struct reading *r, const struct value *v, enum spec_unit unit, struct spec *ret_spec)
{
	const char *text = NULL;
	struct err why;
	int rc = text_of(r, v, &text);

	if (rc)
		return rc;
	return pass_on(r, v, spec_parse(ret_spec, text, unit, r->files, &why), &why);
}

/* The values of a mapping by the index of their names; those that lack have no node. */
int fields_of(struct reading *r, const struct value *v, const char *const *names, size_t count,
	      struct value *ret_values)
{
	if (!v->node || v->node->type != YAML_MAPPING_NODE)
		return complain(r, v, "it must have fields, a 'name: value' each");
	for (size_t i = 0; i < count; i++) {
		ret_values[i].node = NULL;
		snprintf(ret_values[i].where, WHERE_BYTES, "%.70s%s%s", v->where,
			 *v->where ? "." : "", names[i]);
	}
	for (yaml_node_pair_t *pair = v->node->data.mapping.pairs.start;
	     pair < v->node->data.mapping.pairs.top; pair++) {
		struct value key = { yaml_document_get_node(&r->document, pair->key), "" };
		const char *name;
		size_t i = 0;
		int rc = text_of(r, &key, &name);

		if (rc)
			return rc;
		while (i < count && strcmp(names[i], name))
			i++;
		snprintf(key.where, WHERE_BYTES, "%.70s", v->where);
		if (i == count)
			return complain(r, &key, "there is no field '%s' here", name);
		if (ret_values[i].node)
			return complain(r, &key, "'%s' comes twice", name);
		ret_values[i].node = yaml_document_get_node(&r->document, pair->value);
	}
	return 0;
}

/* Calls fn with each item of a list. */
int each_item(struct reading *r, const struct value *list, size_t max,
	      int (*fn)(struct reading *r, const struct value *item))
{
	const yaml_node_t *node = list->node;
	size_t count;
	int rc = 0;

	if (node->type != YAML_SEQUENCE_NODE)
		return complain(r, list, "it must be a list");
	count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (!count || count > max)
		return complain(r, list, "it has %zu items; 1 to %zu are possible", count, max);
	for (size_t i = 0; i < count && !rc; i++) {
		struct value item = {
			.node = yaml_document_get_node(&r->document,
						       node->data.sequence.items.start[i]),
		};

		snprintf(item.where, WHERE_BYTES, "%.70s[%zu]", list->where, i);
		rc = fn(r, &item);
	}
	return rc;
}

int name_of(struct reading *r, const struct value *v, char *ret_name, size_t size)
{
	const char *text = NULL;
	int rc = text_of(r, v, &text);

	if (!rc && strlen(text) >= size)
		rc = complain(r, v, "it is longer than %zu bytes", size - 1);
	if (!rc)
		memcpy(ret_name, text, strlen(text) + 1);
	return rc;
}

int add_word(struct reading *r, const char *word, size_t len)
{
	int rc = words_add(&r->to->words, word, len);

	if (rc == -E2BIG)
		return err_set(r->err, E2BIG, "%s: more than %d words", r->path, WORDS_MAX);
	return rc ? no_memory(r) : 0;
}

int add_option(struct reading *r, const char *name, const char *value)
{
	int rc = add_word(r, name, strlen(name));

	return rc ? rc : add_word(r, value, strlen(value));
}
