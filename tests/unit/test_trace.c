/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	test_trace			the tests
 *	test_trace --write-golden DIR	writes the golden trace, once for each version of the format
 */
#include "golden.h"

#include "base/digest.h"
#include "trace/csv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[200]; /* a directory of our own */

/* "SCRATCH/name", one text a name for the whole run. */
static const char *in_scratch(const char *name)
{
	static char paths[64][320];
	static size_t count;
	char path[320];

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(paths[i], path))
			return paths[i];
	}
	if (count == ARRAY_SIZE(paths))
		abort();
	return strcpy(paths[count++], path);
}

static char *read_file(const char *dir, const char *name, size_t *ret_len)
{
	char path[600], *text = malloc(1 << 20);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "r");
	*ret_len = file ? fread(text, 1, 1 << 20, file) : 0;
	if (file)
		fclose(file);
	return text;
}

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	CHECK(file && fwrite(text, 1, len, file) == len);
	if (file)
		fclose(file);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void check_same_file(const char *a, const char *b, const char *name)
{
	size_t a_len, b_len;
	char *a_text = read_file(a, name, &a_len), *b_text = read_file(b, name, &b_len);

	check_case("%s", name);
	if (CHECK_EQ(a_len, b_len))
		CHECK_MEM(a_text, b_text, a_len);
	free(a_text);
	free(b_text);
}

static void check_same_tables(const char *a, const char *b)
{
	char name[64];

	for (int t = 0; t < TABLE_COUNT; t++) {
		if (tables[t].optional) /* there are no rows of it */
			continue;
		snprintf(name, sizeof(name), "%s.csv", tables[t].name);
		check_same_file(a, b, name);
	}
}

static struct trace *open_trace(const char *path, unsigned flags)
{
	struct trace *t = NULL;
	struct err err = { "" };

	if (!CHECK_EQ(trace_open(path, flags, &t, &err), 0))
		printf("# %s\n", err.text);
	return t;
}

/* Old versions are read for ever: what the golden file says is what was written then. */
static void test_golden_reads(void)
{
	struct trace *t = open_trace(GOLDEN_PATH, TRACE_OPEN_VERIFY);
	struct row_request *requests = NULL;
	struct err err = { "" };
	size_t count = 0;

	if (!t)
		return;
	CHECK(!trace_is_partial(t));
	CHECK_EQ(trace_edited_tables(t), 0);
	CHECK_EQ(trace_manifest(t)->tables[TABLE_REQUESTS].rows, GOLDEN_REQUESTS);
	CHECK_EQ(trace_read_all(t, TABLE_REQUESTS, (void **)&requests, &count, &err), 0);
	CHECK_EQ(count, GOLDEN_REQUESTS);
	for (size_t i = 0; i < count; i++) {
		struct row_request want = golden_request(i);

		check_case("request %zu", i);
		CHECK_MEM(&requests[i], &want, sizeof(want));
	}
	free(requests);
	trace_free(t);
}

/*
 * While 1.0 is the newest version. The manifest is left out: new entries of the ledger and other
 * members may come at any time.
 */
static void test_golden_is_what_we_write(void)
{
	const char *path = in_scratch("golden.gait");

	golden_write(path);
	check_same_tables(path, GOLDEN_PATH);
}

static void copy_table(struct trace *from, struct trace_writer *to, enum trace_table table)
{
	_Alignas(8) char row[CSV_ROW_SIZE_MAX];
	struct trace_reader *r;
	struct err err = { "" };
	int rc;

	if (!CHECK_EQ(trace_reader_new(from, table, &r, &err), 0))
		return;
	while ((rc = trace_reader_next(r, row, &err)) > 0)
		CHECK_EQ(trace_write(to, table, row, &err), 0);
	CHECK_EQ(rc, 0);
	CHECK_EQ(trace_reader_rows_cut(r), 0);
	trace_reader_free(r);
}

/* write -> read -> write is byte-equal */
static void test_round_trip(void)
{
	const char *first = in_scratch("first.gait"), *second = in_scratch("second.gait");
	struct trace_writer *w;
	struct manifest m;
	struct err err;
	struct trace *t;

	golden_write(first);
	t = open_trace(first, TRACE_OPEN_VERIFY);
	if (!t || !CHECK_EQ(trace_writer_new(second, 0, &w, &err), 0))
		return;
	for (int table = 0; table < TABLE_COUNT; table++)
		copy_table(t, w, table);
	m = *trace_manifest(t);
	CHECK_EQ(trace_writer_finish(w, &m, &err), 0);
	trace_writer_free(w);
	trace_free(t);
	check_same_tables(first, second);
	check_same_file(first, second, "manifest.json");
}

