/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "base/units.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HELP_INDENT 26 /* where the help of an option begins */
#define HELP_WIDTH 80

const char *options_program(const struct options *options)
{
	return options->is_program ? "" : "gait ";
}

static bool takes_value(const struct option_spec *spec)
{
	return spec->type != OPTION_FLAG && spec->type != OPTION_COUNT;
}

/* "--output", or "-o" when it has no name. */
static const char *shown_name(const struct option_spec *spec, char text[64])
{
	if (spec->name)
		snprintf(text, 64, "--%s", spec->name);
	else
		snprintf(text, 64, "-%c", spec->letter);
	return text;
}

static void set_u64(void *to, uint64_t value)
{
	memcpy(to, &value, sizeof(value));
}

static void set_u32(void *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

static void set_text(void *to, const char *value)
{
	memcpy(to, &value, sizeof(value));
}

static void set_default(const struct option_spec *spec, void *to)
{
	switch (spec->type) {
	case OPTION_FLAG:
		*(bool *)to = spec->fallback;
		break;
	case OPTION_TEXT:
		set_text(to, NULL);
		break;
	case OPTION_LIST:
		memset(to, 0, sizeof(struct option_list));
		break;
	case OPTION_SERIES:
		((struct option_series *)to)->count = 0;
		break;
	case OPTION_CHOICE:
		set_u32(to, (uint32_t)spec->fallback);
		break;
	default:
		set_u64(to, spec->fallback);
	}
}

static int parse_number(const struct option_spec *spec, const char *text, uint64_t *ret_value,
			struct err *err)
{
	switch (spec->type) {
	case OPTION_DURATION:
		return unit_parse_duration(text, ret_value, err);
	case OPTION_BYTES:
		return unit_parse_bytes(text, ret_value, err);
	case OPTION_RATE:
		return unit_parse_rate(text, ret_value, err);
	default:
		return unit_parse_u64(text, 0, UINT64_MAX, ret_value, err);
	}
}

static char *format_number(const struct option_spec *spec, uint64_t value,
			   char text[UNIT_TEXT_SIZE])
{
	switch (spec->type) {
	case OPTION_DURATION:
		return unit_format_ns(text, UNIT_TEXT_SIZE, (int64_t)value);
	case OPTION_BYTES:
		return unit_format_bytes(text, UNIT_TEXT_SIZE, value);
	case OPTION_RATE:
		return unit_format_rate(text, UNIT_TEXT_SIZE, (double)value);
	default:
		snprintf(text, UNIT_TEXT_SIZE, "%llu", (unsigned long long)value);
		return text;
	}
}

static int set_number(const struct option_spec *spec, const char *text, void *to, struct err *err)
{
	char name[64], limit[UNIT_TEXT_SIZE];
	uint64_t value;
	struct err why;

	if (parse_number(spec, text, &value, &why))
		return err_set(err, EINVAL, "%s: %s", shown_name(spec, name), why.text);
	if (value < spec->min)
		return err_set(err, EINVAL, "%s: '%s' is less than %s", shown_name(spec, name),
			       text, format_number(spec, spec->min, limit));
	if (spec->max && value > spec->max)
		return err_set(err, EINVAL, "%s: '%s' is more than %s", shown_name(spec, name),
			       text, format_number(spec, spec->max, limit));
	set_u64(to, value);
	return 0;
}

/* "a, b or c" */
static void put_choices(const struct option_spec *spec, struct buf *out)
{
	for (size_t i = 0; spec->choices[i]; i++) {
		if (i)
			buf_puts(out, spec->choices[i + 1] ? ", " : " or ");
		buf_puts(out, spec->choices[i]);
	}
}

static int set_choice(const struct option_spec *spec, const char *text, void *to, struct err *err)
{
	struct buf list;
	char name[64];
	int rc;

	for (uint32_t i = 0; spec->choices[i]; i++) {
		if (!strcmp(spec->choices[i], text)) {
			set_u32(to, i);
			return 0;
		}
	}
	buf_init(&list, 4096);
	put_choices(spec, &list);
	rc = err_set(err, EINVAL, "%s: '%s' is not %s", shown_name(spec, name), text,
		     buf_text(&list));
	buf_release(&list);
	return rc;
}

static int add_to_list(const struct option_spec *spec, const char *text, struct option_list *list,
		       struct err *err)
{
	char name[64];
	uint64_t number;

	if (list->count == OPTION_LIST_MAX)
		return err_set(err, EINVAL, "%s can be given %d times at most",
			       shown_name(spec, name), OPTION_LIST_MAX);
	if (spec->max && set_number(spec, text, &number, err))
		return -EINVAL;
	list->items[list->count++] = text;
	return 0;
}

static int add_to_series(const struct option_spec *spec, const char *text,
			 struct option_series *series, struct err *err)
{
	char name[64];

	if (series->count == OPTION_SERIES_MAX)
		return err_set(err, EINVAL, "%s and its like can be given %d times at most",
			       shown_name(spec, name), OPTION_SERIES_MAX);
	series->items[series->count].spec = spec;
	series->items[series->count++].value = text;
	return 0;
}

static int set_value(const struct option_spec *spec, const char *text, void *opts, struct err *err)
{
	char *to = (char *)opts + spec->offset;

	switch (spec->type) {
	case OPTION_FLAG:
		*(bool *)to = true;
		return 0;
	case OPTION_COUNT:
		(*(uint64_t *)to)++;
		return 0;
	case OPTION_TEXT:
		set_text(to, text);
		return 0;
	case OPTION_LIST:
		return add_to_list(spec, text, (struct option_list *)to, err);
	case OPTION_SERIES:
		return add_to_series(spec, text, (struct option_series *)to, err);
	case OPTION_CHOICE:
		return set_choice(spec, text, to, err);
	default:
		return set_number(spec, text, to, err);
	}
}

/* argv on its way through. */
struct cursor {
	const struct options *options;
	int argc, at;
	char **argv;
	void *opts;
	struct err *err;
};

static int take_option(struct cursor *c, const struct option_spec *spec, const char *value)
{
	bool last = c->at + 1 == c->argc;
	char name[64];

	if (spec->may_lack && !value && (last || c->argv[c->at + 1][0] == '-'))
		return set_value(spec, NULL, c->opts, c->err);
	if (takes_value(spec) && !value) {
		if (last)
			return err_set(c->err, EINVAL, "%s needs a value (%s)",
				       shown_name(spec, name), spec->metavar);
		value = c->argv[++c->at];
	}
	return set_value(spec, value, c->opts, c->err);
}

static bool is_name(const char *candidate, const char *name, size_t len)
{
	return candidate && strlen(candidate) == len && !memcmp(candidate, name, len);
}

static const struct option_spec *find_name(const struct options *options, const char *name,
					   size_t len)
{
	for (size_t i = 0; i < options->specs_count; i++) {
		const struct option_spec *spec = &options->specs[i];

		if (is_name(spec->name, name, len) || is_name(spec->alias, name, len))
			return spec;
	}
	return NULL;
}

static const struct option_spec *find_letter(const struct options *options, char letter)
{
	for (size_t i = 0; i < options->specs_count; i++) {
		if (options->specs[i].letter == letter)
			return &options->specs[i];
	}
	return NULL;
}

/* --name, --name=value, --name value */
static int take_long(struct cursor *c)
{
	const char *name = c->argv[c->at] + 2;
	size_t len = strcspn(name, "=");
	const char *value = name[len] ? name + len + 1 : NULL;
	const struct option_spec *spec = find_name(c->options, name, len);

	if (!spec && !strcmp(name, "help"))
		return OPTIONS_HELP;
	if (!spec)
		return err_set(c->err, EINVAL, "there is no option '--%.*s'", (int)len, name);
	if (value && !takes_value(spec))
		return err_set(c->err, EINVAL, "--%s takes no value", spec->name);
	return take_option(c, spec, value);
}

/* -v, -vvj, -d60s, -d 60s */
static int take_letters(struct cursor *c)
{
	int rc = 0;

	for (const char *p = c->argv[c->at] + 1; *p && !rc; p++) {
		const struct option_spec *spec = find_letter(c->options, *p);

		if (!spec && *p == 'h')
			return OPTIONS_HELP;
		if (!spec)
			return err_set(c->err, EINVAL, "there is no option '-%c'", *p);
		if (takes_value(spec))
			return take_option(c, spec, p[1] ? p + 1 : NULL);
		rc = take_option(c, spec, NULL);
	}
	return rc;
}

static enum option_word word_of(const struct option_spec *spec, bool has_value)
{
	if (!spec)
		return OPTION_WORD_UNKNOWN;
	if (has_value || !takes_value(spec))
		return OPTION_WORD_WHOLE;
	return spec->may_lack ? OPTION_WORD_PERHAPS : OPTION_WORD_VALUE;
}

enum option_word options_word(const struct options *options, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct option_spec *spec = NULL;

	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return OPTION_WORD_WHOLE;
	if (len > 2 && word[0] == '-' && word[1] == '-')
		return word_of(find_name(options, word + 2, len - 2), word[len]);
	if (word[0] != '-' || !word[1])
		return OPTION_WORD_UNKNOWN;
	/* the first letter that takes a value ends the row */
	for (word++; *word; word++) {
		spec = find_letter(options, *word);
		if (!spec || takes_value(spec))
			break;
	}
	return word_of(spec, *word && word[1]);
}

static int check_args(const struct options *options, const struct option_args *args,
		      struct err *err)
{
	if (args->count < options->args_min)
		return err_set(err, EINVAL, "something is missing: %s%s %s",
			       options_program(options), options->command, options->synopsis);
	if (options->args_max >= 0 && args->count > options->args_max)
		return err_set(err, EINVAL, "'%s' is one argument too many",
			       args->values[options->args_max]);
	return 0;
}

static void keep_rest(struct cursor *c, struct option_args *args)
{
	args->dashes = args->count;
	while (++c->at < c->argc)
		args->values[args->count++] = c->argv[c->at];
}

/* A lone "-" is an argument: stdin or stdout. */
static int take_word(struct cursor *c, struct option_args *args)
{
	char *word = c->argv[c->at];

	if (!strncmp(word, "--", 2))
		return take_long(c);
	if (word[0] == '-' && word[1])
		return take_letters(c);
	args->values[args->count++] = word;
	return 0;
}

int options_parse(const struct options *options, int argc, char **argv, void *opts,
		  struct option_args *ret_args, struct err *err)
{
	struct cursor c = { options, argc, 1, argv, opts, err };
	struct option_args args = { .values = argv + (argc > 0), .dashes = -1 };
	int rc;

	for (size_t i = 0; i < options->specs_count; i++)
		set_default(&options->specs[i], (char *)opts + options->specs[i].offset);
	for (; c.at < argc; c.at++) {
		if (!strcmp(argv[c.at], "--")) {
			keep_rest(&c, &args);
			break;
		}
		rc = take_word(&c, &args);
		if (rc)
			return rc;
	}
	if (args.dashes < 0)
		args.dashes = args.count;
	args.values[args.count] = NULL;
	rc = check_args(options, &args, err);
	if (!rc)
		*ret_args = args;
	return rc;
}

/* Words, the first of them at column `indent`, broken at HELP_WIDTH; ends the line. */
static void put_wrapped(struct buf *out, const char *text, size_t indent)
{
	size_t column = indent;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column + 1 + len > HELP_WIDTH) {
			buf_printf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			buf_putc(out, ' ');
			column++;
		}
		buf_append(out, text, len);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	buf_putc(out, '\n');
}

