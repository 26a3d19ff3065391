/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spec_form.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	const struct spec_column *column;
	uint64_t line;	/* from 1 */
	uint64_t index; /* of the column */
	char text[SPEC_LINE_MAX + 2];
	double *values;
	uint64_t count, capacity;
	struct err *err;
};

/* One cell: up to the separator, or what stands between quotes. */
struct cell {
	const char *text;
	size_t len;
	const char *next; /* NULL: it is the line's last */
};

static struct cell cell_at(const char *text, char sep)
{
	const char *end = text, *close;
	struct cell cell;

	if (*text == '"') {
		close = strchr(text + 1, '"');
		end = close ? close : text;
	}
	end = strchr(end, sep);
	cell = (struct cell){ text, end ? (size_t)(end - text) : strlen(text),
			      end ? end + 1 : NULL };
	while (cell.len && strchr(" \t\"", *cell.text))
		cell.text++, cell.len--;
	while (cell.len && strchr(" \t\"", cell.text[cell.len - 1]))
		cell.len--;
	return cell;
}

/* False: the line has no such cell. */
static bool find_cell(const char *line, char sep, uint64_t index, struct cell *ret_cell)
{
	struct cell cell = cell_at(line, sep);

	for (; index; index--) {
		if (!cell.next)
			return false;
		cell = cell_at(cell.next, sep);
	}
	*ret_cell = cell;
	return true;
}

static bool is_number(const char *text, uint64_t *ret_number)
{
	size_t len = strspn(text, "0123456789");

	if (!len || len > 9 || text[len])
		return false;
	*ret_number = strtoull(text, NULL, 10);
	return true;
}

static int find_title(struct reader *r)
{
	const struct spec_column *column = r->column;
	struct cell cell = { .next = r->text };

	for (r->index = 0; cell.next; r->index++) {
		cell = cell_at(cell.next, column->sep);
		if (strlen(column->column) == cell.len &&
		    !memcmp(column->column, cell.text, cell.len))
			return 0;
	}
	return err_set(r->err, EINVAL, "%s: the first line has no column '%s'", column->path,
		       column->column);
}

static int add_value(struct reader *r, double value)
{
	uint64_t capacity = r->capacity ? 2 * r->capacity : 1024;
	double *grown;

	if (r->count == SPEC_VALUES_MAX)
		return err_set(r->err, ERANGE, "%s has more than %u values", r->column->path,
			       SPEC_VALUES_MAX);
	if (r->count == r->capacity) {
		grown = reallocarray(r->values, capacity, sizeof(*grown));
		if (!grown)
			return err_set(r->err, ENOMEM, "%s: not enough memory", r->column->path);
		r->values = grown;
		r->capacity = capacity;
	}
	r->values[r->count++] = value;
	return 0;
}

/* The first line may hold titles. */
static int take_line(struct reader *r)
{
	const struct spec_column *column = r->column;
	struct cell cell = { "", 0, NULL };
	double value;

	if (!find_cell(r->text, column->sep, r->index, &cell))
		return err_set(r->err, EINVAL, "%s: line %llu has no column %llu", column->path,
			       (unsigned long long)r->line, (unsigned long long)r->index);
	if (!spec_number(cell.text, cell.len, column->unit, column->bare_factor, &value) &&
	    value >= 0)
		return value < column->min || value > column->max ? 0 : add_value(r, value);
	if (r->line == 1 && cell.len && !strchr("-.0123456789", *cell.text))
		return 0;
	return err_set(r->err, EINVAL, "%s: line %llu: '%.*s' is not a value", column->path,
		       (unsigned long long)r->line, cell.len < 80 ? (int)cell.len : 80, cell.text);
}

/* 1: a line; 0: the end. */
static int next_line(struct reader *r, FILE *file)
{
	size_t len;

	errno = 0;
	if (!fgets(r->text, sizeof(r->text), file))
		return ferror(file) ? err_errno(r->err, errno ? errno : EIO, "cannot read '%s'",
						r->column->path) :
				      0;
	r->line++;
	len = strlen(r->text);
	if (len && r->text[len - 1] == '\n')
		r->text[--len] = '\0';
	else if (!feof(file))
		return err_set(r->err, EINVAL, "%s: line %llu is longer than %d bytes, or not text",
			       r->column->path, (unsigned long long)r->line, SPEC_LINE_MAX);
	if (len && r->text[len - 1] == '\r')
		r->text[--len] = '\0';
	return 1;
}

static int read_lines(struct reader *r, FILE *file)
{
	bool titled = !is_number(r->column->column, &r->index);
	int rc;

	while ((rc = next_line(r, file)) > 0) {
		if (!r->text[strspn(r->text, " \t")])
			continue;
		if (titled && r->line == 1)
			rc = find_title(r);
		else
			rc = take_line(r);
		if (rc)
			return rc;
	}
	if (!rc && !r->count)
		rc = err_set(r->err, EINVAL, "%s has no value in column %s", r->column->path,
			     r->column->column);
	return rc;
}

int spec_read_column(const struct spec_column *column, double **ret_values, uint64_t *ret_count,
		     struct err *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	FILE *file = NULL;
	int rc;

	if (!r)
		return err_set(err, ENOMEM, "%s: not enough memory", column->path);
	r->column = column;
	r->err = err;
	file = fopen(column->path, "re");
	rc = file ? read_lines(r, file) : err_errno(err, errno, "cannot open '%s'", column->path);
	if (file)
		fclose(file);
	if (rc) {
		free(r->values);
	} else {
		*ret_values = r->values;
		*ret_count = r->count;
	}
	free(r);
	return rc;
}
