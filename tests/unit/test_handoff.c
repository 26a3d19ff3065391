/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that one thread reads and others work on, and requests that share a connection: threads
 * of known behaviour, told to the assembler as BPF would. Times are absolute: a call is named by
 * when it was entered and when it returned, and between calls a thread runs user code.
 */
#include "capture/assemble/assembler.h"

#include "check.h"

#include <arpa/inet.h>

enum { READER, ONE, TWO, OTHER, THREADS };
#define TID(thread) (100 + (thread))
#define WORK 64	  /* the word that workers wait on */
#define LOCK 4096 /* a word of something else */
#define ALL -1	  /* of a message's bytes are visible */

struct thread {
	uint64_t at;
	uint64_t ns[TS_COUNT];
};

struct kernel {
	struct assembler *assembler;
	struct thread threads[THREADS];
	uint64_t now;
	struct row_request requests[32];
	struct row_latency latency[33]; /* by request id */
	struct row_op ops[128];
	size_t requests_count, ops_count;
	struct assembler_totals totals;
};

static int keep(void *arg, enum trace_table table, const void *row)
{
	struct kernel *k = arg;
	const struct row_latency *l = row;

	if (table == TABLE_REQUESTS && CHECK(k->requests_count < ARRAY_SIZE(k->requests)))
		memcpy(&k->requests[k->requests_count++], row, sizeof(k->requests[0]));
	if (table == TABLE_OPS && CHECK(k->ops_count < ARRAY_SIZE(k->ops)))
		memcpy(&k->ops[k->ops_count++], row, sizeof(k->ops[0]));
	if (table == TABLE_LATENCY && CHECK(l->request_id < ARRAY_SIZE(k->latency)))
		k->latency[l->request_id] = *l;
	return 0;
}

static void start_thread(struct kernel *k, unsigned thread, unsigned service)
{
	struct event_thread e = { .head = { EVENT_THREAD, thread, 1, k->now },
				  .tid = TID(thread),
				  .tgid = 100,
				  .service = service };

	assembler_event(k->assembler, &e, sizeof(e));
}

static void open_socket(struct kernel *k, uint64_t id, uint16_t flags)
{
	struct event_socket e = { .head = { EVENT_SOCKET, 0, 0, k->now },
				  .socket_id = id,
				  .family = AF_INET,
				  .local_port = 7000,
				  .remote_port = 40000,
				  .flags = flags };

	assembler_event(k->assembler, &e, sizeof(e));
}

/* All threads of one service, connections 1 to 4. */
static struct kernel *begin(void)
{
	static struct kernel k;
	struct assembler_opts opts = { .work_per_ms = 1000000, .sink = { keep, &k } };

	memset(&k, 0, sizeof(k));
	k.assembler = assembler_new(&opts);
	for (unsigned i = 0; i < THREADS; i++)
		start_thread(&k, i, 0);
	for (uint64_t s = 1; s <= 4; s++)
		open_socket(&k, s, 0);
	return &k;
}

static const struct row_request *request(const struct kernel *k, uint64_t id)
{
	static const struct row_request none;

	for (size_t i = 0; i < k->requests_count; i++)
		if (k->requests[i].request_id == id)
			return &k->requests[i];
	CHECK(!"the request is there");
	return &none;
}

static void check_sums(const struct kernel *k)
{
	for (size_t id = 1; id < ARRAY_SIZE(k->latency); id++) {
		const struct row_latency *l = &k->latency[id];
		int64_t sum = l->unattributed_ns;

		for (int i = 0; i < SUB_COUNT; i++) {
			CHECK(l->ns[i] >= 0);
			sum += l->ns[i];
		}
		CHECK_EQ(sum, l->total_ns);
	}
}

static void end(struct kernel *k)
{
	for (unsigned i = 0; i < THREADS; i++)
		assembler_thread_end(k->assembler, i, 1, k->threads[i].ns);
	CHECK_EQ(assembler_finish(k->assembler, (int64_t)k->now, &k->totals), 0);
	assembler_free(k->assembler);
	check_sums(k);
}

