/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/core.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "probe/probe.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define EVENTS_MAX 256
#define RELEASE_MAX 64	  /* requests sent before looking for replies again */
#define CONNECTING_MAX 32 /* a node has room for 64 that have not said yet what they are */
#define CONNECT_TIMEOUT_NS (10 * NS_PER_SEC)
#define OPEN_EARLY_NS (500 * NS_PER_MS)
#define STOP_GRACE_NS (2 * NS_PER_SEC)
#define WARM_UP_NS (2 * NS_PER_MS)
#define WAKE_INDEX UINT32_MAX
#define FACTS_READY 16384

/*
 * Room for all, of which only as much is in memory as was ever under way at once: a fact that is
 * over is the next one to be used. The first ones are there before the start.
 */
static int facts_new(struct client *c)
{
	size_t count = c->setup.plan->requests_count + 1;
	void *facts = mmap(NULL, count * sizeof(*c->facts), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (facts == MAP_FAILED)
		return -ENOMEM;
	memset(facts, 0, (count < FACTS_READY ? count : FACTS_READY) * sizeof(*c->facts));
	c->facts = facts;
	return 0;
}

static int requests_new(struct client *c)
{
	const struct plan *plan = c->setup.plan;

	c->requests = malloc((plan->requests_count + 1) * sizeof(*c->requests));
	if (!c->requests)
		return -ENOMEM;
	for (size_t i = 0; i < plan->requests_count; i++)
		c->requests[i] = (struct client_request){
			.request_bytes = (uint32_t)plan->requests[i].request_bytes,
			.response_bytes = (uint32_t)plan->requests[i].response_bytes,
		};
	return 0;
}

static int conns_new(struct client *c)
{
	const struct plan *plan = c->setup.plan;

	c->conns = calloc(plan->connections_count + 1, sizeof(*c->conns));
	if (!c->conns)
		return -ENOMEM;
	for (size_t i = 0; i < plan->connections_count; i++) {
		uint32_t first = c->chains.first[i];

		c->conns[i] = (struct client_conn){
			.channel = CHANNEL_NONE,
			.send_next = first,
			.receive_next = first,
			.send_left = c->requests[first].request_bytes,
			.receive_left = c->requests[first].response_bytes,
		};
	}
	return 0;
}

static bool is_ours(const struct client *c, size_t connection)
{
	return !c->setup.share || c->setup.share[connection] == c->setup.self;
}

/* Connections of others count as closed, and their requests are never due. */
static void leave_out_others(struct client *c)
{
	const struct plan *plan = c->setup.plan;

	for (size_t i = 0; i < plan->connections_count; i++)
		if (!is_ours(c, i))
			c->conns[i].state = CLIENT_CONN_CLOSED;
	for (uint32_t i = 0; i < plan->requests_count; i++) {
		if (is_ours(c, c->chains.connection[i]))
			c->planned++;
		else
			schedule_leave_out(&c->schedule, i);
	}
}

static int allocate(struct client *c)
{
	const struct plan *plan = c->setup.plan;

	c->buffer = malloc(BUFFER_BYTES);
	c->released = malloc((plan->requests_count + 1) * sizeof(*c->released));
	if (!c->buffer || !c->released || plan_chains_init(&c->chains, plan) ||
	    schedule_init(&c->schedule, plan, &c->chains) || requests_new(c) || facts_new(c) ||
	    conns_new(c))
		return -ENOMEM;
	/* a page fault while pacing would make a request late */
	memset(c->released, 0, (plan->requests_count + 1) * sizeof(*c->released));
	leave_out_others(c);
	return 0;
}

static int open_descriptors(struct client *c)
{
	struct epoll_event wake = { .events = EPOLLIN | EPOLLET, .data.u32 = WAKE_INDEX };

	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->epoll_fd < 0 || c->wake_fd < 0 || c->done_fd < 0 ||
	    epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->wake_fd, &wake))
		return -errno;
	return 0;
}

/* As many descriptors as we may have: one for each connection. */
static int raise_limit(const struct plan *plan, struct err *err)
{
	uint64_t most = descriptors_raise();

	if (most > plan->connections_count + 32)
		return 0;
	return err_set(err, EMFILE,
		       "%zu connections need more open files than the %llu allowed here: raise "
		       "them with `ulimit -Hn`",
		       plan->connections_count, (unsigned long long)most);
}

