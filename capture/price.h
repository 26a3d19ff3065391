/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PRICE_H
#define GAIT_CAPTURE_PRICE_H

#include "base/err.h"
#include "trace/manifest.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What the probes cost the service and a bystander, measured in the run: rounds of two blocks,
 * the probes attached in one and not in the other, in an order drawn for each round, as in any
 * paired experiment. The first part of a block is not measured: caches and queues settle.
 * CPU is the scheduler's own ns of the service's processes; what it is divided by, sends on TCP
 * sockets, is counted by a program that stays attached in both kinds of blocks.
 */
#define PRICE_ROUNDS_MAX 1024
#define PRICE_ROUNDS_MIN 6 /* for an interval of 95% by the sign test */

struct price_block {
	uint64_t cpu_ns, sends, requests;
	uint64_t bystander_ps; /* a call of getppid(), in a process that is not followed */
};

struct price_round {
	struct price_block on, off;
};

/*
 * The price out of rounds: medians of paired differences, and the sign test's interval for the
 * median (order statistics; Conover, Practical Nonparametric Statistics, 3.2). Rounds without
 * load are left out. Untouched when less than PRICE_ROUNDS_MIN are left: -ENODATA.
 */
int price_judge(const struct price_round *rounds, size_t count, struct manifest_price *ret_price);

/* The experiment, driven by its caller's clock. */
struct price;
struct probe;

/* NULL when memory ran out. */
struct price *price_new(int64_t block_ns, uint64_t seed);
void price_free(struct price *p);

enum price_step { PRICE_SAME, PRICE_PAUSED };

/*
 * Call it every few ms with the requests seen so far. PRICE_PAUSED: the probes have just been
 * detached; drain the ring and tell the assembler. -errno when they cannot be attached again.
 */
int price_step(struct price *p, struct probe *probe, int64_t now_ns, uint64_t requests,
	       struct err *err);

/* So far; -ENODATA when it is too early to say. */
int price_result(const struct price *p, struct manifest_price *ret_price);

#endif