/* The op of that kind that a thread did for a request; the one after `n` others. */
static const struct row_op *op_of(const struct kernel *k, uint64_t id, enum op_kind kind,
				  unsigned thread, int n)
{
	for (size_t i = 0; i < k->ops_count; i++) {
		const struct row_op *op = &k->ops[i];

		if (op->request_id == id && op->kind == kind && op->thread_id == TID(thread) &&
		    !n--)
			return op;
	}
	return NULL;
}

static uint64_t cpu_of(const struct kernel *k, uint64_t id, unsigned thread)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < k->ops_count; i++)
		if (k->ops[i].request_id == id && k->ops[i].kind == OP_COMPUTE &&
		    k->ops[i].thread_id == TID(thread))
			sum += k->ops[i].cpu_ns;
	return sum;
}

/* --- what threads do --------------------------------------------------------------------- */

/* Everything of a call but what it was about. */
static struct event_call call(struct kernel *k, unsigned thread, uint64_t enter, uint64_t leave,
			      enum thread_state state)
{
	struct thread *t = &k->threads[thread];
	struct event_call e = { .enter_ns = enter, .ret = 1, .offset = -1 };

	CHECK(enter >= t->at && leave >= enter && leave >= k->now);
	t->ns[TS_USER] += enter - t->at;
	memcpy(e.enter, t->ns, sizeof(e.enter));
	t->ns[state] += leave - enter;
	memcpy(e.exit, t->ns, sizeof(e.exit));
	t->at = k->now = leave;
	e.head = (struct event_head){ EVENT_CALL, (uint16_t)thread, 1, leave };
	return e;
}

static void polls(struct kernel *k, unsigned thread, uint64_t enter, uint64_t leave)
{
	struct event_call e = call(k, thread, enter, leave, TS_WAIT_POLL);

	e.op = SYSCALL_POLL;
	assembler_event(k->assembler, &e, sizeof(e));
}

/* Sleeps on a futex until another thread wakes it. */
static void waits(struct kernel *k, unsigned thread, uint64_t enter, uint64_t leave, uint64_t word)
{
	struct event_call e = call(k, thread, enter, leave, TS_WAIT_FUTEX);

	e.op = SYSCALL_WAIT;
	e.object = OBJECT_SIGNAL;
	e.inode = word;
	assembler_event(k->assembler, &e, sizeof(e));
}

/* Wakes a thread that sleeps on a futex: five ns. */
static void wakes(struct kernel *k, unsigned thread, uint64_t enter, uint64_t word)
{
	struct event_call e = call(k, thread, enter, enter + 5, TS_KERNEL_OTHER);

	e.op = SYSCALL_WAKE;
	e.object = OBJECT_SIGNAL;
	e.inode = word;
	assembler_event(k->assembler, &e, sizeof(e));
}

/* In user code, behind its last call. */
static void is_preempted(struct kernel *k, unsigned thread, uint64_t ns)
{
	k->threads[thread].ns[TS_PREEMPTED] += ns;
	k->threads[thread].at += ns;
}

/* Writes to the eventfd on which the reader polls; told when it begins. */
static void gives(struct kernel *k, unsigned thread, uint64_t at)
{
	struct event_call e = call(k, thread, at, at, TS_KERNEL_FS);

	e.op = SYSCALL_GIVE;
	e.object = OBJECT_SIGNAL;
	e.inode = 9;
	assembler_event(k->assembler, &e, sizeof(e));
}

static void stores(struct kernel *k, unsigned thread, uint64_t enter, uint64_t leave)
{
	struct event_call e = call(k, thread, enter, leave, TS_KERNEL_FS);

	e.op = SYSCALL_WRITE;
	e.object = OBJECT_FILE;
	e.inode = 4242;
	assembler_event(k->assembler, &e, sizeof(e));
}

struct moved {
	union {
		struct event_receive receive;
		struct event_send send;
		uint8_t room[sizeof(struct event_receive) + 1024];
	};
};