/* Only a run has the columns of the client. */
static void test_run_columns(void)
{
	const char *path = in_scratch("run.gait");
	struct row_request row = golden_request(0), *rows = NULL;
	struct trace_writer *w;
	struct manifest m;
	struct err err = { "" };
	struct trace *t;
	size_t count, len;
	char *text;

	row.intended_ns = 5;
	row.sent_ns = 6;
	row.received_ns = 700;
	row.outcome = OUTCOME_TIMEOUT;
	CHECK_EQ(trace_writer_new(path, TRACE_WRITER_RUN, &w, &err), 0);
	CHECK_EQ(trace_write(w, TABLE_REQUESTS, &row, &err), 0);
	manifest_init(&m);
	CHECK_EQ(trace_writer_finish(w, &m, &err), 0);
	trace_writer_free(w);
	text = read_file(path, "requests.csv", &len);
	CHECK(strstr(text, ",status,intended_ns,sent_ns,received_ns,outcome\n") != NULL);
	CHECK(strstr(text, ",200,5,6,700,timeout\n") != NULL);
	free(text);
	t = open_trace(path, 0);
	CHECK_EQ(trace_read_all(t, TABLE_REQUESTS, (void **)&rows, &count, &err), 0);
	if (CHECK_EQ(count, 1))
		CHECK_MEM(rows, &row, sizeof(row));
	free(rows);
	trace_free(t);
}

/* What the manifest says of a table is true: rows and digest of the file's bytes. */
static void test_manifest_describes_tables(void)
{
	const char *path = in_scratch("described.gait");
	struct digest *digest = digest_new();
	char *text, hex[DIGEST_HEX_SIZE];
	struct trace *t;
	size_t len;

	golden_write(path);
	text = read_file(path, "ops.csv", &len);
	digest_update(digest, text, len / 3); /* in pieces: the same */
	digest_update(digest, text + len / 3, len - len / 3);
	CHECK_EQ(digest_hex(digest, hex), 0);
	t = open_trace(path, 0);
	CHECK_STR(trace_manifest(t)->tables[TABLE_OPS].sha256, hex);
	CHECK_EQ(trace_manifest(t)->tables[TABLE_OPS].rows, 55);
	trace_free(t);
	digest_free(digest);
	free(text);
}

static void test_edited_table(void)
{
	const char *path = in_scratch("edited.gait");
	char *text;
	struct trace *t;
	size_t len;

	golden_write(path);
	text = read_file(path, "requests.csv", &len);
	text[len - 2]++; /* the last status: 201 */
	write_file(in_scratch("edited.gait/requests.csv"), text, len);
	free(text);
	t = open_trace(path, TRACE_OPEN_VERIFY);
	CHECK_EQ(trace_edited_tables(t), 1 << TABLE_REQUESTS);
	CHECK_EQ(trace_manifest(t)->ledger.count[LG_TABLE_EDITED], 1);
	trace_free(t);
	t = open_trace(path, 0); /* not asked, not looked */
	CHECK_EQ(trace_edited_tables(t), 0);
	trace_free(t);
	unlink(in_scratch("edited.gait/ops.csv"));
	t = open_trace(path, TRACE_OPEN_VERIFY); /* missing is edited too */
	CHECK_EQ(trace_edited_tables(t), 1 << TABLE_REQUESTS | 1 << TABLE_OPS);
	trace_free(t);
}

/* Reads requests; returns how many, and the cut rows. An error is -errno and its sentence. */
static int count_requests(const char *path, uint64_t *ret_cut, struct err *err)
{
	struct row_request row;
	struct trace_reader *r;
	struct trace *t;
	int rc, count = 0;

	err->text[0] = '\0';
	rc = trace_open(path, 0, &t, err);
	if (rc)
		return rc;
	rc = trace_reader_new(t, TABLE_REQUESTS, &r, err);
	if (!rc) {
		while ((rc = trace_reader_next(r, &row, err)) > 0)
			count++;
		*ret_cut = trace_reader_rows_cut(r);
		trace_reader_free(r);
	}
	trace_free(t);
	return rc ? rc : count;
}

