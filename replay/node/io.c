/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/io.h"

#include "base/clock.h"
#include "base/units.h"
#include "replay/node/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define FIRST_INDEX 1024 /* of executors: behind all workers and background threads */

struct io_thread {
	struct io_pool *pool;
	struct executor exec;
	pthread_t thread;
	bool running;
};

/* Threads that take jobs from one queue; a syncer is a pool of one. */
struct io_pool {
	struct io *io;
	struct target *target; /* of a syncer */
	bool spins;
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct link *first, **last;
	atomic_size_t queued;
	uint32_t count;
	struct io_thread threads[];
};

static const struct {
	const char *name;
	uint64_t fallback, max; /* of the number behind it; 0: takes none */
} modes[IO_MODE_COUNT] = {
	[IO_WORKER] = { "worker", 0, 0 },
	[IO_THREADS] = { "threads", IO_THREADS_DEFAULT, IO_THREADS_MAX },
	[IO_URING] = { "uring", IO_DEPTH_DEFAULT, IO_DEPTH_MAX },
};

int io_opts_parse(const char *text, struct io_opts *ret_opts, struct err *err)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);

	for (size_t i = 0; i < IO_MODE_COUNT; i++) {
		uint64_t count = modes[i].fallback;
		int rc = 0;

		if (strlen(modes[i].name) != len || strncmp(modes[i].name, text, len))
			continue;
		if (colon && !modes[i].max)
			return err_set(err, EINVAL, "'%s' takes no number", modes[i].name);
		if (colon)
			rc = unit_parse_u64(colon + 1, 1, modes[i].max, &count, err);
		if (!rc)
			*ret_opts = (struct io_opts){ (enum io_mode)i, (uint32_t)count };
		return rc;
	}
	return err_set(err, EINVAL, "'%s' is no way to do I/O: worker, threads[:N], uring[:DEPTH]",
		       text);
}

void io_init(struct io *io, const struct io_opts *opts, const struct exec_setup *exec)
{
	*io = (struct io){ .opts = *opts, .exec = exec };
	pthread_mutex_init(&io->lock, NULL);
}

static void put_job(struct io_pool *p, struct io_job *job)
{
	pthread_mutex_lock(&p->lock);
	job->link.next = NULL;
	*p->last = &job->link;
	p->last = &job->link.next;
	atomic_fetch_add(&p->queued, 1);
	if (!p->spins)
		pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* Under the lock; NULL: there is none. */
static struct io_job *pop_job(struct io_pool *p)
{
	struct link *first = p->first;

	if (!first)
		return NULL;
	p->first = first->next;
	if (!p->first)
		p->last = &p->first;
	atomic_fetch_sub(&p->queued, 1);
	return (struct io_job *)first;
}

static void wait_spinning(struct io_pool *p)
{
	while (!atomic_load_explicit(&p->queued, memory_order_relaxed) &&
	       !atomic_load_explicit(&p->stopping, memory_order_relaxed))
		;
}

/* The next job; NULL: it is over. */
static struct io_job *take_job(struct io_pool *p)
{
	struct io_job *job = NULL;

	while (!job && !atomic_load(&p->stopping)) {
		if (p->spins)
			wait_spinning(p);
		pthread_mutex_lock(&p->lock);
		while (!p->spins && !p->first && !atomic_load(&p->stopping))
			pthread_cond_wait(&p->changed, &p->lock);
		job = pop_job(p);
		pthread_mutex_unlock(&p->lock);
	}
	return job;
}

static void add_delta(struct io_job *job, const int64_t delta[TS_COUNT])
{
	for (size_t i = 0; i < TS_COUNT; i++)
		job->delta[i] += delta[i];
}

static void give_back(struct io_job *job)
{
	struct worker *w = job->worker;

	stack_push(&w->io_done, &job->link);
	worker_wake(w);
}

static void do_job(struct executor *x, struct io *io, struct io_job *job)
{
	int64_t delta[TS_COUNT];

	meter_mark(&x->meter, ACTIVITY_POLL);
	job->result = exec_run(x, job->op, job->target, delta);
	job->begun_ns = job->result.start_ns;
	add_delta(job, delta);
	if (job->result.status || !storage_awaits_sync(job->target, job->op) ||
	    io_await_sync(io, job))
		give_back(job);
}

static void begin_thread(struct io_thread *t, const char *name)
{
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_TIMERSLACK, 1UL);
	executor_begin(&t->exec);
}

static void *io_main(void *arg)
{
	struct io_thread *t = arg;
	struct io_job *job;

	begin_thread(t, "gait-io");
	while ((job = take_job(t->pool)))
		do_job(&t->exec, t->pool->io, job);
	meter_disown(&t->exec.meter);
	return NULL;
}

/* Sleeps until then, or until it is over. */
static void wait_for_period(struct io_pool *p, int64_t at_ns)
{
	struct timespec at = { at_ns / NS_PER_SEC, at_ns % NS_PER_SEC };

	pthread_mutex_lock(&p->lock);
	while (!atomic_load(&p->stopping) && clock_now_ns() < at_ns)
		pthread_cond_timedwait(&p->changed, &p->lock, &at);
	pthread_mutex_unlock(&p->lock);
}

static struct link *take_all(struct io_pool *p)
{
	struct link *all;

