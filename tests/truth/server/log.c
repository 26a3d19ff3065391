/* SPDX-License-Identifier: Apache-2.0 */
/* What requests truly took: in memory that processes share, and in a file at the end. */
#include "server.h"

#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOG_BYTES (256u << 20)
#define TOUCHED_BYTES (4u << 20) /* at the start: page faults are no part of a request's cost */

struct rows {
	atomic_ulong bytes, whole;
	pid_t main;
	_Alignas(64) char row[LOG_BYTES]; /* struct served, cut behind its last op */
};

static struct rows *rows;

static const char *const did_names[] = { "load", "store", "sync",    "open",
					 "stat", "close", "forward", "reply" };

void log_init(void)
{
	rows = mmap(NULL, sizeof(*rows), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rows == MAP_FAILED)
		die("memory of the log");
	memset(rows, 0, TOUCHED_BYTES);
	rows->main = getpid();
}

static size_t row_bytes(uint32_t ops_count)
{
	return offsetof(struct served, ops) + ops_count * sizeof(struct did_op);
}

/* What is whole is told by its connection's number, which comes last. */
void log_add(const struct served *row)
{
	size_t size = row_bytes(row->ops_count), at = atomic_fetch_add(&rows->bytes, size);
	struct served *to = (struct served *)(rows->row + at);

	if (at + size > LOG_BYTES)
		die("too many requests for the log");
	to->ops_count = row->ops_count; /* how long it is, should it never be whole */
	memcpy((char *)to + sizeof(row->connection), (const char *)row + sizeof(row->connection),
	       size - sizeof(row->connection));
	__atomic_store_n(&to->connection, row->connection, __ATOMIC_RELEASE);
	if (atomic_fetch_add(&rows->whole, 1) + 1 == opts.requests)
		kill(rows->main, SIGTERM); /* the main thread reads it as it reads anybody's */
}

void did(struct request *r, enum did kind, uint64_t bytes, uint64_t offset)
{
	if (r->row.ops_count == OPS_MAX)
		die("too many operations for the log");
	r->row.ops[r->row.ops_count++] =
		(struct did_op){ .kind = kind, .bytes = bytes, .offset = offset };
}

static void write_op(FILE *f, const struct did_op *op, bool first)
{
	fprintf(f, "%s%s:%lu", first ? "" : " ", did_names[op->kind], op->bytes);
	if (op->kind == DID_CALL)
		fprintf(f, "/%lu", op->reply_bytes);
	fputc('@', f);
	if (op->offset == OFFSET_ANY)
		fputc('?', f);
	else if (op->offset != OFFSET_NONE)
		fprintf(f, "%lu", op->offset);
	if (op->after_reply)
		fputc('+', f);
}

static void write_row(FILE *f, const struct served *r)
{
	fprintf(f, "%lu,%s,%lu,%lu,%lu,%ld,%ld,%ld,%ld,%ld,%d,%d,%d,", r->connection, r->peer,
		r->request, r->bytes_in, r->bytes_out, r->read_start_ns, r->read_end_ns,
		r->reply_start_ns, r->reply_last_ns, r->reply_end_ns, r->read_tid, r->work_tid,
		r->reply_tid);
	for (size_t i = 0; i < r->ops_count; i++)
		write_op(f, &r->ops[i], !i);
	fputc(',', f);
	for (size_t i = 0; i < r->calls_count; i++)
		fprintf(f, "%s%lu/%lu@%u/%lu", i ? " " : "", r->calls[i].bytes_out,
			r->calls[i].bytes_in, r->calls[i].port, r->calls[i].number);
	fputc(',', f);
	for (size_t i = 0; i < r->burns_count; i++)
		fprintf(f, "%s%ld@%ld/%d", i ? " " : "", r->burns[i].ns, r->burns[i].middle_ns,
			r->burns[i].tid);
	fputc('\n', f);
}

void log_write(void)
{
	FILE *f = opts.log ? fopen(opts.log, "we") : NULL;
	size_t taken = atomic_load(&rows->bytes);
	const struct served *row;

	if (!opts.log)
		return;
	if (!f)
		die(opts.log);
	fprintf(f,
		"connection,peer,request,bytes_in,bytes_out,read_start_ns,read_end_ns,"
		"reply_start_ns,reply_last_ns,reply_end_ns,read_tid,work_tid,reply_tid,ops,calls,burns\n");
	for (size_t at = 0; at < taken; at += row_bytes(row->ops_count)) {
		row = (const struct served *)(rows->row + at);
		if (__atomic_load_n(&row->connection, __ATOMIC_ACQUIRE))
			write_row(f, row);
	}
	if (fclose(f))
		die(opts.log);
}