/* Ten ns; the first byte came 100 ns before the return. */
static void reads_bytes(struct kernel *k, unsigned thread, uint64_t enter, uint64_t socket,
			const char *bytes)
{
	static struct moved m;
	struct event_receive *e = &m.receive;

	memset(&m, 0, sizeof(m));
	e->call = call(k, thread, enter, enter + 10, TS_KERNEL_NET);
	e->call.head.kind = EVENT_RECEIVE;
	e->call.op = SYSCALL_RECV;
	e->call.object = OBJECT_SOCKET;
	e->call.socket_id = socket;
	e->call.ret = (int64_t)strlen(bytes);
	e->arrival_ns = enter - 90;
	e->seen = (uint32_t)strlen(bytes);
	memcpy(e->bytes, bytes, e->seen);
	assembler_event(k->assembler, e, sizeof(*e) + e->seen);
}

static void reads(struct kernel *k, unsigned thread, uint64_t enter, uint64_t socket)
{
	reads_bytes(k, thread, enter, socket, "\x01");
}

/* Twenty ns. */
static void sends(struct kernel *k, unsigned thread, uint64_t enter, uint64_t socket)
{
	struct event_call e = call(k, thread, enter, enter + 20, TS_KERNEL_NET);

	e.op = SYSCALL_SEND;
	e.object = OBJECT_SOCKET;
	e.socket_id = socket;
	e.ret = 64;
	assembler_event(k->assembler, &e, sizeof(e));
}

static void sends_bytes(struct kernel *k, unsigned thread, uint64_t enter, uint64_t socket,
			const char *bytes)
{
	static struct moved m;
	struct event_send *e = &m.send;

	memset(&m, 0, sizeof(m));
	e->call = call(k, thread, enter, enter + 20, TS_KERNEL_NET);
	e->call.head.kind = EVENT_SEND;
	e->call.op = SYSCALL_SEND;
	e->call.object = OBJECT_SOCKET;
	e->call.socket_id = socket;
	e->call.ret = (int64_t)strlen(bytes);
	e->seen = (uint32_t)strlen(bytes);
	memcpy(e->bytes, bytes, e->seen);
	assembler_event(k->assembler, e, sizeof(*e) + e->seen);
}

/* The reply to a call. */
static void hears(struct kernel *k, unsigned thread, uint64_t enter, uint64_t leave,
		  uint64_t socket)
{
	struct event_receive e = { .call = call(k, thread, enter, leave, TS_WAIT_NET) };

	e.call.head.kind = EVENT_RECEIVE;
	e.call.op = SYSCALL_RECV;
	e.call.object = OBJECT_SOCKET;
	e.call.socket_id = socket;
	e.call.ret = 50;
	assembler_event(k->assembler, &e, sizeof(e));
}

/* --- pools whose workers reply ------------------------------------------------------------- */

static void test_worker_woken_replies(void)
{
	struct kernel *k = begin();
	const struct row_latency *l = &k->latency[1];

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);    /* arrived at 910 */
	polls(k, READER, 1030, 1040); /* has put it into the queue: 20 ns */
	waits(k, ONE, 0, 1050, WORK);
	sends(k, ONE, 4050, 1);
	end(k);
	CHECK_EQ(request(k, 1)->confidence, 90);
	CHECK_EQ(cpu_of(k, 1, ONE), 3000);
	CHECK(op_of(k, 1, OP_REPLY, ONE, 0) != NULL);
	CHECK_EQ(l->total_ns, 4070 - 910);
	CHECK_EQ(l->ns[SUB_NET_RXQUEUE], 90);
	CHECK_EQ(l->ns[SUB_CPU_KERNEL_NET], 30);
	CHECK_EQ(l->ns[SUB_CPU_USER], 20 + 3000);
	CHECK_EQ(l->ns[SUB_APP_HANDOFF], 1050 - 1030);
	CHECK_EQ(l->unattributed_ns, 0);
	CHECK_STR(k->totals.services[0].io_model, "worker-pool");
}

