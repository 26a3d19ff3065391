/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_ACCOUNT_H
#define GAIT_BPF_ACCOUNT_H

#include "event.h"

#ifndef __bpf__
#include <stdbool.h>
#endif

/*
 * Microstate accounting, compiled for BPF and for the host (unit tests feed it
 * any order of events). Every function first moves the time since the last event
 * into the state that held until now, then changes the state; so no time is lost
 * and none is counted twice, whatever comes.
 */

#ifdef __bpf__
/* clang 14 drops a mask that it can prove needless, and the verifier then misses it */
#define ACCOUNT_BOUND(i) asm volatile("%0 &= %1" : "+r"(i) : "i"(TS_MAX - 1))
#define ACCOUNT_INLINE static __always_inline
extern const volatile bool cfg_logs; /* of a run */
#define ACCOUNT_LOGS cfg_logs
#else
#define ACCOUNT_BOUND(i) ((i) &= TS_MAX - 1)
#define ACCOUNT_INLINE static inline
#define ACCOUNT_LOGS true
#endif

/* Programs go (the slot is brought up to date) and no time passes for the slot. */
ACCOUNT_INLINE void account_freeze(struct thread_slot *s)
{
	s->last_ns = SLOT_FROZEN_NS;
}

/* Programs are back: time passes from now on; nobody knows what moved meanwhile. */
ACCOUNT_INLINE void account_thaw(struct thread_slot *s, uint64_t now)
{
	s->moved = 0;
	s->unsaid = ~0u;
	s->mark_ns = now;
	s->last_ns = now;
	s->steal_at = s->stolen_ns = 0;
}

/* What the thread does now: the outermost interruption wins. */
ACCOUNT_INLINE uint64_t account_state(const struct thread_slot *s)
{
	if (s->off_cpu)
		return s->off_cpu - 1;
	if (s->hardirq)
		return s->hardirq - 1;
	if (s->softirq)
		return s->softirq - 1;
	if (s->making_room)
		return s->making_room - 1;
	if (s->faulting)
		return TS_KERNEL_FAULT;
	if (s->sys)
		return s->sys - 1;
	return TS_USER;
}

ACCOUNT_INLINE void account_log(struct thread_slot *s, uint64_t state, uint64_t until)
{
	uint64_t at = s->logged++;

#ifdef __bpf__
	asm volatile("%0 &= %1" : "+r"(at) : "i"(SLOT_LOG_MAX - 1));
#else
	at &= SLOT_LOG_MAX - 1;
#endif
	s->log[at] = until << SLOT_LOG_BITS | state;
}

ACCOUNT_INLINE void account_add(struct thread_slot *s, uint64_t state, uint64_t until)
{
	if (until <= s->last_ns)
		return;
	ACCOUNT_BOUND(state);
	if (!(s->moved & 1u << state)) {
		s->moved |= 1u << state;
		s->mark[state] = s->ns[state];
	}
	s->ns[state] += until - s->last_ns;
	s->last_ns = until;
	if (ACCOUNT_LOGS)
		account_log(s, state, until);
}

ACCOUNT_INLINE void account_charge(struct thread_slot *s, uint64_t now)
{
	account_add(s, account_state(s), now);
}

/*
 * The hypervisor has taken stolen_ns from the thread's CPU so far. What it took since the thread's
 * last event there it took from the thread; to be told before the event itself is.
 */
ACCOUNT_INLINE void account_stolen(struct thread_slot *s, uint64_t stolen_ns, uint64_t now)
{
	uint64_t stolen = stolen_ns - s->stolen_ns;

	s->stolen_ns = stolen_ns;
	if (s->off_cpu || now <= s->last_ns)
		return;
	account_add(s, TS_STEAL, stolen < now - s->last_ns ? s->last_ns + stolen : now);
}