static void test_killed_writer(void)
{
	const char *path = in_scratch("killed.gait");
	struct trace_writer *w;
	struct err err;
	struct trace *t;
	uint64_t cut = 0;

	CHECK_EQ(trace_writer_new(path, 0, &w, &err), 0);
	CHECK_EQ(count_requests(path, &cut, &err), 0); /* headers are there from the start */
	golden_put_all(w);
	CHECK_EQ(trace_writer_flush(w, &err), 0);
	CHECK_EQ(count_requests(path, &cut, &err), GOLDEN_REQUESTS);
	trace_writer_free(w);
	t = open_trace(path, 0);
	CHECK(trace_is_partial(t));
	CHECK_STR(trace_path(t), path);
	trace_free(t);
	CHECK_EQ(count_requests(path, &cut, &err), GOLDEN_REQUESTS);
	CHECK_EQ(cut, 0);
	CHECK(!exists(in_scratch("killed.gait/manifest.json")));
}

/* Cut at any byte, a partial table reads as its whole rows. */
static void test_truncated_partial_table(void)
{
	const char *path = in_scratch("truncated.gait");
	size_t len, header_len, whole = 0;
	char *text;

	golden_write(path);
	text = read_file(path, "requests.csv", &len);
	header_len = (size_t)(strchr(text, '\n') - text) + 1;
	unlink(in_scratch("truncated.gait/manifest.json"));
	unlink(in_scratch("truncated.gait/requests.csv"));
	for (size_t at = 0; at <= len; at++) {
		uint64_t cut = 0;
		struct err err;

		check_case("%zu bytes", at);
		whole += at > header_len && text[at - 1] == '\n';
		write_file(in_scratch("truncated.gait/requests.csv.partial"), text, at);
		if (!CHECK_EQ(count_requests(path, &cut, &err), whole))
			printf("# %s\n", err.text);
		if (at >= header_len)
			CHECK_EQ(cut, text[at - 1] != '\n');
	}
	free(text);
}

static const struct {
	const char *text; /* of requests.csv in a whole trace */
	int count;
	const char *sentence; /* behind the trace's name */
} whole_tables[] = {
	{ "request_id\n", 0, "" },
	{ "request_id\n1\n2", 2, "" }, /* an editor that leaves no newline */
	{ "request_id,label\n1,\"a\n", -EINVAL,
	  ": requests.csv line 2: a quoted text does not end" },
	{ "", -EINVAL, ": requests.csv has no header row" },
	{ "request_id", 0, "" },
	{ "request_id\n1\nx1\n", -EINVAL,
	  ": requests.csv line 3, column request_id: 'x1' is not a number" },
};

static void test_whole_tables(void)
{
	const char *path = in_scratch("whole.gait");

	golden_write(path);
	for (size_t i = 0; i < ARRAY_SIZE(whole_tables); i++) {
		const char *sentence;
		uint64_t cut = 0;
		struct err err;

		check_case("%s", whole_tables[i].text);
		write_file(in_scratch("whole.gait/requests.csv"), whole_tables[i].text,
			   strlen(whole_tables[i].text));
		CHECK_EQ(count_requests(path, &cut, &err), whole_tables[i].count);
		sentence = strstr(err.text, ": ");
		CHECK_STR(sentence ? sentence : "", whole_tables[i].sentence);
	}
}

/* A table of one row of `len` bytes, newline included, and one more. */
static void write_long_row(const char *path, size_t len)
{
	FILE *file = fopen(path, "w");

	fputs("request_id,unknown\n1,", file);
	for (size_t i = 0; i < len - 3; i++)
		fputc('u', file);
	fputs("\n2,\n", file);
	fclose(file);
}

static const struct {
	size_t len;
	bool fits;
} row_lengths[] = {
	{ CSV_ROW_MAX - 1, true },
	{ CSV_ROW_MAX, true },
	{ CSV_ROW_MAX + 1, false },
	{ 10 * CSV_ROW_MAX, false }, /* more than the reader holds at once */
};

static void test_row_length_limit(void)
{
	const char *path = in_scratch("long.gait");

	golden_write(path);
	for (size_t i = 0; i < ARRAY_SIZE(row_lengths); i++) {
		uint64_t cut = 0;
		struct err err;

		check_case("%zu bytes", row_lengths[i].len);
		write_long_row(in_scratch("long.gait/requests.csv"), row_lengths[i].len);
		CHECK_EQ(count_requests(path, &cut, &err), row_lengths[i].fits ? 2 : -EINVAL);
		CHECK_EQ(row_lengths[i].fits,
			 !strstr(err.text, "requests.csv line 2 is longer than 65536 bytes"));
	}
}

