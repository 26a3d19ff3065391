/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_SCHEDULE_H
#define GAIT_REPLAY_WALK_SCHEDULE_H

#include "base/spec.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Which requests a walk sends, how large they are and when they are due: functions of
 * what it was told and of nothing that happens. Times are ns.
 */
struct walk_schedule {
	uint32_t threads;  /* DistWalk's: as many connections at a time */
	uint64_t requests; /* of each, in all its sessions together */
	uint64_t sessions;
	uint64_t seed;
	const struct spec *period; /* ns between two requests; NULL: by rate */
	const struct spec *rate;   /* requests a second, of each step */
	int64_t rate_step_ns;	   /* 0: the rate never changes */
	const struct spec *size;   /* bytes of a request */
	bool stagger;		   /* the threads' first requests are spread over a period */
};

/* Over all threads, from 0: what nodes draw by. */
static inline uint64_t walk_number(const struct walk_schedule *s, uint32_t thread, uint64_t request)
{
	return request * s->threads + thread;
}

/* Ids of connections begin at 1. */
static inline uint64_t walk_connection(const struct walk_schedule *s, uint32_t thread,
				       uint64_t session)
{
	return session * s->threads + thread + 1;
}

/* Requests of all sessions in equal parts; the first ones take what is left over. */
uint64_t walk_first_of_session(const struct walk_schedule *s, uint64_t session);

/* When the first one of a session is due that is ready to send: together, or spread over a period. */
int64_t walk_first_due_ns(const struct walk_schedule *s, uint32_t thread, uint64_t session);

/*
 * From when this request is due, and the fraction of a ns beyond, to when the next one is: the
 * period is its own.
 */
void walk_next_due(const struct walk_schedule *s, uint32_t thread, uint64_t request,
		   int64_t *due_ns, double *fraction);

/* Of a message: at least its header. *ret_raised: it was drawn smaller than that. */
uint32_t walk_request_bytes(const struct walk_schedule *s, uint32_t thread, uint64_t request,
			    bool *ret_raised);

#endif
