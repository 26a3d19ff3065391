/* SPDX-License-Identifier: Apache-2.0 */
/* A node in this process, and a client that plans by hand. */
#include "base/clock.h"
#include "check.h"
#include "replay/net/wire.h"
#include "replay/node/limits.h"
#include "replay/node/node.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 10000 /* beyond which something hangs */
#define ROWS_MAX 256

struct fixture {
	struct node *node;
	pthread_t thread;
	char dir[64];
	int control;
	struct buf in, out;
	size_t taken; /* of `in`, by the last frame */
	struct wire_hello hello;
	/* what came with the end of the session */
	struct wire_row rows[ROWS_MAX];
	struct wire_oprow oprows[ROWS_MAX];
	size_t rows_count, oprows_count;
	struct ledger ledger;
	struct wire_usage usage;
	struct wire_error error;
	bool failed;
};

static void *node_main(void *arg)
{
	node_run(arg, NULL);
	return NULL;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(node_port(f->node)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!CHECK(!connect(fd, (struct sockaddr *)&at, sizeof(at))))
		exit(1);
	return fd;
}

static bool wait_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, WAIT_MS) == 1;
}

/* Exactly so many bytes of a reply; no more come behind them. */
static void expect_bytes(int fd, size_t bytes)
{
	static char scratch[65536];

	while (bytes) {
		ssize_t n;

		if (!CHECK(wait_readable(fd)))
			return;
		n = recv(fd, scratch, bytes < sizeof(scratch) ? bytes : sizeof(scratch), 0);
		if (!CHECK(n > 0))
			return;
		bytes -= (size_t)n;
	}
	CHECK_EQ(recv(fd, scratch, 1, MSG_DONTWAIT), -1);
}

static void send_bytes(int fd, size_t bytes)
{
	char *data = calloc(1, bytes);

	CHECK_EQ(send(fd, data, bytes, MSG_NOSIGNAL), (long long)bytes);
	free(data);
}

static void flush(struct fixture *f)
{
	CHECK_EQ(send(f->control, f->out.data, f->out.len, MSG_NOSIGNAL), (long long)f->out.len);
	buf_reset(&f->out);
}

/* The next frame; its payload lives until the next call. */
static enum wire_type any_frame(struct fixture *f, struct wire_frame *ret_frame)
{
	int n;

	buf_consume(&f->in, f->taken);
	f->taken = 0;
	while (!(n = wire_frame_decode((uint8_t *)f->in.data, f->in.len, ret_frame, NULL))) {
		ssize_t got;

		buf_reserve(&f->in, 65536);
		if (!CHECK(wait_readable(f->control)))
			return 0;
		got = recv(f->control, f->in.data + f->in.len, 65536, 0);
		if (got <= 0)
			return 0;
		f->in.len += (size_t)got;
	}
	if (!CHECK(n > 0))
		return 0;
	f->taken = (size_t)n;
	return ret_frame->type;
}

/* The next that is no CREDIT. */
static enum wire_type next_frame(struct fixture *f, struct wire_frame *ret_frame)
{
	enum wire_type type;

	do
		type = any_frame(f, ret_frame);
	while (type == WIRE_CREDIT);
	return type;
}

/* The node is through with so many requests of the plan. */
static void await_credit(struct fixture *f, uint64_t requests)
{
	struct wire_credit credit = { 0 };
	struct wire_frame frame;

	while (credit.requests < requests && CHECK_EQ(any_frame(f, &frame), WIRE_CREDIT))
		CHECK_EQ(wire_get_credit(&frame, &credit, NULL), 0);
	CHECK_EQ(credit.requests, requests);
}

static void start_node(struct fixture *f, const struct node_opts *extra)
{
	struct node_opts opts = extra ? *extra : (struct node_opts){ 0 };

	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/gait-test-node-XXXXXX");
	CHECK(mkdtemp(f->dir) != NULL);
	opts.dir = f->dir;
	opts.storage_bytes = opts.storage_bytes ? opts.storage_bytes : 1 << 24;
	opts.requests_ahead = opts.requests_ahead ? opts.requests_ahead : 1024;
	if (!CHECK_EQ(node_new(&opts, &f->node, NULL), 0))
		exit(1);
	pthread_create(&f->thread, NULL, node_main, f->node);
	buf_init(&f->in, 1 << 24);
	buf_init(&f->out, 1 << 24);
	f->control = -1;
}

static void meet(struct fixture *f)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	struct wire_frame frame;

	buf_reset(&f->in);
	f->taken = 0;
	f->control = dial(f);
	wire_put_hello(&f->out, &hello);
	flush(f);
	if (CHECK_EQ(next_frame(f, &frame), WIRE_HELLO))
		CHECK_EQ(wire_get_hello(&frame, &f->hello, NULL), 0);
}

static void put_service(struct fixture *f, uint32_t threads, enum plan_batching batching)
{
	struct wire_service service = { .service_id = 1, .threads = threads, .batching = batching };

	wire_put_service(&f->out, &service);
}

static void put_connection(struct fixture *f, uint64_t id, uint32_t thread)
{
	struct wire_connection connection = { id, thread, 0, 0 };

	wire_put_connection(&f->out, &connection);
}

static void put_request(struct fixture *f, uint64_t id, uint64_t connection_id, uint64_t bytes,
			uint64_t response_bytes, const struct plan_op *ops, size_t ops_count)
{
	struct plan_request request = { .request_id = id,
					.connection_id = connection_id,
					.request_bytes = bytes,
					.response_bytes = response_bytes,
					.ops_count = (uint32_t)ops_count };

	wire_put_plan(&f->out, &request, ops);
}

/* Sends what has been put, and waits until the node is ready for data. */
static void lay_out(struct fixture *f)
{
	struct wire_start start = { 1, 0, 0 };
	struct wire_frame frame;

	wire_put_empty(&f->out, WIRE_LAYOUT);
	flush(f);
	CHECK_EQ(next_frame(f, &frame), WIRE_READY);
	wire_put_start(&f->out, &start);
	flush(f);
}

