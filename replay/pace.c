/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/pace.h"

#include "base/clock.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* --- before others or beside them ----------------------------------------------------------- */

#define NICE_TO_ITSELF (-20)
#define ASIDE_PERCENT \
	80 /* more of its CPU, and it steps aside; less than the next, and it is back */
#define BACK_PERCENT 50

bool pace_goes_first(bool does, int64_t cpu_ns, int64_t elapsed_ns)
{
	return cpu_ns * 100 < elapsed_ns * (does ? ASIDE_PERCENT : BACK_PERCENT);
}

static int64_t cpu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void stand(struct pace_standing *s, bool before_all)
{
	const struct sched_param lowest = { .sched_priority = 1 }, none = { 0 };

	s->before_all = before_all;
	if (before_all) {
		sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
		return;
	}
	sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none);
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_TO_ITSELF);
}

void pace_sharpen_thread(struct pace_standing *s)
{
	prctl(PR_SET_TIMERSLACK, 1);
	s->looked_ns = clock_now_ns();
	s->cpu_ns = cpu_now_ns();
	stand(s, true);
}

void pace_look(struct pace_standing *s, int64_t now_ns)
{
	int64_t elapsed_ns = now_ns - s->looked_ns, cpu_ns;
	bool first;

	if (elapsed_ns < PACE_LOOK_NS)
		return;
	cpu_ns = cpu_now_ns();
	first = pace_goes_first(s->before_all, cpu_ns - s->cpu_ns, elapsed_ns);
	s->looked_ns = now_ns;
	s->cpu_ns = cpu_ns;
	if (first != s->before_all)
		stand(s, first);
}
