/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_LOAD_H
#define GAIT_REPLAY_PLAN_LOAD_H

#include "replay/plan/set.h"

/*
 * How the load is to differ from the trace: first more or less of it (plan/scale.h),
 * then again and again, then cut (plan/extent.h). Of several services that is done to what the
 * client sends; what they call for follows from it (plan/follow.c).
 */
struct plan_load {
	uint32_t speed_milli; /* 0, PLAN_SPEED_ONE: as recorded */
	uint64_t seed;
	uint64_t loops;	   /* 0, 1: once */
	int64_t before_ns; /* 0: to the end */
	uint64_t requests; /* 0: all */
};

#define PLAN_LOAD_TEXT 512

/* Into ret_text, what was changed; empty: nothing. On failure the set is only to be released. */
int plan_load_apply(struct plan_set *set, const struct plan_load *load, enum plan_batching batching,
		    char ret_text[PLAN_LOAD_TEXT], struct err *err);

#endif
