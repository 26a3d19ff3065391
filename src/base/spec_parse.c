/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spec_form.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 8
#define QUOTED_MAX 80 /* characters of somebody's text in a sentence */
#define TRIALS 1024   /* of a distribution that is cut off */
#define TRIALS_MIN 10 /* that must fall between its limits */

struct slice {
	const char *text;
	size_t len;
};

/* min=3 */
struct field {
	struct slice name; /* empty: a bare value */
	struct slice value;
	bool used;
};

struct parse {
	struct slice all;
	struct spec *spec;
	const struct spec_files *files;
	struct field fields[FIELDS_MAX];
	size_t fields_count;
	struct err *err;
};

static bool slice_is(struct slice s, const char *text)
{
	return strlen(text) == s.len && !memcmp(s.text, text, s.len);
}

static int quoted(struct slice s)
{
	return s.len < QUOTED_MAX ? (int)s.len : QUOTED_MAX;
}

/* What is in front of `stop`, which *rest then begins behind (empty: there is none). */
static struct slice take_until(struct slice *rest, char stop)
{
	const char *at = rest->len ? memchr(rest->text, stop, rest->len) : NULL;
	struct slice taken = { rest->text, at ? (size_t)(at - rest->text) : rest->len };
	size_t skip = taken.len + (at != NULL);

	*rest = (struct slice){ rest->text + skip, rest->len - skip };
	return taken;
}

static const char *const unit_words[] = {
	[SPEC_NS] = "a time; write for example 10us, 1.5ms, exp:10us",
	[SPEC_BYTES] = "a size; write for example 512, 4k, unif:min=1k:max=4k",
	[SPEC_COUNT] = "a number; write for example 100, 1.5k, exp:100",
};

static int not_a_value(struct parse *p, struct slice s)
{
	return err_set(p->err, EINVAL, "'%.*s' is not %s", quoted(s), s.text,
		       unit_words[p->spec->unit]);
}

static int take_number(struct parse *p, struct slice s, enum spec_param_type type, double *ret)
{
	bool plain = type == SPEC_PARAM_NUMBER;
	enum spec_unit unit = plain ? SPEC_COUNT : p->spec->unit;
	int rc = spec_number(s.text, s.len, unit, spec_default_factor(unit), ret);

	if (rc == -ERANGE)
		return err_set(p->err, ERANGE, "'%.*s' is too large", quoted(s), s.text);
	if (rc || (type == SPEC_PARAM_VALUE && *ret < 0))
		return plain ? err_set(p->err, EINVAL, "'%.*s' is not a number", quoted(s),
				       s.text) :
			       not_a_value(p, s);
	return 0;
}

static int split_fields(struct parse *p, struct slice rest)
{
	while (rest.len) {
		struct slice field = take_until(&rest, ':'), name = field, value = field;

		if (p->fields_count == FIELDS_MAX)
			return err_set(p->err, EINVAL, "'%.*s' has too many fields", quoted(p->all),
				       p->all.text);
		name = take_until(&value, '=');
		if (name.len == field.len)
			name = (struct slice){ "", 0 }, value = field;
		p->fields[p->fields_count++] = (struct field){ name, value, false };
	}
	return 0;
}

static struct field *find_field(struct parse *p, const char *name)
{
	for (size_t i = 0; i < p->fields_count; i++) {
		if (slice_is(p->fields[i].name, name))
			return &p->fields[i];
	}
	return NULL;
}

/* The field that is used up by this, if there is one. */
static struct field *use_field(struct parse *p, const char *name)
{
	struct field *field = find_field(p, name);

	if (field)
		field->used = true;
	return field;
}

static int all_used(struct parse *p)
{
	for (size_t i = 0; i < p->fields_count; i++) {
		const struct field *f = &p->fields[i];

		if (!f->used)
			return err_set(p->err, EINVAL, "'%.*s': '%.*s%s%.*s' has no place in it",
				       quoted(p->all), p->all.text, quoted(f->name), f->name.text,
				       f->name.len ? "=" : "", quoted(f->value), f->value.text);
	}
	return 0;
}

static bool has_params(struct parse *p, const struct spec_form *form)
{
	for (size_t i = 0; i < 2 && form->params[i].name; i++) {
		if (!form->params[i].optional && !find_field(p, form->params[i].name))
			return false;
	}
	return true;
}

/* Of the forms of that name, the one whose parameters are there; else the first. */
static enum spec_kind find_form(struct parse *p, struct slice name)
{
	enum spec_kind first = SPEC_NONE;

	for (enum spec_kind kind = 0; kind < SPEC_KIND_COUNT; kind++) {
		const struct spec_form *form = &spec_forms[kind];

		if (!form->name || !slice_is(name, form->name))
			continue;
		if (has_params(p, form))
			return kind;
		if (!first)
			first = kind;
	}
	return first;
}

static int lacks(struct parse *p, const struct spec_form *form, const char *name)
{
	return err_set(p->err, EINVAL, "'%.*s' lacks %s: write %s", quoted(p->all), p->all.text,
		       name, form->example);
}

