/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_SCALE_H
#define GAIT_REPLAY_PLAN_SCALE_H

#include "replay/plan/plan.h"

/*
 * More or less load of the same kind: more or fewer senders (plan/senders.h), each as
 * it was recorded. Dividing the gaps instead would make every burst shorter and every
 * pause too, and a queue behind it behaves differently.
 *
 * Speed k + f is the trace, k - 1 copies of it, and a further one in which the
 * fraction f of the senders is left; below 1 it is the trace with the fraction left.
 *
 * - Each copy comes by a shift of its own, up to PLAN_SHIFT_MAX_NS and a tenth of the
 *   duration. Over times longer than that, load rises and falls as recorded, times the
 *   speed; over shorter ones copies are independent, as other users would be: the
 *   variances of counts add up. With N the counts of windows of length t, and r_t(s)
 *   their correlation with those that come s later, the index of dispersion
 *   Var N / E N of two copies is that of one times 1 + r_t(s).
 * - Of a sender that goes by the clock, what is shifted beyond the end comes at the
 *   beginning, on a connection of its own. One that waits for replies just begins
 *   later.
 * - A fraction is taken by systematic sampling of the senders sorted by their number
 *   of requests (Madow 1944): each is left with the same probability, and what is left
 *   is near the fraction of the requests too. One at least is left.
 * - A service with a thread for each connection gets further threads for the copies.
 *   Background ops are the service's own and stay.
 *
 * Pure; the same seed gives the same plan.
 */
#define PLAN_SHIFT_MAX_NS 1000000000ll
#define PLAN_SPEED_ONE 1000u
#define PLAN_SPEED_MAX (1000 * PLAN_SPEED_ONE)

/* What became of it. */
struct plan_scaled {
	uint32_t speed_milli;
	uint64_t senders_before, senders; /* and their copies */
	uint64_t waiting_before, waiting; /* of these: wait for replies */
	uint64_t requests_before, requests;
	int64_t shift_ns; /* the largest; 0: there are no copies */
	uint32_t copies;  /* of the trace, with itself and one of which a fraction is left */
};

/*
 * speed_milli: thousandths, 1..PLAN_SPEED_MAX. -E2BIG with a sentence when a node would
 * not take it; *plan is as it was then.
 */
int plan_scale(struct plan *plan, uint32_t speed_milli, uint64_t seed, enum plan_batching batching,
	       struct plan_scaled *ret_scaled, struct err *err);

/*
 * What plan_scale() does for the threads of a plan whose connections know which copy they are of.
 * -E2BIG with a sentence when a node would not take them; the plan is as it was then.
 */
int plan_scale_threads(struct plan *plan, uint32_t copies, struct err *err);

/* A sentence for people: into `text`, which is returned. */
char *plan_scaled_text(const struct plan_scaled *scaled, char *text, size_t size);

#endif