static int open_data(struct fixture *f, uint64_t connection_id)
{
	struct wire_preface preface = { .connection_id = connection_id };
	uint8_t bytes[WIRE_PREFACE_BYTES];
	int fd = dial(f);

	wire_preface_sign(&preface, f->hello.secret);
	wire_preface_encode(&preface, bytes);
	CHECK_EQ(send(fd, bytes, sizeof(bytes), 0), WIRE_PREFACE_BYTES);
	return fd;
}

static void take_result(struct fixture *f, const struct wire_frame *frame)
{
	struct wire_ledger entry;

	switch (frame->type) {
	case WIRE_ROW:
		CHECK_EQ(wire_get_row(frame, &f->rows[f->rows_count++ % ROWS_MAX], NULL), 0);
		break;
	case WIRE_OPROW:
		CHECK_EQ(wire_get_oprow(frame, &f->oprows[f->oprows_count++ % ROWS_MAX], NULL), 0);
		break;
	case WIRE_LEDGER:
		CHECK_EQ(wire_get_ledger(frame, &entry, NULL), 0);
		wire_ledger_add(&f->ledger, &entry);
		break;
	case WIRE_USAGE:
		CHECK_EQ(wire_get_usage(frame, &f->usage, NULL), 0);
		break;
	default:
		CHECK_EQ(frame->type, WIRE_BYE);
	}
}

static void stop_session(struct fixture *f)
{
	struct wire_frame frame = { 0 };

	wire_put_empty(&f->out, WIRE_STOP);
	flush(f);
	while (frame.type != WIRE_BYE && next_frame(f, &frame))
		take_result(f, &frame);
	CHECK_EQ(frame.type, WIRE_BYE);
}

static void expect_error(struct fixture *f, const char *part)
{
	struct wire_frame frame;

	if (!CHECK_EQ(next_frame(f, &frame), WIRE_ERROR))
		return;
	CHECK_EQ(wire_get_error(&frame, &f->error, NULL), 0);
	if (!CHECK(strstr(f->error.text, part) != NULL))
		printf("# '%s'\n", f->error.text);
}

static size_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

/* The node ends cleanly, whatever it has been through, and leaves nothing behind. */
static void stop_node(struct fixture *f)
{
	if (f->control >= 0)
		close(f->control);
	node_stop(f->node);
	pthread_join(f->thread, NULL);
	node_free(f->node);
	buf_release(&f->in);
	buf_release(&f->out);
	CHECK_EQ(count_entries(f->dir), 0);
	rmdir(f->dir);
}

static const struct wire_row *row_of(const struct fixture *f, uint64_t request_id)
{
	for (size_t i = 0; i < f->rows_count; i++)
		if (f->rows[i].request_id == request_id)
			return &f->rows[i];
	CHECK(!"a row for the request");
	return &f->rows[0];
}

#define COMPUTE(units)                                                                             \
	{                                                                                          \
		.op_id = 1, .kind = OP_COMPUTE, .owners = 1, .work = (units), .offset = TRACE_NONE \
	}
#define REPLY(n)                                                                              \
	{                                                                                     \
		.op_id = 2, .kind = OP_REPLY, .owners = 1, .bytes = (n), .offset = TRACE_NONE \
	}
#define STORE(n, how)                                                                        \
	{                                                                                    \
		.op_id = 3, .kind = OP_STORE, .flags = OPF_APPEND, .mode = how, .owners = 2, \
		.bytes = (n), .offset = 0, .target_id = 7                                    \
	}
#define SYNC(how)                                                                          \
	{                                                                                  \
		.op_id = 4, .kind = OP_SYNC, .flags = OPF_DSYNC, .mode = how, .owners = 2, \
		.offset = TRACE_NONE, .target_id = 7                                       \
	}
#define SLEEP(ns)                                                                             \
	{                                                                                     \
		.op_id = 5, .kind = OP_SLEEP, .owners = 1, .work = (ns), .offset = TRACE_NONE \
	}

