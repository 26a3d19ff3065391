/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/units.h"
#include "replay/chain/chain.h"
#include "replay/walk/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define WHERE_BYTES 96
#define WORDS_MAX 65536

/* A value of the file and what it is called: "classes[1].weight". */
struct value {
	const yaml_node_t *node; /* NULL: it is not there */
	char where[WHERE_BYTES];
};

enum service_field { SERVICE_ADDRESS, SERVICE_FIELDS };
enum class_field { CLASS_NAME, CLASS_WEIGHT, CLASS_REQUEST, CLASS_OPS, CLASS_FIELDS };
enum phase_field {
	PHASE_NAME,
	PHASE_RATE,
	PHASE_PERIOD,
	PHASE_EVERY,
	PHASE_DURATION,
	PHASE_REQUESTS,
	PHASE_FIELDS
};
enum top_field {
	TOP_SERVICES,
	TOP_TO,
	TOP_THREADS,
	TOP_SESSIONS,
	TOP_SEED,
	TOP_TIMEOUT,
	TOP_REQUEST,
	TOP_CLASSES,
	TOP_PHASES,
	TOP_FIELDS
};

static const char *const class_fields[CLASS_FIELDS] = { "name", "weight", "request", "ops" };
static const char *const phase_fields[PHASE_FIELDS] = { "name",	 "rate",     "period",
							"every", "duration", "requests" };
static const char *const top_fields[TOP_FIELDS] = { "services", "to",	   "threads",
						    "sessions", "seed",	   "timeout",
						    "request",	"classes", "phases" };

struct service {
	const char *name;
	char address[ADDRESS_TEXT_SIZE];
};

struct part {
	char name[32];
	double weight;
	struct value value, ops;
	bool has_size;
	struct spec request_bytes;
	struct chain chain;
};

/* A rate that holds so long. */
struct step {
	double rate;
	uint64_t ns;
};

struct reading {
	const char *path;
	const struct spec_files *files;
	yaml_document_t document;
	struct value top[TOP_FIELDS];
	bool has_size; /* of requests whose class does not say */
	struct spec request_bytes;
	struct service services[SCENARIO_SERVICES_MAX];
	size_t services_count;
	struct part *parts;
	size_t parts_count;
	struct step *steps;
	size_t steps_count;
	struct scenario *to;
	struct err *err;
};

/* --- what is wrong, and where -------------------------------------------------------------- */

static int complain_at(struct reading *r, unsigned long line, const char *where, const char *why)
{
	return err_set(r->err, EINVAL, "%s:%lu: %s%s%s", r->path, line, where, *where ? ": " : "",
		       why);
}