int client_new(const struct client_setup *setup, struct client **ret_client, struct err *err)
{
	struct client *c;
	int ret = raise_limit(setup->plan, err);

	if (ret)
		return ret;
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_errno(err, ENOMEM, "cannot start the client");
	c->setup = *setup;
	c->pace.spin_ns = setup->spin_ns;
	c->stamps.slot = &c->own;
	c->slot = setup->stamps && !setup->slots ? &c->own : NULL;
	c->epoll_fd = c->wake_fd = c->done_fd = -1;
	ret = allocate(c);
	if (!ret)
		ret = open_descriptors(c);
	if (ret)
		err_errno(err, -ret, "cannot hold %zu requests", setup->plan->requests_count);
	else
		ret = client_rows_start(setup->rows, err);
	if (ret) {
		client_free(c);
		return ret;
	}
	*ret_client = c;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void client_free(struct client *c)
{
	if (!c)
		return;
	client_stop(c);
	client_join(c);
	for (size_t i = 0; c->conns && i < c->setup.plan->connections_count; i++)
		channel_close(&c->conns[i].channel);
	close_fd(c->epoll_fd);
	close_fd(c->wake_fd);
	close_fd(c->done_fd);
	if (c->facts)
		munmap(c->facts, (c->setup.plan->requests_count + 1) * sizeof(*c->facts));
	schedule_release(&c->schedule);
	plan_chains_release(&c->chains);
	free(c->conns);
	free(c->requests);
	free(c->released);
	free(c->buffer);
	free(c);
}

/* Kernels before 5.11 have no epoll_pwait2(): there poll() sleeps as finely, for one call more. */
static int wait_events(struct client *c, struct epoll_event *events, int64_t sleep_ns)
{
	struct timespec ts = { sleep_ns / NS_PER_SEC, sleep_ns % NS_PER_SEC };
	struct timespec *timeout = sleep_ns == PACE_NEVER ? NULL : &ts;
	struct pollfd ready = { .fd = c->epoll_fd, .events = POLLIN };
	int n;

	if (!sleep_ns)
		return epoll_wait(c->epoll_fd, events, EVENTS_MAX, 0);
	n = epoll_pwait2(c->epoll_fd, events, EVENTS_MAX, timeout, NULL);
	if (n >= 0 || errno != ENOSYS)
		return n;
	ppoll(&ready, 1, timeout, NULL);
	return epoll_wait(c->epoll_fd, events, EVENTS_MAX, 0);
}

static void handle_events(struct client *c, int64_t sleep_ns)
{
	struct epoll_event events[EVENTS_MAX];
	int n = wait_events(c, events, sleep_ns);

	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 != WAKE_INDEX)
			client_conn_event(c, events[i].data.u32, events[i].events);
	}
}

static bool opens_before_start(const struct client *c)
{
	const struct plan *plan = c->setup.plan;

	return c->connecting < CONNECTING_MAX && c->open_next < plan->connections_count &&
	       plan->connections[c->open_next].first_due_ns <= CLIENT_OPEN_AHEAD_NS;
}

int client_connect(struct client *c, struct err *err)
{
	int64_t give_up = clock_now_ns() + CONNECT_TIMEOUT_NS;

	do {
		for (; opens_before_start(c) && !c->failed; c->open_next++)
			if (c->conns[c->open_next].state == CLIENT_CONN_UNOPENED)
				client_conn_open(c, (uint32_t)c->open_next);
		handle_events(c, c->connecting ? 10 * NS_PER_MS : 0);
	} while (c->connecting && !c->failed && clock_now_ns() < give_up);
	if (!c->failed && !c->connecting)
		return 0;
	return err_errno(err, c->failed ? c->failed : ETIMEDOUT,
			 "cannot open the data connections to the node");
}

/* Free facts are a list by `order`. */
static struct client_fact *take_fact(struct client *c, uint32_t request)
{
	uint32_t at = c->free_fact;

	if (at)
		c->free_fact = c->facts[at].order;
	else
		at = ++c->facts_count;
	c->facts[at] = (struct client_fact){ .request = request };
	c->requests[request].fact = at;
	return &c->facts[at];
}

/* Where an outcome is counted; those that were not sent and have not timed out are unsent. */
static const enum ledger_entry outcome_entries[OUTCOME_COUNT] = {
	[OUTCOME_OK] = LG_ANSWERED,
	[OUTCOME_TIMEOUT] = LG_TIMEOUTS,
	[OUTCOME_ERROR] = LG_ERRORS,
	[OUTCOME_REFUSED] = LG_ERRORS,
};