/* Messages are as long as planned: 5 bytes, 100 kB, none; several on one connection, in order. */
static void test_sizes(void)
{
	static const struct {
		uint64_t request_bytes, response_bytes;
	} sizes[] = { { 14, 5 }, { 1, 1 }, { 31, 100000 }, { 200000, 7 }, { 3, 0 }, { 9, 2 } };
	struct plan_op ops[] = { COMPUTE(1000), REPLY(5) };
	struct fixture f;
	int fd;

	start_node(&f, NULL);
	meet(&f);
	CHECK_EQ(f.hello.version, WIRE_VERSION);
	CHECK(f.hello.work_per_ms > 1000);
	CHECK_EQ(f.hello.attribution, 0);
	put_service(&f, 1, PLAN_BATCHING_LIVE);
	put_connection(&f, 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		put_request(&f, 100 + i, 1, sizes[i].request_bytes, sizes[i].response_bytes, ops,
			    2);
	lay_out(&f);
	fd = open_data(&f, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		check_case("request %zu", i);
		send_bytes(fd, sizes[i].request_bytes);
		expect_bytes(fd, sizes[i].response_bytes);
	}
	close(fd);
	stop_session(&f);
	CHECK_EQ(f.rows_count, ARRAY_SIZE(sizes));
	for (size_t i = 0; i < f.rows_count; i++) {
		const struct wire_row *row = row_of(&f, 100 + i);

		check_case("row %zu", i);
		CHECK_EQ(row->status, 0);
		CHECK_EQ(row->response_bytes, sizes[i].response_bytes);
		CHECK(row->read_ns <= row->end_ns);
		CHECK_EQ(row->total_ns, row->end_ns - row->read_ns);
		CHECK_EQ(row->unattributed_ns, row->total_ns);
	}
	CHECK_EQ(f.ledger.count[LG_REQUESTS], ARRAY_SIZE(sizes));
	CHECK_EQ(f.ledger.count[LG_PLAN_OVERTAKEN], 0);
	stop_node(&f);
}

static void put_target(struct fixture *f, uint64_t target_id, uint64_t bytes)
{
	struct wire_target target = { target_id, bytes };

	wire_put_target(&f->out, &target);
}

/* How many calls of a kind there were, and the bytes of each. */
static size_t count_calls(const struct fixture *f, uint32_t kind, uint64_t *ret_bytes)
{
	uint64_t seen[ROWS_MAX];
	size_t calls = 0;

	*ret_bytes = 0;
	for (size_t i = 0; i < f->oprows_count; i++) {
		size_t j = 0;

		while (j < calls && seen[j] != f->oprows[i].call_id)
			j++;
		if (f->oprows[i].kind != kind || j < calls)
			continue;
		seen[calls++] = f->oprows[i].call_id;
		*ret_bytes += f->oprows[i].bytes;
	}
	return calls;
}

/*
 * Two stores and a read come in one piece, so in one pass: one store of both, one
 * sync; the read waits for them and puts nothing in.
 */
static void test_live_batching(void)
{
	struct plan_op set[] = { COMPUTE(100), STORE(100, PLAN_SHARED), SYNC(PLAN_SHARED),
				 REPLY(5) };
	struct plan_op get[] = { STORE(0, PLAN_WAIT), SYNC(PLAN_WAIT), REPLY(9) };
	struct fixture f;
	uint64_t bytes;
	int fd;

	start_node(&f, NULL);
	meet(&f);
	put_service(&f, 1, PLAN_BATCHING_LIVE);
	put_target(&f, 7, 4096);
	put_connection(&f, 1, 0);
	put_request(&f, 1, 1, 10, 5, set, ARRAY_SIZE(set));
	put_request(&f, 2, 1, 10, 9, get, ARRAY_SIZE(get));
	put_request(&f, 3, 1, 10, 5, set, ARRAY_SIZE(set));
	put_request(&f, 4, 1, 10, 9, get, ARRAY_SIZE(get));
	lay_out(&f);
	fd = open_data(&f, 1);
	send_bytes(fd, 30);
	expect_bytes(fd, 5 + 9 + 5);
	send_bytes(fd, 10); /* alone: nobody asks, nothing is stored */
	expect_bytes(fd, 9);
	stop_session(&f);
	CHECK_EQ(count_calls(&f, OP_STORE, &bytes), 1);
	CHECK_EQ(bytes, 200);
	CHECK_EQ(count_calls(&f, OP_SYNC, &bytes), 1);
	CHECK_EQ(f.rows_count, 4);
	for (size_t i = 0; i < f.oprows_count; i++)
		if (f.oprows[i].kind == OP_STORE)
			CHECK_EQ(f.oprows[i].offset, 4096);
	close(fd);
	stop_node(&f);
}

/* The store is done once, as recorded, when both owners are there, on whichever threads. */
static void test_recorded_batching(void)
{
	struct plan_op ops[] = { STORE(300, PLAN_SHARED), SYNC(PLAN_SHARED), REPLY(5) };
	struct fixture f;
	uint64_t bytes;
	char byte;
	int a, b;

	start_node(&f, NULL);
	meet(&f);
	put_service(&f, 2, PLAN_BATCHING_RECORDED);
	put_target(&f, 7, 4096);
	put_connection(&f, 1, 0);
	put_connection(&f, 2, 1);
	put_request(&f, 1, 1, 10, 5, ops, ARRAY_SIZE(ops));
	put_request(&f, 2, 2, 10, 5, ops, ARRAY_SIZE(ops));
	lay_out(&f);
	a = open_data(&f, 1);
	b = open_data(&f, 2);
	send_bytes(a, 10);
	usleep(20000);
	CHECK_EQ(recv(a, &byte, 1, MSG_DONTWAIT), -1); /* waits for the other */
	send_bytes(b, 10);
	expect_bytes(a, 5);
	expect_bytes(b, 5);
	stop_session(&f);
	CHECK_EQ(count_calls(&f, OP_STORE, &bytes), 1);
	CHECK_EQ(bytes, 300);
	CHECK_EQ(count_calls(&f, OP_SYNC, &bytes), 1);
	CHECK_EQ(f.oprows_count, 2 * 3); /* two owners each of store and sync, two replies */
	for (size_t i = 0; i < f.oprows_count; i++)
		if (f.oprows[i].kind == OP_STORE)
			CHECK_EQ(f.oprows[i].offset, 0);
	close(a);
	close(b);
	stop_node(&f);
}

/* Of a back that is called: by request 1, 2 or 3 of the front. */
static void put_called(struct fixture *f)
{
	const struct plan_op reply = REPLY(40);

	for (uint64_t id = 11; id <= 13; id++) {
		const struct plan_request request = { .request_id = id,
						      .connection_id = 1,
						      .request_bytes = 30,
						      .response_bytes = 40,
						      .parent_id = id - 10,
						      .ops_count = 1 };

		wire_put_plan(&f->out, &request, &reply);
	}
}

static void put_caller(struct fixture *f, uint64_t id)
{
	const struct plan_op ops[] = { { .op_id = 1,
					 .kind = OP_FORWARD,
					 .owners = 1,
					 .bytes = 30,
					 .offset = (int64_t)id + 10 },
				       REPLY(5) };

	put_request(f, id, 1, 10, 5, ops, ARRAY_SIZE(ops));
}

/*
 * A connection breaks within its first request: who would have been called for is not any more,
 * whether that is planned before it is heard or after, and takes no place.
 */
static void test_forgotten_calls(void)
{
	struct fixture front, back;
	struct wire_peer peer = { .index = 0 };
	int fd;

	for (int late = 0; late < 2; late++) {
		check_case(late ? "planned later" : "planned before");
		start_node(&back, NULL);
		start_node(&front, NULL);
		meet(&back);
		meet(&front);
		put_service(&back, 1, PLAN_BATCHING_LIVE);
		put_connection(&back, 1, 0);
		if (!late)
			put_called(&back);
		lay_out(&back);
		wire_put_service(&front.out, &(struct wire_service){
						     .service_id = 2, .threads = 1, .peers = 1 });
		snprintf(peer.address, sizeof(peer.address), "127.0.0.1:%u", node_port(back.node));
		memcpy(peer.secret, back.hello.secret, sizeof(peer.secret));
		wire_put_peer(&front.out, &peer);
		put_connection(&front, 1, 0);
		put_caller(&front, 1);
		put_caller(&front, 2);
		lay_out(&front);
		fd = open_data(&front, 1);
		send_bytes(fd, 5);
		close(fd);
		await_credit(&front, 2);
		put_caller(&front, 3);
		flush(&front);
		await_credit(&front, 3);
		if (late)
			put_called(&back);
		flush(&back);
		await_credit(&back, 3);
		stop_session(&front);
		stop_session(&back);
		CHECK_EQ(back.rows_count, 0);
		CHECK_EQ(back.ledger.count[LG_PLAN_OVERTAKEN], 0);
		stop_node(&front);
		stop_node(&back);
	}
}

/* A reply out of a file; what the file lacks, and a file that is not there, cost no byte. */
static void test_sendfile(void)
{
	static const struct {
		uint64_t target_id;
		int64_t offset;
	} from[] = { { 7, 0 }, { 7, 99000 }, { 7, 1 << 20 }, { 8, 0 }, { 7, TRACE_NONE } };
	struct fixture f;
	int fd;

	start_node(&f, NULL);
	meet(&f);
	put_service(&f, 1, PLAN_BATCHING_LIVE);
	put_target(&f, 7, 100000);
	put_connection(&f, 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		struct plan_op op = REPLY(50000);

		op.flags = OPF_SENDFILE;
		op.target_id = from[i].target_id;
		op.offset = from[i].offset;
		put_request(&f, 1 + i, 1, 10, 50000, &op, 1);
	}
	lay_out(&f);
	fd = open_data(&f, 1);
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		check_case("reply %zu", i);
		send_bytes(fd, 10);
		expect_bytes(fd, 50000);
	}
	stop_session(&f);
	for (size_t i = 0; i < f.rows_count; i++)
		CHECK_EQ(f.rows[i].status, 0);
	close(fd);
	stop_node(&f);
}

