/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_STAMPS_H
#define GAIT_REPLAY_WALK_STAMPS_H

#include "bpf/event.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What the client's probe knows of a request of a walk, as struct client_fact has it: ns since the
 * anchor, 0 where nobody took the stamp.
 */
struct walk_stamps {
	int64_t tx_ns, sent_end_ns;
	int64_t again_ns, left_ns;
	int64_t came_ns, arrival_ns;
};

/*
 * A call of the sending thread, between two looks at its slot (NULL: there is no probe): whether
 * the slot's stamps are of that call.
 */
static inline uint64_t walk_stamps_sent(const struct thread_slot *slot)
{
	return slot ? *(const volatile uint64_t *)&slot->tx_sequence : 0;
}

static inline uint64_t walk_stamps_received(const struct thread_slot *slot)
{
	return slot ? *(const volatile uint64_t *)&slot->rx_sequence : 0;
}

#endif
