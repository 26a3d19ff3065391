/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every field can be read the plain way: take_field() finds where it ends and
 * unquotes it, set_value() understands it. quick_field() is a short cut for the
 * fields that make up nearly all of a trace - digits, names and short texts
 * without quotes, well before the end of the text - and hands everything else,
 * errors included, to the plain way. Both must agree; test_csv compares them.
 */
#include "trace/csv.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Bytes that the short cut may look at from a field's start. */
#define QUICK_REACH 24
/* Longest field that must be understood rather than skipped; texts beyond are cut. */
#define FIELD_MAX 512

enum slot_kind {
	SLOT_SKIP,
	SLOT_UNSIGNED, /* COLUMN_ID, COLUMN_U64 */
	SLOT_SIGNED,   /* COLUMN_I64, COLUMN_SUM */
	SLOT_NAME,
	SLOT_FLAGS,
	SLOT_BOOL,
	SLOT_TEXT,
};

static const uint8_t slot_kinds[] = {
	[COLUMN_ID] = SLOT_UNSIGNED, [COLUMN_U64] = SLOT_UNSIGNED, [COLUMN_I64] = SLOT_SIGNED,
	[COLUMN_SUM] = SLOT_SIGNED,  [COLUMN_ENUM] = SLOT_NAME,	   [COLUMN_FLAGS] = SLOT_FLAGS,
	[COLUMN_BOOL] = SLOT_BOOL,   [COLUMN_TEXT] = SLOT_TEXT,
};

enum take { TAKE_OK, TAKE_MORE, TAKE_BAD_QUOTE };

/* A field as take_field() found it. */
struct field {
	const char *text;
	size_t len;
	bool too_long;	       /* for FIELD_MAX: text is its beginning */
	const char *separator; /* , or \n or \r\n */
	int separator_len;
	uint64_t newlines; /* within quotes */
	char unquoted[FIELD_MAX];
};

void csv_parser_init(struct csv_parser *parser, const struct table *table, const char *file)
{
	assert(table->row_size <= sizeof(parser->empty_row));
	memset(parser, 0, sizeof(*parser));
	parser->table = table;
	parser->file = file;
	parser->line = 1;
	for (size_t i = 0; i < table->columns_count; i++) {
		const int64_t none = TRACE_NONE;

		if (table->columns[i].type == COLUMN_I64)
			memcpy(parser->empty_row + table->columns[i].offset, &none, sizeof(none));
	}
}

/* Length of the separator at p: 1 for , and \n, 2 for \r\n, 0 for none, -1: cannot tell yet. */
static int separator_len(const char *p, const char *end)
{
	if (p == end)
		return -1;
	if (*p == ',' || *p == '\n')
		return 1;
	if (*p != '\r')
		return 0;
	if (p + 1 == end)
		return -1;
	return p[1] == '\n' ? 2 : 0;
}

static void keep_unquoted(struct field *field, char c)
{
	if (field->len < sizeof(field->unquoted))
		field->unquoted[field->len++] = c;
	else
		field->too_long = true;
	field->newlines += c == '\n';
}

/* p is behind the opening quote. Returns behind the closing one, NULL when it is yet to come. */
static const char *take_quoted(const char *p, const char *end, struct field *field)
{
	field->text = field->unquoted;
	for (; p < end; p++) {
		if (*p != '"') {
			keep_unquoted(field, *p);
			continue;
		}
		if (p + 1 == end)
			return NULL; /* the closing one, or the first of two? */
		if (p[1] != '"')
			return p + 1;
		keep_unquoted(field, *p++);
	}
	return NULL;
}

static enum take take_field(const char *p, const char *end, struct field *field)
{
	const char *start = p;
	bool quoted = p < end && *p == '"';

	field->len = 0;
	field->too_long = false;
	field->newlines = 0;
	if (quoted)
		p = take_quoted(p + 1, end, field);
	if (!p)
		return TAKE_MORE;
	while ((field->separator_len = separator_len(p, end)) == 0 && !quoted)
		p++;
	if (field->separator_len < 0)
		return TAKE_MORE;
	if (field->separator_len == 0)
		return TAKE_BAD_QUOTE;
	field->separator = p;
	if (!quoted) {
		field->text = start;
		field->len = (size_t)(p - start);
	}
	return TAKE_OK;
}

