/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a walk: its text, all rows of many threads, and a disk that is full. */
#include "check.h"
#include "replay/walk/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define TEXT_MAX 4096

static char *read_file(const char *path)
{
	static char text[TEXT_MAX];
	FILE *file = fopen(path, "r");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (CHECK(file != NULL))
		fclose(file);
	text[n] = '\0';
	return text;
}

/* What two requests look like: one that was answered, one that was not. */
static void test_formats(void)
{
	static const struct walk_row rows[] = {
		{ .request = 0,
		  .thread = 3,
		  .session = 1,
		  .due_ns = 1000,
		  .sent_ns = 1999,
		  .received_ns = 5001999,
		  .outcome = WALK_OK },
		{ .request = 18446744073709551615u,
		  .thread = 4294967295u,
		  .session = 4294967295u,
		  .sent_ns = 9223372036854775807,
		  .received_ns = -1,
		  .outcome = WALK_TIMEOUT },
	};
	static const struct {
		struct walk_output output;
		const char *want;
	} cases[] = {
		{ { .format = WALK_CSV, .sep = ',', .header = true },
		  "t(us),elapsed(us),req_id,thr_id,sess_id\n"
		  "1,5000,0,3,1\n"
		  "9223372036854775,0,18446744073709551615,4294967295,4294967295\n" },
		{ { .format = WALK_CSV, .sep = ';', .header = true, .nano = true },
		  "t(ns);elapsed(ns);req_id;thr_id;sess_id\n"
		  "1999;5000000;0;3;1\n"
		  "9223372036854775807;0;18446744073709551615;4294967295;4294967295\n" },
		{ { .format = WALK_CSV, .sep = '\t' },
		  "1\t5000\t0\t3\t1\n"
		  "9223372036854775\t0\t18446744073709551615\t4294967295\t4294967295\n" },
		{ { .format = WALK_TXT, .sep = '|', .header = true },
		  "t:1|elapsed:5000|req_id:0|thr_id:3|sess_id:1\n"
		  "t:9223372036854775|elapsed:0|req_id:18446744073709551615|thr_id:4294967295|"
		  "sess_id:4294967295\n" },
		{ { .format = WALK_LINES, .header = true },
		  "t: 1 us, elapsed: 5000 us, req_id: 0, thr_id: 3, sess_id: 1\n"
		  "t: 9223372036854775 us, elapsed: 0 us, req_id: 18446744073709551615, "
		  "thr_id: 4294967295, sess_id: 4294967295\n" },
	};
	char path[] = "/tmp/gait-test-rows-XXXXXX";

	close(mkstemp(path));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct walk_output output = cases[i].output;
		struct walk_writer w = { 0 };

		check_case("case %zu", i);
		output.path = path;
		if (!CHECK_EQ(walk_rows_new(&output, -1, &w.rows, NULL), 0))
			continue;
		for (size_t r = 0; r < ARRAY_SIZE(rows); r++)
			walk_writer_add(&w, &rows[r]);
		walk_writer_end(&w);
		CHECK_EQ(walk_rows_finish(w.rows, NULL), 0);
		walk_rows_free(w.rows);
		CHECK_STR(read_file(path), cases[i].want);
	}
	unlink(path);
}

#define WRITERS 4
#define EACH 300000 /* more than all batches hold together: writers have to wait, maybe */

struct worker {
	struct walk_writer writer;
	uint32_t thread;
	pthread_t id;
};

static void *write_rows(void *arg)
{
	struct worker *w = arg;

	for (uint64_t i = 0; i < EACH; i++)
		walk_writer_add(&w->writer,
				&(struct walk_row){ .request = i, .thread = w->thread });
	walk_writer_end(&w->writer);
	return NULL;
}

/* Every row arrives once, and those of a thread in their order. */
static void check_table(const char *path)
{
	uint64_t next[WRITERS] = { 0 }, request;
	FILE *file = fopen(path, "r");
	unsigned int thread;

	if (!CHECK(file != NULL))
		return;
	while (fscanf(file, "0,0,%lu,%u,0\n", &request, &thread) == 2)
		if (!CHECK(thread < WRITERS) || !CHECK_EQ(request, next[thread]++))
			break;
	CHECK(feof(file));
	fclose(file);
	for (size_t i = 0; i < WRITERS; i++)
		CHECK_EQ(next[i], EACH);
}

static int write_by_many(const char *path, struct err *err)
{
	struct walk_output output = { .path = path, .format = WALK_CSV, .sep = ',' };
	struct worker workers[WRITERS];
	struct walk_rows *rows;
	int rc;

	if (!CHECK_EQ(walk_rows_new(&output, -1, &rows, NULL), 0))
		return -EINVAL;
	for (uint32_t i = 0; i < WRITERS; i++) {
		workers[i] = (struct worker){ .writer.rows = rows, .thread = i };
		pthread_create(&workers[i].id, NULL, write_rows, &workers[i]);
	}
	for (uint32_t i = 0; i < WRITERS; i++)
		pthread_join(workers[i].id, NULL);
	rc = walk_rows_finish(rows, err);
	walk_rows_free(rows);
	return rc;
}

static void test_many_writers(void)
{
	char path[] = "/tmp/gait-test-rows-XXXXXX";

	close(mkstemp(path));
	CHECK_EQ(write_by_many(path, NULL), 0);
	check_table(path);
	unlink(path);
}

/* Nobody waits for a file that takes nothing more; it is said in the end. */
static void test_full_disk(void)
{
	struct err err = { 0 };

	CHECK_EQ(write_by_many("/dev/full", &err), -ENOSPC);
	CHECK_STR(err.text, "cannot write the rows to '/dev/full': No space left on device");
}

/* Nor is it taken for the table when it is what a run is made of. */
static void test_full_spool(void)
{
	int spool_fd = open("/dev/full", O_WRONLY);
	struct walk_writer w = { 0 };
	struct err err = { 0 };

	CHECK_EQ(walk_rows_new(NULL, spool_fd, &w.rows, NULL), 0);
	walk_writer_add(&w, &(struct walk_row){ 0 });
	walk_writer_end(&w);
	CHECK_EQ(walk_rows_finish(w.rows, &err), -ENOSPC);
	CHECK_STR(err.text, "cannot keep the rows of the run: No space left on device");
	walk_rows_free(w.rows);
	close(spool_fd);
}

static void test_nothing_to_open(void)
{
	struct walk_output output = { .path = "/nowhere/x.csv", .format = WALK_CSV };
	struct walk_rows *rows;
	struct err err;

	CHECK_EQ(walk_rows_new(&output, -1, &rows, &err), -ENOENT);
	CHECK_STR(err.text, "cannot write '/nowhere/x.csv': No such file or directory");
	walk_rows_free(NULL);
}

/* Without a table a writer does nothing. */
static void test_no_rows(void)
{
	struct walk_writer w = { 0 };

	walk_writer_add(&w, &(struct walk_row){ 0 });
	walk_writer_end(&w);
	CHECK(!w.to.batch && !w.to.waited);
}

int main(void)
{
	RUN(test_formats);
	RUN(test_many_writers);
	RUN(test_full_disk);
	RUN(test_full_spool);
	RUN(test_nothing_to_open);
	RUN(test_no_rows);
	return check_done();
}
