/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assembler fed with the events of services of known behaviour: a small fake
 * kernel keeps one thread's clock and counters and emits what BPF would.
 */
#include "capture/assemble/assembler.h"

#include "check.h"

#include <arpa/inet.h>
#include <malloc.h>

struct rows {
	struct row_request requests[64];
	struct row_op ops[256];
	struct row_op_request shares[64];
	struct row_latency latency[64];
	struct row_connection connections[16];
	struct row_class classes[16];
	struct row_target targets[16];
	size_t count[TABLE_COUNT];
};

#define KEEP(table, array)                                                                     \
	case table:                                                                            \
		if (rows->count[table] < ARRAY_SIZE(rows->array))                              \
			memcpy(&rows->array[rows->count[table]], row, sizeof(rows->array[0])); \
		break

static int keep_row(void *arg, enum trace_table table, const void *row)
{
	struct rows *rows = arg;

	switch (table) {
		KEEP(TABLE_REQUESTS, requests);
		KEEP(TABLE_OPS, ops);
		KEEP(TABLE_OP_REQUESTS, shares);
		KEEP(TABLE_LATENCY, latency);
		KEEP(TABLE_CONNECTIONS, connections);
		KEEP(TABLE_CLASSES, classes);
		KEEP(TABLE_TARGETS, targets);
	default:
		break;
	}
	rows->count[table]++;
	return 0;
}

/* Threads of a service, one of which runs; its clock and their counters. */
#define FAKE_THREADS 8

struct fake {
	struct assembler *assembler;
	struct rows rows;
	uint64_t now;
	uint64_t counters[FAKE_THREADS][TS_COUNT];
	uint64_t *ns; /* of the one that runs */
	uint16_t slot;
	uint32_t generation;
	uint64_t file_bytes;
};

/* From now on it is that thread that does what is done. */
static void run(struct fake *f, uint16_t slot)
{
	f->slot = slot;
	f->ns = f->counters[slot];
}

static void begin_thread(struct fake *f, uint16_t slot)
{
	struct event_thread thread = { .head = { EVENT_THREAD, slot, f->generation, f->now },
				       .tid = 74 + slot,
				       .tgid = 77 };

	assembler_event(f->assembler, &thread, sizeof(thread));
	run(f, slot);
}

static void end_thread(struct fake *f)
{
	struct event_thread thread = { .head = { EVENT_THREAD_EXIT, f->slot, f->generation,
						 f->now } };

	memcpy(thread.ns, f->ns, sizeof(thread.ns));
	assembler_event(f->assembler, &thread, sizeof(thread));
	memset(f->ns, 0, sizeof(f->counters[0]));
}

static void fake_begin(struct fake *f)
{
	struct assembler_opts opts = { .start_ns = 1000,
				       .work_per_ms = 1000000,
				       .sink = { keep_row, &f->rows } };

	memset(f, 0, sizeof(*f));
	f->assembler = assembler_new(&opts);
	f->now = 1000;
	f->generation = 1;
	begin_thread(f, 3);
}

static void fake_end_with(struct fake *f, struct assembler_totals *ret_totals)
{
	for (unsigned slot = 0; slot < FAKE_THREADS; slot++)
		assembler_thread_end(f->assembler, slot, f->generation, f->counters[slot]);
	CHECK_EQ(assembler_finish(f->assembler, f->now - 1000, ret_totals), 0);
	assembler_free(f->assembler);
}

static void fake_end(struct fake *f)
{
	struct assembler_totals totals;

	fake_end_with(f, &totals);
}

static void spend(struct fake *f, enum thread_state state, uint64_t ns)
{
	f->ns[state] += ns;
	f->now += ns;
}

static void open_socket(struct fake *f, uint64_t id, uint16_t flags)
{
	struct event_socket e = { .head = { EVENT_SOCKET, 0, 0, f->now },
				  .socket_id = id,
				  .family = AF_INET,
				  .local_port = 7000,
				  .remote_port = 40000,
				  .flags = flags,
				  .remote_addr = { 127, 0, 0, 1 } };

	assembler_event(f->assembler, &e, sizeof(e));
}

static void close_socket(struct fake *f, uint64_t id)
{
	struct event_socket e = { .head = { EVENT_SOCKET_CLOSE, 0, 0, f->now }, .socket_id = id };

	assembler_event(f->assembler, &e, sizeof(e));
}

/* A call that takes `ns` in `state`; fills in the part all events have. */
static struct event_call call(struct fake *f, enum event_kind kind, uint8_t op,
			      enum thread_state state, uint64_t ns, int64_t ret)
{
	struct event_call e = { .enter_ns = f->now, .op = op, .ret = ret, .offset = -1 };

	memcpy(e.enter, f->ns, sizeof(e.enter));
	spend(f, state, ns);
	memcpy(e.exit, f->ns, sizeof(e.exit));
	e.head = (struct event_head){ kind, f->slot, f->generation, f->now };
	return e;
}

/* Accepted by the thread that runs. */
static void accept_socket(struct fake *f, uint64_t id)
{
	struct event_call e;

	open_socket(f, id, 0);
	e = call(f, EVENT_CALL, SYSCALL_ACCEPT, TS_KERNEL_NET, 10, 5);
	e.socket_id = id;
	assembler_event(f->assembler, &e, sizeof(e));
}

static void receive(struct fake *f, uint64_t socket, int64_t bytes, uint64_t arrival)
{
	struct event_receive e = { .call = call(f, EVENT_RECEIVE, SYSCALL_RECV, TS_KERNEL_NET, 10,
						bytes) };

	e.call.socket_id = socket;
	e.arrival_ns = arrival;
	assembler_event(f->assembler, &e, sizeof(e));
}

/* By io_uring: submitted before the call in which the thread finds it done. */
static void receive_async(struct fake *f, uint64_t socket, uint64_t submitted)
{
	struct event_receive e = { .call = call(f, EVENT_RECEIVE, SYSCALL_RECV, TS_WAIT_NET, 10,
						30) };

	e.call.socket_id = socket;
	e.call.submit_ns = submitted;
	e.call.done_ns = f->now;
	e.arrival_ns = f->now - 5;
	assembler_event(f->assembler, &e, sizeof(e));
}

static void load_async(struct fake *f, uint64_t submitted, uint64_t done)
{
	struct event_call e = call(f, EVENT_CALL, SYSCALL_PREAD, TS_WAIT_BLOCK, 50, 512);

	e.offset = 4096;
	e.inode = 4242;
	e.submit_ns = submitted;
	e.done_ns = done;
	assembler_event(f->assembler, &e, sizeof(e));
}

