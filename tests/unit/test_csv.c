/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "trace/csv.h"

#include <errno.h>

#define PADDING 64

static const struct table *const ops = &tables[TABLE_OPS];
static const struct table *const targets = &tables[TABLE_TARGETS];

/* The text in a malloc of its own with nothing behind it, for ASan to watch; to free. */
static char *at_end_of_malloc(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	memcpy(copy, text, len);
	return copy;
}

static ssize_t parse_header(struct csv_parser *parser, const struct table *table, const char *text,
			    struct err *err)
{
	char *copy = at_end_of_malloc(text, strlen(text));
	ssize_t used;

	csv_parser_init(parser, table, "x.csv");
	used = csv_parse_header(parser, copy, strlen(text), err);
	free(copy);
	return used;
}

static const struct {
	const char *what, *text;
	int code; /* 0: all of it is used */
	const char *sentence;
} headers[] = {
	{ "key only", "target_id\n", 0, "" },
	{ "another order, unknown columns", "colour,kind,target_id,,x y\n", 0, "" },
	{ "spreadsheet", "\xef\xbb\xbf\"target_id\",\"kind\"\r\n", 0, "" },
	{ "no key", "kind,name\n", EINVAL,
	  "x.csv line 1: no column target_id, so this is no targets table" },
	{ "empty line", "\n", EINVAL,
	  "x.csv line 1: no column target_id, so this is no targets table" },
	{ "twice", "target_id,kind,kind\n", EINVAL, "x.csv line 1: column kind is there twice" },
	{ "key twice", "target_id,target_id\n", EINVAL,
	  "x.csv line 1: column target_id is there twice" },
	{ "odd quote", "\"target_id\"x,kind\n", EINVAL,
	  "x.csv line 1: text behind a closing quote" },
};

static void test_headers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		struct csv_parser parser;
		struct err err = { "" };
		ssize_t used = parse_header(&parser, targets, headers[i].text, &err);

		check_case("%s", headers[i].what);
		CHECK_EQ(used,
			 headers[i].code ? -headers[i].code : (ssize_t)strlen(headers[i].text));
		CHECK_STR(err.text, headers[i].sentence);
	}
}

static void test_too_many_columns(void)
{
	char text[CSV_COLUMNS_MAX * 2 + 20] = "target_id";
	struct csv_parser parser;
	struct err err = { "" };

	memset(text + 9, ',', CSV_COLUMNS_MAX - 1);
	strcpy(text + 9 + CSV_COLUMNS_MAX - 1, "\n");
	CHECK(parse_header(&parser, targets, text, &err) > 0);
	strcpy(text + 9 + CSV_COLUMNS_MAX - 1, ",\n");
	CHECK_EQ(parse_header(&parser, targets, text, &err), -EINVAL);
	CHECK_STR(err.text, "x.csv has more than 256 columns");
}

/* Parses one line after `header`; with padding the short cut is taken, without not. */
static ssize_t parse_line(const struct table *table, const char *header, const char *line,
			  size_t padding, void *row, struct err *err)
{
	struct csv_parser parser;
	size_t len = strlen(line);
	char *text = malloc(len + padding + 1);
	ssize_t used;

	memcpy(text, line, len);
	memset(text + len, 'x', padding);
	if (!CHECK(parse_header(&parser, table, header, err) > 0))
		printf("# %s\n", err->text);
	text = realloc(text, len + padding);
	used = csv_parse_row(&parser, text, len + padding, row, err);
	free(text);
	return used;
}

#define OPS_HEADER "op_id,kind,bytes,offset,flags,after_reply\n"

