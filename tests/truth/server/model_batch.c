/* SPDX-License-Identifier: Apache-2.0 */
/* One loop: it reads and works on all that is ready, writes and syncs once, then replies to all. */
#include "server.h"

/* Requests of this pass, in the order in which they came. */
static struct request *first, **last = &first;

static void work(struct request *chain)
{
	serve_parse(chain);
	for (struct request *r = chain; r; r = r->next) {
		serve_work(r);
		*last = r;
		last = &r->next;
	}
}

static void pass(struct loop *loop)
{
	struct request *all = first;

	if (!all)
		return;
	first = NULL;
	last = &first;
	serve_store(all);
	serve_reply(all);
}

void run_batch(void)
{
	struct loop *loop = loop_new(work);

	loop->pass = pass;
	loop_stop_at_signals(loop);
	loop_listen(loop, net_listen());
	net_announce();
	loop_run(loop);
}
