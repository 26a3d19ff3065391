/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/sender.h"

#include "base/clock.h"
#include "probe/probe.h"
#include "replay/pace.h"
#include "replay/walk/agent.h"
#include "replay/walk/remote.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define RELEASES_MAX 64	   /* connections that send before replies are looked at */
#define CONNECTING_MAX 128 /* at a time */
#define CONNECT_TIMEOUT_NS (10 * NS_PER_SEC)
#define STOP_GRACE_NS (2 * NS_PER_SEC)
#define LOOK_MOST_NS (100 * NS_PER_MS) /* between two looks at what has waited too long */
#define LOOK_LEAST_NS NS_PER_MS

struct loop {
	struct walk_sender *sender;
	const struct walk_plan *plan;
	struct walk_link *links;
	uint32_t count, live, connecting;
	struct timers timers; /* of the connections: when they have something to do */
	int epoll_fd;
	struct pace_breaks breaks;
	int64_t look_ns, look_every_ns; /* when timeouts are looked for next */
	int64_t stop_ns;		/* PACE_NEVER: it does not stop */
	struct walk_writer writer;
	const struct thread_slot *slot; /* this thread's; NULL: nothing is stamped */
	struct thread_slot own;		/* without a probe */
	struct stamps stamps;
	char out[WALK_BUFFER_BYTES], in[WALK_BUFFER_BYTES];
};

static int64_t now_of(const struct loop *p)
{
	return clock_now_ns() - p->sender->anchor_ns;
}

/* --- connections --------------------------------------------------------------------------- */

static uint32_t index_of(const struct loop *p, const struct walk_link *l)
{
	return (uint32_t)(l - p->links);
}

static struct walk_link *link_of(struct timer *timer)
{
	return (struct walk_link *)((char *)timer - offsetof(struct walk_link, timer));
}

static void watch(struct loop *p, struct walk_link *l, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u32 = index_of(p, l) };

	if (events == l->events)
		return;
	epoll_ctl(p->epoll_fd, l->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, l->channel.fd, &event);
	l->events = events;
}

static void watch_open(struct loop *p, struct walk_link *l)
{
	bool full = walk_link_is_full(l);

	watch(p, l,
	      channel_read_events(&l->channel) | (full ? channel_write_events(&l->channel) : 0));
}

static void retire(struct loop *p, struct walk_link *l)
{
	uint64_t answered, failed;

	walk_link_retire(l, &answered, &failed);
	atomic_fetch_add_explicit(&p->sender->live->answered, answered, memory_order_relaxed);
	if (failed)
		atomic_fetch_add_explicit(&p->sender->live->failed, failed, memory_order_relaxed);
}

/* The session is over, well or not. */
static void end_session(struct loop *p, struct walk_link *l)
{
	bool goes_on = walk_link_next_session(l);

	timers_set(&p->timers, &l->timer, goes_on ? l->due_ns : TIMER_NEVER);
	p->live -= !goes_on;
	if (p->plan->session_rows)
		walk_writer_end(&p->writer);
}

static void break_link(struct loop *p, struct walk_link *l, int error)
{
	if (!p->sender->err.text[0])
		err_errno(&p->sender->err, error, "the connection of thread %u broke", l->thread);
	walk_link_fail(l, WALK_ERROR);
	retire(p, l);
	end_session(p, l);
}

static void fail_connect(struct loop *p, struct walk_link *l, int error)
{
	channel_close(&l->channel);
	if (!l->retries_left) {
		if (!p->sender->err.text[0])
			err_errno(&p->sender->err, error, "thread %u cannot connect", l->thread);
		walk_link_fail(l, WALK_ERROR);
		end_session(p, l);
		return;
	}
	l->retries_left--;
	l->state = WALK_LINK_CLOSED;
	l->due_ns = now_of(p) + p->plan->connect_retry_ns;
	timers_set(&p->timers, &l->timer, l->due_ns);
}

static void connect_link(struct loop *p, struct walk_link *l)
{
	int rc = walk_link_connect(l);

	if (rc) {
		fail_connect(p, l, -rc);
		return;
	}
	p->connecting++;
	watch(p, l, EPOLLOUT);
}

static void send_link(struct loop *p, struct walk_link *l)
{
	uint64_t begun;
	int rc = walk_link_send(l, p->out, p->stop_ns == PACE_NEVER, &begun);

	atomic_fetch_add_explicit(&p->sender->live->sent, begun, memory_order_relaxed);
	if (rc < 0) {
		break_link(p, l, -rc);
		return;
	}
	watch_open(p, l);
	/* with too many under way: again when the next reply has come, or soon */
	if (!walk_link_is_full(l) && l->next < l->end)
		timers_set(&p->timers, &l->timer, rc ? l->due_ns : now_of(p) + LOOK_LEAST_NS);
}