/* A thread is followed from now on; `waiting` when it is off the CPU at this moment. */
ACCOUNT_INLINE void account_start(struct thread_slot *s, uint64_t now, bool waiting)
{
	for (int i = 0; i < TS_MAX; i++)
		s->ns[i] = s->mark[i] = 0;
	s->moved = 0;
	s->unsaid = ~0u; /* whoever reads events knows nothing of it yet */
	s->last_ns = s->mark_ns = now;
	s->wake_ns = s->issue_ns = s->freed_ns = s->run_delay_ns = s->commit_io_ns = 0;
	s->steal_at = s->stolen_ns = 0;
	s->off_cpu = waiting ? 1 + TS_WAIT_OTHER : 0;
	s->sys = s->sys_wait = s->sys_op = 0;
	s->softirq = s->hardirq = s->hardirq_depth = 0;
	s->making_room = s->making_room_depth = 0;
	s->lock = 0;
	s->queued = QUEUED_NONE;
	s->freed = s->held_at = 0;
	s->dirty = s->faulted = s->faulting = s->sending = 0;
	s->rx_arrival_ns = s->rx_counted = s->tx_ns = 0;
}

ACCOUNT_INLINE void account_switch_in(struct thread_slot *s, bool cpu_was_idle, uint64_t now);

ACCOUNT_INLINE void account_lined_up(struct thread_slot *s, uint64_t at);

/*
 * The thread runs, for this event is its own, though nobody has told that it came back: a switch that
 * another thread makes is not told where that one's context is hidden from tracing, as the kernel of
 * some sandboxes hides its supervisor's, nor is a wake-up from there. The scheduler's own stamps
 * tell: it came at `came` (0: unknown, then it is back at the latest now), and up to there has waited for
 * the CPU for `run_delay_ns` in all.
 */
ACCOUNT_INLINE void account_came_back(struct thread_slot *s, uint64_t came, uint64_t run_delay_ns,
				      uint64_t now)
{
	uint64_t waited = run_delay_ns - s->run_delay_ns;

	if (!s->off_cpu)
		return;
	if (came <= s->last_ns || came > now)
		came = now;
	if (run_delay_ns && waited < came - s->last_ns)
		account_lined_up(s, came - waited);
	account_switch_in(s, false, came);
}

ACCOUNT_INLINE void account_present(struct thread_slot *s, uint64_t now)
{
	account_came_back(s, 0, 0, now);
}

ACCOUNT_INLINE void account_sys_enter(struct thread_slot *s, const struct syscall_class *c,
				      uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	s->sys = 1 + c->cpu;
	s->sys_wait = c->wait;
	s->sys_op = c->op;
	/* it comes from user mode: whatever end of these was not seen, it is over */
	s->making_room = s->making_room_depth = 0;
	s->lock = 0;
	s->queued = QUEUED_NONE;
	s->dirty = s->faulted = s->faulting = 0;
}

ACCOUNT_INLINE void account_sys_exit(struct thread_slot *s, uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	s->sys = 0;
	s->sys_wait = 0;
	s->sys_op = SYSCALL_NONE;
}

/* Why a thread leaves the CPU. */
struct account_leave {
	bool runnable;	/* preempted: it would go on */
	bool throttled; /* its group's quota is used up */
	bool iowait;
	bool memstall;
	uint64_t run_delay_ns; /* what it has waited for the CPU in all, by the scheduler; 0: unknown */
};

ACCOUNT_INLINE uint8_t account_wait_state(const struct thread_slot *s,
					  const struct account_leave *l)
{
	if (l->runnable)
		return l->throttled ? TS_THROTTLED : TS_PREEMPTED;
	if (s->making_room)
		return s->making_room - 1;
	if (l->memstall)
		return TS_WAIT_MEM;
	/* io_uring_enter says so of any wait, and knows what for when it has submitted */
	if (l->iowait && s->sys_op != SYSCALL_URING)
		return s->dirty ? TS_WAIT_DIRTY : TS_WAIT_BLOCK;
	if (s->lock)
		return TS_WAIT_LOCK;
	if (s->faulted || s->faulting)
		return TS_WAIT_FAULT;
	return s->sys && s->sys_wait ? s->sys_wait : TS_WAIT_OTHER;
}

ACCOUNT_INLINE void account_switch_out(struct thread_slot *s, const struct account_leave *l,
				       uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	s->off_cpu = 1 + account_wait_state(s, l);
	s->sending = 0;
	s->wake_ns = 0; /* a wake-up seen before this was for a wait that never came */
	s->freed = 0;
	s->commit_io_ns = 0;
	s->run_delay_ns = l->run_delay_ns;
}

/* Off the CPU for something else than the CPU itself. */
ACCOUNT_INLINE bool account_waits(const struct thread_slot *s)
{
	uint8_t off = s->off_cpu;

	return off && !(off >= 1 + TS_RUNQUEUE && off <= 1 + TS_THROTTLED);
}

