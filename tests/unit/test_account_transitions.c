/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each event does in each state, as one table: a line for each state (and each way into it), a
 * column for each event. No cell may be missing, nor a line for a state; that each function of
 * account.h has a column is a test of its own (CMakeLists.txt).
 */
#include "bpf/account.h"

#include "check.h"
#include "thread_states.h"

#define NET                                              \
	{                                                \
		SYSCALL_RECV, TS_KERNEL_NET, TS_WAIT_NET \
	}

static const struct syscall_class calls[TS_COUNT] = {
	[TS_KERNEL_NET] = NET,
	[TS_KERNEL_FS] = { SYSCALL_SYNC, TS_KERNEL_FS, TS_WAIT_JOURNAL },
	[TS_KERNEL_MM] = { SYSCALL_OTHER, TS_KERNEL_MM, TS_WAIT_OTHER },
	[TS_KERNEL_OTHER] = { SYSCALL_OTHER, TS_KERNEL_OTHER, TS_WAIT_OTHER },
	[TS_WAIT_POLL] = { SYSCALL_POLL, TS_KERNEL_NET, TS_WAIT_POLL },
	[TS_WAIT_NET] = NET,
	[TS_WAIT_SLEEP] = { SYSCALL_SLEEP, TS_KERNEL_OTHER, TS_WAIT_SLEEP },
	[TS_WAIT_FUTEX] = { SYSCALL_FUTEX, TS_KERNEL_OTHER, TS_WAIT_FUTEX },
	[TS_WAIT_JOURNAL] = { SYSCALL_SYNC, TS_KERNEL_FS, TS_WAIT_JOURNAL },
	[TS_WAIT_OTHER] = { SYSCALL_OTHER, TS_KERNEL_OTHER, TS_WAIT_OTHER },
};

#define BEGIN 1000 /* where states begin, */
#define EVENT 1010 /* an event comes, */
#define END 1017   /* and we look */
#define EARLY 1006 /* inside the state */

static const struct account_leave sleeps = { 0 }, preempted = { .runnable = true },
				  throttled = { .runnable = true, .throttled = true },
				  io = { .iowait = true }, memory = { .memstall = true };

/* --- states --------------------------------------------------------------------------------- */

static void in_user(struct thread_slot *s, enum thread_state state)
{
}

static void in_call(struct thread_slot *s, enum thread_state state)
{
	account_sys_enter(s, &calls[state], BEGIN);
}

static void in_wait(struct thread_slot *s, enum thread_state state)
{
	account_sys_enter(s, &calls[state], BEGIN);
	account_switch_out(s, &sleeps, BEGIN);
}

static void in_softirq(struct thread_slot *s, enum thread_state state)
{
	static const uint32_t vectors[TS_COUNT] = {
		[TS_IRQ_NET] = 3, [TS_IRQ_BLOCK] = 4, [TS_IRQ_TIMER] = 1, [TS_IRQ_OTHER] = 6
	};

	account_softirq_enter(s, vectors[state], BEGIN);
}

static void in_hardirq(struct thread_slot *s, enum thread_state state)
{
	account_hardirq_enter(s, state, BEGIN);
}

static void in_hardirq_of_softirq(struct thread_slot *s, enum thread_state state)
{
	account_softirq_enter(s, 3, BEGIN);
	account_hardirq_enter(s, state, BEGIN);
}

static void in_hardirq_twice(struct thread_slot *s, enum thread_state state)
{
	account_hardirq_enter(s, state, BEGIN);
	account_hardirq_enter(s, TS_IRQ_OTHER, BEGIN);
}

static void in_room(struct thread_slot *s, enum thread_state state)
{
	account_sys_enter(s, &calls[TS_KERNEL_MM], BEGIN);
	account_room_begin(s, state, BEGIN);
}

static void in_room_waiting(struct thread_slot *s, enum thread_state state)
{
	in_room(s, state);
	account_switch_out(s, &io, BEGIN);
}

static void in_lock(struct thread_slot *s, enum thread_state state)
{
	account_sys_enter(s, &calls[TS_KERNEL_FS], BEGIN);
	account_lock_begin(s, 7);
	account_switch_out(s, &sleeps, BEGIN);
}

static void out_because(struct thread_slot *s, const struct account_leave *why)
{
	account_sys_enter(s, &calls[TS_KERNEL_FS], BEGIN);
	account_switch_out(s, why, BEGIN);
}

static void in_preempted(struct thread_slot *s, enum thread_state state)
{
	out_because(s, &preempted);
}

static void in_throttled(struct thread_slot *s, enum thread_state state)
{
	out_because(s, &throttled);
}

