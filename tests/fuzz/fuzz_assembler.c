/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that do anything in any order: whatever they do, the rows are true to each other. The
 * input is a list of events, a byte that chooses one and a few for what it says. A small fake
 * kernel keeps the clock and each thread's counters, so that they sum to the time that went by.
 */
#include "capture/assemble/assembly.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 6
#define SOCKETS 12
#define START_NS 1000
#define MESSAGE_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(held) must_at((held), #held)

static void must_at(bool held, const char *text)
{
	if (held)
		return;
	fprintf(stderr, "not so: %s\n", text);
	abort();
}

struct fake_thread {
	bool runs;
	uint32_t generation, service;
	uint64_t at; /* its counters are true up to here */
	uint64_t ns[TS_COUNT];
};

struct fake_socket {
	uint64_t id; /* 0: closed */
	uint64_t idle_since;
	size_t sent[2]; /* of the endless conversation, by direction */
};

/* What the rows say, by ids, which count from 1. */
struct seen {
	uint8_t *requests, *latency, *ops;
	uint64_t *op_of; /* the request of each op */
	uint64_t count[TABLE_COUNT], background, unanswered;
	size_t capacity;
};

struct later {
	struct row_op *ops;
	struct row_op_request *shares;
	size_t ops_count, shares_count;
};

struct fuzz {
	const uint8_t *data;
	size_t size;
	struct assembler *assembler;
	bool requests_only;
	uint64_t now, sockets;
	struct fake_thread threads[THREADS];
	struct fake_socket socket[SOCKETS];
	struct seen seen;
	struct later later;
	union {
		struct event_call call;
		struct event_receive receive;
		struct event_send send;
		uint8_t room[sizeof(struct event_receive) + MESSAGE_MAX];
	};
};

static uint8_t take(struct fuzz *f)
{
	if (!f->size)
		return 0;
	f->size--;
	return *f->data++;
}

static void *room_for(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	array = realloc(array, (count ? count * 2 : 1) * size);
	must(array);
	return array;
}

static void see_request(struct fuzz *f, const struct row_request *r)
{
	must(r->request_id && r->request_id < f->seen.capacity);
	must(!f->seen.requests[r->request_id]++);
	must(r->end_ns >= r->arrival_ns && r->read_ns >= r->arrival_ns);
	must(r->confidence <= 100);
	f->seen.unanswered += r->status[0] != '\0';
}

static void see_latency(struct fuzz *f, const struct row_latency *l)
{
	int64_t sum = l->unattributed_ns;

	must(l->request_id && l->request_id < f->seen.capacity);
	must(!f->seen.latency[l->request_id]++);
	must(l->total_ns >= 0 && l->unattributed_ns >= 0);
	for (size_t i = 0; i < SUB_COUNT; i++) {
		must(l->ns[i] >= 0);
		sum += l->ns[i];
	}
	must(sum == l->total_ns);
}

static void see_op(struct fuzz *f, const struct row_op *op)
{
	must(op->op_id && op->op_id < f->seen.capacity);
	must(!f->seen.ops[op->op_id]++);
	must(op->after < op->op_id && (int64_t)op->cpu_ns >= 0 && (int64_t)op->elapsed_ns >= 0);
	f->seen.op_of[op->op_id] = op->request_id;
	f->seen.background += !op->request_id;
	f->later.ops = room_for(f->later.ops, f->later.ops_count, sizeof(*op));
	f->later.ops[f->later.ops_count++] = *op;
}

static void see_share(struct fuzz *f, const struct row_op_request *share)
{
	f->later.shares = room_for(f->later.shares, f->later.shares_count, sizeof(*share));
	f->later.shares[f->later.shares_count++] = *share;
}

static int see(void *arg, enum trace_table table, const void *row)
{
	struct fuzz *f = arg;

	f->seen.count[table]++;
	if (table == TABLE_REQUESTS)
		see_request(f, row);
	else if (table == TABLE_LATENCY)
		see_latency(f, row);
	else if (table == TABLE_OPS)
		see_op(f, row);
	else if (table == TABLE_OP_REQUESTS)
		see_share(f, row);
	return 0;
}