static int take_param(struct parse *p, const struct spec_form *form, size_t index)
{
	const struct spec_param *param = &form->params[index];
	struct field *field = use_field(p, param->name);
	double *to = &p->spec->param[index];

	if (!field && !param->optional)
		return lacks(p, form, param->name);
	if (field)
		return take_number(p, field->value, param->type, to);
	*to = param->fallback;
	if (param->type != SPEC_PARAM_NUMBER)
		*to *= spec_default_factor(p->spec->unit);
	return 0;
}

static int take_limit(struct parse *p, const struct spec_form *form, const char *name, double *to)
{
	struct field *field = use_field(p, name);

	if (field)
		return take_number(p, field->value, SPEC_PARAM_VALUE, to);
	return form->limits == SPEC_LIMITS_REQUIRED ? lacks(p, form, name) : 0;
}

/* Else each draw would be a search. */
static int check_odds(struct parse *p)
{
	const struct spec *s = p->spec;
	int within = 0;

	if (!spec_forms[s->kind].sample)
		return 0;
	for (uint64_t i = 0; i < TRIALS; i++) {
		struct spec_key key = { .seed = TRIALS, .request = i };
		struct spec_stream stream;
		double value;

		spec_stream_init(&stream, &key);
		value = spec_forms[s->kind].sample(s, &stream);
		within += value >= s->min && value <= s->max;
	}
	if (within >= TRIALS_MIN)
		return 0;
	return err_set(p->err, ERANGE, "'%.*s': less than one value in a hundred is within limits",
		       quoted(p->all), p->all.text);
}

static int take_form(struct parse *p, enum spec_kind kind)
{
	const struct spec_form *form = &spec_forms[kind];
	struct spec *s = p->spec;
	int rc = 0;

	s->kind = kind;
	for (size_t i = 0; i < 2 && form->params[i].name && !rc; i++)
		rc = take_param(p, form, i);
	if (!rc)
		rc = take_limit(p, form, "min", &s->min);
	if (!rc)
		rc = take_limit(p, form, "max", &s->max);
	if (!rc)
		rc = all_used(p);
	if (!rc && s->min > s->max)
		rc = err_set(p->err, EINVAL, "'%.*s': min is above max", quoted(p->all),
			     p->all.text);
	if (!rc && form->derive)
		rc = form->derive(s, p->err);
	return rc ? rc : check_odds(p);
}

static int parse_form(struct parse *p, struct slice name, struct slice rest)
{
	int rc = split_fields(p, rest);
	enum spec_kind kind;

	if (rc)
		return rc;
	/* a bare value right behind the name stands for what the first form of that name says */
	kind = find_form(p, name);
	if (kind && p->fields_count && !p->fields[0].name.len && spec_forms[kind].positional) {
		const char *positional = spec_forms[kind].positional;

		p->fields[0].name = (struct slice){ positional, strlen(positional) };
		kind = find_form(p, name);
	}
	if (!kind)
		return not_a_value(p, p->all);
	return take_form(p, kind);
}

/* values:[unit=U:]V:V:V */
static int parse_values(struct parse *p, struct slice rest)
{
	struct slice field = rest, value = take_until(&field, ':'), name = take_until(&value, '=');
	double factor = spec_default_factor(p->spec->unit);
	struct spec *s = p->spec;

	if (slice_is(name, "unit")) {
		factor = spec_unit_factor(s->unit, value.text, value.len);
		rest = field;
	}
	if (!factor || !rest.len)
		return err_set(p->err, EINVAL, "'%.*s' has no values: write values:1:2:3",
			       quoted(p->all), p->all.text);
	s->kind = SPEC_VALUES;
	s->values = calloc(rest.len / 2 + 1, sizeof(*s->values));
	if (!s->values)
		return err_set(p->err, ENOMEM, "not enough memory for a list of values");
	while (rest.len) {
		double *to = &s->values[s->count++];

		value = take_until(&rest, ':');
		if (spec_number(value.text, value.len, s->unit, factor, to) || *to < 0)
			return not_a_value(p, value);
	}
	return 0;
}

static bool is_file_field(struct slice rest)
{
	static const char *const names[] = { "sep=", "col=", "unit=", "min=", "max=" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		if (rest.len >= len && !memcmp(rest.text, names[i], len))
			return true;
	}
	return false;
}

/* A path may hold colons: it goes up to what can only be a field of ours. */
static struct slice take_path(struct slice *rest)
{
	struct slice path = { rest->text, 0 };

	while (rest->len) {
		path.len += take_until(rest, ':').len;
		if (!rest->len || is_file_field(*rest))
			break;
		path.len++;
	}
	return path;
}

static int take_sep(struct parse *p, char *sep)
{
	struct field *field = use_field(p, "sep");
	struct slice value = field ? field->value : (struct slice){ ",", 1 };

	if (slice_is(value, "tab") || slice_is(value, "\\t"))
		value = (struct slice){ "\t", 1 };
	if (value.len != 1 || (*value.text >= '0' && *value.text <= '9') || *value.text == '"')
		return err_set(p->err, EINVAL,
			       "'%.*s': sep must be one character that no number has, or 'tab'",
			       quoted(p->all), p->all.text);
	*sep = *value.text;
	return 0;
}

