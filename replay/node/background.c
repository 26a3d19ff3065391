/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/background.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int background_queue_add(struct background_queue *q, const struct plan_background *background,
			 struct target *target)
{
	if (q->count == q->capacity) {
		size_t capacity = q->capacity ? q->capacity * 2 : 64;
		struct background_op *ops = reallocarray(q->ops, capacity, sizeof(*ops));

		if (!ops)
			return -ENOMEM;
		q->ops = ops;
		q->capacity = capacity;
	}
	q->ops[q->count++] = (struct background_op){ background->due_ns, target, background->op };
	return 0;
}

void background_queue_release(struct background_queue *q)
{
	free(q->ops);
	*q = (struct background_queue){ 0 };
}

int64_t background_next_ns(const struct background_queue *q, int64_t anchor_ns)
{
	return anchor_ns && q->next < q->count ? anchor_ns + q->ops[q->next].due_ns : INT64_MAX;
}

void background_run_due(struct background_queue *q, struct executor *x, int64_t anchor_ns,
			int64_t now_ns)
{
	while (background_next_ns(q, anchor_ns) <= now_ns) {
		struct background_op *due = &q->ops[q->next++];

		if (exec_knows(due->op.kind))
			exec_alone(x, &due->op, due->target, NULL);
		else
			x->ledger.count[LG_OPS_SKIPPED]++;
	}
}

static bool wait_until_due(struct background *b)
{
	pthread_mutex_lock(&b->lock);
	for (;;) {
		int64_t due_ns = background_next_ns(&b->queue, b->anchor_ns);
		struct timespec at = { due_ns / NS_PER_SEC, due_ns % NS_PER_SEC };

		if (b->stopping || due_ns <= clock_now_ns())
			break;
		if (due_ns == INT64_MAX)
			pthread_cond_wait(&b->changed, &b->lock);
		else
			pthread_cond_timedwait(&b->changed, &b->lock, &at);
	}
	pthread_mutex_unlock(&b->lock);
	return !b->stopping;
}

static int64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void *background_main(void *arg)
{
	struct background *b = arg;

	executor_begin(&b->exec);
	while (wait_until_due(b)) {
		meter_mark(&b->exec.meter, ACTIVITY_POLL);
		background_run_due(&b->queue, &b->exec, b->anchor_ns, clock_now_ns());
	}
	b->cpu_ns = thread_cpu_ns();
	return NULL;
}

int background_start(struct background *b, const struct exec_setup *setup, uint32_t index)
{
	pthread_condattr_t monotonic;
	int rc = executor_init(&b->exec, setup, index);

	if (rc)
		return rc;
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return -pthread_create(&b->thread, NULL, background_main, b);
}

void background_go(struct background *b, int64_t anchor_ns)
{
	pthread_mutex_lock(&b->lock);
	b->anchor_ns = anchor_ns;
	pthread_cond_signal(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

void background_stop(struct background *b)
{
	if (!b->thread)
		return;
	pthread_mutex_lock(&b->lock);
	b->stopping = true;
	pthread_cond_signal(&b->changed);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	b->thread = 0;
}

void background_release(struct background *b)
{
	background_stop(b);
	background_queue_release(&b->queue);
	executor_release(&b->exec);
}
