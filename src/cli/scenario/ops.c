/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of a -F, with addresses for names. */
static void put_forward(const struct reading *r, const char *word, size_t word_len, struct buf *out)
{
	const char *end = word + word_len;

	while (word < end) {
		size_t left = (size_t)(end - word), len = strcspn(word, ",");
		const struct service *service;

		len = len < left ? len : left;
		service = find_service(r, word, len);
		buf_printf(out, "%.*s", service ? (int)strlen(service->address) : (int)len,
			   service ? service->address : word);
		word += len;
		if (word < end)
			buf_putc(out, *word++);
	}
}

/* Where in the word the addresses of a -F begin; -1: it has none. */
static int forward_at(const struct words *w, const char *word)
{
	static const char *const prefixes[] = { "--forward=", "-F" };
	const char *last = w->count ? w->items[w->count - 1] : "";

	if (!strcmp(last, "-F") || !strcmp(last, "--forward"))
		return 0;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncmp(word, prefixes[i], strlen(prefixes[i])))
			return (int)strlen(prefixes[i]);
	return -1;
}

static int take_word(struct reading *r, struct words *w, const char *word, size_t len)
{
	int at = forward_at(w, word);
	struct buf out;
	int rc;

	if (at < 0)
		return words_add(w, word, len) ? no_memory(r) : 0;
	buf_init(&out, SCENARIO_BYTES_MAX);
	buf_printf(&out, "%.*s", at, word);
	put_forward(r, word + at, len - (size_t)at, &out);
	rc = buf_failed(&out) || words_add(w, buf_text(&out), out.len) ? no_memory(r) : 0;
	buf_release(&out);
	return rc;
}

int read_words(struct reading *r, const struct value *v, struct words *w)
{
	const char *text = NULL;
	int rc = text_of(r, v, &text);

	while (!rc && *(text += strspn(text, " \t\n"))) {
		size_t len = strcspn(text, " \t\n");

		rc = take_word(r, w, text, len);
		text += len;
	}
	return rc;
}

static bool is_graph(const struct reading *r, const yaml_node_t *list)
{
	for (yaml_node_item_t *i = list->data.sequence.items.start;
	     i < list->data.sequence.items.top; i++)
		if (yaml_document_get_node((yaml_document_t *)&r->document, *i)->type ==
		    YAML_MAPPING_NODE)
			return true;
	return false;
}

int read_ops(struct reading *r, const struct value *v, struct words *w)
{
	const yaml_node_t *node = v->node;
	int rc = 0;

	if (!node || node->type != YAML_SEQUENCE_NODE)
		return read_words(r, v, w);
	if (is_graph(r, node))
		return read_graph(r, v, w);
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top && !rc; i++) {
		struct value item = *v;

		item.node = yaml_document_get_node(&r->document, *i);
		rc = read_words(r, &item, w);
	}
	return rc;
}