/* Straight after its last reply it goes on to the next one, which its reader had let go of. */
static void test_worker_goes_on_without_waiting(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	reads(k, READER, 1020, 2);
	polls(k, READER, 1040, 1045);
	waits(k, ONE, 0, 1050, WORK);
	sends(k, ONE, 2050, 1);
	sends(k, ONE, 4070, 2);
	end(k);
	CHECK_EQ(cpu_of(k, 1, ONE), 1000);
	CHECK_EQ(cpu_of(k, 2, ONE), 2000);
	CHECK_EQ(request(k, 2)->confidence, 90);
	CHECK_EQ(k->latency[2].ns[SUB_CPU_USER], 2010);
	CHECK_EQ(k->latency[2].total_ns, 4090 - 930);
}

/* An op lasts as long as it does, waiting included: a worker's too. */
static void test_worker_is_preempted(void)
{
	struct kernel *k = begin();
	const struct row_op *op;

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1030, 1040);
	waits(k, ONE, 0, 1050, WORK);
	is_preempted(k, ONE, 500);
	stores(k, ONE, 2550, 2650);
	sends(k, ONE, 2750, 1);
	end(k);
	op = op_of(k, 1, OP_COMPUTE, ONE, 0);
	if (CHECK(op != NULL)) {
		CHECK_EQ(op->start_ns, 1050);
		CHECK_EQ(op->cpu_ns, 1000);
		CHECK_EQ(op->elapsed_ns, 1500);
	}
	CHECK_EQ(k->latency[1].ns[SUB_SCHED_PREEMPTED], 500);
}

/* The worker takes the CPU of the reader that woke it: nobody waits for what the reader does then. */
static void test_worker_preempts_its_reader(void)
{
	struct kernel *k = begin();
	const struct row_latency *l = &k->latency[1];

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	wakes(k, READER, 1030, WORK);
	waits(k, ONE, 0, 1040, WORK);
	is_preempted(k, READER, 1500);
	polls(k, READER, 2545, 2550);
	gives(k, ONE, 4040);
	polls(k, READER, 2550, 4100);
	sends(k, READER, 4110, 1);
	end(k);
	CHECK_EQ(l->total_ns, 4130 - 910);
	CHECK_EQ(l->ns[SUB_SCHED_PREEMPTED], 0);
	CHECK_EQ(l->ns[SUB_CPU_USER], 20 + 3000 + 10);
	CHECK_EQ(request(k, 1)->confidence, 90);
}

/* A worker that was never seen to wait: its first op shows that it works at the latest then. */
static void test_worker_known_by_its_op(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1020, 1030);
	stores(k, ONE, 2000, 2100);
	sends(k, ONE, 3100, 1);
	end(k);
	CHECK(op_of(k, 1, OP_STORE, ONE, 0) != NULL);
	CHECK_EQ(cpu_of(k, 1, ONE), 1000); /* what was before its op is nobody's */
	CHECK_EQ(cpu_of(k, 0, ONE), 2000);
	CHECK_EQ(k->latency[1].ns[SUB_CPU_KERNEL_FS], 100);
}

/* A lock on its way is its own wait: the request is the same before and behind it. */
static void test_worker_waits_for_a_lock(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1020, 1030);
	waits(k, ONE, 0, 1050, WORK);
	waits(k, ONE, 2050, 2550, LOCK);
	sends(k, ONE, 3550, 1);
	end(k);
	CHECK_EQ(cpu_of(k, 1, ONE), 2000);
	CHECK_EQ(k->latency[1].ns[SUB_LOCK_USER], 500);
	CHECK_EQ(k->latency[1].ns[SUB_CPU_USER], 2010);
}

/* Its calls to another service are the request's, also while nobody knows whose they are. */
static void test_worker_calls(void)
{
	struct kernel *k = begin();
	const struct row_op *op;

	open_socket(k, 20, SOCKET_OUTGOING);
	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1020, 1030);
	waits(k, ONE, 0, 1050, WORK);
	sends(k, ONE, 1150, 20);
	hears(k, ONE, 1170, 3170, 20);
	sends(k, ONE, 3270, 1);
	end(k);
	op = op_of(k, 1, OP_FORWARD, ONE, 0);
	if (CHECK(op != NULL)) {
		CHECK_EQ(op->bytes, 64);
		CHECK_EQ(op->reply_bytes, 50);
		CHECK_EQ(op->elapsed_ns, 3170 - 1150);
	}
	CHECK_EQ(k->latency[1].ns[SUB_CALL], 2000);
	CHECK_EQ(cpu_of(k, 1, ONE), 200);
}