static void reply(struct fake *f, uint64_t socket, int64_t bytes)
{
	struct event_call e = call(f, EVENT_CALL, SYSCALL_SEND, TS_KERNEL_NET, 20, bytes);

	e.socket_id = socket;
	assembler_event(f->assembler, &e, sizeof(e));
}

struct bytes_in {
	struct event_receive receive;
	uint8_t bytes[256];
};

struct bytes_out {
	struct event_send send;
	uint8_t bytes[256];
};

static void receive_text(struct fake *f, uint64_t socket, const char *text)
{
	size_t n = strlen(text);
	struct bytes_in e = { .receive.call =
				      call(f, EVENT_RECEIVE, SYSCALL_RECV, TS_KERNEL_NET, 10, n) };

	e.receive.call.socket_id = socket;
	e.receive.arrival_ns = f->now - 10;
	e.receive.seen = n;
	memcpy(e.receive.bytes, text, n);
	assembler_event(f->assembler, &e, sizeof(e.receive) + n);
}

static void reply_text(struct fake *f, uint64_t socket, const char *text)
{
	size_t n = strlen(text);
	struct bytes_out e = { .send.call =
				       call(f, EVENT_SEND, SYSCALL_SEND, TS_KERNEL_NET, 30, n) };

	e.send.call.socket_id = socket;
	e.send.seen = n;
	memcpy(e.send.bytes, text, n);
	assembler_event(f->assembler, &e, sizeof(e.send) + n);
}

static void load(struct fake *f, int64_t bytes)
{
	struct event_call e = call(f, EVENT_CALL, SYSCALL_PREAD, TS_WAIT_BLOCK, 40, bytes);

	e.inode = 4343;
	e.offset = 0;
	assembler_event(f->assembler, &e, sizeof(e));
}

static void signal_by(struct fake *f, uint8_t op, uint64_t ns)
{
	struct event_call e = call(f, EVENT_CALL, op, TS_WAIT_FUTEX, ns, 1);

	e.object = OBJECT_SIGNAL;
	e.inode = 0x1000;
	assembler_event(f->assembler, &e, sizeof(e));
}

static void poll_for(struct fake *f, uint64_t ns)
{
	struct event_call e = call(f, EVENT_CALL, SYSCALL_POLL, TS_WAIT_POLL, ns, 1);

	assembler_event(f->assembler, &e, sizeof(e));
}

static void store(struct fake *f, int64_t bytes)
{
	struct event_call e = call(f, EVENT_CALL, SYSCALL_WRITE, TS_KERNEL_FS, 5, bytes);

	e.offset = f->file_bytes;
	f->file_bytes += bytes;
	e.file_bytes = f->file_bytes;
	e.inode = 4242;
	assembler_event(f->assembler, &e, sizeof(e));
}

static void sync_file(struct fake *f, uint64_t ns)
{
	struct event_call e = call(f, EVENT_CALL, SYSCALL_DATASYNC, TS_WAIT_BLOCK, ns, 0);

	e.inode = 4242;
	assembler_event(f->assembler, &e, sizeof(e));
}

static int64_t rows_sum(const struct row_latency *l)
{
	int64_t sum = l->unattributed_ns;

	for (int i = 0; i < SUB_COUNT; i++)
		sum += l->ns[i];
	return sum;
}

static const struct row_request *request_on(const struct rows *rows, uint64_t connection)
{
	for (size_t i = 0; i < rows->count[TABLE_REQUESTS]; i++)
		if (rows->requests[i].connection_id == connection)
			return &rows->requests[i];
	return NULL;
}

static const struct row_latency *latency_of(const struct rows *rows, uint64_t request)
{
	for (size_t i = 0; i < rows->count[TABLE_LATENCY]; i++)
		if (rows->latency[i].request_id == request)
			return &rows->latency[i];
	return NULL;
}

/* read, 3 ms of work, reply; twenty-three times. */
static void test_plain_requests(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	for (int i = 0; i < 23; i++) {
		poll_for(&f, 1000);
		receive(&f, 9, 7168, f.now - 50);
		spend(&f, TS_USER, 3000000);
		reply(&f, 9, 64);
	}
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 23);
	CHECK_EQ(f.rows.count[TABLE_LATENCY], 23);
	for (int i = 0; i < 23; i++) {
		const struct row_request *r = &f.rows.requests[i];
		const struct row_latency *l = &f.rows.latency[i];

		check_case("request %d", i);
		CHECK_EQ(r->request_bytes, 7168);
		CHECK_EQ(r->response_bytes, 64);
		CHECK_EQ(r->end_ns - r->arrival_ns, 50 + 10 + 3000000 + 20);
		CHECK_EQ(l->ns[SUB_CPU_USER], 3000000);
		CHECK_EQ(l->ns[SUB_CPU_KERNEL_NET], 30);
		CHECK_EQ(l->ns[SUB_NET_RXQUEUE], 50);
		CHECK_EQ(l->unattributed_ns, 0);
		CHECK_EQ(rows_sum(l), l->total_ns);
		CHECK_EQ(r->after_request, i ? f.rows.requests[i - 1].request_id : 0);
	}
	CHECK_EQ(f.rows.classes[0].requests, 23);
	CHECK_STR(f.rows.classes[0].signature, "compute reply");
	CHECK_EQ(f.rows.ops[0].kind, OP_COMPUTE);
	CHECK_EQ(f.rows.ops[0].cpu_ns, 3000000);
	CHECK_EQ(f.rows.ops[0].work, 3000000);
	CHECK_EQ(f.rows.ops[1].kind, OP_REPLY);
	CHECK_EQ(f.rows.ops[1].after, f.rows.ops[0].op_id);
}

