/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections under TLS, as the assembler is told of them: the system calls that move ciphertext,
 * and behind them the library's function that made them.
 */
#include "capture/assemble/assembler.h"
#include "trace/schema.h"

#include "check.h"

#include <arpa/inet.h>

#define SOCKET 9

static struct {
	struct assembler *assembler;
	struct row_request requests[64];
	struct row_latency latency[64];
	struct row_op ops[512];
	struct row_connection connections[8];
	size_t count[TABLE_COUNT];
	uint64_t now, ns[TS_COUNT];
	struct event_tls function; /* that the thread is in */
} f;

static int keep_row(void *arg, enum trace_table table, const void *row)
{
	size_t i = f.count[table]++;

	if (table == TABLE_REQUESTS)
		f.requests[i] = *(const struct row_request *)row;
	else if (table == TABLE_LATENCY)
		f.latency[i] = *(const struct row_latency *)row;
	else if (table == TABLE_OPS)
		f.ops[i] = *(const struct row_op *)row;
	else if (table == TABLE_CONNECTIONS)
		f.connections[i] = *(const struct row_connection *)row;
	return 0;
}

static void begin(void)
{
	struct event_thread thread = { .head = { EVENT_THREAD, 3, 1, 1000 }, .tid = 7, .tgid = 7 };
	struct assembler_opts opts = { .start_ns = 1000,
				       .work_per_ms = 1000000,
				       .sink = { keep_row, NULL } };
	struct event_socket socket = { .head = { EVENT_SOCKET, 0, 0, 1000 },
				       .socket_id = SOCKET,
				       .family = AF_INET };

	memset(&f, 0, sizeof(f));
	f.assembler = assembler_new(&opts);
	f.now = 1000;
	assembler_event(f.assembler, &thread, sizeof(thread));
	assembler_event(f.assembler, &socket, sizeof(socket));
}

static struct ledger end(void)
{
	struct event_socket socket = { .head = { EVENT_SOCKET_CLOSE, 0, 0, f.now },
				       .socket_id = SOCKET };
	struct assembler_totals totals;
	struct ledger ledger;

	assembler_event(f.assembler, &socket, sizeof(socket));
	assembler_thread_end(f.assembler, 3, 1, f.ns);
	CHECK_EQ(assembler_finish(f.assembler, f.now - 1000, &totals), 0);
	CHECK_EQ(totals.services[0].tls, f.connections[0].tls);
	ledger = *assembler_ledger(f.assembler);
	assembler_free(f.assembler);
	return ledger;
}

static void spend(enum thread_state state, uint64_t ns)
{
	f.ns[state] += ns;
	f.now += ns;
}

static struct event_call call(enum event_kind kind, uint8_t op, int64_t ret)
{
	struct event_call e = { .enter_ns = f.now,
				.op = op,
				.ret = ret,
				.offset = -1,
				.socket_id = SOCKET,
				.tls = f.function.op };

	memcpy(e.enter, f.ns, sizeof(e.enter));
	spend(TS_KERNEL_NET, 10);
	memcpy(e.exit, f.ns, sizeof(e.exit));
	e.head = (struct event_head){ kind, 3, 1, f.now };
	return e;
}

/* Ciphertext that arrived `ago` before; the first bytes are a record's. */
static void receive(int64_t bytes, uint64_t ago)
{
	uint64_t arrival = f.now - ago;
	struct {
		struct event_receive event;
		uint8_t bytes[3];
	} e = { { .call = call(EVENT_RECEIVE, SYSCALL_READ, bytes),
		  .arrival_ns = arrival,
		  .latest_ns = arrival,
		  .seen = 3 },
		{ 0x16, 0x03, 0x01 } };

	assembler_event(f.assembler, &e, sizeof(e));
}

static void send_(int64_t bytes)
{
	struct event_call e = call(EVENT_CALL, SYSCALL_WRITE, bytes);

	assembler_event(f.assembler, &e, sizeof(e));
}