/* --- pools whose reader replies ------------------------------------------------------------- */

/* Two workers: whether the younger request's result comes first, and whether its reply does. */
static void two_results(struct kernel *k, bool second_given_first, bool second_sent_first)
{
	unsigned first = second_given_first ? TWO : ONE, second = second_given_first ? ONE : TWO;

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	reads(k, READER, 1020, 2);
	polls(k, READER, 1040, 1045);
	waits(k, ONE, 0, 1050, WORK);
	waits(k, TWO, 0, 1060, WORK);
	gives(k, first, 2060);
	gives(k, second, 3060);
	polls(k, READER, 1050, 3100);
	sends(k, READER, 3110, second_sent_first ? 2 : 1);
	sends(k, READER, 3140, second_sent_first ? 1 : 2);
	end(k);
}

static void test_results_in_order(void)
{
	struct kernel *k = begin();

	two_results(k, false, false);
	CHECK_EQ(cpu_of(k, 1, ONE), 1010);
	CHECK_EQ(cpu_of(k, 2, TWO), 2000);
	CHECK_EQ(cpu_of(k, 1, TWO) + cpu_of(k, 2, ONE), 0);
	CHECK_EQ(request(k, 1)->confidence, 90);
	CHECK_EQ(request(k, 2)->confidence, 90);
	CHECK_STR(k->totals.services[0].io_model, "worker-pool");
}

static void test_results_out_of_order(void)
{
	struct kernel *k = begin();

	two_results(k, true, true);
	CHECK_EQ(cpu_of(k, 1, ONE), 2010);
	CHECK_EQ(cpu_of(k, 2, TWO), 1000);
	CHECK_EQ(request(k, 1)->confidence, 90);
	CHECK_EQ(request(k, 2)->confidence, 90);
}

/* The order of results says one thing, who took what another: of both requests nobody is sure. */
static void test_orders_disagree(void)
{
	struct kernel *k = begin();

	two_results(k, false, true);
	CHECK_EQ(request(k, 1)->confidence, 50);
	CHECK_EQ(request(k, 2)->confidence, 50);
}

/* The one that woke second took the first: results tell, and the orders do not agree. */
static void test_workers_that_race(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	reads(k, READER, 1020, 2);
	polls(k, READER, 1040, 1045);
	waits(k, ONE, 0, 1050, WORK); /* works on the second */
	waits(k, TWO, 0, 1060, WORK); /* works on the first */
	gives(k, TWO, 2060);
	polls(k, READER, 1050, 2070);
	sends(k, READER, 2080, 1);
	gives(k, ONE, 4050);
	polls(k, READER, 2110, 4060);
	sends(k, READER, 4070, 2);
	end(k);
	CHECK_EQ(cpu_of(k, 1, TWO), 1000);
	CHECK_EQ(cpu_of(k, 2, ONE), 3000);
	CHECK_EQ(request(k, 1)->confidence, 50);
}

/* A thread that looks for work in a loop without sleeping: what it spins is nobody's. */
static void test_spinning_worker(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 500);
	reads(k, READER, 500, 1);
	polls(k, READER, 520, 530);
	waits(k, ONE, 0, 540, WORK);
	sends(k, ONE, 640, 1); /* from here on it spins, until 10030 */
	polls(k, READER, 540, 10000);
	reads(k, READER, 10000, 2);
	polls(k, READER, 10020, 10030);
	sends(k, ONE, 11030, 2);
	end(k);
	CHECK_EQ(cpu_of(k, 1, ONE), 100);
	CHECK_EQ(cpu_of(k, 2, ONE), 0); /* where it began with it nothing shows */
	CHECK_EQ(cpu_of(k, 0, ONE), 11030 - 660);
	CHECK_EQ(k->latency[2].ns[SUB_CPU_USER], 10);
}

