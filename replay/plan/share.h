/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PLAN_SHARE_H
#define GAIT_REPLAY_PLAN_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Who caused how much of a shared store.
 *
 * A store done for several requests is recorded with its bytes and its owners,
 * not with what each of them put into it; some put nothing and merely wait (a
 * GET read in the same pass as a SET). A model of one target assumes that each
 * request of a class puts b[class] bytes into it, and finds b >= 0 with the
 * least squared error over all its stores:
 *
 *	bytes of a store = sum over its owners of b[class of the owner]
 *
 * A request that owns no store is evidence too: its class puts in 0 bytes then.
 *
 * A class is no cause when its b is below one byte, or when leaving it out makes
 * the fit no worse than chance does. Classes that the stores cannot tell apart
 * (always together in the same numbers) all count as causes.
 *
 * Pure. Classes are dense indices; those beyond the limit count as the last one.
 */
#define SHARE_CLASSES_MAX 32

struct share_model {
	size_t classes;
	double gram[SHARE_CLASSES_MAX][SHARE_CLASSES_MAX]; /* sum of n[i] * n[j] over the rows */
	double moment[SHARE_CLASSES_MAX];		   /* sum of n[i] * bytes */
	double squares;					   /* sum of bytes * bytes */
	double rows;
	double bytes[SHARE_CLASSES_MAX]; /* b, after share_model_solve() */
	bool cause[SHARE_CLASSES_MAX];
};

void share_model_init(struct share_model *m, size_t classes);

/* A store and the classes of its owners. */
void share_model_add(struct share_model *m, const uint32_t *owner_classes, size_t owners,
		     uint64_t bytes);

/* `requests` requests of a class that own no store. */
void share_model_add_idle(struct share_model *m, uint32_t owner_class, uint64_t requests);

void share_model_solve(struct share_model *m);

bool share_model_is_cause(const struct share_model *m, uint32_t owner_class);

/*
 * Divides a store among its owners: each causing one gets its part, in proportion
 * to b of its class, in whole bytes that add up exactly; the others get 0. When no
 * owner is of a causing class, all get the same.
 */
void share_split(const struct share_model *m, const uint32_t *owner_classes, size_t owners,
		 uint64_t bytes, uint64_t *ret_shares);

/* The i-th of `parts` whole parts of an amount; they add up exactly. */
uint64_t share_equal(uint64_t amount, size_t parts, size_t i);

#endif