static void enter(enum tls_op op)
{
	f.function = (struct event_tls){ .enter_ns = f.now, .socket_id = SOCKET, .op = op };
	memcpy(f.function.enter, f.ns, sizeof(f.ns));
}

/* After `crypto` ns of the library's own, with `bytes` of plaintext, of which these are seen. */
static void leave_with(int64_t bytes, uint64_t crypto, const char *plain)
{
	struct {
		struct event_tls event;
		char plain[256];
	} e;

	spend(TS_USER, crypto);
	memcpy(f.function.exit, f.ns, sizeof(f.ns));
	f.function.head = (struct event_head){ EVENT_TLS, 3, 1, f.now };
	f.function.bytes = bytes;
	f.function.seen = bytes > 0 ? strlen(plain) : 0;
	e.event = f.function;
	memcpy(e.event.plain, plain, f.function.seen);
	assembler_event(f.assembler, &e, sizeof(e));
	f.function.op = TLS_NONE;
}

/* Plaintext of a protocol that is not known. */
static void leave(int64_t bytes, uint64_t crypto)
{
	leave_with(bytes, crypto, "");
}

/* Requests of 83 bytes and replies of 300, of HTTP. */
#define REQUEST                                                               \
	"GET / HTTP/1.1\r\nHost: 0123456789012345678901234567890123456789012" \
	"34567890123456\r\n\r\n"
#define REPLY "HTTP/1.1 200 OK\r\nContent-Length: 260\r\n\r\n"

#define SHORT_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n." /* 39 bytes */

/* Two flights in, one out, tickets behind it: 580 bytes in, 1400 out, 400 us of CPU. */
static void shake_hands(void)
{
	enter(TLS_HANDSHAKE);
	receive(500, 5);
	send_(1200);
	leave(-1, 300000);
	enter(TLS_HANDSHAKE);
	receive(80, 5);
	send_(200);
	leave(1, 100000);
}

static const struct row_op *handshake(void)
{
	const struct row_op *found = NULL;

	for (size_t i = 0; i < f.count[TABLE_OPS]; i++) {
		if (f.ops[i].kind != OP_HANDSHAKE)
			continue;
		CHECK(!found);
		found = &f.ops[i];
	}
	return CHECK(found) ? found : &f.ops[0];
}

static int64_t user_of(uint64_t request_id, bool after)
{
	int64_t sum = 0;

	for (size_t i = 0; i < f.count[TABLE_OPS]; i++)
		if (f.ops[i].kind == OP_COMPUTE && f.ops[i].request_id == request_id &&
		    f.ops[i].after_reply == after)
			sum += f.ops[i].cpu_ns;
	return sum;
}

static void check_sum(const struct row_latency *l)
{
	int64_t sum = l->unattributed_ns;

	for (int i = 0; i < SUB_COUNT; i++)
		sum += l->ns[i];
	CHECK_EQ(sum, l->total_ns);
	CHECK_EQ(l->unattributed_ns, 0);
}

/* A handshake, then 23 requests of 83 bytes in the clear, read as a head and a body. */
static void test_plain_turns(void)
{
	begin();
	shake_hands();
	for (int i = 0; i < 23; i++) {
		enter(TLS_READ);
		receive(5, 50);
		receive(100, 0);
		leave_with(83, 700, REQUEST);
		spend(TS_USER, 3000);
		enter(TLS_WRITE);
		spend(TS_USER, 900);
		send_(322);
		leave_with(300, 0, REPLY);
	}
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 23);
	CHECK_EQ(f.connections[0].tls, 1);
	CHECK_STR(f.connections[0].protocol, "http/1");
	CHECK_EQ(handshake()->bytes, 1400);
	CHECK_EQ(handshake()->reply_bytes, 580);
	CHECK_EQ(handshake()->cpu_ns, 400000);
	CHECK_EQ(handshake()->request_id, 0);
	CHECK_EQ(handshake()->elapsed_ns, f.requests[0].arrival_ns + 50 - handshake()->start_ns);
	for (int i = 0; i < 23; i++) {
		const struct row_request *r = &f.requests[i];

		check_case("request %d", i);
		CHECK_EQ(r->request_bytes, 105);
		CHECK_EQ(r->request_plain_bytes, 83);
		CHECK_EQ(r->response_bytes, 322);
		CHECK_EQ(r->response_plain_bytes, 300);
		CHECK_EQ(r->end_ns - r->arrival_ns, 50 + 20 + 700 + 3000 + 900 + 10);
		CHECK_EQ(user_of(r->request_id, false), 700 + 3000 + 900);
		CHECK_EQ(f.latency[i].ns[SUB_CPU_USER], 700 + 3000 + 900);
		check_sum(&f.latency[i]);
	}
}

