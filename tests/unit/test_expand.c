/* SPDX-License-Identifier: Apache-2.0 */
/* Brief events of the ring made whole: a thread's life, told once whole and once as briefly as BPF does. */
#include "bpf/account.h"
#include "probe/expand.h"

#include "check.h"

static const struct syscall_class recv_class = { SYSCALL_RECV, TS_KERNEL_NET, TS_WAIT_NET };
static const struct syscall_class close_class = { SYSCALL_OTHER, TS_KERNEL_FS, TS_WAIT_OTHER };
static const struct account_leave sleeps = { 0 };

struct life {
	struct thread_slot slot;
	struct expander *expander;
	unsigned seed;
	uint64_t now;
	int brief, whole;
};

static void life_init(struct life *l)
{
	memset(l, 0, sizeof(*l));
	l->seed = 7;
	l->now = 1000;
	l->expander = expander_new();
	l->slot.generation = 3;
	account_start(&l->slot, l->now, false);
}

static uint64_t later(struct life *l)
{
	return l->now += 1 + rand_r(&l->seed) % 500;
}

static struct event_head head_of(struct life *l, enum event_kind kind)
{
	return (struct event_head){ kind, 12, l->slot.generation, l->slot.last_ns };
}

/* The thread does a call of that class; now and then it is interrupted, or sleeps in it. */
static void live_call(struct life *l, const struct syscall_class *class)
{
	account_sys_enter(&l->slot, class, later(l));
	account_mark(&l->slot);
	if (rand_r(&l->seed) % 8 == 0) {
		account_hardirq_enter(&l->slot, TS_IRQ_TIMER, later(l));
		account_hardirq_exit(&l->slot, later(l));
	}
	if (rand_r(&l->seed) % 8 == 0) {
		account_switch_out(&l->slot, &sleeps, later(l));
		account_switch_in(&l->slot, true, later(l));
	}
	account_charge(&l->slot, later(l));
}

/* What was sent comes out with the counters as they truly were. */
static void check_told(struct life *l, const void *event, size_t size)
{
	uint64_t enter[TS_COUNT], leave[TS_COUNT];
	const struct event_call *e = expander_take(l->expander, event, size, &size);

	account_copy(&l->slot, enter, leave);
	if (!CHECK(e != NULL))
		return;
	CHECK_EQ(size, sizeof(*e));
	CHECK_EQ(e->head.kind, EVENT_CALL);
	CHECK_EQ(e->ret, 42);
	CHECK_EQ(e->enter_ns, l->slot.mark_ns);
	CHECK_MEM(e->enter, enter, sizeof(enter));
	CHECK_MEM(e->exit, leave, sizeof(leave));
}

static void tell(struct life *l, bool lost)
{
	struct event_brief brief = { .head = head_of(l, EVENT_BRIEF_CALL),
				     .enter_ns = l->slot.mark_ns,
				     .ret = 42,
				     .state = l->slot.sys - 1 };
	struct event_call whole = { .head = head_of(l, EVENT_CALL),
				    .enter_ns = l->slot.mark_ns,
				    .ret = 42 };
	bool is_brief = account_is_brief(&l->slot);

	account_copy(&l->slot, whole.enter, whole.exit);
	if (lost) {
		l->slot.unsaid = ~0u;
		return;
	}
	if (is_brief)
		check_told(l, &brief, sizeof(brief));
	else
		check_told(l, &whole, sizeof(whole));
	account_told(&l->slot, ~0u);
	l->brief += is_brief;
	l->whole += !is_brief;
}

static void test_brief_tells_all(void)
{
	struct life l;

	life_init(&l);
	for (int i = 0; i < 2000; i++) {
		bool followed = rand_r(&l.seed) % 4;

		check_case("call %d", i);
		live_call(&l, followed ? &recv_class : &close_class);
		if (followed)
			tell(&l, rand_r(&l.seed) % 16 == 0);
		account_sys_exit(&l.slot, l.now);
	}
	CHECK(l.brief > 300);
	CHECK(l.whole > 300);
	expander_free(l.expander);
}

/* A function of a TLS library tells the counters too; one that a pause cut is dropped. */
static void test_tls_moves_the_counters(void)
{
	struct event_tls tls = { .head = { EVENT_TLS, 12, 3, 1000 }, .enter_ns = 900 };
	struct event_tls cut = { .head = { EVENT_TLS, 12, 3, 5000 }, .enter_ns = SLOT_FROZEN_NS };
	struct event_brief brief = { .head = { EVENT_BRIEF_CALL, 12, 3, 1300 },
				     .enter_ns = 1200,
				     .state = TS_KERNEL_NET };
	struct expander *x = expander_new();
	const struct event_call *e;
	size_t size;

	tls.exit[TS_USER] = 70;
	CHECK(expander_take(x, &tls, sizeof(tls), &size) == &tls);
	CHECK(!expander_take(x, &cut, sizeof(cut), &size));
	e = expander_take(x, &brief, sizeof(brief), &size);
	if (CHECK(e != NULL)) {
		CHECK_EQ(e->tls, TLS_NONE);
		CHECK_EQ(e->enter[TS_USER], 70 + 200);
		CHECK_EQ(e->exit[TS_KERNEL_NET], 100);
	}
	expander_free(x);
}