static const struct {
	const char *line;
	struct row_op want;
} good_rows[] = {
	{ "1,compute,2,3,,\n", { 1, .kind = OP_COMPUTE, .bytes = 2, .offset = 3 } },
	{ ",,,,,\n", { .offset = TRACE_NONE } },
	{ "7,reply,0,-1,direct+failed,1\n",
	  { 7, .kind = OP_REPLY, .offset = -1, .flags = OPF_DIRECT | OPF_FAILED,
	    .after_reply = 1 } },
	{ "18446744073709551615,handshake,12345678,9223372036854775807,sendfile,0\n",
	  { UINT64_MAX, .kind = OP_HANDSHAKE, .bytes = 12345678, .offset = INT64_MAX,
	    .flags = OPF_SENDFILE } },
	{ "1,load,1234567890123456,-9223372036854775807,cached+cached,0\n",
	  { 1, .kind = OP_LOAD, .bytes = 1234567890123456, .offset = -INT64_MAX,
	    .flags = OPF_CACHED } },
	{ "00000000000000000000000000000012,load,12345678901234567,0012,,0\n",
	  { 12, .kind = OP_LOAD, .bytes = 12345678901234567, .offset = 12 } },
	{ "\"5\",\"sync\",\"6\",\"-7\",\"sync+dsync\",\"1\"\r\n",
	  { 5, .kind = OP_SYNC, .bytes = 6, .offset = -7, .flags = OPF_SYNC | OPF_DSYNC,
	    .after_reply = 1 } },
};

static void check_good_row(size_t i, size_t padding)
{
	struct row_op row, want = good_rows[i].want;
	struct err err = { "" };
	ssize_t used = parse_line(ops, OPS_HEADER, good_rows[i].line, padding, &row, &err);

	want.start_ns = TRACE_NONE; /* no such column */
	check_case("padding %zu, %s", padding, good_rows[i].line);
	CHECK_EQ(used, strlen(good_rows[i].line));
	CHECK_STR(err.text, "");
	CHECK_MEM(&row, &want, sizeof(row));
}

static void test_rows(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(good_rows); i++) {
		check_good_row(i, 0);
		check_good_row(i, PADDING);
	}
}

static const struct {
	const char *line, *sentence;
} bad_rows[] = {
	{ "x1,load,,,,\n", "x.csv line 2, column op_id: 'x1' is not a number" },
	{ "1x,load,,,,\n", "x.csv line 2, column op_id: '1x' is not a number" },
	{ "-1,load,,,,\n", "x.csv line 2, column op_id: '-1' is not a number" },
	{ "+1,load,,,,\n", "x.csv line 2, column op_id: '+1' is not a number" },
	{ " 1,load,,,,\n", "x.csv line 2, column op_id: ' 1' is not a number" },
	{ "1.0,load,,,,\n", "x.csv line 2, column op_id: '1.0' is not a number" },
	{ "1,load,,-,,\n", "x.csv line 2, column offset: '-' is not a number" },
	{ "1,load,,--1,,\n", "x.csv line 2, column offset: '--1' is not a number" },
	{ "18446744073709551616,load,,,,\n",
	  "x.csv line 2, column op_id: '18446744073709551616' does not fit 64 bits" },
	{ "99999999999999999999999,load,,,,\n",
	  "x.csv line 2, column op_id: '99999999999999999999999' does not fit 64 bits" },
	{ "1,load,,9223372036854775808,,\n",
	  "x.csv line 2, column offset: '9223372036854775808' does not fit 64 bits" },
	{ "1,load,,-9223372036854775808,,\n",
	  "x.csv line 2, column offset: '-9223372036854775808' does not fit 64 bits" },
	{ "1,dance,,,,\n",
	  "x.csv line 2, column kind: 'dance' is no name this gait knows; a newer one may have "
	  "written it" },
	{ "1,loa,,,,\n",
	  "x.csv line 2, column kind: 'loa' is no name this gait knows; a newer one may have "
	  "written it" },
	{ "1,load,,,direct+,\n",
	  "x.csv line 2, column flags: 'direct+' is no name this gait knows; a newer one may have "
	  "written it" },
	{ "1,load,,,,2\n", "x.csv line 2, column after_reply: '2' is neither 0 nor 1" },
	{ "1,load,,,,01\n", "x.csv line 2, column after_reply: '01' is neither 0 nor 1" },
	{ "\n", "x.csv line 2: 1 fields, but the header has 6" },
	{ "1,load\n", "x.csv line 2: 2 fields, but the header has 6" },
	{ "1,load,,,\n", "x.csv line 2: 5 fields, but the header has 6" },
	{ "1,load,,,,,\n", "x.csv line 2: more than the 6 fields of the header" },
	{ "1,\"load\"x,,,,\n", "x.csv line 2: text behind a closing quote" },
	{ "1\xff\n,load,,,,\n", "x.csv line 2, column op_id: '1?' is not a number" },
};