/* Two in one record: each has its part of the ciphertext, and its reply the other way. */
static void test_pipelined(void)
{
	begin();
	shake_hands();
	enter(TLS_READ);
	receive(189, 50);
	leave_with(166, 700, REQUEST REQUEST);
	for (int i = 0; i < 2; i++) {
		spend(TS_USER, 1000);
		enter(TLS_WRITE);
		send_(322);
		leave_with(300, 0, REPLY);
	}
	enter(TLS_READ);
	receive(188, 50);
	leave_with(166, 700, REQUEST REQUEST);
	enter(TLS_WRITE);
	send_(102);
	leave_with(78, 0, SHORT_REPLY SHORT_REPLY);
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 4);
	CHECK_EQ(f.requests[0].request_bytes, 94);
	CHECK_EQ(f.requests[1].request_bytes, 95);
	CHECK_EQ(f.requests[0].response_bytes, 322);
	CHECK_EQ(f.requests[1].response_bytes, 322);
	CHECK_EQ(user_of(f.requests[0].request_id, false), 1700);
	CHECK_EQ(user_of(f.requests[1].request_id, false), 1000);
	CHECK_EQ(f.requests[2].request_bytes, 94);
	CHECK_EQ(f.requests[3].request_bytes, 94);
	CHECK_EQ(f.requests[2].response_bytes, 51);
	CHECK_EQ(f.requests[3].response_bytes, 51);
	CHECK_EQ(f.requests[2].response_plain_bytes, 39);
	CHECK_EQ(f.requests[3].response_plain_bytes, 39);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(f.requests[i].request_plain_bytes, 83);
}

/* Threads that wait for each other in the library shake hands meanwhile. */
static void test_lock_inside(void)
{
	struct event_call e;

	begin();
	enter(TLS_HANDSHAKE);
	receive(500, 5);
	spend(TS_USER, 300000);
	spend(TS_WAIT_FUTEX, 50);
	e = call(EVENT_CALL, SYSCALL_WAIT, 0);
	e.socket_id = 0;
	e.object = OBJECT_SIGNAL;
	assembler_event(f.assembler, &e, sizeof(e));
	send_(1200);
	leave(1, 100000);
	end();
	CHECK_EQ(handshake()->cpu_ns, 400000);
}

/* A file inside a call of the library: no time is counted twice. */
static void test_other_ops_inside(void)
{
	struct event_call e;

	begin();
	shake_hands();
	enter(TLS_READ);
	receive(105, 50);
	spend(TS_USER, 400);
	e = call(EVENT_CALL, SYSCALL_PREAD, 8);
	e.socket_id = 0;
	e.object = OBJECT_FILE;
	assembler_event(f.assembler, &e, sizeof(e));
	leave(83, 700);
	enter(TLS_WRITE);
	send_(42);
	leave(20, 0);
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 1);
	CHECK_EQ(user_of(f.requests[0].request_id, false), 700);
	check_sum(&f.latency[0]);
}