/* --- others ----------------------------------------------------------------------------------- */

/* A thread beside them delivers nothing: its work and its files are the service's background. */
static void test_background_thread(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	waits(k, OTHER, 0, 1030, LOCK);
	stores(k, OTHER, 2030, 2130);
	waits(k, OTHER, 2130, 2200, LOCK);
	sends(k, READER, 3010, 1);
	end(k);
	CHECK_EQ(cpu_of(k, 1, READER), 2000);
	CHECK_EQ(cpu_of(k, 1, OTHER), 0);
	CHECK_EQ(cpu_of(k, 0, OTHER), 1000);
	CHECK(op_of(k, 0, OP_STORE, OTHER, 0) != NULL);
	CHECK_EQ(request(k, 1)->confidence, 90); /* of turns */
	CHECK_STR(k->totals.services[0].io_model, "event-loop");
}

/* Four connections are read, then handed out. */
static void test_batch_reader(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	for (uint64_t s = 1; s <= 4; s++)
		reads(k, READER, 990 + 10 * s, s);
	polls(k, READER, 1040, 1050);
	waits(k, ONE, 0, 1060, WORK);
	waits(k, TWO, 0, 1070, WORK);
	sends(k, ONE, 2060, 1);
	sends(k, TWO, 2170, 2);
	sends(k, ONE, 3080, 3);
	sends(k, TWO, 3290, 4);
	end(k);
	CHECK_EQ(cpu_of(k, 1, ONE), 1000);
	CHECK_EQ(cpu_of(k, 2, TWO), 1100);
	CHECK_EQ(cpu_of(k, 3, ONE), 1000);
	CHECK_EQ(cpu_of(k, 4, TWO), 1100);
	for (uint64_t id = 1; id <= 4; id++)
		CHECK_EQ(request(k, id)->confidence, 90);
}

/* The worker's wait was not told: what it did is somebody's, but nothing says since when. */
static void test_lost_wait(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1020, 1030);
	sends(k, ONE, 4050, 1);
	end(k);
	CHECK_EQ(cpu_of(k, 1, ONE), 0);
	CHECK_EQ(cpu_of(k, 0, ONE), 4050);
	CHECK_EQ(k->latency[1].unattributed_ns, 4050 - 1020);
	CHECK_STR(k->totals.services[0].io_model, "io-threads");
}

/* A thread whose exit was lost gives its slot to another; its request goes to who is woken next. */
static void test_lost_exit(void)
{
	struct kernel *k = begin();
	struct event_thread next = { .head = { EVENT_THREAD, ONE, 2, 1300 }, .tid = 555 };

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1020, 1030);
	waits(k, ONE, 0, 1050, WORK); /* then it ends */
	assembler_event(k->assembler, &next, sizeof(next));
	waits(k, TWO, 0, 1400, WORK);
	gives(k, TWO, 2400);
	polls(k, READER, 1040, 2410);
	sends(k, READER, 2420, 1);
	end(k);
	CHECK_EQ(cpu_of(k, 1, TWO), 1000);
	CHECK_EQ(request(k, 1)->confidence, 90);
}

/* A result that nobody sends is in the trace all the same. */
static void test_result_that_nobody_sends(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1020, 1030);
	waits(k, ONE, 0, 1050, WORK);
	stores(k, ONE, 2050, 2060);
	gives(k, ONE, 2060);
	end(k);
	CHECK_STR(request(k, 1)->status, "open");
	CHECK_EQ(cpu_of(k, 0, ONE), 1000);
	CHECK(op_of(k, 0, OP_STORE, ONE, 0) != NULL);
}