static void put_default(const struct option_spec *spec, struct buf *out)
{
	char text[UNIT_TEXT_SIZE];

	if (spec->type == OPTION_CHOICE)
		buf_printf(out, " (default: %s)", spec->choices[spec->fallback]);
	else if (spec->type >= OPTION_U64 && spec->type < OPTION_CHOICE && spec->fallback)
		buf_printf(out, " (default: %s)", format_number(spec, spec->fallback, text));
}

/* What stands behind the name: help, choices, default. */
static void put_explanation(const struct option_spec *spec, struct buf *out)
{
	buf_puts(out, spec->help);
	if (spec->choices) {
		buf_puts(out, ": ");
		put_choices(spec, out);
	}
	put_default(spec, out);
	if (spec->type == OPTION_LIST)
		buf_puts(out, " (can be given again)");
}

/* "  -o, --output X.gait" */
static size_t put_names(const struct option_spec *spec, struct buf *out)
{
	size_t before = out->len;

	if (spec->letter)
		buf_printf(out, "  -%c", spec->letter);
	else
		buf_puts(out, "    ");
	if (spec->name)
		buf_printf(out, "%c --%s", spec->letter ? ',' : ' ', spec->name);
	if (spec->alias)
		buf_printf(out, ", --%s", spec->alias);
	if (takes_value(spec))
		buf_printf(out, " %s", spec->metavar);
	return out->len - before;
}