static void test_many_blocks(void)
{
	const char *path = in_scratch("blocks.gait");
	struct trace_writer *w;
	struct manifest m;
	struct err err;
	uint64_t cut = 0;

	CHECK_EQ(trace_writer_new(path, 0, &w, &err), 0);
	for (uint64_t i = 0; i < 20000; i++) {
		struct row_request row = golden_request(i % 22);

		row.request_id = i + 1;
		trace_write(w, TABLE_REQUESTS, &row, &err);
	}
	manifest_init(&m);
	CHECK_EQ(trace_writer_finish(w, &m, &err), 0);
	CHECK_EQ(m.tables[TABLE_REQUESTS].rows, 20000);
	CHECK(trace_writer_bytes(w) > 1000000);
	trace_writer_free(w);
	CHECK_EQ(count_requests(path, &cut, &err), 20000);
}

static void test_opening_what_is_no_trace(void)
{
	struct trace *t;
	struct err err;

	CHECK_EQ(trace_open(in_scratch("nowhere.gait"), 0, &t, &err), -ENOENT);
	CHECK(strstr(err.text, "nowhere.gait': No such file or directory") != NULL);
	mkdir(in_scratch("empty"), 0700);
	CHECK_EQ(trace_open(in_scratch("empty"), 0, &t, &err), -ENOENT);
	CHECK(strstr(err.text, "is no trace: it has neither a manifest nor tables") != NULL);
	write_file(in_scratch("file"), "x", 1);
	CHECK_EQ(trace_open(in_scratch("file"), 0, &t, &err), -ENOTDIR);
	CHECK(strstr(err.text, "is no directory, as every trace is") != NULL);
}

static void test_broken_manifest(void)
{
	struct trace *t;
	struct err err;

	golden_write(in_scratch("broken.gait"));
	write_file(in_scratch("broken.gait/manifest.json"), "{", 1);
	CHECK_EQ(trace_open(in_scratch("broken.gait"), 0, &t, &err), -EINVAL);
	CHECK(strstr(err.text, "broken.gait': the manifest is not JSON: line 1") != NULL);
}

static void test_table_that_is_no_file(void)
{
	uint64_t cut;
	struct err err;

	golden_write(in_scratch("odd.gait"));
	unlink(in_scratch("odd.gait/requests.csv"));
	mkfifo(in_scratch("odd.gait/requests.csv"), 0600); /* must not hang */
	CHECK_EQ(count_requests(in_scratch("odd.gait"), &cut, &err), -EINVAL);
	CHECK(strstr(err.text, "requests.csv' is not a regular file") != NULL);
}

static void test_missing_table_is_empty(void)
{
	uint64_t cut = 0;
	struct err err;

	golden_write(in_scratch("without.gait"));
	unlink(in_scratch("without.gait/requests.csv"));
	CHECK_EQ(count_requests(in_scratch("without.gait"), &cut, &err), 0);
}

static int try_new(const char *path, unsigned flags, struct err *err)
{
	struct trace_writer *w;
	int rc = trace_writer_new(path, flags, &w, err);

	if (!rc)
		trace_writer_free(w);
	return rc;
}

static void test_existing_trace_is_kept(void)
{
	const char *path = in_scratch("kept.gait");
	struct err err;

	golden_write(path);
	CHECK_EQ(try_new(path, 0, &err), -EEXIST);
	CHECK(strstr(err.text, "holds a trace already: --force replaces it") != NULL);
	check_same_tables(path, GOLDEN_PATH);
}

static void test_replace(void)
{
	const char *path = in_scratch("replaced.gait");
	struct err err;

	golden_write(path);
	CHECK_EQ(try_new(path, TRACE_WRITER_REPLACE, &err), 0);
	CHECK(!exists(in_scratch("replaced.gait/manifest.json")));
	CHECK(!exists(in_scratch("replaced.gait/requests.csv")));
	CHECK(exists(in_scratch("replaced.gait/requests.csv.partial")));
	CHECK_EQ(try_new(path, TRACE_WRITER_REPLACE, &err), 0); /* of partial ones too */
}

static void test_replace_spares_foreign_files(void)
{
	const char *path = in_scratch("mine.gait");
	struct err err;

	golden_write(path);
	write_file(in_scratch("mine.gait/notes.txt"), "x", 1);
	CHECK_EQ(try_new(path, TRACE_WRITER_REPLACE, &err), -EEXIST);
	CHECK(strstr(err.text, "holds 'notes.txt', which is not a trace's") != NULL);
	check_same_tables(path, GOLDEN_PATH);
}

