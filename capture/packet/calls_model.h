/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_CALLS_MODEL_H
#define GAIT_CAPTURE_PACKET_CALLS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What requests of a class do, as far as it has been seen: how many calls they make to requests of
 * another class, how long after what, and whether a call looks like its request. Likelihoods are
 * natural logarithms. Nothing is assumed of how gaps are distributed: they are counted, in bins a fifth
 * wide; what was never seen is as likely as its place on a logarithmic scale. Pure.
 */
#define CALLS_MODEL_MAX 4096 /* of each kind of row; beyond it nothing is known of the rest */

/* Ends of a gap that are no calls; else the class of what was called. */
#define CALLS_ARRIVAL 0
#define CALLS_REPLY 0xffff
#define CALLS_OPEN 0xfffe /* the class of what goes on */

/* What a call may have in common with its request. */
enum calls_trait {
	TRAIT_HEAD,	  /* its first line: a proxy's */
	TRAIT_CONNECTION, /* each is on the connection that the last such pair was on: a thread's */
	TRAIT_COUNT
};

struct calls_model;

struct calls_model *calls_model_new(void); /* NULL: out of memory */
void calls_model_free(struct calls_model *m);

/* Of requests of this class, that `to` began, or the reply, ns after `from` had come or ended. */
double calls_model_gap(const struct calls_model *m, unsigned class, unsigned from, unsigned to,
		       int64_t ns);
void calls_model_learn_gap(struct calls_model *m, unsigned class, unsigned from, unsigned to,
			   int64_t ns, double weight);

/* Weight of the requests of the class that were learned. */
double calls_model_requests(const struct calls_model *m, unsigned class);

/* That they make n calls to that class, against making none. */
double calls_model_count(const struct calls_model *m, unsigned class, unsigned to, unsigned n);
/* That one which has made n makes another, against that it does not. */
double calls_model_more(const struct calls_model *m, unsigned class, unsigned to, unsigned n);
/* Of one of them: to[i] was called n[i] times, all else never. */
void calls_model_learn_counts(struct calls_model *m, unsigned class, const unsigned *to,
			      const unsigned *n, size_t count, double weight);

/* That a call has this in common with its request (or not), against any other having it. */
double calls_model_alike(const struct calls_model *m, unsigned class, unsigned to,
			 enum calls_trait trait, bool alike);
/* true_one: of the request that made it; else of one that might have. */
void calls_model_learn_alike(struct calls_model *m, unsigned class, unsigned to,
			     enum calls_trait trait, bool alike, bool true_one);

#endif