static void in_dirty(struct thread_slot *s, enum thread_state state)
{
	account_sys_enter(s, &calls[TS_KERNEL_FS], BEGIN);
	account_dirty(s);
	account_switch_out(s, &io, BEGIN);
}

static void in_fault(struct thread_slot *s, enum thread_state state)
{
	account_fault(s);
	account_switch_out(s, &sleeps, BEGIN);
}

static void in_fault_told(struct thread_slot *s, enum thread_state state)
{
	account_fault_begin(s, BEGIN);
}

static void in_fault_told_waiting(struct thread_slot *s, enum thread_state state)
{
	account_fault_begin(s, BEGIN);
	account_switch_out(s, &sleeps, BEGIN);
}

static void in_block(struct thread_slot *s, enum thread_state state)
{
	out_because(s, &io);
}

static void in_memory(struct thread_slot *s, enum thread_state state)
{
	out_because(s, &memory);
}

/* It was throttled, and has quota again since. */
static void in_runqueue(struct thread_slot *s, enum thread_state state)
{
	account_start(s, BEGIN - 5, false);
	account_sys_enter(s, &calls[TS_KERNEL_FS], BEGIN - 5);
	account_switch_out(s, &throttled, BEGIN - 5);
	account_refilled(s, BEGIN, BEGIN + 1);
	s->ns[TS_THROTTLED] = 0;
}

/* --- events --------------------------------------------------------------------------------- */

static void on_enter(struct thread_slot *s)
{
	account_sys_enter(s, &calls[TS_KERNEL_NET], EVENT);
}

static void on_exit_call(struct thread_slot *s)
{
	account_sys_exit(s, EVENT);
}

static void on_sleep(struct thread_slot *s)
{
	account_switch_out(s, &sleeps, EVENT);
}

static void on_preempted(struct thread_slot *s)
{
	account_switch_out(s, &preempted, EVENT);
}

static void on_throttled(struct thread_slot *s)
{
	account_switch_out(s, &throttled, EVENT);
}

static void on_io(struct thread_slot *s)
{
	account_switch_out(s, &io, EVENT);
}

static void on_memory(struct thread_slot *s)
{
	account_switch_out(s, &memory, EVENT);
}

static void on_busy(struct thread_slot *s)
{
	account_switch_in(s, false, EVENT);
}

/* Woken before: the rest is the wake-up, or the queue for the CPU. */
static void on_woken_idle(struct thread_slot *s)
{
	account_waking(s, EARLY);
	account_switch_in(s, true, EVENT);
}

static void on_woken_busy(struct thread_slot *s)
{
	account_waking(s, EARLY);
	account_switch_in(s, false, EVENT);
}

/* The same, though nobody told of the wake-up. */
static void on_lined_up(struct thread_slot *s)
{
	account_lined_up(s, EARLY);
	account_switch_in(s, false, EVENT);
}

/* Woken by who commits, who had waited for the device until then. */
static void on_committed(struct thread_slot *s)
{
	account_committed(s, EARLY - BEGIN);
	account_waking(s, EVENT);
	account_switch_in(s, false, EVENT);
}

/* Found to be back, since then; */
static void on_came_back(struct thread_slot *s)
{
	account_came_back(s, EARLY, 0, EVENT);
}

/* since now, having waited for the CPU before, nobody told of which; */
static void on_waited(struct thread_slot *s)
{
	account_came_back(s, EVENT, s->run_delay_ns + EVENT - EARLY, EVENT);
}

/* and with nothing known but that. */

static void on_present(struct thread_slot *s)
{
	account_present(s, EVENT);
}

static void on_waking(struct thread_slot *s)
{
	account_waking(s, EVENT);
}

/* Its device got what it waits for: what lies before was the queue. */
static void on_issued(struct thread_slot *s)
{
	account_issued(s, EARLY);
	account_switch_in(s, false, EVENT);
}

/* A limit let go what it waits for. */
static void on_freed(struct thread_slot *s)
{
	account_freed(s, EARLY);
	account_switch_in(s, false, EVENT);
}

static void on_refilled(struct thread_slot *s)
{
	account_refilled(s, EARLY, EVENT);
	account_switch_in(s, false, EVENT);
}

static void on_stolen(struct thread_slot *s)
{
	account_stolen(s, s->stolen_ns + EVENT - EARLY, EVENT);
}

static void on_hardirq(struct thread_slot *s)
{
	account_hardirq_enter(s, TS_IRQ_TIMER, EVENT);
}

static void on_hardirq_end(struct thread_slot *s)
{
	account_hardirq_exit(s, EVENT);
}