/* The set_*() return NULL, or what is wrong with the text. */
static const char *set_unsigned(const char *text, size_t len, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return "is not a number";
	}
	for (size_t i = 0; i < len; i++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			return "does not fit 64 bits";
	}
	*ret_value = value;
	return NULL;
}

static const char *set_signed(const char *text, size_t len, int64_t *ret_value)
{
	bool negative = len && *text == '-';
	uint64_t magnitude;
	const char *problem;

	if (negative && len == 1)
		return "is not a number";
	problem = set_unsigned(text + negative, len - negative, &magnitude);
	if (problem)
		return problem;
	/* INT64_MIN is TRACE_NONE, which is written as an empty field */
	if (magnitude > INT64_MAX)
		return "does not fit 64 bits";
	*ret_value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return NULL;
}

static int find_name(const struct column *column, const char *text, size_t len)
{
	for (int i = 0; i < column->names_count; i++) {
		const char *name = column->names[i];
		size_t same = 0;

		/* the first letter decides mostly: strlen() and memcmp() would cost more */
		while (same < len && name[same] && name[same] == text[same])
			same++;
		if (same == len && !name[same])
			return i;
	}
	return -1;
}

static const char *set_name(const struct column *column, const char *text, size_t len,
			    uint32_t *ret_value)
{
	int found = find_name(column, text, len);

	if (found < 0)
		return "is no name this gait knows; a newer one may have written it";
	*ret_value = (uint32_t)found;
	return NULL;
}

/* "direct+dsync" */
static const char *set_flags(const struct column *column, const char *text, size_t len,
			     uint32_t *ret_value)
{
	const char *end = text + len;
	uint32_t flags = 0, bit;

	for (;;) {
		const char *plus = memchr(text, '+', (size_t)(end - text));
		const char *stop = plus ? plus : end;
		const char *problem = set_name(column, text, (size_t)(stop - text), &bit);

		if (problem)
			return problem;
		flags |= 1U << bit;
		if (!plus)
			break;
		text = plus + 1;
	}
	*ret_value = flags;
	return NULL;
}

static const char *set_bool(const char *text, size_t len, uint32_t *ret_value)
{
	if (len != 1 || (*text != '0' && *text != '1'))
		return "is neither 0 nor 1";
	*ret_value = *text == '1';
	return NULL;
}