	pthread_mutex_lock(&p->lock);
	all = p->first;
	p->first = NULL;
	p->last = &p->first;
	atomic_store(&p->queued, 0);
	pthread_mutex_unlock(&p->lock);
	return all;
}

/* They waited for a timer of the node's, and then for the sync. */
static void end_waiting(struct link *waiting, const struct exec_result *sync,
			const int64_t delta[TS_COUNT])
{
	while (waiting) {
		struct io_job *job = (struct io_job *)waiting;
		int64_t since_ns = job->result.end_ns ? job->result.end_ns : job->left_ns;

		waiting = waiting->next;
		if (!job->result.end_ns) {
			job->result = *sync;
			job->result.start_ns = job->begun_ns = job->left_ns;
		}
		job->delta[TS_WAIT_SLEEP] += sync->start_ns - since_ns;
		add_delta(job, delta);
		job->result.end_ns = sync->end_ns;
		job->result.status = sync->status;
		give_back(job);
	}
}

static void *sync_main(void *arg)
{
	static const struct plan_op op = { .kind = OP_SYNC,
					   .flags = OPF_DSYNC,
					   .offset = TRACE_NONE };
	struct io_thread *t = arg;
	struct io_pool *p = t->pool;
	int64_t period_ns = p->target->device->sync_ms * NS_PER_MS, next_ns = clock_now_ns();

	begin_thread(t, "gait-sync");
	while (!atomic_load(&p->stopping)) {
		int64_t delta[TS_COUNT];
		struct exec_result sync;
		struct link *waiting;

		next_ns += period_ns;
		wait_for_period(p, next_ns);
		waiting = take_all(p);
		meter_mark(&t->exec.meter, ACTIVITY_POLL);
		sync = exec_run(&t->exec, &op, p->target, delta);
		end_waiting(waiting, &sync, delta);
		if (next_ns < sync.end_ns - period_ns)
			next_ns = sync.end_ns; /* it takes longer than its period */
	}
	meter_disown(&t->exec.meter);
	return NULL;
}

static void init_pool(struct io_pool *p, struct io *io, uint32_t count)
{
	pthread_condattr_t monotonic;

	p->io = io;
	p->count = count;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static int start_thread(struct io_pool *p, uint32_t i, void *(*run)(void *arg))
{
	struct io_thread *t = &p->threads[i];
	int rc = executor_init(&t->exec, p->io->exec, FIRST_INDEX + i);

	t->pool = p;
	if (!rc)
		rc = -pthread_create(&t->thread, NULL, run, t);
	t->running = !rc;
	return rc;
}

static void pool_stop(struct io *io, struct io_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->stopping, true);
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->count; i++) {
		struct io_thread *t = &p->threads[i];

		if (!t->running)
			continue;
		pthread_join(t->thread, NULL);
		t->running = false;
		ledger_merge(&io->ledger, &t->exec.ledger);
		io->user_ns += t->exec.meter.totals[TS_USER];
		io->kernel_ns += t->exec.meter.totals[TS_KERNEL_FS];
	}
}

static void pool_free(struct io_pool *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->count; i++)
		if (p->threads[i].exec.setup)
			executor_release(&p->threads[i].exec);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct io_pool *pool_new(struct io *io, struct target *target, uint32_t count,
				void *(*run)(void *arg))
{
	struct io_pool *p = calloc(1, sizeof(*p) + count * sizeof(p->threads[0]));
	uint32_t started = 0;

	if (!p)
		return NULL;
	init_pool(p, io, count);
	p->target = target;
	p->spins = target->device && target->device->wait_spin && run == io_main;
	while (started < count && !start_thread(p, started, run))
		started++;
	if (started) /* fewer do as well */
		return p;
	pool_free(p);
	return NULL;
}

static size_t index_of(const struct target *t)
{
	return t->device ? (size_t)t->target_id : 0;
}

/* Signals are the control thread's, and a worker has them blocked: so have its threads. */
static int give(struct io *io, struct io_pool **at, struct io_job *job, uint32_t count,
		void *(*run)(void *arg))
{
	struct io_pool *p;

	pthread_mutex_lock(&io->lock);
	if (!*at)
		*at = pool_new(io, job->target, count, run);
	p = *at;
	pthread_mutex_unlock(&io->lock);
	if (!p)
		return -EAGAIN;
	put_job(p, job);
	return 0;
}

int io_start(struct io *io, struct io_job *job)
{
	return give(io, &io->pools[index_of(job->target)], job, io->opts.count, io_main);
}

int io_await_sync(struct io *io, struct io_job *job)
{
	return give(io, &io->syncers[index_of(job->target)], job, 1, sync_main);
}

void io_stop(struct io *io)
{
	for (size_t i = 0; i <= DEVICES_MAX; i++)
		pool_stop(io, io->pools[i]);
	for (size_t i = 0; i <= DEVICES_MAX; i++)
		pool_stop(io, io->syncers[i]);
}

void io_release(struct io *io)
{
	for (size_t i = 0; i <= DEVICES_MAX; i++) {
		pool_free(io->pools[i]);
		pool_free(io->syncers[i]);
	}
	if (io->exec)
		pthread_mutex_destroy(&io->lock);
	*io = (struct io){ 0 };
}