/* A timer holds up its own connection and no other. */
static void test_sleep(void)
{
	struct plan_op slow[] = { SLEEP(30 * NS_PER_MS), REPLY(5) };
	struct plan_op fast[] = { REPLY(5) };
	struct fixture f;
	int a, b;

	start_node(&f, NULL);
	meet(&f);
	put_service(&f, 1, PLAN_BATCHING_LIVE);
	put_connection(&f, 1, 0);
	put_connection(&f, 2, 0);
	put_request(&f, 1, 1, 10, 5, slow, 2);
	put_request(&f, 2, 1, 10, 5, fast, 1);
	put_request(&f, 3, 2, 10, 5, fast, 1);
	lay_out(&f);
	a = open_data(&f, 1);
	b = open_data(&f, 2);
	send_bytes(a, 20);
	usleep(5000);
	send_bytes(b, 10);
	expect_bytes(b, 5);
	expect_bytes(a, 10);
	stop_session(&f);
	CHECK(row_of(&f, 1)->total_ns >= 30 * NS_PER_MS);
	CHECK(row_of(&f, 3)->end_ns < row_of(&f, 1)->end_ns);
	CHECK(row_of(&f, 1)->end_ns <= row_of(&f, 2)->end_ns);
	close(a);
	close(b);
	stop_node(&f);
}

/* Ops after the reply run when it has gone, and the row ends before them. */
static void test_after_reply(void)
{
	struct plan_op ops[] = { REPLY(5), SLEEP(20 * NS_PER_MS) };
	struct fixture f;
	int fd;

	ops[1].mode = PLAN_AFTER_REPLY;
	start_node(&f, NULL);
	meet(&f);
	put_service(&f, 1, PLAN_BATCHING_LIVE);
	put_connection(&f, 1, 0);
	put_request(&f, 1, 1, 10, 5, ops, 2);
	put_request(&f, 2, 1, 10, 5, ops, 2);
	lay_out(&f);
	fd = open_data(&f, 1);
	send_bytes(fd, 10);
	expect_bytes(fd, 5);
	send_bytes(fd, 10);
	expect_bytes(fd, 5);
	stop_session(&f);
	CHECK(row_of(&f, 1)->total_ns < 20 * NS_PER_MS);
	CHECK(row_of(&f, 2)->end_ns - row_of(&f, 1)->end_ns >= 20 * NS_PER_MS);
	close(fd);
	stop_node(&f);
}