/* Redis: three connections read in one pass, one write, one sync, three replies. */
static void test_shared_sync(void)
{
	static struct fake f;
	uint64_t arrival;

	fake_begin(&f);
	for (uint64_t s = 1; s <= 3; s++)
		open_socket(&f, s, 0);
	poll_for(&f, 1000);
	arrival = f.now;
	for (uint64_t s = 1; s <= 3; s++) {
		receive(&f, s, 45, arrival);
		spend(&f, TS_USER, 100 * s);
	}
	store(&f, 123);
	sync_file(&f, 5000);
	for (uint64_t s = 1; s <= 3; s++)
		reply(&f, s, 5);
	poll_for(&f, 1000);
	fake_end(&f);

	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 3);
	CHECK_EQ(f.rows.count[TABLE_OP_REQUESTS], 4); /* two further owners of each of two ops */
	CHECK_EQ(f.rows.count[TABLE_TARGETS], 1);
	CHECK_EQ(f.rows.targets[0].file_bytes, 0);
	for (uint64_t s = 1; s <= 3; s++) {
		const struct row_request *r = request_on(&f.rows, s);
		const struct row_latency *l = latency_of(&f.rows, r->request_id);

		check_case("connection %d", (int)s);
		CHECK_EQ(l->ns[SUB_CPU_USER], 100 * s);
		CHECK_EQ(l->ns[SUB_BLOCK_DEVICE], 5000);
		CHECK_EQ(l->ns[SUB_CPU_KERNEL_FS], 5);
		CHECK_EQ(l->unattributed_ns, 0);
		CHECK_EQ(rows_sum(l), l->total_ns);
		CHECK_EQ(l->total_ns, r->end_ns - r->arrival_ns);
	}
}

/* A store after the reply (an access log), and a sync nobody asked for. */
static void test_after_reply_and_background(void)
{
	static struct fake f;
	size_t after = 0, background = 0;

	fake_begin(&f);
	open_socket(&f, 1, 0);
	poll_for(&f, 100);
	receive(&f, 1, 30, f.now);
	reply(&f, 1, 300);
	store(&f, 80);
	poll_for(&f, 100);
	sync_file(&f, 700);
	fake_end(&f);
	for (size_t i = 0; i < f.rows.count[TABLE_OPS]; i++) {
		after += f.rows.ops[i].after_reply && f.rows.ops[i].kind == OP_STORE &&
			 f.rows.ops[i].request_id == f.rows.requests[0].request_id;
		background += !f.rows.ops[i].request_id && f.rows.ops[i].kind == OP_SYNC;
	}
	CHECK_EQ(after, 1);
	CHECK_EQ(background, 1);
	CHECK_EQ(f.rows.latency[0].ns[SUB_CPU_KERNEL_FS], 0);
}

/* A proxy: while the other service works, the request waits for its call. */
static void test_call(void)
{
	static struct fake f;
	const struct row_op *forward = NULL;

	fake_begin(&f);
	open_socket(&f, 1, 0);
	poll_for(&f, 100);
	receive(&f, 1, 30, f.now);
	open_socket(&f, 2, SOCKET_OUTGOING);
	reply(&f, 2, 40); /* bytes out on the outgoing one: the call */
	poll_for(&f, 9000);
	receive(&f, 2, 50, f.now);
	reply(&f, 1, 60);
	fake_end(&f);
	for (size_t i = 0; i < f.rows.count[TABLE_OPS]; i++)
		if (f.rows.ops[i].kind == OP_FORWARD)
			forward = &f.rows.ops[i];
	if (!CHECK(forward))
		return;
	CHECK_EQ(forward->bytes, 40);
	CHECK_EQ(forward->reply_bytes, 50);
	CHECK_EQ(forward->request_id, f.rows.requests[0].request_id);
	CHECK_EQ(forward->connection_id, 2);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 1);
	CHECK_EQ(f.rows.latency[0].ns[SUB_CALL], 9000);
	CHECK_EQ(rows_sum(&f.rows.latency[0]), f.rows.latency[0].total_ns);
}

static void test_edges(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 1, SOCKET_BEFORE);
	reply(&f, 1, 10); /* its request came before us */
	open_socket(&f, 2, 0);
	reply(&f, 2, 10); /* speaks first */
	open_socket(&f, 3, 0);
	receive(&f, 3, 10, f.now);
	close_socket(&f, 3); /* never answered */
	open_socket(&f, 4, 0);
	receive(&f, 4, 10, 0); /* no stamp */
	CHECK_EQ(assembler_ledger(f.assembler)->count[LG_OPEN_AT_START], 1);
	CHECK_EQ(assembler_ledger(f.assembler)->count[LG_REPLIES_UNPAIRED], 1);
	CHECK_EQ(assembler_ledger(f.assembler)->count[LG_ARRIVALS_UNKNOWN], 1);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 2);
	CHECK_STR(f.rows.requests[0].status, "unanswered");
	CHECK_STR(f.rows.requests[1].status, "open");
	CHECK_EQ(f.rows.count[TABLE_CONNECTIONS], 4);
}

/* Whatever is lost or cut: no crash, no invented requests. */
static void test_lost_and_cut_events(void)
{
	static struct fake f;
	struct event_call stray = { .head = { EVENT_CALL, 3999, 9, 5000 }, .op = SYSCALL_POLL };
	struct event_receive unknown = { .call.head = { EVENT_RECEIVE, 3, 1, 6000 } };

	fake_begin(&f);
	CHECK_EQ(assembler_event(f.assembler, &stray, sizeof(stray)), 0);
	CHECK_EQ(assembler_event(f.assembler, &unknown, sizeof(unknown)), 0);
	CHECK_EQ(assembler_event(f.assembler, &unknown, sizeof(struct event_call)), 0);
	CHECK_EQ(assembler_event(f.assembler, &unknown, 3), 0);
	close_socket(&f, 12345);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 0);
}

/* A thread for each connection: none is kept when its request is over. */
static void test_threads_that_come_and_go(void)
{
	static struct fake f;
	size_t early = 0;

	fake_begin(&f);
	for (int i = 0; i < 3000; i++) {
		f.generation++;
		begin_thread(&f, 4);
		open_socket(&f, 9, 0);
		receive(&f, 9, 30, f.now);
		spend(&f, TS_USER, 500);
		reply(&f, 9, 40);
		store(&f, 10);
		if (i % 3 == 2)
			end_thread(&f); /* before or after its connection, or nobody says so */
		close_socket(&f, 9);
		if (i % 3 == 1)
			end_thread(&f);
		if (i == 1000)
			early = mallinfo2().uordblks;
	}
	CHECK(mallinfo2().uordblks < early + 65536);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 3000);
	CHECK_EQ(f.rows.count[TABLE_LATENCY], 3000);
}

/* A request whose reader has ended is still answered, by another thread. */
static void test_reader_ends_before_the_reply(void)
{
	static struct fake f;

	fake_begin(&f);
	begin_thread(&f, 4);
	open_socket(&f, 9, 0);
	receive(&f, 9, 30, f.now);
	end_thread(&f);
	run(&f, 3);
	poll_for(&f, 100);
	spend(&f, TS_USER, 500);
	reply(&f, 9, 40);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 1);
	CHECK_EQ(f.rows.requests[0].response_bytes, 40);
	CHECK_EQ(f.rows.requests[0].thread_id, 78);
	CHECK_EQ(f.rows.latency[0].ns[SUB_CPU_USER], 500);
}

