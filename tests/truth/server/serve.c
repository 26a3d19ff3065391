/* SPDX-License-Identifier: Apache-2.0 */
/* What a request makes its threads do, and what is remembered of it. */
#include "inject/lock.h"
#include "server.h"

#include <sys/sendfile.h>
#include <unistd.h>

#define MEMORY_ALIGN 4096

static atomic_ulong workers;

static uint64_t memory_bytes(void)
{
	uint64_t size = opts.load_bytes.hi > opts.store_bytes.hi ? opts.load_bytes.hi :
								   opts.store_bytes.hi;

	return (size + MEMORY_ALIGN) / MEMORY_ALIGN * MEMORY_ALIGN;
}

/* Memory is touched here: page faults are no part of a request's cost. */
static char *touched(uint64_t size)
{
	char *memory = must_alloc(aligned_alloc(MEMORY_ALIGN, size));

	return memset(memory, 'x', size);
}

static uint64_t reply_memory_bytes(void)
{
	uint64_t one = opts.reply_bytes.hi + WIRE_HEAD_MAX;
	uint64_t size = one * (opts.answer == ANSWER_ALL ? CHAIN_MAX : 1);

	return (size + MEMORY_ALIGN) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static struct worker *worker_new(void)
{
	struct worker *w = must_alloc(calloc(1, sizeof(*w)));

	w->number = atomic_fetch_add(&workers, 1);
	w->tid = gettid();
	w->random = (opts.seed + w->tid) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	w->memory = touched(memory_bytes());
	w->reply = touched(reply_memory_bytes());
	files_open(w);
	splice_open(w);
	if (uring_is_used())
		uring_open();
	return w;
}

static _Thread_local struct worker *self;

struct worker *worker_self(void)
{
	if (!self)
		self = worker_new();
	return self;
}

void worker_forget(void)
{
	self = NULL;
}

static void compute(struct request *r, struct range ns, uint64_t factor)
{
	uint64_t asked = range_pick(ns, &worker_self()->random) * factor;

	struct burn *burn = &r->row.burns[r->row.burns_count];

	if (!asked)
		return;
	*burn = cpu_burn(asked);
	burn->tid = worker_self()->tid;
	r->row.burns_count++;
}

void serve_parse(struct request *chain)
{
	for (struct request *r = chain; r; r = r->next)
		compute(r, opts.parse_ns, 1);
}

static pthread_mutex_t *lock; /* of --lock, or NULL */

void serve_init(void)
{
	if (opts.lock)
		lock = lock_open(opts.lock);
}

/* Somebody else may have it. */
static void pass_lock(void)
{
	if (!lock)
		return;
	pthread_mutex_lock(lock);
	pthread_mutex_unlock(lock);
}

void serve_work(struct request *r)
{
	struct worker *w = worker_self();

	r->row.work_tid = w->tid;
	r->reply_bytes = range_pick(opts.reply_bytes, &w->random);
	files_meta(r);
	files_load(r);
	fault_touch();
	pass_lock();
	compute(r, opts.cpu_ns, 1 + r->row.request % opts.cpu_steps);
	upstream_call(r);
}

void serve_store(struct request *chain)
{
	if (!opts.after_reply)
		files_store(chain);
}

static void reply_call_begins(struct request *r)
{
	r->row.reply_last_ns = clock_ns(CLOCK_MONOTONIC);
	if (!r->row.reply_start_ns)
		r->row.reply_start_ns = r->row.reply_last_ns;
}

static void did_reply(struct request *r, uint64_t bytes, uint64_t offset)
{
	r->row.bytes_out += bytes;
	did(r, DID_REPLY, bytes, offset);
}

static size_t send_part(struct request *r, const char *bytes, size_t size)
{
	size_t n = 0;

	if (!size)
		return 0;
	reply_call_begins(r);
	n = net_send(r->connection, bytes, size);
	if (n)
		did_reply(r, n, OFFSET_NONE);
	return n;
}

static size_t send_file_part(struct request *r, uint64_t offset, size_t size)
{
	off_t at = offset;
	long n;

	reply_call_begins(r);
	n = sendfile(r->connection->source.fd, worker_self()->reply_fd, &at, size);
	if (n > 0)
		did_reply(r, n, offset);
	return n > 0 ? n : 0;
}

/* From the file, with the head of the message before it and the tail after it. */
static void send_from_file(struct request *r, const char *message, size_t size)
{
	size_t head = wire_head_bytes(opts.protocol, message, size);
	size_t tail = wire_tail_bytes(opts.protocol);
	size_t body = size - head - tail, sent = 0, n = 1;

	send_part(r, message, head);
	while (sent < body && n) {
		n = send_file_part(r, sent, body - sent);
		sent += n;
	}
	send_part(r, message + size - tail, tail);
}

static void send_in_parts(struct request *r, const char *message, size_t size)
{
	size_t sent = 0;

	for (uint64_t i = 0; i < opts.reply_parts; i++) {
		size_t part = (size - sent) / (opts.reply_parts - i);
		size_t n = send_part(r, message + sent, part);

		sent += n;
		if (n < part)
			return;
	}
}

static void reply_each(struct request *first, struct request *end)
{
	for (struct request *r = first; r != end; r = r->next) {
		char *message = worker_self()->reply;
		size_t size = wire_reply(opts.protocol, message, r->reply_bytes, r->row.request);

		if (opts.send_by == SEND_SENDFILE)
			send_from_file(r, message, size);
		else
			send_in_parts(r, message, size);
		r->row.reply_end_ns = clock_ns(CLOCK_MONOTONIC);
	}
}

/* All in one call; each request's own reply is that many bytes of it. */
static void reply_all(struct request *first, struct request *end)
{
	struct iovec parts[CHAIN_MAX];
	size_t count = 0, size = 0;
	int64_t start, done;
	struct request *r;

	for (r = first; r != end; r = r->next) {
		parts[count].iov_base = worker_self()->reply + size;
		parts[count].iov_len = wire_reply(opts.protocol, parts[count].iov_base,
						  r->reply_bytes, r->row.request);
		size += parts[count++].iov_len;
	}
	start = clock_ns(CLOCK_MONOTONIC);
	if (opts.send_by == SEND_SENDMMSG)
		net_send_datagrams(first->connection, parts, count);
	else
		net_send(first->connection, parts[0].iov_base, size);
	done = clock_ns(CLOCK_MONOTONIC);
	for (r = first, count = 0; r != end; r = r->next) {
		r->row.reply_start_ns = r->row.reply_last_ns = start;
		r->row.reply_end_ns = done;
		did_reply(r, parts[count++].iov_len, OFFSET_NONE);
	}
}

static void store_after_reply(struct request *r)
{
	struct request *next = r->next;
	uint32_t before = r->row.ops_count;

	if (!opts.after_reply)
		return;
	r->next = NULL;
	files_store(r);
	r->next = next;
	for (uint32_t i = before; i < r->row.ops_count; i++)
		r->row.ops[i].after_reply = 1;
}

static void finish(struct request *first, struct request *end)
{
	struct request *next;

	for (struct request *r = first; r != end; r = next) {
		next = r->next; /* with the last user gone, so is the request */
		r->row.reply_tid = worker_self()->tid;
		store_after_reply(r);
		log_add(&r->row);
		connection_put(r->connection);
	}
}

void serve_reply(struct request *chain)
{
	struct request *end;

	for (; chain; chain = end) {
		for (end = chain; end && end->connection == chain->connection; end = end->next)
			if (opts.answer == ANSWER_EACH && end != chain)
				break;
		if (opts.answer == ANSWER_ALL)
			reply_all(chain, end);
		else
			reply_each(chain, end);
		finish(chain, end);
	}
}

static void serve_one(struct request *r)
{
	serve_work(r);
	serve_store(r);
}

void serve_chain(struct request *chain)
{
	struct request *next;

	serve_parse(chain);
	for (struct request *r = chain; r; r = next) {
		next = r->next;
		r->next = NULL; /* its stores are its own */
		serve_one(r);
		if (opts.answer == ANSWER_EACH)
			serve_reply(r);
		else
			r->next = next;
	}
	if (opts.answer == ANSWER_ALL)
		serve_reply(chain);
}