/* A message before its plan waits for it, and is counted. */
static void test_overtaken_plan(void)
{
	struct plan_op ops[] = { REPLY(5) };
	struct fixture f;
	char byte;
	int fd;

	start_node(&f, NULL);
	meet(&f);
	put_service(&f, 1, PLAN_BATCHING_LIVE);
	put_connection(&f, 1, 0);
	lay_out(&f);
	fd = open_data(&f, 1);
	send_bytes(fd, 20);
	usleep(20000);
	CHECK_EQ(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	put_request(&f, 1, 1, 10, 5, ops, 1);
	put_request(&f, 2, 1, 10, 5, ops, 1);
	flush(&f);
	expect_bytes(fd, 10);
	stop_session(&f);
	CHECK(f.ledger.count[LG_PLAN_OVERTAKEN] >= 1);
	CHECK_EQ(f.rows_count, 2);
	close(fd);
	stop_node(&f);
}

/* A second one that would replay is told so; the first goes on. After it, the next is served. */
static void test_second_client(void)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	struct plan_op ops[] = { REPLY(5) };
	struct fixture f, second;
	struct wire_frame frame;
	int fd;

	start_node(&f, NULL);
	for (int before_layout = 1; before_layout >= 0; before_layout--) {
		check_case(before_layout ? "before the layout" : "while the service runs");
		meet(&f);
		put_service(&f, 1, PLAN_BATCHING_LIVE);
		put_connection(&f, 1, 0);
		put_request(&f, 1, 1, 10, 5, ops, 1);
		if (!before_layout)
			lay_out(&f);
		else
			flush(&f);
		second = f;
		buf_init(&second.in, 1 << 20);
		second.taken = 0;
		second.control = dial(&f);
		wire_put_hello(&second.out, &hello);
		put_service(&second, 1, PLAN_BATCHING_LIVE);
		CHECK_EQ(send(second.control, second.out.data + f.out.len,
			      second.out.len - f.out.len, 0),
			 (long long)(second.out.len - f.out.len));
		CHECK_EQ(next_frame(&second, &frame), WIRE_HELLO);
		expect_error(&second, "busy");
		close(second.control);
		buf_release(&second.in);
		second.out.len = f.out.len;
		f.out = second.out;
		if (before_layout)
			lay_out(&f);
		fd = open_data(&f, 1);
		send_bytes(fd, 10);
		expect_bytes(fd, 5);
		stop_session(&f);
		close(fd);
		close(f.control);
	}
	f.control = -1;
	stop_node(&f);
}

static void send_text(struct fixture *f, const char *text, size_t bytes)
{
	int fd = dial(f);
	char byte;

	CHECK_EQ(send(fd, text, bytes, MSG_NOSIGNAL), (long long)bytes);
	shutdown(fd, SHUT_WR);
	CHECK(wait_readable(fd));
	while (recv(fd, &byte, 1, 0) > 0)
		; /* an ERROR at most */
	close(fd);
}

/* Rubbish on the port, while nobody, a plan or a run is there. */
static void test_garbage(void)
{
	static const char zeros[64];
#define BYTES(text)                    \
	{                              \
		text, sizeof(text) - 1 \
	}
	static const struct {
		const char *bytes;
		size_t count;
	} rubbish[] = {
		BYTES("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
		BYTES("GAIT but not really, and then some more"),
		BYTES("x"),
		{ zeros, sizeof(zeros) },
		BYTES("\0\0\0\0\0\1\0\0"),
		BYTES("\0\xff\xff\xff\0\1\0\0 a long frame that never comes"),
	};
#undef BYTES
	struct plan_op ops[] = { REPLY(5) };
	struct fixture f;
	int fd;

	start_node(&f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rubbish); i++)
		send_text(&f, rubbish[i].bytes, rubbish[i].count);
	meet(&f);
	put_service(&f, 2, PLAN_BATCHING_LIVE);
	put_connection(&f, 1, 0);
	put_request(&f, 1, 1, 10, 5, ops, 1);
	lay_out(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rubbish); i++)
		send_text(&f, rubbish[i].bytes, rubbish[i].count);
	fd = open_data(&f, 99); /* no such connection */
	CHECK(wait_readable(fd));
	close(fd);
	f.hello.secret[3] ^= 1;
	fd = open_data(&f, 1); /* wrong token */
	CHECK(wait_readable(fd));
	close(fd);
	f.hello.secret[3] ^= 1;
	fd = open_data(&f, 1);
	send_bytes(fd, 10);
	expect_bytes(fd, 5);
	stop_session(&f);
	CHECK(f.usage.refused >= 2);
	close(fd);
	stop_node(&f);
}

/* What a client may not do: it hears why, and the node goes on. */
static void test_refusals(void)
{
	static const struct {
		const char *why;
		enum { DUE, STORAGE, UNKNOWN, CPU, AHEAD, TWICE } what;
	} cases[] = {
		{ "not due", DUE },
		{ "max-storage", STORAGE },
		{ "unknown connection", UNKNOWN },
		{ "computes for more", CPU },
		{ "max-requests-ahead", AHEAD },
		{ "twice", TWICE },
	};
	struct plan_op forever[] = { COMPUTE(1ull << 60) };
	struct fixture f;

	start_node(&f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("%s", cases[i].why);
		meet(&f);
		if (cases[i].what == DUE)
			wire_put_empty(&f.out, WIRE_STOP);
		put_service(&f, 1, PLAN_BATCHING_LIVE);
		put_connection(&f, 1, 0);
		if (cases[i].what == STORAGE)
			put_target(&f, 7, 1ull << 40);
		if (cases[i].what == UNKNOWN)
			put_request(&f, 1, 2, 1, 1, NULL, 0);
		if (cases[i].what == CPU)
			put_request(&f, 1, 1, 1, 1, forever, 1);
		if (cases[i].what == TWICE)
			put_connection(&f, 1, 0);
		for (uint64_t r = 0; cases[i].what == AHEAD && r <= f.hello.requests_ahead_max; r++)
			put_request(&f, r, 1, 1, 1, NULL, 0);
		flush(&f);
		expect_error(&f, cases[i].why);
		close(f.control);
	}
	f.control = -1;
	stop_node(&f);
}