static void test_empty_directory_is_taken(void)
{
	struct err err;

	mkdir(in_scratch("taken.gait"), 0700);
	CHECK_EQ(try_new(in_scratch("taken.gait"), 0, &err), 0);
	CHECK_EQ(try_new(in_scratch("no/such/place.gait"), 0, &err), -ENOENT);
}

/* Writes until the disk is full; returns how many rows were taken. */
static uint64_t fill_disk(struct trace_writer *w, struct err *err)
{
	struct row_request row = golden_request(3);
	uint64_t rows = 0;

	while (rows < 1000000 && !trace_write(w, TABLE_REQUESTS, &row, err)) {
		row.request_id++;
		rows++;
	}
	return rows;
}

static void check_full_disk(const char *path)
{
	char want[600];
	struct trace_writer *w;
	struct manifest m;
	struct err err, again;
	uint64_t cut = 0, rows;
	int count;

	CHECK_EQ(trace_writer_new(path, 0, &w, &err), 0);
	rows = fill_disk(w, &err);
	snprintf(want, sizeof(want),
		 "cannot write to '%s/requests.csv.partial': No space left on device; "
		 "what was written so far is kept",
		 path);
	CHECK_STR(err.text, want);
	/* from then on every call says so */
	CHECK_EQ(trace_write(w, TABLE_OPS, &golden_background, &again), -ENOSPC);
	CHECK_STR(again.text, want);
	manifest_init(&m);
	CHECK_EQ(trace_writer_finish(w, &m, &again), -ENOSPC);
	CHECK_STR(again.text, want);
	trace_writer_free(w);
	count = count_requests(path, &cut, &err);
	CHECK(count > 1000 && (uint64_t)count <= rows);
}

/* On a file system of 1 MiB of our own, which takes root. */
static void test_full_disk(void)
{
	const char *small = in_scratch("small");

	mkdir(small, 0700);
	if (mount("gait-test", small, "tmpfs", 0, "size=1m")) {
		printf("# not root: the full disk is left out\n");
		return;
	}
	check_full_disk(in_scratch("small/full.gait"));
	CHECK_EQ(umount(small), 0);
}

static void check_documented(const char *doc, const char *name)
{
	char quoted[100];

	snprintf(quoted, sizeof(quoted), "`%s`", name);
	check_case("docs/TRACE.md should tell what %s is", quoted);
	CHECK(strstr(doc, quoted) != NULL);
}

/* docs/TRACE.md knows every table, column, name and entry of the ledger. */
static void test_documentation(void)
{
	size_t len;
	char *doc = read_file(GAIT_TEST_DATA "/../../docs", "TRACE.md", &len);

	doc[len] = '\0';
	for (int t = 0; t < TABLE_COUNT; t++) {
		for (size_t i = 0; i < tables[t].columns_count; i++) {
			const struct column *column = &tables[t].columns[i];

			check_documented(doc, column->name);
			for (unsigned n = 0; n < column->names_count; n++)
				check_documented(doc, column->names[n]);
		}
	}
	for (int i = 0; i < LG_COUNT; i++)
		check_documented(doc, ledger_infos[i].name);
	free(doc);
}

static int run_tests(void)
{
	RUN(test_golden_reads);
	RUN(test_golden_is_what_we_write);
	RUN(test_round_trip);
	RUN(test_run_columns);
	RUN(test_manifest_describes_tables);
	RUN(test_edited_table);
	RUN(test_killed_writer);
	RUN(test_truncated_partial_table);
	RUN(test_whole_tables);
	RUN(test_row_length_limit);
	RUN(test_many_blocks);
	RUN(test_opening_what_is_no_trace);
	RUN(test_broken_manifest);
	RUN(test_table_that_is_no_file);
	RUN(test_missing_table_is_empty);
	RUN(test_existing_trace_is_kept);
	RUN(test_replace);
	RUN(test_replace_spares_foreign_files);
	RUN(test_empty_directory_is_taken);
	RUN(test_full_disk);
	RUN(test_documentation);
	return check_done();
}

static void remove_scratch(void)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -r '%s'", scratch);
	CHECK_EQ(system(command), 0);
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	int rc;

	if (argc == 3 && !strcmp(argv[1], "--write-golden"))
		return golden_write(argv[2]) ? 0 : 1;
	snprintf(scratch, sizeof(scratch), "%s/gait-test-trace.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(scratch))
		return 1;
	rc = run_tests();
	remove_scratch();
	return rc;
}
