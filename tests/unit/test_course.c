/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timelines: what a thread's log says of the order in which a request went through its states. Rows are
 * the law: whatever course they are fitted to, it has their sums, without a gap.
 */
#include "check.h"

#include "attribution/course.h"
#include "probe/probe.h"
#include "replay/node/steps.h"

#include <stdlib.h>
#include <string.h>

static void check_fitted(const struct course *c, const int64_t rows[COURSE_ROWS], int64_t from_ns,
			 int64_t until_ns)
{
	int64_t sums[COURSE_ROWS] = { 0 }, at = from_ns;

	for (size_t i = 0; i < c->count; i++) {
		CHECK_EQ(c->at[i].from_ns, at);
		CHECK(c->at[i].until_ns > at);
		CHECK(c->at[i].row >= 0 && c->at[i].row < COURSE_ROWS);
		CHECK(!i || c->at[i].row != c->at[i - 1].row);
		at = c->at[i].until_ns;
		sums[c->at[i].row] += c->at[i].until_ns - c->at[i].from_ns;
	}
	CHECK_EQ(at, until_ns);
	for (int i = 0; i < COURSE_ROWS; i++)
		CHECK_EQ(sums[i], rows[i]);
}

/* What agrees with its rows stays as it is; what does not gives way at its end. */
static void test_fit(void)
{
	int64_t rows[COURSE_ROWS] = { [SUB_CPU_USER] = 70, [SUB_APP_SLEEP] = 30 };
	static struct course c, fitted;

	course_begin(&c, 1000);
	course_add(&c, 1040, SUB_CPU_USER);
	course_add(&c, 1070, SUB_APP_SLEEP);
	course_add(&c, 1080, SUB_CPU_USER);
	course_add(&c, 1080, SUB_CALL); /* no time */
	course_add(&c, 1100, SUB_CPU_USER);
	CHECK_EQ(c.count, 3);
	CHECK_EQ(course_fit(&c, rows, &fitted), 0);
	check_fitted(&fitted, rows, 1000, 1100);
	CHECK_EQ(fitted.count, 3);

	rows[SUB_CPU_USER] = 55;
	rows[SUB_CALL] = 10;
	rows[COURSE_UNATTRIBUTED] = 5;
	CHECK_EQ(course_fit(&c, rows, &fitted), 15);
	check_fitted(&fitted, rows, 1000, 1100);
	CHECK_EQ(fitted.at[3].row, SUB_CALL);
	CHECK_EQ(fitted.at[3].from_ns, 1085);
}

/* Courses and rows at random, with what nobody knows, and longer ones than are noted. */
static void test_any_course_fits(void)
{
	static struct course c, fitted;

	srand(7);
	for (int round = 0; round < 2000; round++) {
		int64_t rows[COURSE_ROWS] = { 0 }, left, length_ns;
		int count = round % 100 ? rand() % 40 : COURSE_MAX + 50;

		course_begin(&c, round);
		for (int i = 0; i < count; i++)
			course_add(&c, c.until_ns + rand() % 50, rand() % (COURSE_ROWS + 1) - 1);
		length_ns = left = c.until_ns - c.from_ns;
		while (left > 0) {
			int64_t part = 1 + rand() % (left < 90 ? left : 90);

			rows[rand() % COURSE_ROWS] += part;
			left -= part;
		}
		CHECK(course_fit(&c, rows, &fitted) <= length_ns);
		check_fitted(&fitted, rows, round, round + length_ns);
		CHECK_EQ(c.lost > 0, count > COURSE_MAX);
	}
}

/* --- from the log of a slot ---------------------------------------------------------------- */

static struct thread_slot slot;
static struct steps steps;
static const struct account *const me = (const struct account *)&slot;

static void mark(int64_t until_ns, enum activity activity, const struct account *owner)
{
	const int64_t delta[TS_COUNT] = { 0 };

	steps_add(&steps, &slot, until_ns, activity, owner, delta);
}

/* As account_log() of bpf/account.h, whose log test_account.c proves. */
static void passed(enum thread_state state, uint64_t until_ns)
{
	slot.log[slot.logged++ % SLOT_LOG_MAX] = until_ns << SLOT_LOG_BITS | state;
}

static void begin(void)
{
	memset(&slot, 0, sizeof(slot));
	steps_begin(&steps, &slot, 1000);
}

static void check_course(const struct course *c, const struct stretch *want, size_t count)
{
	CHECK_EQ(c->count, count);
	for (size_t i = 0; i < c->count && i < count; i++) {
		check_case("stretch %zu", i);
		CHECK_EQ(c->at[i].from_ns, want[i].from_ns);
		CHECK_EQ(c->at[i].until_ns, want[i].until_ns);
		CHECK_EQ(c->at[i].row, want[i].row);
	}
}

/*
 * It arrives while the thread sleeps in poll, is read, computes, is interrupted, waits its turn behind
 * another, sleeps, and answers: each at the time at which the kernel side was told so.
 */