static void on_softirq(struct thread_slot *s)
{
	account_softirq_enter(s, 1, EVENT);
}

static void on_net_rx(struct thread_slot *s)
{
	account_softirq_enter(s, 3, EVENT);
}

static void on_softirq_end(struct thread_slot *s)
{
	account_softirq_exit(s, EVENT);
}

static void on_room(struct thread_slot *s)
{
	account_room_begin(s, TS_WAIT_MEM, EVENT);
}

static void on_room_end(struct thread_slot *s)
{
	account_room_end(s, EVENT);
}

static void on_lock(struct thread_slot *s)
{
	account_lock_begin(s, 9);
}

static void on_lock_end(struct thread_slot *s)
{
	account_lock_end(s, 7);
}

static void on_queued(struct thread_slot *s)
{
	account_queued(s, QUEUED_READ);
}

static void on_dirty(struct thread_slot *s)
{
	account_dirty(s);
}

static void on_fault(struct thread_slot *s)
{
	account_fault(s);
}

static void on_fault_begin(struct thread_slot *s)
{
	account_fault_begin(s, EVENT);
}

static void on_fault_end(struct thread_slot *s)
{
	account_fault_end(s, EVENT);
}

static void on_sending(struct thread_slot *s)
{
	account_sending(s);
}

static void on_sent(struct thread_slot *s)
{
	account_sent(s);
}

static void on_mark(struct thread_slot *s)
{
	account_charge(s, EVENT);
	account_mark(s);
}

/* In the order of the columns below. */
static void (*const events[])(struct thread_slot *s) = {
	on_enter,     on_exit_call,   on_sleep,	     on_preempted,   on_throttled,   on_io,
	on_memory,    on_busy,	      on_woken_idle, on_woken_busy,  on_waking,	     on_issued,
	on_freed,     on_refilled,    on_stolen,     on_hardirq,     on_hardirq_end, on_softirq,
	on_net_rx,    on_softirq_end, on_room,	     on_room_end,    on_lock,	     on_lock_end,
	on_queued,    on_dirty,	      on_fault,	     on_mark,	     on_committed,   on_lined_up,
	on_came_back, on_waited,      on_present,    on_fault_begin, on_fault_end,   on_sending,
	on_sent,
};

/* --- the table ------------------------------------------------------------------------------ */

/*
 * A cell has the state from then on, and a mark when of the 10 ns up to the event the last 4 are of
 * another state than the one before: `*` the wake-up, `+` the run queue, `!` the hypervisor, `>` the
 * one after; or the first 6: `<` the device's queue, `^` a limit, `~` the journal's.
 */
struct line {
	enum thread_state state;
	void (*begin)(struct thread_slot *s, enum thread_state state);
	const char *after;
};

