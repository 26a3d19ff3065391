/* SPDX-License-Identifier: Apache-2.0 */
/* What the node knows about its own time: activities, readings, and the meter of a thread. */
#include "base/clock.h"
#include "check.h"
#include "replay/node/activity.h"
#include "replay/node/meter.h"

#include <unistd.h>

/* A segment of 1000 ns in one state, and the state that it becomes. */
static const struct {
	enum activity activity;
	enum thread_state from, to;
} relabels[] = {
	{ ACTIVITY_SELF, TS_USER, TS_USER },
	{ ACTIVITY_SELF, TS_IRQ_NET, TS_IRQ_NET },
	{ ACTIVITY_COMPUTE, TS_USER, TS_USER },
	{ ACTIVITY_COMPUTE, TS_PREEMPTED, TS_PREEMPTED },
	{ ACTIVITY_POLL, TS_USER, TS_KERNEL_NET },
	{ ACTIVITY_POLL, TS_IRQ_NET, TS_KERNEL_NET },
	{ ACTIVITY_POLL, TS_WAIT_OTHER, TS_WAIT_POLL },
	{ ACTIVITY_POLL, TS_WAKEUP, TS_WAKEUP },
	{ ACTIVITY_NET, TS_USER, TS_KERNEL_NET },
	{ ACTIVITY_NET, TS_IRQ_NET, TS_KERNEL_NET }, /* loopback: the receiver's half of our send */
	{ ACTIVITY_NET, TS_IRQ_BLOCK, TS_IRQ_BLOCK },
	{ ACTIVITY_NET, TS_WAIT_OTHER, TS_WAIT_NET },
	{ ACTIVITY_FILE, TS_USER, TS_KERNEL_FS },
	{ ACTIVITY_FILE, TS_IRQ_NET, TS_IRQ_NET },
	{ ACTIVITY_FILE, TS_WAIT_OTHER, TS_WAIT_JOURNAL },
	{ ACTIVITY_FILE, TS_WAIT_BLOCK, TS_WAIT_BLOCK },
	{ ACTIVITY_FILE, TS_THROTTLED, TS_THROTTLED },
	{ ACTIVITY_LOCK, TS_USER, TS_USER },
	{ ACTIVITY_LOCK, TS_WAIT_OTHER, TS_WAIT_FUTEX },
	{ ACTIVITY_MEMORY, TS_USER, TS_KERNEL_MM },
	{ ACTIVITY_MEMORY, TS_WAIT_OTHER, TS_WAIT_MEM },
	{ ACTIVITY_KERNEL, TS_USER, TS_KERNEL_OTHER },
	{ ACTIVITY_KERNEL, TS_WAIT_OTHER, TS_WAIT_OTHER },
};

static void test_relabel(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(relabels); i++) {
		int64_t delta[TS_COUNT] = { 0 };

		check_case("activity %d, state %d", relabels[i].activity, relabels[i].from);
		delta[relabels[i].from] = 1000;
		activity_relabel(relabels[i].activity, delta);
		CHECK_EQ(delta[relabels[i].to], 1000);
		CHECK_EQ(counters_sum(delta), 1000);
	}
}

/* Asleep from 1000 to 2000 (the wake-up took the last 50), others until 2600, a recv of 100. */
static struct reading one_reading(void)
{
	struct reading r = { .sleep.ns = 1000, .wake.ns = 2000, .enter.ns = 2600, .leave.ns = 2700 };

	r.wake.counters[TS_WAIT_OTHER] = 940;
	r.wake.counters[TS_WAKEUP] = 50;
	r.wake.counters[TS_USER] = 10;
	r.enter = r.wake;
	r.enter.ns = 2600;
	r.enter.counters[TS_USER] += 550;
	r.enter.counters[TS_PREEMPTED] += 50;
	r.leave = r.enter;
	r.leave.ns = 2700;
	r.leave.counters[TS_USER] += 100;
	return r;
}

/* By arrival: what is then waking up and reading, what was spent on others, and how. */
static const struct {
	const char *when;
	int64_t arrival_ns;
	bool counted;		    /* with the counters of the thread at the arrival */
	int64_t wait, wakeup, read; /* own */
	int64_t others, preempted;  /* unread */
} arrivals[] = {
	{ "asleep, counted", 1940, true, 0, 50, 110, 550, 50 },
	{ "asleep, not counted: waiting is taken off first", 1900, false, 40, 50, 110, 550, 50 },
	{ "at others", 2300, true, 0, 0, 100, 250, 50 },
	{ "at others, not counted", 2300, false, 0, 0, 100, 250, 50 },
	{ "in the recv", 2640, true, 0, 0, 60, 0, 0 },
	{ "in the recv, not counted", 2640, false, 0, 0, 60, 0, 0 },
	{ "before the sleep, not counted: others had it", 500, false, 940, 50, 110, 500 + 550, 50 },
};

/* The counters at an arrival, in the states of one_reading(). */
static void counters_at(int64_t ns, uint64_t counters[TS_COUNT])
{
	struct reading r = one_reading();

	memcpy(counters, r.sleep.counters, sizeof(r.sleep.counters));
	if (ns < 2000) {
		counters[TS_WAIT_OTHER] = (uint64_t)(ns - 1000);
	} else if (ns < 2600) {
		memcpy(counters, r.wake.counters, sizeof(r.wake.counters));
		counters[TS_USER] += (uint64_t)(ns - 2000);
	} else {
		memcpy(counters, r.enter.counters, sizeof(r.enter.counters));
		counters[TS_USER] += (uint64_t)(ns - 2600);
	}
}