static size_t ops_of(const struct rows *rows, uint64_t request, enum op_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < rows->count[TABLE_OPS]; i++)
		n += rows->ops[i].request_id == request && rows->ops[i].kind == kind;
	return n;
}

/* PostgreSQL: a backend waits for a lock in epoll_wait, and goes on with the same request. */
static void test_wait_within_a_request(void)
{
	static struct fake f;
	struct assembler_totals totals;

	fake_begin(&f);
	accept_socket(&f, 9);
	begin_thread(&f, 4);
	for (int i = 0; i < 2; i++) {
		poll_for(&f, 100);
		receive(&f, 9, 30, f.now);
		spend(&f, TS_USER, 500);
		poll_for(&f, 7000);
		spend(&f, TS_USER, 300);
		store(&f, 80);
		poll_for(&f, 1000);
		reply(&f, 9, 40);
	}
	fake_end_with(&f, &totals);
	CHECK_STR(totals.services[0].io_model, "per-connection");
	for (int i = 0; i < 2; i++) {
		const struct row_latency *l = &f.rows.latency[i];

		check_case("request %d", i);
		CHECK_EQ(ops_of(&f.rows, f.rows.requests[i].request_id, OP_STORE), 1);
		CHECK_EQ(l->ns[SUB_LOCK_USER], 8000);
		CHECK_EQ(l->ns[SUB_CPU_USER], 800);
		CHECK_EQ(l->ns[SUB_APP_QUEUE], 0);
		CHECK_EQ(l->unattributed_ns, 0);
		CHECK_EQ(rows_sum(l), l->total_ns);
	}
}

/* It polled for the rest of the request, as more bytes show; and a loop that has two looks for work. */
static void test_polls_that_are_no_wait_within(void)
{
	static struct fake f;
	struct assembler_totals totals;
	const struct row_latency *l;

	fake_begin(&f);
	accept_socket(&f, 9);
	accept_socket(&f, 8);
	begin_thread(&f, 4);
	receive(&f, 9, 30, f.now);
	poll_for(&f, 7000);
	receive(&f, 9, 30, f.now);
	reply(&f, 9, 40);
	poll_for(&f, 50);
	receive(&f, 8, 30, f.now);
	poll_for(&f, 50);
	store(&f, 80);
	reply(&f, 8, 40);
	fake_end_with(&f, &totals);
	CHECK_STR(totals.services[0].io_model, "hand-off");
	l = latency_of(&f.rows, request_on(&f.rows, 1)->request_id);
	CHECK_EQ(l->ns[SUB_LOCK_USER], 0);
	CHECK_EQ(l->ns[SUB_NET_SOCKET], 7000);
	CHECK_EQ(l->unattributed_ns, 0);
	CHECK_EQ(ops_of(&f.rows, 0, OP_STORE), 1);
}

static int64_t background_ns(const struct rows *rows)
{
	int64_t ns = 0;

	for (size_t i = 0; i < rows->count[TABLE_OPS]; i++)
		ns += rows->ops[i].request_id ? 0 : rows->ops[i].cpu_ns;
	return ns;
}

/* What follows an accept is no request's, also when the next call reads one that has come before. */
static struct datagram datagram_of(struct fake *f, uint16_t peer, bool sent, const void *bytes,
				   size_t size)
{
	struct datagram d = { .socket_id = 9,
			      .arrival_ns = sent ? 0 : f->now,
			      .local_port = 53,
			      .remote_port = peer,
			      .sent = sent,
			      .bytes = size,
			      .seen = size < EVENT_BYTES_SMALL ? size : EVENT_BYTES_SMALL };

	memcpy(d.remote_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
	memcpy(d.first, bytes, d.seen);
	return d;
}

static void datagram_call(struct fake *f, uint16_t peer, bool sent, const void *bytes, size_t size)
{
	struct event_datagram e = { .datagram = datagram_of(f, peer, sent, bytes, size) };

	e.call = call(f, EVENT_DATAGRAM, sent ? SYSCALL_SENDMMSG : SYSCALL_RECVMMSG, TS_KERNEL_NET,
		      10, size);
	e.call.socket_id = 9;
	assembler_event(f->assembler, &e, sizeof(e));
}

/* Another one of the same call, told after an interrupt. */
static void datagram_too(struct fake *f, uint16_t peer, const void *bytes, size_t size)
{
	struct event_datagram_more e = { .head = { EVENT_DATAGRAM_MORE, 3, 1, f->now + 3 },
					 .datagram = datagram_of(f, peer, false, bytes, size) };

	e.datagram.arrival_ns = f->now - 25;
	assembler_event(f->assembler, &e, sizeof(e));
}

static const char noise[100] = "nothing that anybody knows";

/* Two peers of one socket: two connections, and whoever is asked first has the call. */
static void test_datagrams(void)
{
	struct fake f;
	int asked;

	fake_begin(&f);
	datagram_call(&f, 1000, false, noise, 40);
	spend(&f, TS_USER, 50);
	datagram_call(&f, 2000, true, noise, 60);
	spend(&f, TS_USER, 5);
	datagram_call(&f, 2000, false, noise, 61);
	spend(&f, TS_USER, 7);
	datagram_call(&f, 1000, true, noise, 41);
	datagram_call(&f, 1000, true, noise, 1); /* more of that reply */
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_CONNECTIONS], 2);
	asked = f.rows.connections[0].outgoing ? 1 : 0; /* rows come as connections end */
	CHECK_STR(f.rows.connections[asked].local, "[::]:53");
	CHECK_STR(f.rows.connections[asked].remote, "127.0.0.1:1000");
	CHECK_STR(f.rows.connections[asked].peer_class, "loopback");
	CHECK_STR(f.rows.connections[!asked].remote, "127.0.0.1:2000");
	CHECK_EQ(f.rows.connections[!asked].outgoing, 1);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 1);
	CHECK_EQ(f.rows.requests[0].request_bytes, 40);
	CHECK_EQ(f.rows.requests[0].response_bytes, 42);
	CHECK_EQ(f.rows.requests[0].confidence, 90);
	CHECK_EQ(f.rows.latency[0].ns[SUB_CPU_USER], 62);
	CHECK_EQ(f.rows.latency[0].unattributed_ns, 0);
}

