/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_REMOTES_H
#define GAIT_REPLAY_WALK_REMOTES_H

#include "replay/walk/remote.h"
#include "replay/walk/walk.h"

/* The agents on other hosts that send a walk, one for each of its senders. */
struct walk_remotes {
	struct walk_remote *at[WALK_AGENTS_MAX];
	uint32_t count;
};

struct walk_remotes_setup {
	const struct walk_opts *opts; /* with agents_at */
	const struct walk_plan *plan;
	struct secure *secure;
	struct walk_sender *senders; /* each gets its agent */
	uint32_t senders_count;
	bool rows; /* are wanted */
};

/* All are ready to start. -EINVAL when the node is where they cannot go. */
int walk_remotes_open(struct walk_remotes *remotes, const struct walk_remotes_setup *setup,
		      struct err *err);
void walk_remotes_free(struct walk_remotes *remotes);

/* So long before the first request is due they are told: it takes its way there. 0 without any. */
int64_t walk_remotes_lead_ns(const struct walk_remotes *remotes);

/* What is missing of the load is missing for good: the rest need not go on. */
bool walk_remotes_lost_one(const struct walk_remotes *remotes);

#endif
