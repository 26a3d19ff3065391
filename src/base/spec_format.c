/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spec_form.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_ENOUGH 17 /* for any double to be read back as it was */

static void put_number(struct buf *out, double value)
{
	char text[40];

	for (int digits = 15; digits <= DIGITS_ENOUGH; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_puts(out, text);
}

static void put_value(const struct spec *s, struct buf *out, double value)
{
	put_number(out, value);
	buf_puts(out, spec_base_suffix(s->unit));
}

static void put_limit(const struct spec *s, struct buf *out, const char *name, double value,
		      double fallback)
{
	if (spec_forms[s->kind].limits != SPEC_LIMITS_REQUIRED && value == fallback)
		return;
	buf_printf(out, ":%s=", name);
	put_value(s, out, value);
}

static void put_form(const struct spec *s, struct buf *out)
{
	const struct spec_form *form = &spec_forms[s->kind];

	buf_puts(out, form->name);
	for (size_t i = 0; i < 2 && form->params[i].name; i++) {
		buf_printf(out, ":%s=", form->params[i].name);
		if (form->params[i].type == SPEC_PARAM_NUMBER)
			put_number(out, s->param[i]);
		else
			put_value(s, out, s->param[i]);
	}
	put_limit(s, out, "min", s->min, 0);
	put_limit(s, out, "max", s->max, SPEC_VALUE_MAX);
}

static void put_values(const struct spec *s, struct buf *out)
{
	buf_puts(out, "values");
	if (s->unit == SPEC_NS)
		buf_puts(out, ":unit=ns");
	for (uint64_t i = 0; i < s->count && !buf_failed(out); i++) {
		buf_putc(out, ':');
		put_number(out, s->values[i]);
	}
}

int spec_format(const struct spec *s, struct buf *out, struct err *err)
{
	struct buf text;
	int rc;

	buf_init(&text, SPEC_TEXT_MAX);
	if (s->kind == SPEC_NONE)
		buf_puts(&text, "none");
	else if (s->kind == SPEC_CONST)
		put_value(s, &text, s->param[0]);
	else if (s->kind == SPEC_VALUES)
		put_values(s, &text);
	else
		put_form(s, &text);
	rc = buf_failed(&text);
	if (rc == -ENOBUFS)
		rc = err_set(err, E2BIG,
			     "%llu values are too long as text: at most %u bytes go to a node",
			     (unsigned long long)s->count, SPEC_TEXT_MAX);
	else if (rc)
		err_set(err, ENOMEM, "not enough memory for the text of a value");
	else
		rc = buf_append(out, text.data, text.len);
	buf_release(&text);
	return rc == -ENOBUFS ? err_set(err, E2BIG, "the text is too long") : rc;
}