static const struct row_request *request_of(const struct fake *f, uint64_t bytes)
{
	size_t i = 0;

	while (i < f->rows.count[TABLE_REQUESTS] && f->rows.requests[i].request_bytes != bytes)
		i++;
	return &f->rows.requests[i];
}

/* Whose the first store is. */
static uint64_t store_owner(const struct fake *f)
{
	for (size_t i = 0; i < f->rows.count[TABLE_OPS]; i++)
		if (f->rows.ops[i].kind == OP_STORE)
			return f->rows.ops[i].request_id;
	return 0;
}

/* Each is a request of its own; the call's time is the first one's, what it waited the other's. */
static void test_datagrams_of_one_call(void)
{
	struct fake f;

	fake_begin(&f);
	poll_for(&f, 100);
	datagram_call(&f, 1000, false, noise, 40);
	datagram_too(&f, 2000, noise, 30);
	spend(&f, TS_USER, 50);
	datagram_call(&f, 1000, true, noise, 41);
	store(&f, 500);
	spend(&f, TS_USER, 70);
	datagram_call(&f, 2000, true, noise, 31);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 2);
	CHECK_EQ(store_owner(&f), request_of(&f, 30)->request_id);
	for (size_t i = 0; i < 2; i++) {
		const struct row_request *r = &f.rows.requests[i];
		const struct row_latency *l = &f.rows.latency[i];

		CHECK_EQ(r->response_bytes, r->request_bytes + 1);
		CHECK_EQ(l->ns[SUB_CPU_USER], r->request_bytes == 40 ? 50 : 70);
		CHECK_EQ(l->unattributed_ns, 0);
		CHECK_EQ(l->total_ns, r->end_ns - r->arrival_ns);
	}
}

/* Who never answers is no leak. */
static void test_datagrams_nobody_answers(void)
{
	struct fake f;

	fake_begin(&f);
	for (int i = 0; i < 1000; i++)
		datagram_call(&f, 1000, false, noise, 40);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 1000 - 256);
	CHECK_STR(f.rows.requests[0].status, "unanswered");
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 1000);
}

/* Two questions of one peer, answered in the other order. */
static void test_dns_by_id(void)
{
	static const char question[32] = "\0\1\1\0\0\1\0\0\0\0\0\0\4gait\0\0\1\0\1";
	char first[32], second[32], answer[40] = { 0 };
	struct fake f;

	memcpy(first, question, sizeof(first));
	memcpy(second, question, sizeof(second));
	second[1] = 2;
	fake_begin(&f);
	datagram_call(&f, 1000, false, first, 22);
	datagram_call(&f, 1000, false, second, 23);
	memcpy(answer, second, 22);
	answer[2] = '\x81';
	answer[3] = '\x80';
	datagram_call(&f, 1000, true, answer, 40);
	answer[1] = 1;
	datagram_call(&f, 1000, true, answer, 39);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 2);
	CHECK_STR(f.rows.connections[0].protocol, "dns");
	for (size_t i = 0; i < 2; i++) {
		const struct row_request *r = &f.rows.requests[i];

		CHECK_EQ(r->response_bytes, r->request_bytes == 22 ? 39 : 40);
		CHECK_EQ(r->confidence, 100);
	}
}

/* No address, and the end of the process is its connections' end. */
static void test_unix_sockets(void)
{
	struct event_socket opened = { .head = { EVENT_SOCKET, 0, 0, 1000 },
				       .socket_id = 5,
				       .family = AF_UNIX };
	struct event_thread gone = { .head = { EVENT_THREAD_EXIT, 3, 1, 5000 },
				     .tid = 77,
				     .tgid = 77 };
	struct fake f;

	fake_begin(&f);
	assembler_event(f.assembler, &opened, sizeof(opened));
	receive(&f, 5, 100, f.now);
	reply(&f, 5, 200);
	CHECK_EQ(f.rows.count[TABLE_CONNECTIONS], 0);
	assembler_event(f.assembler, &gone, sizeof(gone));
	CHECK_EQ(f.rows.count[TABLE_CONNECTIONS], 1);
	CHECK_STR(f.rows.connections[0].peer_class, "unix");
	CHECK_STR(f.rows.connections[0].local, "unix");
	CHECK_STR(f.rows.connections[0].remote, "unix");
	CHECK_EQ(f.rows.connections[0].close_ns, 4000);
	CHECK_EQ(f.rows.connections[0].requests, 1);
	fake_end(&f);
}

static void test_what_an_accept_costs(void)
{
	static struct fake f;
	uint64_t arrival;

	fake_begin(&f);
	poll_for(&f, 1000);
	accept_socket(&f, 9);
	arrival = f.now;
	spend(&f, TS_USER, 4000);
	receive(&f, 9, 30, arrival);
	spend(&f, TS_USER, 500);
	reply(&f, 9, 40);
	poll_for(&f, 1000);
	spend(&f, TS_USER, 70);
	receive(&f, 9, 30, f.now);
	reply(&f, 9, 40);
	fake_end(&f);
	CHECK_EQ(f.rows.latency[0].ns[SUB_CPU_USER], 500);
	CHECK_EQ(f.rows.latency[0].ns[SUB_NET_RXQUEUE], 4000);
	CHECK_EQ(f.rows.latency[0].unattributed_ns, 0);
	CHECK_EQ(f.rows.ops[0].cpu_ns, 500);
	CHECK_EQ(background_ns(&f.rows), 4000);
	CHECK_EQ(ops_of(&f.rows, f.rows.requests[1].request_id, OP_COMPUTE), 1);
}

/* What came before its connection was accepted waited for that first, then to be read. */
static void test_came_before_it_was_accepted(void)
{
	static struct fake f;
	uint64_t arrival;

	fake_begin(&f);
	poll_for(&f, 1000);
	arrival = f.now;
	spend(&f, TS_WAIT_SLEEP, 3000);
	accept_socket(&f, 9); /* 10 ns */
	spend(&f, TS_USER, 400);
	receive(&f, 9, 30, arrival);
	reply(&f, 9, 40);
	receive(&f, 9, 30, f.now - 50);
	reply(&f, 9, 40);
	fake_end(&f);
	CHECK_EQ(f.rows.latency[0].ns[SUB_NET_ACCEPT], 3010);
	CHECK_EQ(f.rows.latency[0].ns[SUB_NET_RXQUEUE], 400);
	CHECK_EQ(f.rows.latency[0].unattributed_ns, 0);
	CHECK_EQ(f.rows.latency[1].ns[SUB_NET_ACCEPT], 0);
}