static void test_course_of_a_request(void)
{
	static const struct stretch want[] = {
		{ 1150, 1200, SUB_NET_RXQUEUE },    /* in poll, until it was woken */
		{ 1200, 1230, SUB_SCHED_RUNQUEUE }, /* the CPU was another's */
		{ 1230, 1240, SUB_CPU_KERNEL_NET }, /* poll returns */
		{ 1240, 1250, SUB_NET_RXQUEUE },    /* something else is done first */
		{ 1250, 1270, SUB_CPU_KERNEL_NET }, /* recv() */
		{ 1270, 1300, SUB_CPU_USER },	    /* its compute op */
		{ 1300, 1310, SUB_CPU_IRQ_TIMER },  /* within it */
		{ 1310, 1350, SUB_CPU_USER },
		{ 1350, 1400, SUB_APP_QUEUE },	     /* another one's */
		{ 1400, 1420, SUB_SCHED_PREEMPTED }, /* whoever it is for */
		{ 1420, 1450, SUB_APP_SLEEP },
		{ 1450, 1500, SUB_CPU_KERNEL_NET }, /* send() */
	};
	const struct reading reading = {
		.sleep.ns = 1100, .wake.ns = 1240, .enter.ns = 1250, .leave.ns = 1270
	};
	static struct course c;
	struct route route;

	begin();
	mark(1100, ACTIVITY_SELF, NULL);
	passed(TS_USER, 1110);
	passed(TS_WAIT_OTHER, 1200);
	passed(TS_RUNQUEUE, 1230);
	mark(1240, ACTIVITY_POLL, NULL);
	mark(1250, ACTIVITY_SELF, NULL);
	mark(1270, ACTIVITY_NET, NULL);
	route_begin(&route, &reading, true, true, 1270);
	passed(TS_USER, 1300);
	passed(TS_IRQ_TIMER, 1310);
	mark(1350, ACTIVITY_COMPUTE, me);
	passed(TS_USER, 1400);
	passed(TS_PREEMPTED, 1420);
	mark(1420, ACTIVITY_COMPUTE, NULL);
	route_leave(&route, 1420, DETOUR_ROW);
	mark(1450, ACTIVITY_COMPUTE, NULL);
	route_return(&route, 1460, SUB_APP_SLEEP, 30);
	passed(TS_USER, 1520); /* behind its end, and before the mark */
	passed(TS_IRQ_OTHER, 1530);
	mark(1540, ACTIVITY_NET, me);
	steps_course(&steps, &route, me, 1150, 1500, &c);
	check_course(&c, want, ARRAY_SIZE(want));
}

/* More than the log holds is counted, and the time of it unknown; so is what no step is there for. */
static void test_lost(void)
{
	static const struct reading never;
	static struct course c;
	struct route route;

	begin();
	for (int i = 1; i <= SLOT_LOG_MAX; i++) {
		passed(TS_USER, (uint64_t)(1000 + 10 * i));
		passed(TS_IRQ_TIMER, (uint64_t)(1000 + 10 * i + 2));
	}
	mark(3000, ACTIVITY_COMPUTE, me);
	CHECK_EQ(steps.lost, SLOT_LOG_MAX);
	route_begin(&route, &never, true, true, 900);
	steps_course(&steps, &route, me, 900, 3100, &c);
	CHECK_EQ(c.at[0].row, COURSE_UNKNOWN);
	/* until the end of the first that is left */
	CHECK_EQ(c.at[0].until_ns, 1000 + 10 * (SLOT_LOG_MAX / 2 + 1));
	CHECK_EQ(c.at[c.count - 1].row, COURSE_UNKNOWN);
	CHECK_EQ(c.at[c.count - 1].from_ns, 3000);
	CHECK_EQ(c.until_ns, 3100);
}

/* Of the time between two stamps of its own, a thread reads its states from the log alone. */
static void test_between(void)
{
	int64_t delta[TS_COUNT];

	begin();
	CHECK(!probe_read_between(&slot, 1000, 1100, delta));
	passed(TS_USER, 1010);
	passed(TS_PREEMPTED, 1050);
	passed(TS_USER, 1060);
	passed(TS_IRQ_NET, 1070);
	CHECK(probe_read_between(&slot, 1030, 1100, delta));
	CHECK_EQ(delta[TS_PREEMPTED], 20);
	CHECK_EQ(delta[TS_IRQ_NET], 10);
	CHECK_EQ(delta[TS_USER], 40);
	CHECK(probe_read_between(&slot, 1020, 1065,
				 delta)); /* an interrupt came when all was over */
	CHECK_EQ(delta[TS_PREEMPTED], 30);
	CHECK_EQ(delta[TS_IRQ_NET], 5);
	CHECK_EQ(delta[TS_USER], 10);
	CHECK(!probe_read_between(&slot, 1005, 1100, delta)); /* whose beginning nobody knows */
	for (int i = 0; i < SLOT_LOG_MAX; i++)
		passed(TS_USER, (uint64_t)(1080 + i));
	CHECK(!probe_read_between(&slot, 1080, 2000, delta));
	CHECK(probe_read_between(&slot, 1082, 2000, delta));
	CHECK_EQ(delta[TS_USER], 918);
}

/* The oldest steps are overwritten. */
static void test_steps_are_bounded(void)
{
	static const struct reading never;
	static struct course c;
	struct route route;

	begin();
	for (int i = 1; i <= 2 * STEPS_MAX; i++)
		mark(1000 + 10 * i, ACTIVITY_COMPUTE, i % 2 ? me : NULL);
	route_begin(&route, &never, true, true, 1000);
	steps_course(&steps, &route, me, 1000, 1000 + 20 * STEPS_MAX, &c);
	CHECK_EQ(c.at[0].row, COURSE_UNKNOWN);
	CHECK_EQ(c.at[0].until_ns, 1000 + 10 * (STEPS_MAX + 1));
	CHECK_EQ(c.lost, STEPS_MAX - 1 + 1 - COURSE_MAX);
}

int main(void)
{
	RUN(test_fit);
	RUN(test_any_course_fits);
	RUN(test_course_of_a_request);
	RUN(test_lost);
	RUN(test_between);
	RUN(test_steps_are_bounded);
	return check_done();
}
