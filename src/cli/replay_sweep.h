/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_REPLAY_SWEEP_H
#define GAIT_CLI_REPLAY_SWEEP_H

#include "replay/replay.h"
#include "replay/sweep.h"

/*
 * gait replay --sweep: a replay for each point, RUN/SPEED.gait where RUN is replay->run, then a
 * table and what follows from it. Returns an exit code: EXIT_DOUBTFUL when no point can be used.
 */
int replay_sweep(const struct sweep *sweep, const struct replay_opts *replay, bool json);

#endif
