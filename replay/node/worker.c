/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/worker.h"

#include "base/clock.h"
#include "replay/node/limits.h"
#include "replay/node/service.h"
#include "replay/node/uring.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_MAX 64 /* of one event */

struct newcomer {
	struct source source; /* first */
	struct stranger *stranger;
	uint32_t events; /* that are waited for */
	struct newcomer *next;
	struct link arrival; /* on its way to the thread that is to meet it */
};

static bool is_of_datagrams(const struct listener *l)
{
	return l->address.transport == TRANSPORT_UDP;
}

/* Sockets that all threads share, or that each has for itself (enum accept_mode). */
static int listen_too(struct worker *w, struct listeners *ls)
{
	bool own = ls->accept_mode == ACCEPT_CHILD && w->index > 0;
	bool accepts = ls->accept_mode != ACCEPT_PARENT || !w->index;

	for (size_t i = 0; i < ls->count; i++) {
		struct listening *at = &w->listening[w->listening_count];
		int fd = own ? listener_open_another(ls, &ls->all[i]) : -ENOTSUP;

		if (fd < 0 && fd != -ENOTSUP)
			return fd;
		at->listener = &ls->all[i];
		at->own = fd >= 0;
		at->source = (struct source){ SOURCE_LISTENER, at->own ? fd : ls->all[i].fd };
		if (is_of_datagrams(at->listener))
			at->port = datagram_work_add(&w->datagrams, at->listener, at->source.fd,
						     at->own || !w->index);
		if (is_of_datagrams(at->listener) && !at->port)
			return -ENOMEM;
		w->listening_count += accepts;
	}
	return 0;
}

