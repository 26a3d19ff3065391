/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loop reads and works; at the end of a pass it deals out the replies to threads, which send
 * them, and waits until they have. Both sides spin on a counter, or sleep on it (futex).
 */
#include "server.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_ROUNDS 200000 /* idle ones go to sleep then: the tests' machine has others to serve */

struct writer {
	_Alignas(64) atomic_uint chains; /* to send; 0: the loop's again */
	atomic_bool sleeps;
	struct request *list[1024];
};

static struct writer *writers;
static struct request *pending[1024];
static size_t pending_count;
static atomic_uint unsent; /* writers that are not done */

static void futex_wait(atomic_uint *word, unsigned value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	asm volatile("yield");
#endif
}

static void futex_wake(atomic_uint *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool spin_while(atomic_uint *word, unsigned value)
{
	for (size_t i = 0; i < SPIN_ROUNDS && opts.wait_by == WAIT_SPIN; i++) {
		if (atomic_load(word) != value)
			return false;
		cpu_relax();
	}
	return atomic_load(word) == value;
}

static unsigned writer_await(struct writer *w)
{
	while (spin_while(&w->chains, 0)) {
		atomic_store(&w->sleeps, true);
		futex_wait(&w->chains, 0);
		atomic_store(&w->sleeps, false);
	}
	return atomic_load(&w->chains);
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	worker_self();
	for (;;) {
		unsigned count = writer_await(w);

		for (unsigned i = 0; i < count; i++)
			serve_reply(w->list[i]);
		atomic_store(&w->chains, 0);
		if (atomic_fetch_sub(&unsent, 1) == 1 && opts.wait_by == WAIT_FUTEX)
			futex_wake(&unsent);
	}
	return NULL;
}

/* A chain of one connection after the other: their replies must not overtake each other. */
static void work(struct request *chain)
{
	struct request *end, *next;

	serve_parse(chain);
	for (; chain; chain = next) {
		for (end = chain; end->next && end->next->connection == chain->connection;)
			end = end->next;
		next = end->next;
		end->next = NULL;
		for (struct request *r = chain; r; r = r->next)
			serve_work(r);
		serve_store(chain);
		if (pending_count == sizeof(pending) / sizeof(pending[0]))
			die("too many replies in a pass");
		pending[pending_count++] = chain;
	}
}

/* In turn, but a connection always to the same one. */
static void deal_out(unsigned counts[])
{
	for (size_t i = 0; i < pending_count; i++) {
		size_t to = pending[i]->connection->id % opts.workers;

		writers[to].list[counts[to]++] = pending[i];
	}
	pending_count = 0;
}

static void send_all(const unsigned counts[])
{
	unsigned busy = 0, left;

	for (uint64_t i = 0; i < opts.workers; i++)
		busy += !!counts[i];
	atomic_store(&unsent, busy);
	for (uint64_t i = 0; i < opts.workers; i++) {
		if (!counts[i])
			continue;
		atomic_store(&writers[i].chains, counts[i]);
		if (opts.wait_by == WAIT_FUTEX || atomic_load(&writers[i].sleeps))
			futex_wake(&writers[i].chains);
	}
	while ((left = atomic_load(&unsent)))
		if (opts.wait_by == WAIT_FUTEX)
			futex_wait(&unsent, left);
		else
			cpu_relax();
}

static void pass(struct loop *loop)
{
	unsigned counts[WORKERS_MAX] = { 0 };

	if (!pending_count)
		return;
	deal_out(counts);
	send_all(counts);
}

void run_iothreads(void)
{
	struct loop *loop = loop_new(work);

	writers = must_alloc(aligned_alloc(64, opts.workers * sizeof(*writers)));
	memset(writers, 0, opts.workers * sizeof(*writers));
	for (uint64_t i = 0; i < opts.workers; i++)
		thread_start(writer_main, &writers[i]);
	loop->pass = pass;
	loop_stop_at_signals(loop);
	loop_listen(loop, net_listen());
	net_announce();
	loop_run(loop);
}