/* Cut to the array, but not within a UTF-8 character; the row was zeroed before. */
static const char *set_text(const struct column *column, const char *text, size_t len, char *to)
{
	size_t max = column->size - 1U;

	if (len > max) {
		len = max;
		while (len && (text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(to, text, strnlen(text, len));
	return NULL;
}

static const char *set_value(const struct csv_slot *slot, const char *text, size_t len, char *to)
{
	if (!len)
		return NULL; /* empty is what the row holds already */
	switch ((enum slot_kind)slot->kind) {
	case SLOT_SKIP:
		return NULL;
	case SLOT_UNSIGNED:
		return set_unsigned(text, len, (uint64_t *)to);
	case SLOT_SIGNED:
		return set_signed(text, len, (int64_t *)to);
	case SLOT_NAME:
		return set_name(slot->column, text, len, (uint32_t *)to);
	case SLOT_FLAGS:
		return set_flags(slot->column, text, len, (uint32_t *)to);
	case SLOT_BOOL:
		return set_bool(text, len, (uint32_t *)to);
	case SLOT_TEXT:
		return set_text(slot->column, text, len, to);
	}
	assert(!"slot kind without a parser");
	return NULL;
}

static int fail_value(const struct csv_parser *parser, const struct csv_slot *slot,
		      const struct field *field, const char *problem, struct err *err)
{
	char shown[41];
	size_t len = field->len < sizeof(shown) - 1 ? field->len : sizeof(shown) - 1;

	for (size_t i = 0; i < len; i++)
		shown[i] = field->text[i] >= ' ' && field->text[i] < 127 ? field->text[i] : '?';
	shown[len] = '\0';
	return err_set(err, EINVAL, "%s line %" PRIu64 ", column %s: '%s' %s", parser->file,
		       parser->line, slot->column->name, shown, problem);
}

static int fail_quote(const struct csv_parser *parser, struct err *err)
{
	return err_set(err, EINVAL, "%s line %" PRIu64 ": text behind a closing quote",
		       parser->file, parser->line);
}

static int fail_count(const struct csv_parser *parser, const struct csv_slot *slot, struct err *err)
{
	uint32_t have = (uint32_t)(slot - parser->slots) + 1;

	if (have == parser->slots_count)
		return err_set(err, EINVAL,
			       "%s line %" PRIu64 ": more than the %" PRIu32
			       " fields of the header",
			       parser->file, parser->line, parser->slots_count);
	return err_set(err, EINVAL,
		       "%s line %" PRIu64 ": %" PRIu32 " fields, but the header has %" PRIu32,
		       parser->file, parser->line, have, parser->slots_count);
}

static uint64_t load_le64(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* Bytes in front of the first that is no digit, 0..8; `word` has '0' taken off each byte. */
static unsigned count_leading_digits(uint64_t word)
{
	/* a byte above 9 gets its top bit; carries only reach bytes behind it */
	uint64_t other = ((word + 0x7676767676767676) | word) & 0x8080808080808080;

	return other ? (unsigned)__builtin_ctzll(other) >> 3 : 8;
}

/* Eight digits, the first in the lowest byte. */
static uint64_t eight_digits(uint64_t word)
{
	word = word * 10 + (word >> 8);
	return ((word & 0x000000ff000000ff) * (100 + (1000000ULL << 32)) +
		((word >> 16) & 0x000000ff000000ff) * (1 + (10000ULL << 32))) >>
	       32;
}

/* Up to 16 digits; returns behind them. May look at 16 bytes. */
static inline const char *quick_digits(const char *p, uint64_t *ret_value)
{
	static const uint32_t powers[] = { 1,	   10,	    100,      1000,	10000,
					   100000, 1000000, 10000000, 100000000 };
	uint64_t word = load_le64(p) ^ 0x3030303030303030;
	unsigned digits = count_leading_digits(word);
	uint64_t value;

	if (digits < 8) {
		/* shifting in two steps keeps 64 - 8 * 0 defined */
		*ret_value = eight_digits(word << 8 * (7 - digits) << 8);
		return p + digits;
	}
	value = eight_digits(word);
	word = load_le64(p + 8) ^ 0x3030303030303030;
	digits = count_leading_digits(word);
	if (digits < 8)
		*ret_value = value * powers[digits] + eight_digits(word << 8 * (7 - digits) << 8);
	else
		*ret_value = value * powers[8] + eight_digits(word);
	return p + 8 + digits;
}

/* Length of the plain text at p that `stop` ends; -1 when it is long or not plain. */
static inline int quick_text_len(const char *p, char stop)
{
	for (int i = 0; i < QUICK_REACH; i++) {
		if (p[i] == stop)
			return i;
		if (p[i] == '"' || p[i] == ',' || p[i] == '\n' || p[i] == '\r')
			return -1;
	}
	return -1;
}

static inline const char *quick_word(const struct csv_slot *slot, const char *p, char *to)
{
	int len = quick_text_len(p, slot->end);

	if (len < 0 || set_value(slot, p, (size_t)len, to))
		return NULL;
	return p + len;
}

/*
 * Understands the field at p, of which QUICK_REACH bytes are there, and returns
 * its separator; NULL: take the plain way.
 */
static inline const char *quick_field(const struct csv_slot *slot, const char *p, char *to)
{
	uint64_t value;
	bool negative;

	if (*p == slot->end)
		return p;
	switch ((enum slot_kind)slot->kind) {
	case SLOT_UNSIGNED:
		p = quick_digits(p, &value);
		if (*p != slot->end)
			return NULL;
		memcpy(to, &value, sizeof(value));
		return p;
	case SLOT_SIGNED:
		negative = *p == '-';
		p = quick_digits(p + negative, &value);
		if (*p != slot->end || p[-1] == '-')
			return NULL;
		value = negative ? -value : value;
		memcpy(to, &value, sizeof(value));
		return p;
	default:
		return quick_word(slot, p, to);
	}
}

/* One line on its way into a row. */
struct reading {
	const struct csv_parser *parser;
	const char *end;
	uint64_t newlines; /* within quotes */
	struct err *err;
};

/* Moves *p behind the separator: 1; 0: give more; < 0: malformed. */
static int plain_field(struct reading *r, const struct csv_slot *slot, const char **p, char *to)
{
	struct field field;
	const char *problem;

	switch (take_field(*p, r->end, &field)) {
	case TAKE_MORE:
		return 0;
	case TAKE_BAD_QUOTE:
		return fail_quote(r->parser, r->err);
	case TAKE_OK:
		break;
	}
	if (field.too_long && slot->kind != SLOT_TEXT && slot->kind != SLOT_SKIP)
		problem = "is too long";
	else
		problem = set_value(slot, field.text, field.len, to);
	if (problem)
		return fail_value(r->parser, slot, &field, problem, r->err);
	if ((*field.separator == ',') != (slot->end == ','))
		return fail_count(r->parser, slot, r->err);
	r->newlines += field.newlines;
	*p = field.separator + field.separator_len;
	return 1;
}

ssize_t csv_parse_row(struct csv_parser *parser, const char *text, size_t len, void *row,
		      struct err *err)
{
	struct reading reading = { .parser = parser, .end = text + len, .err = err };
	const struct csv_slot *slot = parser->slots;
	const struct csv_slot *slots_end = slot + parser->slots_count;
	const char *p = text;

	memcpy(row, parser->empty_row, parser->table->row_size);
	for (; slot < slots_end; slot++) {
		char *to = (char *)row + slot->offset;
		const char *quick = NULL;
		int rc;

		if (reading.end - p >= QUICK_REACH)
			quick = quick_field(slot, p, to);
		if (quick) {
			p = quick + 1;
			continue;
		}
		rc = plain_field(&reading, slot, &p, to);
		if (rc <= 0)
			return rc;
	}
	parser->line += 1 + reading.newlines;
	return p - text;
}

static const struct column *find_column(const struct table *table, const struct field *field)
{
	for (size_t i = 0; i < table->columns_count; i++) {
		const struct column *column = &table->columns[i];

		if (strlen(column->name) == field->len &&
		    !memcmp(column->name, field->text, field->len))
			return column;
	}
	return NULL;
}

static const struct csv_slot *find_slot(const struct csv_parser *parser,
					const struct column *column)
{
	for (uint32_t i = 0; i < parser->slots_count; i++) {
		if (parser->slots[i].column == column)
			return &parser->slots[i];
	}
	return NULL;
}

static int add_slot(struct csv_parser *parser, const struct field *field, struct err *err)
{
	const struct column *column = find_column(parser->table, field);
	struct csv_slot *slot = &parser->slots[parser->slots_count];

	if (parser->slots_count == CSV_COLUMNS_MAX)
		return err_set(err, EINVAL, "%s has more than %d columns", parser->file,
			       CSV_COLUMNS_MAX);
	if (column && find_slot(parser, column))
		return err_set(err, EINVAL, "%s line 1: column %s is there twice", parser->file,
			       column->name);
	*slot = (struct csv_slot){ .column = column, .kind = SLOT_SKIP, .end = ',' };
	if (column) {
		slot->kind = slot_kinds[column->type];
		slot->offset = column->offset;
	}
	parser->slots_count++;
	return 0;
}

static int end_header(struct csv_parser *parser, struct err *err)
{
	const struct column *key = &parser->table->columns[0];

	if (!find_slot(parser, key))
		return err_set(err, EINVAL, "%s line 1: no column %s, so this is no %s table",
			       parser->file, key->name, parser->table->name);
	parser->slots[parser->slots_count - 1].end = '\n';
	parser->line = 2;
	return 0;
}

static size_t byte_order_mark_len(const char *text, size_t len)
{
	return len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

ssize_t csv_parse_header(struct csv_parser *parser, const char *text, size_t len, struct err *err)
{
	const char *p = text + byte_order_mark_len(text, len);
	struct field field;
	int rc;

	parser->slots_count = 0;
	do {
		switch (take_field(p, text + len, &field)) {
		case TAKE_MORE:
			return 0;
		case TAKE_BAD_QUOTE:
			return fail_quote(parser, err);
		case TAKE_OK:
			break;
		}
		rc = add_slot(parser, &field, err);
		if (rc)
			return rc;
		p = field.separator + field.separator_len;
	} while (*field.separator == ',');
	rc = end_header(parser, err);
	return rc ? rc : p - text;
}