static int take_unit(struct parse *p, double *ret_factor)
{
	struct field *field = use_field(p, "unit");

	if (!field)
		return 0;
	*ret_factor = spec_unit_factor(p->spec->unit, field->value.text, field->value.len);
	if (*ret_factor)
		return 0;
	return err_set(p->err, EINVAL, "'%.*s': '%.*s' is not a unit of %s", quoted(p->all),
		       p->all.text, quoted(field->value), field->value.text,
		       unit_words[p->spec->unit]);
}

static int read_column(struct parse *p, struct slice path, struct slice column, char sep,
		       double factor)
{
	struct spec_column from = { .sep = sep,
				    .bare_factor = factor,
				    .unit = p->spec->unit,
				    .min = p->spec->min,
				    .max = p->spec->max };
	char *path_text = strndup(path.text, path.len);
	char *column_text = strndup(column.text, column.len);
	int rc;

	from.path = path_text;
	from.column = column_text;
	p->spec->kind = SPEC_VALUES;
	if (path_text && column_text)
		rc = spec_read_column(&from, &p->spec->values, &p->spec->count, p->err);
	else
		rc = err_set(p->err, ENOMEM, "not enough memory for a file's name");
	free(path_text);
	free(column_text);
	p->spec->min = 0;
	p->spec->max = SPEC_VALUE_MAX;
	return rc;
}

static int no_files(struct parse *p)
{
	return err_set(p->err, EACCES, "'%.*s': no file can be named here", quoted(p->all),
		       p->all.text);
}

static int parse_file(struct parse *p, struct slice rest)
{
	static const struct spec_form form = { .limits = SPEC_LIMITS_OPTIONAL };
	struct slice path = take_path(&rest), column = { "0", 1 };
	double factor = spec_default_factor(p->spec->unit);
	struct field *field;
	char sep = ',';
	int rc;

	if (!p->files)
		return no_files(p);
	rc = split_fields(p, rest);
	if (!rc)
		rc = take_sep(p, &sep);
	if (!rc)
		rc = take_unit(p, &factor);
	if (!rc)
		rc = take_limit(p, &form, "min", &p->spec->min);
	if (!rc)
		rc = take_limit(p, &form, "max", &p->spec->max);
	field = use_field(p, "col");
	if (field)
		column = field->value;
	if (!rc)
		rc = all_used(p);
	return rc ? rc : read_column(p, path, column, sep, factor);
}

/* row:COL[:unit=U]; lines are never left out, or the columns would no longer belong together */
static int parse_row(struct parse *p, struct slice rest)
{
	struct slice column = take_until(&rest, ':'), path;
	double factor = spec_default_factor(p->spec->unit);
	int rc;

	if (!p->files)
		return no_files(p);
	if (!p->files->rows)
		return err_set(p->err, EINVAL, "'%.*s' needs the file of --rows", quoted(p->all),
			       p->all.text);
	rc = split_fields(p, rest);
	if (!rc)
		rc = take_unit(p, &factor);
	if (!rc)
		rc = all_used(p);
	path = (struct slice){ p->files->rows, strlen(p->files->rows) };
	return rc ? rc :
		    read_column(p, path, column, p->files->rows_sep ? p->files->rows_sep : ',',
				factor);
}

static int parse_none(struct parse *p, struct slice rest)
{
	if (rest.len)
		return not_a_value(p, p->all);
	p->spec->kind = SPEC_NONE;
	return 0;
}

static int parse_constant(struct parse *p)
{
	p->spec->kind = SPEC_CONST;
	return take_number(p, p->all, SPEC_PARAM_VALUE, &p->spec->param[0]);
}

static const struct {
	const char *name;
	int (*parse)(struct parse *p, struct slice rest);
} special[] = {
	{ "none", parse_none },
	{ "values", parse_values },
	{ "file", parse_file },
	{ "row", parse_row },
};

static int parse_any(struct parse *p)
{
	struct slice rest = p->all, name = take_until(&rest, ':');

	if (!name.len || p->all.text[p->all.len - 1] == ':')
		return not_a_value(p, p->all);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		if (slice_is(name, special[i].name))
			return special[i].parse(p, rest);
	}
	return strchr("-.0123456789", *name.text) ? parse_constant(p) : parse_form(p, name, rest);
}

int spec_parse(struct spec *ret_spec, const char *text, enum spec_unit unit,
	       const struct spec_files *files, struct err *err)
{
	struct spec spec = { .unit = unit, .max = SPEC_VALUE_MAX };
	struct parse p = {
		.all = { text, strlen(text) }, .spec = &spec, .files = files, .err = err
	};
	int rc = parse_any(&p);

	if (rc)
		spec_release(&spec);
	else
		*ret_spec = spec;
	return rc;
}