static int complain(struct reading *r, const struct value *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int complain(struct reading *r, const struct value *v, const char *fmt, ...)
{
	char why[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return complain_at(r, v->node ? v->node->start_mark.line + 1 : 1, v->where, why);
}

/* What another parser says of a value. */
static int pass_on(struct reading *r, const struct value *v, int rc, const struct err *why)
{
	return rc ? complain(r, v, "%s", why->text) : 0;
}

static int no_memory(struct reading *r)
{
	return err_set(r->err, ENOMEM, "not enough memory");
}

/* --- values -------------------------------------------------------------------------------- */

static int text_of(struct reading *r, const struct value *v, const char **ret_text)
{
	const yaml_node_t *node = v->node;

	if (!node || node->type != YAML_SCALAR_NODE || !node->data.scalar.length)
		return complain(r, v, "a value is missing");
	*ret_text = (const char *)node->data.scalar.value;
	if (strlen(*ret_text) != node->data.scalar.length)
		return complain(r, v, "it is not text");
	return 0;
}

static int number_of(struct reading *r, const struct value *v, uint64_t min, uint64_t max,
		     uint64_t *ret_number)
{
	const char *text = NULL;
	struct err why;
	int rc = text_of(r, v, &text);

	if (rc)
		return rc;
	return pass_on(r, v, unit_parse_u64(text, min, max, ret_number, &why), &why);
}

static int duration_of(struct reading *r, const struct value *v, uint64_t *ret_ns)
{
	const char *text = NULL;
	struct err why;
	int rc = text_of(r, v, &text);

	if (rc)
		return rc;
	rc = pass_on(r, v, unit_parse_duration(text, ret_ns, &why), &why);
	return rc || *ret_ns ? rc : complain(r, v, "it must be above 0");
}

static int spec_of(struct reading *r, const struct value *v, enum spec_unit unit,
		   struct spec *ret_spec)
{
	const char *text = NULL;
	struct err why;
	int rc = text_of(r, v, &text);

	if (rc)
		return rc;
	return pass_on(r, v, spec_parse(ret_spec, text, unit, r->files, &why), &why);
}

/* The values of a mapping by the index of their names; those that lack have no node. */
static int fields_of(struct reading *r, const struct value *v, const char *const *names,
		     size_t count, struct value *ret_values)
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
static int each_item(struct reading *r, const struct value *list, size_t max,
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

/* --- words --------------------------------------------------------------------------------- */

static int add_word(struct reading *r, const char *word, size_t len)
{
	struct scenario *s = r->to;
	char **words;

	if (s->count == WORDS_MAX)
		return err_set(r->err, E2BIG, "%s: more than %d words", r->path, WORDS_MAX);
	if (!(s->count & (s->count + 1))) { /* full: 0, 1, 3, 7, ... and a NULL behind */
		words = reallocarray(s->words, 2 * s->count + 2, sizeof(*words));
		if (!words)
			return no_memory(r);
		s->words = words;
	}
	s->words[s->count] = strndup(word, len);
	if (!s->words[s->count])
		return no_memory(r);
	s->words[++s->count] = NULL;
	return 0;
}

static int add_option(struct reading *r, const char *name, const char *value)
{
	int rc = add_word(r, name, strlen(name));

	return rc ? rc : add_word(r, value, strlen(value));
}

/* --- services ------------------------------------------------------------------------------ */

static const struct service *find_service(const struct reading *r, const char *name, size_t len)
{
	for (size_t i = 0; i < r->services_count; i++)
		if (strlen(r->services[i].name) == len && !memcmp(r->services[i].name, name, len))
			return &r->services[i];
	return NULL;
}

static int read_address(struct reading *r, const struct value *v, const char *text,
			char address[ADDRESS_TEXT_SIZE])
{
	const struct address_defaults defaults = { "localhost", CHAIN_PORT };
	struct address parsed;
	struct err why;
	int rc = pass_on(r, v, address_parse(text, &defaults, &parsed, &why), &why);

	if (!rc)
		address_format(&parsed, address);
	return rc;
}

static int read_service(struct reading *r, const yaml_node_pair_t *pair)
{
	struct value key = { yaml_document_get_node(&r->document, pair->key), "services" };
	struct value value = { yaml_document_get_node(&r->document, pair->value), "" };
	struct service *service = &r->services[r->services_count];
	const char *address = NULL;
	int rc = text_of(r, &key, &service->name);

	if (rc)
		return rc;
	snprintf(value.where, WHERE_BYTES, "services.%.60s", service->name);
	if (strpbrk(service->name, ",=:/ "))
		return complain(r, &key, "'%s' is no name: it has one of , = : / or a blank",
				service->name);
	if (find_service(r, service->name, strlen(service->name)))
		return complain(r, &key, "'%s' comes twice", service->name);
	rc = text_of(r, &value, &address);
	if (!rc)
		rc = read_address(r, &value, address, service->address);
	r->services_count++;
	return rc;
}

static int read_services(struct reading *r)
{
	const struct value *v = &r->top[TOP_SERVICES];
	int rc = 0;

	if (!v->node)
		return 0;
	if (v->node->type != YAML_MAPPING_NODE)
		return complain(r, v, "it must have 'name: address' each");
	for (yaml_node_pair_t *pair = v->node->data.mapping.pairs.start;
	     pair < v->node->data.mapping.pairs.top && !rc; pair++) {
		if (r->services_count == SCENARIO_SERVICES_MAX)
			return complain(r, v, "more than %d services", SCENARIO_SERVICES_MAX);
		rc = read_service(r, pair);
	}
	return rc;
}

static int read_to(struct reading *r)
{
	const struct value *v = &r->top[TOP_TO];
	const struct service *service;
	char address[ADDRESS_TEXT_SIZE];
	const char *text = NULL;
	int rc;

	if (!v->node && !r->services_count)
		return 0;
	if (!v->node)
		return complain(r, &r->top[TOP_SERVICES], "'to' must say which one clients call");
	rc = text_of(r, v, &text);
	if (rc)
		return rc;
	service = find_service(r, text, strlen(text));
	if (service)
		return add_option(r, "--to", service->address);
	rc = read_address(r, v, text, address);
	return rc ? rc : add_option(r, "--to", address);
}

/* --- classes ------------------------------------------------------------------------------- */

/* The value of a -F, with addresses for names. */
static void put_forward(const struct reading *r, const char *word, struct buf *out)
{
	while (*word) {
		size_t len = strcspn(word, ",");
		const struct service *service = find_service(r, word, len);

		buf_printf(out, "%.*s", service ? (int)strlen(service->address) : (int)len,
			   service ? service->address : word);
		word += len;
		if (*word)
			buf_putc(out, *word++);
	}
}

struct words {
	char **items;
	size_t count;
};

static void words_release(struct words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->items[i]);
	free(w->items);
	*w = (struct words){ 0 };
}

static bool is_forward(const struct words *w)
{
	const char *last = w->count ? w->items[w->count - 1] : "";

	return !strcmp(last, "-F") || !strcmp(last, "--forward");
}

static int take_word(struct reading *r, struct words *w, const char *word, size_t len)
{
	struct buf out;
	char *copy = strndup(word, len);
	char **items = reallocarray(w->items, w->count + 1, sizeof(*items));

	if (items)
		w->items = items;
	buf_init(&out, SCENARIO_BYTES_MAX);
	if (copy && is_forward(w)) {
		put_forward(r, copy, &out);
		free(copy);
		copy = buf_failed(&out) ? NULL : strdup(buf_text(&out));
	}
	buf_release(&out);
	if (!copy || !items) {
		free(copy);
		return no_memory(r);
	}
	w->items[w->count++] = copy;
	return 0;
}

static int take_words(struct reading *r, struct words *w, const struct value *v)
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

/* A text, or a list of texts. */
static int take_ops(struct reading *r, struct words *w, const struct value *v)
{
	const yaml_node_t *node = v->node;
	int rc = 0;

	if (!node || node->type != YAML_SEQUENCE_NODE)
		return take_words(r, w, v);
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top && !rc; i++) {
		struct value item = *v;

		item.node = yaml_document_get_node(&r->document, *i);
		rc = take_words(r, w, &item);
	}
	return rc;
}

static int read_chain(struct reading *r, struct part *part)
{
	struct chain_defaults defaults = chain_defaults();
	struct words words = { 0 };
	struct err why;
	int rc = take_ops(r, &words, &part->ops);

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
	const char *name;
	int rc = fields_of(r, item, class_fields, CLASS_FIELDS, fields);

	if (rc)
		return rc;
	r->parts_count++;
	part->value = *item;
	part->ops = fields[CLASS_OPS];
	snprintf(part->name, sizeof(part->name), "class-%zu", r->parts_count);
	if (!part->ops.node)
		return complain(r, item, "it has no 'ops'");
	if (fields[CLASS_NAME].node) {
		rc = text_of(r, &fields[CLASS_NAME], &name);
		if (!rc && strlen(name) >= sizeof(part->name))
			rc = complain(r, &fields[CLASS_NAME], "it is longer than %zu bytes",
				      sizeof(part->name) - 1);
		if (!rc)
			snprintf(part->name, sizeof(part->name), "%.31s", name);
	}
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
	const char *const *words = (const char *const *)r->to->words + first;
	struct chain_defaults defaults = chain_defaults();
	struct chain all;
	struct err why;
	int rc = chain_parse(&all, words, r->to->count - first, &defaults, &why);

	if (!rc)
		chain_release(&all);
	return pass_on(r, v, rc, &why);
}

static int read_classes(struct reading *r)
{
	const struct value *v = &r->top[TOP_CLASSES];
	size_t first = r->to->count;
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

/* --- phases -------------------------------------------------------------------------------- */

static int add_step(struct reading *r, const struct value *v, double rate, uint64_t ns)
{
	if (r->steps_count == SCENARIO_STEPS_MAX)
		return complain(r, v, "more than %d steps", SCENARIO_STEPS_MAX);
	r->steps[r->steps_count++] = (struct step){ rate, ns };
	return 0;
}

/* How long it takes: what it says, or its requests at its rate. */
static int phase_ns(struct reading *r, const struct value *v, const struct value *fields,
		    const struct spec *rate, uint64_t *ret_ns)
{
	uint64_t requests;
	double ns;
	int rc;

	if (!fields[PHASE_DURATION].node == !fields[PHASE_REQUESTS].node)
		return complain(r, v, "either 'duration' or 'requests' must say how long it is");
	if (fields[PHASE_DURATION].node)
		return duration_of(r, &fields[PHASE_DURATION], ret_ns);
	rc = number_of(r, &fields[PHASE_REQUESTS], 1, 1ull << 40, &requests);
	if (rc)
		return rc;
	if (!spec_is_constant(rate))
		return complain(r, &fields[PHASE_REQUESTS],
				"of a rate that changes 'duration' says how long it is");
	ns = (double)requests / rate->param[0] * NS_PER_SEC + 0.5;
	if (ns >= INT64_MAX)
		return complain(r, &fields[PHASE_REQUESTS], "they take for ever");
	*ret_ns = (uint64_t)ns;
	return 0;
}

static int add_steps(struct reading *r, const struct value *fields, const struct spec *rate,
		     uint64_t ns)
{
	uint64_t every;
	int rc = duration_of(r, &fields[PHASE_EVERY], &every);

	if (rc)
		return rc;
	if (ns % every)
		return complain(r, &fields[PHASE_EVERY],
				"the phase does not last a whole number of these");
	for (uint64_t k = 0; k < ns / every && !rc; k++) {
		const struct spec_key key = { .request = k,
					      .op = WALK_OP_CLIENT,
					      .slot = WALK_SLOT_RATE };
		double value = spec_draw_real(rate, &key);

		rc = value > 0 ? add_step(r, &fields[PHASE_EVERY], value, every) :
				 complain(r, &fields[PHASE_RATE],
					  "its value %" PRIu64 " is not above 0", k + 1);
	}
	return rc;
}

static int read_rate(struct reading *r, const struct value *v, const struct value *fields)
{
	struct spec rate;
	uint64_t ns;
	int rc;

	if (!fields[PHASE_RATE].node)
		return complain(r, v, "it has no 'rate'");
	rc = spec_of(r, &fields[PHASE_RATE], SPEC_COUNT, &rate);
	if (rc)
		return rc;
	if (spec_is_constant(&rate) && !(rate.param[0] > 0))
		rc = complain(r, &fields[PHASE_RATE], "it must be above 0");
	if (!rc)
		rc = phase_ns(r, v, fields, &rate, &ns);
	if (!rc && spec_is_constant(&rate))
		rc = add_step(r, v, rate.param[0], ns);
	else if (!rc && !fields[PHASE_EVERY].node)
		rc = complain(r, v, "its rate changes: 'every' must say how long each value holds");
	else if (!rc)
		rc = add_steps(r, fields, &rate, ns);
	spec_release(&rate);
	return rc;
}

/* A period is drawn for each request, so when it would be over is not known before. */
static int read_period(struct reading *r, const struct value *v, const struct value *fields)
{
	struct spec period;
	uint64_t requests;
	const char *text = NULL;
	char number[32];
	int rc;

	if (fields[PHASE_RATE].node || fields[PHASE_EVERY].node || fields[PHASE_DURATION].node ||
	    !fields[PHASE_REQUESTS].node)
		return complain(r, v, "with a 'period' it has 'requests', and no rate or duration");
	if (r->top[TOP_PHASES].node->data.sequence.items.top -
		    r->top[TOP_PHASES].node->data.sequence.items.start !=
	    1)
		return complain(r, &fields[PHASE_PERIOD], "only a single phase may have it");
	rc = number_of(r, &fields[PHASE_REQUESTS], 1, 1ull << 40, &requests);
	if (!rc)
		rc = spec_of(r, &fields[PHASE_PERIOD], SPEC_NS, &period);
	if (rc)
		return rc;
	spec_release(&period);
	snprintf(number, sizeof(number), "%" PRIu64, requests);
	text_of(r, &fields[PHASE_PERIOD], &text);
	rc = add_option(r, "--period", text);
	return rc ? rc : add_option(r, "-n", number);
}

static int read_phase(struct reading *r, const struct value *item)
{
	struct value fields[PHASE_FIELDS];
	int rc = fields_of(r, item, phase_fields, PHASE_FIELDS, fields);

	if (rc)
		return rc;
	return fields[PHASE_PERIOD].node ? read_period(r, item, fields) :
					   read_rate(r, item, fields);
}

static uint64_t common_ns(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* One rate that changes, in steps that all phases are whole numbers of. */
static int add_rates(struct reading *r)
{
	uint64_t step_ns = 0, steps = 0;
	struct buf text;
	char number[32];
	int rc;

	for (size_t i = 0; i < r->steps_count; i++)
		step_ns = common_ns(step_ns, r->steps[i].ns);
	for (size_t i = 0; i < r->steps_count && steps <= SCENARIO_STEPS_MAX; i++)
		steps += r->steps[i].ns / step_ns;
	if (steps > SCENARIO_STEPS_MAX)
		return complain(
			r, &r->top[TOP_PHASES],
			"their lengths have no common measure that is long enough: make them "
			"multiples of one");
	buf_init(&text, SPEC_TEXT_MAX);
	buf_puts(&text, "values");
	for (size_t i = 0; i < r->steps_count; i++)
		for (uint64_t left = r->steps[i].ns / step_ns; left; left--)
			buf_printf(&text, ":%.6f", r->steps[i].rate);
	rc = buf_failed(&text) ? err_set(r->err, E2BIG, "%s: the phases are too many", r->path) :
				 add_option(r, "--rate", buf_text(&text));
	buf_release(&text);
	snprintf(number, sizeof(number), "%" PRIu64 "ns", step_ns);
	if (!rc)
		rc = add_option(r, "--rate-step-secs", number);
	return rc ? rc : add_option(r, "-n", "auto");
}

static int read_phases(struct reading *r)
{
	const struct value *v = &r->top[TOP_PHASES];
	int rc;

	if (!v->node)
		return 0;
	r->steps = calloc(SCENARIO_STEPS_MAX, sizeof(*r->steps));
	if (!r->steps)
		return no_memory(r);
	rc = each_item(r, v, SCENARIO_PHASES_MAX, read_phase);
	return rc || !r->steps_count ? rc : add_rates(r);
}

/* --- the file ------------------------------------------------------------------------------ */

static int read_numbers(struct reading *r)
{
	static const struct {
		enum top_field field;
		const char *option;
		uint64_t min, max;
	} numbers[] = {
		{ TOP_THREADS, "--num-threads", 1, WALK_THREADS_MAX },
		{ TOP_SESSIONS, "--num-sessions", 1, WALK_SESSIONS_MAX },
		{ TOP_SEED, "--seed", 0, UINT64_MAX },
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !rc; i++) {
		const struct value *v = &r->top[numbers[i].field];
		uint64_t number;
		char text[32];

		if (!v->node)
			continue;
		rc = number_of(r, v, numbers[i].min, numbers[i].max, &number);
		snprintf(text, sizeof(text), "%" PRIu64, number);
		if (!rc)
			rc = add_option(r, numbers[i].option, text);
	}
	return rc;
}

static int read_load(struct reading *r)
{
	const char *text = NULL;
	uint64_t ns;
	char number[32];
	int rc = read_numbers(r);

	if (!rc && r->top[TOP_TIMEOUT].node) {
		rc = duration_of(r, &r->top[TOP_TIMEOUT], &ns);
		snprintf(number, sizeof(number), "%" PRIu64 "ns", rc ? 0 : ns);
		if (!rc)
			rc = add_option(r, "--timeout", number);
	}
	if (rc || !r->top[TOP_REQUEST].node)
		return rc;
	rc = spec_of(r, &r->top[TOP_REQUEST], SPEC_BYTES, &r->request_bytes);
	if (rc)
		return rc;
	r->has_size = true;
	text_of(r, &r->top[TOP_REQUEST], &text);
	return add_option(r, "--ps", text);
}

static int read_document(struct reading *r)
{
	const struct value root = { yaml_document_get_root_node(&r->document), "" };
	int rc;

	if (!root.node)
		return complain_at(r, 1, "", "there is nothing in it");
	rc = fields_of(r, &root, top_fields, TOP_FIELDS, r->top);
	if (!rc)
		rc = read_services(r);
	if (!rc)
		rc = read_to(r);
	if (!rc)
		rc = read_load(r);
	if (!rc)
		rc = read_phases(r);
	return rc ? rc : read_classes(r);
}

static int parse(struct reading *r, const char *text, size_t bytes)
{
	yaml_parser_t parser;
	int rc = 0;

	if (!yaml_parser_initialize(&parser))
		return no_memory(r);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
	if (!yaml_parser_load(&parser, &r->document)) {
		rc = complain_at(r, parser.problem_mark.line + 1, "",
				 parser.problem ? parser.problem : "it is no YAML");
	} else {
		rc = read_document(r);
		yaml_document_delete(&r->document);
	}
	yaml_parser_delete(&parser);
	return rc;
}

static int read_file(const char *path, char **ret_text, size_t *ret_bytes, struct err *err)
{
	FILE *file = fopen(path, "r");
	char *text = malloc(SCENARIO_BYTES_MAX + 1);
	int rc = 0;

	if (!file || !text) {
		rc = err_errno(err, file ? ENOMEM : errno, "cannot open scenario '%s'", path);
	} else {
		*ret_bytes = fread(text, 1, SCENARIO_BYTES_MAX + 1, file);
		if (ferror(file))
			rc = err_errno(err, errno, "cannot read scenario '%s'", path);
		else if (*ret_bytes > SCENARIO_BYTES_MAX)
			rc = err_set(err, E2BIG, "scenario '%s' is longer than %u bytes", path,
				     SCENARIO_BYTES_MAX);
	}
	if (file)
		fclose(file);
	if (rc)
		free(text);
	else
		*ret_text = text;
	return rc;
}

static void reading_release(struct reading *r)
{
	for (size_t i = 0; i < r->parts_count; i++) {
		spec_release(&r->parts[i].request_bytes);
		chain_release(&r->parts[i].chain);
	}
	spec_release(&r->request_bytes);
	free(r->parts);
	free(r->steps);
}

int scenario_parse(const char *name, const char *text, size_t bytes, const struct spec_files *files,
		   struct scenario *ret_scenario, struct err *err)
{
	struct reading *r = calloc(1, sizeof(*r));
	struct scenario s = { 0 };
	int rc;

	if (!r)
		return err_set(err, ENOMEM, "not enough memory");
	r->path = name;
	r->files = files;
	r->to = &s;
	r->err = err;
	rc = parse(r, text, bytes);
	reading_release(r);
	free(r);
	if (rc)
		scenario_release(&s);
	else
		*ret_scenario = s;
	return rc;
}

int scenario_load(const char *path, struct scenario *ret_scenario, struct err *err)
{
	const struct spec_files files = { 0 };
	size_t bytes = 0;
	char *text = NULL;
	int rc = read_file(path, &text, &bytes, err);

	if (!rc)
		rc = scenario_parse(path, text, bytes, &files, ret_scenario, err);
	free(text);
	return rc;
}

void scenario_release(struct scenario *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		free(s->words[i]);
	free(s->words);
	for (size_t i = 0; i < s->classes_count; i++)
		spec_release(&s->classes[i].request_bytes);
	free(s->classes);
	*s = (struct scenario){ 0 };
}
