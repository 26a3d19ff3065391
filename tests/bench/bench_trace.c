/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a trace is written (SHA-256 included) and read (every column into its struct), and
 * what the machine could do at best in the same minute: memcpy, SHA-256 and plain write().
 *
 *	bench_trace [DIR [ROWS]]	DIR: a directory on a real disk; default: only /dev/shm
 *
 * CSV on stdout: where, what, megabytes a second, rows a second.
 */
#include "base/clock.h"
#include "base/digest.h"
#include "trace/trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_ROWS 3000000
#define DISTINCT_ROWS 8192
#define REFERENCE_BYTES (512UL << 20)
#define BLOCK (128UL << 10)

static struct row_request requests[DISTINCT_ROWS];
static struct row_op ops[DISTINCT_ROWS];

static void die(const char *what)
{
	fprintf(stderr, "bench_trace: %s\n", what);
	exit(1);
}

static void print(const char *where, const char *what, uint64_t bytes, uint64_t rows, int64_t ns)
{
	double seconds = (double)ns / 1e9;

	printf("%s,%s,%.0f,%.0f\n", where, what, (double)bytes / 1e6 / seconds,
	       (double)rows / seconds);
	fflush(stdout);
}

static uint64_t next_random(void)
{
	static uint64_t state = 23;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33;
}

static void make_request(struct row_request *r, uint64_t i)
{
	int64_t arrival_ns = 1520033 + (int64_t)(i * 50000 + next_random() % 40000);

	*r = (struct row_request){
		.request_id = 1000000 + i,
		.class_id = 1 + next_random() % 5,
		.service_id = 1,
		.connection_id = 1 + next_random() % 64,
		.thread_id = 4100 + next_random() % 8,
		.after_request = 1000000 + i - 8,
		.think_ns = (int64_t)(next_random() % 90000000),
		.confidence = 100,
		.arrival_ns = arrival_ns,
		.read_ns = arrival_ns + 4000 + (int64_t)(next_random() % 9000),
		.write_ns = arrival_ns + 40000 + (int64_t)(next_random() % 90000),
		.end_ns = arrival_ns + 140000 + (int64_t)(next_random() % 90000),
		.request_bytes = 40 + next_random() % 900,
		.response_bytes = 100 + next_random() % 40000,
		.intended_ns = TRACE_NONE,
		.sent_ns = TRACE_NONE,
		.received_ns = TRACE_NONE,
	};
}

static void make_op(struct row_op *op, uint64_t i)
{
	static const enum op_kind kinds[] = { OP_COMPUTE, OP_STORE, OP_SYNC, OP_COMPUTE, OP_REPLY };

	*op = (struct row_op){
		.op_id = 5000000 + i,
		.request_id = 1000000 + i / 5,
		.after = i % 5 ? 5000000 + i - 1 : 0,
		.kind = kinds[i % 5],
		.service_id = 1,
		.thread_id = 4100 + next_random() % 8,
		.start_ns = 1520033 + (int64_t)(i * 10000),
		.elapsed_ns = 2000 + next_random() % 100000,
		.cpu_ns = 1000 + next_random() % 50000,
		.work = i % 5 ? 0 : next_random() % 100000,
		.bytes = next_random() % 16384,
		.offset = i % 5 == 1 ? (int64_t)(next_random() * 512) : TRACE_NONE,
		.target_id = i % 5 == 1,
		.flags = i % 5 == 1 ? OPF_DSYNC | OPF_APPEND : 0,
	};
}