static void connected(struct loop *p, struct walk_link *l)
{
	int rc = walk_link_connected(l);

	if (rc == -EAGAIN) {
		watch(p, l, channel_read_events(&l->channel));
		return;
	}
	p->connecting--;
	if (rc) {
		fail_connect(p, l, -rc);
		return;
	}
	watch_open(p, l);
	if (walk_link_is_through(l)) /* a session without requests */
		end_session(p, l);
	else
		timers_set(&p->timers, &l->timer, l->due_ns);
}

static void receive_link(struct loop *p, struct walk_link *l)
{
	int rc = walk_link_receive(l, p->in);

	if (rc > 0)
		retire(p, l);
	if (rc < 0)
		break_link(p, l, -rc);
	else if (walk_link_is_through(l))
		end_session(p, l);
}

static void on_event(struct loop *p, struct walk_link *l, uint32_t events)
{
	uint32_t reads = channel_read_events(&l->channel) | EPOLLHUP | EPOLLERR;

	if (events & EPOLLERR)
		channel_take_late_stamps(&l->channel);
	if (l->state == WALK_LINK_CONNECTING) {
		connected(p, l);
		return;
	}
	if (l->state == WALK_LINK_OPEN && events & reads)
		receive_link(p, l);
	if (l->state == WALK_LINK_OPEN && walk_link_is_full(l) &&
	    events & channel_write_events(&l->channel))
		send_link(p, l);
}

/* --- the loop ------------------------------------------------------------------------------ */

static void do_due(struct loop *p, struct walk_link *l)
{
	if (l->state == WALK_LINK_OPEN)
		send_link(p, l);
	else if (l->state == WALK_LINK_CLOSED && p->connecting < CONNECTING_MAX)
		connect_link(p, l);
	else if (l->state == WALK_LINK_CLOSED)
		timers_set(&p->timers, &l->timer, now_of(p) + LOOK_LEAST_NS);
}

/* What is due by now; when the next will be. */
static int64_t release_due(struct loop *p)
{
	int64_t now_ns = now_of(p);
	struct timer *timer;

	for (int i = 0; i < RELEASES_MAX && (timer = timers_take(&p->timers, now_ns)); i++)
		do_due(p, link_of(timer));
	return timers_due_ns(&p->timers);
}

static void handle_events(struct loop *p, int64_t sleep_ns)
{
	struct timespec ts = { sleep_ns / NS_PER_SEC, sleep_ns % NS_PER_SEC };
	struct epoll_event events[EVENTS_MAX];
	int n = sleep_ns > 0 ? epoll_pwait2(p->epoll_fd, events, EVENTS_MAX, &ts, NULL) :
			       epoll_wait(p->epoll_fd, events, EVENTS_MAX, 0);

	if (n < 0 && errno == ENOSYS) /* before 5.11 */
		n = epoll_wait(p->epoll_fd, events, EVENTS_MAX, (int)(sleep_ns / NS_PER_MS));
	for (int i = 0; i < n; i++)
		on_event(p, &p->links[events[i].data.u32], events[i].events);
}

static void look_for_timeouts(struct loop *p)
{
	int64_t now_ns = now_of(p);

	if (now_ns < p->look_ns)
		return;
	p->look_ns = now_ns + p->look_every_ns;
	for (uint32_t i = 0; i < p->count; i++) {
		struct walk_link *l = &p->links[i];

		if (l->state == WALK_LINK_CONNECTING &&
		    now_ns - l->connecting_ns > CONNECT_TIMEOUT_NS) {
			p->connecting--;
			fail_connect(p, l, ETIMEDOUT);
		}
		if (l->state != WALK_LINK_OPEN)
			continue;
		walk_link_expire(l, now_ns);
		retire(p, l);
		if (walk_link_is_through(l))
			end_session(p, l);
		else if (walk_link_is_stuck(l, now_ns))
			break_link(p, l, ETIMEDOUT);
	}
}

/* Nothing begins any more; what is under way has some time left. */
static void stop(struct loop *p)
{
	p->stop_ns = now_of(p) + STOP_GRACE_NS;
	for (uint32_t i = 0; i < p->count; i++) {
		struct walk_link *l = &p->links[i];

		if (l->state == WALK_LINK_OVER)
			continue;
		walk_link_stop(l);
		if (walk_link_is_through(l))
			end_session(p, l);
	}
}

static void give_up(struct loop *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		struct walk_link *l = &p->links[i];

		if (l->state == WALK_LINK_OVER)
			continue;
		walk_link_fail(l, WALK_TIMEOUT);
		retire(p, l);
		end_session(p, l);
	}
}