static void put_option(const struct option_spec *spec, struct buf *out)
{
	size_t width = put_names(spec, out);
	struct buf explanation;

	if (width + 2 > HELP_INDENT)
		buf_printf(out, "\n%*s", HELP_INDENT, "");
	else
		buf_printf(out, "%*s", (int)(HELP_INDENT - width), "");
	buf_init(&explanation, 4096);
	put_explanation(spec, &explanation);
	put_wrapped(out, buf_text(&explanation), HELP_INDENT);
	buf_release(&explanation);
}

static void put_examples(const char *lines, struct buf *out)
{
	buf_puts(out, "\nexamples:\n");
	while (*(lines += strspn(lines, " \n"))) {
		size_t len = strcspn(lines, "\n");

		buf_printf(out, "  %.*s\n", (int)len, lines);
		lines += len;
	}
}

void options_help(const struct options *options, struct buf *out)
{
	static const struct option_spec help = { "help", 'h', OPTION_FLAG, 0,
						 .help = "show this text" };

	buf_printf(out, "usage: %s%s [options]%s%s\n\n", options_program(options), options->command,
		   *options->synopsis ? " " : "", options->synopsis);
	put_wrapped(out, options->about, 0);
	buf_puts(out, "\noptions:\n");
	for (size_t i = 0; i < options->specs_count; i++)
		put_option(&options->specs[i], out);
	put_option(&help, out);
	if (options->examples)
		put_examples(options->examples, out);
}