/* Rows may be written before those they refer to: looked at in the end. */
static void check_references(const struct fuzz *f)
{
	const struct seen *s = &f->seen;

	for (size_t i = 0; i < f->later.ops_count; i++) {
		const struct row_op *op = &f->later.ops[i];

		must(!op->request_id ||
		     (op->request_id < s->capacity && s->requests[op->request_id]));
		must(!op->after || s->ops[op->after]);
	}
	for (size_t i = 0; i < f->later.shares_count; i++) {
		const struct row_op_request *share = &f->later.shares[i];

		must(share->op_id < s->capacity && s->ops[share->op_id]);
		must(share->request_id < s->capacity && s->requests[share->request_id]);
		must(s->op_of[share->op_id] != share->request_id);
	}
	for (size_t i = 1; i < s->capacity; i++)
		must(!s->latency[i] || s->requests[i]);
}

/* An op follows one of its own request, or one that it had part in. */
static bool has_part(const struct fuzz *f, uint64_t op_id, uint64_t request_id)
{
	if (f->seen.op_of[op_id] == request_id)
		return true;
	for (size_t i = 0; i < f->later.shares_count; i++)
		if (f->later.shares[i].op_id == op_id &&
		    f->later.shares[i].request_id == request_id)
			return true;
	return false;
}

static void check_order(const struct fuzz *f)
{
	for (size_t i = 0; i < f->later.ops_count; i++) {
		const struct row_op *op = &f->later.ops[i];

		must(!op->after || has_part(f, op->after, op->request_id));
	}
}

static void check_services(const struct assembler *a)
{
	for (size_t i = 0; i < SERVICES_MAX; i++) {
		const struct service *s = &a->services[i];

		must(!s->open && !s->waiting_first && !s->waiting_last);
		must(!s->delivered && !s->delivered_first && !s->delivered_last);
	}
}

/* At any time: both lists are whole, and who waits has nobody that works on it. */
static void check_lists(const struct service *s)
{
	const struct request *older = NULL;
	const struct unit *before = NULL;
	size_t delivered = 0;

	for (const struct request *r = s->waiting_first; r; older = r, r = r->newer) {
		must(r->in_waiting && !r->worker && r->thread->service == s && r->older == older);
		must(!older || older->row.request_id < r->row.request_id);
	}
	must(s->waiting_last == older);
	for (const struct unit *u = s->delivered_first; u; before = u, u = u->newer) {
		must(u->end_ns && u->thread->service == s && u->older == before);
		delivered++;
	}
	must(s->delivered_last == before && s->delivered == delivered);
}

static void check_ledger(const struct fuzz *f)
{
	const uint64_t *count = assembler_ledger(f->assembler)->count, *rows = f->seen.count;

	must(count[LG_REQUESTS] == rows[TABLE_REQUESTS]);
	must(count[LG_CONNECTIONS] == rows[TABLE_CONNECTIONS]);
	must(count[LG_OPS] == rows[TABLE_OPS]);
	must(count[LG_BACKGROUND_OPS] == f->seen.background);
	if (!f->requests_only)
		must(rows[TABLE_LATENCY] + f->seen.unanswered == rows[TABLE_REQUESTS]);
}