/* A client that goes away in the middle of everything. */
static void test_vanishing_client(void)
{
	struct plan_op ops[] = { STORE(100, PLAN_SHARED), SLEEP(NS_PER_SEC), REPLY(1 << 22) };
	struct fixture f;
	int fd;

	start_node(&f, NULL);
	for (int i = 0; i < 5; i++) {
		meet(&f);
		put_service(&f, 2, PLAN_BATCHING_LIVE);
		put_target(&f, 7, 4096);
		put_connection(&f, 1, 1);
		ops[1].work = i % 2 ? NS_PER_SEC : 1;
		put_request(&f, 1, 1, 10, 1 << 22, ops, 3);
		put_request(&f, 2, 1, 10, 1 << 22, ops, 3);
		if (i < 1) {
			flush(&f);
			close(f.control);
			continue;
		}
		lay_out(&f);
		fd = open_data(&f, 1);
		send_bytes(fd, i < 3 ? 20 : 15);
		usleep(3000);
		close(fd);
		if (i % 2)
			usleep(3000);
		close(f.control);
	}
	f.control = -1;
	stop_node(&f);
}

/* What is due by the clock happens without a request. */
static void test_background(void)
{
	struct plan_background ops[] = {
		{ .due_ns = NS_PER_MS, .thread = 0, .op = STORE(10, PLAN_INLINE) },
		{ .due_ns = 2 * NS_PER_MS, .thread = 5, .op = SYNC(PLAN_INLINE) },
		{ .due_ns = 3600 * NS_PER_SEC, .thread = 5, .op = SYNC(PLAN_INLINE) },
	};
	struct fixture f;
	uint64_t bytes;

	start_node(&f, NULL);
	meet(&f);
	put_service(&f, 1, PLAN_BATCHING_LIVE);
	put_target(&f, 7, 100);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		wire_put_background(&f.out, &ops[i]);
	lay_out(&f);
	usleep(50000);
	stop_session(&f);
	CHECK_EQ(count_calls(&f, OP_STORE, &bytes), 1);
	CHECK_EQ(bytes, 10);
	CHECK_EQ(count_calls(&f, OP_SYNC, &bytes), 1);
	for (size_t i = 0; i < f.oprows_count; i++) {
		CHECK_EQ(f.oprows[i].request_id, 0);
		CHECK(f.oprows[i].start_ns >= f.usage.anchor_ns + NS_PER_MS);
	}
	stop_node(&f);
}

/* From its first call to its last, of the ops of a request on files. */
static void io_span(const struct fixture *f, uint64_t request_id, int64_t *ret_start_ns,
		    int64_t *ret_end_ns)
{
	*ret_start_ns = INT64_MAX;
	*ret_end_ns = 0;
	for (size_t i = 0; i < f->oprows_count; i++) {
		const struct wire_oprow *row = &f->oprows[i];

		if (row->request_id != request_id || row->kind == OP_REPLY)
			continue;
		CHECK_EQ(row->status, 0);
		if (row->start_ns < *ret_start_ns)
			*ret_start_ns = row->start_ns;
		if (row->start_ns + row->elapsed_ns > *ret_end_ns)
			*ret_end_ns = row->start_ns + row->elapsed_ns;
	}
}

#define IO_BYTES (3u << 20)

/*
 * Whoever does it: each op once, all of its bytes. A worker that does it itself serves
 * one after the other; with others to do it, it serves the second one meanwhile.
 */
static void test_io_modes(void)
{
	static const struct io_opts modes[] = {
		{ IO_WORKER, 0 }, { IO_THREADS, 2 }, { IO_URING, 1 }, { IO_URING, 64 }
	};
	const struct plan_op ops[] = {
		{ .op_id = 1, .kind = OP_STORE, .owners = 1, .bytes = IO_BYTES, .target_id = 7 },
		{ .op_id = 2,
		  .kind = OP_SYNC,
		  .flags = OPF_SYNC,
		  .owners = 1,
		  .offset = TRACE_NONE,
		  .target_id = 7 },
		{ .op_id = 3,
		  .kind = OP_LOAD,
		  .owners = 1,
		  .bytes = 2 * IO_BYTES,
		  .offset = IO_BYTES / 2,
		  .target_id = 7 },
		REPLY(5),
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct node_opts opts = { .io = modes[i] };
		int64_t start_ns[2], end_ns[2];
		struct fixture f;
		uint64_t bytes;
		int fds[2];

		check_case("mode %d, %u", modes[i].mode, modes[i].count);
		start_node(&f, &opts);
		meet(&f);
		put_service(&f, 1, PLAN_BATCHING_LIVE);
		put_target(&f, 7, 4096);
		for (uint64_t c = 0; c < 2; c++) {
			put_connection(&f, 1 + c, 0);
			put_request(&f, 1 + c, 1 + c, 10, 5, ops, ARRAY_SIZE(ops));
		}
		lay_out(&f);
		for (uint64_t c = 0; c < 2; c++)
			fds[c] = open_data(&f, 1 + c);
		for (uint64_t c = 0; c < 2; c++)
			send_bytes(fds[c], 10);
		for (uint64_t c = 0; c < 2; c++)
			expect_bytes(fds[c], 5);
		stop_session(&f);
		CHECK_EQ(count_calls(&f, OP_STORE, &bytes), 2);
		CHECK_EQ(bytes, 2 * IO_BYTES);
		CHECK_EQ(count_calls(&f, OP_LOAD, &bytes), 2);
		CHECK_EQ(bytes, 2 * IO_BYTES / 2); /* up to the end of the file */
		CHECK_EQ(count_calls(&f, OP_SYNC, &bytes), 2);
		CHECK_EQ(f.ledger.count[LG_OPS_SKIPPED], 0);
		for (int c = 0; c < 2; c++) {
			io_span(&f, (uint64_t)c + 1, &start_ns[c], &end_ns[c]);
			CHECK_EQ(row_of(&f, (uint64_t)c + 1)->status, 0);
			close(fds[c]);
		}
		CHECK_EQ(start_ns[0] < end_ns[1] && start_ns[1] < end_ns[0],
			 modes[i].mode != IO_WORKER);
		stop_node(&f);
	}
}