static void bench_memcpy(char *from)
{
	char *to = malloc(BLOCK);
	int64_t start;

	memset(to, 1, BLOCK);
	start = clock_now_ns();
	for (size_t at = 0; at < REFERENCE_BYTES; at += BLOCK) {
		memcpy(to, from + at, BLOCK);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	print("memory", "reference memcpy", REFERENCE_BYTES, 0, clock_now_ns() - start);
	free(to);
}

static void bench_sha256(const char *from)
{
	struct digest *digest = digest_new();
	int64_t start = clock_now_ns();

	digest_update(digest, from, REFERENCE_BYTES);
	print("memory", "reference sha256", REFERENCE_BYTES, 0, clock_now_ns() - start);
	digest_free(digest);
}

static void bench_raw_write(const char *dir, const char *from)
{
	char path[512];
	int64_t start = clock_now_ns();
	int fd;

	snprintf(path, sizeof(path), "%s/bench_trace.raw", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die("cannot create the reference file");
	for (size_t at = 0; at < REFERENCE_BYTES; at += BLOCK) {
		if (write(fd, from + at, BLOCK) != (ssize_t)BLOCK)
			die("cannot write the reference file");
	}
	fdatasync(fd);
	close(fd);
	print(dir, "reference write", REFERENCE_BYTES, 0, clock_now_ns() - start);
	unlink(path);
}

static void bench_write(const char *dir, const char *path, enum trace_table table, const void *rows,
			uint64_t count)
{
	size_t row_size = tables[table].row_size;
	struct trace_writer *w;
	struct manifest m;
	struct err err;
	char what[64];
	int64_t start = clock_now_ns();

	manifest_init(&m);
	if (trace_writer_new(path, TRACE_WRITER_REPLACE, &w, &err))
		die(err.text);
	for (uint64_t i = 0; i < count; i++) {
		if (trace_write(w, table, (const char *)rows + i % DISTINCT_ROWS * row_size, &err))
			die(err.text);
	}
	if (trace_writer_finish(w, &m, &err))
		die(err.text);
	snprintf(what, sizeof(what), "write %s", tables[table].name);
	print(dir, what, trace_writer_bytes(w), count, clock_now_ns() - start);
	trace_writer_free(w);
}

static void bench_read(const char *dir, const char *path, enum trace_table table)
{
	char row[sizeof(struct row_latency) + sizeof(struct row_request)], what[64], file[512];
	struct trace_reader *r;
	struct trace *t;
	struct err err;
	struct stat st;
	uint64_t count = 0;
	int64_t start;
	int rc;

	snprintf(file, sizeof(file), "%s/%s.csv", path, tables[table].name);
	if (trace_open(path, 0, &t, &err) || stat(file, &st))
		die("cannot open the trace");
	start = clock_now_ns();
	if (trace_reader_new(t, table, &r, &err))
		die(err.text);
	while ((rc = trace_reader_next(r, row, &err)) > 0)
		count++;
	if (rc < 0)
		die(err.text);
	snprintf(what, sizeof(what), "read %s", tables[table].name);
	print(dir, what, (uint64_t)st.st_size, count, clock_now_ns() - start);
	trace_reader_free(r);
	trace_free(t);
}

static void remove_trace(const char *path)
{
	char command[600];

	snprintf(command, sizeof(command), "rm -r '%s'", path);
	if (system(command))
		die("cannot clean up");
}

static void bench_directory(const char *dir, const char *from, uint64_t rows)
{
	char path[480];

	snprintf(path, sizeof(path), "%s/bench_trace.%d.gait", dir, (int)getpid());
	bench_raw_write(dir, from);
	bench_write(dir, path, TABLE_REQUESTS, requests, rows);
	bench_read(dir, path, TABLE_REQUESTS);
	bench_write(dir, path, TABLE_OPS, ops, rows);
	bench_read(dir, path, TABLE_OPS);
	remove_trace(path);
}

int main(int argc, char **argv)
{
	uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : DEFAULT_ROWS;
	char *reference = malloc(REFERENCE_BYTES);

	if (!reference)
		die("not enough memory");
	memset(reference, '7', REFERENCE_BYTES);
	for (uint64_t i = 0; i < DISTINCT_ROWS; i++) {
		make_request(&requests[i], i);
		make_op(&ops[i], i);
	}
	printf("where,what,megabytes_per_second,rows_per_second\n");
	bench_memcpy(reference);
	bench_sha256(reference);
	bench_directory("/dev/shm", reference, rows);
	if (argc > 1)
		bench_directory(argv[1], reference, rows);
	free(reference);
	return 0;
}