/* May run on another CPU: writes nothing but wake_ns. */
ACCOUNT_INLINE void account_waking(struct thread_slot *s, uint64_t now)
{
	if (account_waits(s) && !s->wake_ns)
		s->wake_ns = now;
}

/* Of a run, where no calls are told, it is known only by who ends it. */
ACCOUNT_INLINE bool account_may_wait_for_commit(const struct thread_slot *s)
{
	return s->off_cpu == 1 + TS_WAIT_JOURNAL || s->off_cpu == 1 + TS_WAIT_OTHER;
}

/*
 * Who commits the journal wakes it, and had itself waited for its device for so long since the
 * thread's wait began. May run on another CPU: to be told before the wake-up is.
 */
ACCOUNT_INLINE void account_committed(struct thread_slot *s, uint64_t io_ns)
{
	if (account_may_wait_for_commit(s) && !s->wake_ns)
		s->commit_io_ns = io_ns;
}

/* It comes back from a wait, and nobody has told that it was woken: when it got in line for the CPU. */
ACCOUNT_INLINE void account_lined_up(struct thread_slot *s, uint64_t at)
{
	if (at > s->last_ns)
		account_waking(s, at);
}

/* May run on another CPU: writes nothing but issue_ns. */
ACCOUNT_INLINE void account_issued(struct thread_slot *s, uint64_t now)
{
	s->issue_ns = now;
}

/* Of a wait for block I/O, what lies before the last of its requests went on. */
ACCOUNT_INLINE void account_until(struct thread_slot *s, uint64_t state, uint64_t at)
{
	if (s->off_cpu == 1 + TS_WAIT_BLOCK && (!s->wake_ns || at < s->wake_ns))
		account_add(s, state, at);
}

/*
 * What an I/O limit (blk-throttle) holds back it holds before the first hook that tells of a request.
 * The request is queued when the limit lets it go, by a thread of the kernel, on behalf of a group. So
 * it is inferred whose it was: of the threads of that group that wait for block I/O one that has queued
 * nothing itself since its last such wait; then one of which fewer were let go in this wait, for a wait may be for
 * several; then the one that waits the longest, for limits are first come, first served. Who has queued
 * something itself may have some more held back, but not of the other kind.
 */
ACCOUNT_INLINE bool account_may_be_held(const struct thread_slot *s, uint64_t group,
					enum queued what)
{
	return s->held_at && s->held_group == group && s->off_cpu == 1 + TS_WAIT_BLOCK &&
	       !s->wake_ns && (!s->queued || s->queued == what);
}

ACCOUNT_INLINE bool account_held_before(const struct thread_slot *s,
					const struct thread_slot *other)
{
	if (!s->queued != !other->queued)
		return !s->queued;
	if (s->freed != other->freed)
		return s->freed < other->freed;
	return s->last_ns < other->last_ns;
}

/* Runs on another CPU: writes nothing but these two. */
ACCOUNT_INLINE void account_freed(struct thread_slot *s, uint64_t now)
{
	s->freed_ns = now;
	if (s->freed < 255)
		s->freed++;
}

/* The thread itself has queued a request. */
ACCOUNT_INLINE void account_queued(struct thread_slot *s, enum queued what)
{
	s->queued = what;
}

/*
 * The group's quota was filled up again at that time: from there on the thread waits for the CPU as
 * others do. A time that is not within the wait says nothing.
 */
ACCOUNT_INLINE void account_refilled(struct thread_slot *s, uint64_t at, uint64_t now)
{
	if (s->off_cpu != 1 + TS_THROTTLED || at <= s->last_ns || at >= now)
		return;
	account_charge(s, at);
	s->off_cpu = 1 + TS_RUNQUEUE;
}

/*
 * The wait lasted until the wake-up; from there it was the run queue, or, when
 * nothing else ran on that CPU, the wake-up itself (IPI and idle exit).
 */