/* Threads of another service are no workers of this one. */
static void test_two_services(void)
{
	struct kernel *k = begin();
	struct event_thread exit = { .head = { EVENT_THREAD_EXIT, TWO, 1, 0 } };

	assembler_event(k->assembler, &exit, sizeof(exit));
	start_thread(k, TWO, 1);
	polls(k, READER, 0, 1000);
	reads(k, READER, 1000, 1);
	polls(k, READER, 1020, 1030);
	waits(k, TWO, 0, 1040, WORK); /* woken first, but a stranger */
	waits(k, ONE, 0, 1050, WORK);
	gives(k, TWO, 2050);
	gives(k, ONE, 3050);
	polls(k, READER, 1040, 3060);
	sends(k, READER, 3070, 1);
	end(k);
	CHECK_EQ(cpu_of(k, 1, ONE), 2000);
	CHECK_EQ(cpu_of(k, 1, TWO), 0);
	CHECK_EQ(request(k, 1)->confidence, 90);
	CHECK_EQ(request(k, 1)->service_id, 1);
}

/* --- pipelines ------------------------------------------------------------------------------- */

#define PING "*1\r\n$4\r\nPING\r\n"
#define PONG "+PONG\r\n"

static void read_three(struct kernel *k)
{
	polls(k, READER, 0, 1000);
	reads_bytes(k, READER, 1000, 1, PING PING PING);
}

static void test_replies_one_by_one(void)
{
	struct kernel *k = begin();

	read_three(k);
	for (uint64_t i = 0; i < 3; i++)
		sends_bytes(k, READER, 1110 + 120 * i, 1, PONG); /* 100 ns of work each */
	end(k);
	CHECK_EQ(k->requests_count, 3);
	for (uint64_t id = 1; id <= 3; id++) {
		check_case("request %d", (int)id);
		CHECK_EQ(request(k, id)->request_bytes, sizeof(PING) - 1);
		CHECK_EQ(request(k, id)->response_bytes, sizeof(PONG) - 1);
		CHECK_EQ(request(k, id)->arrival_ns, 910);
		CHECK_EQ(request(k, id)->end_ns, 1010 + 120 * id);
		CHECK_EQ(request(k, id)->confidence, 100);
		CHECK_EQ(cpu_of(k, id, READER), 100);
		CHECK_EQ(k->latency[id].ns[SUB_APP_QUEUE], 120 * (id - 1));
		CHECK_EQ(k->latency[id].unattributed_ns, 0);
	}
}

static void test_replies_in_one_send(void)
{
	struct kernel *k = begin();

	read_three(k);
	sends_bytes(k, READER, 1310, 1, PONG PONG PONG);
	end(k);
	CHECK_EQ(k->requests_count, 3);
	for (uint64_t id = 1; id <= 3; id++) {
		CHECK_EQ(request(k, id)->confidence, 80);
		CHECK_EQ(request(k, id)->response_bytes, sizeof(PONG) - 1);
		CHECK_EQ(cpu_of(k, id, READER), 100);
	}
}

static void test_replies_without_visible_bytes(void)
{
	struct kernel *k = begin();

	read_three(k);
	sends(k, READER, 1310, 1);
	end(k);
	CHECK_EQ(k->requests_count, 3);
	for (uint64_t id = 1; id <= 3; id++)
		CHECK_EQ(request(k, id)->confidence, 60);
}

static void test_commands_without_reply(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads_bytes(k, READER, 1000, 1, "set k 0 0 1 noreply\r\nx\r\nget k\r\n");
	sends_bytes(k, READER, 1110, 1, "END\r\n");
	end(k);
	CHECK_EQ(k->requests_count, 2);
	CHECK_STR(request(k, 1)->status, "no-reply");
	CHECK_STR(request(k, 2)->status, "");
	CHECK_EQ(request(k, 1)->response_bytes, 0);
	CHECK_EQ(request(k, 2)->response_bytes, 5);
	CHECK_EQ(k->latency[1].request_id, 0);
}