/* clang-format off */
static const struct line lines[] = {
	/* as the events above, in short:
	   en ex sl pr th io me bu wi wb wk is fr rf st hi hx si rx sx rb re lb le qu di fa mk cm lu cb wa be fb fe se sd */
	{ TS_USER, in_user,
	  "kn us ot pr th bl me us us us us us us us us!it us it in us me us us us us us us us us us us us us pf us us us " },
	{ TS_KERNEL_NET, in_call,
	  "kn us ne pr th bl me kn kn kn kn kn kn kn kn!it kn it kn kn me kn kn kn kn kn kn kn kn kn kn kn kn pf kn kn kn " },
	{ TS_KERNEL_FS, in_call,
	  "kn us jo pr th bl me kf kf kf kf kf kf kf kf!it kf it in kf me kf kf kf kf kf kf kf kf kf kf kf kf pf kf kf kf " },
	{ TS_KERNEL_MM, in_call,
	  "kn us ot pr th bl me km km km km km km km km!it km it in km me km km km km km km km km km km km km pf km km km " },
	{ TS_KERNEL_OTHER, in_call,
	  "kn us ot pr th bl me ko ko ko ko ko ko ko ko!it ko it in ko me ko ko ko ko ko ko ko ko ko ko ko ko pf ko ko ko " },
	{ TS_KERNEL_FAULT, in_fault_told,
	  "kn pf fa pr th bl me pf pf pf pf pf pf pf pf!it pf it in pf me pf pf pf pf pf pf pf pf pf pf pf pf pf us pf pf " },
	{ TS_IRQ_NET, in_softirq,
	  "in in ot pr th bl me us us us in us us us in!it in it in us in in in in in in in in us us in in in in in in in " },
	{ TS_IRQ_BLOCK, in_softirq,
	  "ib ib ot pr th bl me us us us ib us us us ib!it ib it in us ib ib ib ib ib ib ib ib us us ib ib ib ib ib ib ib " },
	{ TS_IRQ_TIMER, in_softirq,
	  "it it ot pr th bl me us us us it us us us it!it it it in us it it it it it it it it us us it it it it it it it " },
	{ TS_IRQ_OTHER, in_softirq,
	  "io io ot pr th bl me us us us io us us us io!it io it in us io io io io io io io io us us io io io io io io io " },
	{ TS_IRQ_TIMER, in_hardirq,
	  "it it ot pr th bl me us us us it us us us it!it us it it it it it it it it it it it us us it it it it it it it " },
	{ TS_IRQ_OTHER, in_hardirq_of_softirq,
	  "io io ot pr th bl me us us us io us us us io!io in io io io io io io io io io io io us us io io io io io io io " },
	{ TS_IRQ_TIMER, in_hardirq_twice,
	  "it it ot pr th bl me us us us it us us us it!it it it it it it it it it it it it it us us it it it it it it it " },
	{ TS_RUNQUEUE, in_runqueue,
	  "kn us jo pr th bl me kf kf kf rq kf kf kf rq it rq it in rq me kf rq rq rq rq rq rq kf kf kf>kf kf pf kf rq rq " },
	{ TS_PREEMPTED, in_preempted,
	  "kn us jo pr th bl me kf kf kf pr kf kf kf pr it pr it in pr me kf pr pr pr pr pr pr kf kf kf>kf kf pf kf pr pr " },
	{ TS_THROTTLED, in_throttled,
	  "kn us jo pr th bl me kf kf kf th kf kf kf+th it th it in th me kf th th th th th th kf kf kf>kf kf pf kf th th " },
	{ TS_WAIT_POLL, in_wait,
	  "kn us po pr th bl me kn kn*kn+po kn kn kn po it po it kn po me kn po po po po po po kn kn+kn>kn+kn pf kn po po " },
	{ TS_WAIT_NET, in_wait,
	  "kn us ne pr th bl me kn kn*kn+ne kn kn kn ne it ne it kn ne me kn ne ne ne ne ne ne kn kn+kn>kn+kn pf kn ne ne " },
	{ TS_WAIT_SLEEP, in_wait,
	  "kn us sl pr th bl me ko ko*ko+sl ko ko ko sl it sl it in sl me ko sl sl sl sl sl sl ko ko+ko>ko+ko pf ko sl sl " },
	{ TS_WAIT_FUTEX, in_wait,
	  "kn us fu pr th bl me ko ko*ko+fu ko ko ko fu it fu it in fu me ko fu fu fu fu fu fu ko ko+ko>ko+ko pf ko fu fu " },
	{ TS_WAIT_BLOCK, in_block,
	  "kn us jo pr th bl me kf kf*kf+bl kf<kf^kf bl it bl it in bl me kf bl bl bl bl bl bl kf kf+kf>kf+kf pf kf bl bl " },
	{ TS_WAIT_DIRTY, in_dirty,
	  "kn us jo pr th bl me kf kf*kf+di kf kf kf di it di it in di me kf di di di di di di kf kf+kf>kf+kf pf kf di di " },
	{ TS_WAIT_FAULT, in_fault,
	  "kn us fa pr th bl me us us*us+fa us us us fa it fa it in fa me us fa fa fa fa fa fa us us+us>us+us pf us fa fa " },
	{ TS_WAIT_FAULT, in_fault_told_waiting,
	  "kn pf fa pr th bl me pf pf*pf+fa pf pf pf fa it fa it in fa me pf fa fa fa fa fa fa pf pf+pf>pf+pf pf us fa fa " },
	{ TS_WAIT_JOURNAL, in_wait,
	  "kn us jo pr th bl me kf kf*kf+jo kf kf kf jo it jo it in jo me kf jo jo jo jo jo jo kf~kf+kf>kf+kf pf kf jo jo " },
	{ TS_WAIT_MEM, in_memory,
	  "kn us jo pr th bl me kf kf*kf+me kf kf kf me it me it in me me kf me me me me me me kf kf+kf>kf+kf pf kf me me " },
	{ TS_WAIT_MEM, in_room,
	  "kn me me pr th me me me me me me me me me me!it me it in me me km me me me me me me me me me me me me me me me " },
	{ TS_WAIT_MEM, in_room_waiting,
	  "kn me me pr th me me me me*me+me me me me me it me it in me me km me me me me me me me me+me>me+me me me me me " },
	{ TS_COMPACTION, in_room,
	  "kn co co pr th co co co co co co co co co co!it co it in co co km co co co co co co co co co co co co co co co " },
	{ TS_COMPACTION, in_room_waiting,
	  "kn co co pr th co co co co*co+co co co co co it co it in co co km co co co co co co co co+co>co+co co co co co " },
	{ TS_WAIT_LOCK, in_lock,
	  "kn us lo pr th bl me kf kf*kf+lo kf kf kf lo it lo it in lo me kf lo lo lo lo lo lo kf kf+kf>kf+kf pf kf lo lo " },
	{ TS_WAIT_OTHER, in_wait,
	  "kn us ot pr th bl me ko ko*ko+ot ko ko ko ot it ot it in ot me ko ot ot ot ot ot ot ko~ko+ko>ko+ko pf ko ot ot " },
};
/* clang-format on */

