/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_PASS_H
#define GAIT_REPLAY_NODE_PASS_H

#include "replay/node/serve.h"

#include <pthread.h>

/*
 * Ops that several requests share.
 *
 * Live batching: requests that come to a shared op wait for the end of the loop's
 * pass. Then all that stand at the same op on the same target do it together: one
 * store of all their bytes, one sync. What only waits (PLAN_WAIT) joins if anybody
 * asks for it, else goes on. So it goes stage by stage until nobody waits.
 *
 * Recorded batching: the request that completes the recorded owners does the op
 * for all of them, on whatever threads they are.
 */
struct active_list {
	struct active *first, *last;
};

struct pass {
	struct active_list waiting; /* for its end */
	struct active_list done;    /* their op was done; to go on */
};

/* The end of a pass. */
void pass_finish(struct worker *w);

/* The request stands at an op of mode PLAN_SHARED or PLAN_WAIT. */
void pass_join(struct worker *w, struct active *a);

/* Groups of recorded batching, of a whole session. */
struct group;
struct groups {
	pthread_mutex_t lock;
	struct group **buckets; /* by op_id */
	size_t count;
};
int groups_init(struct groups *g);
void groups_release(struct groups *g);

/* Groups were run by other threads: goes on with this one's requests of them. */
void pass_resume_groups(struct worker *w);

#endif
