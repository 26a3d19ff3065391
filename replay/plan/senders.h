/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_SENDERS_H
#define GAIT_REPLAY_PLAN_SENDERS_H

#include "replay/plan/chains.h"
#include "replay/plan/plan.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Who sends: a connection, or several of which each began when the one before had
 * its last reply (a closed loop that reconnects). A load has more or fewer senders,
 * never half of one: without a link its chain would go by the clock.
 */
struct plan_sender {
	uint32_t first, last; /* requests; UINT32_MAX: none */
	uint64_t requests;
	bool waits; /* some of its requests wait for replies */
};

struct plan_senders {
	struct plan_sender *at;
	size_t count;
	uint32_t *of; /* each connection's */
};

/* In the order of their first connection. 0 or -ENOMEM. */
int plan_senders_init(struct plan_senders *s, const struct plan *plan,
		      const struct plan_chains *chains);
void plan_senders_release(struct plan_senders *s);

#endif
