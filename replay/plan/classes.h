/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_CLASSES_H
#define GAIT_REPLAY_PLAN_CLASSES_H

#include "replay/plan/set.h"

/*
 * Numbers the classes of all requests of the plans, from 0 in the order in which they occur
 * (plan_request.class), and says which each number is. -E2BIG: there are more than `max`.
 */
int plan_set_number_classes(struct plan_set *set, uint32_t max, uint64_t *ret_class_ids,
			    uint32_t *ret_count, struct err *err);

#endif