ACCOUNT_INLINE void account_switch_in(struct thread_slot *s, bool cpu_was_idle, uint64_t now)
{
	account_until(s, TS_WAIT_HELD, s->freed_ns);
	account_until(s, TS_WAIT_QUEUE, s->issue_ns);
	if (account_may_wait_for_commit(s) && s->wake_ns > s->last_ns &&
	    s->commit_io_ns <= s->wake_ns - s->last_ns)
		account_add(s, TS_JOURNAL_BLOCK, s->last_ns + s->commit_io_ns);
	if (s->off_cpu == 1 + TS_WAIT_BLOCK)
		s->queued = QUEUED_NONE;
	if (s->off_cpu == 1 + TS_WAIT_DIRTY)
		s->dirty = 0;
	if (s->off_cpu && s->wake_ns) {
		account_charge(s, s->wake_ns);
		s->off_cpu = 1 + (cpu_was_idle ? TS_WAKEUP : TS_RUNQUEUE);
	}
	account_charge(s, now);
	s->off_cpu = 0;
	s->wake_ns = 0;
	s->softirq = s->hardirq = s->hardirq_depth = 0;
}

ACCOUNT_INLINE void account_hardirq_enter(struct thread_slot *s, uint8_t state, uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	if (!s->hardirq_depth++)
		s->hardirq = 1 + state;
}

ACCOUNT_INLINE void account_hardirq_exit(struct thread_slot *s, uint64_t now)
{
	account_charge(s, now);
	if (s->hardirq_depth && !--s->hardirq_depth)
		s->hardirq = 0;
}

/* The thread itself makes room for what it asked for, and whatever it waits for then is for that. */
ACCOUNT_INLINE void account_room_begin(struct thread_slot *s, uint8_t state, uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	if (!s->making_room_depth++)
		s->making_room = 1 + state;
}

ACCOUNT_INLINE void account_room_end(struct thread_slot *s, uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	if (s->making_room_depth && !--s->making_room_depth)
		s->making_room = 0;
}

/*
 * Somebody has the lock of the kernel that the thread wants, which it tries until it has it. Should it
 * leave the CPU meanwhile, it waits for that; no time passes here. A lock inside ends before.
 */
ACCOUNT_INLINE void account_lock_begin(struct thread_slot *s, uint64_t lock)
{
	s->lock = lock;
}

ACCOUNT_INLINE void account_lock_end(struct thread_slot *s, uint64_t lock)
{
	if (s->lock == lock)
		s->lock = 0;
}

/* The kernel makes the thread wait once, by a timer, for more is written than it wants to keep. */
ACCOUNT_INLINE void account_dirty(struct thread_slot *s)
{
	s->dirty = 1;
}

/*
 * User code has touched a page that is not there. That it is there now no event tells, but user code does not
 * wait: should the thread leave the CPU before its next call, it does so for this page or a later one.
 */
ACCOUNT_INLINE void account_fault(struct thread_slot *s)
{
	s->faulted = 1;
}

/* The same where the end is told: what it takes on the CPU has a state of its own. */
ACCOUNT_INLINE void account_fault_begin(struct thread_slot *s, uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	s->faulting = 1;
}

ACCOUNT_INLINE void account_fault_end(struct thread_slot *s, uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	s->faulting = 0;
}

/* Numbers of softirqs: include/linux/interrupt.h, unchanged from 5.15 to 6.18. */
ACCOUNT_INLINE uint8_t account_softirq_state(const struct thread_slot *s, uint32_t vector)
{
	switch (vector) {
	case 2: /* NET_TX */
	case 3: /* NET_RX: inside a network call it is that call's own work (loopback) */
		return s->sys == 1 + TS_KERNEL_NET ? TS_KERNEL_NET : TS_IRQ_NET;
	case 4: /* BLOCK */
	case 5: /* IRQ_POLL */
		return TS_IRQ_BLOCK;
	case 1: /* TIMER */
	case 8: /* HRTIMER */
		return TS_IRQ_TIMER;
	default:
		return TS_IRQ_OTHER;
	}
}

/* In a run, where no calls are told: it has sent by a device that delivers at once, */
ACCOUNT_INLINE void account_sending(struct thread_slot *s)
{
	if (!s->off_cpu && !s->hardirq && !s->softirq)
		s->sending = 1;
}

/* and that call is over. */
ACCOUNT_INLINE void account_sent(struct thread_slot *s)
{
	s->sending = 0;
}

/*
 * Over loopback the receiver's half of the work is a softirq inside the sender's call, and
 * stays what that call is: nothing changes, so nothing need be charged (nor a clock read).
 */
