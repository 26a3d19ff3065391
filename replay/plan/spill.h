/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_SPILL_H
#define GAIT_REPLAY_PLAN_SPILL_H

#include "replay/plan/plan.h"

/* For plan_release(): what is in files is given up, and NULL then. */
void plan_unspill(struct plan *p);

#endif