/* Nobody is ever found in these: time is moved there once it is over. */
static const enum thread_state never_held[] = { TS_WAKEUP, TS_STEAL, TS_WAIT_QUEUE, TS_WAIT_HELD,
						TS_JOURNAL_BLOCK };

static const struct mark {
	char mark;
	enum thread_state state; /* of a part of the 10 ns; TS_COUNT: the one after */
	uint64_t ns;		 /* so long */
} marks[] = {
	{ ' ', TS_USER, 0 },	      { '*', TS_WAKEUP, 4 },	 { '+', TS_RUNQUEUE, 4 },
	{ '!', TS_STEAL, 4 },	      { '<', TS_WAIT_QUEUE, 6 }, { '^', TS_WAIT_HELD, 6 },
	{ '~', TS_JOURNAL_BLOCK, 6 }, { '>', TS_COUNT, 4 },
};

/* A cell: the slot has the states that it says, to the ns, and is in the one that it says. */
static void check_cell(const struct line *line, size_t column, const char *cell)
{
	uint64_t want[TS_MAX] = { 0 };
	struct thread_slot s = { 0 };
	const struct mark *mark = NULL;
	int after = -1;

	for (int i = 0; i < TS_COUNT; i++)
		if (!strncmp(state_names[i], cell, 2))
			after = i;
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (marks[i].mark == cell[2])
			mark = &marks[i];
	if (!CHECK(after >= 0) || !CHECK(mark))
		return;
	account_start(&s, BEGIN, false);
	line->begin(&s, line->state);
	events[column](&s);
	account_charge(&s, END);
	want[line->state] += EVENT - BEGIN - mark->ns;
	want[mark->state == TS_COUNT ? after : (int)mark->state] += mark->ns;
	want[after] += END - EVENT;
	CHECK_MEM(s.ns, want, sizeof(want));
}

static void test_every_cell(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *cell = lines[i].after;

		for (size_t j = 0; j < ARRAY_SIZE(events); j++, cell += 3) {
			check_case("line %zu (%s), column %zu", i + 1, state_names[lines[i].state],
				   j + 1);
			if (!CHECK(strlen(cell) >= 3))
				break;
			check_cell(&lines[i], j, cell);
		}
		CHECK_EQ(*cell, 0);
	}
}

static void test_no_state_without_a_line(void)
{
	bool seen[TS_COUNT] = { false };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		seen[lines[i].state] = true;
	for (size_t i = 0; i < ARRAY_SIZE(never_held); i++) {
		CHECK(!seen[never_held[i]]);
		seen[never_held[i]] = true;
	}
	for (int i = 0; i < TS_COUNT; i++) {
		check_case("%s", state_names[i]);
		CHECK(seen[i]);
	}
}

/* Frozen, a slot takes no time from any event; thawed, it goes on from there with all to tell anew. */
static void test_frozen(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		struct thread_slot s = { 0 };
		uint64_t ns[TS_MAX] = { 0 };

		check_case("column %zu", i + 1);
		account_start(&s, BEGIN, false);
		account_freeze(&s);
		events[i](&s);
		CHECK_MEM(s.ns, ns, sizeof(ns));
		account_thaw(&s, END);
		account_present(&s, END);
		account_charge(&s, END + 5);
		CHECK_EQ(s.last_ns, END + 5);
		for (int j = 1; j < TS_MAX; j++)
			ns[0] += s.ns[j];
		CHECK_EQ(s.ns[0] + ns[0], 5);
		CHECK(!account_is_brief(&s));
		account_told(&s, s.moved);
		CHECK_EQ(s.moved | s.unsaid, 0);
	}
}

int main(void)
{
	RUN(test_every_cell);
	RUN(test_frozen);
	RUN(test_no_state_without_a_line);
	return check_done();
}