static void wait_for_next(struct loop *p, int64_t due_ns)
{
	struct pace pace = { p->plan->spin_ns };
	int64_t now_ns = now_of(p), sleep_ns = 0;
	enum pace_move move;

	move = pace_next(&pace, now_ns, due_ns, &sleep_ns);
	sleep_ns = pace_rest(&p->breaks, move, now_ns, sleep_ns);
	if (sleep_ns > p->look_ns - now_ns)
		sleep_ns = p->look_ns - now_ns;
	handle_events(p, p->plan->wait_spin ? 0 : sleep_ns);
}

static void run(struct loop *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		timers_set(&p->timers, &p->links[i].timer, p->links[i].due_ns);
	while (p->live) {
		int64_t due_ns = release_due(p);

		look_for_timeouts(p);
		if (p->stop_ns == PACE_NEVER &&
		    atomic_load_explicit(p->sender->stopping, memory_order_relaxed))
			stop(p);
		if (p->stop_ns != PACE_NEVER && now_of(p) > p->stop_ns)
			give_up(p);
		if (p->live)
			wait_for_next(p, due_ns);
	}
}

static int loop_init(struct loop *p, struct walk_sender *sender)
{
	const struct walk_plan *plan = sender->plan;
	int64_t look_ns = plan->timeout_ns / 20;
	int rc = 0;

	p->sender = sender;
	p->plan = plan;
	p->writer.rows = sender->rows;
	p->stamps.slot = &p->own;
	if (sender->rows)
		p->slot = plan->slots ? probe_own_slot(plan->slots) : plan->stamps ? &p->own : NULL;
	p->stop_ns = PACE_NEVER;
	p->look_every_ns = look_ns > LOOK_MOST_NS  ? LOOK_MOST_NS :
			   look_ns < LOOK_LEAST_NS ? LOOK_LEAST_NS :
						     look_ns;
	p->count = p->live =
		(plan->schedule.threads - sender->first + sender->step - 1) / sender->step;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->links = calloc(p->count, sizeof(*p->links));
	if (p->epoll_fd < 0 || !p->links || timers_reserve(&p->timers, p->count))
		return -ENOMEM;
	for (uint32_t i = 0; !rc && i < p->count; i++) {
		struct walk_link *l = &p->links[i];

		l->plan = plan;
		l->tally = &sender->tally;
		l->writer = &p->writer;
		l->anchor_ns = sender->anchor_ns;
		l->slot = p->slot;
		l->to = p->slot == &p->own ? &p->stamps : NULL;
		rc = walk_link_init(l, sender->first + i * sender->step);
	}
	return rc;
}

static void loop_release(struct loop *p)
{
	walk_writer_end(&p->writer);
	p->sender->tally.rows_waited = p->writer.to.waited;
	for (uint32_t i = 0; p->links && i < p->count; i++) {
		p->sender->counts[p->links[i].thread] = p->links[i].count;
		walk_link_release(&p->links[i]);
	}
	free(p->links);
	timers_release(&p->timers);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
}

static void *sender_main(void *arg)
{
	struct walk_sender *sender = arg;
	struct loop *p = calloc(1, sizeof(*p));

	pace_sharpen_thread();
	if (!p || loop_init(p, sender))
		err_errno(&sender->err, ENOMEM, "cannot hold the connections of a thread");
	else
		run(p);
	if (p)
		loop_release(p);
	free(p);
	sender->tally.sent = sender->live->sent;
	sender->tally.ended_ns = clock_now_ns() - sender->anchor_ns;
	atomic_store(&sender->over, true);
	return NULL;
}

static void *agent_main(void *arg)
{
	struct walk_sender *sender = arg;

	if (sender->agent)
		walk_agent_relay(sender->agent, sender);
	else
		walk_remote_relay(sender->remote, sender);
	atomic_store(&sender->over, true);
	return NULL;
}

int walk_sender_start(struct walk_sender *s, struct err *err)
{
	sigset_t all, before;
	int rc;

	hist_init(&s->tally.latency);
	hist_init(&s->tally.service);
	hist_init(&s->tally.late);
	hist_init(&s->tally.connect);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&s->thread, NULL, s->agent || s->remote ? agent_main : sender_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->running = !rc;
	return rc ? err_errno(err, rc, "cannot start a thread that sends") : 0;
}

void walk_sender_join(struct walk_sender *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void walk_sender_release(struct walk_sender *s)
{
	walk_sender_join(s);
	hist_release(&s->tally.latency);
	hist_release(&s->tally.service);
	hist_release(&s->tally.late);
	hist_release(&s->tally.connect);
}