int worker_init(struct worker *w, struct service *service, uint32_t index)
{
	int rc = executor_init(&w->exec, &service->exec, index), poller_rc, listen_rc;

	w->service = service;
	w->index = index;
	sem_init(&w->started, 0, 0);
	poller_rc = poller_init(&w->poller, service->setup.workers->poll_mode);
	w->mail_event = (struct source){ SOURCE_MAIL, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	w->offers = (struct source){ SOURCE_OFFERS, service->offers[0] };
	w->received = malloc(NODE_RECEIVE_BYTES);
	if (!service->walk || service->walk->rows)
		spool_writer_init(&w->rows, &service->rows);
	if (!rc && service->timelines) {
		w->timelines = timelines_new(&service->stretches, &w->exec.ledger);
		rc = w->timelines ? 0 : -ENOMEM;
	}
	listen_rc = listen_too(w, service->setup.listeners);
	if (!rc)
		rc = walk_work_init(&w->walk, service->walk);
	if (!rc)
		rc = called_init(&w->called);
	if (!rc && service->io.opts.mode == IO_URING)
		rc = uring_new(service->io.opts.count, &w->ring, NULL);
	if (rc || poller_rc || listen_rc)
		return rc ? rc : poller_rc ? poller_rc : listen_rc;
	if (w->ring)
		w->ring_event = (struct source){ SOURCE_RING, uring_event_fd(w->ring) };
	return w->mail_event.fd < 0 || !w->received ? -ENOMEM : 0;
}

int worker_watch(struct worker *w, struct source *source, uint32_t old_events, uint32_t new_events)
{
	return poller_watch(&w->poller, source->fd, source, old_events, new_events);
}

void worker_wake(struct worker *w)
{
	uint64_t one = 1;

	if (write(w->mail_event.fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

/* The newcomer, first in the list or not, is no more; its socket may live on. */
static void newcomer_free(struct worker *w, struct newcomer *newcomer)
{
	struct newcomer **at = &w->newcomers.first;

	while (*at != newcomer)
		at = &(*at)->next;
	*at = newcomer->next;
	w->newcomers.count--;
	free(newcomer);
}

/* Takes the stranger over, also on failure. */
static struct newcomer *newcomer_new(struct stranger *stranger)
{
	struct newcomer *newcomer = stranger ? calloc(1, sizeof(*newcomer)) : NULL;

	if (!newcomer) {
		stranger_free(stranger);
		return NULL;
	}
	newcomer->source = (struct source){ SOURCE_NEWCOMER, stranger->channel.fd };
	newcomer->stranger = stranger;
	return newcomer;
}

static void newcomer_add(struct worker *w, struct newcomer *newcomer)
{
	struct newcomer **at = &w->newcomers.first;

	newcomer->events = channel_read_events(&newcomer->stranger->channel);
	if (worker_watch(w, &newcomer->source, 0, newcomer->events)) { /* beyond select()'s reach */
		stranger_free(newcomer->stranger);
		free(newcomer);
		return;
	}
	while (*at)
		at = &(*at)->next;
	*at = newcomer;
	w->newcomers.count++;
}

/* It is no newcomer any more: its stranger, whom nobody watches now. */
static struct stranger *take_stranger(struct worker *w, struct newcomer *newcomer)
{
	struct stranger *stranger = newcomer->stranger;

	worker_watch(w, &newcomer->source, newcomer->events, 0);
	newcomer_free(w, newcomer);
	return stranger;
}

/* Not while events are being handled: one of them may be the newcomer's. */
static void drop_oldest_newcomers(struct worker *w)
{
	while (w->newcomers.count > NODE_WORKER_NEWCOMERS_MAX)
		stranger_free(take_stranger(w, w->newcomers.first));
}

static void settle(struct worker *w, struct stranger *stranger, const struct wire_preface *preface);

/* Another thread has met it: it is new here, or has said already that it comes to this one. */
static void meet(struct worker *w, struct newcomer *newcomer)
{
	struct stranger *stranger = newcomer->stranger;
	struct wire_preface preface;

	if (stranger->preface_bytes < WIRE_PREFACE_BYTES ||
	    stranger_listen(stranger, &preface) <= 0) {
		newcomer_add(w, newcomer);
		return;
	}
	free(newcomer);
	settle(w, stranger, &preface);
}

static void take_arrivals(struct worker *w,
			  void (*take)(struct worker *w, struct newcomer *newcomer))
{
	struct link *arrival = stack_take_in_order(&w->arrivals);

	while (arrival) {
		struct newcomer *newcomer =
			(struct newcomer *)((char *)arrival - offsetof(struct newcomer, arrival));

		arrival = arrival->next;
		take(w, newcomer);
	}
}

/* Whoever waits at a socket that is about to go. */
static void pass_waiting(struct worker *w, struct listening *at)
{
	struct channel channel;

	if (at->port) {
		datagrams_pass_on(w, at->port);
		return;
	}
	while (!listener_accept(w->service->setup.listeners, at->listener, at->source.fd,
				&channel)) {
		struct stranger *stranger = stranger_new(&channel, at->listener->controls);

		if (stranger)
			service_pass_stranger(w->service, stranger);
	}
}

void worker_pass_newcomers(struct worker *w)
{
	datagrams_count_drops(w);
	take_arrivals(w, newcomer_add); /* nobody serves any more */
	while (w->newcomers.count)
		service_pass_stranger(w->service, take_stranger(w, w->newcomers.first));
	for (size_t i = 0; i < w->listening_count; i++) {
		if (!w->listening[i].own)
			continue;
		pass_waiting(w, &w->listening[i]);
		close(w->listening[i].source.fd);
		w->listening[i].own = false;
	}
}

/* In turn for all threads, where one accepts for them. */
static void hand_out(struct worker *w, struct newcomer *newcomer)
{
	struct service *service = w->service;
	struct worker *to = w;

	if (service->setup.listeners->accept_mode == ACCEPT_PARENT)
		to = &service->workers[w->turn++ % service->threads];
	if (to == w) {
		newcomer_add(w, newcomer);
		return;
	}
	stack_push(&to->arrivals, &newcomer->arrival);
	worker_wake(to);
}

static void on_listener(struct worker *w, struct source *source, uint32_t events)
{
	const struct listening *listening = (struct listening *)source;
	const struct listener *listener = listening->listener;
	struct listeners *listeners = w->service->setup.listeners;

	if (listening->port) {
		datagrams_event(w, listening->port);
		return;
	}

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct newcomer *newcomer;
		struct channel channel;

		if (listener_accept(listeners, listener, source->fd, &channel))
			return;
		newcomer = newcomer_new(stranger_new(&channel, listener->controls));
		if (newcomer)
			hand_out(w, newcomer);
	}
}

static void adopt(struct worker *w, struct conn *c, struct stranger *stranger)
{
	listener_admit(stranger->channel.fd);
	c->channel = stranger->channel;
	if (w->exec.setup->counts_itself)
		channel_stamp(&c->channel, &c->worker->exec.stamps, false);
	if (c->channel.tls)
		atomic_store(&w->service->encrypts, true);
	c->source.fd = c->channel.fd;
	free(stranger);
	if (c->worker == w)
		conn_advance(w, c);
	else
		conn_mail(c);
}

/* A node that calls says for which thread it comes. */
static bool goes_to_another(struct worker *w, struct stranger *stranger,
			    const struct wire_preface *preface)
{
	struct service *service = w->service;
	struct worker *to =
		&service->workers[(WIRE_CALL_THREAD(preface->connection_id) - 1) % service->threads];
	struct newcomer *newcomer;

	if (!(preface->flags & WIRE_PREFACE_CALL) || to == w)
		return false;
	newcomer = newcomer_new(stranger);
	if (!newcomer)
		return true;
	stack_push(&to->arrivals, &newcomer->arrival);
	worker_wake(to);
	return true;
}

/* Its preface is whole: it is ours, another session's, or refused. */
static void settle(struct worker *w, struct stranger *stranger, const struct wire_preface *preface)
{
	bool ours = false;
	struct conn *c;

	if (goes_to_another(w, stranger, preface))
		return;
	c = service_claim(w->service, w, preface, NULL, &ours);
	if (c) {
		adopt(w, c, stranger);
		return;
	}
	atomic_fetch_add(&w->service->refused, 1);
	if (ours)
		stranger_free(stranger);
	else
		service_pass_stranger(w->service, stranger);
}

static void wait_for_rest(struct worker *w, struct newcomer *newcomer)
{
	uint32_t events = channel_read_events(&newcomer->stranger->channel);

	if (events != newcomer->events)
		worker_watch(w, &newcomer->source, newcomer->events, events);
	newcomer->events = events;
}

static void on_newcomer(struct worker *w, struct source *source, uint32_t events)
{
	struct newcomer *newcomer = (struct newcomer *)source;
	struct stranger *stranger = newcomer->stranger;
	struct wire_preface preface;
	int rc;

	if (stranger_is_client(stranger)) {
		service_pass_stranger(w->service, take_stranger(w, newcomer));
		return;
	}
	rc = stranger_listen(stranger, &preface);
	if (!rc) {
		wait_for_rest(w, newcomer);
		return;
	}
	take_stranger(w, newcomer);
	if (rc > 0) {
		settle(w, stranger, &preface);
		return;
	}
	if (stranger->preface_bytes)
		atomic_fetch_add(&w->service->refused, 1);
	stranger_free(stranger);
}

static void take_handed(struct worker *w)
{
	struct link *handed = stack_take_in_order(&w->handed);

	while (handed) {
		struct stranger *stranger =
			(struct stranger *)((char *)handed - offsetof(struct stranger, handed));

		handed = handed->next;
		datagram_offered(w, stranger);
	}
}

static void take_io_done(struct worker *w)
{
	struct link *done = stack_take_in_order(&w->io_done);

	while (done) {
		struct io_job *job = (struct io_job *)done;

		done = done->next;
		serve_io_done(w, job);
	}
}

static void on_mail(struct worker *w, struct source *source, uint32_t events)
{
	uint64_t count;
	struct link *mail;

	if (read(source->fd, &count, sizeof(count)) < 0)
		return;
	take_io_done(w);
	pass_resume_groups(w);
	mail = stack_take_in_order(&w->mail);
	while (mail) {
		struct conn *c = (struct conn *)((char *)mail - offsetof(struct conn, mail));

		mail = mail->next;
		conn_attend(w, c);
	}
	take_arrivals(w, meet);
	take_handed(w);
	forward_drop_unwanted(w);
}

/* Another thread has heard its preface. */
static void on_offers(struct worker *w, struct source *source, uint32_t events)
{
	struct stranger *stranger = service_take_offer(w->service);
	struct wire_preface preface;

	if (!stranger)
		return;
	if (stranger->datagram)
		datagram_offered(w, stranger);
	else if (stranger_listen(stranger, &preface) > 0)
		settle(w, stranger, &preface);
	else
		stranger_free(stranger);
}

static void on_walk(struct worker *w, struct source *source, uint32_t events)
{
	walk_event(w, (struct conn *)source, events);
}

static void on_ring(struct worker *w, struct source *source, uint32_t events)
{
	struct io_job *job;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) < 0)
		return;
	while ((job = uring_reap(w->ring)))
		serve_io_call_done(w, job);
}

static void on_conn(struct worker *w, struct source *source, uint32_t events)
{
	conn_event(w, (struct conn *)source, events);
}

static void (*const on_source[])(struct worker *w, struct source *source, uint32_t events) = {
	[SOURCE_LISTENER] = on_listener, [SOURCE_MAIL] = on_mail, [SOURCE_NEWCOMER] = on_newcomer,
	[SOURCE_CONN] = on_conn,	 [SOURCE_WALK] = on_walk, [SOURCE_OFFERS] = on_offers,
	[SOURCE_RING] = on_ring,
};

/* When it must wake up by itself; INT64_MAX: never. */
static int64_t next_deadline_ns(const struct worker *w)
{
	int64_t wake_ns = serve_next_wake_ns(w);
	int64_t due_ns = background_next_ns(&w->background, w->service->anchor_ns);
	int64_t expires_ns = forward_next_ns(w);

	due_ns = due_ns < expires_ns ? due_ns : expires_ns;
	return wake_ns < due_ns ? wake_ns : due_ns;
}

static int wait_for_events(struct worker *w, struct epoll_event *events)
{
	struct meter *m = &w->exec.meter;
	int64_t deadline_ns = next_deadline_ns(w);
	int64_t now_ns;
	int n;

	meter_own(m, NULL);
	now_ns = meter_mark(m, ACTIVITY_SELF);
	w->reading.sleep = m->last;
	if (w->service->setup.workers->spins || deadline_ns <= now_ns)
		n = poller_wait(&w->poller, events, NODE_EVENTS_MAX, 0);
	else
		n = poller_wait(&w->poller, events, NODE_EVENTS_MAX,
				deadline_ns == INT64_MAX ? POLLER_NEVER : deadline_ns - now_ns);
	meter_mark(m, ACTIVITY_POLL);
	w->reading.wake = m->last;
	return n;
}

static void run_background(struct worker *w)
{
	int64_t anchor_ns = w->service->anchor_ns, now_ns = w->exec.meter.last.ns;

	if (background_next_ns(&w->background, anchor_ns) > now_ns)
		return;
	meter_own(&w->exec.meter, NULL);
	background_run_due(&w->background, &w->exec, anchor_ns, now_ns);
}

/*
 * Planned requests lie far apart in memory: what the next events will need is
 * fetched while this one is served, which saves 0.2 us a request.
 */
static void fetch_ahead(const struct epoll_event *events, int left)
{
	const struct source *next = left > 1 ? events[1].data.ptr : NULL;

	if (left > 2)
		__builtin_prefetch(&((const struct conn *)events[2].data.ptr)->inbox);
	if (next && next->kind == SOURCE_CONN)
		conn_fetch_ahead((const struct conn *)next);
}

static void run_pass(struct worker *w)
{
	struct epoll_event events[NODE_EVENTS_MAX];
	int n;

	drop_oldest_newcomers(w);
	n = wait_for_events(w, events);
	for (int i = 0; i < n; i++) {
		struct source *source = events[i].data.ptr;

		fetch_ahead(&events[i], n - i);
		on_source[source->kind](w, source, events[i].events);
	}
	serve_wake(w);
	forward_expire(w);
	pass_finish(w);
	run_background(w);
	datagram_peers_expire(w);
	walk_sweep(w);
	executor_tell_stats(&w->exec);
	if (w->ring)
		uring_flush(w->ring);
}

static int64_t timeval_ns(const struct timeval *tv)
{
	return tv->tv_sec * NS_PER_SEC + tv->tv_usec * NS_PER_US;
}

static void note_usage(struct worker *w)
{
	const int64_t *totals = w->exec.meter.totals;
	struct rusage usage;

	meter_disown(&w->exec.meter);
	if (w->exec.meter.slot) {
		w->user_ns = totals[TS_USER];
		w->kernel_ns = totals[TS_KERNEL_NET] + totals[TS_KERNEL_FS] + totals[TS_KERNEL_MM] +
			       totals[TS_KERNEL_OTHER];
		return;
	}
	getrusage(RUSAGE_THREAD, &usage);
	w->user_ns = timeval_ns(&usage.ru_utime);
	w->kernel_ns = timeval_ns(&usage.ru_stime);
}

static int prepare(struct worker *w)
{
	int rc = placement_apply(&w->service->setup.workers->placement, w->index);

	prctl(PR_SET_NAME, "gait-worker");
	prctl(PR_SET_TIMERSLACK, 1UL);
	executor_begin(&w->exec);
	if (w->timelines)
		meter_note_steps(&w->exec.meter, &w->timelines->steps);
	if (!rc)
		rc = worker_watch(w, &w->mail_event, 0, EPOLLIN);
	if (!rc)
		rc = worker_watch(w, &w->offers, 0, EPOLLIN | EPOLLEXCLUSIVE);
	if (!rc && w->ring)
		rc = worker_watch(w, &w->ring_event, 0, EPOLLIN);
	for (size_t i = 0; i < w->listening_count && !rc; i++)
		rc = worker_watch(w, &w->listening[i].source, 0, EPOLLIN | EPOLLEXCLUSIVE);
	return rc;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	w->start_code = prepare(w);
	sem_post(&w->started);
	if (w->start_code)
		return NULL;
	while (!atomic_load(&w->service->stopping))
		run_pass(w);
	uring_free(w->ring);
	w->ring = NULL;
	note_usage(w);
	return NULL;
}

int worker_start(struct worker *w)
{
	int rc = pthread_create(&w->thread, NULL, worker_main, w);

	w->running = !rc;
	if (rc)
		return -rc;
	while (sem_wait(&w->started))
		;
	return w->start_code;
}

void worker_join(struct worker *w)
{
	if (!w->running)
		return;
	worker_wake(w);
	pthread_join(w->thread, NULL);
	w->running = false;
}

static void drop_handed(struct worker *w)
{
	struct link *handed = stack_take(&w->handed);

	while (handed) {
		struct link *next = handed->next;

		stranger_free(
			(struct stranger *)((char *)handed - offsetof(struct stranger, handed)));
		handed = next;
	}
}

void worker_release(struct worker *w)
{
	worker_join(w);
	for (size_t i = 0; i < w->listening_count; i++)
		if (w->listening[i].own)
			close(w->listening[i].source.fd);
	drop_handed(w);
	poller_release(&w->poller);
	sem_destroy(&w->started);
	if (w->mail_event.fd > 0)
		close(w->mail_event.fd);
	uring_free(w->ring);
	free(w->received);
	free(w->sleepers.heap);
	background_queue_release(&w->background);
	walk_work_release(&w->walk);
	datagram_work_release(&w->datagrams);
	called_release(&w->called);
	active_pool_release(&w->actives);
	spool_writer_end(&w->rows);
	free(w->timelines);
	executor_release(&w->exec);
}