static void check_bad_row(size_t i, size_t padding)
{
	struct row_op row;
	struct err err = { "" };
	ssize_t used = parse_line(ops, OPS_HEADER, bad_rows[i].line, padding, &row, &err);

	check_case("padding %zu, %s", padding, bad_rows[i].line);
	CHECK_EQ(used, -EINVAL);
	CHECK_STR(err.text, bad_rows[i].sentence);
}

static void test_malformed_rows(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
		check_bad_row(i, 0);
		check_bad_row(i, PADDING);
	}
}

static const struct {
	const char *line, *name;
} texts[] = {
	{ "1,plain\n", "plain" },
	{ "1,\n", "" },
	{ "1,\"\"\n", "" },
	{ "1,\"a,b\"\n", "a,b" },
	{ "1,\"say \"\"hi\"\"\"\n", "say \"hi\"" },
	{ "1,\"two\nlines\"\n", "two\nlines" },
	{ "1,\"\r\n\"\r\n", "\r\n" },
	{ "1,in\"side\n", "in\"side" },
	{ "1,carriage\rreturn\n", "carriage\rreturn" },
	{ "1,exactly-thirty-one-characters!!\n", "exactly-thirty-one-characters!!" },
	{ "1,one-more-than-thirty-one-chars!!\n", "one-more-than-thirty-one-chars!" },
	{ "1,\xc3\xa4\xc3\xb6\xc3\xbc 34567890123456789012345\xe2\x82\xac\n",
	  "\xc3\xa4\xc3\xb6\xc3\xbc 34567890123456789012345" }, /* no half a euro sign */
};

static void test_texts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (size_t padding = 0; padding <= PADDING; padding += PADDING) {
			struct row_target row;
			struct err err = { "" };

			check_case("padding %zu, %s", padding, texts[i].line);
			CHECK_EQ(parse_line(targets, "target_id,name\n", texts[i].line, padding,
					    &row, &err),
				 strlen(texts[i].line));
			CHECK_STR(row.name, texts[i].name);
		}
	}
}

static void test_very_long_fields(void)
{
	char line[5000] = "1,\"";
	struct row_target row;
	struct err err = { "" };

	memset(line + 3, 'n', 4000);
	strcpy(line + 4003, "\"\n");
	CHECK_EQ(parse_line(targets, "target_id,name\n", line, 0, &row, &err), 4005);
	CHECK_EQ(strlen(row.name), sizeof(row.name) - 1);
	CHECK_EQ(parse_line(targets, "target_id,unknown\n", line, 0, &row, &err), 4005);
	memset(line + 3, '0', 4000); /* a quoted number of which only the beginning is kept */
	CHECK_EQ(parse_line(targets, "target_id,file_bytes\n", line, 0, &row, &err), -EINVAL);
	CHECK_STR(err.text, "x.csv line 2, column file_bytes: "
			    "'0000000000000000000000000000000000000000' is too long");
}

static void test_absent_columns_have_defaults(void)
{
	struct row_request row;
	struct err err = { "" };

	memset(&row, 0x5a, sizeof(row));
	CHECK_EQ(parse_line(&tables[TABLE_REQUESTS], "request_id\n", "4\n", 0, &row, &err), 2);
	CHECK_EQ(row.request_id, 4);
	CHECK_EQ(row.parent_id, 0);
	CHECK_EQ(row.arrival_ns, TRACE_NONE);
	CHECK_EQ(row.outcome, OUTCOME_OK);
	CHECK_STR(row.label, "");
}

static void test_an_absent_subsystem_took_no_time(void)
{
	struct row_latency row;
	struct err err = { "" };

	CHECK_EQ(parse_line(&tables[TABLE_LATENCY], "request_id,total_ns\n", "4,\n", 0, &row, &err),
		 3);
	CHECK_EQ(row.total_ns, 0);
	CHECK_EQ(row.ns[SUB_CALL], 0);
}