static void test_reading(void)
{
	struct reading r = one_reading();

	for (size_t i = 0; i < ARRAY_SIZE(arrivals); i++) {
		int64_t unread[TS_COUNT], own[TS_COUNT];
		uint64_t counters[TS_COUNT];

		check_case("%s", arrivals[i].when);
		counters_at(arrivals[i].arrival_ns, counters);
		reading_split(&r, arrivals[i].arrival_ns, arrivals[i].counted ? counters : NULL,
			      unread, own);
		CHECK_EQ(own[TS_WAIT_POLL], arrivals[i].wait);
		CHECK_EQ(own[TS_WAKEUP], arrivals[i].wakeup);
		CHECK_EQ(own[TS_KERNEL_NET], arrivals[i].read);
		CHECK_EQ(unread[TS_KERNEL_NET], arrivals[i].others);
		CHECK_EQ(unread[TS_PREEMPTED], arrivals[i].preempted);
		CHECK_EQ(counters_sum(unread) + counters_sum(own),
			 r.leave.ns - arrivals[i].arrival_ns);
	}
}

/* It came while the thread was at others, one pass ago. */
static void test_reading_of_last_pass(void)
{
	struct reading r = one_reading();
	uint64_t counters[TS_COUNT] = { 0 };
	int64_t unread[TS_COUNT], own[TS_COUNT];

	r.sleep.counters[TS_USER] = 300;
	r.wake.counters[TS_USER] += 300;
	r.enter.counters[TS_USER] += 300;
	r.leave.counters[TS_USER] += 300;
	reading_split(&r, 700, counters, unread, own);
	CHECK_EQ(counters_sum(unread) + counters_sum(own), r.leave.ns - 700);
	CHECK_EQ(own[TS_KERNEL_NET], 100);
	CHECK_EQ(own[TS_WAKEUP], 0);
}

/* A slot as the kernel side would keep it for this thread. */
static void fake_slot(struct thread_slot *slots)
{
	slots[3].tid = (uint32_t)gettid();
	slots[3].tgid = (uint32_t)getpid();
	slots[3].last_ns = (uint64_t)clock_now_ns();
}

/* Time goes to who owned it; the timeline has all of it; nothing is lost or counted twice. */
static void test_meter(void)
{
	static struct thread_slot slots[4096];
	struct account account;
	struct meter m;
	int64_t begin_ns, end_ns;

	fake_slot(slots);
	meter_init(&m, slots, NULL);
	if (!CHECK(m.slot == &slots[3]))
		return;
	begin_ns = m.last.ns;
	account_begin(&account, &m.timeline, NULL, NULL);
	meter_own(&m, &account);
	meter_mark(&m, ACTIVITY_COMPUTE);
	CHECK_EQ(m.last.counters[TS_USER], (uint64_t)m.last.ns - slots[3].last_ns);
	slots[3].ns[TS_WAIT_OTHER] += 5000; /* a wait in a call on a file */
	slots[3].sequence += 2;
	meter_mark(&m, ACTIVITY_FILE);
	end_ns = m.last.ns;
	meter_disown(&m);
	account_end(&account, &m.timeline, 0);
	CHECK_EQ(account.rows[SUB_FS_JOURNAL], 5000);
	CHECK_EQ(account.rows[SUB_CPU_USER] + account.rows[SUB_CPU_KERNEL_FS], end_ns - begin_ns);
	CHECK_EQ(account.rows[SUB_APP_QUEUE], 0);
	CHECK_EQ(counters_sum(m.totals), end_ns - begin_ns + 5000);
}

/* The kernel side missed that the thread came back: its wait goes on, and nothing counts twice. */
static void test_missed_switch(void)
{
	static struct thread_slot slots[4096];
	int64_t begin_ns, missed_ns;
	struct meter m;

	fake_slot(slots);
	meter_init(&m, slots, NULL);
	begin_ns = m.last.ns;
	slots[3].ns[TS_USER] += (uint64_t)begin_ns - slots[3].last_ns;
	slots[3].last_ns = (uint64_t)begin_ns; /* it leaves */
	slots[3].off_cpu = 1 + TS_WAIT_OTHER;
	slots[3].sequence += 2;
	usleep(1000);
	meter_mark(&m, ACTIVITY_POLL);
	meter_mark(&m, ACTIVITY_NET);
	missed_ns = m.last.ns;
	slots[3].ns[TS_WAIT_OTHER] += (uint64_t)missed_ns - slots[3].last_ns;
	slots[3].last_ns = (uint64_t)missed_ns; /* and is seen to come back */
	slots[3].off_cpu = 0;
	slots[3].sequence += 2;
	meter_mark(&m, ACTIVITY_SELF);
	meter_settle(&m);
	CHECK_EQ(m.totals[TS_WAIT_POLL] + m.totals[TS_WAIT_NET], missed_ns - begin_ns);
	CHECK_EQ(m.totals[TS_USER], m.last.ns - missed_ns);
	CHECK_EQ(m.totals[TS_KERNEL_NET], 0);
}

/* Without probes there are times and nothing else. */
static void test_meter_without_slot(void)
{
	struct account account = { 0 };
	struct meter m;
	int64_t begin_ns;

	meter_init(&m, NULL, NULL);
	begin_ns = m.last.ns;
	meter_own(&m, &account);
	CHECK(meter_mark(&m, ACTIVITY_SELF) >= begin_ns);
	meter_disown(&m);
	CHECK_EQ(counters_sum(m.totals), 0);
	CHECK_EQ(account.rows[SUB_CPU_USER], 0);
	CHECK_EQ(m.self_ns, m.last.ns - begin_ns);
}

int main(void)
{
	RUN(test_relabel);
	RUN(test_reading);
	RUN(test_reading_of_last_pass);
	RUN(test_meter);
	RUN(test_missed_switch);
	RUN(test_meter_without_slot);
	return check_done();
}
