/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops of which each says what it comes after, as a chain. A node does a request's ops one after
 * another, but calls that follow one another as branches are made at once. So a graph is a chain when
 * it falls into stages, each an op or some calls, of which all of one wait for all of those before;
 * what is not is refused. Ops of the node itself may stand in any order that they allow.
 */
#include "cli/scenario/reading.h"

#include <stdlib.h>
#include <string.h>

#define SET_WORDS (SCENARIO_OPS_MAX / 64)

enum op_field { OP_NAME, OP_DO, OP_AFTER, OP_FIELDS };

static const char *const op_fields[OP_FIELDS] = { "name", "do", "after" };

struct graph_op {
	const char *name; /* of the document, or NULL */
	struct value value;
	struct words words;
	bool is_call;		    /* one, and nothing else */
	uint64_t before[SET_WORDS]; /* ops that it waits for, also through others */
	size_t stage;
};

struct graph {
	struct graph_op ops[SCENARIO_OPS_MAX];
	size_t count;
};

static bool waits_for(const struct graph_op *op, size_t other)
{
	return op->before[other / 64] >> (other % 64) & 1;
}

static void wait_for(struct graph *g, struct graph_op *op, size_t other)
{
	op->before[other / 64] |= 1ull << (other % 64);
	for (size_t i = 0; i < SET_WORDS; i++)
		op->before[i] |= g->ops[other].before[i];
}

/* --- the ops ------------------------------------------------------------------------------- */

static int read_after_name(struct reading *r, const struct value *v)
{
	struct graph *g = r->graph;
	struct graph_op *op = &g->ops[g->count - 1];
	const char *name = NULL;
	int rc = text_of(r, v, &name);

	if (rc)
		return rc;
	for (size_t i = 0; i + 1 < g->count; i++) {
		if (g->ops[i].name && !strcmp(g->ops[i].name, name)) {
			wait_for(g, op, i);
			return 0;
		}
	}
	return complain(r, v, "there is no op '%s' above", name);
}

static int read_after(struct reading *r, const struct value *v)
{
	struct graph *g = r->graph;

	if (!v->node) {
		if (g->count > 1)
			wait_for(g, &g->ops[g->count - 1], g->count - 2);
		return 0;
	}
	if (v->node->type != YAML_SEQUENCE_NODE)
		return read_after_name(r, v);
	if (v->node->data.sequence.items.top == v->node->data.sequence.items.start)
		return 0; /* it waits for nothing */
	return each_item(r, v, SCENARIO_OPS_MAX, read_after_name);
}

static int read_op_name(struct reading *r, const struct value *v, struct graph_op *op)
{
	const struct graph *g = r->graph;
	int rc = v->node ? text_of(r, v, &op->name) : 0;

	for (size_t i = 0; !rc && op->name && i + 1 < g->count; i++)
		if (g->ops[i].name && !strcmp(g->ops[i].name, op->name))
			return complain(r, v, "'%s' comes twice", op->name);
	return rc;
}

/* With a reply behind it, it is the only op of its chain. */
static bool is_one_call(const struct reading *r, const struct words *w)
{
	struct chain_defaults defaults = chain_defaults();
	const char **words = calloc(w->count + 1, sizeof(*words));
	struct chain c;
	bool is = false;

	if (!words)
		return false;
	for (size_t i = 0; i < w->count; i++)
		words[i] = w->items[i];
	words[w->count] = "-R";
	defaults.files = r->files;
	if (!chain_parse(&c, words, w->count + 1, &defaults, NULL)) {
		is = c.ops[0].kind == OP_FORWARD && chain_behind(&c, 0) + 1 == c.count;
		chain_release(&c);
	}
	free(words);
	return is;
}