/* The second is in the library already when the first is answered: no system call for it. */
static void test_served_from_the_buffer(void)
{
	begin();
	shake_hands();
	enter(TLS_READ);
	receive(210, 50);
	leave(83, 0);
	enter(TLS_WRITE);
	send_(32);
	leave(10, 0);
	enter(TLS_READ);
	leave(84, 500);
	enter(TLS_WRITE);
	send_(42);
	leave(20, 0);
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 2);
	CHECK_EQ(f.requests[0].request_bytes, 210);
	CHECK_EQ(f.requests[0].request_plain_bytes, 83);
	CHECK_EQ(f.requests[1].request_bytes, 0);
	CHECK_EQ(f.requests[1].request_plain_bytes, 84);
	CHECK_EQ(f.requests[1].response_plain_bytes, 20);
	CHECK_EQ(f.requests[1].arrival_ns, f.requests[0].arrival_ns);
	check_sum(&f.latency[0]);
}

/* Half a record is no request; the request arrived when its first byte did. */
static void test_partial_record(void)
{
	uint64_t arrival;

	begin();
	shake_hands();
	arrival = f.now - 1000;
	enter(TLS_READ);
	receive(60, 0);
	leave(-1, 100);
	spend(TS_WAIT_POLL, 5000);
	enter(TLS_READ);
	receive(45, 0);
	leave(83, 100);
	enter(TLS_WRITE);
	send_(42);
	leave(20, 0);
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 1);
	CHECK_EQ(f.requests[0].request_bytes, 105);
	CHECK_EQ(f.requests[0].request_plain_bytes, 83);
	CHECK_EQ(f.requests[0].arrival_ns, arrival);
}

/* A ticket sent while reading, and a farewell, are no replies. */
static void test_what_is_no_reply(void)
{
	begin();
	shake_hands();
	enter(TLS_READ);
	send_(250);
	receive(105, 0);
	leave(83, 0);
	enter(TLS_WRITE);
	send_(42);
	leave(20, 0);
	send_(24);
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 1);
	CHECK_EQ(f.requests[0].response_plain_bytes, 20);
	CHECK_EQ(f.requests[0].write_ns + 1000 + 10, f.now - 10);
}

/* The first SSL_read() shakes hands by itself, and returns with a request. */
static void test_lazy_handshake(void)
{
	begin();
	enter(TLS_READ);
	receive(500, 5);
	spend(TS_USER, 300000);
	send_(1200);
	receive(80, 5);
	spend(TS_USER, 100000);
	send_(200);
	receive(105, 5);
	leave(83, 700);
	enter(TLS_WRITE);
	send_(42);
	leave(20, 0);
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 1);
	CHECK_EQ(handshake()->cpu_ns, 400000);
	CHECK_EQ(handshake()->bytes, 1400);
	CHECK_EQ(handshake()->reply_bytes, 580);
	CHECK_EQ(f.requests[0].request_bytes, 105);
	CHECK_EQ(f.requests[0].request_plain_bytes, 83);
	CHECK_EQ(user_of(f.requests[0].request_id, false), 700);
	check_sum(&f.latency[0]);
}

static void test_failed_handshake(void)
{
	begin();
	enter(TLS_HANDSHAKE);
	receive(500, 5);
	send_(7);
	leave(-1, 1000);
	end();
	CHECK_EQ(f.count[TABLE_REQUESTS], 0);
	CHECK_EQ(handshake()->flags, OPF_FAILED);
}

/* No function of a library ever came: gait says that it did not see inside. */
static void test_opaque(void)
{
	struct ledger ledger;

	begin();
	receive(500, 5);
	send_(1200);
	ledger = end();
	CHECK_EQ(ledger.count[LG_TLS_OPAQUE], 1);
	CHECK_EQ(f.connections[0].tls, 1);
	CHECK_EQ(f.requests[0].request_plain_bytes, 0);
	begin();
	shake_hands();
	ledger = end();
	CHECK_EQ(ledger.count[LG_TLS_OPAQUE], 0);
}

int main(void)
{
	RUN(test_plain_turns);
	RUN(test_pipelined);
	RUN(test_lock_inside);
	RUN(test_other_ops_inside);
	RUN(test_served_from_the_buffer);
	RUN(test_partial_record);
	RUN(test_what_is_no_reply);
	RUN(test_lazy_handshake);
	RUN(test_failed_handshake);
	RUN(test_opaque);
	return check_done();
}