/* Lines are counted as an editor does, also across a quoted newline. */
static void test_line_numbers(void)
{
	static const char text[] = "1,\"a\nb\"\n2,c\nx,d\n";
	struct csv_parser parser;
	struct row_target row;
	struct err err = { "" };
	const char *p = text;

	parse_header(&parser, targets, "target_id,name\n", &err);
	p += csv_parse_row(&parser, p, strlen(p), &row, &err);
	p += csv_parse_row(&parser, p, strlen(p), &row, &err);
	CHECK_EQ(csv_parse_row(&parser, p, strlen(p), &row, &err), -EINVAL);
	CHECK_STR(err.text, "x.csv line 5, column target_id: 'x' is not a number");
}

/* Bytes of whole lines in a text whose quotes hold no newline. */
static size_t whole_lines(const char *text, size_t len)
{
	while (len && text[len - 1] != '\n')
		len--;
	return len;
}

/* Reads what it can; returns the bytes used, or an error. */
static ssize_t parse_all(const char *text, size_t len)
{
	struct csv_parser parser;
	struct row_op row;
	struct err err = { "" };
	ssize_t used, sum = 0;

	csv_parser_init(&parser, ops, "x.csv");
	used = csv_parse_header(&parser, text, len, &err);
	while (used > 0) {
		sum += used;
		used = csv_parse_row(&parser, text + sum, len - (size_t)sum, &row, &err);
	}
	return used < 0 ? used : sum;
}

/* Cut anywhere, a table reads as its whole lines and a wish for more: never an error. */
static void test_every_prefix(void)
{
	static const char text[] = "\xef\xbb\xbf" OPS_HEADER "1,compute,2,3,,\n"
				   "\"2\",\"re\"\"ply\",1,1,direct,0\r\n"
				   "18446744073709551615,handshake,12345678,-77,sendfile,0\n"
				   "3,load,,,cached,1\n";
	static const char name[] = "re\"\"ply";
	char fixed[sizeof(text)];
	char *at;

	strcpy(fixed, text);
	at = strstr(fixed, name); /* quoted quotes may not be a name: make one */
	memmove(at + 2, at + 4, strlen(at + 4) + 1);
	for (size_t len = 0; len <= strlen(fixed); len++) {
		char *copy = at_end_of_malloc(fixed, len);

		check_case("prefix of %zu bytes", len);
		CHECK_EQ(parse_all(copy, len), whole_lines(fixed, len));
		free(copy);
	}
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*state >> 33);
}

/* Six fields of up to 22 letters that matter to the parser. */
static void random_line(uint64_t *state, char *line)
{
	static const char letters[] = "0123456789012345678901234567890123456789-+x \"\r\xff";

	for (int field = 0; field < 6; field++) {
		uint32_t len = next_random(state) % 3 ? next_random(state) % 22 : 0;

		while (len--)
			*line++ = letters[next_random(state) % (sizeof(letters) - 1)];
		*line++ = field < 5 ? ',' : '\n';
	}
	*line = '\0';
}

/* The short cut and the plain way say the same of anything. */
static void test_short_cut_agrees(void)
{
	uint64_t state = 23;
	char line[200];
	int good = 0;

	for (int i = 0; i < 100000; i++) {
		static const char header[] = "op_id,offset,bytes,work,start_ns,odd\n";
		struct err plain_err = { "" }, quick_err = { "" };
		struct row_op plain, quick;
		ssize_t plain_used, quick_used;

		random_line(&state, line);
		plain_used = parse_line(ops, header, line, 0, &plain, &plain_err);
		quick_used = parse_line(ops, header, line, PADDING, &quick, &quick_err);
		/* a quote that never closes wants more, until padding closes it or spoils it */
		if (!plain_used)
			continue;
		check_case("%s", line);
		CHECK_EQ(plain_used, quick_used);
		CHECK_STR(plain_err.text, quick_err.text);
		if (plain_used > 0)
			CHECK_MEM(&plain, &quick, sizeof(plain));
		good += plain_used > 0;
	}
	CHECK(good > 1000);
}

