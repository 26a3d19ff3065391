/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/pace.h"

#include "base/clock.h"

#include <sched.h>
#include <sys/prctl.h>

enum pace_move pace_next(const struct pace *pace, int64_t now_ns, int64_t due_ns,
			 int64_t *ret_sleep_ns)
{
	int64_t left;

	*ret_sleep_ns = 0;
	if (now_ns >= due_ns)
		return PACE_DUE;
	if (due_ns == PACE_NEVER) {
		*ret_sleep_ns = PACE_NEVER;
		return PACE_SLEEP;
	}
	left = due_ns - now_ns;
	if (left <= pace->spin_ns)
		return PACE_SPIN;
	*ret_sleep_ns = left - (left > PACE_LONG_NS ? PACE_EARLY_NS : pace->spin_ns);
	return PACE_SLEEP;
}

static void sleep_until(int64_t ns)
{
	const struct timespec until = { .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

int64_t pace_wait_until(const struct pace *pace, int64_t due_ns)
{
	for (;;) {
		int64_t now = clock_now_ns(), sleep_ns;
		enum pace_move move = pace_next(pace, now, due_ns, &sleep_ns);

		if (move == PACE_DUE)
			return now;
		if (move == PACE_SLEEP)
			sleep_until(now + sleep_ns);
	}
}

int64_t pace_rest(struct pace_breaks *b, enum pace_move move, int64_t now_ns, int64_t sleep_ns)
{
	if (move == PACE_SPIN && now_ns - b->slept_ns >= PACE_BREAK_EVERY_NS)
		sleep_ns = PACE_BREAK_NS;
	if (sleep_ns)
		b->slept_ns = now_ns;
	return sleep_ns;
}

void pace_sharpen_thread(void)
{
	const struct sched_param lowest = { .sched_priority = 1 };

	prctl(PR_SET_TIMERSLACK, 1);
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
}
