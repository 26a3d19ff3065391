/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_EXTENT_H
#define GAIT_REPLAY_PLAN_EXTENT_H

#include "replay/plan/plan.h"

/*
 * A longer or a shorter load: the trace again and again, or its beginning. Pure; on
 * failure *plan is as it was.
 */

/*
 * `times` passes (1: as it is), each on connections of its own and later by the trace's
 * duration. A sender that waits for replies begins a pass when it is through with the
 * one before, after the pause that the trace leaves between the two; all others begin
 * by the clock. Background ops come again too.
 */
int plan_loop(struct plan *plan, uint64_t times, enum plan_batching batching, struct err *err);

/*
 * What is due before `before_ns`, `requests` of them at most. By the recorded times, so
 * that it is the same on whatever answers: one that waits for replies may be through
 * sooner or later. -ENODATA when nothing is left.
 */
int plan_cut(struct plan *plan, int64_t before_ns, uint64_t requests, enum plan_batching batching,
	     struct err *err);

/*
 * What these two do for the background ops of a plan, for one whose requests follow those of
 * another: the time from one pass to the next, and when the load ends. 0 or -ENOMEM.
 */
int plan_loop_background(struct plan *plan, uint64_t times, int64_t period_ns);
void plan_cut_background(struct plan *plan, int64_t end_ns);

#endif