ACCOUNT_INLINE bool account_softirq_is_own(const struct thread_slot *s, uint32_t vector)
{
	return vector == 3 && (s->sys == 1 + TS_KERNEL_NET || s->sending) && !s->off_cpu &&
	       !s->hardirq && !s->softirq;
}

ACCOUNT_INLINE void account_softirq_enter(struct thread_slot *s, uint32_t vector, uint64_t now)
{
	account_present(s, now);
	account_charge(s, now);
	s->softirq = 1 + account_softirq_state(s, vector);
}

ACCOUNT_INLINE void account_softirq_exit(struct thread_slot *s, uint64_t now)
{
	account_charge(s, now);
	s->softirq = 0;
}

/*
 * The counters as they are now are remembered: not by a copy of all, each is kept when it
 * first moves. Call it right after a charge.
 */
ACCOUNT_INLINE void account_mark(struct thread_slot *s)
{
	uint32_t moved = s->moved;

	s->moved = 0;
	s->unsaid |= moved;
	s->mark_ns = s->last_ns;
}

/* The counter of the call itself, as a bit. */
ACCOUNT_INLINE uint32_t account_own(const struct thread_slot *s)
{
	return s->sys ? 1u << ((s->sys - 1) & (TS_MAX - 1)) : 0;
}

/*
 * Whether the times alone tell what moved: user code since the last event that was told, and
 * in the call (since the mark) nothing but its own state.
 */
ACCOUNT_INLINE bool account_is_brief(const struct thread_slot *s)
{
	return !(s->unsaid & ~(1u << TS_USER)) && !(s->moved & ~account_own(s));
}

/* An event has told the counters up to now; an interrupt since then is for the next. */
ACCOUNT_INLINE void account_told(struct thread_slot *s, uint32_t moved)
{
	s->moved &= ~moved;
	s->unsaid = 0;
}

ACCOUNT_INLINE void account_copy_once(const struct thread_slot *s, uint64_t *ret_mark,
				      uint64_t *ret_ns)
{
	uint32_t moved = *(const volatile uint32_t *)&s->moved;

	for (int i = 0; i < TS_COUNT; i++) {
		ret_ns[i] = *(const volatile uint64_t *)&s->ns[i];
		ret_mark[i] = moved & 1u << i ? s->mark[i] : ret_ns[i];
	}
}

/*
 * Copies the counters at the mark and now, and returns the time up to which they are true.
 * An interrupt may come at any point, charge the slot and so move that time on: then once more.
 */
ACCOUNT_INLINE uint64_t account_copy(const struct thread_slot *s, uint64_t *ret_mark,
				     uint64_t *ret_ns)
{
	const volatile uint64_t *last = &s->last_ns;
	uint64_t before = *last;

	account_copy_once(s, ret_mark, ret_ns);
	if (*last != before) {
		before = *last;
		account_copy_once(s, ret_mark, ret_ns);
	}
	return before;
}

ACCOUNT_INLINE void account_read_once(const struct thread_slot *s, uint64_t *ret_ns)
{
	for (int i = 0; i < TS_COUNT; i++)
		ret_ns[i] = *(const volatile uint64_t *)&s->ns[i];
}

/* account_copy() of the counters now alone. */
ACCOUNT_INLINE uint64_t account_read(const struct thread_slot *s, uint64_t *ret_ns)
{
	const volatile uint64_t *last = &s->last_ns;
	uint64_t before = *last;

	account_read_once(s, ret_ns);
	if (*last != before) {
		before = *last;
		account_read_once(s, ret_ns);
	}
	return before;
}

/*
 * The low halves of the counters as they would be if the thread were charged now, without
 * touching it: somebody else looks. False when they changed meanwhile.
 */
ACCOUNT_INLINE bool account_peek(const struct thread_slot *s, uint64_t now, uint32_t *ret_ns)
{
	uint32_t sequence = *(const volatile uint32_t *)&s->sequence;
	uint64_t last = s->last_ns;
	uint64_t state = account_state(s);

	for (int i = 0; i < TS_COUNT; i++)
		ret_ns[i] = s->ns[i];
	if (now > last) {
		ACCOUNT_BOUND(state);
		if (state < TS_COUNT)
			ret_ns[state] += now - last;
	}
	return !(sequence & 1) && sequence == *(const volatile uint32_t *)&s->sequence;
}

#endif
