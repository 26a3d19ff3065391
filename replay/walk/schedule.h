/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_SCHEDULE_H
#define GAIT_REPLAY_WALK_SCHEDULE_H

#include "base/spec.h"
#include "replay/chain/chain.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Requests of one kind, which are a part of the chain that ends with a reply. All but the last
 * begin with a -s, which passes over them in the requests of other classes: so a chain
 * holds a mixture, and nodes need not know.
 */
#define WALK_CLASSES_MAX 256
struct walk_class {
	char name[32];
	uint32_t at, end; /* its ops, and the op behind them */
	bool has_size;
	struct spec request_bytes; /* owned by the walk's options; without it the walk's */
};

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
	const struct spec *size;   /* bytes of a request whose class does not say */
	const struct chain *chain;
	const struct walk_class *classes; /* NULL: they are all alike */
	size_t classes_count;
	bool datagrams; /* each is one, with a longer header */
	bool stagger;	/* the threads' first requests are spread over a period */
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

/* Index of the class of a request by its number; 0 without classes. */
size_t walk_class_of(const struct walk_schedule *s, uint64_t number);

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