/* Conversations without end, some with messages of many kinds; a socket's number chooses. */
static const char *const talks[][2] = {
	{ "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "+PONG\r\n$-1\r\n" },
	{ "GET /a HTTP/1.1\r\nHost: b\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" },
	{ "get k\r\nset k 0 0 1 noreply\r\nx\r\nset k 0 0 1\r\ny\r\n", "END\r\nSTORED\r\n" },
	{ "\x01", "\x02" },
};

static size_t talk(struct fake_socket *s, bool out, uint8_t *into, size_t len)
{
	const char *text = talks[s->id % (sizeof(talks) / sizeof(talks[0]))][out];
	size_t cycle = strlen(text);

	for (size_t i = 0; i < len; i++)
		into[i] = (uint8_t)text[s->sent[out]++ % cycle];
	return len;
}

/* Bytes that move now: of the conversation, or what the input says; returns how many. */
static size_t message(struct fuzz *f, struct fake_socket *s, bool out, uint8_t *into)
{
	uint8_t kind = take(f);
	size_t len = 1 + (size_t)take(f) * ((kind & 7) == 7 ? 8 : 1);

	if (kind & 0x80 || len > MESSAGE_MAX) {
		len = 1 + len % 32;
		for (size_t i = 0; i < len; i++)
			into[i] = take(f);
		return len;
	}
	return talk(s, out, into, len);
}

static struct fake_thread *some_thread(struct fuzz *f, uint8_t choice)
{
	struct fake_thread *t = &f->threads[choice % THREADS];

	return t->runs ? t : NULL;
}

static struct fake_socket *some_socket(struct fuzz *f)
{
	struct fake_socket *s = &f->socket[take(f) % SOCKETS];

	return s->id ? s : NULL;
}

static void spend(struct fake_thread *t, uint8_t state, uint64_t to)
{
	t->ns[state % TS_COUNT] += to - t->at;
	t->at = to;
}

/* A call that returns now and began at some time since the thread's last; false: no such thread. */
static bool call(struct fuzz *f, enum event_kind kind, uint8_t op)
{
	uint8_t choice = take(f), how = take(f);
	struct fake_thread *t = some_thread(f, choice);

	memset(f->room, 0, sizeof(f->receive));
	if (!t)
		return false;
	f->now += take(f);
	f->call.op = op;
	f->call.ret = 1 + (how & 1);
	f->call.offset = -1;
	f->call.enter_ns = t->at + (f->now - t->at) * (how >> 4) / 16;
	spend(t, choice & 0x80 ? how : TS_USER, f->call.enter_ns);
	memcpy(f->call.enter, t->ns, sizeof(t->ns));
	spend(t, choice >> 3, f->now);
	memcpy(f->call.exit, t->ns, sizeof(t->ns));
	f->call.head =
		(struct event_head){ kind, (uint16_t)(t - f->threads), t->generation, f->now };
	return true;
}

static void tell(struct fuzz *f, size_t size)
{
	void *exact;

	exact = malloc(size);
	memcpy(exact, f->room, size);
	assembler_event(f->assembler, exact, size);
	free(exact);
}

static void do_time(struct fuzz *f)
{
	f->now += (uint64_t)take(f) << (take(f) % 24);
}

static void do_thread(struct fuzz *f)
{
	uint8_t choice = take(f), how = take(f);
	struct fake_thread *t = &f->threads[choice % THREADS];
	struct event_thread e = { .head = { EVENT_THREAD, choice % THREADS, 0, f->now } };

	e.head.generation = t->generation += t->runs || !t->generation || how & 1;
	t->runs = true;
	t->at = f->now;
	t->service = e.service = how >> 1 & 3;
	e.tid = 10 + choice % THREADS;
	memset(t->ns, 0, sizeof(t->ns));
	if (how & 0x80)
		return; /* lost */
	assembler_event(f->assembler, &e, sizeof(e));
}

static void do_exit(struct fuzz *f)
{
	uint8_t choice = take(f);
	struct fake_thread *t = some_thread(f, choice);
	struct event_thread e = { .head = { EVENT_THREAD_EXIT, choice % THREADS, 0, f->now } };

	if (!t)
		return;
	e.head.generation = t->generation++;
	t->runs = false;
	spend(t, TS_USER, f->now);
	memcpy(e.ns, t->ns, sizeof(e.ns));
	assembler_event(f->assembler, &e, sizeof(e));
}

static void do_socket(struct fuzz *f)
{
	uint8_t choice = take(f), how = take(f);
	struct fake_socket *s = &f->socket[choice % SOCKETS];
	struct event_socket e = { .head = { EVENT_SOCKET, 0, 0, f->now }, .family = AF_INET };

	*s = (struct fake_socket){ .id = ++f->sockets, .idle_since = f->now };
	e.socket_id = s->id;
	e.local_port = 7000 + (how & 3);
	e.remote_port = 40000;
	e.flags = (choice % SOCKETS >= SOCKETS - 4 ? SOCKET_OUTGOING : 0) |
		  (how & 4 ? SOCKET_BEFORE : 0);
	if (!(how & 0x80)) /* else lost */
		assembler_event(f->assembler, &e, sizeof(e));
}

static void do_close(struct fuzz *f)
{
	struct fake_socket *s = some_socket(f);
	struct event_socket e = { .head = { EVENT_SOCKET_CLOSE, 0, 0, f->now } };

	if (!s)
		return;
	e.socket_id = s->id;
	s->id = 0;
	assembler_event(f->assembler, &e, sizeof(e));
}

/* When the first byte came, and the thread's counters then, if they are known. */
static void fill_arrival(struct fuzz *f, struct fake_socket *s, uint8_t how)
{
	struct event_receive *e = &f->receive;
	const struct event_call *c = &e->call;
	uint64_t at = f->now - (f->now - s->idle_since) * (how & 15) / 16;

	s->idle_since = f->now;
	if (how & 0x80)
		return;
	e->arrival_ns = e->latest_ns = at;
	if (!(how & 0x40) || at < c->enter_ns)
		return;
	e->counted = 1;
	memcpy(e->arrival, c->enter, sizeof(e->arrival));
	for (size_t i = 0; i < TS_COUNT; i++)
		if (c->exit[i] != c->enter[i])
			e->arrival[i] += at - c->enter_ns;
}

/* Segments that came behind the first, maybe of another receive: before the event itself. */
static void tell_pieces(struct fuzz *f, uint64_t from_ns)
{
	struct event_pieces e = { .head = f->call.head, .socket_id = f->call.socket_id };
	uint64_t step = (f->now - from_ns) / 8;
	uint8_t count = take(f), bytes = take(f);

	e.head.kind = EVENT_PIECES;
	e.count = count % (RX_PIECES_MAX + 2);
	for (uint32_t i = 0; i < e.count && i < RX_PIECES_MAX; i++)
		e.at[i] = (struct rx_piece){ .ns = from_ns + step * (i % 9),
					     .bytes = bytes > i ? bytes - i : 1 };
	assembler_event(f->assembler, &e, sizeof(e));
}

static void do_receive(struct fuzz *f)
{
	struct fake_socket *s = some_socket(f);
	uint8_t how = take(f);

	if (!call(f, EVENT_RECEIVE, SYSCALL_RECV) || !s)
		return;
	f->call.socket_id = s->id;
	f->call.object = OBJECT_SOCKET;
	if (how & 0x10)
		tell_pieces(f, s->idle_since);
	fill_arrival(f, s, how);
	f->call.ret = (int64_t)message(f, s, false, f->receive.bytes);
	f->receive.seen = (uint32_t)(how & 0x20 ? f->call.ret / 2 : f->call.ret);
	tell(f, sizeof(f->receive) + f->receive.seen);
}

static void do_send(struct fuzz *f)
{
	struct fake_socket *s = some_socket(f);
	uint8_t how = take(f);
	bool bytes = how & 1;

	if (!call(f, bytes ? EVENT_SEND : EVENT_CALL, SYSCALL_SEND) || !s)
		return;
	f->call.socket_id = s->id;
	f->call.object = OBJECT_SOCKET;
	f->call.ret = (int64_t)message(f, s, true, f->send.bytes);
	if (how & 2)
		f->call.tx_ns = f->now - (f->now - f->call.enter_ns) * (how >> 4) / 16;
	if (!bytes) {
		memset(f->room + sizeof(f->call), 0, sizeof(f->room) - sizeof(f->call));
		f->call.op = how & 4 ? SYSCALL_SENDFILE : SYSCALL_SEND;
		f->call.inode = how & 8 ? 5 : 0;
		tell(f, sizeof(f->call));
		return;
	}
	f->send.seen = (uint32_t)(how & 4 ? f->call.ret / 2 : f->call.ret);
	f->send.pad = 0;
	tell(f, sizeof(f->send) + f->send.seen);
}

static void do_signal(struct fuzz *f)
{
	static const uint8_t ops[] = { SYSCALL_GIVE,  SYSCALL_WAIT, SYSCALL_WAKE,
				       SYSCALL_WRITE, SYSCALL_READ, SYSCALL_READV };
	uint8_t how = take(f);

	if (!call(f, EVENT_CALL, ops[how % sizeof(ops)]))
		return;
	f->call.object = OBJECT_SIGNAL;
	f->call.inode = 64 + (how >> 4) * 8;
	tell(f, sizeof(f->call));
}

/* Anything on a file, timers, polls: calls that need no socket. */
static void do_call(struct fuzz *f)
{
	uint8_t op = take(f) % (SYSCALL_OTHER + 1), how = take(f);

	if (!call(f, EVENT_CALL, op))
		return;
	f->call.object = how & 1 ? OBJECT_FILE : OBJECT_OTHER;
	f->call.inode = how & 6 ? 1 + (how & 3) : 0;
	f->call.magic = how & 8 ? 0x9fa0 /* proc */ : 0xef53 /* ext4 */;
	f->call.offset = (how & 0x10) - 1;
	f->call.file_flags = (uint32_t)how << 8;
	f->call.ret = (how & 0x20) - 2;
	tell(f, sizeof(f->call));
}

static void do_poll(struct fuzz *f)
{
	if (call(f, EVENT_CALL, SYSCALL_POLL))
		tell(f, sizeof(f->call));
}

static void do_new_connection(struct fuzz *f)
{
	struct fake_socket *s = some_socket(f);

	if (!call(f, EVENT_CALL, take(f) & 1 ? SYSCALL_CONNECT : SYSCALL_ACCEPT) || !s)
		return;
	f->call.socket_id = s->id;
	f->call.object = OBJECT_SOCKET;
	tell(f, sizeof(f->call));
}

static void do_others(struct fuzz *f)
{
	if (!call(f, EVENT_CALL, take(f) & 1 ? SYSCALL_SEND : SYSCALL_RECV))
		return;
	f->call.object = OBJECT_UNSAMPLED;
	tell(f, sizeof(f->call));
}

/* An event that is cut, of a kind that is not known, or of a thread that nobody has. */
static void do_broken(struct fuzz *f)
{
	uint8_t how = take(f);

	if (!call(f, how & 1 ? EVENT_CALL : EVENT_RECEIVE, SYSCALL_POLL))
		return;
	if (how & 2)
		f->call.head.slot = (uint16_t)(THREAD_SLOTS + how);
	else if (how & 4)
		f->call.head.kind = how;
	tell(f, how & 6 ? sizeof(f->receive) : take(f));
}

static void do_pause(struct fuzz *f)
{
	assembler_pause(f->assembler);
}

static void (*const deeds[])(struct fuzz *f) = {
	do_receive,	   do_send,   do_receive, do_send,  do_signal, do_call,
	do_poll,	   do_time,   do_thread,  do_exit,  do_socket, do_close,
	do_new_connection, do_others, do_broken,  do_pause,
};

/* Two services' threads and a few connections, so that an input need not begin with them. */
static void set_up(struct fuzz *f)
{
	static const uint8_t script[] = { 0, 0, 1, 0, 2, 0, 3, 2 };
	static const uint8_t sockets[] = { 0, 0, 1, 0, 2, 0, 3, 0, 8, 0, 9, 0 };
	struct fuzz first = *f;

	first.data = script;
	for (first.size = sizeof(script); first.size;)
		do_thread(&first);
	first.data = sockets;
	for (first.size = sizeof(sockets); first.size;)
		do_socket(&first);
	first.data = f->data;
	first.size = f->size;
	*f = first;
}

static void end_threads(struct fuzz *f)
{
	for (unsigned i = 0; i < THREADS; i++) {
		struct fake_thread *t = &f->threads[i];

		if (!t->runs)
			continue;
		spend(t, TS_USER, f->now);
		assembler_thread_end(f->assembler, i, t->generation, t->ns);
	}
}

static void seen_init(struct seen *s, size_t size)
{
	s->capacity = 4096 + size * 512; /* ops and requests that so many bytes can make */
	s->requests = calloc(s->capacity, 1);
	s->latency = calloc(s->capacity, 1);
	s->ops = calloc(s->capacity, 1);
	s->op_of = calloc(s->capacity, sizeof(*s->op_of));
	must(s->requests && s->latency && s->ops && s->op_of);
}

static void release(struct fuzz *f)
{
	free(f->seen.requests);
	free(f->seen.latency);
	free(f->seen.ops);
	free(f->seen.op_of);
	free(f->later.ops);
	free(f->later.shares);
	free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = size > 4096 ? NULL : calloc(1, sizeof(*f));
	struct assembler_totals totals;
	struct assembler_opts opts = { .start_ns = START_NS,
				       .work_per_ms = 1000000,
				       .sink = { see, f } };
	uint8_t how;

	if (!f)
		return 0;
	f->data = data;
	f->size = size;
	how = take(f);
	opts.requests_only = f->requests_only = !(how & 7);
	seen_init(&f->seen, size);
	f->now = START_NS;
	f->assembler = assembler_new(&opts);
	must(f->assembler);
	if (!(how & 8))
		set_up(f);
	while (f->size) {
		deeds[take(f) % (sizeof(deeds) / sizeof(deeds[0]))](f);
		for (size_t i = 0; i < 4; i++)
			check_lists(&f->assembler->services[i]);
	}
	if (!(how & 16)) /* else the end of the threads was lost */
		end_threads(f);
	must(!assembler_finish(f->assembler, (int64_t)f->now - START_NS, &totals));
	check_references(f);
	check_order(f);
	check_services(f->assembler);
	check_ledger(f);
	assembler_free(f->assembler);
	release(f);
	return 0;
}
