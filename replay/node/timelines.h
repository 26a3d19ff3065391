/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_TIMELINES_H
#define GAIT_REPLAY_NODE_TIMELINES_H

#include "replay/net/wire.h"
#include "replay/node/meter.h"
#include "replay/node/spool.h"

/*
 * Timelines of the requests of one thread: at the end of each, its course goes to the spool,
 * stretch by stretch, with the same sums as its row has.
 */
struct timelines {
	struct steps steps;
	struct course course, fitted;
	struct spool_writer to;
	struct ledger *ledger; /* of the thread */
};

/* NULL without memory. To be freed by free() when timelines_end() was called. */
struct timelines *timelines_new(struct spool *spool, struct ledger *ledger);

/* Its row is complete. */
void timelines_tell(struct timelines *t, const struct meter *meter, const struct account *account,
		    const struct route *route, const struct wire_row *row);

/* Hands over what it has. */
void timelines_end(struct timelines *t);

#endif