/* One message in three reads, the last of which brings another one. */
static void test_message_in_pieces(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads_bytes(k, READER, 1000, 1, "*1\r");
	polls(k, READER, 1020, 1900);
	reads_bytes(k, READER, 1900, 1, "\n$4\r\nPI");
	polls(k, READER, 1920, 2900);
	reads_bytes(k, READER, 2900, 1, "NG\r\n" PING);
	sends_bytes(k, READER, 3000, 1, PONG);
	sends_bytes(k, READER, 3100, 1, PONG);
	end(k);
	CHECK_EQ(k->requests_count, 2);
	CHECK_EQ(request(k, 1)->arrival_ns, 910);
	CHECK_EQ(request(k, 1)->request_bytes, sizeof(PING) - 1);
	CHECK_EQ(request(k, 2)->arrival_ns, 2810);
	CHECK_EQ(request(k, 2)->request_bytes, sizeof(PING) - 1);
	CHECK_EQ(k->latency[2].ns[SUB_NET_RXQUEUE], 90);
	CHECK_EQ(k->latency[2].ns[SUB_CPU_USER], 80);
}

/* A message that nobody asked for, while a request's first bytes are there, is not its reply. */
static void test_push_before_a_request_is_whole(void)
{
	struct kernel *k = begin();

	polls(k, READER, 0, 1000);
	reads_bytes(k, READER, 1000, 1, PING "*1\r\n$4");
	sends_bytes(k, READER, 1110, 1, PONG ">2\r\n$1\r\na\r\n$1\r\nb\r\n");
	reads_bytes(k, READER, 2000, 1, "\r\nPING\r\n");
	sends_bytes(k, READER, 2110, 1, PONG);
	end(k);
	CHECK_EQ(k->requests_count, 2);
	CHECK_EQ(request(k, 1)->response_bytes, sizeof(PONG) - 1);
	CHECK_EQ(request(k, 2)->response_bytes, sizeof(PONG) - 1);
	CHECK_EQ(request(k, 2)->end_ns, 2130);
}

/* A reply that breaks the protocol: what is open goes by turns, the next quiet moment begins anew. */
static void test_framing_is_lost(void)
{
	struct kernel *k = begin();

	read_three(k);
	sends_bytes(k, READER, 1110, 1, PONG);
	sends_bytes(k, READER, 1230, 1, "HTTP/1.1 200 OK\r\n\r\n");
	reads_bytes(k, READER, 2000, 1, PING);
	sends_bytes(k, READER, 2110, 1, PONG);
	reads_bytes(k, READER, 3000, 1, PING PING);
	sends_bytes(k, READER, 3110, 1, PONG);
	sends_bytes(k, READER, 3230, 1, PONG);
	end(k);
	CHECK_EQ(k->requests_count, 5);
	CHECK_EQ(request(k, 1)->confidence, 100);
	CHECK_EQ(request(k, 2)->confidence, 90);
	CHECK_EQ(request(k, 3)->confidence, 90);
	CHECK_EQ(request(k, 3)->request_bytes, 2 * (sizeof(PING) - 1));
	CHECK_EQ(request(k, 4)->confidence, 100);
	CHECK_EQ(request(k, 5)->confidence, 100);
}

int main(void)
{
	RUN(test_worker_woken_replies);
	RUN(test_worker_goes_on_without_waiting);
	RUN(test_worker_is_preempted);
	RUN(test_worker_preempts_its_reader);
	RUN(test_worker_known_by_its_op);
	RUN(test_worker_waits_for_a_lock);
	RUN(test_worker_calls);
	RUN(test_results_in_order);
	RUN(test_results_out_of_order);
	RUN(test_orders_disagree);
	RUN(test_workers_that_race);
	RUN(test_spinning_worker);
	RUN(test_background_thread);
	RUN(test_batch_reader);
	RUN(test_lost_wait);
	RUN(test_lost_exit);
	RUN(test_result_that_nobody_sends);
	RUN(test_two_services);
	RUN(test_replies_one_by_one);
	RUN(test_replies_in_one_send);
	RUN(test_replies_without_visible_bytes);
	RUN(test_commands_without_reply);
	RUN(test_message_in_pieces);
	RUN(test_push_before_a_request_is_whole);
	RUN(test_framing_is_lost);
	return check_done();
}