static int read_op(struct reading *r, const struct value *item)
{
	struct graph *g = r->graph;
	struct graph_op *op = &g->ops[g->count++];
	struct value fields[OP_FIELDS] = { 0 };
	int rc = 0;

	op->value = *item;
	if (item->node->type == YAML_MAPPING_NODE)
		rc = fields_of(r, item, op_fields, OP_FIELDS, fields);
	else
		fields[OP_DO] = *item;
	if (!rc && !fields[OP_DO].node)
		rc = complain(r, item, "it has no 'do'");
	if (!rc)
		rc = read_op_name(r, &fields[OP_NAME], op);
	if (!rc)
		rc = read_after(r, &fields[OP_AFTER]);
	if (!rc)
		rc = read_words(r, &fields[OP_DO], &op->words);
	op->is_call = !rc && is_one_call(r, &op->words);
	return rc;
}

/* --- as a chain ---------------------------------------------------------------------------- */

/* Calls join those right before them unless they wait for one of these. */
static bool joins(const struct graph *g, size_t index)
{
	const struct graph_op *op = &g->ops[index];
	size_t stage = index ? g->ops[index - 1].stage : 0;

	if (!index || !op->is_call)
		return false;
	for (size_t i = index; i-- && g->ops[i].stage == stage;)
		if (!g->ops[i].is_call || waits_for(op, i))
			return false;
	return true;
}

static int find_stages(struct reading *r)
{
	struct graph *g = r->graph;

	for (size_t i = 0; i < g->count; i++)
		g->ops[i].stage = (i ? g->ops[i - 1].stage : 0) + !joins(g, i);
	for (size_t i = 0; i < g->count; i++)
		for (size_t k = 0; k < i; k++)
			if (g->ops[k].stage != g->ops[i].stage && !waits_for(&g->ops[i], k) &&
			    (g->ops[i].is_call || g->ops[k].is_call))
				return complain(r, &g->ops[i].value,
						"it does not wait for op %zu, but here it would "
						"have to: only calls that stand side by side run "
						"at once",
						k);
	return 0;
}

static int add(struct reading *r, struct words *w, const char *text)
{
	return words_add(w, text, strlen(text)) ? no_memory(r) : 0;
}

/* The value of the -F is its own word, or the rest of one. */
static int add_branch(struct reading *r, const struct graph_op *op, struct words *w)
{
	bool apart = chain_word(op->words.items[0]) == CHAIN_WORD_VALUE;
	struct buf out;
	int rc = 0;

	buf_init(&out, SCENARIO_BYTES_MAX);
	for (size_t i = 0; i < op->words.count && !rc; i++) {
		buf_reset(&out);
		buf_puts(&out, op->words.items[i]);
		if (i == apart && !strstr(op->words.items[i], ",branch"))
			buf_puts(&out, ",branch");
		rc = buf_failed(&out) ? no_memory(r) : add(r, w, buf_text(&out));
	}
	buf_release(&out);
	return rc;
}

static bool is_branch(const struct graph *g, size_t i)
{
	return (i && g->ops[i - 1].stage == g->ops[i].stage) ||
	       (i + 1 < g->count && g->ops[i + 1].stage == g->ops[i].stage);
}

/* Branches that follow branches would be of the same call: what is between them costs nothing. */
static int add_ops(struct reading *r, struct words *w)
{
	const struct graph *g = r->graph;
	int rc = 0;

	for (size_t i = 0; i < g->count && !rc; i++) {
		const struct graph_op *op = &g->ops[i];
		bool branch = is_branch(g, i);

		if (branch && i && g->ops[i - 1].stage != op->stage && is_branch(g, i - 1)) {
			rc = add(r, w, "-C");
			rc = rc ? rc : add(r, w, "0");
		}
		if (!rc && branch)
			rc = add_branch(r, op, w);
		for (size_t k = 0; !branch && k < op->words.count && !rc; k++)
			rc = add(r, w, op->words.items[k]);
	}
	return rc;
}

int read_graph(struct reading *r, const struct value *v, struct words *w)
{
	struct graph *g = calloc(1, sizeof(*g));
	int rc;

	if (!g)
		return no_memory(r);
	r->graph = g;
	rc = each_item(r, v, SCENARIO_OPS_MAX, read_op);
	if (!rc)
		rc = find_stages(r);
	if (!rc)
		rc = add_ops(r, w);
	for (size_t i = 0; i < g->count; i++)
		words_release(&g->ops[i].words);
	free(g);
	r->graph = NULL;
	return rc;
}
