/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_SET_H
#define GAIT_REPLAY_PLAN_SET_H

#include "replay/plan/plan.h"

/*
 * The plans of several services of a trace that call each other, one for each node. A call that
 * a request makes is an op of its plan, which names the request it became; that one is in the
 * plan of the called service, with its parent_id. All others the client sends.
 */
#define PLAN_SERVICES_MAX 15

struct plan_services {
	uint64_t ids[PLAN_SERVICES_MAX];
	size_t count;
};

/* Which services are played: those named, all, or the one that the world calls most. */
struct plan_choice {
	const char *const *names; /* or numbers, of services.csv */
	size_t names_count;	  /* 0: see `all` */
	bool all;		  /* that have requests */
};

struct plan_set {
	struct plan plans
		[PLAN_SERVICES_MAX]; /* of the names, in their order; else the most called first */
	size_t count;
	struct plan
		client; /* the requests without a caller, of all; lends plans[0]'s if that is all */
	bool client_is_own;
	size_t links; /* places that can be called: every thread of each service */
};

/* -ENOENT with a sentence when a service is not there, -ENODATA when there is nothing to send. */
int plan_set_build(struct trace *t, const struct plan_opts *opts, const struct plan_choice *choice,
		   struct plan_set *ret_set, struct err *err);
void plan_set_release(struct plan_set *set);

/* What the client sends is made anew, as plans[0] was changed. For a set of one. */
void plan_set_renew_client(struct plan_set *set);

/* plan_forget() of each, the client's too. */
void plan_set_forget(const struct plan_set *set);

/* Requests that others call for. */
size_t plan_set_count_calls(const struct plan_set *set);

/* Whose the requests of plans[i] are: links of its threads follow from here on. */
size_t plan_set_first_link(const struct plan_set *set, size_t i);

#endif