#define PING "*1\r\n$4\r\nPING\r\n"
#define PONG "+PONG\r\n"

/* Three requests in one read: what each of them needs, with as much user time as its number. */
static void work_in_rounds(struct fake *f)
{
	for (int k = 1; k <= 3; k++) {
		load(f, 100 * k);
		spend(f, TS_USER, 1000 * k);
		store(f, 10 * k);
	}
}

static void check_rounds(const struct rows *rows)
{
	if (!CHECK_EQ(rows->count[TABLE_REQUESTS], 3))
		return;
	for (int k = 1; k <= 3; k++) {
		const struct row_request *r = &rows->requests[k - 1];
		const struct row_latency *l = latency_of(rows, r->request_id);

		check_case("round %d", k);
		CHECK_EQ(ops_of(rows, r->request_id, OP_LOAD), 1);
		CHECK_EQ(ops_of(rows, r->request_id, OP_STORE), 1);
		CHECK_EQ(l->ns[SUB_CPU_USER], 1000 * k);
		CHECK_EQ(l->ns[SUB_BLOCK_DEVICE], 40);
		CHECK_EQ(l->unattributed_ns, 0);
		CHECK_EQ(rows_sum(l), l->total_ns);
		CHECK_EQ(r->confidence, 80);
	}
	CHECK_EQ(rows->count[TABLE_OP_REQUESTS], 0);
}

/*
 * Of three that waited in a socket while the thread was at something else each came with a segment of its
 * own, the last two with the same: they have that arrival, and the sum of their rows is the time since then.
 */
static void test_each_has_its_segment(void)
{
	static const uint64_t came[] = { 1310, 1450, 1450 };
	static const size_t ping = sizeof(PING) - 1;
	static struct fake f;
	struct event_pieces pieces = { .head = { .kind = EVENT_PIECES, .slot = 3 },
				       .socket_id = 9,
				       .count = 1,
				       .at = { { .ns = came[1], .bytes = 2 * ping } } };
	struct bytes_in e;

	fake_begin(&f);
	open_socket(&f, 8, 0);
	open_socket(&f, 9, 0);
	receive_text(&f, 8, PING);
	spend(&f, TS_WAIT_SLEEP, 600);
	reply_text(&f, 8, PONG);
	e = (struct bytes_in){ .receive.call = call(&f, EVENT_RECEIVE, SYSCALL_RECV, TS_KERNEL_NET,
						    10, 3 * ping) };
	memcpy(e.receive.bytes, PING PING PING, e.receive.seen = 3 * ping);
	e.receive.call.socket_id = 9;
	e.receive.arrival_ns = came[0];
	pieces.head.generation = f.generation;
	pieces.head.ns = f.now;
	assembler_event(f.assembler, &pieces, sizeof(pieces));
	assembler_event(f.assembler, &e, sizeof(e.receive) + e.receive.seen);
	spend(&f, TS_USER, 50);
	reply_text(&f, 9, PONG PONG PONG);
	receive_text(&f, 9, PING); /* of its own: what came before is over */
	reply_text(&f, 9, PONG);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 5);
	for (size_t i = 0; i < 3; i++) {
		const struct row_request *r = &f.rows.requests[1 + i];
		const struct row_latency *l = latency_of(&f.rows, r->request_id);

		check_case("request %zu", i);
		CHECK_EQ(r->arrival_ns, came[i] - 1000);
		CHECK_EQ(l->total_ns, r->end_ns - r->arrival_ns);
		CHECK_EQ(rows_sum(l), l->total_ns);
		CHECK_EQ(l->unattributed_ns, 0);
	}
	CHECK(f.rows.requests[4].arrival_ns >= f.rows.requests[1].end_ns);
}

static void test_rounds_answered_by_one_call(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	poll_for(&f, 100);
	receive_text(&f, 9, PING PING PING);
	work_in_rounds(&f);
	reply_text(&f, 9, PONG PONG PONG);
	fake_end(&f);
	check_rounds(&f.rows);
}

static void test_rounds_before_the_first_reply(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	poll_for(&f, 100);
	receive_text(&f, 9, PING PING PING);
	work_in_rounds(&f);
	for (int k = 0; k < 3; k++)
		reply_text(&f, 9, PONG);
	fake_end(&f);
	check_rounds(&f.rows);
}

/* The same of a thread that was woken for it. */
static void test_rounds_of_a_worker(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	poll_for(&f, 100);
	receive_text(&f, 9, PING PING PING);
	poll_for(&f, 1);
	begin_thread(&f, 4);
	signal_by(&f, SYSCALL_WAIT, 100);
	work_in_rounds(&f);
	for (int k = 0; k < 3; k++)
		reply_text(&f, 9, PONG);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 3);
	for (int k = 1; k <= 3; k++) {
		const struct row_request *r = &f.rows.requests[k - 1];

		check_case("round %d", k);
		CHECK_EQ(ops_of(&f.rows, r->request_id, OP_LOAD), 1);
		CHECK_EQ(ops_of(&f.rows, r->request_id, OP_STORE), 1);
		CHECK_EQ(latency_of(&f.rows, r->request_id)->ns[SUB_CPU_USER], 1000 * k);
		CHECK_EQ(r->confidence, 80);
	}
}

/* While a thread is with one connection's requests another replies to those it had done before. */
static void test_rounds_while_another_replies(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 8, 0);
	open_socket(&f, 9, 0);
	begin_thread(&f, 4);
	run(&f, 3);
	poll_for(&f, 100);
	receive_text(&f, 8, PING PING PING);
	work_in_rounds(&f);
	receive_text(&f, 9, PING PING PING);
	load(&f, 100);
	spend(&f, TS_USER, 50);
	run(&f, 4);
	reply_text(&f, 8, PONG PONG PONG);
	run(&f, 3);
	load(&f, 200);
	load(&f, 300);
	run(&f, 4);
	reply_text(&f, 9, PONG PONG PONG);
	run(&f, 3);
	poll_for(&f, 100);
	fake_end(&f);
	if (!CHECK_EQ(f.rows.count[TABLE_REQUESTS], 6))
		return;
	for (size_t i = 0; i < 6; i++) {
		check_case("request %zu", i);
		CHECK_EQ(ops_of(&f.rows, f.rows.requests[i].request_id, OP_LOAD), 1);
	}
}