/* A device that takes its time does not hold up the end of the node. */
static void test_end_within_io(void)
{
	static const struct io_opts modes[] = { { IO_THREADS, 1 }, { IO_URING, 4 } };
	const struct plan_op ops[] = { STORE(IO_BYTES, PLAN_INLINE), SYNC(PLAN_INLINE), REPLY(5) };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct node_opts opts = { .io = modes[i] };
		struct fixture f;
		int fds[4];

		check_case("mode %d", modes[i].mode);
		start_node(&f, &opts);
		meet(&f);
		put_service(&f, 1, PLAN_BATCHING_LIVE);
		put_target(&f, 7, 4096);
		for (uint64_t c = 0; c < ARRAY_SIZE(fds); c++) {
			put_connection(&f, 1 + c, 0);
			put_request(&f, 1 + c, 1 + c, 10, 5, ops, ARRAY_SIZE(ops));
		}
		lay_out(&f);
		for (uint64_t c = 0; c < ARRAY_SIZE(fds); c++)
			fds[c] = open_data(&f, 1 + c);
		for (uint64_t c = 0; c < ARRAY_SIZE(fds); c++)
			send_bytes(fds[c], 10);
		stop_session(&f);
		CHECK(f.rows_count + f.ledger.count[LG_OPEN_AT_END] <= ARRAY_SIZE(fds));
		for (uint64_t c = 0; c < ARRAY_SIZE(fds); c++)
			close(fds[c]);
		stop_node(&f);
	}
}

#define WALKED 20

/* The ops of a walk act on the node's devices, whoever does the I/O; one it lacks is said. */
static void test_walk_on_devices(void)
{
	static const char text[] =
		"-S\n4096,sync\n-L\n4096\n-S\n512,sync,dev=1\n--lock\n5us\n-R\n64\n";
	static const char missing[] = "-S\n4096,dev=2\n-R\n64\n";
	static const struct io_opts modes[] = { { IO_WORKER, 0 },
						{ IO_THREADS, 2 },
						{ IO_URING, 8 } };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		static const struct device_defaults none;
		struct wire_walk walk = { .seed = 1, .text_bytes = sizeof(text) - 1, .rows = 1 };
		struct devices devices = { 0 };
		struct node_opts opts = { .io = modes[i], .devices = &devices };
		struct wire_preface preface = { .flags = WIRE_PREFACE_WALK, .connection_id = 1 };
		uint8_t bytes[WIRE_PREFACE_BYTES], message[WIRE_MESSAGE_BYTES];
		struct fixture f;
		uint64_t stored;
		int fd;

		check_case("mode %d", modes[i].mode);
		CHECK_EQ(devices_add(&devices, "/tmp,size=64k", &none, NULL), 0);
		CHECK_EQ(devices_add(&devices, "/tmp,sync=5", &none, NULL), 0);
		start_node(&f, &opts);
		meet(&f);
		wire_put_walk(&f.out, &walk);
		wire_put_text(&f.out, text, sizeof(text) - 1);
		lay_out(&f);
		fd = dial(&f);
		wire_preface_sign(&preface, f.hello.secret);
		wire_preface_encode(&preface, bytes);
		CHECK_EQ(send(fd, bytes, sizeof(bytes), 0), WIRE_PREFACE_BYTES);
		for (uint64_t r = 0; r < WALKED; r++) {
			wire_message_encode(&(struct wire_message){ .size = WIRE_MESSAGE_BYTES,
								    .request = r },
					    message);
			CHECK_EQ(send(fd, message, sizeof(message), 0), WIRE_MESSAGE_BYTES);
		}
		expect_bytes(fd, WALKED * 64);
		close(fd);
		stop_session(&f);
		CHECK_EQ(count_calls(&f, OP_STORE, &stored), 2 * WALKED);
		CHECK_EQ(stored, WALKED * (4096 + 512));
		CHECK_EQ(count_calls(&f, OP_LOAD, &stored), WALKED);
		CHECK_EQ(stored, WALKED * 4096);
		CHECK_EQ(count_calls(&f, OP_LOCK, &stored), WALKED);
		CHECK_EQ(f.ledger.count[LG_OPS_SKIPPED], 0);
		for (size_t row = 0; row < f.rows_count; row++)
			CHECK_EQ(f.rows[row].status, 0);
		close(f.control);

		meet(&f);
		walk.text_bytes = sizeof(missing) - 1;
		wire_put_walk(&f.out, &walk);
		wire_put_text(&f.out, missing, sizeof(missing) - 1);
		flush(&f);
		expect_error(&f, "there is no storage device 2");
		stop_node(&f);
		devices_release(&devices);
	}
}

/* One end of a data connection that is not plain TCP; waits where the node would not. */
static void wait_for(const struct channel *ch, uint32_t events)
{
	struct pollfd pfd = { .fd = ch->fd, .events = (short)events };

	CHECK_EQ(poll(&pfd, 1, WAIT_MS), 1);
}

static struct channel dial_listener(const struct listener *l, struct tls_context *tls)
{
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	struct channel ch = CHANNEL_NONE;
	int count = address_resolve(&l->address, false, endpoints, NULL), which, rc;

	ch.fd = endpoints_connect(endpoints, count, l->address.transport, WAIT_MS, &which);
	if (!CHECK(ch.fd >= 0))
		exit(1);
	if (l->address.transport == TRANSPORT_TLS && tls)
		CHECK_EQ(channel_begin_tls(&ch, tls), 0);
	while ((rc = channel_handshake(&ch)) == -EAGAIN)
		wait_for(&ch, channel_read_events(&ch));
	CHECK_EQ(rc, 0);
	return ch;
}

static void channel_put(struct channel *ch, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = channel_send(ch, at, size);

		if (n == -EAGAIN)
			wait_for(ch, channel_write_events(ch));
		else if (!CHECK(n > 0))
			return;
		at += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
}

