/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#define TRIES_MAX 3

/* Work that no compiler can shorten: each round needs the one before. */
static _Thread_local volatile uint64_t sink;
static double rounds_per_ns;
static int64_t look_ns; /* what a look at the thread's clock takes: a system call */

static void spin(uint64_t rounds)
{
	uint64_t x = sink | 1;

	while (rounds--)
		random_next(&x);
	sink = x;
}

static int64_t look(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* The slowest of a few tries: a guess that is too high would burn too long. */
static void calibrate_rounds(void)
{
	const uint64_t rounds = 500000;

	for (int i = 0; i < 5; i++) {
		int64_t start = look();
		double rate;

		spin(rounds);
		rate = (double)rounds / (look() - start);
		if (!i || rate < rounds_per_ns)
			rounds_per_ns = rate;
	}
}

static void calibrate_look(void)
{
	for (int i = 0; i < 1000; i++) {
		int64_t start = look(), took = look() - start;

		if (!i || took < look_ns)
			look_ns = took;
	}
}

void cpu_calibrate(void)
{
	calibrate_rounds();
	calibrate_look();
}

/*
 * Near enough to what was asked for, and known to what it was: each further look would be a system
 * call within what is to be user time.
 */
struct burn cpu_burn(int64_t ns)
{
	int64_t begun = clock_ns(CLOCK_MONOTONIC), start = look(), took = 0;

	for (int tries = 0; tries < TRIES_MAX && took < ns - ns / 20; tries++) {
		spin((ns - took) * rounds_per_ns + 10);
		start += look_ns;
		took = look() - start;
	}
	return (struct burn){ .ns = took,
			      .middle_ns = begun + (clock_ns(CLOCK_MONOTONIC) - begun) / 2 };
}