static void test_format_extremes(void)
{
	static const struct row_op row = {
		.op_id = UINT64_MAX,
		.kind = OP_HANDSHAKE,
		.start_ns = INT64_MAX,
		.offset = -INT64_MAX,
		.flags = (1 << OPF_COUNT) - 1,
		.after_reply = 1,
	};
	static const char want[] =
		"18446744073709551615,,,1,handshake,,,9223372036854775807,0,0,0,0,0,"
		"-9223372036854775807,,,"
		"direct+sync+dsync+append+cached+shared+sendfile+open+stat+failed+close\n";
	char *text = malloc(csv_format_max(ops));
	size_t len = csv_format_row(ops, false, &row, text);

	CHECK_EQ(len, strlen(want));
	CHECK_MEM(text, want, len);
	free(text);
}

static void test_format_all_widths(void)
{
	struct row_op_request row = { 0 };
	char text[100], want[100];
	uint64_t value = 1;

	for (int digits = 1; digits <= 20; digits++, value *= 10) {
		for (int delta = -1; delta <= 1; delta++) {
			row.op_id = value + (uint64_t)delta;
			row.request_id = 1;
			if (!row.op_id)
				continue; /* an empty id */
			text[csv_format_row(&tables[TABLE_OP_REQUESTS], false, &row, text)] = '\0';
			sprintf(want, "%llu,1\n", (unsigned long long)row.op_id);
			CHECK_STR(text, want);
		}
	}
}

/* The widest row of each table stays within csv_format_max(): all ones, all quotes. */
static void test_format_max(void)
{
	for (int t = 0; t < TABLE_COUNT; t++) {
		const struct table *table = &tables[t];
		char *row = malloc(table->row_size), *out = malloc(csv_format_max(table));

		memset(row, 0xff, table->row_size);
		for (size_t i = 0; i < table->columns_count; i++) {
			const struct column *column = &table->columns[i];
			uint32_t value = column->type == COLUMN_FLAGS ?
						 (1U << column->names_count) - 1 :
						 column->names_count - 1U;

			if (column->type == COLUMN_TEXT)
				memset(row + column->offset, '"', column->size);
			else if (column->names)
				memcpy(row + column->offset, &value, sizeof(value));
		}
		check_case("%s", table->name);
		CHECK(csv_format_row(table, true, row, out) <= csv_format_max(table));
		CHECK(csv_format_header(table, true, out) <= csv_format_max(table));
		CHECK(csv_format_max(table) <= CSV_ROW_MAX);
		free(row);
		free(out);
	}
}

/* The description matches the structs: members in order, inside the row, not overlapping. */
static void test_schema(void)
{
	for (int t = 0; t < TABLE_COUNT; t++) {
		const struct table *table = &tables[t];
		size_t end = 0;

		CHECK(table->row_size <= CSV_ROW_SIZE_MAX);
		for (size_t i = 0; i < table->columns_count; i++) {
			const struct column *column = &table->columns[i];
			bool wide = column->type == COLUMN_ID || column->type == COLUMN_U64 ||
				    column->type == COLUMN_I64 || column->type == COLUMN_SUM;

			check_case("%s.%s", table->name, column->name);
			CHECK(column->offset >= end);
			end = column->offset + column->size;
			CHECK(end <= table->row_size);
			if (column->type != COLUMN_TEXT)
				CHECK_EQ(column->size, wide ? 8 : 4);
			CHECK_EQ(!column->names,
				 column->type != COLUMN_ENUM && column->type != COLUMN_FLAGS);
		}
	}
}

int main(void)
{
	RUN(test_schema);
	RUN(test_headers);
	RUN(test_too_many_columns);
	RUN(test_rows);
	RUN(test_malformed_rows);
	RUN(test_texts);
	RUN(test_very_long_fields);
	RUN(test_absent_columns_have_defaults);
	RUN(test_an_absent_subsystem_took_no_time);
	RUN(test_line_numbers);
	RUN(test_every_prefix);
	RUN(test_short_cut_agrees);
	RUN(test_format_extremes);
	RUN(test_format_all_widths);
	RUN(test_format_max);
	return check_done();
}