/* A reply behind each: that two of them need the same is no sign of rounds. */
static void test_one_by_one(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	for (int i = 0; i < 2; i++) {
		poll_for(&f, 100);
		receive_text(&f, 9, PING PING);
		for (int k = 0; k < 2; k++) {
			load(&f, 100);
			load(&f, 100);
			reply_text(&f, 9, PONG);
		}
	}
	fake_end(&f);
	for (int k = 2; k < 4; k++) /* the first two taught it */
		CHECK_EQ(ops_of(&f.rows, f.rows.requests[k].request_id, OP_LOAD), 2);
}

/* One load and one store for three: they share them, and the user time. */
static void test_answered_by_one_call_without_rounds(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	poll_for(&f, 100);
	receive_text(&f, 9, PING PING PING);
	load(&f, 100);
	spend(&f, TS_USER, 3000);
	store(&f, 10);
	reply_text(&f, 9, PONG PONG PONG);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 3);
	CHECK_EQ(f.rows.count[TABLE_OP_REQUESTS], 4);
	for (int k = 0; k < 3; k++) {
		const struct row_latency *l = &f.rows.latency[k];

		check_case("request %d", k);
		CHECK_EQ(l->ns[SUB_CPU_USER], 1000);
		CHECK_EQ(l->ns[SUB_BLOCK_DEVICE], 40);
		CHECK_EQ(l->ns[SUB_CPU_KERNEL_NET], 20);
		CHECK_EQ(l->unattributed_ns, 0);
		CHECK_EQ(rows_sum(l), l->total_ns);
	}
}

/* Each loads, then they are stored and synced at once. */
static void test_rounds_and_what_follows_for_all(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	poll_for(&f, 100);
	receive_text(&f, 9, PING PING PING);
	for (int k = 1; k <= 3; k++) {
		load(&f, 100);
		spend(&f, TS_USER, 1000 * k);
	}
	store(&f, 30);
	sync_file(&f, 5000);
	reply_text(&f, 9, PONG PONG PONG);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_OP_REQUESTS], 4);
	for (int k = 1; k <= 3; k++) {
		const struct row_latency *l = &f.rows.latency[k - 1];

		check_case("request %d", k);
		CHECK_EQ(ops_of(&f.rows, l->request_id, OP_LOAD), 1);
		CHECK_EQ(l->ns[SUB_CPU_USER], 1000 * k);
		CHECK_EQ(l->ns[SUB_BLOCK_DEVICE], 5040);
		CHECK_EQ(rows_sum(l), l->total_ns);
	}
}

/* The connection ends, and the thread, while ops of several requests wait. */
static void test_batch_without_a_reply(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 9, 0);
	receive_text(&f, 9, PING PING PING);
	work_in_rounds(&f);
	close_socket(&f, 9);
	open_socket(&f, 8, 0);
	receive_text(&f, 8, PING PING);
	store(&f, 10);
	end_thread(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 3);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 5);
	CHECK_EQ(ops_of(&f.rows, 0, OP_STORE), 0);
	CHECK_EQ(f.rows.count[TABLE_TARGETS], 2);
}

static size_t owned(const struct rows *rows, uint64_t request, enum op_kind kind)
{
	size_t n = ops_of(rows, request, kind);

	for (size_t i = 0; i < rows->count[TABLE_OP_REQUESTS]; i++)
		for (size_t j = 0; j < rows->count[TABLE_OPS]; j++)
			n += rows->shares[i].request_id == request &&
			     rows->shares[i].op_id == rows->ops[j].op_id &&
			     rows->ops[j].kind == kind;
	return n;
}

/* Redis with I/O threads: 4 and 5 read and spin, 3 stores and syncs for all that they have read. */
static void test_io_threads_read(void)
{
	static struct fake f;

	fake_begin(&f);
	begin_thread(&f, 4);
	begin_thread(&f, 5);
	for (uint64_t s = 1; s <= 3; s++)
		open_socket(&f, s, 0);
	for (uint16_t pass = 0; pass < 4; pass++) {
		run(&f, 3);
		poll_for(&f, 100);
		for (uint16_t s = 1; s <= 3; s++) {
			run(&f, 3 + (pass + s) % 3);
			receive(&f, s, 30, f.now);
		}
		run(&f, 3);
		store(&f, 90);
		sync_file(&f, 5000);
		for (uint16_t s = 1; s <= 3; s++) {
			run(&f, 3 + (pass + s) % 3);
			spend(&f, TS_USER, 5000); /* it spins */
			reply(&f, s, 5);
		}
	}
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 12);
	for (size_t i = 3; i < 12;
	     i++) { /* in the first pass they look like threads of one connection */
		const struct row_request *r = &f.rows.requests[i];

		check_case("request %d", (int)r->request_id);
		CHECK_EQ(owned(&f.rows, r->request_id, OP_STORE), 1);
		CHECK_EQ(owned(&f.rows, r->request_id, OP_SYNC), 1);
		CHECK_EQ(latency_of(&f.rows, r->request_id)->ns[SUB_BLOCK_DEVICE], 5000);
		if (r->thread_id != 77) {
			CHECK_EQ(r->confidence, 60);
			CHECK_EQ(latency_of(&f.rows, r->request_id)->ns[SUB_CPU_USER], 0);
		}
	}
}

/* Threads that each do what they read: no store is another's. */
static void test_threads_that_work_themselves(void)
{
	static struct fake f;

	fake_begin(&f);
	begin_thread(&f, 4);
	open_socket(&f, 1, 0);
	open_socket(&f, 2, 0);
	for (int i = 0; i < 4; i++) {
		run(&f, 3);
		receive(&f, 1 + i % 2, 30, f.now);
		run(&f, 4);
		receive(&f, 2 - i % 2, 30, f.now);
		store(&f, 10);
		reply(&f, 2 - i % 2, 5);
		run(&f, 3);
		store(&f, 10);
		reply(&f, 1 + i % 2, 5);
	}
	fake_end(&f);
	for (size_t i = 0; i < 4; i++)
		CHECK_EQ(owned(&f.rows, f.rows.requests[i].request_id, OP_STORE), 1);
	CHECK_EQ(f.rows.count[TABLE_OP_REQUESTS], 0);
}

static const struct row_op *call_on(const struct rows *rows, uint64_t connection)
{
	for (size_t i = 0; i < rows->count[TABLE_OPS]; i++)
		if (rows->ops[i].kind == OP_FORWARD && rows->ops[i].connection_id == connection)
			return &rows->ops[i];
	return NULL;
}