/* Takes `size` bytes; 0: the end comes first, which is what is wanted. */
static void channel_expect(struct channel *ch, size_t size)
{
	static char scratch[65536];
	ssize_t n = 1;

	while (n > 0 || n == -EAGAIN) {
		size_t want = size && size < sizeof(scratch) ? size : sizeof(scratch);

		n = channel_recv(ch, scratch, want);
		if (n == -EAGAIN)
			wait_for(ch, channel_read_events(ch));
		else if (n > 0 && CHECK(size >= (size_t)n) && !(size -= (size_t)n))
			return;
	}
	CHECK_EQ(size, 0);
}

static void put_preface(struct fixture *f, struct channel *ch, uint64_t connection_id, size_t part)
{
	struct wire_preface preface = { .connection_id = connection_id };
	uint8_t bytes[WIRE_PREFACE_BYTES];

	wire_preface_sign(&preface, f->hello.secret);
	wire_preface_encode(&preface, bytes);
	for (size_t at = 0; at < sizeof(bytes); at += part)
		channel_put(ch, bytes + at, part);
}

/* What is no data connection is closed, and keeps nobody from being served. */
static void knock_in_vain(const struct listener *l, struct tls_context *tls)
{
	/* a preface's length and more: with less it would be waited for, up to a limit */
	static const char *const knocks[] = { "GET /nothing/to/be/had/here HTTP/1.1\r\n\r\n",
					      "GAIT and more, but no preface of ours", "G" };
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	struct channel ch;
	struct buf out;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(knocks); i++) {
		const char *knock = knocks[i / 2];

		ch = dial_listener(l, i % 2 ? tls : NULL);
		channel_put(&ch, knock, strlen(knock));
		if (knock[1])
			channel_expect(&ch, 0);
		channel_close(&ch);
	}
	buf_init(&out, 1 << 20); /* clients come in elsewhere */
	wire_put_hello(&out, &hello);
	ch = dial_listener(l, tls);
	channel_put(&ch, out.data, out.len);
	channel_expect(&ch, 0);
	channel_close(&ch);
	buf_release(&out);
}

static void serve_over(struct fixture *f, const struct listener *l, struct tls_context *tls)
{
	static const struct {
		uint64_t request_bytes, response_bytes;
	} sizes[] = { { 14, 5 }, { 1, 1 }, { 31, 100000 }, { 200000, 7 }, { 3, 0 }, { 9, 2 } };
	struct plan_op ops[] = { COMPUTE(1000), REPLY(5) };
	uint64_t sent = 0, expected = 0;
	struct channel ch;
	char *data;

	meet(f);
	put_service(f, 2, PLAN_BATCHING_LIVE);
	for (uint64_t connection = 1; connection <= 2; connection++) {
		put_connection(f, connection, (uint32_t)connection - 1);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			put_request(f, 100 * connection + i, connection, sizes[i].request_bytes,
				    sizes[i].response_bytes, ops, 2);
	}
	lay_out(f);
	knock_in_vain(l, tls);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		sent += sizes[i].request_bytes;
		expected += sizes[i].response_bytes;
	}
	data = calloc(1, sent);
	for (uint64_t connection = 1; connection <= 2; connection++) {
		ch = dial_listener(l, tls);
		put_preface(f, &ch, connection, connection == 1 ? 1 : WIRE_PREFACE_BYTES);
		channel_put(&ch, data, sent); /* all at once */
		channel_expect(&ch, expected);
		channel_close(&ch);
	}
	free(data);
	stop_session(f);
	CHECK_EQ(f->rows_count, 2 * ARRAY_SIZE(sizes));
	for (size_t i = 0; i < f->rows_count && i < ROWS_MAX; i++)
		CHECK_EQ(f->rows[i].status, 0);
	CHECK(f->usage.refused > 0);
	close(f->control);
	f->rows_count = 0;
	f->control = -1;
}

/* Listeners beside the control one, in each way to accept and to wait. */
static void test_other_listeners(void)
{
	static const enum transport transports[] = { TRANSPORT_UNIX, TRANSPORT_TCP, TRANSPORT_TLS };
	size_t count = GAIT_TLS ? 3 : 2;
	struct node_opts opts = { .listen.count = 1 + count };
	const struct tls_setup setup = { .node = false };
	struct tls_context *tls = NULL;
	struct fixture f;

	if (GAIT_TLS)
		CHECK_EQ(tls_context_new(&setup, &tls, NULL), 0);
	strcpy(opts.listen.addresses[0].host, "127.0.0.1");
	for (size_t i = 0; i < count; i++) {
		struct address *a = &opts.listen.addresses[1 + i];

		a->transport = transports[i];
		if (a->transport == TRANSPORT_UNIX)
			snprintf(a->host, sizeof(a->host), "/tmp/gait-test-node-%d.sock", getpid());
		else
			strcpy(a->host, "::1");
	}
	for (int mode = 0; mode < 3; mode++) { /* there are three of each */
		const struct listener *listeners;

		opts.workers.poll_mode = (enum poll_mode)mode;
		opts.listen.accept_mode = (enum accept_mode)mode;
		start_node(&f, &opts);
		CHECK_EQ(node_listeners(f.node, &listeners), 1 + count);
		for (size_t i = 1; i <= count; i++) {
			check_case("mode %d, %s", mode,
				   transport_name(listeners[i].address.transport));
			serve_over(&f, &listeners[i], tls);
		}
		stop_node(&f);
	}
	tls_context_free(tls);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	RUN(test_sizes);
	RUN(test_live_batching);
	RUN(test_recorded_batching);
	RUN(test_forgotten_calls);
	RUN(test_sendfile);
	RUN(test_sleep);
	RUN(test_after_reply);
	RUN(test_overtaken_plan);
	RUN(test_second_client);
	RUN(test_garbage);
	RUN(test_refusals);
	RUN(test_vanishing_client);
	RUN(test_background);
	RUN(test_io_modes);
	RUN(test_end_within_io);
	RUN(test_walk_on_devices);
	RUN(test_other_listeners);
	return check_done();
}
