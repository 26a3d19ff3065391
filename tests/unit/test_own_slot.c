/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread knows of its own time without privilege. */
#include "base/clock.h"
#include "check.h"
#include "probe/own_slot.h"
#include "replay/node/meter.h"

#include <unistd.h>

/* Over 10,000 ns: its CPU clock, its run delay (-1: unknown), how often it left; and where they go. */
static const struct {
	const char *what;
	int64_t cpu_ns, delay_ns, willing, unwilling;
	int64_t user_ns, preempted_ns, runqueue_ns, wait_ns;
} splits[] = {
	{ "it ran", 10000, 0, 0, 0, 10000, 0, 0, 0 },
	{ "its clocks disagree", 10200, 0, 0, 0, 10000, 0, 0, 0 },
	{ "taken off", 7000, 3000, 0, 1, 7000, 3000, 0, 0 },
	{ "taken off, and an interrupt", 7000, 2500, 0, 2, 7500, 2500, 0, 0 },
	{ "taken off, and the kernel does not say for how long", 7000, -1, 0, 1, 7000, 3000, 0, 0 },
	{ "waited", 1000, 0, 1, 0, 1000, 0, 0, 9000 },
	{ "waited, then for a CPU", 1000, 2000, 1, 0, 1000, 0, 2000, 7000 },
	{ "waited, and was taken off", 1000, 2000, 2, 1, 1000, 0, 2000, 7000 },
	{ "waited, and the kernel does not say", 1000, -1, 1, 0, 1000, 0, 0, 9000 },
	{ "the hypervisor took its CPU", 6000, 0, 0, 0, 10000, 0, 0, 0 },
	{ "a delay of before", 9000, 5000, 0, 1, 9000, 1000, 0, 0 },
};

static void test_split(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(splits); i++) {
		const struct own_reading from = { .ns = 500, .cpu_ns = 70, .delay_ns = 9 };
		const struct own_reading to = {
			.ns = 10500,
			.cpu_ns = 70 + splits[i].cpu_ns,
			.delay_ns = splits[i].delay_ns < 0 ? -1 : 9 + splits[i].delay_ns,
			.willing = splits[i].willing,
			.unwilling = splits[i].unwilling,
		};
		uint64_t counters[TS_COUNT] = { 0 };

		check_case("%s", splits[i].what);
		own_split(&from, &to, 10000, own_off_ns(&from, &to, 10000), counters);
		CHECK_EQ(counters[TS_USER], splits[i].user_ns);
		CHECK_EQ(counters[TS_PREEMPTED], splits[i].preempted_ns);
		CHECK_EQ(counters[TS_RUNQUEUE], splits[i].runqueue_ns);
		CHECK_EQ(counters[TS_WAIT_OTHER], splits[i].wait_ns);
	}
}

/* What it was off the CPU before the stretch is none of the stretch's. */
static void test_short_stretch(void)
{
	const struct own_reading from = { 0 }, to = { .ns = 10000, .willing = 1 };
	uint64_t counters[TS_COUNT] = { 0 };

	CHECK_EQ(own_off_ns(&from, &to, 6000), 6000);
	own_split(&from, &to, 6000, 6000, counters);
	CHECK_EQ(counters[TS_WAIT_OTHER], 6000);
	CHECK_EQ(counters[TS_USER], 0);
}

static int64_t sum(const uint64_t counters[TS_COUNT])
{
	int64_t all = 0;

	for (size_t i = 0; i < TS_COUNT; i++)
		all += (int64_t)counters[i];
	return all;
}

static void spin(int64_t ns)
{
	for (int64_t end = clock_now_ns() + ns; clock_now_ns() < end;)
		;
}

/* All time is somewhere; a sleep of this thread is a wait, and its work is not. */
static void test_own_thread(void)
{
	struct own_slot own;
	int64_t begin_ns, slept_ns;

	own_slot_init(&own);
	begin_ns = own.last.ns;
	usleep(20000);
	slept_ns = own_slot_read(&own);
	CHECK_EQ(sum(own.slot.ns), slept_ns - begin_ns);
	CHECK(own.slot.ns[TS_WAIT_OTHER] + own.slot.ns[TS_RUNQUEUE] > 19000000);
	CHECK_EQ(own.slot.ns[TS_PREEMPTED], 0);
	for (int i = 0; i < 1000; i++)
		spin((own_slot_read(&own) & 0x3fff) + 100);
	CHECK_EQ(sum(own.slot.ns), own_slot_read(&own) - begin_ns);
	CHECK(own.slot.ns[TS_USER] > 1000000);
	own_slot_release(&own);
	own_slot_release(&own);
}

/* A wait of a file call can be its device's or a journal's: it has no row. */
static void test_untold_waits(void)
{
	static const struct {
		enum activity activity;
		enum thread_state wait;
	} waits[] = {
		{ ACTIVITY_FILE, TS_WAIT_OTHER },   { ACTIVITY_DEVICE, TS_WAIT_BLOCK },
		{ ACTIVITY_MEMORY, TS_WAIT_OTHER }, { ACTIVITY_LOCK, TS_WAIT_FUTEX },
		{ ACTIVITY_POLL, TS_WAIT_POLL },    { ACTIVITY_NET, TS_WAIT_NET },
	};
	struct own_slot own;
	struct meter m;

	meter_init(&m, NULL, &own);
	if (!CHECK(m.slot == &own.slot))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		check_case("activity %d", waits[i].activity);
		memset(m.pending, 0, sizeof(m.pending));
		own.slot.ns[TS_WAIT_OTHER] += 3000;
		meter_mark(&m, waits[i].activity);
		CHECK_EQ(m.pending[waits[i].wait], 3000);
	}
	meter_end(&m);
	CHECK(!m.slot);
}

int main(void)
{
	RUN(test_split);
	RUN(test_short_stretch);
	RUN(test_own_thread);
	RUN(test_untold_waits);
	return check_done();
}