/* A proxy reads three, then passes them on in another order; their first lines show which. */
static void test_calls_known_by_their_heads(void)
{
	static const char *const texts[] = { "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
					     "GET /b HTTP/1.1\r\nHost: x\r\n\r\n",
					     "GET /c HTTP/1.1\r\nHost: x\r\n\r\n" };
	static const char *const passed_on[] = { "GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
						 "GET /b HTTP/1.1\r\nhost: x\r\n\r\n",
						 "GET /c HTTP/1.1\r\nhost: x\r\n\r\n" };
	static const int order[] = { 1, 2, 0 };
	static struct fake f;

	fake_begin(&f);
	for (uint64_t s = 1; s <= 6; s++)
		open_socket(&f, s, s > 3 ? SOCKET_OUTGOING : 0);
	poll_for(&f, 100);
	for (int i = 0; i < 3; i++)
		receive_text(&f, 1 + i, texts[i]);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			poll_for(&f, 100);
		spend(&f, TS_USER, 1000 * (1 + order[i]));
		reply_text(&f, 4 + order[i], passed_on[order[i]]);
	}
	poll_for(&f, 9000);
	for (int i = 0; i < 3; i++) {
		receive(&f, 4 + i, 50, f.now);
		reply(&f, 1 + i, 60);
	}
	CHECK_EQ(assembler_ledger(f.assembler)->count[LG_CALLS_UNOWNED], 0);
	fake_end(&f);
	for (uint64_t s = 1; s <= 3; s++) {
		const struct row_request *r = request_on(&f.rows, s);
		const struct row_op *op = call_on(&f.rows, 3 + s);

		check_case("connection %d", (int)s);
		if (!CHECK(op))
			continue;
		CHECK_EQ(op->request_id, r->request_id);
		CHECK(r->confidence >= 90);
		CHECK(latency_of(&f.rows, r->request_id)->ns[SUB_CALL] >= 9000);
		CHECK_EQ(latency_of(&f.rows, r->request_id)->unattributed_ns, 0);
	}
}

/* What it passes on shows nothing: in the order in which they came, and that is a guess. */
static void test_calls_in_the_order_of_reading(void)
{
	static struct fake f;

	fake_begin(&f);
	for (uint64_t s = 1; s <= 4; s++)
		open_socket(&f, s, s > 2 ? SOCKET_OUTGOING : 0);
	poll_for(&f, 100);
	receive(&f, 1, 30, f.now);
	receive(&f, 2, 30, f.now);
	reply(&f, 3, 40);
	reply(&f, 4, 40);
	poll_for(&f, 9000);
	for (int i = 0; i < 2; i++) {
		receive(&f, 3 + i, 50, f.now);
		reply(&f, 1 + i, 60);
	}
	fake_end(&f);
	CHECK_EQ(call_on(&f.rows, 3)->request_id, request_on(&f.rows, 1)->request_id);
	CHECK_EQ(call_on(&f.rows, 4)->request_id, request_on(&f.rows, 2)->request_id);
	CHECK_EQ(request_on(&f.rows, 1)->confidence, 50);
}

/* An op lasts from submission to completion; the thread's time is what its calls took of it. */
static void test_requests_of_io_uring(void)
{
	static struct fake f;
	const struct row_op *load = NULL;
	uint64_t submitted;

	fake_begin(&f);
	open_socket(&f, 1, 0);
	receive_async(&f, 1, f.now);
	submitted = f.now;
	spend(&f, TS_USER, 300);
	load_async(&f, submitted, f.now + 20);
	reply(&f, 1, 100);
	fake_end(&f);
	for (size_t i = 0; i < f.rows.count[TABLE_OPS]; i++)
		if (f.rows.ops[i].kind == OP_LOAD)
			load = &f.rows.ops[i];
	CHECK(load && load->start_ns == (int64_t)submitted - 1000);
	CHECK(load && load->elapsed_ns == 320);
	CHECK_EQ(f.rows.latency[0].total_ns, 5 + 300 + 50 + 20);
	CHECK_EQ(f.rows.latency[0].ns[SUB_BLOCK_DEVICE], 50);
	CHECK_EQ(f.rows.latency[0].unattributed_ns, 0);
	CHECK_EQ(f.rows.requests[0].confidence, 90);
}

/* Done at once: which of them the user time before the first reply was for, nothing shows. */
static void test_several_of_io_uring_at_once(void)
{
	static struct fake f;

	fake_begin(&f);
	open_socket(&f, 1, 0);
	open_socket(&f, 2, 0);
	receive_async(&f, 1, f.now);
	receive_async(&f, 2, f.now);
	spend(&f, TS_USER, 300);
	reply(&f, 1, 100);
	reply(&f, 2, 100);
	receive_async(&f, 1, f.now);
	reply(&f, 1, 100);
	fake_end(&f);
	CHECK_EQ(f.rows.count[TABLE_REQUESTS], 3);
	for (size_t i = 0; i < 3; i++)
		CHECK_EQ(f.rows.requests[i].confidence,
			 f.rows.requests[i].request_id == 3 ? 90 : 50);
}

int main(void)
{
	RUN(test_datagrams);
	RUN(test_datagrams_of_one_call);
	RUN(test_datagrams_nobody_answers);
	RUN(test_dns_by_id);
	RUN(test_unix_sockets);
	RUN(test_plain_requests);
	RUN(test_shared_sync);
	RUN(test_after_reply_and_background);
	RUN(test_call);
	RUN(test_edges);
	RUN(test_lost_and_cut_events);
	RUN(test_threads_that_come_and_go);
	RUN(test_reader_ends_before_the_reply);
	RUN(test_wait_within_a_request);
	RUN(test_polls_that_are_no_wait_within);
	RUN(test_what_an_accept_costs);
	RUN(test_came_before_it_was_accepted);
	RUN(test_each_has_its_segment);
	RUN(test_rounds_answered_by_one_call);
	RUN(test_rounds_before_the_first_reply);
	RUN(test_rounds_of_a_worker);
	RUN(test_rounds_while_another_replies);
	RUN(test_one_by_one);
	RUN(test_answered_by_one_call_without_rounds);
	RUN(test_rounds_and_what_follows_for_all);
	RUN(test_batch_without_a_reply);
	RUN(test_io_threads_read);
	RUN(test_threads_that_work_themselves);
	RUN(test_calls_known_by_their_heads);
	RUN(test_calls_in_the_order_of_reading);
	RUN(test_requests_of_io_uring);
	RUN(test_several_of_io_uring_at_once);
	return check_done();
}
