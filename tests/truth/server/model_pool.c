/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loop reads requests and puts them into a queue; threads take them, work, and reply or give
 * them back to the loop. A chain is of one connection, whose requests are done in their order.
 */
#include "server.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Chains that wait, and how who waits for them is told. */
struct queue {
	struct source source; /* read end: first, so that a loop's source is the queue */
	uint32_t handoff;     /* enum handoff */
	int write_fd;
	pthread_mutex_t mutex;
	pthread_cond_t filled;
	struct request *first, **last;
};

static struct queue todo, done;

static void queue_init(struct queue *q, uint32_t handoff, bool one_a_read)
{
	int ends[2];

	q->handoff = handoff;
	pthread_mutex_init(&q->mutex, NULL);
	pthread_cond_init(&q->filled, NULL);
	q->last = &q->first;
	if (handoff == HANDOFF_EVENTFD) {
		ends[0] =
			must(eventfd(0, EFD_CLOEXEC | (one_a_read ? EFD_SEMAPHORE : 0)), "eventfd");
		q->source.fd = q->write_fd = ends[0];
	} else if (handoff == HANDOFF_PIPE) {
		must(pipe2(ends, O_CLOEXEC), "pipe");
		q->source.fd = ends[0];
		q->write_fd = ends[1];
	}
}

static void queue_put(struct queue *q, struct request *chain)
{
	uint64_t one = 1;

	if (q->handoff == HANDOFF_PIPE) { /* the pipe is the queue */
		must(write(q->write_fd, &chain, sizeof(chain)), "pipe");
		return;
	}
	pthread_mutex_lock(&q->mutex);
	chain->job = NULL;
	*q->last = chain;
	q->last = &chain->job;
	if (q->handoff == HANDOFF_FUTEX)
		pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->mutex);
	if (q->handoff == HANDOFF_EVENTFD)
		must(write(q->write_fd, &one, sizeof(one)), "eventfd");
}

static struct request *queue_pop(struct queue *q)
{
	struct request *chain = q->first;

	if (!chain)
		return NULL;
	q->first = chain->job;
	if (!q->first)
		q->last = &q->first;
	return chain;
}

/* Waits for a chain. */
static struct request *queue_take(struct queue *q)
{
	struct request *chain = NULL;
	uint64_t one;

	if (q->handoff == HANDOFF_PIPE) {
		must(read(q->source.fd, &chain, sizeof(chain)), "pipe");
		return chain;
	}
	if (q->handoff == HANDOFF_EVENTFD)
		must(read(q->source.fd, &one, sizeof(one)), "eventfd");
	pthread_mutex_lock(&q->mutex);
	while (!(chain = queue_pop(q)))
		pthread_cond_wait(&q->filled, &q->mutex);
	pthread_mutex_unlock(&q->mutex);
	return chain;
}

/* --- one connection, one worker ------------------------------------------------------------ */

static void strand_lock(struct connection *c)
{
	while (atomic_flag_test_and_set(&c->lock))
		;
}

/* False when a worker is at this connection already: it will find the chain. */
static bool strand_begin(struct connection *c, struct request *chain)
{
	struct request **end = &c->waiting;
	bool begun;

	strand_lock(c);
	begun = !c->strand;
	c->strand = true;
	if (!begun) {
		while (*end)
			end = &(*end)->next;
		*end = chain;
	}
	atomic_flag_clear(&c->lock);
	return begun;
}

/* What came meanwhile, or NULL: the connection is nobody's now. */
static struct request *strand_next(struct connection *c)
{
	struct request *chain;

	strand_lock(c);
	chain = c->waiting;
	c->waiting = NULL;
	c->strand = chain;
	atomic_flag_clear(&c->lock);
	return chain;
}

/* --- the two sides ------------------------------------------------------------------------- */

static void hand_off(struct request *chain)
{
	struct request *end, *next;

	serve_parse(chain);
	for (; chain; chain = next) {
		for (end = chain; end->next && end->next->connection == chain->connection;)
			end = end->next;
		next = end->next;
		end->next = NULL;
		if (strand_begin(chain->connection, chain))
			queue_put(&todo, chain);
	}
}

static void work(struct request *chain)
{
	struct request *next;

	for (struct request *r = chain; r; r = next) {
		next = r->next;
		serve_work(r);
		r->next = NULL; /* its stores are its own */
		serve_store(r);
		r->next = next;
	}
}

static void reply(struct request *chain)
{
	struct connection *c = chain->connection;

	connection_get(c);
	serve_reply(chain);
	chain = strand_next(c);
	if (chain)
		queue_put(&todo, chain);
	connection_put(c);
}

static void *worker_main(void *arg)
{
	worker_self();
	for (;;) {
		struct request *chain = queue_take(&todo);

		work(chain);
		if (opts.replier == REPLY_WORKER)
			reply(chain);
		else
			queue_put(&done, chain);
	}
	return NULL;
}

static void reply_to_done(struct source *source)
{
	struct queue *q = (struct queue *)source;
	struct request *chain;
	uint64_t count;

	if (q->handoff == HANDOFF_PIPE) {
		reply(queue_take(q));
		return;
	}
	must(read(source->fd, &count, sizeof(count)), "eventfd");
	while (count--) {
		pthread_mutex_lock(&q->mutex);
		chain = queue_pop(q);
		pthread_mutex_unlock(&q->mutex);
		if (chain)
			reply(chain);
	}
}

void run_pool(void)
{
	struct loop *loop = loop_new(hand_off);

	queue_init(&todo, opts.handoff, true);
	for (uint64_t i = 0; i < opts.workers; i++)
		thread_start(worker_main, NULL);
	loop_stop_at_signals(loop);
	if (opts.replier == REPLY_READER) {
		queue_init(&done, opts.give_back, false);
		done.source.ready = reply_to_done;
		loop_add(loop, &done.source);
	}
	loop_listen(loop, net_listen());
	net_announce();
	loop_run(loop);
}