static void count(struct client *c, const struct client_fact *fact)
{
	bool tried = fact->order || fact->outcome == OUTCOME_TIMEOUT;

	c->ledger.count[LG_SENT] += fact->order != 0;
	c->ledger.count[tried ? outcome_entries[fact->outcome] : LG_UNSENT]++;
	if (c->slot && fact->outcome == OUTCOME_OK && (!fact->arrival_ns || !fact->tx_ns))
		c->ledger.count[LG_SLOTS_UNREAD]++;
}

/* Settled, and nothing more of it will come or go. */
static void end_fact(struct client *c, struct client_fact *fact)
{
	count(c, fact);
	*client_rows_next(c->setup.rows) = *fact;
	c->requests[fact->request].fact = CLIENT_OVER;
	fact->order = c->free_fact;
	c->free_fact = (uint32_t)(fact - c->facts);
}

void client_note_sent(struct client *c, struct client_fact *fact, int64_t now_ns)
{
	uint64_t count = atomic_load_explicit(&c->sent_count, memory_order_relaxed) + 1;

	fact->sent_ns = now_ns;
	fact->order = (uint32_t)count;
	atomic_store_explicit(&c->sent_count, count, memory_order_relaxed);
}

static void settle(struct client *c, struct client_fact *fact, enum outcome outcome,
		   _Atomic uint64_t *count)
{
	fact->outcome = (uint8_t)outcome;
	fact->settled = true;
	c->settled++;
	c->outstanding -= fact->intended_ns != 0;
	atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void client_note_failed(struct client *c, uint32_t request, enum outcome outcome)
{
	struct client_fact *fact = client_fact_of(c, request);

	if (c->requests[request].fact == CLIENT_OVER)
		return; /* by datagrams later ones may be through before */
	fact = fact ? fact : take_fact(c, request);
	if (!fact->settled)
		settle(c, fact, outcome, &c->failed_count);
	end_fact(c, fact);
}

void client_note_over(struct client *c, uint32_t request)
{
	schedule_answered(&c->schedule, request, clock_now_ns() - c->anchor_ns);
}

/* Its connection goes on; what waited for the reply waits no longer. */
static void time_out(struct client *c, struct client_fact *fact, int64_t now_ns)
{
	if (fact->settled)
		return;
	settle(c, fact, OUTCOME_TIMEOUT, &c->failed_count);
	schedule_answered(&c->schedule, fact->request, now_ns - c->anchor_ns);
}

/* What waits for the reply is due from when its last byte came here, as its sender would see it. */
bool client_note_answered(struct client *c, uint32_t request, int64_t now_ns)
{
	struct client_fact *fact = client_fact_of(c, request);
	int64_t at = fact->arrival_ns ? fact->arrival_ns : now_ns;
	bool in_time;

	if (now_ns > fact->intended_ns + c->setup.timeout_ns)
		time_out(c, fact, now_ns);
	in_time = !fact->settled;
	if (in_time) {
		fact->received_ns = now_ns;
		settle(c, fact, OUTCOME_OK, &c->answered_count);
	}
	end_fact(c, fact);
	if (in_time)
		schedule_answered(&c->schedule, request, at - c->anchor_ns);
	return in_time;
}

static void release(struct client *c, struct schedule_entry entry)
{
	uint32_t conn = c->chains.connection[entry.request];

	if (c->requests[entry.request].fact)
		return; /* its connection failed */
	take_fact(c, entry.request)->intended_ns = c->anchor_ns + entry.due_ns;
	c->released[c->released_count++] = entry.request;
	c->outstanding++;
	if (c->conns[conn].state == CLIENT_CONN_UNOPENED)
		client_conn_open(c, conn);
	client_conn_send(c, conn);
}

/* Sends what is due; returns when the next one will be, PACE_NEVER if that is not known. */
static int64_t release_due(struct client *c)
{
	struct schedule_entry entry;

	for (int i = 0; !c->stop_ns && schedule_peek(&c->schedule, &entry); i++) {
		int64_t due = c->anchor_ns + entry.due_ns;

		if (i == RELEASE_MAX || due > clock_now_ns())
			return due;
		schedule_take(&c->schedule);
		release(c, entry);
	}
	return PACE_NEVER;
}

/* Fails what has waited too long; returns when the oldest outstanding request will have. */
static int64_t expire(struct client *c, int64_t now_ns)
{
	for (; c->oldest < c->released_count; c->oldest++) {
		struct client_fact *fact = client_fact_of(c, c->released[c->oldest]);
		int64_t expires = fact ? fact->intended_ns + c->setup.timeout_ns : 0;

		if (!fact || fact->settled)
			continue;
		if (expires > now_ns)
			return expires;
		time_out(c, fact, now_ns);
	}
	return PACE_NEVER;
}

/* Opens one connection whose first request comes soon; returns when to look again. */
static int64_t open_due(struct client *c, int64_t now_ns)
{
	const struct plan *plan = c->setup.plan;

	for (; c->open_next < plan->connections_count; c->open_next++) {
		int64_t due =
			c->anchor_ns + plan->connections[c->open_next].first_due_ns - OPEN_EARLY_NS;

		if (due > now_ns)
			return due;
		if (c->connecting == CONNECTING_MAX)
			return PACE_NEVER; /* an event comes first */
		if (c->conns[c->open_next].state != CLIENT_CONN_UNOPENED)
			continue;
		client_conn_open(c, (uint32_t)c->open_next++);
		return now_ns;
	}
	return PACE_NEVER;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Only for sends it is worth spinning; with nothing outstanding not even events matter then. */
static void wait_for_next(struct client *c, int64_t due_ns, int64_t other_ns)
{
	int64_t now = clock_now_ns(), sleep_ns;
	enum pace_move move = pace_next(&c->pace, now, due_ns, &sleep_ns);

	sleep_ns = pace_rest(&c->breaks, move, now, sleep_ns);
	if (move == PACE_SPIN && !sleep_ns && !c->outstanding)
		return;
	if (other_ns != PACE_NEVER)
		sleep_ns = earlier(sleep_ns, other_ns > now ? other_ns - now : 0);
	handle_events(c, sleep_ns);
}

static bool is_done(struct client *c)
{
	if (!c->stop_ns && atomic_load_explicit(&c->stopping, memory_order_relaxed))
		c->stop_ns = clock_now_ns() + STOP_GRACE_NS;
	if (c->settled == c->planned)
		return true;
	return c->stop_ns && (c->oldest == c->released_count || clock_now_ns() > c->stop_ns);
}

/* Everything not settled: outstanding, or never due. */
static void fail_rest(struct client *c)
{
	for (uint32_t i = 0; i < c->setup.plan->connections_count; i++)
		client_conn_fail(c, i, OUTCOME_ERROR);
}

/* A CPU that slept long wakes up slowly: it shall be awake, and have this code, by the start. */
static void warm_up(struct client *c)
{
	const struct pace spin = { WARM_UP_NS };

	if (c->pace.spin_ns)
		pace_wait_until(&spin, c->anchor_ns - c->pace.spin_ns);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	uint64_t one = 1;

	pace_sharpen_thread();
	if (c->setup.slots)
		c->slot = probe_own_slot(c->setup.slots);
	warm_up(c);
	for (;;) {
		int64_t due = release_due(c), now = clock_now_ns();
		int64_t other =
			earlier(expire(c, now),
				earlier(open_due(c, now), c->stop_ns ? c->stop_ns : PACE_NEVER));

		if (is_done(c)) /* by a timeout, say: there is no event to come */
			break;
		wait_for_next(c, due, other);
	}
	fail_rest(c);
	if (write(c->done_fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd takes a 1 */
	return NULL;
}

/* Signals are for the thread that controls the run. */
int client_start(struct client *c, int64_t anchor_ns, struct err *err)
{
	sigset_t all, before;
	int ret;

	c->anchor_ns = anchor_ns;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&c->thread, NULL, client_main, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret)
		return err_errno(err, ret, "cannot start the client's thread");
	c->running = true;
	return 0;
}

void client_stop(struct client *c)
{
	uint64_t one = 1;

	atomic_store(&c->stopping, true);
	if (c->wake_fd >= 0 && write(c->wake_fd, &one, sizeof(one)) < 0)
		return; /* it has been written before */
}

void client_join(struct client *c)
{
	if (c->running)
		pthread_join(c->thread, NULL);
	c->running = false;
}

int client_done_fd(const struct client *c)
{
	return c->done_fd;
}

void client_progress(const struct client *c, struct client_progress *ret_progress)
{
	ret_progress->sent = atomic_load_explicit(&c->sent_count, memory_order_acquire);
	ret_progress->answered = atomic_load_explicit(&c->answered_count, memory_order_relaxed);
	ret_progress->failed = atomic_load_explicit(&c->failed_count, memory_order_relaxed);
}

void client_count(const struct client *c, struct ledger *ledger)
{
	ledger->count[LG_REPLIES_LATE] += c->replies_late;
	ledger->count[LG_MESSAGES_RAISED] += c->messages_raised;
	ledger_merge(ledger, &c->ledger);
}
