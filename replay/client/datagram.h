/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_DATAGRAM_H
#define GAIT_REPLAY_CLIENT_DATAGRAM_H

#include "base/err.h"
#include "replay/plan/plan.h"

/* Whether each message of a plan goes into a datagram. -EMSGSIZE with a sentence. */
int client_check_datagrams(const struct plan *plan, struct err *err);

#endif