/* The counters at an arrival come from their low halves, also when those have turned over. */
static void test_receive_with_arrival(void)
{
	struct event_call first = { .head = { EVENT_CALL, 12, 3, 1000 } };
	union {
		struct event_brief_receive b;
		uint8_t room[sizeof(struct event_brief_receive) + 2];
	} u = { .b = { .call = { .head = { EVENT_BRIEF_RECEIVE, 12, 3, 1900 },
				 .enter_ns = 1400,
				 .state = TS_KERNEL_NET,
				 .ret = 5 },
		       .arrival_ns = 1300,
		       .counted = 1,
		       .seen = 2 } };
	struct expander *x = expander_new();
	const struct event_receive *e;
	size_t size;

	first.exit[TS_USER] = (7ull << 32) - 100;
	first.exit[TS_WAIT_POLL] = 9ull << 32;
	expander_take(x, &first, sizeof(first), &size);
	u.b.arrival_low[TS_USER] = (uint32_t)((7ull << 32) + 200);
	memcpy(u.b.bytes, "ab", 2);
	CHECK(!expander_take(x, &u, sizeof(u.b) + 1, &size)); /* cut short */
	e = expander_take(x, &u, sizeof(u.b) + 2, &size);
	if (CHECK(e != NULL)) {
		CHECK_EQ(size, sizeof(*e) + 2);
		CHECK_EQ(e->call.head.kind, EVENT_RECEIVE);
		CHECK_EQ(e->call.enter[TS_USER], (7ull << 32) + 300);
		CHECK_EQ(e->call.exit[TS_KERNEL_NET], 500);
		CHECK_EQ(e->arrival[TS_USER], (7ull << 32) + 200);
		CHECK_EQ(e->arrival[TS_WAIT_POLL], 9ull << 32);
		CHECK_EQ(e->arrival_ns, 1300);
		CHECK_MEM(e->bytes, "ab", 2);
	}
	expander_free(x);
}

/* A brief event of a thread that nobody knows says nothing. */
static void test_unknown_thread(void)
{
	struct event_call first = { .head = { EVENT_CALL, 12, 3, 1000 } };
	struct event_brief b = { .head = { EVENT_BRIEF_CALL, 12, 4, 1900 } };
	struct event_thread other = { .head = { EVENT_THREAD, 12, 4, 1900 } };
	struct expander *x = expander_new();
	size_t size;

	CHECK(!expander_take(x, &b, sizeof(b), &size));
	expander_take(x, &first, sizeof(first), &size);
	CHECK(!expander_take(x, &b, sizeof(b), &size)); /* the slot has a new thread */
	b.head.generation = 3;
	CHECK(!expander_take(x, &b, sizeof(b) - 1, &size));
	CHECK(expander_take(x, &b, sizeof(b), &size) != NULL);
	b.head.slot = 65535;
	CHECK(expander_take(x, &b, sizeof(b), &size) ==
	      (const void *)&b); /* and is not looked at */
	CHECK(expander_take(x, &other, sizeof(other), &size) == (const void *)&other);
	CHECK_EQ(size, sizeof(other));
	expander_free(x);
}

/* --detail requests: no counters, and a reply began at the latest just before it went out. */
static void test_bytes_alone(void)
{
	struct event_bytes in = { .head = { EVENT_BYTES_IN, 9, 1, 500 },
				  .socket_id = 4,
				  .stamp_ns = 450,
				  .bytes = 36,
				  .head_bytes = 3,
				  .first = "GET" };
	struct event_bytes out = {
		.head = { EVENT_BYTES_OUT, 9, 1, 600 }, .socket_id = 4, .stamp_ns = 600, .bytes = 7
	};
	struct expander *x = expander_new();
	const struct event_receive *r;
	const struct event_call *c;
	size_t size;

	r = expander_take(x, &in, sizeof(in), &size);
	if (CHECK(r != NULL)) {
		CHECK_EQ(size, sizeof(*r) + r->seen);
		CHECK_EQ(r->call.head.kind, EVENT_RECEIVE);
		CHECK_EQ(r->call.ret, 36);
		CHECK_EQ(r->call.socket_id, 4);
		CHECK_EQ(r->arrival_ns, 450);
		CHECK_EQ(r->seen, 3);
		CHECK_MEM(r->bytes, "GET", 4);
		CHECK_EQ(r->call.exit[TS_USER], 0);
	}
	c = expander_take(x, &out, sizeof(out), &size);
	if (CHECK(c != NULL)) {
		CHECK_EQ(size, sizeof(*c));
		CHECK_EQ(c->head.kind, EVENT_CALL);
		CHECK_EQ(c->ret, 7);
		CHECK_EQ(c->enter_ns, 599);
		CHECK_EQ(c->tx_ns, 600);
	}
	CHECK(!expander_take(x, &in, sizeof(in) - 1, &size));
	expander_free(x);
}

/* Calls that began or ended while their programs were not attached, and calls cut short. */
static void test_half_seen_calls(void)
{
	static const uint16_t kinds[] = { EVENT_CALL, EVENT_RECEIVE, EVENT_SEND };
	struct expander *x = expander_new();
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct event_receive e = { .call.head = { kinds[i], 9, 1, 700 },
					   .call.enter_ns = 600 };

		check_case("kind %u", kinds[i]);
		CHECK(expander_take(x, &e, sizeof(e), &size) == (const void *)&e);
		CHECK(!expander_take(x, &e, sizeof(e.call) - 1, &size));
		e.call.enter_ns = SLOT_FROZEN_NS;
		CHECK(!expander_take(x, &e, sizeof(e), &size));
		e.call.enter_ns = 600;
		e.call.head.ns = SLOT_FROZEN_NS + 5;
		CHECK(!expander_take(x, &e, sizeof(e), &size));
	}
	expander_free(x);
}

int main(void)
{
	RUN(test_brief_tells_all);
	RUN(test_tls_moves_the_counters);
	RUN(test_receive_with_arrival);
	RUN(test_unknown_thread);
	RUN(test_bytes_alone);
	RUN(test_half_seen_calls);
	return check_done();
}
